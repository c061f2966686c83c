package disrupt

import (
	"cmp"
	"fmt"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/stowage-sh/stowage/provisioner/headroom"
	"github.com/stowage-sh/stowage/provisioner/lifecycle"
	"github.com/stowage-sh/stowage/provisioner/problem"
	"github.com/stowage-sh/stowage/provisioner/state"
	v1 "github.com/stowage-sh/stowage/provisioner/v1"
)

// A view is a snapshot with what the decisions ask of it more than once.
type view struct {
	*state.Snapshot
	now    time.Time
	guards func() lifecycle.Guards
	// residents tell of the pods on nodes.
	residents *residents
	// served are the schedulers whose pods get machines.
	served problem.Schedulers
	// claims and nodes hold the names of those that a pod is planned for or nominated to.
	claims, nodes map[string]bool
	// allowances are what the budgets allow.
	allowances func() map[string]map[v1.DisruptionReason]Allowance
	// spare are the places of headroom, with one of its CapacityBuffers each, and moved those that
	// were decided for what was on a NodeClaim on its way out, by its name.
	spare map[place]types.NamespacedName
	moved map[string][]state.Plan
	// unplanned is a CapacityBuffer whose headroom has to be somewhere, and it is not known where.
	unplanned types.NamespacedName
}

// A place is a NodeClaim, or else an existing Node, by name.
type place struct{ claim, node string }

// look returns a view of the cluster as it is, the last one if nothing has changed.
func (c *Controller) look(now time.Time) *view {
	s := c.Cluster.Snapshot()
	if c.viewed != nil && c.viewed.Snapshot == s && c.viewed.now.Equal(now) {
		return c.viewed
	}
	c.viewed = newView(s, now, &c.residents, c.Schedulers)
	return c.viewed
}

func newView(s *state.Snapshot, now time.Time, known *residents, served problem.Schedulers) *view {
	v := &view{Snapshot: s, now: now, guards: sync.OnceValue(func() lifecycle.Guards { return lifecycle.GuardsOf(s) }), residents: known, served: served,
		claims: map[string]bool{}, nodes: map[string]bool{}, spare: map[place]types.NamespacedName{}, moved: map[string][]state.Plan{}}
	v.unplanned = headroom.Unplanned(s)
	for _, plan := range s.Plans.All() {
		if plan.IsHeadroom() {
			v.spare[place{plan.NodeClaim, plan.Node}] = plan.Headroom.Buffer
			v.moved[plan.Headroom.From] = append(v.moved[plan.Headroom.From], plan)
			continue
		}
		v.claims[plan.NodeClaim] = true
		v.nodes[plan.Node] = true
	}
	for _, pod := range s.Unbound.All() {
		if !lifecycle.Terminal(pod) {
			v.nodes[pod.Status.NominatedNodeName] = true
		}
	}
	v.allowances = sync.OnceValue(func() map[string]map[v1.DisruptionReason]Allowance { return Allowances(now, s) })
	return v
}

// isChosen reports whether a NodeClaim is on its way out.
func (v *view) isChosen(name string) bool {
	claim, ok := v.NodeClaims.Get(name)
	return ok && chosen(claim)
}

// A candidate is a NodeClaim of a NodePool, whose node is initialized, that is not on its way out.
type candidate struct {
	claim *v1.NodeClaim
	node  *corev1.Node
	pool  *v1.NodePool
	// movable are the pods that would need another place.
	movable []*corev1.Pod
}

// candidates returns all that might be disrupted, those that are chosen already left out, in
// order of their claims' age and name.
func (v *view) candidates() []candidate {
	var all []candidate
	for _, claim := range v.NodeClaims.All() {
		if chosen(claim) {
			continue
		}
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
	if !ok || pool.DeletionTimestamp != nil {
		return candidate{}, false
	}
	return candidate{claim, node, pool, v.residents.on(v.Snapshot, node.Name).movable}, true
}

// A block is why a node is not disrupted that otherwise would be; the zero value is none.
type block struct {
	code    code
	message string
}

// shielded says what protects a node itself from being disrupted by choice.
func (v *view) shielded(c candidate) block {
	since := c.claim.CreationTimestamp.Time
	switch {
	case lifecycle.Shields(v.now, c.node.Annotations, since):
		return block{doNotDisrupt, "the node has " + v1.AnnotationDoNotDisrupt}
	case lifecycle.Shields(v.now, c.claim.Annotations, since):
		return block{doNotDisrupt, "the NodeClaim has " + v1.AnnotationDoNotDisrupt}
	}
	return block{}
}

// kept says which pod may not be evicted, or is not to be.
func (v *view) kept(c candidate) block {
	for _, pod := range v.PodsOn(c.node.Name) {
		if lifecycle.Protected(v.now, pod) {
			return block{podDoNotDisrupt, fmt.Sprintf("pod %s/%s has %s", pod.Namespace, pod.Name, v1.AnnotationDoNotDisrupt)}
		}
	}
	for _, pod := range c.movable {
		if why := v.guards().Keeps(v.now, pod); why != "" {
			return block{podDisruptionBudget, fmt.Sprintf("pod %s/%s %s", pod.Namespace, pod.Name, why)}
		}
	}
	return block{}
}

// awaited says that pods are on their way to a node.
func (v *view) awaited(c candidate) block {
	if v.claims[c.claim.Name] || v.nodes[c.node.Name] {
		return block{podsExpected, "pods are on their way to the node"}
	}
	return block{}
}

// spared says that a node without pods is there for headroom.
func (v *view) spared(c candidate) block {
	buffer, ok := v.spare[place{claim: c.claim.Name}]
	if !ok {
		buffer, ok = v.spare[place{node: c.node.Name}]
	}
	switch {
	case ok:
		return block{holdsHeadroom, fmt.Sprintf("the node has room that CapacityBuffer %s asks for", buffer)}
	case v.unplanned.Name != "":
		return block{holdsHeadroom, fmt.Sprintf("it is being looked where the room is that CapacityBuffer %s asks for", v.unplanned)}
	}
	return block{}
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

// quiet reports whether an initialized claim has been so for its pool's consolidateAfter, and
// otherwise how long that still takes; 0 is never.
func (v *view) quiet(claim *v1.NodeClaim, pool *v1.NodePool) (ok bool, left time.Duration) {
	after, ok := pool.Spec.Disruption.ConsolidateAfter.Get()
	if !ok || pool.Spec.Replicas != nil {
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

// places says how it is with the other places of a node's pods: how many pods have none yet, and
// which NodeClaim or node one waits for that is not ready.
func (v *view) places(c candidate) (missing int, awaits string) {
	for _, pod := range c.movable {
		plan, ok := v.Plans.Get(pod.UID)
		if !lifecycle.Recreated(pod) || !v.served.Serve(pod) || lifecycle.Protected(v.now, pod) {
			continue // nothing comes after it, or others care for that
		}
		if !ok || plan.Move.From == "" {
			missing++
			continue
		}
		if where, ready := v.readyPlace(plan); !ready && awaits == "" {
			awaits = where
		}
	}
	for _, plan := range v.moved[c.claim.Name] { // headroom is to be had at all times
		if where, ready := v.readyPlace(plan); !ready {
			awaits = min(cmp.Or(awaits, where), where)
		}
	}
	return missing, awaits
}

func (v *view) readyPlace(plan state.Plan) (where string, ready bool) {
	if plan.NodeClaim == "" {
		node, ok := v.Nodes.Get(plan.Node)
		return "node " + plan.Node, ok && lifecycle.NodeReady(node)
	}
	claim, ok := v.NodeClaims.Get(plan.NodeClaim)
	if !ok || !v1.IsTrue(claim.Status.Conditions, v1.ConditionInitialized) {
		return "NodeClaim " + plan.NodeClaim, false
	}
	node, ok := v.NodeOf(claim)
	return "NodeClaim " + plan.NodeClaim, ok && lifecycle.NodeReady(node) && !node.Spec.Unschedulable
}
