package sim

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/component-helpers/storage/volume"
)

// soonAttach has the volumes attached or detached that a change of a pod concerns.
func (k *kubernetes) soonAttach(pod *corev1.Pod) {
	if !k.attaching && len(pod.Spec.Volumes) > 0 {
		k.attaching = true
		k.w.After(attachDelay, k.attach)
	}
}

// attach makes a VolumeAttachment for each volume on each node that has a pod with it, and
// deletes those that have none: only then, as kube-controller-manager does. A driver that
// does not answer is a finalizer.
func (k *kubernetes) attach() {
	k.attaching = false
	wanted := k.onNodes(func(p *corev1.Pod) bool { return !ended(p) })
	for _, m := range slices.SortedFunc(maps.Keys(wanted), func(a, b mount) int {
		return cmp.Or(cmp.Compare(a.volume, b.volume), cmp.Compare(a.node, b.node))
	}) {
		_ = k.w.API.Create(&storagev1.VolumeAttachment{ // there already is as good
			ObjectMeta: metav1.ObjectMeta{Name: "csi-" + m.volume + "-" + m.node},
			Spec: storagev1.VolumeAttachmentSpec{
				Attacher: "ebs.csi.aws.com", NodeName: m.node, Source: storagev1.VolumeAttachmentSource{PersistentVolumeName: &m.volume},
			},
			Status: storagev1.VolumeAttachmentStatus{Attached: true},
		})
	}
	for _, a := range stored[*storagev1.VolumeAttachment](k.w.API) {
		if !wanted[mountOf(a)] {
			_ = k.w.API.Delete(a) // listed just now
		}
	}
}

// A mount is a volume on a node.
type mount struct{ volume, node string }

func mountOf(a *storagev1.VolumeAttachment) mount {
	return mount{*a.Spec.Source.PersistentVolumeName, a.Spec.NodeName}
}

// onNodes finds the volumes of such pods that have a node.
func (k *kubernetes) onNodes(such func(*corev1.Pod) bool) map[mount]bool {
	found := map[mount]bool{}
	for _, pod := range stored[*corev1.Pod](k.w.API) {
		if pod.Spec.NodeName == "" || len(pod.Spec.Volumes) == 0 || !such(pod) {
			continue
		}
		for _, name := range k.volumesOf(pod) {
			found[mount{name, pod.Spec.NodeName}] = true
		}
	}
	return found
}

// checkDetached fails the world if a machine that is being given back still has a volume
// that had to be detached first: one that exists, and is not of a pod that stays.
func (k *kubernetes) checkDetached(now time.Time, m *machine) {
	kept := k.onNodes(func(p *corev1.Pod) bool { return stays(p) || stuck(now, p) })
	for _, a := range stored[*storagev1.VolumeAttachment](k.w.API) {
		at := mountOf(a)
		_, exists := Get[*corev1.PersistentVolume](k.w.API, "", at.volume)
		if exists && m.node != "" && at.node == m.node && !kept[at] {
			k.w.Fail(fmt.Errorf("machine %s was given back with volume %s attached", m.ID, at.volume))
		}
	}
}

// volumesOf lists the volumes of a pod's claims.
func (k *kubernetes) volumesOf(pod *corev1.Pod) (volumes []string) {
	for _, v := range pod.Spec.Volumes {
		if v.PersistentVolumeClaim == nil {
			continue
		}
		if claim, ok := Get[*corev1.PersistentVolumeClaim](k.w.API, pod.Namespace, v.PersistentVolumeClaim.ClaimName); ok && claim.Spec.VolumeName != "" {
			volumes = append(volumes, claim.Spec.VolumeName)
		}
	}
	return volumes
}

// Volume makes a claim and the volume that it is bound to, and gives a pod both. They have
// the name.
func (w *World) Volume(name string, pod *corev1.Pod) error {
	modes := []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce}
	size := corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Gi")}
	pv := &corev1.PersistentVolume{ObjectMeta: metav1.ObjectMeta{Name: name}}
	pv.Spec.AccessModes, pv.Spec.Capacity = modes, size
	pv.Spec.CSI = &corev1.CSIPersistentVolumeSource{Driver: "ebs.csi.aws.com", VolumeHandle: "vol-" + name}
	pv.Spec.ClaimRef = &corev1.ObjectReference{Namespace: "default", Name: name}
	claim := &corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{
		Namespace: "default", Name: name, Annotations: map[string]string{volume.AnnBindCompleted: "yes"},
	}}
	claim.Spec.AccessModes, claim.Spec.VolumeName = modes, name
	claim.Spec.Resources.Requests = size
	claim.Status.Phase = corev1.ClaimBound
	if err := w.API.Create(pv); err != nil {
		return err
	}
	Mount(pod, name)
	return w.API.Create(claim)
}

// Mount gives a pod the volume of a claim.
func Mount(pod *corev1.Pod, claim string) {
	pod.Spec.Volumes = append(pod.Spec.Volumes, corev1.Volume{Name: claim, VolumeSource: corev1.VolumeSource{
		PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: claim},
	}})
}
