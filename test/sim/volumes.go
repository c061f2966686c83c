package sim

import (
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
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
	for _, pod := range stored[*corev1.Pod](k.w.API) {
		if pod.Spec.NodeName == "" || ended(pod) {
			continue
		}
		for _, volume := range k.volumesOf(pod) {
			_ = k.w.API.Create(&storagev1.VolumeAttachment{ // there already is as good
				ObjectMeta: metav1.ObjectMeta{Name: "csi-" + volume + "-" + pod.Spec.NodeName},
				Spec: storagev1.VolumeAttachmentSpec{
					Attacher: "ebs.csi.aws.com", NodeName: pod.Spec.NodeName,
					Source: storagev1.VolumeAttachmentSource{PersistentVolumeName: &volume},
				},
				Status: storagev1.VolumeAttachmentStatus{Attached: true},
			})
		}
	}
	for _, a := range stored[*storagev1.VolumeAttachment](k.w.API) {
		if !k.wanted(a, func(p *corev1.Pod) bool { return !ended(p) }) {
			_ = k.w.API.Delete(a) // listed just now
		}
	}
}

// wanted reports whether such a pod on the node has the volume.
func (k *kubernetes) wanted(a *storagev1.VolumeAttachment, such func(*corev1.Pod) bool) bool {
	return slices.ContainsFunc(stored[*corev1.Pod](k.w.API), func(p *corev1.Pod) bool {
		return p.Spec.NodeName == a.Spec.NodeName && such(p) && slices.Contains(k.volumesOf(p), *a.Spec.Source.PersistentVolumeName)
	})
}

// checkDetached fails the world if a machine that is being given back still has a volume
// that had to be detached first: one that exists, and is not of a pod that stays.
func (k *kubernetes) checkDetached(m *machine) {
	for _, a := range stored[*storagev1.VolumeAttachment](k.w.API) {
		name := *a.Spec.Source.PersistentVolumeName
		if _, exists := Get[*corev1.PersistentVolume](k.w.API, "", name); !exists || m.node == "" || a.Spec.NodeName != m.node {
			continue
		}
		if !k.wanted(a, func(p *corev1.Pod) bool { return stays(p) || stuck(k.w.Now, p) }) {
			k.w.Fail(fmt.Errorf("machine %s was given back with volume %s attached", m.ID, name))
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
	volume := &corev1.PersistentVolume{ObjectMeta: metav1.ObjectMeta{Name: name}}
	volume.Spec.AccessModes, volume.Spec.Capacity = modes, size
	volume.Spec.CSI = &corev1.CSIPersistentVolumeSource{Driver: "ebs.csi.aws.com", VolumeHandle: "vol-" + name}
	volume.Spec.ClaimRef = &corev1.ObjectReference{Namespace: "default", Name: name}
	claim := &corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name}}
	claim.Spec.AccessModes, claim.Spec.VolumeName = modes, name
	claim.Spec.Resources.Requests = size
	claim.Status.Phase = corev1.ClaimBound
	if err := w.API.Create(volume); err != nil {
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
