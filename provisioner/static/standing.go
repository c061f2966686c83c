package static

import (
	"cmp"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/stowage-sh/stowage/provisioner/lifecycle"
	"github.com/stowage-sh/stowage/provisioner/state"
	v1 "github.com/stowage-sh/stowage/provisioner/v1"
)

// A Standing is a NodeClaim that counts as one of its NodePool's replicas.
//
// The rule of replacements: whoever replaces a node first sets the condition
// DisruptionReason on its NodeClaim, and then creates one with the annotation
// stowage.sh/replaces that names it. From then on the two count as one, until the
// old one is deleted or its condition taken off again: so the replacement is no
// surplus before it is initialized, nor in the moment between that and the deletion
// of the old one. Where a replaced node has to go because there are too many, both
// go.
type Standing struct {
	Claim *v1.NodeClaim
	// Replacement of the claim, nil for none.
	Replacement *v1.NodeClaim
}

// standings returns those of a pool's claims that count, by name.
func standings(claims []*v1.NodeClaim) []Standing {
	replaced := map[string]bool{}
	for _, claim := range claims {
		replaced[claim.Name] = v1.IsTrue(claim.Status.Conditions, v1.ConditionDisruptionReason)
	}
	replacements := map[string]*v1.NodeClaim{} // by the name of the old claim, which has one
	stands := func(claim *v1.NodeClaim) bool {
		old := claim.Annotations[v1.AnnotationReplaces]
		return !replaced[old] || replacements[old] != claim
	}
	for _, claim := range claims {
		if old := claim.Annotations[v1.AnnotationReplaces]; replaced[old] && replacements[old] == nil {
			replacements[old] = claim
		}
	}
	var all []Standing
	for _, claim := range claims {
		if stands(claim) {
			all = append(all, Standing{claim, replacements[claim.Name]})
		}
	}
	return all
}

// A worth is what speaks against deleting a claim: the least goes first.
type worth struct {
	protected bool
	stage     stage
	cost      int64 // of moving its pods, in lifecycle.OnePods
	created   time.Time
	name      string
}

// A stage is how far a claim has come in being of use.
type stage int

const (
	notLaunched stage = iota
	notUsable         // empty, and not ready for pods
	empty
	inUse
)

func (a worth) compare(b worth) int {
	if a.protected != b.protected {
		if b.protected {
			return -1
		}
		return 1
	}
	return cmp.Or(cmp.Compare(a.stage, b.stage), cmp.Compare(a.cost, b.cost), a.created.Compare(b.created), cmp.Compare(a.name, b.name))
}

// surplus returns those of the standings that are to go when n are too many: those
// worth least; the oldest of equals, since it ends first anyway.
func surplus(now time.Time, s *state.Snapshot, all []Standing, n int) []Standing {
	coming := expected(s)
	worths := map[string]worth{}
	for _, standing := range all {
		worths[standing.Claim.Name] = worthOf(now, s, standing.Claim, coming)
	}
	all = slices.Clone(all)
	slices.SortFunc(all, func(a, b Standing) int { return worths[a.Claim.Name].compare(worths[b.Claim.Name]) })
	return all[:n]
}

func worthOf(now time.Time, s *state.Snapshot, claim *v1.NodeClaim, coming expectation) worth {
	w := worth{
		protected: claim.Annotations[v1.AnnotationDoNotDisrupt] == "true",
		created:   claim.CreationTimestamp.Time, name: claim.Name, stage: notUsable,
	}
	pods := coming.claims[claim.Name]
	node, ok := s.NodeOf(claim)
	if ok {
		w.protected = w.protected || node.Annotations[v1.AnnotationDoNotDisrupt] == "true"
		pods = slices.Concat(s.PodsOn(node.Name), coming.nodes[node.Name], pods)
	}
	switch {
	case claim.Status.ProviderID == "":
		w.stage = notLaunched
	case ok && lifecycle.NodeReady(node) && v1.IsTrue(claim.Status.Conditions, v1.ConditionInitialized):
		w.stage = empty
	}
	for _, pod := range pods {
		w.protected = w.protected || lifecycle.Protected(now, pod)
		if lifecycle.Reschedulable(pod) {
			w.cost += max(0, lifecycle.EvictionCost(pod))
			w.stage = max(w.stage, inUse)
		}
	}
	if claim.Status.ProviderID == "" { // pods that are planned for it find another place
		w.stage = notLaunched
	}
	return w
}

// An expectation is the pods that are to come to claims and nodes, by name.
type expectation struct{ claims, nodes map[string][]*corev1.Pod }

func expected(s *state.Snapshot) expectation {
	e := expectation{map[string][]*corev1.Pod{}, map[string][]*corev1.Pod{}}
	for _, pod := range s.Pods.All() {
		if pod.Spec.NodeName != "" {
			continue
		}
		plan := s.Plans[pod.UID]
		switch node := cmp.Or(plan.Node, pod.Status.NominatedNodeName); {
		case plan.NodeClaim != "":
			e.claims[plan.NodeClaim] = append(e.claims[plan.NodeClaim], pod)
		case node != "":
			e.nodes[node] = append(e.nodes[node], pod)
		}
	}
	return e
}
