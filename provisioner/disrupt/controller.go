package disrupt

import (
	"cmp"
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
	// Clock times decisions for a metric, and decides nothing; nil for no timing.
	Clock func() time.Time

	// Poll is the longest time between two looks; 0 means ten seconds.
	Poll time.Duration
	// Settle is how long a chosen node stays tainted before it is looked at again
	// and goes, so that a pod bound to it in that moment is seen; 0 means five
	// seconds.
	Settle time.Duration

	begun   time.Time               // the first step
	seen    map[types.UID]podSet    // pods by NodeClaim, as of the last step
	told    map[types.UID]string    // what holds nodes back, by NodePool
	deleted map[types.UID]struct{}  // claims that were deleted and are still seen
	unsure  map[types.UID]time.Time // claims whose choice was written without an answer, and when
	soon    time.Duration           // the earliest next look that this step knows of
}

// settleTime is how long a node stays untouched after it was initialized, since
// the pods that it was bought for are about to be bound; and how long every node
// does after a start, when plans are not made anew yet.
const settleTime = 10 * time.Second

// Step looks at every node once, and returns when to look again. What failed is
// in the error and is done by a later step.
func (c *Controller) Step(ctx context.Context, now time.Time) (again time.Duration, err error) {
	if c.begun.IsZero() {
		c.begun = now
	}
	c.soon = orDefault(c.Poll, 10*time.Second)
	failed := []error{c.notePods(ctx, now), c.mark(ctx, now)}
	v := look(now, c.Cluster.Snapshot())
	failed = append(failed, c.follow(ctx, v))
	if now.Sub(c.begun) >= settleTime {
		stop := c.Metrics.time(c.Clock)
		failed = append(failed, c.choose(ctx, look(now, c.Cluster.Snapshot())))
		stop()
	}
	return max(c.soon, time.Second), errors.Join(failed...)
}

// choose taints empty nodes that may go, oldest first, as far as the budgets
// allow.
func (c *Controller) choose(ctx context.Context, v *view) error {
	allowed, held := c.allowances(v)
	eligible := 0
	var failed []error
	c.countUnsure(v, allowed)
	for _, n := range v.candidates() {
		if _, ok := c.unsure[n.claim.UID]; ok || chosen(n.claim) || !v.empty(n) {
			continue
		}
		if ok, _ := v.consolidatable(n.claim, n.pool); !ok || v.isNew(n.claim) {
			continue
		}
		eligible++
		if allowed[n.pool.Name] <= 0 {
			held[n.pool.UID] = cmp.Or(held[n.pool.UID], "a disruption budget holds back nodes that are empty")
			continue
		}
		allowed[n.pool.Name]--
		if err := c.take(ctx, v.now, n); err != nil {
			c.unsure[n.claim.UID] = v.now
			failed = append(failed, err)
			continue
		}
		c.soon = min(c.soon, c.settle())
	}
	c.Metrics.eligible(v1.ReasonEmpty, eligible)
	c.tell(v, held)
	return errors.Join(failed...)
}

// unsureFor is how long a write without an answer may have happened: the watch
// has told of it by then.
const unsureFor = time.Minute

// countUnsure takes from the allowances the nodes that may have been chosen by a
// write that failed: it may have happened, and the watch may be late.
func (c *Controller) countUnsure(v *view, allowed map[string]int) {
	left := map[types.UID]time.Time{}
	for _, claim := range v.NodeClaims.All() {
		at, ok := c.unsure[claim.UID]
		if !ok || chosen(claim) || v.now.Sub(at) >= unsureFor {
			continue
		}
		left[claim.UID] = at
		allowed[claim.Labels[v1.LabelNodePool]]--
	}
	c.unsure = left
}

// follow ends what choose began: nodes that are still empty go, the others are
// opened again.
func (c *Controller) follow(ctx context.Context, v *view) error {
	over := map[string]int{} // by how many nodes a pool is over its budget now
	for pool, allowances := range Allowances(v.now, v.Snapshot) {
		over[pool] = -allowances[v1.ReasonEmpty].Nodes
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
		c.Metrics.failed()
		return fmt.Errorf("deleting empty NodeClaim %s: %w", claim.Name, err)
	}
	c.Events.Event(claim, corev1.EventTypeNormal, "DisruptionTerminating", "Disrupting NodeClaim: Empty")
	if node, ok := v.NodeOf(claim); ok {
		c.Events.Event(node, corev1.EventTypeNormal, "DisruptionTerminating", "Disrupting Node: Empty")
	}
	c.Metrics.removed(v.Snapshot, claim)
	logr.FromContextOrDiscard(ctx).Info("disrupting node(s)", "NodeClaim", map[string]string{"name": claim.Name},
		"reason", "empty", "decision", "delete", "provider-id", claim.Status.ProviderID)
	return nil
}

// allowances returns how many more nodes of each pool may go for being empty, and
// for which pools that is none because a budget cannot be read.
func (c *Controller) allowances(v *view) (allowed map[string]int, held map[types.UID]string) {
	allowed, held = map[string]int{}, map[types.UID]string{}
	all := Allowances(v.now, v.Snapshot)
	for _, pool := range v.NodePools.All() {
		allowed[pool.Name] = all[pool.Name][v1.ReasonEmpty].Nodes
		for _, reason := range Reasons {
			if problem := all[pool.Name][reason].Problem; problem != "" {
				held[pool.UID] = "no node may be disrupted: " + problem
			}
		}
	}
	return allowed, held
}

// tell says what holds the nodes of pools back, once until it changes.
func (c *Controller) tell(v *view, held map[types.UID]string) {
	for _, pool := range v.NodePools.All() {
		if why := held[pool.UID]; why != "" && why != c.told[pool.UID] {
			c.Events.Event(pool, corev1.EventTypeWarning, "DisruptionBlocked", why)
		}
	}
	c.told = held
}

func (c *Controller) settle() time.Duration { return orDefault(c.Settle, 5*time.Second) }

func orDefault(d, otherwise time.Duration) time.Duration {
	if d == 0 {
		return otherwise
	}
	return d
}
