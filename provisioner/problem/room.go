package problem

import (
	corev1 "k8s.io/api/core/v1"

	"github.com/stowage-sh/stowage/provisioner/state"
)

// Crowded returns those of the pods that have no room left on a node beside the
// pods that are bound to it, if the room is given in the order of the pods.
func Crowded(s *state.Snapshot, node *corev1.Node, pods []*corev1.Pod) []*corev1.Pod {
	free := resources(node.Status.Allocatable)
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
