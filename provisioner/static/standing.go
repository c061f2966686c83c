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

// standing returns those of a pool's claims that count as its replicas, by name. One that was
// chosen for disruption does not: another is made for it, and it goes when there are enough
// of them. If it stays after all, one is too many.
func standing(claims []*v1.NodeClaim) []*v1.NodeClaim {
	return slices.DeleteFunc(slices.Clone(claims), func(claim *v1.NodeClaim) bool {
		return v1.IsTrue(claim.Status.Conditions, v1.ConditionDisruptionReason)
	})
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

// surplus returns those of the claims that are to go when n are too many: those
// worth least; the oldest of equals, since it ends first anyway.
func surplus(now time.Time, s *state.Snapshot, all []*v1.NodeClaim, n int) []*v1.NodeClaim {
	coming := expected(s)
	worths := map[string]worth{}
	for _, claim := range all {
		worths[claim.Name] = worthOf(now, s, claim, coming)
	}
	all = slices.Clone(all)
	slices.SortFunc(all, func(a, b *v1.NodeClaim) int { return worths[a.Name].compare(worths[b.Name]) })
	return all[:n]
}

func worthOf(now time.Time, s *state.Snapshot, claim *v1.NodeClaim, coming expectation) worth {
	w := worth{
		protected: lifecycle.Shields(now, claim.Annotations, claim.CreationTimestamp.Time),
		created:   claim.CreationTimestamp.Time, name: claim.Name, stage: notUsable,
	}
	pods := coming.claims[claim.Name]
	node, ok := s.NodeOf(claim)
	if ok {
		w.protected = w.protected || lifecycle.Shields(now, node.Annotations, claim.CreationTimestamp.Time)
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
	for _, pod := range s.Unbound.All() {
		plan := s.Plans.Of(pod.UID)
		switch node := cmp.Or(plan.Node, pod.Status.NominatedNodeName); {
		case plan.NodeClaim != "":
			e.claims[plan.NodeClaim] = append(e.claims[plan.NodeClaim], pod)
		case node != "":
			e.nodes[node] = append(e.nodes[node], pod)
		}
	}
	return e
}
