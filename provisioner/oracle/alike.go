package oracle

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/sets"
)

// Which pods are alike. Those of a StatefulSet carry their own name as a label, and every
// pod of a cluster has a volume of its own for its token: no plugin here looks at either.

// telling are the keys of the labels of pods that some selector looks at.
func telling(c Cluster, placements []Placement) sets.Set[string] {
	keys := sets.New[string]()
	read := func(s *metav1.LabelSelector) {
		if s == nil {
			return
		}
		for key := range s.MatchLabels {
			keys.Insert(key)
		}
		for i := range s.MatchExpressions {
			keys.Insert(s.MatchExpressions[i].Key)
		}
	}
	terms := func(terms []corev1.PodAffinityTerm) {
		for i := range terms {
			read(terms[i].LabelSelector)
			keys.Insert(terms[i].MatchLabelKeys...)
			keys.Insert(terms[i].MismatchLabelKeys...)
		}
	}
	look := func(p *corev1.Pod) {
		for i := range p.Spec.TopologySpreadConstraints {
			read(p.Spec.TopologySpreadConstraints[i].LabelSelector)
			keys.Insert(p.Spec.TopologySpreadConstraints[i].MatchLabelKeys...)
		}
		if a := p.Spec.Affinity; a != nil && a.PodAffinity != nil {
			terms(a.PodAffinity.RequiredDuringSchedulingIgnoredDuringExecution)
		}
		if a := p.Spec.Affinity; a != nil && a.PodAntiAffinity != nil {
			terms(a.PodAntiAffinity.RequiredDuringSchedulingIgnoredDuringExecution)
		}
	}
	for _, p := range c.Pods {
		look(p)
	}
	for _, p := range placements {
		look(p.Pod)
	}
	return keys
}

// traits are what the plugins read of a pod.
type traits struct {
	Namespace string
	Own       types.UID // of a pod that is like no other: it has claims
	Labels    map[string]string
	Spec      corev1.PodSpec
}

// readBy returns the traits of a pod, with its telling labels.
func readBy(p *corev1.Pod, telling sets.Set[string]) traits {
	t := traits{Namespace: p.Namespace, Labels: map[string]string{}}
	for key, value := range p.Labels {
		if telling.Has(key) {
			t.Labels[key] = value
		}
	}
	if hasClaims(p) {
		t.Own = p.UID
	}
	s := &p.Spec
	t.Spec = corev1.PodSpec{
		NodeName: s.NodeName, NodeSelector: s.NodeSelector, Affinity: s.Affinity, Tolerations: s.Tolerations,
		TopologySpreadConstraints: s.TopologySpreadConstraints, Priority: s.Priority, Overhead: s.Overhead, Resources: s.Resources,
		HostNetwork: s.HostNetwork, Volumes: disks(s.Volumes), InitContainers: asking(s.InitContainers), Containers: asking(s.Containers),
	}
	return t
}

// disks are the volumes that a pod names without a claim and that may keep it from where another
// pod has them.
func disks(volumes []corev1.Volume) (out []corev1.Volume) {
	for _, v := range volumes {
		if v.AWSElasticBlockStore != nil || v.GCEPersistentDisk != nil || v.ISCSI != nil || v.RBD != nil {
			out = append(out, v)
		}
	}
	return out
}

// asking are containers with no more than what they ask of the node.
func asking(containers []corev1.Container) []corev1.Container {
	out := make([]corev1.Container, len(containers))
	for i := range containers {
		c := &containers[i]
		out[i] = corev1.Container{Resources: c.Resources, Ports: c.Ports, RestartPolicy: c.RestartPolicy}
	}
	return out
}
