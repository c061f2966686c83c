package problem_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/stowage-sh/stowage/provisioner/oracle"
)

// TestFuture has kube-scheduler's own plugins judge the cluster that Future makes of a plan,
// and compares that with what TestSchedulerAgrees makes of the objects, not of their
// translation: the same pods on nodes of the same taints.
func TestFuture(t *testing.T) {
	forSeeds(t, 500, func(t *testing.T, r *rand.Rand, w *world) {
		tr := w.translate()
		s := solve(t, tr)
		launches, fills := tr.Placed(s)
		f := tr.Future(launches, fills, func(i int) string { return fmt.Sprint("new", i) }, r.IntN)
		var placements []oracle.Placement
		for _, p := range f.Placements {
			placements = append(placements, oracle.Placement{Pod: p.Pod, Node: p.Node})
		}
		refusals, err := oracle.Check(context.Background(), oracle.Cluster{Nodes: f.Nodes, Pods: f.Pods, Objects: f.Objects}, placements)
		if err != nil {
			t.Fatal(err)
		}
		for _, refusal := range refusals {
			t.Errorf("refused: %s", refusal)
		}
		other := &future{world: w, dice: dice{r}}
		if n := len(other.build(tr, s)); n != len(placements) {
			t.Errorf("%d placements, want %d", len(placements), n)
		}
		taints := map[string]string{}
		for _, n := range other.Nodes {
			taints[n.Name] = fmt.Sprint(n.Spec.Taints)
		}
		for _, n := range f.Nodes {
			name := n.Name
			if claim, ok := strings.CutPrefix(name, "nodeclaim/"); ok {
				name = "node-of-" + claim
			}
			if got := fmt.Sprint(n.Spec.Taints); got != taints[name] {
				t.Errorf("node %s has taints %s, want %s", name, got, taints[name])
			}
			delete(taints, name)
		}
		if len(taints) > 0 {
			t.Errorf("these nodes are missing: %v", taints)
		}
		if got, want := standing(f.Pods), standing(other.Pods); got != want {
			t.Errorf("%d pods stand, want %d", got, want)
		}
	})
}

// standing counts pods but those of DaemonSets: where these run depends on which of its
// offerings a machine turns out as.
func standing(pods []*corev1.Pod) (n int) {
	for _, p := range pods {
		if !strings.HasPrefix(p.Name, "daemon") {
			n++
		}
	}
	return n
}
