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
// volumes would: they get the default class, and are bound where they name their volume. A class
// that is not given is assumed, and said so: in a cluster it would be there.
func (s *Set) completeClaims() {
	byDefault, given := assumedDefault, map[string]bool{}
	for _, class := range list[*storagev1.StorageClass](s) {
		given[class.Name] = true
		if class.Annotations[isDefault] == "true" {
			byDefault = class.Name
		}
	}
	for _, claim := range list[*corev1.PersistentVolumeClaim](s) {
		if !byHand(claim) {
			continue
		}
		if name := claim.Spec.VolumeName; name != "" && s.Has("PersistentVolume", "", name) {
			metav1.SetMetaDataAnnotation(&claim.ObjectMeta, volume.AnnBindCompleted, "yes")
			continue
		}
		if claim.Spec.StorageClassName == nil && claim.Annotations[corev1.BetaStorageClassAnnotation] == "" {
			claim.Spec.StorageClassName = &byDefault
		}
		if name := volume.GetPersistentVolumeClaimClass(claim); name != "" && !s.live && !given[name] {
			s.objects[Key{Kind: "StorageClass", Name: name}] = entry{object: assumedClass(name)}
			count(s.notes, "StorageClass "+name+" is not given: assuming EBS volumes that are made where their pod goes", Key{"PersistentVolumeClaim", claim.Namespace, claim.Name}.String())
		}
	}
}

// assumedClass is a StorageClass as most clusters on EC2 have it.
func assumedClass(name string) *storagev1.StorageClass {
	return &storagev1.StorageClass{
		ObjectMeta:        metav1.ObjectMeta{Name: name, UID: types.UID(madeUID + "StorageClass " + name)},
		Provisioner:       assumedDriver,
		VolumeBindingMode: new(storagev1.VolumeBindingWaitForFirstConsumer),
	}
}
