package provision

import (
	"context"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/stowage-sh/stowage/provisioner/problem"
	"github.com/stowage-sh/stowage/provisioner/state"
	v1 "github.com/stowage-sh/stowage/provisioner/v1"
)

// Nominate sets status.nominatedNodeName on the pods planned for a NodeClaim,
// whose node is about to open: kube-scheduler tries that node first, and so packs
// as the plan does. kube-scheduler erases the name at each failed attempt, so it
// is of no use to write it earlier. A pod that went meanwhile is no error.
func (c *Controller) Nominate(ctx context.Context, _ time.Time, claim *v1.NodeClaim, node *corev1.Node) error {
	snapshot := c.Cluster.Snapshot()
	planned := snapshot.PlannedFor(claim.Name)
	for _, p := range snapshot.Pods.All() {
		if _, ok := slices.BinarySearch(planned, p.UID); !ok {
			continue
		}
		if err := c.nominate(ctx, p, node.Name); err != nil {
			return err
		}
	}
	return nil
}

func (c *Controller) nominate(ctx context.Context, p *corev1.Pod, node string) error {
	if p.Spec.NodeName != "" || p.Status.NominatedNodeName == node {
		return nil
	}
	next := p.DeepCopy()
	next.Status.NominatedNodeName = node
	err := c.Write.PatchStatus(ctx, next, client.MergeFrom(p))
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("nominating node %s for pod %s/%s: %w", node, p.Namespace, p.Name, err)
	}
	return nil
}

// nominateOpen writes again the names that kube-scheduler erased while a node
// was closed by taints of others. A failure is logged: the plan is only a hint
// to kube-scheduler, and the next Step tries again.
func (c *Controller) nominateOpen(ctx context.Context, s *state.Snapshot) {
	open := map[string]string{} // NodeClaim to node
	pods := map[types.UID]*corev1.Pod{}
	for _, p := range s.Pods.All() {
		if plan, ok := s.Plans[p.UID]; ok && plan.NodeClaim != "" && problem.Provisionable(p) {
			pods[p.UID] = p
			open[plan.NodeClaim] = ""
		}
	}
	for name := range open {
		claim, ok := s.NodeClaims.Get(name)
		if !ok {
			continue
		}
		if node, ok := s.NodeOf(claim); ok && opened(node, claim) {
			open[name] = node.Name
		}
	}
	for _, p := range s.Pods.All() {
		if pods[p.UID] == nil || open[s.Plans[p.UID].NodeClaim] == "" {
			continue
		}
		if err := c.nominate(ctx, p, open[s.Plans[p.UID].NodeClaim]); err != nil {
			log.FromContext(ctx).Error(err, "nominating")
			return
		}
	}
}

// opened reports whether only the taints that are there to stay are left.
func opened(node *corev1.Node, claim *v1.NodeClaim) bool {
	for _, t := range node.Spec.Taints {
		stays := slices.ContainsFunc(claim.Spec.Taints, func(s corev1.Taint) bool { return s.MatchTaint(&t) })
		if t.Effect != corev1.TaintEffectPreferNoSchedule && !stays {
			return false
		}
	}
	return true
}
