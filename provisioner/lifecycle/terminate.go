package lifecycle

import (
	"context"
	"fmt"
	"maps"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	"github.com/stowage-sh/stowage/cloudprovider"
	"github.com/stowage-sh/stowage/provisioner/state"
	v1 "github.com/stowage-sh/stowage/provisioner/v1"
)

// terminate moves a claim that is being deleted towards its end: its node is
// closed and drained, its machine given back, and only when that is gone do the
// finalizers go.
func (c *Controller) terminate(ctx context.Context, now time.Time, claim *v1.NodeClaim) (time.Duration, error) {
	if !controllerutil.ContainsFinalizer(claim, v1.FinalizerTermination) {
		return 0, nil
	}
	if v1.IsTrue(claim.Status.Conditions, v1.ConditionInstanceTerminating) {
		return c.awaitGone(ctx, now, claim)
	}
	deadline, err := c.setDeadline(ctx, claim)
	if err != nil {
		return 0, err
	}
	s := c.Cluster.Snapshot()
	node, found := s.NodeOf(claim)
	if !found {
		return c.giveBack(ctx, now, claim)
	}
	gone, err := c.vanished(ctx, now, node)
	if err != nil {
		return 0, err
	}
	if gone {
		return c.giveBack(ctx, now, claim)
	}
	if err := c.closeNode(ctx, claim, node.DeepCopy()); err != nil {
		return 0, err
	}
	done, again, err := c.empty(ctx, now, &leaving{snapshot: s, claim: claim, node: node, deadline: deadline})
	if err != nil || !done {
		return again, err
	}
	return c.giveBack(ctx, now, claim)
}

// setDeadline writes on a claim when its drain stops waiting, if it does, and returns that moment;
// the zero time is never. It takes the lock: whoever wrote a nearer one meanwhile is not overruled.
func (c *Controller) setDeadline(ctx context.Context, claim *v1.NodeClaim) (time.Time, error) {
	deadline, ok := Deadline(claim)
	if !ok {
		return time.Time{}, nil
	}
	before := claim.DeepCopy()
	SetDeadline(claim, deadline)
	if maps.Equal(before.Annotations, claim.Annotations) {
		return deadline, nil
	}
	if err := c.Write.Patch(ctx, claim, locked(before)); err != nil {
		return time.Time{}, fmt.Errorf("setting the termination deadline of NodeClaim %s: %w", claim.Name, err)
	}
	c.expiring(claim, claim.Annotations[v1.AnnotationTerminationTimestamp])
	return deadline, nil
}

// expiring says on a claim, or on its node, that it has a deadline.
func (c *Controller) expiring(obj client.Object, at string) {
	c.Events.Event(obj, corev1.EventTypeWarning, "TerminationGracePeriodExpiring",
		fmt.Sprintf("Pods that are left at %s are ended, whatever protects them", at))
}

// vanished reports whether the machine of a node is gone already: kubelet is
// silent, and the cloud does not list it.
func (c *Controller) vanished(ctx context.Context, now time.Time, node *corev1.Node) (bool, error) {
	if NodeReady(node) {
		return false, nil
	}
	l, err := c.Instances.list(ctx, now, terminatePoll)
	if err != nil {
		return false, err
	}
	_, there := l.find(node.Spec.ProviderID)
	return !there, nil
}

// letGo deletes the pods that are left on a machine that is gone, so that their
// owners make them anew at once: nothing is left to end them gently.
func (c *Controller) letGo(ctx context.Context, node *corev1.Node) error {
	for _, pod := range c.Cluster.Snapshot().PodsOn(node.Name) {
		if pod.DeletionTimestamp != nil || !Reschedulable(pod) {
			continue
		}
		if err := c.Write.Delete(ctx, pod); client.IgnoreNotFound(err) != nil {
			return fmt.Errorf("deleting pod %s/%s of node %s, whose machine is gone: %w", pod.Namespace, pod.Name, node.Name, err)
		}
	}
	return nil
}

// closeNode keeps new pods and load balancers away from a node, and deletes it;
// our finalizer holds it to the end.
func (c *Controller) closeNode(ctx context.Context, claim *v1.NodeClaim, node *corev1.Node) error {
	before := node.DeepCopy()
	if !hasTaint(node, v1.DisruptedTaint()) {
		node.Spec.Taints = append(node.Spec.Taints, v1.DisruptedTaint())
	}
	if node.Labels == nil {
		node.Labels = map[string]string{}
	}
	node.Labels[v1.LabelExcludeBalancers] = v1.ExcludedBy
	if at, ok := claim.Annotations[v1.AnnotationTerminationTimestamp]; ok {
		if node.Annotations == nil {
			node.Annotations = map[string]string{}
		}
		node.Annotations[v1.AnnotationTerminationTimestamp] = at
	}
	if node.DeletionTimestamp == nil { // later, none may be added
		controllerutil.AddFinalizer(node, v1.FinalizerTermination)
	}
	if !equality.Semantic.DeepEqual(before, node) {
		if err := c.Write.Patch(ctx, node, locked(before)); err != nil {
			return fmt.Errorf("closing node %s: %w", node.Name, err)
		}
	}
	if at := claim.Annotations[v1.AnnotationTerminationTimestamp]; at != before.Annotations[v1.AnnotationTerminationTimestamp] {
		c.expiring(node, at)
	}
	if node.DeletionTimestamp != nil {
		return nil
	}
	if err := c.Write.Delete(ctx, node); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("deleting node %s: %w", node.Name, err)
	}
	return nil
}

// giveBack tells the cloud to take the machine back. A claim without a provider
// ID may still have one: a launch whose answer was never written down. One that was launched for a
// group is the Collector's.
func (c *Controller) giveBack(ctx context.Context, now time.Time, claim *v1.NodeClaim) (time.Duration, error) {
	id := InstanceID(claim.Status.ProviderID)
	if id == "" {
		l, err := c.Instances.list(ctx, now, 0)
		if err != nil {
			return 0, err
		}
		instance, ok := l.launchedFor(string(claim.UID))
		if !ok {
			return 0, c.finish(ctx, now, claim)
		}
		id = instance.ID
	}
	if err := c.Cloud.Terminate(ctx, id); err != nil {
		c.Events.Event(claim, corev1.EventTypeWarning, "FailedTermination", err.Error())
		return 0, fmt.Errorf("terminating instance %s: %w", id, err)
	}
	before := claim.DeepCopy()
	set(claim, now, v1.ConditionInstanceTerminating, metav1.ConditionTrue)
	if err := c.saveStatus(ctx, now, claim, before); err != nil {
		return 0, err
	}
	return terminatePoll, nil
}

// awaitGone ends a claim once its machine is gone, and asks again for what does
// not go.
func (c *Controller) awaitGone(ctx context.Context, now time.Time, claim *v1.NodeClaim) (time.Duration, error) {
	l, err := c.Instances.list(ctx, now, terminatePoll-time.Second)
	if err != nil {
		return 0, err
	}
	instance, there := l.find(claim.Status.ProviderID)
	if claim.Status.ProviderID == "" {
		instance, there = l.launchedFor(string(claim.UID))
	}
	if !there {
		return 0, c.finish(ctx, now, claim)
	}
	if instance.State != cloudprovider.Stopping {
		if err := c.Cloud.Terminate(ctx, instance.ID); err != nil {
			return 0, fmt.Errorf("terminating instance %s: %w", instance.ID, err)
		}
	}
	return terminatePoll, nil
}

// finish lets the node and then the claim go: the machine is no more.
func (c *Controller) finish(ctx context.Context, now time.Time, claim *v1.NodeClaim) error {
	if node, ok := c.Cluster.Snapshot().NodeOf(claim); ok {
		if err := c.letGo(ctx, node); err != nil {
			return err
		}
		if err := releaseNode(ctx, c.Write, node.DeepCopy()); err != nil {
			return err
		}
		c.Metrics.nodeTerminated(now, node)
	}
	before := claim.DeepCopy()
	controllerutil.RemoveFinalizer(claim, v1.FinalizerTermination)
	if err := c.Write.Patch(ctx, claim, locked(before)); err != nil {
		return fmt.Errorf("releasing NodeClaim %s: %w", claim.Name, err)
	}
	c.Metrics.terminated(now, claim)
	logr.FromContextOrDiscard(ctx).Info("deleted nodeclaim", "NodeClaim", klogRef(claim), "provider-id", claim.Status.ProviderID)
	return nil
}

// releaseNode takes our finalizer off a node whose machine is gone, and the node
// with it.
func releaseNode(ctx context.Context, w state.Writer, node *corev1.Node) error {
	before := node.DeepCopy()
	if controllerutil.RemoveFinalizer(node, v1.FinalizerTermination) {
		if err := w.Patch(ctx, node, locked(before)); client.IgnoreNotFound(err) != nil {
			return fmt.Errorf("releasing node %s: %w", node.Name, err)
		}
	}
	if node.DeletionTimestamp != nil {
		return nil
	}
	if err := w.Delete(ctx, node); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("deleting node %s: %w", node.Name, err)
	}
	return nil
}
