package problem

import (
	"maps"

	corev1 "k8s.io/api/core/v1"

	"github.com/stowage-sh/stowage/cloudprovider"
	"github.com/stowage-sh/stowage/provisioner/state"
	v1 "github.com/stowage-sh/stowage/provisioner/v1"
)

// Crowded returns those of the pods that have no room left on a node beside the
// pods that are bound to it, if the room is given in the order of the pods.
func Crowded(s *state.Snapshot, node *corev1.Node, pods []*corev1.Pod) []*corev1.Pod {
	var expected cloudprovider.Resources
	if claim, ok := s.ClaimOf(node); ok && !v1.IsTrue(claim.Status.Conditions, v1.ConditionInitialized) {
		expected = resources(claim.Status.Allocatable)
	}
	free := reported(node, expected)
	for _, p := range s.PodsOn(node.Name) {
		if !terminal(p) {
			for name, q := range Requests(p) {
				free[name] -= q
			}
		}
	}
	var crowded []*corev1.Pod
	for _, p := range pods {
		requests := Requests(p)
		fits := true
		for name, q := range requests {
			fits = fits && free[name] >= q
		}
		if !fits {
			crowded = append(crowded, p)
			continue
		}
		for name, q := range requests {
			free[name] -= q
		}
	}
	return crowded
}

// reported returns what a node says that it has, and what is expected of it where
// it says nothing: until it is initialized it may not report its devices yet.
func reported(node *corev1.Node, expected cloudprovider.Resources) cloudprovider.Resources {
	has := maps.Clone(expected)
	if has == nil {
		has = cloudprovider.Resources{}
	}
	for name, q := range resources(node.Status.Allocatable) {
		if q > 0 {
			has[name] = q
		}
	}
	return has
}
