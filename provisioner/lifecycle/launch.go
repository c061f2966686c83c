package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	"github.com/stowage-sh/stowage/cloudprovider"
	"github.com/stowage-sh/stowage/provisioner/problem"
	v1 "github.com/stowage-sh/stowage/provisioner/v1"
)

// launch buys the machine of a claim and writes down what it got. kept is false
// if the claim had to go instead. What has begun is carried to its end when the
// process is told to stop: a machine that is not written down would be bought once
// more by another controller that takes over.
func (c *Controller) launch(ctx context.Context, now time.Time, claim *v1.NodeClaim) (kept bool, err error) {
	ctx = context.WithoutCancel(ctx)
	catalog, err := c.Cloud.Catalog(ctx, cloudprovider.NodeClassRef(claim.Spec.NodeClassRef))
	if err != nil {
		return c.notLaunched(ctx, now, claim, err)
	}
	own := ownLabels(claim, knownLabels(catalog))
	instance, found, err := c.adopt(ctx, now, claim, catalog)
	if err == nil && !found {
		instance, err = c.buy(ctx, now, claim, catalog, own)
	}
	if err != nil {
		return c.notLaunched(ctx, now, claim, err)
	}
	labels := maps.Clone(own)
	maps.Copy(labels, offeringLabels(catalog, instance.Offering)) // the machine has the last word
	return true, c.launched(ctx, now, claim, catalog, bought{instance, labels})
}

// buy buys one of the claim's offerings.
func (c *Controller) buy(ctx context.Context, now time.Time, claim *v1.NodeClaim, catalog *cloudprovider.Catalog, own map[string]string) (cloudprovider.Instance, error) {
	offerings, err := c.offerings(now, claim, catalog)
	if err != nil {
		return cloudprovider.Instance{}, err
	}
	if len(offerings) == 0 {
		return cloudprovider.Instance{}, &cloudprovider.InsufficientCapacityError{
			Err: errors.New("no offering that is available and has a price meets the requirements"),
		}
	}
	instance, err := c.Cloud.Launch(ctx, cloudprovider.LaunchRequest{
		Claim: claim.Name, UID: string(claim.UID),
		Class: cloudprovider.NodeClassRef(claim.Spec.NodeClassRef), NodePool: claim.Labels[v1.LabelNodePool],
		Offerings: offerings, Ranked: claim.Annotations[v1.AnnotationPriceOverlay] != "", Labels: own, Taints: launchTaints(claim),
		Extended: problem.Extended(claim), Group: groupOf(now, claim),
	})
	if err == nil {
		c.Availability.Had(now, instance.Offering)
		c.sayFallback(claim, offerings, instance.Offering)
	}
	return instance, err
}

// groupAge is how long after they were made NodeClaims are launched together: by then the others have their machines or
// are given up, and a NodeClaim that was away for longer must not buy for them all.
const groupAge = 10 * time.Minute

func groupOf(now time.Time, claim *v1.NodeClaim) cloudprovider.LaunchGroup {
	if now.Sub(claim.CreationTimestamp.Time) > groupAge {
		return cloudprovider.LaunchGroup{}
	}
	return cloudprovider.LaunchGroup(v1.LaunchGroupOf(claim))
}

// sayFallback says aloud that a machine costs more than was planned for, since there was no spot capacity.
func (c *Controller) sayFallback(claim *v1.NodeClaim, wanted []cloudprovider.Offering, got cloudprovider.Offering) {
	spot := 0
	for _, o := range wanted {
		if o.CapacityType == cloudprovider.Spot {
			spot++
		}
	}
	if wanted[0].CapacityType == cloudprovider.Spot && got.CapacityType == cloudprovider.OnDemand {
		c.Events.Event(claim, corev1.EventTypeWarning, "SpotUnavailable",
			fmt.Sprintf("%s was bought on demand in %s: of spot offerings %d were wanted, and none could be had", got.InstanceType, got.Zone, spot))
	}
}

// bought is a machine, and the labels that its node will have.
type bought struct {
	cloudprovider.Instance
	labels map[string]string
}

// launched writes down what was bought: labels and annotations first, so that a
// claim with a provider ID always has them. A crash before the status is written
// launches again, and gets the same machine.
func (c *Controller) launched(ctx context.Context, now time.Time, claim *v1.NodeClaim, catalog *cloudprovider.Catalog, b bought) error {
	before := claim.DeepCopy()
	claim.Labels = b.labels
	for key, value := range b.Annotations {
		metav1.SetMetaDataAnnotation(&claim.ObjectMeta, key, value)
	}
	if !equality.Semantic.DeepEqual(before.ObjectMeta, claim.ObjectMeta) {
		if err := c.Write.Patch(ctx, claim, client.MergeFrom(before)); err != nil {
			return fmt.Errorf("labelling NodeClaim %s: %w", claim.Name, err)
		}
		before = claim.DeepCopy()
	}
	claim.Status.ProviderID, claim.Status.ImageID = b.ProviderID, b.ImageID
	if t, ok := catalog.InstanceType(b.Offering.InstanceType); ok {
		t, _ = problem.OverlaysOf(c.Cluster.Snapshot()).Type(labels.Set(b.labels), t)
		t = t.StartedFor(problem.Extended(claim))
		claim.Status.Capacity, claim.Status.Allocatable = resourceList(t.Capacity), resourceList(t.Allocatable)
	}
	set(claim, now, v1.ConditionLaunched, metav1.ConditionTrue)
	if err := c.saveStatus(ctx, now, claim, before); err != nil {
		return err
	}
	logr.FromContextOrDiscard(ctx).Info("launched nodeclaim", "NodeClaim", klogRef(claim), "provider-id", b.ProviderID,
		"instance-type", b.Offering.InstanceType, "zone", b.Offering.Zone, "capacity-type", b.Offering.CapacityType)
	return nil
}

// notLaunched acts on a launch that gave no machine. What more of the same would
// not cure ends the claim, so that its pods are solved again; the rest is shown
// on the claim and tried again, up to the launch timeout.
func (c *Controller) notLaunched(ctx context.Context, now time.Time, claim *v1.NodeClaim, cause error) (kept bool, err error) {
	if ice, ok := errors.AsType[*cloudprovider.InsufficientCapacityError](cause); ok {
		c.Availability.Mark(now, ice.Offerings...)
		c.Events.Event(claim, corev1.EventTypeWarning, "InsufficientCapacityError", cause.Error())
		return false, c.discard(ctx, claim, "insufficient_capacity", cause)
	}
	if _, ok := errors.AsType[*cloudprovider.NotReadyError](cause); ok {
		c.Events.Event(claim, corev1.EventTypeWarning, "NodeClassNotReady", cause.Error())
		return false, c.discard(ctx, claim, "nodeclass_not_ready", cause)
	}
	if timeout := orDefault(c.LaunchTimeout, 5*time.Minute); !now.Before(claim.CreationTimestamp.Add(timeout)) {
		return false, c.giveUp(ctx, now, claim, "launch_timeout", fmt.Sprintf("no machine within %v; last: %v", timeout, cause))
	}
	before := claim.DeepCopy()
	set(claim, now, v1.ConditionLaunched, metav1.ConditionUnknown, "LaunchFailed", clip(cause.Error()))
	if err := c.saveStatus(ctx, now, claim, before); err != nil {
		return true, errors.Join(cause, err)
	}
	return true, fmt.Errorf("launching NodeClaim %s: %w", claim.Name, cause)
}

// discard ends a claim for which nothing was bought: the finalizer goes first,
// then the claim, at once. A crash in between launches once more.
func (c *Controller) discard(ctx context.Context, claim *v1.NodeClaim, reason string, cause error) error {
	before := claim.DeepCopy()
	if controllerutil.RemoveFinalizer(claim, v1.FinalizerTermination) {
		if err := c.Write.Patch(ctx, claim, locked(before)); err != nil {
			return fmt.Errorf("releasing NodeClaim %s: %w", claim.Name, err)
		}
	}
	logr.FromContextOrDiscard(ctx).Info("deleted nodeclaim", "NodeClaim", klogRef(claim), "reason", reason, "error", cause.Error())
	return c.remove(ctx, claim, reason)
}

// launchTaints are what the node is to register with.
func launchTaints(claim *v1.NodeClaim) []cloudprovider.Taint {
	var taints []cloudprovider.Taint
	for _, t := range claimTaints(claim) {
		taints = append(taints, cloudprovider.Taint{Key: t.Key, Value: t.Value, Effect: string(t.Effect)})
	}
	own := v1.UnregisteredTaint()
	return append(taints, cloudprovider.Taint{Key: own.Key, Effect: string(own.Effect)})
}

// claimTaints are the taints of a claim, those that stay and those that start.
func claimTaints(claim *v1.NodeClaim) []corev1.Taint {
	return append(append([]corev1.Taint(nil), claim.Spec.Taints...), claim.Spec.StartupTaints...)
}

// clip shortens a message to what fits a condition with room to spare.
func clip(message string) string {
	const most = 1024
	if len(message) <= most {
		return message
	}
	return message[:most] + "…"
}
