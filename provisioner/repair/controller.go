package repair

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stowage-sh/stowage/cloudprovider"
	"github.com/stowage-sh/stowage/provisioner/state"
	v1 "github.com/stowage-sh/stowage/provisioner/v1"
)

// A Controller repairs nodes. Step is to be called by one goroutine.
type Controller struct {
	// Cluster to read from; Write must record into it (see state.Recorded).
	Cluster *state.Cluster
	Write   state.Writer
	// Policies says which nodes are broken; it is the cloud's.
	Policies func() []cloudprovider.RepairPolicy
	Events   state.Recorder
	Metrics  *Metrics

	since map[symptom]time.Time  // when each was seen first
	told  map[types.UID]struct{} // claims of which it was said that they are blocked
	gone  map[types.UID]struct{} // claims that were deleted and are still seen
}

// poll is the longest time between two looks.
const poll = time.Minute

// Concerns reports whether a change of obj is to be looked at: of a node that is
// broken.
func (c *Controller) Concerns(obj client.Object) bool {
	node, ok := obj.(*corev1.Node)
	return ok && broken(node, c.Policies())
}

// Step looks at every node once, and returns when to look again. What failed is in
// the error and is done by a later step.
func (c *Controller) Step(ctx context.Context, now time.Time) (again time.Duration, err error) {
	s, policies := c.Cluster.Snapshot(), c.Policies()
	c.look(now, s, policies)
	health, again := count(s, policies), poll
	told, gone := map[types.UID]struct{}{}, map[types.UID]struct{}{}
	var failed []error
	for _, claim := range s.NodeClaims.All() {
		if _, ok := c.gone[claim.UID]; ok {
			gone[claim.UID] = struct{}{}
			continue
		}
		node, ok := s.NodeOf(claim)
		if !ok || claim.DeletionTimestamp != nil || !v1.IsTrue(claim.Status.Conditions, v1.ConditionInitialized) {
			continue
		}
		first, at, sick := ripe(node, policies, c.since)
		what, begun := claim.Annotations[v1.AnnotationRepair]
		if begun { // by a step that did not come to its end
			at = now
			first, sick = named(node, policies, what)
		}
		why := health.blocks(claim)
		switch {
		case begun && !sick:
			failed = append(failed, c.spare(ctx, claim))
		case !sick:
		case now.Before(at):
			again = min(again, at.Sub(now))
		case !begun && why != "":
			told[claim.UID] = struct{}{}
			c.tell(claim, node, "node repair is blocked: "+why)
		default:
			deleted, err := c.repair(ctx, now, patient{claim, node, first})
			if deleted {
				gone[claim.UID] = struct{}{}
			}
			failed = append(failed, err)
		}
	}
	c.told, c.gone = told, gone
	return again, errors.Join(failed...)
}

// look notes symptoms that are new, and forgets those that went.
func (c *Controller) look(now time.Time, s *state.Snapshot, policies []cloudprovider.RepairPolicy) {
	since := map[symptom]time.Time{}
	for _, node := range s.Nodes.All() {
		all, _ := symptomsOf(node, policies)
		for _, symptom := range all {
			since[symptom] = now
			if at, ok := c.since[symptom]; ok {
				since[symptom] = at
			}
		}
	}
	c.since = since
}

// tell says once of a claim that it is not repaired, and why.
func (c *Controller) tell(claim *v1.NodeClaim, node *corev1.Node, why string) {
	if _, ok := c.told[claim.UID]; ok {
		return
	}
	c.Events.Event(claim, corev1.EventTypeWarning, "NodeRepairBlocked", why)
	c.Events.Event(node, corev1.EventTypeWarning, "NodeRepairBlocked", why)
}

// A patient is a node to be repaired, and what for.
type patient struct {
	claim *v1.NodeClaim
	node  *corev1.Node
	symptom
}

// repair deletes a claim whose drain is not to wait for anybody, if the server says
// as well that the node is broken.
func (c *Controller) repair(ctx context.Context, now time.Time, p patient) (deleted bool, err error) {
	// A patch that changes nothing is answered with what there is.
	there := p.node.DeepCopy()
	if err := c.Write.Patch(ctx, there, client.RawPatch(types.MergePatchType, []byte("{}"))); err != nil {
		return false, client.IgnoreNotFound(err)
	}
	if !persists(there, p.symptom, c.Policies()) {
		return false, nil
	}
	claim := p.claim.DeepCopy()
	if claim.Annotations == nil {
		claim.Annotations = map[string]string{}
	}
	claim.Annotations[v1.AnnotationRepair] = p.symptom.String()
	claim.Annotations[v1.AnnotationTerminationTimestamp] = now.UTC().Format(time.RFC3339)
	if err := c.Write.Patch(ctx, claim, client.MergeFrom(p.claim)); err != nil {
		return false, client.IgnoreNotFound(err)
	}
	if err := c.Write.Delete(ctx, claim); client.IgnoreNotFound(err) != nil {
		return false, fmt.Errorf("deleting NodeClaim %s, whose node has %s: %w", claim.Name, p.symptom, err)
	}
	message := fmt.Sprintf(": Unhealthy, condition %s has been %s for too long", p.condition, p.status)
	c.Events.Event(claim, corev1.EventTypeNormal, "DisruptionTerminating", "Disrupting NodeClaim"+message)
	c.Events.Event(p.node, corev1.EventTypeNormal, "DisruptionTerminating", "Disrupting Node"+message)
	c.Metrics.repaired(c.Cluster.Snapshot(), claim, p.symptom)
	logr.FromContextOrDiscard(ctx).Info("deleting unhealthy node", "NodeClaim", map[string]string{"name": claim.Name},
		"Node", map[string]string{"name": p.node.Name}, "condition", p.symptom.String())
	return true, nil
}

// spare takes back the deadline of a claim whose node has recovered before it was
// deleted. A machine that the cloud takes keeps one: it goes whatever its node says.
func (c *Controller) spare(ctx context.Context, claim *v1.NodeClaim) error {
	before := claim
	claim = claim.DeepCopy()
	delete(claim.Annotations, v1.AnnotationRepair)
	if !v1.IsTrue(claim.Status.Conditions, v1.ConditionInterrupted) {
		delete(claim.Annotations, v1.AnnotationTerminationTimestamp)
	}
	if err := c.Write.Patch(ctx, claim, client.MergeFrom(before)); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("taking the deadline off NodeClaim %s: %w", claim.Name, err)
	}
	return nil
}
