package lifecycle

import (
	"context"
	"fmt"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	"github.com/stowage-sh/stowage/cloudprovider"
	"github.com/stowage-sh/stowage/pricing"
	"github.com/stowage-sh/stowage/provisioner/nodepool"
	"github.com/stowage-sh/stowage/provisioner/state"
	v1 "github.com/stowage-sh/stowage/provisioner/v1"
)

// A Controller takes NodeClaims through their life. Its methods may be called by
// many goroutines at once, for different names; one name is to be worked on by
// one goroutine at a time. All fields without a stated zero value are needed.
type Controller struct {
	// Cluster to read from; Write must record into it (see state.Recorded).
	Cluster *state.Cluster
	Write   state.Writer
	Cloud   cloudprovider.Provider
	// Instances is what the cloud has, shared with the Collector.
	Instances *Roster
	Events    state.Recorder
	// Availability learns which offerings ran out.
	Availability *cloudprovider.Availability
	// Prices of offerings. It is asked only for claims that carry no list of
	// offerings.
	Prices  *pricing.Book
	Metrics *Metrics

	// BeforeOpen, if set, is called before the patch that removes our own taint
	// from a node. An error postpones that patch.
	BeforeOpen func(ctx context.Context, now time.Time, claim *v1.NodeClaim, node *corev1.Node) error

	// Hold, if set, says how much longer a node that has joined is to be kept closed
	// by our own taint, and why; 0 means that it is opened now. It is asked at least
	// once a second while it holds. Nodes that join anew are opened without asking:
	// what was planned for them is bound or elsewhere by now.
	Hold func(now time.Time, claim *v1.NodeClaim, node *corev1.Node) (wait time.Duration, why string)
	// Surge rolls the Deployments that ask for it, in place of evicting their only pod. They must be
	// in the Cluster.
	Surge bool
	// LaunchTimeout is how long a claim may exist without a machine; 0 means five
	// minutes.
	LaunchTimeout time.Duration
	// RegistrationTimeout is how long a machine may take to join, and then its node to
	// become Ready; 0 means fifteen minutes.
	RegistrationTimeout time.Duration

	evictions evictions
	strays    strays
}

// Times between looks at something that nothing would tell us of.
const (
	// retrySoon follows a write that lost a race: by then the watch has caught up.
	retrySoon = 500 * time.Millisecond
	// holdPoll is how often Hold is asked again.
	holdPoll = time.Second
	// drainPoll is how often a drain looks at its pods and volumes.
	drainPoll = time.Second
	// lastCall is how long before the deadline those pods are ended that would outlast it.
	lastCall = 10 * time.Second
	// terminatePoll is how often a machine that is going is looked for.
	terminatePoll = 5 * time.Second
	// minDrain is the shortest drain: by then kube-scheduler has seen the taint,
	// and what it bound before has been seen here.
	minDrain = 5 * time.Second
)

// Reconcile does for one NodeClaim what can be done now. It returns when to look
// again, 0 for only when something changes; the error is to be retried with
// backoff.
func (c *Controller) Reconcile(ctx context.Context, now time.Time, name string) (again time.Duration, err error) {
	claim, ok := c.Cluster.Snapshot().NodeClaims.Get(name)
	if !ok {
		return 0, nil
	}
	claim = claim.DeepCopy()
	if claim.DeletionTimestamp != nil {
		again, err = c.terminate(ctx, now, claim)
	} else {
		again, err = c.advance(ctx, now, claim)
	}
	return settle(again, err)
}

// settle turns lost races into another look: a conflict means that the watch is
// behind, an object not found that it is gone and that the watch will say so.
func settle(again time.Duration, err error) (time.Duration, error) {
	switch {
	case apierrors.IsConflict(err):
		return retrySoon, nil
	case apierrors.IsNotFound(err):
		return 0, nil
	}
	return again, err
}

// advance moves a claim that is not being deleted towards Initialized.
func (c *Controller) advance(ctx context.Context, now time.Time, claim *v1.NodeClaim) (time.Duration, error) {
	if err := c.hold(ctx, claim); err != nil {
		return 0, err
	}
	if !v1.IsTrue(claim.Status.Conditions, v1.ConditionLaunched) {
		kept, err := c.launch(ctx, now, claim)
		if err != nil || !kept {
			return 0, err
		}
	}
	before := claim.DeepCopy()
	node, found := c.Cluster.Snapshot().NodeOf(claim)
	var wait time.Duration
	var why string
	if found && c.Hold != nil && hasTaint(node, v1.UnregisteredTaint()) && !v1.IsTrue(before.Status.Conditions, v1.ConditionRegistered) {
		wait, why = c.Hold(now, claim, node)
	}
	var err error
	switch {
	case found && node.DeletionTimestamp != nil: // by hand, or by whoever saw its machine go
		return 0, c.remove(ctx, claim, "node_deleted")
	case wait > 0:
		set(claim, now, v1.ConditionRegistered, metav1.ConditionUnknown, "NodeHeld", fmt.Sprintf("node %s has joined and is kept closed: %s", node.Name, why))
	case found:
		node = node.DeepCopy()
		if err = c.register(ctx, now, claim, node); err == nil {
			err = c.initialize(ctx, now, claim, node)
		}
		c.compare(now, claim, node)
	case !v1.IsTrue(claim.Status.Conditions, v1.ConditionRegistered):
		set(claim, now, v1.ConditionRegistered, metav1.ConditionUnknown, "NodeNotFound", "no node with the provider ID has joined yet")
		set(claim, now, v1.ConditionInitialized, metav1.ConditionUnknown, "NodeNotFound", "no node with the provider ID has joined yet")
	}
	// What was reached is kept even if the next thing failed.
	if saveErr := c.saveStatus(ctx, now, claim, before); err == nil {
		err = saveErr
	}
	if err != nil {
		return 0, err
	}
	if wait > 0 { // it has joined, and it is not its own fault that it is not registered
		return min(wait, holdPoll), nil
	}
	return c.checkJoined(ctx, now, claim)
}

// hold puts our finalizer on a claim, before anything is bought for it.
func (c *Controller) hold(ctx context.Context, claim *v1.NodeClaim) error {
	before := claim.DeepCopy()
	if !controllerutil.AddFinalizer(claim, v1.FinalizerTermination) {
		return nil
	}
	if err := c.Write.Patch(ctx, claim, locked(before)); err != nil {
		return fmt.Errorf("adding the finalizer to NodeClaim %s: %w", claim.Name, err)
	}
	return nil
}

// checkJoined gives a claim up whose machine has not become a Ready node in time, and
// otherwise says when that will be. Until then pods are planned for it.
func (c *Controller) checkJoined(ctx context.Context, now time.Time, claim *v1.NodeClaim) (time.Duration, error) {
	since, reason, what := c.awaited(claim)
	if reason == "" {
		return 0, nil
	}
	timeout := orDefault(c.RegistrationTimeout, 15*time.Minute)
	if left := since.Add(timeout).Sub(now); left > 0 {
		return left, nil
	}
	return 0, c.giveUp(ctx, now, claim, reason, fmt.Sprintf("%s within %v", what, timeout))
}

// awaited says what is missing of a launched claim's node, and since when. There is no
// reason if it is there and Ready, or was of use already.
func (c *Controller) awaited(claim *v1.NodeClaim) (since time.Time, reason, what string) {
	conditions := claim.Status.Conditions
	if !v1.IsTrue(conditions, v1.ConditionRegistered) {
		return v1.GetCondition(conditions, v1.ConditionLaunched).LastTransitionTime.Time, "registration_timeout", "the machine did not join the cluster"
	}
	node, ok := c.Cluster.Snapshot().NodeOf(claim)
	if !ok || NodeReady(node) || v1.IsTrue(conditions, v1.ConditionInitialized) {
		return time.Time{}, "", ""
	}
	since = v1.GetCondition(conditions, v1.ConditionRegistered).LastTransitionTime.Time
	for _, condition := range node.Status.Conditions {
		if condition.Type == corev1.NodeReady && condition.LastTransitionTime.After(since) {
			since = condition.LastTransitionTime.Time
		}
	}
	return since, "readiness_timeout", fmt.Sprintf("node %s did not become Ready", node.Name)
}

// giveUp deletes a claim that did not become a node and notes that for its
// NodePool, so that a broken image does not buy machines in a loop.
func (c *Controller) giveUp(ctx context.Context, now time.Time, claim *v1.NodeClaim, reason, message string) error {
	if pool, ok := c.Cluster.Snapshot().NodePools.Get(claim.Labels[v1.LabelNodePool]); ok {
		if err := nodepool.NoteFailure(ctx, c.Write, now, pool, claim); err != nil {
			return err
		}
		c.Events.Event(pool, corev1.EventTypeWarning, "NodeRegistrationFailed", fmt.Sprintf("NodeClaim %s: %s", claim.Name, message))
	}
	c.Events.Event(claim, corev1.EventTypeWarning, "NodeRegistrationFailed", message)
	logr.FromContextOrDiscard(ctx).Info("giving up a NodeClaim that did not become a node", "NodeClaim", klogRef(claim), "reason", reason)
	return c.remove(ctx, claim, reason)
}

// remove deletes a claim of which we know why.
func (c *Controller) remove(ctx context.Context, claim *v1.NodeClaim, reason string) error {
	if err := c.Write.Delete(ctx, claim); err != nil {
		return fmt.Errorf("deleting NodeClaim %s: %w", claim.Name, err)
	}
	if len(claim.Finalizers) == 0 {
		c.Cluster.Forget(claim)
	}
	c.Metrics.disrupted(c.Cluster.Snapshot(), claim, reason)
	return nil
}

// saveStatus writes the status if it differs from before, with Ready computed
// anew. It takes the optimistic lock: conditions are one list, and a merge patch
// replaces it whole.
func (c *Controller) saveStatus(ctx context.Context, now time.Time, claim, before *v1.NodeClaim) error {
	if equality.Semantic.DeepEqual(before.Status, claim.Status) {
		return nil
	}
	v1.SetReady(&claim.Status.Conditions, v1.NodeClaimReadiness, claim.Generation, now)
	if err := c.Write.PatchStatus(ctx, claim, locked(before)); err != nil {
		return fmt.Errorf("patching the status of NodeClaim %s: %w", claim.Name, err)
	}
	return nil
}

// set sets a condition of a claim.
func set(claim *v1.NodeClaim, now time.Time, kind string, status metav1.ConditionStatus, why ...string) {
	condition := metav1.Condition{Type: kind, Status: status, ObservedGeneration: claim.Generation}
	if len(why) == 2 {
		condition.Reason, condition.Message = why[0], why[1]
	}
	v1.SetCondition(&claim.Status.Conditions, condition, now)
}

// locked is a merge patch from before that fails with a conflict if somebody
// else has written since. It is for lists, which a merge patch replaces whole.
func locked(before client.Object) client.Patch {
	return client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})
}

func orDefault(d, otherwise time.Duration) time.Duration {
	if d == 0 {
		return otherwise
	}
	return d
}

// klogRef is how logs name an object, as Karpenter's do.
func klogRef(o client.Object) map[string]string {
	ref := map[string]string{"name": o.GetName()}
	if o.GetNamespace() != "" {
		ref["namespace"] = o.GetNamespace()
	}
	return ref
}
