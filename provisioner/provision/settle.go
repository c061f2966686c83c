package provision

import (
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/stowage-sh/stowage/provisioner/problem"
	"github.com/stowage-sh/stowage/provisioner/state"
	v1 "github.com/stowage-sh/stowage/provisioner/v1"
)

// settle forgets places that are no longer to be waited for: the pod is bound or
// gone, the machine will not come, or kube-scheduler gave the room to others.
func (c *Controller) settle(now time.Time, s *state.Snapshot) {
	known := map[types.UID]bool{}
	planned := map[string][]*corev1.Pod{} // by NodeClaim
	var drop []types.UID
	for _, p := range s.Pods.All() {
		plan, ok := s.Plans[p.UID]
		if !ok {
			continue
		}
		known[p.UID] = true
		switch {
		case !problem.Provisionable(p) || !c.stands(now, s, plan):
			drop = append(drop, p.UID)
		case plan.NodeClaim != "":
			planned[plan.NodeClaim] = append(planned[plan.NodeClaim], p)
		}
	}
	for uid := range s.Plans {
		if !known[uid] {
			drop = append(drop, uid)
		}
	}
	for name, pods := range planned {
		claim, _ := s.NodeClaims.Get(name) // it stands, so it is there
		if node, ok := s.NodeOf(claim); ok && opening(node, claim) {
			for _, p := range problem.Crowded(s, node, pods) {
				drop = append(drop, p.UID)
			}
		}
	}
	slices.Sort(drop)
	c.Cluster.DropPlans(drop...)
}

// stands reports whether a decided place is still one: the machine is on its
// way, or it has opened so lately that kube-scheduler may not have looked.
func (c *Controller) stands(now time.Time, s *state.Snapshot, plan state.Plan) bool {
	if plan.NodeClaim == "" {
		node, ok := s.Nodes.Get(plan.Node)
		return ok && node.DeletionTimestamp == nil && now.Sub(plan.At) < c.retry()
	}
	claim, ok := s.NodeClaims.Get(plan.NodeClaim)
	if !ok || claim.DeletionTimestamp != nil {
		return false
	}
	opened := v1.GetCondition(claim.Status.Conditions, v1.ConditionInitialized)
	if opened == nil || opened.Status != "True" {
		return true // its timeouts are package lifecycle's
	}
	return now.Sub(opened.LastTransitionTime.Time) < c.retry() || now.Sub(plan.At) < c.retry()
}
