package scale_test

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	v1 "github.com/stowage-sh/stowage/provisioner/v1"
	"github.com/stowage-sh/stowage/test/sim"
)

// TestSmallLife: what the benchmark measures does happen, in a cluster of 30 nodes. Machines are
// bought for those that wait and given back after them, the others stay, and no controller fails.
func TestSmallLife(t *testing.T) {
	l, err := populate(size{30, 18, 2})
	if err != nil {
		t.Fatal(err)
	}
	p := l.Start()
	p.Gathers = true
	p.AddControllers()
	l.begin()
	most := 0
	for range 20 {
		if err := l.Run(15 * time.Second); err != nil {
			t.Fatal(err)
		}
		most = max(most, len(sim.List[*v1.NodeClaim](l.API)))
	}
	if len(p.Errors) > 0 {
		t.Errorf("%d calls of controllers failed, the first: %v", len(p.Errors), p.Errors[0])
	}
	if ended := len(l.Told("DisruptionTerminating")); most < 30+surgePods/4 || ended == 0 {
		t.Errorf("at most %d NodeClaims, and %d ended: nothing was bought, or nothing given back", most, ended)
	}
	for _, name := range l.nodes {
		if _, ok := sim.Get[*corev1.Node](l.API, "", name); !ok {
			t.Errorf("node %s, which had pods all the time, is gone", name)
		}
	}
	if l.made < 30*18+5*60*(replaced+jobs) {
		t.Errorf("only %d pods were made", l.made)
	}
}
