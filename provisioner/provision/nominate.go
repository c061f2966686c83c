package provision

import (
	"context"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/stowage-sh/stowage/provisioner/lifecycle"
	"github.com/stowage-sh/stowage/provisioner/problem"
	"github.com/stowage-sh/stowage/provisioner/state"
	v1 "github.com/stowage-sh/stowage/provisioner/v1"
)

// Nominate sets status.nominatedNodeName on the pods planned for a NodeClaim,
// whose node is about to open: kube-scheduler tries that node first, and so packs
// as the plan does. kube-scheduler erases the name at each failed attempt, so it
// is of no use to write it earlier; and for the same reason it is written even
// where it seems to be there already. A failure is logged and not returned: the name
// is a hint, and no reason to keep a node closed that is paid for.
func (c *Controller) Nominate(ctx context.Context, _ time.Time, claim *v1.NodeClaim, node *corev1.Node) error {
	if !opening(node, claim) {
		return nil // others hold it closed; nominateOpen will see it open
	}
	if err := c.nominate(ctx, c.Cluster.Snapshot(), map[string]string{claim.Name: node.Name}, true); err != nil {
		log.FromContext(ctx).Error(err, "nominating")
	}
	return nil
}

// nominateOpen writes again the names that kube-scheduler erased while a node
// was closed by taints of others. As long as our own taint is on it, it is for
// Nominate to do that. A failure is logged: the plan is only a hint to
// kube-scheduler, and the next Step tries again.
func (c *Controller) nominateOpen(ctx context.Context, s *state.Snapshot) {
	if c.NoNominations {
		return
	}
	nodes := map[string]string{}
	for _, plan := range s.Plans {
		claim, ok := s.NodeClaims.Get(plan.NodeClaim)
		if !ok || nodes[claim.Name] != "" {
			continue
		}
		if node, ok := s.NodeOf(claim); ok && opening(node, claim) && !hasOwnTaint(node) {
			nodes[claim.Name] = node.Name
		}
	}
	if err := c.nominate(ctx, s, nodes, false); err != nil {
		log.FromContext(ctx).Error(err, "nominating")
	}
}

// nominate names to kube-scheduler the nodes of NodeClaims, by name, for the pods
// planned for them: for all of them, or for those that do not carry the name.
func (c *Controller) nominate(ctx context.Context, s *state.Snapshot, nodes map[string]string, all bool) error {
	var group errgroup.Group
	group.SetLimit(max(1, c.Parallel))
	for _, p := range s.Pods.All() {
		plan, planned := s.Plans[p.UID]
		node := nodes[plan.NodeClaim]
		if !planned || node == "" || !all && p.Status.NominatedNodeName == node || !problem.Provisionable(p) || spreadsOverDomains(p) {
			continue
		}
		group.Go(func() error {
			patch := fmt.Appendf(nil, `{"status":{"nominatedNodeName":%q}}`, node)
			next := p.DeepCopy()
			next.Status.NominatedNodeName = node
			err := c.Write.PatchStatus(ctx, next, client.RawPatch(types.MergePatchType, patch))
			if err != nil && !apierrors.IsNotFound(err) {
				return fmt.Errorf("nominating node %s for pod %s/%s: %w", node, p.Namespace, p.Name, err)
			}
			return nil
		})
	}
	return group.Wait()
}

// spreadsOverDomains reports whether a pod has a hard spread over more than
// hostnames. Such pods are not nominated: kube-scheduler looks at a node as if
// all pods nominated for it were there already, but at no other node so, and
// then each of them is one too many for the node's zone.
func spreadsOverDomains(p *corev1.Pod) bool {
	return slices.ContainsFunc(p.Spec.TopologySpreadConstraints, func(c corev1.TopologySpreadConstraint) bool {
		return c.WhenUnsatisfiable == corev1.DoNotSchedule && c.TopologyKey != corev1.LabelHostname
	})
}

// opening reports whether a node is open to pods, or as good as: our own taint is
// about to go, and that of a node that is not ready goes once it is.
func opening(node *corev1.Node, claim *v1.NodeClaim) bool {
	if !lifecycle.NodeReady(node) {
		return false
	}
	for _, t := range node.Spec.Taints {
		stays := slices.ContainsFunc(claim.Spec.Taints, func(s corev1.Taint) bool { return s.MatchTaint(&t) })
		goes := t.Key == v1.TaintUnregistered || t.Key == corev1.TaintNodeNotReady
		if t.Effect != corev1.TaintEffectPreferNoSchedule && !stays && !goes {
			return false
		}
	}
	return true
}

func hasOwnTaint(node *corev1.Node) bool {
	return slices.ContainsFunc(node.Spec.Taints, func(t corev1.Taint) bool { return t.Key == v1.TaintUnregistered })
}
