package disrupt

import (
	"maps"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/stowage-sh/stowage/provisioner/lifecycle"
	"github.com/stowage-sh/stowage/provisioner/state"
)

// residents remember what was found of the pods of each node for as long as none of them changes:
// a step asks it of all nodes, and a snapshot says with the same slice that nothing changed. The
// zero value is empty.
type residents struct{ of map[string]*resident }

// A resident is what there is to know of a node's pods. It is never changed.
type resident struct {
	pods []*corev1.Pod
	// movable are those that would need another place.
	movable []*corev1.Pod
	// running are those whose going would count as an event, and bound is when the latest of them
	// was bound.
	running podSet
	bound   time.Time
}

// on returns what is known of a node's pods.
func (r *residents) on(s *state.Snapshot, node string) *resident {
	pods := s.PodsOn(node)
	if known, ok := r.of[node]; ok && same(known.pods, pods) {
		return known
	}
	found := &resident{pods: pods, running: podSet{}}
	for _, pod := range pods {
		if lifecycle.Reschedulable(pod) {
			found.movable = append(found.movable, pod)
		}
		found.count(pod)
	}
	if r.of == nil {
		r.of = map[string]*resident{}
	}
	r.of[node] = found
	return found
}

// count takes in a pod that is running.
func (r *resident) count(pod *corev1.Pod) {
	if lifecycle.Terminal(pod) || lifecycle.OwnedByDaemonSet(pod) || lifecycle.Static(pod) || pod.DeletionTimestamp != nil {
		return
	}
	r.running[pod.UID] = struct{}{}
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodScheduled && c.LastTransitionTime.After(r.bound) {
			r.bound = c.LastTransitionTime.Time
		}
	}
}

// forget leaves out nodes that are gone.
func (r *residents) forget(s *state.Snapshot) {
	if len(r.of) <= s.Nodes.Len() {
		return
	}
	maps.DeleteFunc(r.of, func(node string, _ *resident) bool {
		_, ok := s.Nodes.Get(node)
		return !ok
	})
}

// same reports whether two slices are one.
func same(a, b []*corev1.Pod) bool {
	return len(a) == len(b) && (len(a) == 0 || &a[0] == &b[0])
}
