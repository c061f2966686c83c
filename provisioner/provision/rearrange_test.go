package provision

import (
	"context"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/stowage-sh/stowage/provisioner/problem"
	v1 "github.com/stowage-sh/stowage/provisioner/v1"
)

// TestLimitsAreAskedAgain: what a plan left of a NodePool's limits may be gone when it is carried out.
func TestLimitsAreAskedAgain(t *testing.T) {
	ctx := context.Background()
	leaving, old := oldNode("old")
	pod := on("old", "web", "1")
	r := newRig(t, nodePool("general"), leaving, old, pod)
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
	moves := &problem.Moves{Leaving: []*v1.NodeClaim{leaving}, Launches: []*problem.Launch{&launches[0]}}
	for _, limit := range []string{"", "1"} {
		if limit != "" {
			pool := nodePool("general")
			pool.ResourceVersion = "2"
			pool.Spec.Limits = corev1.ResourceList{"cpu": resource.MustParse(limit)}
			r.Cluster.Observe(pool)
		}
		stuck, err := r.Refused(ctx, r.now, r.Cluster.Snapshot(), moves)
		if err != nil {
			t.Fatal(err)
		}
		if why := stuck[pod.UID]; (why != "") != (limit != "") || limit != "" && !strings.Contains(why, "limits of NodePool general") {
			t.Errorf("with a limit of %q: %q", limit, why)
		}
	}
}
