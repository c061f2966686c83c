package problem

import (
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/stowage-sh/stowage/provisioner/state"
)

// DefaultSpreads are the topology spread constraints that a configuration of kube-scheduler has
// for pods without any, by the name of the scheduler; those of "" are for every other one. They
// have no selectors: a pod is spread with those that the same Services and the same controller
// select.
//
// kube-scheduler's own defaults, where it has no configuration, are two that it only weighs,
// maxSkew 3 over host names and 5 over zones. A plan has nothing to say about them.
type DefaultSpreads map[string][]corev1.TopologySpreadConstraint

// Apply returns the pods with the spreads that they get: copies, where they get some. It asks
// the Services and controllers of s.
func (d DefaultSpreads) Apply(s *state.Selecting, pods []*corev1.Pod) []*corev1.Pod {
	services := servicesByLabel(s.Services.All())
	out := make([]*corev1.Pod, len(pods))
	for i, p := range pods {
		out[i] = p
		defaults := d.of(p)
		if len(p.Spec.TopologySpreadConstraints) > 0 || len(defaults) == 0 {
			continue
		}
		selector := companions(p, services, s)
		if len(selector.MatchLabels)+len(selector.MatchExpressions) == 0 {
			continue
		}
		with := *p // shallow: nothing below is written
		with.Spec.TopologySpreadConstraints = slices.Clone(defaults)
		for j := range defaults {
			c := &with.Spec.TopologySpreadConstraints[j]
			c.LabelSelector, c.MatchLabelKeys = selector, nil // kube-scheduler does not look at the keys either
		}
		out[i] = &with
	}
	return out
}

// of are the spreads for a pod's scheduler.
func (d DefaultSpreads) of(p *corev1.Pod) []corev1.TopologySpreadConstraint {
	name := p.Spec.SchedulerName
	if name == "" {
		name = corev1.DefaultSchedulerName
	}
	if spreads, ok := d[name]; ok {
		return spreads
	}
	return d[""]
}

// A namespacedLabel is a label of pods of a namespace.
type namespacedLabel struct{ namespace, key, value string }

// servicesByLabel lists the Services by a label that their pods have.
func servicesByLabel(services []*corev1.Service) map[namespacedLabel][]*corev1.Service {
	index := map[namespacedLabel][]*corev1.Service{}
	for _, s := range services {
		if len(s.Spec.Selector) > 0 { // of the others nothing follows
			key := slices.Min(slices.Collect(maps.Keys(s.Spec.Selector)))
			at := namespacedLabel{s.Namespace, key, s.Spec.Selector[key]}
			index[at] = append(index[at], s)
		}
	}
	return index
}

// companions is the selector of the pods that belong with a pod: those that its Services and its
// controller select. All of these select the pod itself, and so do not contradict each other.
func companions(p *corev1.Pod, services map[namespacedLabel][]*corev1.Service, s *state.Selecting) *metav1.LabelSelector {
	selector := &metav1.LabelSelector{}
	if own := controllerSelector(p, s); own != nil {
		selector = own.DeepCopy()
	}
	if selector.MatchLabels == nil {
		selector.MatchLabels = map[string]string{}
	}
	for key, value := range p.Labels {
		for _, service := range services[namespacedLabel{p.Namespace, key, value}] {
			if labels.SelectorFromSet(service.Spec.Selector).Matches(labels.Set(p.Labels)) {
				maps.Copy(selector.MatchLabels, service.Spec.Selector)
			}
		}
	}
	return selector
}

// controllerSelector is that of the controller of a pod, if it is of a kind that
// kube-scheduler asks.
func controllerSelector(p *corev1.Pod, s *state.Selecting) *metav1.LabelSelector {
	owner := metav1.GetControllerOfNoCopy(p)
	if owner == nil {
		return nil
	}
	switch (metav1.TypeMeta{APIVersion: owner.APIVersion, Kind: owner.Kind}) {
	case metav1.TypeMeta{APIVersion: "v1", Kind: "ReplicationController"}:
		if c, ok := s.ReplicationControllers.Namespaced(p.Namespace, owner.Name); ok {
			return &metav1.LabelSelector{MatchLabels: c.Spec.Selector}
		}
	case metav1.TypeMeta{APIVersion: "apps/v1", Kind: "ReplicaSet"}:
		if c, ok := s.ReplicaSets.Namespaced(p.Namespace, owner.Name); ok {
			return c.Spec.Selector
		}
	case metav1.TypeMeta{APIVersion: "apps/v1", Kind: "StatefulSet"}:
		if c, ok := s.StatefulSets.Namespaced(p.Namespace, owner.Name); ok {
			return c.Spec.Selector
		}
	case metav1.TypeMeta{APIVersion: "apps/v1", Kind: "Deployment"}:
		if c, ok := s.Deployments.Namespaced(p.Namespace, owner.Name); ok {
			return c.Spec.Selector
		}
	}
	return nil
}
