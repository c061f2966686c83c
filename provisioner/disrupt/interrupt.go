package disrupt

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stowage-sh/stowage/provisioner/lifecycle"
	v1 "github.com/stowage-sh/stowage/provisioner/v1"
)

// reasonInterrupted is why a node goes whose machine the cloud takes, stops or thinks ill of. Nobody
// is asked: neither budgets nor pods keep such a machine.
const reasonInterrupted v1.DisruptionReason = "Interrupted"

// evictionTime is for how long, before pods have to be told to go for a deadline, they are asked: as
// long as PodDisruptionBudgets may take to let one after the other go.
const evictionTime = 10 * time.Second

// Urgent reports whether a change of obj is to be looked at without delay: of a claim that was
// interrupted and not chosen for it yet.
func Urgent(obj client.Object) bool {
	claim, ok := obj.(*v1.NodeClaim)
	return ok && interruption(claim) != nil && claim.DeletionTimestamp == nil && chosenFor(claim) != string(reasonInterrupted)
}

// interruption is the condition of a claim that was interrupted, nil if it was not.
func interruption(claim *v1.NodeClaim) *metav1.Condition {
	if c := v1.GetCondition(claim.Status.Conditions, v1.ConditionInterrupted); c != nil && c.Status == metav1.ConditionTrue {
		return c
	}
	return nil
}

// interrupt chooses nodes that were interrupted, at once, so that their pods' other places are
// bought; whatever they were chosen for before. They go when these are ready, or when there is no
// more time to wait. They are never opened again.
func (c *Controller) interrupt(ctx context.Context, v *view) error {
	var failed []error
	for _, claim := range v.NodeClaims.All() {
		why := interruption(claim)
		_, deleted := c.deleted[claim.UID]
		if why == nil || deleted || claim.DeletionTimestamp != nil {
			continue
		}
		n, again := v.interrupted(claim), time.Duration(0)
		if v.now.Before(v.latest(n)) {
			again = c.untilPlaced(v, n)
		}
		switch {
		case again == 0:
			failed = append(failed, c.endInterrupted(ctx, v, claim))
			continue
		case chosenFor(claim) != string(reasonInterrupted):
			failed = append(failed, c.take(ctx, v.now, n, string(reasonInterrupted), why.Reason+": "+why.Message))
		case !tainted(n.node):
			failed = append(failed, c.retaint(ctx, n.node, func(taints []corev1.Taint) []corev1.Taint { return append(taints, v1.DisruptedTaint()) }))
		}
		c.soon = min(c.soon, again, v.latest(n).Sub(v.now))
	}
	return errors.Join(failed...)
}

// interrupted is what there is to move of a claim. It may have no node, and no NodePool.
func (v *view) interrupted(claim *v1.NodeClaim) candidate {
	n := candidate{claim: claim}
	if node, ok := v.NodeOf(claim); ok {
		n.node, n.movable = node, v.residents.on(v.Snapshot, node.Name).movable
	}
	return n
}

// latest is when an interrupted node has to go whether its pods' other places are ready or not: so
// early that each pod has its grace period before the deadline, and is asked before it is told.
// Where there is no deadline, as late as other nodes would be given up.
func (v *view) latest(n candidate) time.Time {
	deadline, bounded := lifecycle.Deadline(n.claim)
	if !bounded {
		return interruption(n.claim).LastTransitionTime.Add(replaceTime)
	}
	var grace time.Duration
	for _, pod := range n.movable {
		grace = max(grace, lifecycle.GracePeriod(pod))
	}
	return deadline.Add(-grace - evictionTime)
}

// untilPlaced says when to look again at an interrupted node that has time; 0 is when it may go: it
// has been closed for a moment, and all its pods' other places are ready. One that never became a
// node has nothing to wait for.
func (c *Controller) untilPlaced(v *view, n candidate) time.Duration {
	if n.node == nil || n.node.DeletionTimestamp != nil {
		return 0
	}
	if chosenFor(n.claim) != string(reasonInterrupted) || !tainted(n.node) {
		return time.Second
	}
	settled := v1.GetCondition(n.claim.Status.Conditions, v1.ConditionDisruptionReason).LastTransitionTime.Add(c.settle())
	if v.now.Before(settled) {
		return settled.Sub(v.now)
	}
	if missing, awaits := v.places(n); missing > 0 || awaits != "" {
		return time.Second
	}
	return 0
}

// endInterrupted deletes the claim of an interrupted node.
func (c *Controller) endInterrupted(ctx context.Context, v *view, claim *v1.NodeClaim) error {
	kind := interruption(claim).Reason
	if err := c.Write.Delete(ctx, claim); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("deleting NodeClaim %s, of which the cloud says %s: %w", claim.Name, kind, err)
	}
	if c.deleted == nil {
		c.deleted = map[types.UID]struct{}{}
	}
	c.deleted[claim.UID] = struct{}{}
	c.eventOnBoth(v, claim, corev1.EventTypeWarning, "TerminatingOnInterruption", "Interruption triggered termination of the NodeClaim: "+kind)
	c.Metrics.interrupted(v.Snapshot, claim, kind)
	logr.FromContextOrDiscard(ctx).Info("ending interrupted node", "NodeClaim", map[string]string{"name": claim.Name},
		"reason", kind, "provider-id", claim.Status.ProviderID)
	return nil
}
