package disrupt

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stowage-sh/stowage/provisioner/state"
	v1 "github.com/stowage-sh/stowage/provisioner/v1"
)

// podSet is the UIDs of the pods of a node whose coming and going counts.
type podSet map[types.UID]struct{}

// eventGap is the shortest time between two writes of a claim's lastPodEventTime.
const eventGap = 10 * time.Second

// notePods writes lastPodEventTime on claims whose pods changed since the last
// step: a pod that no DaemonSet owns was bound, ended or is leaving. What came
// and went between two steps is seen as long as the pod object is there. After a
// start, pods bound since the last written event count as one.
func (c *Controller) notePods(ctx context.Context, now time.Time) error {
	s := c.Cluster.Snapshot()
	next := map[types.UID]*resident{}
	var failed []error
	for _, claim := range s.NodeClaims.All() {
		node, ok := s.NodeOf(claim)
		if !ok || claim.DeletionTimestamp != nil {
			continue
		}
		pods := c.residents.on(s, node.Name)
		old, known := c.seen[claim.UID]
		next[claim.UID] = pods
		last := claim.Status.LastPodEventTime.Time
		if known && (old == pods || maps.Equal(old.running, pods.running)) || !known && !pods.bound.After(last) {
			continue
		}
		if now.Sub(last) < eventGap {
			if known { // not forgotten: a later step writes it
				next[claim.UID] = old
			}
			continue
		}
		noted, err := c.notePod(ctx, now, s, claim)
		switch {
		case noted:
		case known:
			next[claim.UID] = old
		default:
			delete(next, claim.UID)
		}
		failed = append(failed, err)
	}
	c.seen = next
	c.residents.forget(s)
	return errors.Join(failed...)
}

// notePod writes lastPodEventTime on a claim, and with the same patch takes off its Consolidatable
// condition if that ends with it. A race that was lost is run again by a later step.
func (c *Controller) notePod(ctx context.Context, now time.Time, s *state.Snapshot, claim *v1.NodeClaim) (noted bool, err error) {
	before := claim
	claim = claim.DeepCopy()
	claim.Status.LastPodEventTime = metav1.NewTime(now)
	patch := client.MergeFrom(before)
	if pool, ok := s.NodePools.Get(claim.Labels[v1.LabelNodePool]); ok {
		after, _ := pool.Spec.Disruption.ConsolidateAfter.Get()
		if after > 0 && meta.RemoveStatusCondition(&claim.Status.Conditions, v1.ConditionConsolidatable) {
			patch = client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})
		}
	}
	switch err := c.Write.PatchStatus(ctx, claim, patch); {
	case apierrors.IsConflict(err):
		return false, nil
	case client.IgnoreNotFound(err) != nil:
		return false, fmt.Errorf("noting a pod event on NodeClaim %s: %w", claim.Name, err)
	}
	return true, nil
}

// mark keeps the Consolidatable condition of initialized claims.
func (c *Controller) mark(ctx context.Context, now time.Time) error {
	v := c.look(now)
	var failed []error
	for _, claim := range v.NodeClaims.All() {
		pool, ok := v.NodePools.Get(claim.Labels[v1.LabelNodePool])
		if !ok || claim.DeletionTimestamp != nil || !v1.IsTrue(claim.Status.Conditions, v1.ConditionInitialized) {
			continue
		}
		quiet, left := v.quiet(claim, pool)
		if !quiet && left > 0 {
			c.soon = min(c.soon, left)
		}
		if marked(claim, quiet) { // as nearly all are
			continue
		}
		err := c.change(ctx, claim, func(conditions *[]metav1.Condition) {
			if !quiet {
				meta.RemoveStatusCondition(conditions, v1.ConditionConsolidatable)
				return
			}
			v1.SetCondition(conditions, metav1.Condition{
				Type: v1.ConditionConsolidatable, Status: metav1.ConditionTrue, ObservedGeneration: claim.Generation,
			}, now)
		})
		failed = append(failed, err)
	}
	return errors.Join(failed...)
}

// marked reports whether a claim's Consolidatable condition says already whether it is quiet.
func marked(claim *v1.NodeClaim, quiet bool) bool {
	old := v1.GetCondition(claim.Status.Conditions, v1.ConditionConsolidatable)
	if old == nil || !quiet {
		return old == nil && !quiet
	}
	return old.Status == metav1.ConditionTrue && old.ObservedGeneration == claim.Generation
}

// change edits a claim's conditions and writes them if they are others then. It
// takes the lock, since a merge patch replaces the list; losing the race is no
// error, as the next step edits again.
func (c *Controller) change(ctx context.Context, claim *v1.NodeClaim, edit func(*[]metav1.Condition)) error {
	conditions := slices.Clone(claim.Status.Conditions)
	edit(&conditions)
	if slices.Equal(claim.Status.Conditions, conditions) {
		return nil
	}
	before := claim
	claim = claim.DeepCopy()
	claim.Status.Conditions = conditions
	err := c.Write.PatchStatus(ctx, claim, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{}))
	if lost(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("patching the conditions of NodeClaim %s: %w", claim.Name, err)
	}
	return nil
}

// lost reports whether a write lost a race that a later step runs again.
func lost(err error) bool { return apierrors.IsConflict(err) || apierrors.IsNotFound(err) }

// take chooses a node: the reason first, then the taint. A crash in between
// leaves a reason without a taint, which follow rolls back; expire adds the taint.
func (c *Controller) take(ctx context.Context, now time.Time, n candidate, reason, message string) error {
	err := c.change(ctx, n.claim, func(conditions *[]metav1.Condition) {
		v1.SetCondition(conditions, metav1.Condition{
			Type: v1.ConditionDisruptionReason, Status: metav1.ConditionTrue, Reason: reason,
			Message: message, ObservedGeneration: n.claim.Generation,
		}, now)
	})
	if err != nil {
		return err
	}
	if claim, ok := c.Cluster.Snapshot().NodeClaims.Get(n.claim.Name); !ok || !chosen(claim) {
		return nil // lost the race: nothing was chosen
	}
	return c.retaint(ctx, n.node, func(taints []corev1.Taint) []corev1.Taint {
		return append(taints, v1.DisruptedTaint())
	})
}

// rollBack opens a chosen node again: the taint goes first, so that a crash in
// between leaves what this is called for.
func (c *Controller) rollBack(ctx context.Context, v *view, claim *v1.NodeClaim, because next) error {
	if err := c.reopen(ctx, v, claim); err != nil {
		return err
	}
	reason := v1.DisruptionReason(chosenFor(claim))
	c.Metrics.rejected(reason)
	switch {
	case reason == v1.ReasonUnderutilized && because.failed:
		c.spare(v.now, claim, stuckFor, because.stays)
	case reason == v1.ReasonUnderutilized:
		c.hinder(v.now, claim, because.stays)
	case because.failed:
		c.noteFailure(v, claim, because.stays)
	}
	if reason == v1.ReasonEmpty || reason == v1.ReasonUnderutilized {
		c.Events.Event(claim, corev1.EventTypeNormal, "ConsolidationRejected", "the node stays: "+because.stays)
	} else {
		c.eventOnBoth(v, claim, corev1.EventTypeNormal, "DisruptionBlocked", "the node stays for now: "+because.stays)
	}
	logr.FromContextOrDiscard(ctx).Info("abandoning disruption", "NodeClaim", map[string]string{"name": claim.Name}, "reason", because.stays)
	return c.change(ctx, claim, func(conditions *[]metav1.Condition) {
		meta.RemoveStatusCondition(conditions, v1.ConditionDisruptionReason)
	})
}

// noteFailure lets a node whose replacement failed wait, and so the others of its NodePool that
// drifted; of these it is the last in turn.
func (c *Controller) noteFailure(v *view, claim *v1.NodeClaim, why string) {
	pause := c.wave(claim.Labels[v1.LabelNodePool]).failed(v.now)
	c.putAside(v.now, claim, pause, block{backOff, "its replacement failed: " + why})
	if pool, ok := v.NodePools.Get(claim.Labels[v1.LabelNodePool]); ok {
		c.Events.Event(pool, corev1.EventTypeWarning, "DisruptionBlocked",
			fmt.Sprintf("replacing NodeClaim %s failed: %s. No other drifted node is replaced for %v, and then one at a time", claim.Name, why, pause))
	}
}

// An aside is until when, and why, a node that drifted, or is underutilized, is not tried again.
// Later it comes after those that were not tried for longer.
type aside struct {
	until time.Time
	pause time.Duration // how long that was, when it was said
	why   block
}

// putAside lets other nodes that drifted come before one.
func (c *Controller) putAside(now time.Time, claim *v1.NodeClaim, d time.Duration, why block) {
	const remembered = 24 * time.Hour
	maps.DeleteFunc(c.setAside, func(_ types.UID, a aside) bool { return !now.Before(a.until.Add(remembered)) })
	if c.setAside == nil {
		c.setAside = map[types.UID]aside{}
	}
	c.setAside[claim.UID] = aside{now.Add(d), d, why}
}

// reopen takes the disrupted taint off the node of a claim that is to stay.
func (c *Controller) reopen(ctx context.Context, v *view, claim *v1.NodeClaim) error {
	node, ok := v.NodeOf(claim)
	if !ok || node.DeletionTimestamp != nil || !tainted(node) {
		return nil
	}
	return c.retaint(ctx, node, func(taints []corev1.Taint) []corev1.Taint {
		return slices.DeleteFunc(taints, isDisrupted)
	})
}

func (c *Controller) retaint(ctx context.Context, node *corev1.Node, edit func([]corev1.Taint) []corev1.Taint) error {
	before := node
	node = node.DeepCopy()
	node.Spec.Taints = edit(slices.DeleteFunc(node.Spec.Taints, isDisrupted))
	err := c.Write.Patch(ctx, node, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{}))
	if err != nil && !lost(err) {
		return fmt.Errorf("tainting node %s: %w", node.Name, err)
	}
	return nil
}

func tainted(node *corev1.Node) bool { return slices.ContainsFunc(node.Spec.Taints, isDisrupted) }

func isDisrupted(t corev1.Taint) bool {
	own := v1.DisruptedTaint()
	return t.MatchTaint(&own)
}

// chosen reports whether a claim is on its way out.
func chosen(claim *v1.NodeClaim) bool { return chosenFor(claim) != "" }

// chosenFor is the reason for which a claim is on its way out; none if it is not.
func chosenFor(claim *v1.NodeClaim) string {
	choice := v1.GetCondition(claim.Status.Conditions, v1.ConditionDisruptionReason)
	if choice == nil || choice.Status != metav1.ConditionTrue {
		return ""
	}
	return choice.Reason
}
