package problem

import (
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
)

// A podTerm is a set of pods that a rule looks at: those that all of its parts
// match.
type podTerm struct {
	parts []podPart
	text  string // canonical: equal terms have equal texts
}

// A podPart matches pods of some namespaces by labels.
type podPart struct {
	namespaces scope
	selector   labels.Selector
}

func newPodTerm(namespaces scope, selector labels.Selector) podTerm {
	pods := selector.String()
	text := namespaces.text + ":" + pods
	if pods == "" && !selector.Empty() {
		text += "<none>" // the selector of nothing prints like that of everything
	}
	return podTerm{[]podPart{{namespaces, selector}}, text}
}

// and returns the term of the pods that both match. The zero podTerm matches all.
func (t podTerm) and(other *podTerm) podTerm {
	texts := append(strings.Split(t.text, " & "), other.text)
	texts = slices.DeleteFunc(texts, func(s string) bool { return s == "" })
	slices.Sort(texts)
	return podTerm{slices.Concat(t.parts, other.parts), strings.Join(slices.Compact(texts), " & ")}
}

func (t *podTerm) matches(p *corev1.Pod) bool {
	for i := range t.parts {
		part := &t.parts[i]
		if !part.namespaces.has(p.Namespace) || !part.selector.Matches(labels.Set(p.Labels)) {
			return false
		}
	}
	return true
}

// withLabelKeys narrows a selector by the pod's own values of some labels. A nil
// selector matches nothing.
func withLabelKeys(s *metav1.LabelSelector, match, mismatch []string, own map[string]string) (labels.Selector, error) {
	selector, err := asSelector(s)
	if err != nil || s == nil {
		return selector, err
	}
	for i, key := range append(slices.Clone(match), mismatch...) {
		value, ok := own[key]
		if !ok {
			continue
		}
		op := corev1.NodeSelectorOpIn
		if i >= len(match) {
			op = corev1.NodeSelectorOpNotIn
		}
		r, err := nodeRequirement(key, op, []string{value})
		if err != nil {
			return nil, err
		}
		selector = selector.Add(r)
	}
	return selector, nil
}

// asSelector reads a selector. The error is about the first thing in it that cannot be read, its
// labels in order and then its expressions.
func asSelector(s *metav1.LabelSelector) (labels.Selector, error) {
	selector, err := metav1.LabelSelectorAsSelector(s)
	if err == nil {
		return selector, nil
	}
	for _, key := range slices.Sorted(maps.Keys(s.MatchLabels)) {
		if _, err := nodeRequirement(key, corev1.NodeSelectorOpIn, []string{s.MatchLabels[key]}); err != nil {
			return nil, err
		}
	}
	_, err = metav1.LabelSelectorAsSelector(&metav1.LabelSelector{MatchExpressions: s.MatchExpressions})
	return nil, firstOf(err)
}
