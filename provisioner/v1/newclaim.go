package v1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// NewClaim returns a NodeClaim of the pool as its template describes it, without a
// name: whoever knows more of the node narrows the requirements. It shares nothing
// with the pool, since the server's answer may be decoded into it.
func (p *NodePool) NewClaim() *NodeClaim {
	template := p.Spec.Template.DeepCopy()
	class := template.Spec.NodeClassRef
	labels, annotations := template.Metadata.Labels, template.Metadata.Annotations
	if labels == nil {
		labels = map[string]string{}
	}
	if annotations == nil {
		annotations = map[string]string{}
	}
	labels[LabelNodePool], labels[class.Label()] = p.Name, class.Name
	annotations[AnnotationNodePoolHash], annotations[AnnotationNodePoolHashVersion] = p.Hash(), NodePoolHashVersion
	return &NodeClaim{
		ObjectMeta: metav1.ObjectMeta{
			Labels:      labels,
			Annotations: annotations,
			Finalizers:  []string{FinalizerTermination},
			OwnerReferences: []metav1.OwnerReference{{
				APIVersion: GroupVersion.String(), Kind: "NodePool", Name: p.Name, UID: p.UID, BlockOwnerDeletion: new(true),
			}},
		},
		Spec: NodeClaimSpec{
			Taints:                 template.Spec.Taints,
			StartupTaints:          template.Spec.StartupTaints,
			Requirements:           template.Spec.Requirements,
			NodeClassRef:           class,
			TerminationGracePeriod: template.Spec.TerminationGracePeriod,
			ExpireAfter:            template.Spec.ExpireAfter,
		},
	}
}
