package problem

import (
	"cmp"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
)

// A rule is what a pod asks about where other pods are, in one constraint.
type rule struct {
	kind ruleKind
	key  string // topology key
	term podTerm
	// field of the pod that states it, for reasons.
	field string

	// soft is set for a rule that is only preferred.
	soft bool

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
		id += fmt.Sprintf(" maxSkew=%d", r.maxSkew)
		if r.minDomains != 0 {
			id += fmt.Sprintf(" minDomains=%d", r.minDomains)
		}
		if r.ignoreAffinity {
			id += " nodeAffinityPolicy=Ignore"
		}
		if r.honourTaints {
			id += " nodeTaintsPolicy=Honor"
		}
	}
	return id
}

// rulesOf returns the hard rules of a pod, each once and in order, or the field
// that states what is not understood.
func rulesOf(p *corev1.Pod, ns *namespaces) (rules []rule, unsupported string) {
	for i := range p.Spec.TopologySpreadConstraints {
		if p.Spec.TopologySpreadConstraints[i].WhenUnsatisfiable != corev1.DoNotSchedule {
			continue
		}
		r, unsupported := spreadRule(p, i)
		if unsupported != "" {
			return nil, unsupported
		}
		rules = append(rules, r)
	}
	if a := p.Spec.Affinity; a != nil && a.PodAntiAffinity != nil {
		more, unsupported := affinityRules(p, ns, antiAffinity, a.PodAntiAffinity.RequiredDuringSchedulingIgnoredDuringExecution)
		if unsupported != "" {
			return nil, unsupported
		}
		rules = append(rules, more...)
	}
	if a := p.Spec.Affinity; a != nil && a.PodAffinity != nil {
		more, unsupported := affinityRules(p, ns, affinity, a.PodAffinity.RequiredDuringSchedulingIgnoredDuringExecution)
		if unsupported != "" {
			return nil, unsupported
		}
		rules = append(rules, together(more)...)
	}
	slices.SortStableFunc(rules, func(a, b rule) int { return cmp.Compare(a.id(), b.id()) })
	return slices.CompactFunc(rules, func(a, b rule) bool { return a.id() == b.id() }), ""
}

// spreadRule reads one topology spread constraint.
func spreadRule(p *corev1.Pod, i int) (r rule, unsupported string) {
	c := &p.Spec.TopologySpreadConstraints[i]
	field := fmt.Sprintf("spec.topologySpreadConstraints[%d]", i)
	if c.MaxSkew < 1 {
		return rule{}, field + ".maxSkew"
	}
	if c.MinDomains != nil && *c.MinDomains < 1 {
		return rule{}, field + ".minDomains"
	}
	if c.TopologyKey == "" {
		return rule{}, field + ".topologyKey"
	}
	selector, err := withLabelKeys(c.LabelSelector, c.MatchLabelKeys, nil, p.Labels)
	if err != nil {
		return rule{}, field + ".labelSelector: " + err.Error()
	}
	r = rule{kind: spread, key: c.TopologyKey, term: newPodTerm(within(p.Namespace), selector), field: field, maxSkew: int64(c.MaxSkew)}
	if c.MinDomains != nil {
		r.minDomains = int64(*c.MinDomains)
	}
	r.ignoreAffinity = c.NodeAffinityPolicy != nil && *c.NodeAffinityPolicy == corev1.NodeInclusionPolicyIgnore
	r.honourTaints = c.NodeTaintsPolicy != nil && *c.NodeTaintsPolicy == corev1.NodeInclusionPolicyHonor
	return r, ""
}

// affinityFields have the terms of affinities and anti-affinities.
var affinityFields = [...]string{antiAffinity: "spec.affinity.podAntiAffinity", affinity: "spec.affinity.podAffinity"}

// affinityRules reads the required terms of a pod's affinity or anti-affinity.
func affinityRules(p *corev1.Pod, ns *namespaces, kind ruleKind, terms []corev1.PodAffinityTerm) (rules []rule, unsupported string) {
	for i := range terms {
		t := &terms[i]
		field := fmt.Sprintf("%s.requiredDuringSchedulingIgnoredDuringExecution[%d]", affinityFields[kind], i)
		if t.TopologyKey == "" {
			return nil, field + ".topologyKey"
		}
		namespaces, err := ns.of(p, t, true)
		if err != nil {
			return nil, field + ".namespaceSelector: " + err.Error()
		}
		selector, err := withLabelKeys(t.LabelSelector, t.MatchLabelKeys, t.MismatchLabelKeys, p.Labels)
		if err != nil {
			return nil, field + ".labelSelector: " + err.Error()
		}
		rules = append(rules, rule{kind: kind, key: t.TopologyKey, term: newPodTerm(namespaces, selector), field: field})
	}
	return rules, ""
}

// together makes each of several required affinities look for pods that all of
// them match: kube-scheduler wants one pod to match them all.
func together(rules []rule) []rule {
	if len(rules) < 2 {
		return rules
	}
	var all podTerm
	for i := range rules {
		all = all.and(&rules[i].term)
	}
	for i := range rules {
		rules[i].term = all
	}
	return rules
}

// standingRules are the rules by which a pod that is placed already bears on
// others: its anti-affinity holds against new pods too. Where a term cannot be
// read exactly it is taken to look at every pod: that keeps new pods away from
// where they might have gone, and never puts one where it may not be.
func standingRules(p *corev1.Pod, ns *namespaces) []rule {
	if p.Spec.Affinity == nil || p.Spec.Affinity.PodAntiAffinity == nil {
		return nil
	}
	var rules []rule
	terms := p.Spec.Affinity.PodAntiAffinity.RequiredDuringSchedulingIgnoredDuringExecution
	for i := range terms {
		t := &terms[i]
		if t.TopologyKey == "" {
			continue // no node is in a domain of it
		}
		namespaces, err := ns.of(p, t, false)
		if err != nil {
			namespaces = everywhere
		}
		selector, err := withLabelKeys(t.LabelSelector, t.MatchLabelKeys, t.MismatchLabelKeys, p.Labels)
		if err != nil {
			selector = labels.Everything()
		}
		rules = append(rules, rule{kind: antiAffinity, key: t.TopologyKey, term: newPodTerm(namespaces, selector)})
	}
	return rules
}
