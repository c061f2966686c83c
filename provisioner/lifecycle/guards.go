package lifecycle

import (
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/stowage-sh/stowage/provisioner/state"
	v1 "github.com/stowage-sh/stowage/provisioner/v1"
)

// Guards say which pods may not be evicted now. They are of one snapshot.
type Guards struct {
	budgets map[string][]budget // by namespace
}

// A budget is a PodDisruptionBudget with its selector read.
type budget struct {
	*policyv1.PodDisruptionBudget
	selector labels.Selector
}

// GuardsOf reads the PodDisruptionBudgets of a snapshot.
func GuardsOf(s *state.Snapshot) Guards {
	g := Guards{map[string][]budget{}}
	for _, b := range s.PodDisruptionBudgets.All() {
		// One that cannot be read is refused by the API server; it selects nothing.
		if selector, err := metav1.LabelSelectorAsSelector(b.Spec.Selector); err == nil {
			g.budgets[b.Namespace] = append(g.budgets[b.Namespace], budget{b, selector})
		}
	}
	return g
}

// Keeps says what keeps a pod from being evicted at now, as the API server and drains see it:
// its own annotation, a PodDisruptionBudget that allows no disruption, or two of them, which the
// API server does not weigh against each other. Empty means nothing does.
func (g Guards) Keeps(now time.Time, pod *corev1.Pod) string {
	if Protected(now, pod) {
		return "has " + v1.AnnotationDoNotDisrupt
	}
	if Terminal(pod) || pod.DeletionTimestamp != nil || OwnedByDaemonSet(pod) || Static(pod) {
		return ""
	}
	var covering []budget
	for _, b := range g.budgets[pod.Namespace] {
		if b.selector.Matches(labels.Set(pod.Labels)) {
			covering = append(covering, b)
		}
	}
	switch {
	case len(covering) == 0:
		return ""
	case len(covering) > 1:
		return fmt.Sprintf("is covered by two PodDisruptionBudgets, %s and %s", covering[0].Name, covering[1].Name)
	case covering[0].refuses(pod):
		return fmt.Sprintf("is covered by PodDisruptionBudget %s, which allows no disruption now", covering[0].Name)
	}
	return ""
}

// refuses reports whether a budget would refuse the eviction of a pod that it covers.
func (b budget) refuses(pod *corev1.Pod) bool {
	if policy := b.Spec.UnhealthyPodEvictionPolicy; policy != nil && *policy == policyv1.AlwaysAllow && !ready(pod) {
		return false
	}
	return b.Status.DisruptionsAllowed < 1 || b.Status.ObservedGeneration < b.Generation
}

func ready(pod *corev1.Pod) bool {
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}

// Deadline is when the drain of a claim stops waiting for its pods: what is written on it, or the
// end of its terminationGracePeriod once it is being deleted, whichever is earlier.
func Deadline(claim *v1.NodeClaim) (at time.Time, ok bool) {
	text, written := claim.Annotations[v1.AnnotationTerminationTimestamp]
	if written {
		var err error
		if at, err = time.Parse(time.RFC3339, text); err != nil {
			return at, false // one that cannot be read is never: nothing is forced on a guess
		}
	}
	grace, bounded := claim.Spec.TerminationGracePeriod.Get()
	if !bounded || claim.DeletionTimestamp == nil {
		return at, written
	}
	if end := claim.DeletionTimestamp.Add(grace); !written || end.Before(at) {
		at = end
	}
	return at, true
}

// SetDeadline writes on a claim when its drain stops waiting. It is the caller's to save it.
func SetDeadline(claim *v1.NodeClaim, at time.Time) {
	if claim.Annotations == nil {
		claim.Annotations = map[string]string{}
	}
	claim.Annotations[v1.AnnotationTerminationTimestamp] = at.UTC().Format(time.RFC3339)
}
