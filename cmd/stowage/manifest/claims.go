package manifest

import (
	"fmt"
	"maps"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/component-helpers/storage/ephemeral"
	"k8s.io/component-helpers/storage/volume"
)

// addClaims adds the claims that controllers would make for a new pod: one of each template of its
// StatefulSet, which outlive the pod and may be there, and those of its ephemeral volumes.
func (s *Set) addClaims(p *corev1.Pod, w *workload) error {
	at := s.objects[w.key].at
	add := func(name string, of corev1.PersistentVolumeClaim) error {
		if s.Has("PersistentVolumeClaim", p.Namespace, name) {
			return nil
		}
		of.Namespace, of.Name = p.Namespace, name
		if err := s.add(Key{"PersistentVolumeClaim", p.Namespace, name}, entry{&of, at}); err != nil {
			return fmt.Errorf("expanding %s: %w", w.key, err)
		}
		return nil
	}
	for i := range w.claims {
		t := &w.claims[i]
		claim := corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{Labels: t.Labels, Annotations: maps.Clone(t.Annotations)}, Spec: *t.Spec.DeepCopy()}
		if err := add(t.Name+"-"+p.Name, claim); err != nil {
			return err
		}
	}
	for i := range p.Spec.Volumes {
		v := &p.Spec.Volumes[i]
		if v.Ephemeral == nil || v.Ephemeral.VolumeClaimTemplate == nil {
			continue
		}
		claim := corev1.PersistentVolumeClaim{Spec: *v.Ephemeral.VolumeClaimTemplate.Spec.DeepCopy()}
		claim.OwnerReferences = []metav1.OwnerReference{{APIVersion: "v1", Kind: "Pod", Name: p.Name, UID: p.UID, Controller: new(true)}}
		if err := add(ephemeral.VolumeClaimName(p, v), claim); err != nil {
			return err
		}
	}
	return nil
}

// The StorageClass that is assumed where manifests alone do not say what a claim's class is.
const (
	assumedDriver  = "ebs.csi.aws.com"
	assumedDefault = "default"
	// isDefault is the annotation of the class that claims without one get.
	isDefault = "storageclass.kubernetes.io/is-default-class"
)

// completeClaims does for claims that were never on a server what the server and the controllers of
// volumes would: they get the default class, and are bound where they name their volume or one is
// there for them. A class that is not given is assumed, and said so: in a cluster it would be
// there; and so is where a class makes volumes that does not wait for a pod to say it.
func (s *Set) completeClaims() {
	byDefault, given := assumedDefault, map[string]*storagev1.StorageClass{}
	for _, class := range list[*storagev1.StorageClass](s) {
		given[class.Name] = class
		if class.Annotations[isDefault] == "true" {
			byDefault = class.Name
		}
	}
	volumes := list[*corev1.PersistentVolume](s)
	for _, claim := range list[*corev1.PersistentVolumeClaim](s) {
		if !byHand(claim) {
			continue
		}
		if claim.Spec.StorageClassName == nil && claim.Annotations[corev1.BetaStorageClassAnnotation] == "" {
			claim.Spec.StorageClassName = &byDefault
		}
		name := volume.GetPersistentVolumeClaimClass(claim)
		class := given[name]
		if s.bind(claim, class, volumes) || name == "" || s.live {
			continue
		}
		note := ""
		switch {
		case class == nil:
			note = "StorageClass " + name + " is not given: assuming EBS volumes that are made where their pod goes"
			s.objects[Key{Kind: "StorageClass", Name: name}] = entry{object: assumedClass(name, assumedDriver)}
		case bindsAtOnce(class) && class.Provisioner != volume.NotSupportedProvisioner:
			note = "StorageClass " + name + " binds at once: assuming volumes that are made where their pod goes"
			s.objects[Key{Kind: "StorageClass", Name: name}] = entry{object: assumedClass(name, class.Provisioner)}
		default:
			continue
		}
		count(s.notes, note, Key{"PersistentVolumeClaim", claim.Namespace, claim.Name}.String())
	}
}

// bind binds a claim to the volume that it names, or to one that is there if it does not wait for
// a pod, and reports whether it is bound.
func (s *Set) bind(claim *corev1.PersistentVolumeClaim, class *storagev1.StorageClass, volumes []*corev1.PersistentVolume) bool {
	name := claim.Spec.VolumeName
	if name == "" && (class == nil || bindsAtOnce(class)) {
		for _, pv := range volumes {
			if pv.Status.Phase == "" { // by hand as well
				pv.Status.Phase = corev1.VolumeAvailable
			}
		}
		pv, err := volume.FindMatchingVolume(claim, volumes, nil, nil, false, true)
		if err != nil || pv == nil {
			return false
		}
		pv.Spec.ClaimRef = &corev1.ObjectReference{Namespace: claim.Namespace, Name: claim.Name, UID: claim.UID}
		pv.Status.Phase = corev1.VolumeBound
		name = pv.Name
	}
	if !s.Has("PersistentVolume", "", name) {
		return false
	}
	claim.Spec.VolumeName, claim.Status.Phase = name, corev1.ClaimBound
	metav1.SetMetaDataAnnotation(&claim.ObjectMeta, volume.AnnBindCompleted, "yes")
	return true
}

// bindsAtOnce reports whether claims of a class do not wait for their first pod.
func bindsAtOnce(class *storagev1.StorageClass) bool {
	return class.VolumeBindingMode == nil || *class.VolumeBindingMode == storagev1.VolumeBindingImmediate
}

// assumedClass is a StorageClass as most clusters on EC2 have it.
func assumedClass(name, driver string) *storagev1.StorageClass {
	return &storagev1.StorageClass{
		ObjectMeta:        metav1.ObjectMeta{Name: name, UID: types.UID(madeUID + "StorageClass " + name)},
		Provisioner:       driver,
		VolumeBindingMode: new(storagev1.VolumeBindingWaitForFirstConsumer),
	}
}
