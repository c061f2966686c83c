package problem_test

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/component-helpers/storage/volume"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// diskDriver is the CSI driver of the random worlds.
const diskDriver = "disk.csi"

// storage adds StorageClasses, volumes that nobody has yet, and what nodes say of the driver.
func (d dice) storage(w *world) {
	wait, now := storagev1.VolumeBindingWaitForFirstConsumer, storagev1.VolumeBindingImmediate
	made := &storagev1.StorageClass{ObjectMeta: metav1.ObjectMeta{Name: "made"}, Provisioner: diskDriver, VolumeBindingMode: &wait}
	if d.in(2) {
		made.AllowedTopologies = []corev1.TopologySelectorTerm{{MatchLabelExpressions: []corev1.TopologySelectorLabelRequirement{
			{Key: corev1.LabelTopologyZone, Values: []string{d.one("a", "b"), "c"}},
		}}}
	}
	w.objects = append(w.objects, made,
		&storagev1.StorageClass{ObjectMeta: metav1.ObjectMeta{Name: "found"}, Provisioner: volume.NotSupportedProvisioner, VolumeBindingMode: &wait},
		&storagev1.StorageClass{ObjectMeta: metav1.ObjectMeta{Name: "now"}, Provisioner: diskDriver, VolumeBindingMode: &now})
	for i := range d.IntN(4) {
		pv := d.volume(fmt.Sprint("free", i))
		pv.Labels = nil // kube-scheduler reads them once it is bound, too late for some
		pv.Spec.StorageClassName, pv.Status.Phase = d.one("found", "found", "made"), corev1.VolumeAvailable
		w.objects = append(w.objects, pv)
	}
	if d.in(2) {
		for i := range w.catalog.InstanceTypes {
			w.catalog.InstanceTypes[i].VolumeLimits = map[string]int64{diskDriver: 2}
		}
	}
}

// volume is one that is in a zone, or everywhere.
func (d dice) volume(name string) *corev1.PersistentVolume {
	pv := &corev1.PersistentVolume{ObjectMeta: metav1.ObjectMeta{Name: name}}
	pv.Spec.Capacity = corev1.ResourceList{corev1.ResourceStorage: resource.MustParse(d.one("1Gi", "2Gi", "3Gi"))}
	pv.Spec.AccessModes = []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce}
	pv.Spec.CSI = &corev1.CSIPersistentVolumeSource{Driver: diskDriver, VolumeHandle: name}
	switch d.IntN(4) {
	case 0:
		pv.Labels = map[string]string{d.one(corev1.LabelTopologyZone, corev1.LabelFailureDomainBetaZone): d.one("a", "b", "a__c")}
	case 1:
	default:
		pv.Spec.NodeAffinity = &corev1.VolumeNodeAffinity{Required: &corev1.NodeSelector{NodeSelectorTerms: []corev1.NodeSelectorTerm{
			{MatchExpressions: []corev1.NodeSelectorRequirement{{Key: corev1.LabelTopologyZone, Operator: corev1.NodeSelectorOpIn, Values: []string{d.one("a", "b", "c")}}}},
		}}}
	}
	return pv
}

// csiNode is what the driver says of a node, if it does.
func (d dice) csiNode(node string) []client.Object {
	if d.in(3) {
		return nil
	}
	n := &storagev1.CSINode{ObjectMeta: metav1.ObjectMeta{Name: node}}
	n.Spec.Drivers = []storagev1.CSINodeDriver{{Name: diskDriver, NodeID: node}}
	if d.in(2) {
		n.Spec.Drivers[0].Allocatable = &storagev1.VolumeNodeResources{Count: new(int32(1 + d.IntN(2)))}
	}
	return []client.Object{n}
}

// A claiming is how the pods of one group come by a volume.
type claiming struct {
	class     string // "bound" for a volume that is there
	shared    bool
	ephemeral bool
	mode      corev1.PersistentVolumeAccessMode
}

// claiming is mostly none.
func (d dice) claiming() *claiming {
	if !d.in(4) {
		return nil
	}
	return &claiming{d.one("made", "made", "found", "bound", "bound", "now"), d.in(4), d.in(6),
		corev1.PersistentVolumeAccessMode(d.one(string(corev1.ReadWriteOnce), string(corev1.ReadWriteOnce), string(corev1.ReadWriteOncePod)))}
}

// give gives a pod a volume with its claim.
func (c *claiming) give(d dice, w *world, p *corev1.Pod, group string) {
	if c == nil {
		return
	}
	name := "v-" + p.Name
	v := corev1.Volume{Name: "v"}
	switch {
	case c.ephemeral:
		v.Ephemeral, name = &corev1.EphemeralVolumeSource{}, p.Name+"-v"
	case c.shared:
		name = "v-" + group
		fallthrough
	default:
		v.PersistentVolumeClaim = &corev1.PersistentVolumeClaimVolumeSource{ClaimName: name}
	}
	p.Spec.Volumes = append(p.Spec.Volumes, v)
	for _, o := range w.objects {
		if claim, ok := o.(*corev1.PersistentVolumeClaim); ok && claim.Name == name && claim.Namespace == p.Namespace {
			return
		}
	}
	if d.in(12) {
		return // somebody is yet to make it
	}
	claim := &corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{Namespace: p.Namespace, Name: name}}
	claim.Spec.AccessModes = []corev1.PersistentVolumeAccessMode{c.mode}
	claim.Spec.Resources.Requests = corev1.ResourceList{corev1.ResourceStorage: resource.MustParse(d.one("1Gi", "2Gi"))}
	claim.Spec.StorageClassName = &c.class
	if c.ephemeral {
		complete(p)
		claim.OwnerReferences = []metav1.OwnerReference{{APIVersion: "v1", Kind: "Pod", Name: p.Name, UID: p.UID, Controller: new(true)}}
	}
	if c.class == "bound" {
		pv := d.volume("of-" + p.Namespace + "-" + name)
		pv.Spec.ClaimRef, pv.Status.Phase = &corev1.ObjectReference{Namespace: claim.Namespace, Name: claim.Name}, corev1.VolumeBound
		claim.Spec.VolumeName, claim.Status.Phase = pv.Name, corev1.ClaimBound
		claim.Annotations = map[string]string{volume.AnnBindCompleted: "yes"}
		w.objects = append(w.objects, pv)
	}
	w.objects = append(w.objects, claim)
}

// addStorage adds what the world has of storage.
func (f *future) addStorage() {
	for _, o := range f.world.objects {
		switch o.(type) {
		case *corev1.Namespace, *corev1.PersistentVolumeClaim, *corev1.PersistentVolume, *storagev1.StorageClass, *storagev1.CSINode, *storagev1.VolumeAttachment:
			f.Objects = append(f.Objects, o)
		}
	}
}

// addCSINode says of a node that is to come what the cloud expects.
func (f *future) addCSINode(n *corev1.Node) {
	for _, o := range f.Objects {
		if csi, ok := o.(*storagev1.CSINode); ok && csi.Name == n.Name {
			return
		}
	}
	csi := &storagev1.CSINode{ObjectMeta: metav1.ObjectMeta{Name: n.Name}}
	if kind, ok := f.world.catalog.InstanceType(n.Labels[corev1.LabelInstanceTypeStable]); ok {
		for driver, limit := range kind.VolumeLimits {
			csi.Spec.Drivers = append(csi.Spec.Drivers, storagev1.CSINodeDriver{Name: driver, NodeID: n.Name, Allocatable: &storagev1.VolumeNodeResources{Count: new(int32(limit))}})
		}
	}
	f.Objects = append(f.Objects, csi)
}
