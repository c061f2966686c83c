package main

import (
	"testing"

	ours "github.com/stowage-sh/stowage/cloudprovider"
	"github.com/stowage-sh/stowage/test/corpus"
)

// TestBothConsolidate gives both sides a cluster of ten nodes: each makes it cheaper, no
// plan is below the bound, and kube-scheduler lets all pods where they are put.
func TestBothConsolidate(t *testing.T) {
	m, err := corpus.Embedded("", corpus.Options{MaxCPU: 16, CapacityTypes: []string{ours.OnDemand}})
	if err != nil {
		t.Fatal(err)
	}
	for _, balanced := range []bool{false, true} {
		w := &standing{name: "small", market: m, pods: list(corpus.Menus, 300), stays: 0.35, seed: 1, balanced: balanced}
		c, err := consolidateBoth(w)
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%s: before %+v; peer %+v; ours %+v, capped %+v, at least %d", w.policy(), c.before, *c.peer, *c.ours, c.capped, c.bound)
		for side, o := range map[string]*outcome{"peer": c.peer, "ours": c.ours, "slow": c.slow} {
			switch {
			case o.cost >= c.before.cost || o.cost < c.bound:
				t.Errorf("%s, %s: from %d to %d, and at least %d", w.policy(), side, c.before.cost, o.cost, c.bound)
			case o.evictions == 0 || o.commands == 0 || o.nodes == 0 || o.refused != 0:
				t.Errorf("%s, %s: %+v", w.policy(), side, *o)
			}
		}
		if c.capped.evictions > c.peer.evictions || c.capped.cost > c.before.cost {
			t.Errorf("%s: capped at %d evictions: %+v", w.policy(), c.peer.evictions, c.capped)
		}
	}
}
