package provision

import (
	"context"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
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
// as the plan does. As a rule nominateOpen has done so for all nodes of a round; this is
// for those that were not kept closed so long. A failure is logged and not returned: the name
// is a hint, and no reason to keep a node closed that is paid for.
func (c *Controller) Nominate(ctx context.Context, _ time.Time, claim *v1.NodeClaim, node *corev1.Node) error {
	if !opening(node, claim) || c.rounds.called(claim.Name) {
		return nil // others hold it closed, and nominateOpen will see it open; or it has been done
	}
	limited, stop := context.WithTimeout(ctx, accord)
	defer stop()
	if err := c.nominate(limited, c.Cluster.Snapshot(), map[string]string{claim.Name: node.Name}); err != nil {
		log.FromContext(ctx).Error(err, "nominating")
	}
	return nil
}

// nominateOpen writes the names of nodes on the pods of each round that is due, and then lets
// the nodes open; and it writes again what kube-scheduler has erased, as it does at each failed
// attempt, for nodes that are open or about to be. A failure is logged, and keeps no node closed:
// the plan is only a hint to kube-scheduler, and the next Step tries again. It returns when to look
// again at the latest.
func (c *Controller) nominateOpen(ctx context.Context, now time.Time, s *state.Snapshot) (again time.Duration) {
	if c.NoNominations {
		return c.retry()
	}
	nodes, due, again := c.targets(now, s)
	limited, stop := context.WithTimeout(ctx, nominating)
	defer stop()
	if err := c.nominate(limited, s, nodes); err != nil {
		log.FromContext(ctx).Error(err, "nominating")
		again = min(again, accord/2)
	}
	for _, claims := range due {
		c.rounds.call(now, claims...)
	}
	return again
}

// targets returns the nodes that nominateOpen is to name, by NodeClaim, and the NodeClaims of
// each round whose nodes may open once it has; and how long until the next round is due.
func (c *Controller) targets(now time.Time, s *state.Snapshot) (nodes map[string]string, due [][]string, again time.Duration) {
	nodes, again = map[string]string{}, c.retry()
	for _, g := range gatherings(s) {
		closed, wait := g.round(now, s, c.rounds.called)
		for name := range g.claims {
			claim, ok := s.NodeClaims.Get(name)
			if !ok {
				continue
			}
			node, ok := s.NodeOf(claim)
			if ok && opening(node, claim) && (wait == 0 || !hasOwnTaint(node) || c.rounds.called(name)) {
				nodes[name] = node.Name
			}
		}
		switch {
		case len(closed) == 0:
		case wait == 0:
			due = append(due, closed)
		default:
			again = min(again, wait)
		}
	}
	return nodes, due, again
}

// nominate names to kube-scheduler the nodes of NodeClaims, by name, for the pods
// planned for them that do not carry the name. A pod that somebody else nominated keeps what it
// has: kube-scheduler makes room for it. Those of higher priority come first, for nominations
// keep no room from them, and then those that it tries first.
//
// Of the pods that spread over domains one of a kind is named on each node at a time.
// kube-scheduler looks at a node as if all pods nominated for it were there already, but at no
// other node so: then a second one is too many for the node's zone, and they keep each other out.
func (c *Controller) nominate(ctx context.Context, s *state.Snapshot, nodes map[string]string) error {
	if len(nodes) == 0 {
		return nil
	}
	named := map[string]bool{} // nodes and kinds
	for _, p := range s.Unbound.All() {
		if node := p.Status.NominatedNodeName; node != "" && s.Plans.Of(p.UID).Spread {
			named[node+" "+kindOf(p)] = true
		}
	}
	var pods []*corev1.Pod
	for _, p := range s.Unbound.All() {
		node, ok := nodes[s.Plans.Of(p.UID).NodeClaim]
		has := p.Status.NominatedNodeName
		if ok && problem.Provisionable(p) && has != node && (has == "" || state.Nominated(p)) {
			pods = append(pods, p)
		}
	}
	slices.SortFunc(pods, problem.QueueOrder)
	pods = slices.DeleteFunc(pods, func(p *corev1.Pod) bool {
		plan := s.Plans.Of(p.UID)
		if !plan.Spread {
			return false
		}
		one := nodes[plan.NodeClaim] + " " + kindOf(p)
		second := named[one]
		named[one] = true
		return second
	})
	return c.each(ctx, pods, func(p *corev1.Pod) error {
		node := nodes[s.Plans.Of(p.UID).NodeClaim]
		next := p.DeepCopy()
		next.Status.NominatedNodeName = node
		patch := fmt.Appendf(nil, `{"status":{"nominatedNodeName":%q}}`, node)
		err := c.Write.PatchStatus(ctx, next, client.RawPatch(types.MergePatchType, patch))
		// A pod that has been bound meanwhile may not be nominated, and need not be.
		if err != nil && !apierrors.IsNotFound(err) && !apierrors.HasStatusCause(err, metav1.CauseTypeForbidden) {
			return fmt.Errorf("nominating node %s for pod %s/%s: %w", node, p.Namespace, p.Name, err)
		}
		return nil
	})
}

// Withdraw erases all nominations of ours from pods that have no node. Karpenter does
// not provision for a pod that carries one, so whoever stops acting is to call it, after
// the last Step and Nominate.
func (c *Controller) Withdraw(ctx context.Context) error {
	if c.NoNominations {
		return nil
	}
	s := c.Cluster.Snapshot()
	return c.withdraw(ctx, s, func(*corev1.Pod) bool { return true })
}

// withdrawStray erases the nominations of ours that nothing speaks for any more: the
// node is not to come, or something else was decided, be it by this process or for one
// before it that crashed. One that waits to be decided again keeps what it has: each
// erasure makes kube-scheduler try the pods that it kept out. A failure is logged, and
// the next Step tries again.
func (c *Controller) withdrawStray(ctx context.Context, s *state.Snapshot) {
	if c.NoNominations {
		return
	}
	limited, stop := context.WithTimeout(ctx, nominating)
	defer stop()
	if err := c.withdraw(limited, s, func(p *corev1.Pod) bool { return c.stray(s, p) }); err != nil {
		log.FromContext(ctx).Error(err, "withdrawing nominations")
	}
}

// stray reports whether nothing speaks for the node that a pod is nominated to.
func (c *Controller) stray(s *state.Snapshot, p *corev1.Pod) bool {
	node, ok := s.Nodes.Get(p.Status.NominatedNodeName)
	if !ok {
		return true
	}
	claim, ok := s.ClaimOf(node)
	if !ok || claim.DeletionTimestamp != nil || node.DeletionTimestamp != nil {
		return true
	}
	if plan, planned := s.Plans.Get(p.UID); planned {
		return plan.NodeClaim != claim.Name
	}
	_, tried := c.tried[p.UID]
	return tried
}

// withdraw erases nominations of ours, unless pods are bound or carry another by now, or
// kube-scheduler makes room on the very node: it does not write a name that is there.
func (c *Controller) withdraw(ctx context.Context, s *state.Snapshot, which func(*corev1.Pod) bool) error {
	var pods []*corev1.Pod
	for _, p := range s.Unbound.All() {
		if state.Nominated(p) && p.DeletionTimestamp == nil && !problem.MakesRoom(s, p) && which(p) {
			pods = append(pods, p)
		}
	}
	return c.each(ctx, pods, func(p *corev1.Pod) error {
		const field = "/status/nominatedNodeName"
		next := p.DeepCopy()
		next.Status.NominatedNodeName = ""
		patch := fmt.Appendf(nil, `[{"op":"test","path":%q,"value":%q},{"op":"remove","path":%q}]`, field, p.Status.NominatedNodeName, field)
		err := c.Write.PatchStatus(ctx, next, client.RawPatch(types.JSONPatchType, patch))
		if err != nil && !apierrors.IsNotFound(err) && !apierrors.IsInvalid(err) { // the test is not passed: it is another's by now
			return fmt.Errorf("withdrawing node %s from pod %s/%s: %w", p.Status.NominatedNodeName, p.Namespace, p.Name, err)
		}
		return nil
	})
}

// each calls f for pods in their order, a few at a time, until ctx ends.
func (c *Controller) each(ctx context.Context, pods []*corev1.Pod, f func(*corev1.Pod) error) error {
	var group errgroup.Group
	group.SetLimit(max(1, c.Parallel))
	for _, p := range pods {
		if ctx.Err() != nil {
			break
		}
		group.Go(func() error { return f(p) })
	}
	if err := group.Wait(); err != nil {
		return err
	}
	return ctx.Err()
}

// kindOf is equal for pods that one spread counts: those of one controller, as far as can be told
// without looking at selectors.
func kindOf(p *corev1.Pod) string {
	if owner := metav1.GetControllerOf(p); owner != nil {
		return string(owner.UID)
	}
	return p.Namespace + " " + labels.Set(p.Labels).String()
}

// opening reports whether a node is open to pods, or as good as: our own taint is
// about to go, that of a node that is not ready goes once it is, and startup taints
// go when their owners please, without asking us.
func opening(node *corev1.Node, claim *v1.NodeClaim) bool {
	return lifecycle.NodeReady(node) && len(closing(node, claim)) == 0
}

// closing are the taints by which others keep pods from a node that its NodeClaim does not
// speak of.
func closing(node *corev1.Node, claim *v1.NodeClaim) (taints []corev1.Taint) {
	for _, t := range node.Spec.Taints {
		stays := slices.ContainsFunc(claim.Spec.Taints, func(s corev1.Taint) bool { return s.MatchTaint(&t) })
		starts := slices.ContainsFunc(claim.Spec.StartupTaints, func(s corev1.Taint) bool { return s.MatchTaint(&t) })
		// With NoExecute it goes seconds after the node is ready.
		goes := t.Key == v1.TaintUnregistered || t.Key == corev1.TaintNodeNotReady && t.Effect == corev1.TaintEffectNoSchedule
		if t.Effect != corev1.TaintEffectPreferNoSchedule && !stays && !starts && !goes {
			taints = append(taints, t)
		}
	}
	return taints
}

func hasOwnTaint(node *corev1.Node) bool {
	return slices.ContainsFunc(node.Spec.Taints, func(t corev1.Taint) bool { return t.Key == v1.TaintUnregistered })
}
