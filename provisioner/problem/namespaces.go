package problem

import (
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/stowage-sh/stowage/provisioner/state"
)

// namespaces are those that exist and those that pods are in or will be, with their labels: what
// a selector of namespaces looks at.
type namespaces struct {
	labels   map[string]labels.Set
	selected map[string][]string // by selector: what it selects
}

func namespacesOf(s *state.Snapshot) *namespaces {
	n := &namespaces{labels: map[string]labels.Set{}, selected: map[string][]string{}}
	for _, ns := range s.Namespaces.All() {
		n.labels[ns.Name] = ns.Labels
	}
	exists := func(name string) {
		if _, ok := n.labels[name]; !ok {
			n.labels[name] = nil
		}
	}
	for _, p := range s.Pods.All() {
		exists(p.Namespace)
	}
	for _, ds := range s.DaemonSets.All() {
		exists(ds.Namespace)
	}
	// The API server sees to this one, which a manifest need not have.
	for name, had := range n.labels {
		if had[corev1.LabelMetadataName] != name {
			with := labels.Set{corev1.LabelMetadataName: name}
			maps.Copy(with, had)
			n.labels[name] = with
		}
	}
	return n
}

// of returns the namespaces that a term of a pod looks at, in order; everyNamespace for an
// empty selector. The error is about the selector.
func (n *namespaces) of(p *corev1.Pod, t *corev1.PodAffinityTerm) ([]string, error) {
	switch {
	case t.NamespaceSelector == nil && len(t.Namespaces) == 0:
		return []string{p.Namespace}, nil
	case t.NamespaceSelector == nil:
		return t.Namespaces, nil
	}
	selector, err := metav1.LabelSelectorAsSelector(t.NamespaceSelector)
	if err != nil {
		return nil, err
	}
	if selector.Empty() {
		return everyNamespace, nil
	}
	selected, ok := n.selected[selector.String()]
	if !ok {
		for name, with := range n.labels {
			if selector.Matches(with) {
				selected = append(selected, name)
			}
		}
		slices.Sort(selected)
		n.selected[selector.String()] = selected
	}
	return slices.Concat([]string{}, t.Namespaces, selected), nil
}

// ofOwn is of for a term by which kube-scheduler looks for a place for the pod itself. It looks
// the namespaces up first, and then asks the selector once more about a pod's namespace, of
// which it has no labels any more: one that wants no labels (NotIn, DoesNotExist) means all
// namespaces (Kubernetes 1.36, InterPodAffinity; of pods that stand it asks with labels).
func (n *namespaces) ofOwn(p *corev1.Pod, t *corev1.PodAffinityTerm) ([]string, error) {
	if selector, err := metav1.LabelSelectorAsSelector(t.NamespaceSelector); err == nil && selector.Matches(labels.Set(nil)) {
		return everyNamespace, nil
	}
	return n.of(p, t)
}

// objects are the namespaces as Kubernetes has them, by name.
func (n *namespaces) objects() (all []*corev1.Namespace) {
	for _, name := range slices.Sorted(maps.Keys(n.labels)) {
		all = append(all, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: n.labels[name]}})
	}
	return all
}
