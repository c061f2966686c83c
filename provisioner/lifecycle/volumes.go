package lifecycle

import (
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1 "github.com/stowage-sh/stowage/provisioner/v1"
)

// detached reports whether a drained node has no volume left that has to be detached
// before its machine goes, and says so on its claim. kube-controller-manager detaches a
// volume once kubelet has unmounted it; taken away with its machine it would take six
// minutes until it is attached elsewhere, and its VolumeAttachment might stay for ever. Past
// the deadline nothing is waited for.
func (c *Controller) detached(now time.Time, l *leaving) bool {
	var waiting []string
	for _, a := range l.attached(now) {
		waiting = append(waiting, fmt.Sprintf("%s (VolumeAttachment %s)", *a.Spec.Source.PersistentVolumeName, a.Name))
	}
	message := clip("still attached: " + strings.Join(waiting, ", "))
	switch {
	case len(waiting) == 0:
		set(l.claim, now, v1.ConditionVolumesDetached, metav1.ConditionTrue)
		return true
	case l.overdue(now):
		set(l.claim, now, v1.ConditionVolumesDetached, metav1.ConditionFalse, elapsed, message)
		return true
	}
	const reason = "AwaitingVolumeDetachment"
	set(l.claim, now, v1.ConditionVolumesDetached, metav1.ConditionUnknown, reason, message)
	if c.evictions.say(now, l.node.UID, reason) {
		c.Events.Event(l.node, corev1.EventTypeWarning, reason, "Volumes are "+message)
	}
	return false
}

// attached returns what is attached to the node and has to be detached first: all volumes
// but those of pods that stay to the end, which nobody detaches, and those that are no
// more, which nobody waits for. A volume that several nodes share is attached to each by
// itself.
func (l *leaving) attached(now time.Time) []*storagev1.VolumeAttachment {
	storage := &l.snapshot.Storage
	stays := map[string]bool{}
	for _, pod := range l.snapshot.PodsOn(l.node.Name) {
		if !Terminal(pod) && !Drainable(now, pod) {
			storage.ClaimsOf(pod, func(claim *corev1.PersistentVolumeClaim) { stays[claim.Spec.VolumeName] = true })
		}
	}
	var waiting []*storagev1.VolumeAttachment
	for _, a := range storage.Attachments.All() {
		volume := a.Spec.Source.PersistentVolumeName
		if a.Spec.NodeName != l.node.Name || volume == nil || stays[*volume] {
			continue
		}
		if _, ok := storage.Volumes.Get(*volume); ok {
			waiting = append(waiting, a)
		}
	}
	return waiting
}
