package lifecycle

import (
	"strconv"

	corev1 "k8s.io/api/core/v1"
	corev1helpers "k8s.io/component-helpers/scheduling/corev1"
)

// OnePod is the eviction cost of a pod that says nothing of it.
const OnePod = 1 << 27

// EvictionCost says what it costs to move a pod, in OnePods: more for a higher
// priority and a higher controller.kubernetes.io/pod-deletion-cost, at most ten
// times as much, and at least minus that. It is an integer, so that sums and ties
// do not depend on order.
func EvictionCost(pod *corev1.Pod) int64 {
	cost := int64(OnePod)
	// One that is not a number, or out of range, is as none: so the API server has it.
	if own, err := strconv.ParseInt(pod.Annotations[corev1.PodDeletionCost], 10, 32); err == nil {
		cost += own
	}
	cost += int64(corev1helpers.PodPriority(pod)) << 2
	return max(-10*OnePod, min(cost, 10*OnePod))
}
