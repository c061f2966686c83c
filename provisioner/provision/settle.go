package provision

import (
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/stowage-sh/stowage/provisioner/lifecycle"
	"github.com/stowage-sh/stowage/provisioner/problem"
	"github.com/stowage-sh/stowage/provisioner/state"
	v1 "github.com/stowage-sh/stowage/provisioner/v1"
)

// settle forgets places that are no longer to be waited for: the pod is bound or
// gone, the machine will not come, or kube-scheduler gave the room to others.
func (c *Controller) settle(now time.Time, s *state.Snapshot) {
	c.noteFlow(now, s)
	planned := map[*corev1.Node][]*corev1.Pod{} // by node that is open
	var drop []types.UID
	for uid, plan := range s.Plans.All() {
		p, ok := s.Pods.Namespaced(plan.Pod.Namespace, plan.Pod.Name)
		if !ok || p.UID != uid {
			if plan.Move.From == "" && !plan.IsHeadroom() {
				drop = append(drop, uid)
			}
			continue
		}
		switch moving := plan.Move.From != "" && plan.Move.From == p.Spec.NodeName; {
		case moving && !lifecycle.Reschedulable(p): // see inherit
		case moving && !keepsMove(s, p, plan), !moving && p.Spec.NodeName == "" && !problem.Provisionable(p):
			drop = append(drop, p.UID)
		case !moving && p.Spec.NodeName != "":
			c.Metrics.bound(p.Spec.NodeName == nodeOf(s, plan))
			drop = append(drop, p.UID)
		case !moving && !c.stands(now, s, plan):
			drop = append(drop, p.UID)
			c.lose(now, s, p)
		default:
			if node, ok := openFor(s, plan); ok {
				planned[node] = append(planned[node], p)
			}
		}
	}
	for node, pods := range planned {
		for _, p := range problem.Crowded(s, node, pods) {
			drop = append(drop, p.UID)
			if !moves(p) {
				c.lose(now, s, p)
			}
		}
	}
	slices.Sort(drop)
	c.Cluster.DropPlans(drop...)
}

// openFor returns the node of a plan where others may take the room: one that is open, which a
// pod that waits is to be bound to any moment.
func openFor(s *state.Snapshot, plan state.Plan) (*corev1.Node, bool) {
	if plan.NodeClaim == "" {
		node, ok := s.Nodes.Get(plan.Node)
		return node, ok && plan.Move.From != ""
	}
	claim, _ := s.NodeClaims.Get(plan.NodeClaim) // it stands, so it is there
	node, ok := s.NodeOf(claim)
	return node, ok && opening(node, claim) && !hasOwnTaint(node)
}

// nodeOf names the node that a plan is for, if it is there.
func nodeOf(s *state.Snapshot, plan state.Plan) string {
	if plan.NodeClaim == "" {
		return plan.Node
	}
	if claim, ok := s.NodeClaims.Get(plan.NodeClaim); ok {
		if node, ok := s.NodeOf(claim); ok {
			return node.Name
		}
	}
	return ""
}

// Why a pod that waits has to be planned anew: its node is there and has not taken it, or
// no node came, or it has gone.
const placeLost, nodeGone = "place_lost", "node_gone"

// A loss is of a place on a NodeClaim.
type loss struct {
	cause string
	at    time.Time
}

// lose notes that a pod that waits loses the place which it had on a NodeClaim.
func (c *Controller) lose(now time.Time, s *state.Snapshot, p *corev1.Pod) {
	name := s.Plans.Of(p.UID).NodeClaim
	if name == "" {
		return
	}
	if c.lost == nil {
		c.lost = map[types.UID]loss{}
	}
	l := loss{placeLost, now}
	if claim, ok := s.NodeClaims.Get(name); !ok || claim.DeletionTimestamp != nil {
		l.cause = nodeGone
	}
	c.lost[p.UID] = l
}

// secondWave counts a batch that bought nodes for pods, if some had a place on others
// before: once for each cause.
func (c *Controller) secondWave(pods []*corev1.Pod) {
	causes := map[string]bool{}
	for _, p := range pods {
		if l, ok := c.lost[p.UID]; ok {
			causes[l.cause] = true
		}
	}
	for cause := range causes {
		c.Metrics.secondWave(cause)
	}
}

// noteFlow notes that pods come to their places: kube-scheduler, which takes them one after the other, is at work on what
// was decided with them.
func (c *Controller) noteFlow(now time.Time, s *state.Snapshot) {
	flow := map[time.Time]time.Time{}
	for uid, plan := range s.Plans.All() {
		if at, ok := c.flow[plan.At]; ok && flow[plan.At].IsZero() {
			flow[plan.At] = at
		}
		p, ok := s.Pods.Namespaced(plan.Pod.Namespace, plan.Pod.Name)
		if ok && p.UID == uid && p.Spec.NodeName != "" && p.Spec.NodeName != plan.Move.From {
			flow[plan.At] = now
		}
	}
	c.flow = flow
}

// stands reports whether a decided place is still one: the machine is on its
// way, or it has opened, or others came to what was decided with it, so lately that kube-scheduler may not have looked.
func (c *Controller) stands(now time.Time, s *state.Snapshot, plan state.Plan) bool {
	recent := func(at time.Time) bool { return now.Sub(at) < c.retry() || now.Sub(c.flow[plan.At]) < c.retry() }
	if plan.NodeClaim == "" {
		node, ok := s.Nodes.Get(plan.Node)
		return ok && node.DeletionTimestamp == nil && recent(plan.At)
	}
	claim, ok := s.NodeClaims.Get(plan.NodeClaim)
	if !ok || claim.DeletionTimestamp != nil {
		return false
	}
	opened := v1.GetCondition(claim.Status.Conditions, v1.ConditionInitialized)
	if opened == nil || opened.Status != "True" {
		return true // package lifecycle gives up nodes that do not come, or are not Ready
	}
	return recent(opened.LastTransitionTime.Time) || recent(plan.At)
}

// unrest is how long a pod whose place others took waits at most for the others of its kind: as
// long as pods are still to come to nodes that have just opened, more may lose their place, and
// places that are free now may not be then.
const unrest = 5 * time.Second

// isUnsettled reports whether pods are still to come to nodes that are open.
func isUnsettled(s *state.Snapshot) bool {
	for _, plan := range s.Plans.All() {
		if claim, ok := s.NodeClaims.Get(plan.NodeClaim); ok && plan.Move.From == "" && !plan.IsHeadroom() {
			if node, ok := s.NodeOf(claim); ok && opening(node, claim) && !hasOwnTaint(node) {
				return true
			}
		}
	}
	return false
}

// lostPlaces are the pods whose node came and has not taken them.
func (c *Controller) lostPlaces() map[types.UID]bool {
	lost := map[types.UID]bool{}
	for uid, l := range c.lost {
		if l.cause == placeLost {
			lost[uid] = true
		}
	}
	return lost
}
