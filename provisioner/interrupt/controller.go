package interrupt

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stowage-sh/stowage/cloudprovider"
	"github.com/stowage-sh/stowage/provisioner/lifecycle"
	"github.com/stowage-sh/stowage/provisioner/problem"
	"github.com/stowage-sh/stowage/provisioner/state"
	v1 "github.com/stowage-sh/stowage/provisioner/v1"
)

// A Controller writes down what the cloud says. Step is to be called by one goroutine.
type Controller struct {
	// Cluster to read from; Write must record into it (see state.Recorded).
	Cluster *state.Cluster
	Write   state.Writer
	// Notifier is the cloud's.
	Notifier cloudprovider.Notifier
	// Availability learns which offerings the cloud takes back.
	Availability *cloudprovider.Availability
	// Rebalance says that a node goes whose machine the cloud recommends to replace: it has drifted then.
	Rebalance bool
	Events    state.Recorder
	Metrics   *Metrics

	advised map[types.UID]struct{} // claims of which a recommendation was told
	there   map[string]struct{}    // messages of the last step, by ID
}

const (
	// poll is how often notices are looked for: that costs nothing.
	poll = time.Second
	// margin is how long before a machine is taken its pods have to be gone.
	margin = 10 * time.Second
	// least is how long pods have at the least where the machine may yet live: what Kubernetes gives
	// them if nothing else is said.
	least = corev1.DefaultTerminationGracePeriodSeconds * time.Second
)

// Step writes down what notices there are, and returns when to look again. What failed is in the
// error, and is done by a later step.
func (c *Controller) Step(ctx context.Context, now time.Time) (again time.Duration, err error) {
	notices := c.Notifier.Notices()
	c.count(now, notices)
	if len(notices) == 0 {
		return poll, nil
	}
	names := c.names()
	var done []cloudprovider.Notice
	var failed []error
	for _, n := range notices {
		name, ours := names[n.Instance]
		if !ours {
			done = append(done, n)
			continue
		}
		switch err := c.heed(ctx, now, name, n); {
		case err == nil || apierrors.IsNotFound(err):
			done = append(done, n)
		case !apierrors.IsConflict(err): // a race that was lost is run again
			failed = append(failed, fmt.Errorf("noting on NodeClaim %s that the cloud says %s: %w", name, n.Kind, err))
		}
	}
	if err := c.Notifier.Done(ctx, done); err != nil {
		failed = append(failed, fmt.Errorf("acknowledging %d notices: %w", len(done), err))
		for _, n := range done { // they come again, and are not counted as deleted
			delete(c.there, n.ID)
		}
	}
	return poll, errors.Join(failed...)
}

// names are those of all NodeClaims by their machines. What is remembered of others is forgotten.
func (c *Controller) names() map[string]string {
	names, advised := map[string]string{}, map[types.UID]struct{}{}
	for _, claim := range c.Cluster.Snapshot().NodeClaims.All() {
		if _, ok := c.advised[claim.UID]; ok {
			advised[claim.UID] = struct{}{}
		}
		if id := lifecycle.InstanceID(claim.Status.ProviderID); id != "" {
			names[id] = claim.Name
		}
	}
	c.advised = advised
	return names
}

// count counts messages that have come since the last step, and those that were done in it.
func (c *Controller) count(now time.Time, notices []cloudprovider.Notice) {
	there := map[string]struct{}{}
	for _, n := range notices {
		if n.ID == "" {
			continue
		}
		_, counted := there[n.ID] // with another of its notices
		there[n.ID] = struct{}{}
		if _, known := c.there[n.ID]; !known && !counted {
			c.Metrics.received(now, n)
		}
	}
	for id := range c.there {
		if _, still := there[id]; !still {
			c.Metrics.deleted()
		}
	}
	c.there = there
}

// heed does what follows from a notice about the machine of a claim.
func (c *Controller) heed(ctx context.Context, now time.Time, name string, n cloudprovider.Notice) error {
	s := c.Cluster.Snapshot() // as the notice before has left it
	claim, ok := s.NodeClaims.Get(name)
	if !ok || v1.IsTrue(claim.Status.Conditions, v1.ConditionInstanceTerminating) {
		return nil // it is gone, or we have told the cloud to take it
	}
	if n.Urge == cloudprovider.Advise {
		if c.Rebalance && n.Kind == cloudprovider.RebalanceRecommendation {
			return c.rebalance(ctx, now, s, claim, n)
		}
		if _, told := c.advised[claim.UID]; !told {
			c.advised[claim.UID] = struct{}{}
			c.tell(s, claim, n)
		}
		return nil
	}
	at := deadline(now, n)
	if !isNews(claim, at) {
		return nil
	}
	if n.Kind == cloudprovider.SpotInterrupted || n.Kind == cloudprovider.CapacityReservationInterrupted {
		c.Availability.TakenBack(now, offeringsOf(claim)...)
	}
	if err := c.write(ctx, now, claim, interruption{n, at}); err != nil {
		return err
	}
	c.tell(s, claim, n)
	c.Metrics.unhealthy(n)
	logr.FromContextOrDiscard(ctx).Info("the cloud interrupts a node", "NodeClaim", map[string]string{"name": name},
		"messageKind", n.Kind, "provider-id", claim.Status.ProviderID, "deadline", at)
	return nil
}

// rebalance writes a recommendation down, once; package drift reads it.
func (c *Controller) rebalance(ctx context.Context, now time.Time, s *state.Snapshot, claim *v1.NodeClaim, n cloudprovider.Notice) error {
	if v1.IsTrue(claim.Status.Conditions, v1.ConditionRebalance) {
		return nil
	}
	before := claim
	claim = claim.DeepCopy()
	v1.SetCondition(&claim.Status.Conditions, metav1.Condition{
		Type: v1.ConditionRebalance, Status: metav1.ConditionTrue, Reason: n.Kind, Message: of(n.Kind).meaning, ObservedGeneration: claim.Generation,
	}, now)
	if err := c.Write.PatchStatus(ctx, claim, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})); err != nil {
		return err
	}
	c.Availability.TakenBack(now, offeringsOf(claim)...)
	c.tell(s, claim, n)
	return nil
}

// An interruption is a notice with the moment at which the pods have to be gone; zero is never.
type interruption struct {
	cloudprovider.Notice
	deadline time.Time
}

// deadline is when a machine's pods have to be gone; zero if the cloud does not say.
func deadline(now time.Time, n cloudprovider.Notice) time.Time {
	switch {
	case n.Urge == cloudprovider.Force:
		return now
	case n.At.IsZero():
		return time.Time{}
	}
	at := n.At.Add(-margin)
	if soonest := now.Add(least); at.Before(soonest) {
		return soonest
	}
	return at
}

// isNews reports whether a claim does not have a condition yet, or no deadline as early. One that
// comes so soon that it moves with the clock is news once.
func isNews(claim *v1.NodeClaim, at time.Time) bool {
	if !v1.IsTrue(claim.Status.Conditions, v1.ConditionInterrupted) {
		return true
	}
	old, bounded := lifecycle.Deadline(claim)
	return !at.IsZero() && (!bounded || at.Truncate(time.Second).Before(old))
}

// write writes the condition, for which package disrupt acts, and then the deadline, if it is earlier
// than what is there. A crash in between leaves a notice that is not Done, and comes again, or not, if the
// machine has recovered: a deadline alone would stay then, and cut a drain short that comes weeks later.
// Both take the lock: whoever wrote a nearer deadline meanwhile is not overruled.
func (c *Controller) write(ctx context.Context, now time.Time, claim *v1.NodeClaim, i interruption) error {
	before := claim
	claim = claim.DeepCopy()
	v1.SetCondition(&claim.Status.Conditions, metav1.Condition{
		Type: v1.ConditionInterrupted, Status: metav1.ConditionTrue, Reason: i.Kind, Message: i.sentence(), ObservedGeneration: claim.Generation,
	}, now)
	if err := c.Write.PatchStatus(ctx, claim, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})); err != nil {
		return err
	}
	if old, bounded := lifecycle.Deadline(claim); i.deadline.IsZero() || bounded && !i.deadline.Before(old) {
		return nil
	}
	before = claim.DeepCopy()
	lifecycle.SetDeadline(claim, i.deadline)
	return c.Write.Patch(ctx, claim, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{}))
}

// offeringsOf are what a claim's machine was bought as. Labels do not tell every cloud's reservations
// and placements: they are those of the plan. Where there was no plan, nothing is known of what is reserved.
func offeringsOf(claim *v1.NodeClaim) []cloudprovider.Offering {
	is := problem.LaunchedAs(claim)
	planned := slices.DeleteFunc(problem.Offerings(claim), func(o cloudprovider.Offering) bool {
		o.Reservation, o.Placement = "", ""
		return o != is
	})
	if len(planned) == 0 && is.CapacityType != cloudprovider.Reserved {
		return []cloudprovider.Offering{is}
	}
	return planned
}
