package headroom

import (
	"context"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stowage-sh/stowage/provisioner/lifecycle"
	"github.com/stowage-sh/stowage/provisioner/state"
	v1 "github.com/stowage-sh/stowage/provisioner/v1"
	"github.com/stowage-sh/stowage/provisioner/v1beta1"
)

// write brings the status of one buffer up to date.
func (c *Controller) write(ctx context.Context, now time.Time, a *Ask, rooms map[types.NamespacedName]room) error {
	if a.Pod != nil && !c.Schedulers.Serve(a.Pod) {
		a.Reason, a.Message = v1beta1.ReasonResolutionFailed, fmt.Sprintf("its pods are for the scheduler %s, which Stowage does not work for", a.Pod.Spec.SchedulerName)
	}
	if a.Reason == v1beta1.ReasonUnknownStrategy && othersSpoke(a.Buffer) {
		return nil
	}
	b := a.Buffer.DeepCopy()
	set := func(kind string, status metav1.ConditionStatus, reason, message string) {
		v1.SetCondition(&b.Status.Conditions, metav1.Condition{Type: kind, Status: status, Reason: reason, Message: message, ObservedGeneration: b.Generation}, now)
	}
	b.Status.PodTemplateRef, b.Status.PodTemplateGeneration = nil, nil
	if template, ok := a.source.(*corev1.PodTemplate); ok {
		b.Status.PodTemplateRef, b.Status.PodTemplateGeneration = &v1beta1.LocalObjectRef{Name: template.Name}, new(template.Generation)
	}
	if a.Reason != "" {
		b.Status.Replicas, b.Status.ProvisioningStrategy = nil, nil
		set(v1beta1.ConditionReadyForProvisioning, metav1.ConditionFalse, a.Reason, a.Message)
	} else {
		b.Status.Replicas, b.Status.ProvisioningStrategy = new(a.Replicas), new(a.Buffer.Strategy())
		set(v1beta1.ConditionReadyForProvisioning, metav1.ConditionTrue, v1beta1.ReasonResolved, "")
		set(v1beta1.ConditionLimitedByQuotas, metav1.ConditionFalse, v1beta1.ReasonWithinQuotas, "")
	}
	if a.Quotas != "" {
		set(v1beta1.ConditionLimitedByQuotas, metav1.ConditionTrue, v1beta1.ReasonLimitedByQuotas, a.Quotas)
	}
	if status, reason, message := c.provisioning(a, rooms); status != "" {
		set(v1beta1.ConditionProvisioning, status, reason, message)
	}
	if equality.Semantic.DeepEqual(a.Buffer.Status, b.Status) {
		return nil
	}
	// Conditions are one list, which a merge patch replaces whole: hence the lock.
	return c.Write.PatchStatus(ctx, b, client.MergeFromWithOptions(a.Buffer, client.MergeFromWithOptimisticLock{}))
}

// othersSpoke reports whether somebody else has said something about a buffer: one of another
// strategy may be theirs.
func othersSpoke(b *v1beta1.CapacityBuffer) bool {
	ready := v1.GetCondition(b.Status.Conditions, v1beta1.ConditionReadyForProvisioning)
	return ready != nil && !slices.Contains([]string{
		v1beta1.ReasonResolved, v1beta1.ReasonPodTemplateNotFound, v1beta1.ReasonScalableRefNotFound, v1beta1.ReasonResolutionFailed, v1beta1.ReasonUnknownStrategy,
	}, ready.Reason)
}

// provisioning says what the condition Provisioning is to say; no status if that is not known yet.
func (c *Controller) provisioning(a *Ask, rooms map[types.NamespacedName]room) (status metav1.ConditionStatus, reason, message string) {
	switch {
	case a.Reason != "":
		return metav1.ConditionFalse, v1beta1.ReasonNotReadyForProvisioning, ""
	case a.Replicas == 0:
		return metav1.ConditionFalse, v1beta1.ReasonBufferEmpty, ""
	}
	why, decided := c.Missing()
	if !decided {
		return "", "", ""
	}
	room := rooms[a.Key()]
	if room.there >= a.Replicas {
		return metav1.ConditionTrue, v1beta1.ReasonFitsExistingCapacity, ""
	}
	message = fmt.Sprintf("there is room for %d of %d pods", room.there, a.Replicas)
	if room.coming > 0 {
		message += fmt.Sprintf(", and for %d it is on its way", room.coming)
	}
	if reason := why[a.Key()]; reason != "" && room.there+room.coming < a.Replicas {
		message += "; for others there is none: " + reason
	}
	return metav1.ConditionFalse, v1beta1.ReasonRequiresNewCapacity, message
}

// A room is for how many pods of a buffer there is room on nodes that are ready, and for how many
// there will be.
type room struct{ there, coming int32 }

// roomsOf counts the rooms of all buffers.
func roomsOf(s *state.Snapshot) map[types.NamespacedName]room {
	rooms := map[types.NamespacedName]room{}
	for _, plan := range s.Plans.All() {
		if !plan.IsHeadroom() {
			continue
		}
		r := rooms[plan.Headroom.Buffer]
		if ready(s, plan) {
			r.there++
		} else {
			r.coming++
		}
		rooms[plan.Headroom.Buffer] = r
	}
	return rooms
}

// ready reports whether a pod could be on its place now.
func ready(s *state.Snapshot, plan state.Plan) bool {
	if plan.NodeClaim == "" {
		node, ok := s.Nodes.Get(plan.Node)
		return ok && lifecycle.NodeReady(node)
	}
	claim, ok := s.NodeClaims.Get(plan.NodeClaim)
	return ok && v1.IsTrue(claim.Status.Conditions, v1.ConditionInitialized)
}

// Unplanned returns a CapacityBuffer for which there was room, and of whose room it is not known
// where it is: after a start, until that is decided anew. The name is empty if there is none.
func Unplanned(s *state.Snapshot) types.NamespacedName {
	if s.Buffers.CapacityBuffers.Len() == 0 {
		return types.NamespacedName{}
	}
	rooms := roomsOf(s)
	for _, b := range s.Buffers.CapacityBuffers.All() {
		key := client.ObjectKeyFromObject(b)
		if _, planned := rooms[key]; !planned && b.DeletionTimestamp == nil && v1.IsTrue(b.Status.Conditions, v1beta1.ConditionProvisioning) {
			return key
		}
	}
	return types.NamespacedName{}
}
