package provision

import (
	"context"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/stowage-sh/stowage/pricing"
	"github.com/stowage-sh/stowage/provisioner/problem"
	v1 "github.com/stowage-sh/stowage/provisioner/v1"
)

// rearranged is a rig where one node leaves, and the moves of its pod to a new one.
func rearranged(t *testing.T, commitments string) (*rig, *problem.Moves) {
	t.Helper()
	ctx := context.Background()
	leaving, old := oldNode("old")
	pod := on("old", "web", "1")
	r := newRig(t, nodePool("general"), leaving, old, pod)
	r.commit(commitments)
	in := r.Input(ctx, r.now, r.Cluster.Snapshot())
	in.Pods, in.Leaving = []*corev1.Pod{pod}, map[string]bool{"old": true}
	translation, solution, err := problem.Decide(ctx, in)
	if err != nil {
		t.Fatal(err)
	}
	launches, _ := translation.Placed(solution)
	if len(launches) != 1 {
		t.Fatalf("%d launches", len(launches))
	}
	return r, &problem.Moves{Leaving: []*v1.NodeClaim{leaving}, Launches: []*problem.Launch{&launches[0]}}
}

// commit has so much be committed from now on, as entries of a file.
func (r *rig) commit(entries string) {
	r.t.Helper()
	read, err := pricing.ReadCommitments(strings.NewReader("commitments: ["+entries+"]"), "file", "", r.now)
	if err != nil {
		r.t.Fatal(err)
	}
	r.Prices.Commit(read.Commitments, r.now)
}

// refuses checks why the pod of some moves would not get to its place: for no reason, or one that has these words.
func (r *rig) refuses(moves *problem.Moves, want string) {
	r.t.Helper()
	stuck, err := r.Refused(context.Background(), r.now, r.Cluster.Snapshot(), moves)
	if err != nil {
		r.t.Fatal(err)
	}
	if why := stuck["web"]; (why != "") != (want != "") || !strings.Contains(why, want) {
		r.t.Errorf("refused since %q, want %q", why, want)
	}
}

// TestLimitsAreAskedAgain: what a plan left of a NodePool's limits may be gone when it is carried out.
func TestLimitsAreAskedAgain(t *testing.T) {
	r, moves := rearranged(t, "")
	r.refuses(moves, "")
	pool := nodePool("general")
	pool.ResourceVersion = "2"
	pool.Spec.Limits = corev1.ResourceList{"cpu": resource.MustParse("1")}
	r.Cluster.Observe(pool)
	r.refuses(moves, "the limits of NodePool general")
}

// TestCommitmentsAreAskedAgain: so it is with what is paid already. A plan of 0.08 $/h at half the price covers one small
// node, of 0.1, and part of another.
func TestCommitmentsAreAskedAgain(t *testing.T) {
	const plan = "{name: plan, kind: ComputeSavingsPlan, discount: 50%, dollarsPerHour: 0.08}"
	r, moves := rearranged(t, plan)
	if c := moves.Launches[0].Rows[0].Commitment; c == nil {
		t.Fatal("the new node is not covered")
	}
	r.refuses(moves, "")
	twice := *moves
	second := *moves.Launches[0]
	second.Pods = nil
	twice.Launches = []*problem.Launch{&second, moves.Launches[0]}
	r.refuses(&twice, "not enough is left of commitment plan")

	// What the node uses that leaves is there for the one in its place, and not what another does.
	claim, node := oldNode("other")
	node.Labels = map[string]string{}
	for _, name := range []string{corev1.LabelInstanceTypeStable, corev1.LabelTopologyZone, v1.LabelCapacityType} {
		row := moves.Launches[0].Rows[0]
		claim.Labels[name], node.Labels[name] = row.Get(name), row.Get(name)
	}
	r.Cluster.Observe(claim)
	r.Cluster.Observe(node)
	r.refuses(moves, "not enough is left of commitment plan")
	moves.Leaving = append(moves.Leaving, claim)
	r.refuses(moves, "")

	r.commit("")
	r.refuses(moves, "not enough is left of commitment plan")
}
