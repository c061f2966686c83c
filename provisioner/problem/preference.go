package problem

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	toleration "k8s.io/component-helpers/scheduling/corev1"
	"k8s.io/klog/v2"

	v1 "github.com/stowage-sh/stowage/provisioner/v1"
)

// What pods prefer.
//
// kube-scheduler weighs preferences among the nodes that there are. Which those are is
// decided here, so a preference is made a requirement of the plan where that costs next
// to nothing, and left to kube-scheduler where it does not:
//
//	PreferNoSchedule taints of NodePools        only the offers of other NodePools
//	preferred node affinity                     only the offers that it admits
//	preferred affinity to pods that run         only the offers in their domains
//	  … to pods of the batch, of whom none runs an affinity
//	preferred anti-affinity to pods that run    only the offers outside of their domains
//	ScheduleAnyway, preferred anti-affinity     a spread over the domains, as even as
//	  to pods like oneself                        the skew allows
//
// The taints come first. They are the word of whoever made the NodePools, as weights are, and
// speak of fewer pods: so a lighter NodePool without such a taint goes before a heavier one with
// it, but no preference goes before its price.
//
// Then the heaviest is heard first; what contradicts it is not heard. Over host names nothing is:
// each pod would get a node of its own, and kube-scheduler weighs the nodes that there are for each
// pod anyway. Nor is a wish to be apart from other pods of the batch, which run nowhere yet.
// Existing nodes cost nothing: they stay open whatever offers are left, and no spread nor affinity
// is heard of pods of which they hold most.
//
// Labels of which a NodePool allows several values are not told apart for a preference: an
// offer has none of them unless a pod asks for one.
//
// Little is what the annotation stowage.sh/preference-price of the NodePool says, a tenth where
// there is none: so much more than the least may a pod cost on the cheapest offer that it would
// rather have. The least is what it costs if nobody prefers anything.
//
// What a pod costs is its part of a node that is full of its like. What it would save to
// share nodes with others that want to be elsewhere is not looked at.
//
// If pods find no place, and a preference may be why, Decide plans once more without it.

// A wish is one preference of a pod. It is for a rule, or else for some offers.
type wish struct {
	weight int32
	rule   *rule
	admits func(*Row) bool
	text   string // equal for equal wishes
}

// Weights of what has none: a spread that may be violated, and the taints of NodePools. Both are
// more than any that a pod can write.
const (
	always = 1 << 20
	first  = 1 << 21
)

// wishesOf lists what a pod prefers that a plan can hear, the heaviest first. What cannot be
// read is no wish. The taints are those that NodePools would rather repel pods by.
func wishesOf(p *corev1.Pod, ns *namespaces, taints []corev1.Taint) []wish {
	var out []wish
	if w, ok := untainted(p, taints); ok {
		out = append(out, w)
	}
	for i := range p.Spec.TopologySpreadConstraints {
		if c := &p.Spec.TopologySpreadConstraints[i]; c.WhenUnsatisfiable == corev1.ScheduleAnyway && c.TopologyKey != corev1.LabelHostname {
			if r, unsupported := spreadRule(p, i); unsupported == "" {
				out = append(out, wishFor(always, r))
			}
		}
	}
	a := p.Spec.Affinity
	if a != nil && a.PodAffinity != nil {
		out = append(out, podWishes(p, ns, affinity, a.PodAffinity.PreferredDuringSchedulingIgnoredDuringExecution)...)
	}
	if a != nil && a.PodAntiAffinity != nil {
		out = append(out, podWishes(p, ns, antiAffinity, a.PodAntiAffinity.PreferredDuringSchedulingIgnoredDuringExecution)...)
	}
	if a != nil && a.NodeAffinity != nil {
		for _, t := range a.NodeAffinity.PreferredDuringSchedulingIgnoredDuringExecution {
			if term, err := newNodeTerm(t.Preference); err == nil {
				text, _ := json.Marshal(t) // of plain fields
				// A node to be bought has no name yet.
				admits := func(row *Row) bool { return len(term.names) == 0 && matchesAll(term.labels, row) }
				out = append(out, wish{weight: t.Weight, admits: admits, text: string(text)})
			}
		}
	}
	slices.SortStableFunc(out, func(a, b wish) int { return cmp.Compare(b.weight, a.weight) })
	return out
}

// podWishes are the wishes for being near to other pods, or apart from them.
func podWishes(p *corev1.Pod, ns *namespaces, kind ruleKind, terms []corev1.WeightedPodAffinityTerm) (out []wish) {
	for i := range terms {
		rules, unsupported := affinityRules(p, ns, kind, []corev1.PodAffinityTerm{terms[i].PodAffinityTerm})
		if unsupported != "" || rules[0].key == corev1.LabelHostname {
			continue
		}
		r := rules[0]
		if kind == antiAffinity && r.term.matches(p) {
			r.kind, r.maxSkew = spread, 1
		}
		r.field = fmt.Sprintf("%s.preferredDuringSchedulingIgnoredDuringExecution[%d].podAffinityTerm", affinityFields[kind], i)
		out = append(out, wishFor(terms[i].Weight, r))
	}
	return out
}

// wishFor is the wish for a rule.
func wishFor(weight int32, r rule) wish {
	r.soft = true
	return wish{weight: weight, rule: &r, text: fmt.Sprintf("%d %s", weight, r.id())}
}

// softTaints are the PreferNoSchedule taints of NodePools, each once and in order.
func softTaints(pools []*v1.NodePool) []corev1.Taint {
	var taints []corev1.Taint
	for _, pool := range pools {
		for _, t := range pool.Spec.Template.Spec.Taints {
			if t.Effect == corev1.TaintEffectPreferNoSchedule {
				taints = append(taints, t)
			}
		}
	}
	slices.SortFunc(taints, func(a, b corev1.Taint) int { return cmp.Compare(a.ToString(), b.ToString()) })
	return slices.CompactFunc(taints, func(a, b corev1.Taint) bool { return a.ToString() == b.ToString() })
}

// untainted is the wish for NodePools without those of the taints that a pod does not tolerate,
// if there are any.
func untainted(p *corev1.Pod, taints []corev1.Taint) (w wish, ok bool) {
	var repel []string
	for i := range taints {
		if !toleration.TolerationsTolerateTaint(klog.Background(), p.Spec.Tolerations, &taints[i], false) {
			repel = append(repel, taints[i].ToString())
		}
	}
	if len(repel) == 0 {
		return wish{}, false
	}
	admits := func(row *Row) bool {
		return !slices.ContainsFunc(row.Pool.Spec.Template.Spec.Taints, func(t corev1.Taint) bool { return slices.Contains(repel, t.ToString()) })
	}
	return wish{weight: first, admits: admits, text: "not " + strings.Join(repel, ",")}, true
}
