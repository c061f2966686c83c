package disrupt

import (
	"cmp"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/stowage-sh/stowage/provisioner/lifecycle"
	"github.com/stowage-sh/stowage/provisioner/state"
	v1 "github.com/stowage-sh/stowage/provisioner/v1"
)

// A view is a snapshot with what the decisions ask of it more than once.
type view struct {
	*state.Snapshot
	now time.Time
	// expected holds the names of claims and nodes that a pod is planned for or
	// nominated to.
	claims, nodes map[string]bool
}

func look(now time.Time, s *state.Snapshot) *view {
	v := &view{Snapshot: s, now: now, claims: map[string]bool{}, nodes: map[string]bool{}}
	for _, plan := range s.Plans {
		v.claims[plan.NodeClaim] = true
		v.nodes[plan.Node] = true
	}
	for _, pod := range s.Pods.All() {
		if pod.Spec.NodeName == "" && !lifecycle.Terminal(pod) {
			v.nodes[pod.Status.NominatedNodeName] = true
		}
	}
	return v
}

// A candidate is a node that may be disrupted.
type candidate struct {
	claim *v1.NodeClaim
	node  *corev1.Node
	pool  *v1.NodePool
}

// candidates returns the nodes of ours that nothing protects from voluntary
// disruption, those that are chosen already included, in order of their claims'
// age and name.
func (v *view) candidates() []candidate {
	var all []candidate
	for _, claim := range v.NodeClaims.All() {
		if c, ok := v.candidate(claim); ok {
			all = append(all, c)
		}
	}
	slices.SortFunc(all, func(a, b candidate) int {
		return cmp.Or(a.claim.CreationTimestamp.Compare(b.claim.CreationTimestamp.Time), cmp.Compare(a.claim.Name, b.claim.Name))
	})
	return all
}

func (v *view) candidate(claim *v1.NodeClaim) (candidate, bool) {
	node, ok := v.NodeOf(claim)
	if !ok || claim.DeletionTimestamp != nil || node.DeletionTimestamp != nil ||
		!v1.IsTrue(claim.Status.Conditions, v1.ConditionInitialized) || node.Labels[v1.LabelInitialized] != "true" {
		return candidate{}, false
	}
	pool, ok := v.NodePools.Get(claim.Labels[v1.LabelNodePool])
	if !ok || pool.DeletionTimestamp != nil || pool.Spec.Replicas != nil {
		return candidate{}, false
	}
	if node.Annotations[v1.AnnotationDoNotDisrupt] == "true" || claim.Annotations[v1.AnnotationDoNotDisrupt] == "true" {
		return candidate{}, false
	}
	for _, pod := range v.PodsOn(node.Name) {
		if lifecycle.Protected(v.now, pod) {
			return candidate{}, false
		}
	}
	return candidate{claim, node, pool}, true
}

// empty reports whether no pod of the node would need another place, and none is
// on its way to it.
func (v *view) empty(c candidate) bool {
	if v.claims[c.claim.Name] || v.nodes[c.node.Name] {
		return false
	}
	return !slices.ContainsFunc(v.PodsOn(c.node.Name), lifecycle.Reschedulable)
}

// quietSince is the moment from which consolidateAfter counts: the later of
// initialization and the last pod event.
func quietSince(claim *v1.NodeClaim) time.Time {
	since := v1.GetCondition(claim.Status.Conditions, v1.ConditionInitialized).LastTransitionTime.Time
	if last := claim.Status.LastPodEventTime.Time; last.After(since) {
		since = last
	}
	return since
}

// consolidatable reports whether an initialized claim has been quiet for its
// pool's consolidateAfter, and otherwise how long that still takes; 0 is never.
func (v *view) consolidatable(claim *v1.NodeClaim, pool *v1.NodePool) (ok bool, left time.Duration) {
	after, ok := pool.Spec.Disruption.ConsolidateAfter.Get()
	if !ok {
		return false, 0
	}
	left = quietSince(claim).Add(after).Sub(v.now)
	return left <= 0, max(left, 0)
}

// isNew reports whether a claim was initialized just now.
func (v *view) isNew(claim *v1.NodeClaim) bool {
	initialized := v1.GetCondition(claim.Status.Conditions, v1.ConditionInitialized)
	return v.now.Before(initialized.LastTransitionTime.Add(settleTime))
}
