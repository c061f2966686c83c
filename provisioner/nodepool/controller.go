package nodepool

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stowage-sh/stowage/cloudprovider"
	"github.com/stowage-sh/stowage/provisioner/state"
	v1 "github.com/stowage-sh/stowage/provisioner/v1"
)

// A Controller keeps NodePools' status, hash and registration health. Reconcile
// may be called by many goroutines at once, for different names.
type Controller struct {
	// Cluster to read from; Write must record into it (see state.Recorded).
	Cluster *state.Cluster
	Write   state.Writer
	// Known lists, by label, the values that the cloud's nodes may have; nil is
	// none. See NodePool.Validate.
	Known map[string][]string
}

// retrySoon follows a write that lost a race: by then the watch has caught up.
const retrySoon = 500 * time.Millisecond

// Reconcile brings one NodePool's metadata and status up to date. It returns when
// to look again, 0 for only when something changes; the error is to be retried
// with backoff.
func (c *Controller) Reconcile(ctx context.Context, now time.Time, name string) (again time.Duration, err error) {
	s := c.Cluster.Snapshot()
	pool, ok := s.NodePools.Get(name)
	if !ok {
		return 0, nil
	}
	if pool.DeletionTimestamp != nil {
		return 0, nil // the garbage collector deletes its claims
	}
	err = c.reconcile(ctx, now, s, pool.DeepCopy())
	switch {
	case apierrors.IsConflict(err):
		return retrySoon, nil
	case apierrors.IsNotFound(err):
		return 0, nil
	}
	return 0, err
}

func (c *Controller) reconcile(ctx context.Context, now time.Time, s *state.Snapshot, pool *v1.NodePool) error {
	claims := Claims(s, pool)
	if err := c.stamp(ctx, pool, claims); err != nil {
		return err
	}
	var generation int64 // of the NodeClass, 0 while there is none
	if class, ok := s.NodeClass(classRef(pool)); ok {
		generation = class.GetGeneration()
	}
	if err := c.forgive(ctx, pool, generation); err != nil {
		return err
	}
	before := pool.DeepCopy()
	pool.Status.Resources = usage(s, claims)
	pool.Status.Nodes = int64(len(claims))
	c.judge(now, s, pool)
	c.health(now, pool, claims)
	v1.SetReady(&pool.Status.Conditions, v1.NodePoolReadiness, pool.Generation, now)
	pool.Status.NodeClassObservedGeneration = generation
	if equality.Semantic.DeepEqual(before.Status, pool.Status) {
		return nil
	}
	// Conditions are one list, which a merge patch replaces whole: hence the lock.
	if err := c.Write.PatchStatus(ctx, pool, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})); err != nil {
		return fmt.Errorf("patching the status of NodePool %s: %w", pool.Name, err)
	}
	return nil
}

// Claims returns the NodeClaims of a pool, those being deleted included, by name.
func Claims(s *state.Snapshot, pool *v1.NodePool) []*v1.NodeClaim { return s.ClaimsOf(pool.Name) }

// annotate adds annotations to obj and writes it, if anything changed.
func (c *Controller) annotate(ctx context.Context, obj client.Object, add map[string]string) error {
	before := obj.DeepCopyObject().(client.Object)
	next := maps.Clone(obj.GetAnnotations())
	if next == nil {
		next = map[string]string{}
	}
	maps.Copy(next, add)
	if maps.Equal(next, obj.GetAnnotations()) {
		return nil
	}
	obj.SetAnnotations(next)
	return c.Write.Patch(ctx, obj, client.MergeFrom(before))
}

// forgive clears the count of failed registrations when the pool or its NodeClass,
// by its generation, has changed since they were judged: what was broken may be mended, and whoever
// mended it should not have to wait.
func (c *Controller) forgive(ctx context.Context, pool *v1.NodePool, generation int64) error {
	healthy := v1.GetCondition(pool.Status.Conditions, v1.ConditionNodeRegistrationHealthy)
	if healthy == nil || generation == 0 {
		return nil
	}
	if healthy.ObservedGeneration == pool.Generation && pool.Status.NodeClassObservedGeneration == generation {
		return nil
	}
	before := pool.DeepCopy()
	if _, ok := pool.Annotations[AnnotationFailures]; !ok {
		return nil
	}
	delete(pool.Annotations, AnnotationFailures)
	if err := c.Write.Patch(ctx, pool, client.MergeFrom(before)); err != nil {
		return fmt.Errorf("forgiving registration failures of NodePool %s: %w", pool.Name, err)
	}
	return nil
}

// judge sets the conditions that Ready depends on.
func (c *Controller) judge(now time.Time, s *state.Snapshot, pool *v1.NodePool) {
	valid := metav1.Condition{Type: v1.ConditionValidationSucceeded, Status: metav1.ConditionTrue, ObservedGeneration: pool.Generation}
	if problems := pool.Validate(c.Known); len(problems) > 0 {
		valid.Status, valid.Reason, valid.Message = metav1.ConditionFalse, "NodePoolValidationFailed", problems.ToAggregate().Error()
	}
	v1.SetCondition(&pool.Status.Conditions, valid, now)

	ready := metav1.Condition{Type: v1.ConditionNodeClassReady, Status: metav1.ConditionTrue, ObservedGeneration: pool.Generation}
	class, found := s.NodeClass(classRef(pool))
	var launchable bool
	var why string
	if found {
		launchable, why = class.Readiness()
	}
	switch {
	case !found:
		ready.Status, ready.Reason, ready.Message = metav1.ConditionFalse, "NodeClassNotFound", classRef(pool).String()+" was not found"
	case class.GetDeletionTimestamp() != nil:
		ready.Status, ready.Reason, ready.Message = metav1.ConditionFalse, "NodeClassTerminating", classRef(pool).String()+" is being deleted"
	case !launchable:
		ready.Status, ready.Reason, ready.Message = metav1.ConditionFalse, "NodeClassNotReady", why
	}
	v1.SetCondition(&pool.Status.Conditions, ready, now)
}

// unhealthyFrom is how many failures in a row make registration unhealthy. One
// may be a machine's own bad luck.
const unhealthyFrom = 2

// health sets NodeRegistrationHealthy from the count of failures and the claims
// that registered. A change of pool or class makes it unknown again.
func (c *Controller) health(now time.Time, pool *v1.NodePool, claims []*v1.NodeClaim) {
	healthy := metav1.Condition{
		Type: v1.ConditionNodeRegistrationHealthy, Status: metav1.ConditionUnknown,
		Reason: "AwaitingReconciliation", ObservedGeneration: pool.Generation,
		Message: "no node of the pool has registered yet",
	}
	until, failures := Backoff(pool)
	old := v1.GetCondition(pool.Status.Conditions, v1.ConditionNodeRegistrationHealthy)
	registered := slices.ContainsFunc(claims, func(claim *v1.NodeClaim) bool {
		return v1.IsTrue(claim.Status.Conditions, v1.ConditionRegistered)
	})
	switch {
	case failures >= unhealthyFrom:
		healthy.Status, healthy.Reason = metav1.ConditionFalse, "RegistrationFailed"
		healthy.Message = fmt.Sprintf("%d launches in a row did not become nodes; the next is tried after %s", failures, until.UTC().Format(time.RFC3339))
	case failures > 0 && old != nil:
		return // one failure proves nothing either way
	case failures == 0 && registered:
		healthy.Status, healthy.Reason, healthy.Message = metav1.ConditionTrue, "", ""
	case old != nil && old.Status == metav1.ConditionTrue && old.ObservedGeneration == pool.Generation:
		return // its nodes are gone; that they joined is still true
	}
	v1.SetCondition(&pool.Status.Conditions, healthy, now)
}

// usage sums what the pool's machines have: what a node reports once it is
// initialized, what was expected of it before. The common resources are always
// there, so that a dashboard shows 0 and not a gap.
func usage(s *state.Snapshot, claims []*v1.NodeClaim) corev1.ResourceList {
	sum := corev1.ResourceList{
		corev1.ResourceCPU: {}, corev1.ResourceMemory: {}, corev1.ResourcePods: {}, corev1.ResourceEphemeralStorage: {},
	}
	for _, claim := range claims {
		capacity := claim.Status.Capacity
		if node, ok := s.NodeOf(claim); ok && v1.IsTrue(claim.Status.Conditions, v1.ConditionInitialized) {
			capacity = node.Status.Capacity
		}
		for name, quantity := range capacity {
			total := sum[name]
			total.Add(quantity)
			sum[name] = total
		}
	}
	sum["nodes"] = *resource.NewQuantity(int64(len(claims)), resource.DecimalSI)
	return sum
}

func classRef(pool *v1.NodePool) cloudprovider.NodeClassRef {
	return cloudprovider.NodeClassRef(pool.Spec.Template.Spec.NodeClassRef)
}

// Concerned returns the names of the NodePools that a change of obj concerns: it
// says what to reconcile when a watch delivers obj.
func Concerned(c *state.Cluster, obj client.Object) []string {
	switch o := obj.(type) {
	case *v1.NodePool:
		return []string{o.Name}
	case *v1.NodeClaim, *corev1.Node:
		if pool := o.GetLabels()[v1.LabelNodePool]; pool != "" {
			return []string{pool}
		}
	case state.NodeClass:
		return using(c.Snapshot(), o.Ref())
	}
	return nil
}

// Counted reports whether obj is only summed up in the status of the NodePools that it concerns.
// There are thousands of such, which change all the time: those of a second or so are to be
// gathered.
func Counted(obj client.Object) bool {
	switch obj.(type) {
	case *v1.NodeClaim, *corev1.Node:
		return true
	}
	return false
}

// using returns the names of the NodePools that use a NodeClass, in order.
func using(s *state.Snapshot, class cloudprovider.NodeClassRef) []string {
	var names []string
	for _, pool := range s.NodePools.All() {
		if classRef(pool) == class {
			names = append(names, pool.Name)
		}
	}
	return names
}
