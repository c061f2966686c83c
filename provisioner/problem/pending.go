package problem

import (
	"cmp"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	corev1helpers "k8s.io/component-helpers/scheduling/corev1"

	"github.com/stowage-sh/stowage/provisioner/state"
)

// Provisionable reports whether a pod waits for a machine: kube-scheduler tried
// and found no node, and nobody else's decision about it is under way.
func Provisionable(p *corev1.Pod) bool {
	if p.Spec.NodeName != "" || p.DeletionTimestamp != nil || terminal(p) || len(p.Spec.SchedulingGates) > 0 {
		return false
	}
	if owner := metav1.GetControllerOf(p); owner != nil && (owner.Kind == "DaemonSet" || owner.Kind == "Node") {
		return false
	}
	for _, c := range p.Status.Conditions {
		if c.Type == corev1.PodScheduled {
			return c.Status == corev1.ConditionFalse && c.Reason == corev1.PodReasonUnschedulable
		}
	}
	return false
}

// Schedulers are the names of the schedulers whose pods get machines; none means all of them.
type Schedulers []string

// Serve reports whether a pod is for one of the schedulers.
func (s Schedulers) Serve(p *corev1.Pod) bool {
	return len(s) == 0 || slices.Contains(s, cmp.Or(p.Spec.SchedulerName, corev1.DefaultSchedulerName))
}

// MakesRoom reports whether kube-scheduler makes room for a pod: it nominated a
// node, and pods of lower priority are on their way out there. Such a pod needs no
// machine, unless the nomination goes.
func MakesRoom(s *state.Snapshot, p *corev1.Pod) bool {
	node := p.Status.NominatedNodeName
	if p.Spec.NodeName != "" || node == "" {
		return false
	}
	if n, ok := s.Nodes.Get(node); !ok || n.DeletionTimestamp != nil {
		return false
	}
	for _, victim := range s.PodsOn(node) {
		if victim.DeletionTimestamp != nil && !terminal(victim) && corev1helpers.PodPriority(victim) < corev1helpers.PodPriority(p) {
			return true
		}
	}
	return false
}
