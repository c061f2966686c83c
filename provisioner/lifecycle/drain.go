package lifecycle

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "github.com/stowage-sh/stowage/provisioner/v1"
)

// drain evicts the pods of a claim's node, one group after the other, and reports
// whether none is left to wait for. Past the deadline nothing is waited for.
func (c *Controller) drain(ctx context.Context, now time.Time, claim *v1.NodeClaim, deadline time.Time) (done bool, err error) {
	node, ok := c.Cluster.Snapshot().NodeOf(claim)
	if !ok {
		return true, nil
	}
	before := claim.DeepCopy()
	started := v1.GetCondition(claim.Status.Conditions, v1.ConditionDrained)
	if started == nil {
		set(claim, now, v1.ConditionDrained, metav1.ConditionUnknown, "Draining", "pods are being evicted")
		started = v1.GetCondition(claim.Status.Conditions, v1.ConditionDrained)
	}
	left := c.turn(now, node.Name)
	overdue := !deadline.IsZero() && !now.Before(deadline)
	switch {
	case overdue && len(left) > 0:
		set(claim, now, v1.ConditionDrained, metav1.ConditionFalse, "TerminationGracePeriodElapsed", "pods were left when the deadline passed")
		done = true
	case overdue || len(left) == 0 && !now.Before(started.LastTransitionTime.Add(minDrain)):
		set(claim, now, v1.ConditionDrained, metav1.ConditionTrue)
		c.Metrics.drained(claim)
		done = true
	default:
		err = c.evict(ctx, now, node, evictionsOf{claim, left, deadline, drainReason(claim)})
	}
	if saveErr := c.saveStatus(ctx, now, claim, before); err == nil {
		err = saveErr
	}
	return done && err == nil, err
}

// turn returns the pods of the first group that is not gone yet, by namespace and
// name.
func (c *Controller) turn(now time.Time, node string) []*corev1.Pod {
	var left []*corev1.Pod
	for _, pod := range c.Cluster.Snapshot().PodsOn(node) {
		if Drainable(now, pod) {
			left = append(left, pod)
		}
	}
	slices.SortStableFunc(left, func(a, b *corev1.Pod) int { return cmp.Compare(drainGroup(a), drainGroup(b)) })
	for i, pod := range left {
		if drainGroup(pod) != drainGroup(left[0]) {
			return left[:i]
		}
	}
	return left
}

// evictionsOf are pods to evict, and when the claim stops to ask.
type evictionsOf struct {
	claim    *v1.NodeClaim
	pods     []*corev1.Pod
	deadline time.Time // zero: never
	reason   string    // why the node is going
}

// evict asks each pod to go whose turn it is to be asked. A refusal by a
// PodDisruptionBudget is no error: it is said on the node and asked again later.
func (c *Controller) evict(ctx context.Context, now time.Time, node *corev1.Node, e evictionsOf) error {
	var failed []error
	var blocked []string
	for _, pod := range e.pods {
		name := pod.Namespace + "/" + pod.Name
		switch {
		case pod.DeletionTimestamp != nil:
			continue
		case !e.deadline.IsZero() && !now.Before(e.deadline.Add(-gracePeriod(pod))):
			// Its own grace ends with the claim's: it is told, not asked.
			if err := c.Write.Delete(ctx, pod); client.IgnoreNotFound(err) != nil {
				failed = append(failed, fmt.Errorf("deleting pod %s: %w", name, err))
			}
			c.Events.Event(pod, corev1.EventTypeWarning, "Disrupted", "deleted: the node's termination grace period ends")
			continue
		case Protected(now, pod):
			blocked = append(blocked, name+" has "+v1.AnnotationDoNotDisrupt)
			continue
		case !c.evictions.due(now, pod.UID):
			continue
		}
		if handled, err := c.surge(ctx, e.claim, pod); handled {
			failed = append(failed, err)
			continue
		}
		err := c.Write.Evict(ctx, pod)
		c.Metrics.evicted(err, e)
		switch {
		case err == nil:
			c.evictions.granted(now, pod.UID)
			c.Events.Event(pod, corev1.EventTypeNormal, "Evicted", "Evicted pod: node "+node.Name+" is going")
		case apierrors.IsNotFound(err) || apierrors.IsConflict(err): // gone, or another of its name
		case apierrors.IsTooManyRequests(err) || apierrors.IsInternalError(err): // 500: two budgets cover it
			c.evictions.refused(now, pod.UID)
			blocked = append(blocked, fmt.Sprintf("%s: %v", name, err))
		default:
			c.evictions.refused(now, pod.UID)
			failed = append(failed, fmt.Errorf("evicting pod %s: %w", name, err))
		}
	}
	if len(blocked) > 0 && c.evictions.tell(now, node.UID) {
		c.Events.Event(node, corev1.EventTypeWarning, "FailedDraining", clip("Failed to drain node: "+strings.Join(blocked, "; ")))
	}
	return errors.Join(failed...)
}

func gracePeriod(pod *corev1.Pod) time.Duration {
	if s := pod.Spec.TerminationGracePeriodSeconds; s != nil {
		return time.Duration(*s) * time.Second
	}
	return corev1.DefaultTerminationGracePeriodSeconds * time.Second
}

// evictions remembers when pods that were refused may be asked for again. It is
// lost with the process, and then they are asked for at once.
type evictions struct {
	mu   sync.Mutex
	wait map[types.UID]wait
	told map[types.UID]time.Time // by node: when it was last said what blocks it
}

type wait struct {
	until time.Time
	delay time.Duration
}

// The first wait after a refused eviction, the longest, and how long after its
// end a wait is remembered.
const (
	firstWait = time.Second
	maxWait   = 10 * time.Second
	forgetAll = 5 * time.Minute
)

// tellAgain is how often users are told of the same trouble.
const tellAgain = 2 * time.Minute

func (e *evictions) due(now time.Time, pod types.UID) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return !now.Before(e.wait[pod].until)
}

// refused waits longer each time.
func (e *evictions) refused(now time.Time, pod types.UID) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delay := min(maxWait, max(firstWait, 2*e.wait[pod].delay))
	e.keep(now, pod, wait{until: now.Add(delay), delay: delay})
}

// granted keeps a pod from being asked for again before the watch has told that
// it is leaving.
func (e *evictions) granted(now time.Time, pod types.UID) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.keep(now, pod, wait{until: now.Add(maxWait)})
}

// keep remembers a wait, and forgets those long over. The lock is held.
func (e *evictions) keep(now time.Time, pod types.UID, w wait) {
	if e.wait == nil {
		e.wait = map[types.UID]wait{}
	}
	maps.DeleteFunc(e.wait, func(_ types.UID, w wait) bool { return now.After(w.until.Add(forgetAll)) })
	e.wait[pod] = w
}

// tell reports whether it is time to say what blocks a node.
func (e *evictions) tell(now time.Time, node types.UID) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.told == nil {
		e.told = map[types.UID]time.Time{}
	}
	maps.DeleteFunc(e.told, func(_ types.UID, at time.Time) bool { return now.Sub(at) >= tellAgain })
	if _, ok := e.told[node]; ok {
		return false
	}
	e.told[node] = now
	return true
}

// evictionCode is the label of the metric that counts evictions: the HTTP status
// of the answer, or 0 where there was none.
func evictionCode(err error) string {
	if err == nil {
		return "200"
	}
	if status := apierrors.APIStatus(nil); errors.As(err, &status) {
		return strconv.Itoa(int(status.Status().Code))
	}
	return "0"
}
