package state

import (
	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/component-helpers/storage/ephemeral"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Storage is what decides where pods with volumes may go, and when a node may go that
// has some attached.
type Storage struct {
	Claims      List[*corev1.PersistentVolumeClaim]
	Volumes     List[*corev1.PersistentVolume]
	Classes     List[*storagev1.StorageClass]
	Drivers     List[*storagev1.CSIDriver]
	CSINodes    List[*storagev1.CSINode] // each has the name of its Node
	Attachments List[*storagev1.VolumeAttachment]
}

// ClaimsOf calls yield with each claim of a pod that exists.
func (s *Storage) ClaimsOf(p *corev1.Pod, yield func(*corev1.PersistentVolumeClaim)) {
	for i := range p.Spec.Volumes {
		if name, ok := ClaimName(p, &p.Spec.Volumes[i]); ok {
			if claim, ok := s.Claims.Namespaced(p.Namespace, name); ok {
				yield(claim)
			}
		}
	}
}

// ClaimName returns the name of the claim of a pod's volume, if it has one.
func ClaimName(p *corev1.Pod, v *corev1.Volume) (string, bool) {
	switch {
	case v.PersistentVolumeClaim != nil:
		return v.PersistentVolumeClaim.ClaimName, true
	case v.Ephemeral != nil:
		return ephemeral.VolumeClaimName(p, v), true
	}
	return "", false
}

// storageTables are the live form of Storage.
type storageTables struct {
	claims      table[*corev1.PersistentVolumeClaim]
	volumes     table[*corev1.PersistentVolume]
	classes     table[*storagev1.StorageClass]
	drivers     table[*storagev1.CSIDriver]
	nodes       table[*storagev1.CSINode]
	attachments table[*storagev1.VolumeAttachment]
}

func (t *storageTables) put(obj client.Object) bool {
	switch o := obj.(type) {
	case *corev1.PersistentVolumeClaim:
		return t.claims.put(o)
	case *corev1.PersistentVolume:
		return t.volumes.put(o)
	case *storagev1.StorageClass:
		return t.classes.put(o)
	case *storagev1.CSIDriver:
		return t.drivers.put(o)
	case *storagev1.CSINode:
		return t.nodes.put(o)
	case *storagev1.VolumeAttachment:
		return t.attachments.put(o)
	}
	return false
}

func (t *storageTables) remove(obj client.Object) bool {
	switch o := obj.(type) {
	case *corev1.PersistentVolumeClaim:
		return t.claims.remove(o)
	case *corev1.PersistentVolume:
		return t.volumes.remove(o)
	case *storagev1.StorageClass:
		return t.classes.remove(o)
	case *storagev1.CSIDriver:
		return t.drivers.remove(o)
	case *storagev1.CSINode:
		return t.nodes.remove(o)
	case *storagev1.VolumeAttachment:
		return t.attachments.remove(o)
	}
	return false
}

func (t *storageTables) freeze() Storage {
	return Storage{
		Claims:      t.claims.freeze(),
		Volumes:     t.volumes.freeze(),
		Classes:     t.classes.freeze(),
		Drivers:     t.drivers.freeze(),
		CSINodes:    t.nodes.freeze(),
		Attachments: t.attachments.freeze(),
	}
}
