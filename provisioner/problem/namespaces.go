package problem

import (
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/stowage-sh/stowage/provisioner/state"
)

// namespaces are those that exist and those that pods are in or will be, with their labels: what
// a selector of namespaces looks at.
type namespaces struct {
	labels   map[string]labels.Set
	selected map[string]scope // by its text, as far as selectors were asked
}

func namespacesOf(s *state.Snapshot) *namespaces {
	n := &namespaces{labels: map[string]labels.Set{}, selected: map[string]scope{}}
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

// A scope is the namespaces that a term looks at.
type scope struct {
	every bool
	names []string // in order, each once; shared
	text  string   // equal for equal scopes of one snapshot
}

// everywhere is every namespace.
var everywhere = scope{every: true, text: "*"}

// within is the scope of some namespaces.
func within(names ...string) scope {
	names = slices.Clone(names)
	slices.Sort(names)
	names = slices.Compact(names)
	return scope{names: names, text: strings.Join(names, ",")}
}

// has reports whether a namespace is among them.
func (s *scope) has(name string) bool {
	if s.every || len(s.names) == 1 {
		return s.every || s.names[0] == name
	}
	_, ok := slices.BinarySearch(s.names, name)
	return ok
}

// of returns what a term of a pod looks at. The error is about the selector.
//
// kube-scheduler looks up the namespaces of own terms, those by which it seeks a place for the
// pod itself, and then asks the selector once more about the namespace of each pod there, of
// which it has no labels any more. So a selector that wants no label (NotIn, DoesNotExist)
// means every namespace (Kubernetes 1.36, InterPodAffinity). Of a pod that stands it asks with
// the labels of the newcomer's namespace.
func (n *namespaces) of(p *corev1.Pod, t *corev1.PodAffinityTerm, own bool) (scope, error) {
	switch {
	case t.NamespaceSelector == nil && len(t.Namespaces) == 0:
		return within(p.Namespace), nil
	case t.NamespaceSelector == nil:
		return within(t.Namespaces...), nil
	}
	selector, err := asSelector(t.NamespaceSelector)
	if err != nil {
		return scope{}, err
	}
	if selector.Empty() || own && selector.Matches(labels.Set(nil)) {
		return everywhere, nil
	}
	// There may be a thousand of them: they are listed once, and named by the selector.
	key := strings.Join(append(slices.Sorted(slices.Values(t.Namespaces)), "["+selector.String()+"]"), ",")
	known, ok := n.selected[key]
	if !ok {
		names := slices.Clone(t.Namespaces)
		for name, with := range n.labels {
			if selector.Matches(with) {
				names = append(names, name)
			}
		}
		known = within(names...)
		known.text = key
		n.selected[key] = known
	}
	return known, nil
}

// objects are the namespaces as Kubernetes has them, by name.
func (n *namespaces) objects() (all []runtime.Object) {
	for _, name := range slices.Sorted(maps.Keys(n.labels)) {
		all = append(all, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: n.labels[name]}})
	}
	return all
}
