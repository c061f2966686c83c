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

	"github.com/stowage-sh/stowage/provisioner/state"
	v1 "github.com/stowage-sh/stowage/provisioner/v1"
)

// A leaving is a node on its way out, as one step sees it. The claim is the step's own
// copy.
type leaving struct {
	snapshot *state.Snapshot
	claim    *v1.NodeClaim
	node     *corev1.Node
	deadline time.Time // when nothing is waited for any more; zero: never
}

// overdue reports whether the deadline has passed.
func (l *leaving) overdue(now time.Time) bool {
	return !l.deadline.IsZero() && !now.Before(l.deadline)
}

// empty moves a node towards being without pods and volumes that have to go first, and
// reports whether there are none to wait for. If there are, it says when to look again.
func (c *Controller) empty(ctx context.Context, now time.Time, l *leaving) (done bool, again time.Duration, err error) {
	before := l.claim.DeepCopy()
	drained, again := c.drain(ctx, now, l)
	done = drained && c.detached(now, l)
	if err := c.saveStatus(ctx, now, l.claim, before); err != nil {
		return false, 0, err
	}
	if v1.IsTrue(l.claim.Status.Conditions, v1.ConditionDrained) && !v1.IsTrue(before.Status.Conditions, v1.ConditionDrained) {
		c.Metrics.drained(l.claim)
	}
	return done, again, nil
}

// drain has the pods of a node go, one group after the other, and reports whether none
// is left to wait for. Past the deadline nothing is waited for.
func (c *Controller) drain(ctx context.Context, now time.Time, l *leaving) (done bool, again time.Duration) {
	left := l.waitedFor(now)
	again = c.move(ctx, now, l, left)
	switch drained := v1.GetCondition(l.claim.Status.Conditions, v1.ConditionDrained); {
	case l.overdue(now) && len(left) > 0:
		set(l.claim, now, v1.ConditionDrained, metav1.ConditionFalse, elapsed, "pods were left when the deadline passed")
		return true, 0
	case len(left) > 0 || drained == nil && !l.overdue(now):
		set(l.claim, now, v1.ConditionDrained, metav1.ConditionUnknown, "Draining", "pods are being evicted")
		return false, again
	case l.overdue(now) || drained.Status == metav1.ConditionTrue || !now.Before(drained.LastTransitionTime.Add(minDrain)):
		set(l.claim, now, v1.ConditionDrained, metav1.ConditionTrue)
		return true, again
	}
	return false, again
}

// elapsed is why conditions of the end are False: what they wait for was overruled.
const elapsed = "TerminationGracePeriodElapsed"

// waitedFor returns the pods that the drain waits for, by group, namespace and name.
func (l *leaving) waitedFor(now time.Time) []*corev1.Pod {
	var left []*corev1.Pod
	for _, pod := range l.snapshot.PodsOn(l.node.Name) {
		if Drainable(now, pod) {
			left = append(left, pod)
		}
	}
	slices.SortStableFunc(left, func(a, b *corev1.Pod) int { return cmp.Compare(drainGroup(a), drainGroup(b)) })
	return left
}

// move tells the pods to go whose time ends, and asks those of the first group. What
// refuses, or may not be asked, is no error: it is said on the node, and it is asked again
// later. move returns when to look again.
func (c *Controller) move(ctx context.Context, now time.Time, l *leaving, pods []*corev1.Pod) (again time.Duration) {
	again = drainPoll
	var blocked []string
	for _, pod := range pods {
		why, wait := "", time.Duration(0)
		if grace, told := l.grace(now, pod); told {
			why, wait = c.tell(ctx, now, l, pod, grace)
		} else if pod.DeletionTimestamp == nil && drainGroup(pod) == drainGroup(pods[0]) {
			why, wait = c.ask(ctx, now, l, pod)
		}
		if why != "" {
			blocked = append(blocked, fmt.Sprintf("%s/%s %s", pod.Namespace, pod.Name, why))
		}
		if wait > 0 {
			again = min(again, wait)
		}
	}
	if len(blocked) > 0 && c.evictions.say(now, l.node.UID, "FailedDraining") {
		c.Events.Event(l.node, corev1.EventTypeWarning, "FailedDraining", clip("Failed to drain node: "+strings.Join(blocked, "; ")))
	}
	return again
}

// grace reports whether a pod is to be told to go now, and with how many seconds to end:
// so early that its own grace period ends with the node's, or else with what is left, and
// never with none, which would take it out of the API while it still runs. One that was
// told by others, and would outlast the node, is cut at the last moment.
func (l *leaving) grace(now time.Time, pod *corev1.Pod) (seconds int64, told bool) {
	switch {
	case l.deadline.IsZero():
		return 0, false
	case pod.DeletionTimestamp != nil:
		return 1, pod.DeletionTimestamp.After(l.deadline) && !now.Before(l.deadline.Add(-lastCall))
	}
	return max(1, int64(l.deadline.Sub(now)/time.Second)), !now.Before(l.deadline.Add(-GracePeriod(pod)))
}

// tell deletes a pod, whatever protects it. It returns why the pod stays, and how long until
// something is to be tried again, 0 for when anything changes.
func (c *Controller) tell(ctx context.Context, now time.Time, l *leaving, pod *corev1.Pod, grace int64) (why string, wait time.Duration) {
	if why, wait := c.evictions.pending(now, pod.UID, true); wait > 0 {
		return why, wait
	}
	if err := c.Write.Delete(ctx, pod, client.GracePeriodSeconds(grace)); client.IgnoreNotFound(err) != nil {
		return c.evictions.refused(now, pod.UID, true, fmt.Sprintf("cannot be deleted: %v", err))
	}
	c.evictions.granted(now, pod.UID, true)
	c.Events.Event(pod, corev1.EventTypeWarning, "Disrupted", fmt.Sprintf(
		"Deleted, whatever protects it, with %d s to end: node %s goes at %s", grace, l.node.Name, l.deadline.UTC().Format(time.RFC3339)))
	return "", 0
}

// ask has a pod evicted, if it may be asked. What it returns is as with tell.
func (c *Controller) ask(ctx context.Context, now time.Time, l *leaving, pod *corev1.Pod) (why string, wait time.Duration) {
	if Protected(now, pod) {
		return "has " + v1.AnnotationDoNotDisrupt, 0
	}
	if why, wait := c.evictions.pending(now, pod.UID, false); wait > 0 {
		return why, wait
	}
	if rolled, err := c.surge(ctx, l.claim, pod); err != nil {
		return c.evictions.refused(now, pod.UID, false, fmt.Sprintf("cannot be replaced first: %v", err))
	} else if rolled {
		return "", 0
	}
	err := c.Write.Evict(ctx, pod)
	c.Metrics.evicted(err, drainReason(l.claim))
	switch {
	case err == nil:
		c.evictions.granted(now, pod.UID, false)
		c.Events.Event(pod, corev1.EventTypeNormal, "Evicted", "Evicted pod: node "+l.node.Name+" is going")
	case apierrors.IsNotFound(err) || apierrors.IsConflict(err): // gone, or another of its name
	default: // 429: its PodDisruptionBudget; 500: it has two of them; others: a webhook, or no answer
		return c.evictions.refused(now, pod.UID, false, fmt.Sprintf("cannot be evicted: %v", err))
	}
	return "", 0
}

// GracePeriod is how long a pod may take to end.
func GracePeriod(pod *corev1.Pod) time.Duration {
	if s := pod.Spec.TerminationGracePeriodSeconds; s != nil {
		return time.Duration(*s) * time.Second
	}
	return corev1.DefaultTerminationGracePeriodSeconds * time.Second
}

// evictions remembers when pods that were asked or told to go may be again. It is
// lost with the process, and then they are at once.
type evictions struct {
	mu   sync.Mutex
	wait map[types.UID]wait
	said map[said]time.Time // when it was last said what blocks a node
}

type wait struct {
	until time.Time
	delay time.Duration
	told  bool   // the pod was told, not asked
	why   string // it was refused; empty if it was granted
}

// said is a reason of an event on a node.
type said struct {
	node   types.UID
	reason string
}

// The first wait after a refusal, the longest, and how long after its end a wait is
// remembered.
const (
	firstWait = 100 * time.Millisecond
	maxWait   = 10 * time.Second
	forgetAll = 5 * time.Minute
)

// tellAgain is how often users are told of the same trouble.
const tellAgain = 2 * time.Minute

// pending returns how long a pod may not be asked, or told, yet, and why it stays. Who was
// only asked may be told at once.
func (e *evictions) pending(now time.Time, pod types.UID, tell bool) (why string, left time.Duration) {
	e.mu.Lock()
	defer e.mu.Unlock()
	w := e.wait[pod]
	if tell && !w.told {
		return "", 0
	}
	return w.why, w.until.Sub(now)
}

// refused notes why a pod stays, and returns it with how long to wait: longer each time.
func (e *evictions) refused(now time.Time, pod types.UID, told bool, why string) (string, time.Duration) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delay := min(maxWait, max(firstWait, 2*e.wait[pod].delay))
	e.keep(now, pod, wait{until: now.Add(delay), delay: delay, told: told, why: why})
	return why, delay
}

// granted keeps a pod from being asked or told again before the watch has said that
// it is leaving.
func (e *evictions) granted(now time.Time, pod types.UID, told bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.keep(now, pod, wait{until: now.Add(maxWait), told: told})
}

// keep remembers a wait, and forgets those long over. The lock is held.
func (e *evictions) keep(now time.Time, pod types.UID, w wait) {
	if e.wait == nil {
		e.wait = map[types.UID]wait{}
	}
	maps.DeleteFunc(e.wait, func(_ types.UID, w wait) bool { return now.After(w.until.Add(forgetAll)) })
	e.wait[pod] = w
}

// say reports whether it is time to say for a reason what blocks a node.
func (e *evictions) say(now time.Time, node types.UID, reason string) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.said == nil {
		e.said = map[said]time.Time{}
	}
	maps.DeleteFunc(e.said, func(_ said, at time.Time) bool { return now.Sub(at) >= tellAgain })
	key := said{node, reason}
	if _, ok := e.said[key]; ok {
		return false
	}
	e.said[key] = now
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
