package oracle

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/tools/cache"
	"k8s.io/component-helpers/storage/ephemeral"
	"k8s.io/component-helpers/storage/volume"
	fwk "k8s.io/kube-scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/framework"
)

// A store holds the objects that the plugins look up, as the informers of the scheduler would.
// Nothing fills it but this package.
type store struct {
	informers.SharedInformerFactory
}

// add puts in an object of a kind that a plugin reads.
func (s store) add(o runtime.Object) error {
	indexer, err := s.of(o)
	if err != nil {
		return err
	}
	if err := indexer.Add(o); err != nil {
		return fmt.Errorf("listing a %T: %w", o, err)
	}
	return nil
}

func (s store) of(o runtime.Object) (cache.Indexer, error) {
	switch o.(type) {
	case *corev1.Namespace:
		return s.Core().V1().Namespaces().Informer().GetIndexer(), nil
	case *corev1.PersistentVolumeClaim:
		return s.Core().V1().PersistentVolumeClaims().Informer().GetIndexer(), nil
	case *corev1.PersistentVolume:
		return s.Core().V1().PersistentVolumes().Informer().GetIndexer(), nil
	case *storagev1.StorageClass:
		return s.Storage().V1().StorageClasses().Informer().GetIndexer(), nil
	case *storagev1.CSINode:
		return s.Storage().V1().CSINodes().Informer().GetIndexer(), nil
	case *storagev1.VolumeAttachment:
		return s.Storage().V1().VolumeAttachments().Informer().GetIndexer(), nil
	}
	return nil, fmt.Errorf("listing a %T: no plugin reads its kind", o)
}

// claimOf returns the name of a volume's claim, if it has one.
func claimOf(p *corev1.Pod, v *corev1.Volume) (string, bool) {
	switch {
	case v.PersistentVolumeClaim != nil:
		return v.PersistentVolumeClaim.ClaimName, true
	case v.Ephemeral != nil:
		return ephemeral.VolumeClaimName(p, v), true
	}
	return "", false
}

// hasClaims reports whether a pod has a volume of a claim.
func hasClaims(p *corev1.Pod) bool {
	for i := range p.Spec.Volumes {
		if _, ok := claimOf(p, &p.Spec.Volumes[i]); ok {
			return true
		}
	}
	return false
}

// bind does for the claims of a pod that has joined a node what the controllers of volumes do
// then: each that has no volume gets the smallest that is there, or a new one.
func (s store) bind(p *corev1.Pod, node *corev1.Node) error {
	for i := range p.Spec.Volumes {
		name, ok := claimOf(p, &p.Spec.Volumes[i])
		if !ok {
			continue
		}
		claim, err := s.Core().V1().PersistentVolumeClaims().Lister().PersistentVolumeClaims(p.Namespace).Get(name)
		if err != nil {
			return fmt.Errorf("binding claim %s/%s: %w", p.Namespace, name, err)
		}
		if claim.Spec.VolumeName != "" {
			continue
		}
		pv, err := s.match(claim, node)
		if err != nil {
			return fmt.Errorf("binding claim %s/%s: %w", p.Namespace, name, err)
		}
		bound := claim.DeepCopy()
		bound.Spec.VolumeName, bound.Status.Phase = pv.Name, corev1.ClaimBound
		metav1.SetMetaDataAnnotation(&bound.ObjectMeta, volume.AnnBindCompleted, "yes")
		if err := s.add(pv); err != nil {
			return err
		}
		if err := s.add(bound); err != nil {
			return err
		}
	}
	return nil
}

// match returns the volume that a claim gets on a node, bound.
func (s store) match(claim *corev1.PersistentVolumeClaim, node *corev1.Node) (*corev1.PersistentVolume, error) {
	var all []*corev1.PersistentVolume
	for _, o := range s.Core().V1().PersistentVolumes().Informer().GetIndexer().List() {
		all = append(all, o.(*corev1.PersistentVolume))
	}
	pv, err := volume.FindMatchingVolume(claim, all, node, nil, true, true)
	if err != nil {
		return nil, err
	}
	if pv == nil {
		pv = s.made(claim, node)
	}
	pv = pv.DeepCopy()
	pv.Spec.ClaimRef = &corev1.ObjectReference{Namespace: claim.Namespace, Name: claim.Name, UID: claim.UID}
	pv.Status.Phase = corev1.VolumeBound
	return pv, nil
}

// made is a new volume for a claim. It can be reached from the node's zone, or from anywhere if
// many nodes may write to it at once.
func (s store) made(claim *corev1.PersistentVolumeClaim, node *corev1.Node) *corev1.PersistentVolume {
	pv := &corev1.PersistentVolume{ObjectMeta: metav1.ObjectMeta{Name: "made for " + claim.Namespace + "/" + claim.Name}}
	pv.Spec.StorageClassName = volume.GetPersistentVolumeClaimClass(claim)
	pv.Spec.AccessModes = claim.Spec.AccessModes
	pv.Spec.CSI = &corev1.CSIPersistentVolumeSource{VolumeHandle: pv.Name}
	if class, err := s.Storage().V1().StorageClasses().Lister().Get(pv.Spec.StorageClassName); err == nil {
		pv.Spec.CSI.Driver = class.Provisioner
	}
	zone, ok := node.Labels[corev1.LabelTopologyZone]
	for _, mode := range claim.Spec.AccessModes {
		ok = ok && mode != corev1.ReadWriteMany
	}
	if ok {
		pv.Spec.NodeAffinity = &corev1.VolumeNodeAffinity{Required: &corev1.NodeSelector{NodeSelectorTerms: []corev1.NodeSelectorTerm{
			{MatchExpressions: []corev1.NodeSelectorRequirement{{Key: corev1.LabelTopologyZone, Operator: corev1.NodeSelectorOpIn, Values: []string{zone}}}},
		}}}
	}
	return pv
}

// StorageInfos tells which claims pods have.
func (b *board) StorageInfos() fwk.StorageInfoLister { return b }

// IsPVCUsedByPods reports whether a pod on some node has a claim, by namespace and name.
func (b *board) IsPVCUsedByPods(claim string) bool {
	for _, n := range b.nodes {
		if n.(*framework.NodeInfo).PVCRefCounts[claim] > 0 {
			return true
		}
	}
	return false
}

// noteVolumes binds the claims of a pod that has joined, and lets the plugins look again at
// the pods with claims that are still to come.
func (j *judge) noteVolumes(came *corev1.Pod, node *corev1.Node) error {
	if !hasClaims(came) {
		return nil
	}
	if err := j.store.bind(came, node); err != nil {
		return err
	}
	for _, g := range j.groups {
		if g.left == 0 || !hasClaims(g.pod) {
			continue
		}
		for i := range g.learnt {
			if readsVolumes.Has(j.plugins[i].Name()) {
				g.learnt[i].known = false
			}
		}
	}
	return nil
}
