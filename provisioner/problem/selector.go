package problem

import (
	"errors"
	"fmt"
	"math"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/selection"
	utilerrors "k8s.io/apimachinery/pkg/util/errors"
	toleration "k8s.io/component-helpers/scheduling/corev1"
	"k8s.io/klog/v2"

	v1 "github.com/stowage-sh/stowage/provisioner/v1"
)

// A condition is something that a node's labels meet or not.
type condition interface {
	Matches(labels.Labels) bool
}

// A span is a label whose value is an integer from least to most, both included.
type span struct {
	key         string
	least, most int64
}

// Matches reports whether the label is there and within the span.
func (s span) Matches(on labels.Labels) bool {
	if !on.Has(s.key) {
		return false
	}
	n, err := strconv.ParseInt(on.Get(s.key), 10, 64)
	return err == nil && s.least <= n && n <= s.most
}

// requirement turns a NodePool's requirement into a condition. Gte and Lte are
// the NodePool's own; the rest reads as in a pod's node affinity. An unknown
// operator or a value that is no integer is an error that says so.
func requirement(r v1.Requirement) (condition, error) {
	if r.Operator != v1.OperatorGte && r.Operator != v1.OperatorLte {
		known, err := nodeRequirement(r.Key, r.Operator, r.Values)
		return &known, err
	}
	n, err := bound(r.Values)
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", r.Key, r.Operator, err)
	}
	if r.Operator == v1.OperatorGte {
		return span{r.Key, n, math.MaxInt64}, nil
	}
	return span{r.Key, math.MinInt64, n}, nil
}

// bound reads the single integer of Gte and Lte.
func bound(values []string) (int64, error) {
	if len(values) != 1 {
		return 0, fmt.Errorf("wants one integer, has %d values", len(values))
	}
	n, err := strconv.ParseInt(values[0], 10, 64)
	if err != nil {
		return 0, fmt.Errorf("wants an integer, has %q", values[0])
	}
	return n, nil
}

// operators maps node selector operators to those of the selector library, which
// read an absent label as kube-scheduler does.
var operators = map[corev1.NodeSelectorOperator]selection.Operator{
	corev1.NodeSelectorOpIn:           selection.In,
	corev1.NodeSelectorOpNotIn:        selection.NotIn,
	corev1.NodeSelectorOpExists:       selection.Exists,
	corev1.NodeSelectorOpDoesNotExist: selection.DoesNotExist,
	corev1.NodeSelectorOpGt:           selection.GreaterThan,
	corev1.NodeSelectorOpLt:           selection.LessThan,
}

func nodeRequirement(key string, op corev1.NodeSelectorOperator, values []string) (labels.Requirement, error) {
	known, ok := operators[op]
	if !ok {
		return labels.Requirement{}, fmt.Errorf("%s: unknown operator %q", key, op)
	}
	r, err := labels.NewRequirement(key, known, values)
	if err != nil {
		return labels.Requirement{}, fmt.Errorf("%s %s: %w", key, op, firstOf(err))
	}
	return *r, nil
}

// firstOf returns the first of several errors: of a thousand values each may be wrong, and to
// write them all down costs seconds.
func firstOf(err error) error {
	if all, ok := err.(utilerrors.Aggregate); ok {
		return all.Errors()[0]
	}
	return err
}

// A nodeTerm is one term of a pod's node affinity: expressions on labels, and on
// the node's name.
type nodeTerm struct {
	labels []labels.Requirement
	names  []labels.Requirement
}

// A nodeSelector is what a pod alone asks of its node: its nodeSelector and any
// of the terms of its required node affinity, read as kube-scheduler reads them.
type nodeSelector struct {
	all   []labels.Requirement
	terms []nodeTerm
	// none is set when there is an affinity that no node can meet: kube-scheduler
	// skips a term that is empty or does not parse.
	none bool
}

func newNodeSelector(spec *corev1.PodSpec) nodeSelector {
	var s nodeSelector
	for key, value := range spec.NodeSelector {
		r, err := nodeRequirement(key, corev1.NodeSelectorOpIn, []string{value})
		if err != nil {
			s.none = true
			return s
		}
		s.all = append(s.all, r)
	}
	affinity := required(spec)
	if affinity == nil {
		return s
	}
	for _, t := range affinity.NodeSelectorTerms {
		if term, err := newNodeTerm(t); err == nil {
			s.terms = append(s.terms, term)
		}
	}
	s.none = len(s.terms) == 0
	return s
}

// required is the node affinity that a pod's node must meet, or nil.
func required(spec *corev1.PodSpec) *corev1.NodeSelector {
	if spec.Affinity == nil || spec.Affinity.NodeAffinity == nil {
		return nil
	}
	return spec.Affinity.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution
}

// newNodeTerm reads a term. The error says why it matches no node.
func newNodeTerm(t corev1.NodeSelectorTerm) (nodeTerm, error) {
	var term nodeTerm
	if len(t.MatchExpressions)+len(t.MatchFields) == 0 {
		return term, errors.New("it is empty")
	}
	for _, e := range t.MatchExpressions {
		r, err := nodeRequirement(e.Key, e.Operator, e.Values)
		if err != nil {
			return nodeTerm{}, err
		}
		term.labels = append(term.labels, r)
	}
	for _, e := range t.MatchFields {
		r, err := nodeRequirement(e.Key, e.Operator, e.Values)
		if err != nil {
			return nodeTerm{}, err
		}
		term.names = append(term.names, r)
	}
	return term, nil
}

// matches reports whether a node with these labels passes. A node to be bought
// has no name yet, and name is empty.
func (s *nodeSelector) matches(node labels.Labels, name string) bool {
	if s.none || !matchesAll(s.all, node) {
		return false
	}
	for _, t := range s.terms {
		if t.matches(node, name) {
			return true
		}
	}
	return len(s.terms) == 0
}

func (t *nodeTerm) matches(node labels.Labels, name string) bool {
	return matchesAll(t.labels, node) && (len(t.names) == 0 || matchesAll(t.names, labels.Set{metav1.ObjectNameField: name}))
}

func matchesAll(all []labels.Requirement, on labels.Labels) bool {
	for i := range all {
		if !all[i].Matches(on) {
			return false
		}
	}
	return true
}

func meetsAll(all []condition, on labels.Labels) bool {
	for _, c := range all {
		if !c.Matches(on) {
			return false
		}
	}
	return true
}

// tolerates reports whether the tolerations let a pod onto a node with these
// taints; PreferNoSchedule taints repel nobody.
func tolerates(tolerations []corev1.Toleration, taints []corev1.Taint) bool {
	for i := range taints {
		if repels(&taints[i], tolerations) {
			return false
		}
	}
	return true
}

// repels reports whether a taint keeps off pods with these tolerations.
func repels(t *corev1.Taint, tolerations []corev1.Toleration) bool {
	return t.Effect != corev1.TaintEffectPreferNoSchedule && !toleration.TolerationsTolerateTaint(klog.Background(), tolerations, t, false)
}
