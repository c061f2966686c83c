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

	"github.com/stowage-sh/stowage/provisioner/nodepool"
	v1 "github.com/stowage-sh/stowage/provisioner/v1"
)

const (
	// placeTime is how long provisioning may take to find places for the pods of a chosen node:
	// a batch, and a few tries. For a node that goes to save money it does not look: those places were
	// decided with the decision, and one that is taken is not replaced.
	placeTime = time.Minute
	// replaceTime is how long a chosen node waits for its replacements in all. Package lifecycle
	// gives up a machine that does not join in fifteen minutes, and then another is bought.
	replaceTime = 30 * time.Minute
)

// follow goes on with what choose began. A chosen node goes once it has been closed for a
// moment, all its pods have another place that is ready, and nothing has changed that speaks
// against it; else it is opened again.
func (c *Controller) follow(ctx context.Context, v *view) error {
	allowed, opened := v.allowances(), map[string]int{}
	var failed []error
	deleted, homeless, awaiting := map[types.UID]struct{}{}, map[types.UID]time.Time{}, map[types.UID]bool{}
	var saving []*v1.NodeClaim
	for _, claim := range v.NodeClaims.All() {
		if _, ok := c.deleted[claim.UID]; ok {
			deleted[claim.UID] = struct{}{}
			continue
		}
		if claim.DeletionTimestamp != nil {
			continue
		}
		if !chosen(claim) {
			failed = append(failed, c.reopen(ctx, v, claim))
			continue
		}
		if since, ok := c.homeless[claim.UID]; ok {
			homeless[claim.UID] = since
		}
		pool := claim.Labels[v1.LabelNodePool]
		next := c.next(v, claim, allowed[pool][v1.DisruptionReason(chosenFor(claim))].over-opened[pool], homeless, deleted)
		c.soon = min(c.soon, orDefault(next.again, c.soon))
		switch {
		case next.stays != "":
			opened[pool]++
			failed = append(failed, c.rollBack(ctx, v, claim, next))
		case next.awaits != "":
			if awaiting[claim.UID] = true; !c.awaiting[claim.UID] {
				c.eventOnBoth(v, claim, corev1.EventTypeNormal, "DisruptionWaitingReadiness", "Waiting on readiness to continue disruption: "+next.awaits)
			}
		case next.goes && chosenFor(claim) == string(v1.ReasonUnderutilized):
			saving = append(saving, claim)
		case next.goes:
			err := c.remove(ctx, v, claim, v1.DisruptionReason(chosenFor(claim)))
			if err == nil {
				deleted[claim.UID] = struct{}{}
			}
			failed = append(failed, err)
		}
	}
	failed = append(failed, c.removeConfirmed(ctx, v, saving, deleted))
	c.deleted, c.homeless, c.awaiting = deleted, homeless, awaiting
	return errors.Join(failed...)
}

// A next is what is to be done about a chosen claim.
type next struct {
	stays  string // why the node is opened again
	failed bool   // it is, because replacements did not come
	awaits string // what it waits for
	goes   bool
	again  time.Duration // when to look again; 0 for whenever
}

// next decides it. over is by how many nodes its NodePool exceeds its budget; homeless tells since
// when a pod of a claim has no other place, and is updated; deleted are the claims that went lately.
func (c *Controller) next(v *view, claim *v1.NodeClaim, over int, homeless map[types.UID]time.Time, deleted map[types.UID]struct{}) next {
	choice := v1.GetCondition(claim.Status.Conditions, v1.ConditionDisruptionReason)
	if choice.Reason == string(reasonExpired) || interruption(claim) != nil {
		return next{} // see expire and interrupt
	}
	settled := choice.LastTransitionTime.Add(c.settle())
	n, ok := v.candidate(claim)
	if why := v.unfit(n, ok, over); why != "" {
		return next{stays: why}
	}
	if c.outlook.forsaken(v, claim) {
		return next{stays: "another node of its command does"}
	}
	if v.now.Before(settled) {
		return next{again: settled.Sub(v.now)}
	}
	missing, awaits := v.places(n)
	if missing > 0 && chosenFor(claim) == string(v1.ReasonUnderutilized) {
		return next{stays: lacking(missing)}
	}
	if missing > 0 {
		since, known := homeless[claim.UID]
		if !known {
			since = v.now
			homeless[claim.UID] = since
		}
		if v.now.Sub(since) >= placeTime {
			return next{stays: lacking(missing), failed: true}
		}
		return next{again: time.Second}
	}
	delete(homeless, claim.UID)
	if awaits == "" && n.pool.Spec.Replicas != nil {
		awaits = v.awaitsStatic(n.pool, deleted)
	}
	switch {
	case awaits == "":
		return next{goes: true}
	case v.now.Sub(choice.LastTransitionTime.Time) >= replaceTime:
		return next{stays: awaits + " was not ready in time", failed: true}
	}
	return next{awaits: awaits, again: time.Second}
}

func lacking(places int) string {
	return fmt.Sprintf("for %d of its pods no other place was found", places)
}

// unfit says why a chosen node must not go after all; empty means that it may.
func (v *view) unfit(n candidate, ok bool, over int) string {
	if !ok {
		return "its node or NodePool is gone or not ready"
	}
	_, bounded := n.claim.Spec.TerminationGracePeriod.Get()
	reason := chosenFor(n.claim)
	switch {
	case v.shielded(n).code != "":
		return v.shielded(n).message
	case !tainted(n.node):
		return "its taint is missing"
	case over > 0:
		return "its NodePool's budget does not allow it any more"
	case v.claims[n.claim.Name] || v.nodes[n.node.Name]:
		return v.awaited(n).message
	case reason == string(v1.ReasonEmpty):
		return v.notEmptyYet(n)
	case reason == string(v1.ReasonDrifted) && !v1.IsTrue(n.claim.Status.Conditions, v1.ConditionDrifted):
		return "it has not drifted any more"
	case reason == string(v1.ReasonDrifted), reason == string(v1.ReasonUnderutilized):
		// A PodDisruptionBudget is kept by the drain.
		if why := v.kept(n); why.code == podDoNotDisrupt && (!bounded || reason == string(v1.ReasonUnderutilized)) {
			return why.message
		}
		return ""
	}
	return "it was chosen for a reason that is not known here"
}

// notEmptyYet says why a node that was chosen for being empty stays.
func (v *view) notEmptyYet(n candidate) string {
	if quiet, _ := v.quiet(n.claim, n.pool); !quiet {
		return "a pod came or went"
	}
	return v.notEmpty(n).message
}

// awaitsStatic says what a node of a NodePool with a fixed number waits for: as many others, those
// included that are chosen as well and stay until it is their turn.
func (v *view) awaitsStatic(pool *v1.NodePool, deleted map[types.UID]struct{}) string {
	others := int64(-1) // it is not one of them
	for _, claim := range nodepool.Claims(v.Snapshot, pool) {
		node, joined := v.NodeOf(claim)
		_, going := deleted[claim.UID]
		if joined && !going && claim.DeletionTimestamp == nil && node.DeletionTimestamp == nil && v1.IsTrue(claim.Status.Conditions, v1.ConditionInitialized) {
			others++
		}
	}
	if others < *pool.Spec.Replicas {
		return fmt.Sprintf("the NodePool's replicas (%d of %d)", others, *pool.Spec.Replicas)
	}
	return ""
}

// remove deletes a claim whose node may go; what follows is lifecycle's.
func (c *Controller) remove(ctx context.Context, v *view, claim *v1.NodeClaim, reason v1.DisruptionReason) error {
	if err := c.Write.Delete(ctx, claim); client.IgnoreNotFound(err) != nil {
		c.Metrics.failed(reason)
		return fmt.Errorf("deleting NodeClaim %s, which is %s: %w", claim.Name, lower(reason), err)
	}
	if reason == v1.ReasonDrifted {
		c.wave(claim.Labels[v1.LabelNodePool]).succeeded()
	}
	c.eventOnBoth(v, claim, corev1.EventTypeNormal, "DisruptionTerminating", "Disrupting NodeClaim: "+string(reason))
	c.Metrics.removed(v.Snapshot, claim, reason)
	logr.FromContextOrDiscard(ctx).Info("disrupting node(s)", "NodeClaim", map[string]string{"name": claim.Name},
		"reason", lower(reason), "provider-id", claim.Status.ProviderID)
	return nil
}

// eventOnBoth tells users of a NodeClaim and of its Node.
func (c *Controller) eventOnBoth(v *view, claim *v1.NodeClaim, kind, reason, message string) {
	c.Events.Event(claim, kind, reason, message)
	if node, ok := v.NodeOf(claim); ok {
		c.Events.Event(node, kind, reason, message)
	}
}
