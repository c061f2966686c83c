package problem

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
)

// A podTerm is a set of pods that a rule looks at: those in its namespaces that
// its selector matches.
type podTerm struct {
	namespaces string // sorted and joined by commas
	selector   labels.Selector
	text       string // canonical: equal terms have equal texts
}

func newPodTerm(namespaces []string, selector labels.Selector) podTerm {
	joined := strings.Join(slices.Compact(slices.Sorted(slices.Values(namespaces))), ",")
	return podTerm{namespaces: joined, selector: selector, text: joined + ":" + selector.String()}
}

func (t *podTerm) matches(p *corev1.Pod) bool {
	for ns := range strings.SplitSeq(t.namespaces, ",") {
		if ns == p.Namespace {
			return t.selector.Matches(labels.Set(p.Labels))
		}
	}
	return false
}

// A rule is what a pod asks about where other pods are, in one constraint.
type rule struct {
	kind ruleKind
	key  string // topology key
	term podTerm
	// field of the pod that states it, for reasons.
	field string

	// For a spread only.
	maxSkew, minDomains          int64
	ignoreAffinity, honourTaints bool
}

type ruleKind int

const (
	spread ruleKind = iota
	antiAffinity
	affinity
)

// id is equal for rules that are the same constraint, whichever pod states it.
func (r *rule) id() string {
	name := [...]string{"spread", "anti-affinity", "affinity"}[r.kind]
	id := name + " " + r.key + " " + r.term.text
	if r.kind == spread {
		id += fmt.Sprintf(" maxSkew=%d minDomains=%d", r.maxSkew, r.minDomains)
		if r.ignoreAffinity {
			id += " nodeAffinityPolicy=Ignore"
		}
		if r.honourTaints {
			id += " nodeTaintsPolicy=Honor"
		}
	}
	return id
}

// rulesOf returns the hard rules of a pod, or the field that states what is not
// understood.
func rulesOf(p *corev1.Pod) (rules []rule, unsupported string) {
	for i := range p.Spec.TopologySpreadConstraints {
		c := &p.Spec.TopologySpreadConstraints[i]
		if c.WhenUnsatisfiable != corev1.DoNotSchedule {
			continue
		}
		field := fmt.Sprintf("spec.topologySpreadConstraints[%d]", i)
		selector, err := withLabelKeys(c.LabelSelector, c.MatchLabelKeys, nil, p.Labels)
		if err != nil {
			return nil, field + ".labelSelector: " + err.Error()
		}
		r := rule{kind: spread, key: c.TopologyKey, term: newPodTerm([]string{p.Namespace}, selector), field: field, maxSkew: int64(c.MaxSkew)}
		if c.MinDomains != nil {
			r.minDomains = int64(*c.MinDomains)
		}
		r.ignoreAffinity = c.NodeAffinityPolicy != nil && *c.NodeAffinityPolicy == corev1.NodeInclusionPolicyIgnore
		r.honourTaints = c.NodeTaintsPolicy != nil && *c.NodeTaintsPolicy == corev1.NodeInclusionPolicyHonor
		rules = append(rules, r)
	}
	if p.Spec.Affinity == nil {
		return rules, ""
	}
	if a := p.Spec.Affinity.PodAntiAffinity; a != nil {
		more, unsupported := affinityRules(p, a.RequiredDuringSchedulingIgnoredDuringExecution, antiAffinity, "spec.affinity.podAntiAffinity")
		if unsupported != "" {
			return nil, unsupported
		}
		rules = append(rules, more...)
	}
	if a := p.Spec.Affinity.PodAffinity; a != nil {
		more, unsupported := affinityRules(p, a.RequiredDuringSchedulingIgnoredDuringExecution, affinity, "spec.affinity.podAffinity")
		if unsupported != "" {
			return nil, unsupported
		}
		rules = append(rules, more...)
	}
	slices.SortStableFunc(rules, func(a, b rule) int { return cmp.Compare(a.id(), b.id()) })
	return rules, ""
}

func affinityRules(p *corev1.Pod, terms []corev1.PodAffinityTerm, kind ruleKind, field string) (rules []rule, unsupported string) {
	for i := range terms {
		t := &terms[i]
		field := fmt.Sprintf("%s.requiredDuringSchedulingIgnoredDuringExecution[%d]", field, i)
		if t.NamespaceSelector != nil {
			return nil, field + ".namespaceSelector"
		}
		namespaces := t.Namespaces
		if len(namespaces) == 0 {
			namespaces = []string{p.Namespace}
		}
		selector, err := withLabelKeys(t.LabelSelector, t.MatchLabelKeys, t.MismatchLabelKeys, p.Labels)
		if err != nil {
			return nil, field + ".labelSelector: " + err.Error()
		}
		rules = append(rules, rule{kind: kind, key: t.TopologyKey, term: newPodTerm(namespaces, selector), field: field})
	}
	return rules, ""
}

// withLabelKeys narrows a selector by the pod's own values of some labels. A nil
// selector matches nothing.
func withLabelKeys(s *metav1.LabelSelector, match, mismatch []string, own map[string]string) (labels.Selector, error) {
	selector, err := metav1.LabelSelectorAsSelector(s)
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

// unsupportedField names the first field by which a pod asks for something that
// is not understood yet, or "".
func unsupportedField(p *corev1.Pod) string {
	spec := &p.Spec
	if len(spec.ResourceClaims) > 0 {
		return "spec.resourceClaims"
	}
	if spec.SchedulingGroup != nil {
		return "spec.schedulingGroup"
	}
	for i := range spec.Volumes {
		if field := unsupportedVolume(&spec.Volumes[i]); field != "" {
			return fmt.Sprintf("spec.volumes[%d].%s", i, field)
		}
	}
	for i := range spec.InitContainers {
		if j := hostPort(&spec.InitContainers[i]); j >= 0 && spec.InitContainers[i].RestartPolicy != nil {
			return fmt.Sprintf("spec.initContainers[%d].ports[%d].hostPort", i, j)
		}
	}
	for i := range spec.Containers {
		if j := hostPort(&spec.Containers[i]); j >= 0 {
			return fmt.Sprintf("spec.containers[%d].ports[%d].hostPort", i, j)
		}
	}
	return ""
}

func hostPort(c *corev1.Container) int {
	return slices.IndexFunc(c.Ports, func(p corev1.ContainerPort) bool { return p.HostPort > 0 })
}

// unsupportedVolume names the kind of a volume that decides where a pod can go.
func unsupportedVolume(v *corev1.Volume) string {
	switch {
	case v.PersistentVolumeClaim != nil:
		return "persistentVolumeClaim"
	case v.Ephemeral != nil:
		return "ephemeral"
	case v.AWSElasticBlockStore != nil:
		return "awsElasticBlockStore"
	case v.GCEPersistentDisk != nil:
		return "gcePersistentDisk"
	case v.ISCSI != nil:
		return "iscsi"
	case v.RBD != nil:
		return "rbd"
	}
	return ""
}
