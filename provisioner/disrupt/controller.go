package disrupt

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stowage-sh/stowage/provisioner/state"
	v1 "github.com/stowage-sh/stowage/provisioner/v1"
)

// A Controller removes empty nodes. Step is to be called by one goroutine.
type Controller struct {
	// Cluster to read from; Write must record into it (see state.Recorded).
	Cluster *state.Cluster
	Write   state.Writer
	Events  state.Recorder
	Metrics *Metrics

	// Poll is the longest time between two looks; 0 means ten seconds.
	Poll time.Duration
	// Settle is how long a chosen node stays tainted before it is looked at again
	// and goes, so that a pod bound to it in that moment is seen; 0 means five
	// seconds.
	Settle time.Duration

	seen    map[types.UID]podSet   // pods by NodeClaim, as of the last step
	told    map[types.UID]string   // budget problems, by NodePool
	deleted map[types.UID]struct{} // claims that were deleted and are still seen
	soon    time.Duration          // the earliest next look that this step knows of
}

// settleTime is how long a node stays untouched after it was initialized: the
// pods that it was bought for are about to be bound, and a controller that just
// started knows of no plan.
const settleTime = 10 * time.Second

// Step looks at every node once, and returns when to look again. What failed is
// in the error and is done by a later step. The first step after a start chooses
// nothing: plans are not made anew yet.
func (c *Controller) Step(ctx context.Context, now time.Time) (again time.Duration, err error) {
	first := c.seen == nil
	c.soon = orDefault(c.Poll, 10*time.Second)
	failed := []error{c.notePods(ctx, now), c.mark(ctx, now)}
	v := look(now, c.Cluster.Snapshot())
	failed = append(failed, c.follow(ctx, v))
	if !first {
		failed = append(failed, c.choose(ctx, look(now, c.Cluster.Snapshot())))
	}
	return max(c.soon, time.Second), errors.Join(failed...)
}

// choose taints empty nodes that may go, oldest first, as far as the budgets
// allow.
func (c *Controller) choose(ctx context.Context, v *view) error {
	allowed := c.allowances(v)
	eligible := 0
	var failed []error
	for _, n := range v.candidates() {
		if chosen(n.claim) || !v.empty(n) {
			continue
		}
		if ok, _ := v.consolidatable(n.claim, n.pool); !ok || v.isNew(n.claim) {
			continue
		}
		eligible++
		if allowed[n.pool.Name] <= 0 {
			c.Events.Event(n.pool, corev1.EventTypeNormal, "DisruptionBlocked", "a disruption budget holds back nodes that are empty")
			continue
		}
		// Counted before it is written: a write whose answer is lost may have happened.
		allowed[n.pool.Name]--
		if err := c.take(ctx, v.now, n); err != nil {
			failed = append(failed, err)
			continue
		}
		c.soon = min(c.soon, c.settle())
	}
	c.Metrics.eligible(v1.ReasonEmpty, eligible)
	return errors.Join(failed...)
}

// follow ends what choose began: nodes that are still empty go, the others are
// opened again.
func (c *Controller) follow(ctx context.Context, v *view) error {
	over := map[string]int{} // by how many nodes a pool is over its budget now
	for _, pool := range v.NodePools.All() {
		over[pool.Name] = -Allowed(v.now, v.Snapshot, pool, v1.ReasonEmpty).Nodes
	}
	var failed []error
	deleted := map[types.UID]struct{}{}
	for _, claim := range v.NodeClaims.All() {
		if _, ok := c.deleted[claim.UID]; ok {
			deleted[claim.UID] = struct{}{}
			continue
		}
		reason := v1.GetCondition(claim.Status.Conditions, v1.ConditionDisruptionReason)
		switch {
		case claim.DeletionTimestamp != nil:
		case reason == nil:
			failed = append(failed, c.reopen(ctx, v, claim))
		case reason.Reason == string(v1.ReasonEmpty) && v.now.Before(reason.LastTransitionTime.Add(c.settle())):
			c.soon = min(c.soon, reason.LastTransitionTime.Add(c.settle()).Sub(v.now))
		default:
			if why := v.unfit(claim, over[claim.Labels[v1.LabelNodePool]]); why != "" {
				over[claim.Labels[v1.LabelNodePool]]--
				failed = append(failed, c.rollBack(ctx, v, claim, why))
				continue
			}
			err := c.remove(ctx, v, claim)
			if err == nil {
				deleted[claim.UID] = struct{}{}
			}
			failed = append(failed, err)
		}
	}
	c.deleted = deleted
	return errors.Join(failed...)
}

// unfit says why a chosen claim must not go after all; empty means that it may.
func (v *view) unfit(claim *v1.NodeClaim, over int) string {
	n, ok := v.candidate(claim)
	switch {
	case !ok:
		return "it is protected now"
	case v1.GetCondition(claim.Status.Conditions, v1.ConditionDisruptionReason).Reason != string(v1.ReasonEmpty):
		return "it was chosen for a reason that is not known here"
	case !tainted(n.node):
		return "its taint is missing"
	case !v.empty(n):
		return "it is not empty any more"
	case over > 0:
		return "its NodePool's budget has shrunk"
	}
	if ok, _ := v.consolidatable(claim, n.pool); !ok {
		return "a pod came or went"
	}
	return ""
}

// remove deletes a claim that stayed empty; what follows is lifecycle's.
func (c *Controller) remove(ctx context.Context, v *view, claim *v1.NodeClaim) error {
	if err := c.Write.Delete(ctx, claim); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("deleting empty NodeClaim %s: %w", claim.Name, err)
	}
	c.Events.Event(claim, corev1.EventTypeNormal, "DisruptionTerminating", "Disrupting NodeClaim: Empty")
	if node, ok := v.NodeOf(claim); ok {
		c.Events.Event(node, corev1.EventTypeNormal, "DisruptionTerminating", "Disrupting Node: Empty")
	}
	pool, _ := v.NodePools.Get(claim.Labels[v1.LabelNodePool])
	c.Metrics.removed(claim, pool)
	logr.FromContextOrDiscard(ctx).Info("disrupting node(s)", "NodeClaim", map[string]string{"name": claim.Name},
		"reason", "empty", "decision", "delete", "provider-id", claim.Status.ProviderID)
	return nil
}

// allowances returns how many more nodes of each pool may go for being empty, and
// says which budgets cannot be read.
func (c *Controller) allowances(v *view) map[string]int {
	told := map[types.UID]string{}
	allowed := map[string]int{}
	for _, pool := range v.NodePools.All() {
		for _, reason := range Reasons {
			a := Allowed(v.now, v.Snapshot, pool, reason)
			c.Metrics.allowed(pool.Name, reason, a.Nodes)
			if reason == v1.ReasonEmpty {
				allowed[pool.Name] = a.Nodes
			}
			if a.Problem != "" && told[pool.UID] == "" {
				told[pool.UID] = a.Problem
			}
		}
		if why := told[pool.UID]; why != "" && why != c.told[pool.UID] {
			c.Events.Event(pool, corev1.EventTypeWarning, "DisruptionBlocked", "no node may be disrupted: "+why)
		}
	}
	c.told = told
	return allowed
}

func (c *Controller) settle() time.Duration { return orDefault(c.Settle, 5*time.Second) }

func orDefault(d, otherwise time.Duration) time.Duration {
	if d == 0 {
		return otherwise
	}
	return d
}
