package lifecycle

import (
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1 "github.com/stowage-sh/stowage/provisioner/v1"
)

// stuckAfter is how long after its own deadline a terminating pod is still
// waited for: past that, the kubelet that should end it is not there.
const stuckAfter = time.Minute

// Terminal reports whether a pod has ended and holds nothing of its node any more.
func Terminal(pod *corev1.Pod) bool {
	return pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed
}

// OwnedByDaemonSet reports whether a DaemonSet made the pod: it belongs to its
// node and is not moved to another.
func OwnedByDaemonSet(pod *corev1.Pod) bool { return ownedBy(pod, "DaemonSet") }

func ownedBy(pod *corev1.Pod, kind string) bool {
	owner := metav1.GetControllerOf(pod)
	return owner != nil && owner.Kind == kind
}

// Static reports whether kubelet itself made the pod, from a file: the API can
// not evict it.
func Static(pod *corev1.Pod) bool {
	_, mirror := pod.Annotations[corev1.MirrorPodAnnotationKey]
	return mirror || ownedBy(pod, "Node")
}

// Reschedulable reports whether a bound pod will need a place elsewhere when its
// node goes: it runs, or a StatefulSet will make it again under its name, and
// neither a DaemonSet nor kubelet owns it.
func Reschedulable(pod *corev1.Pod) bool {
	if Terminal(pod) || OwnedByDaemonSet(pod) || Static(pod) {
		return false
	}
	return pod.DeletionTimestamp == nil || ownedBy(pod, "StatefulSet")
}

// Recreated reports whether another pod will come after a bound one when its node goes: it is
// Reschedulable, and has a controller that makes it anew. Nothing comes after a pod that stands
// alone.
func Recreated(pod *corev1.Pod) bool {
	return Reschedulable(pod) && metav1.GetControllerOf(pod) != nil
}

// Protected reports whether the pod's karpenter.sh/do-not-disrupt holds at now:
// "true", or a duration from the pod's start that has not passed. A value that
// is neither does not protect.
func Protected(now time.Time, pod *corev1.Pod) bool {
	var since time.Time // not started
	if pod.Status.StartTime != nil {
		since = pod.Status.StartTime.Time
	}
	return !Terminal(pod) && Shields(now, pod.Annotations, since)
}

// Shields reports whether karpenter.sh/do-not-disrupt among an object's annotations holds at now,
// for one that has been there since a time; zero is for one that has not begun.
func Shields(now time.Time, annotations map[string]string, since time.Time) bool {
	value, ok := annotations[v1.AnnotationDoNotDisrupt]
	if !ok || value == "true" {
		return ok
	}
	length, err := time.ParseDuration(value)
	return err == nil && (since.IsZero() || now.Before(since.Add(length)))
}

// Drainable reports whether a drain has to wait until the pod is gone: everything
// that runs, save what kubelet owns, what tolerates the disrupted taint (it asked
// to stay to the end), and what should have ended a minute ago and did not.
func Drainable(now time.Time, pod *corev1.Pod) bool {
	if Terminal(pod) || Static(pod) || toleratesDisrupted(pod) {
		return false
	}
	return pod.DeletionTimestamp == nil || now.Before(pod.DeletionTimestamp.Add(stuckAfter))
}

func toleratesDisrupted(pod *corev1.Pod) bool {
	taint := v1.DisruptedTaint()
	for i := range pod.Spec.Tolerations {
		if pod.Spec.Tolerations[i].ToleratesTaint(logr.Discard(), &taint, true) {
			return true
		}
	}
	return false
}

// drainGroup says when in a drain a pod's turn is: pods of users first, those
// that the system cannot do without last, and DaemonSets after the pods that may
// lean on them.
func drainGroup(pod *corev1.Pod) int {
	group := 0
	if pod.Spec.PriorityClassName == "system-cluster-critical" || pod.Spec.PriorityClassName == "system-node-critical" {
		group += 2
	}
	if OwnedByDaemonSet(pod) {
		group++
	}
	return group
}
