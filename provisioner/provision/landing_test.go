package provision

import (
	"context"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/stowage-sh/stowage/provisioner/problem"
	v1 "github.com/stowage-sh/stowage/provisioner/v1"
)

// TestMovesHoldHoweverPodsLand: the small pod is to go to the node that it fills, but kube-scheduler prefers the
// one with more room, and the large pod would be left without a place.
func TestMovesHoldHoweverPodsLand(t *testing.T) {
	for name, c := range map[string]struct {
		used string // on the node that the large pod is to go to
		want string
	}{
		"tight": {"800m", "large"},
		"roomy": {"400m", ""},
	} {
		t.Run(name, func(t *testing.T) {
			leaving, old := oldNode("old")
			snug, snugNode := oldNode("snug")
			wide, wideNode := oldNode("wide")
			small, large := on("old", "small", "500m"), on("old", "large", "1")
			r := newRig(t, nodePool("general"), leaving, old, snug, snugNode, wide, wideNode, small, large, on("snug", "a", "1500m"), on("wide", "b", c.used))
			moves := &problem.Moves{Leaving: []*v1.NodeClaim{leaving}, Onto: []problem.Onto{
				{Machine: problem.Machine{NodeClaim: "snug"}, Pods: []*corev1.Pod{small}},
				{Machine: problem.Machine{NodeClaim: "wide"}, Pods: []*corev1.Pod{large}},
			}}
			stuck, err := r.Refused(context.Background(), r.now, r.Cluster.Snapshot(), moves)
			if err != nil {
				t.Fatal(err)
			}
			got := ""
			for uid := range stuck {
				got += string(uid)
			}
			if got != c.want {
				t.Errorf("%v find no room, want %q", stuck, c.want)
			}
		})
	}
}
