package problem

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/sets"

	"github.com/stowage-sh/stowage/binpack"
	v1 "github.com/stowage-sh/stowage/provisioner/v1"
)

// Why a NodePool has no offering for a pod, whatever its size: what the pod's own spec and its
// volumes ask, of which the offering that comes nearest lacks least.

// A demand is one thing that a pod asks of its node.
type demand struct {
	text  string
	key   string // the label that it is about, or "" if it is about several
	meets func(*Row) bool
}

// noCompatibleOffer explains that a group may go to no offering of a NodePool.
func (t *Translation) noCompatibleOffer(group, pool int) Reason {
	pod, np := t.Pods[group][0], t.Pools[pool]
	var taints []string
	for i := range np.Spec.Template.Spec.Taints {
		if taint := &np.Spec.Template.Spec.Taints[i]; repels(taint, pod.Spec.Tolerations) {
			taints = append(taints, taint.ToString())
		}
	}
	tainted := ""
	if len(taints) == 1 {
		tainted = "taint " + taints[0] + " is not tolerated"
	} else if len(taints) > 1 {
		tainted = "taints " + some(taints, ", ") + " are not tolerated"
	}
	why := t.unmet(pod, np)
	switch {
	case why == "" && tainted != "":
		return Reason{TaintNotTolerated, tainted}
	case tainted != "":
		why = tainted + ", and " + why
	case why == "":
		why = t.ruledOutOf(group)
	}
	return Reason{string(binpack.NoCompatibleOffer), why}
}

// ruledOutOf says what keeps a group from offerings that its own spec lets it use.
func (t *Translation) ruledOutOf(group int) string {
	var why []string
	if out := t.keptOut[group]; len(out) > 0 {
		why = append(why, strings.Join(slices.Compact(slices.Sorted(slices.Values(out))), ", ")+", where the anti-affinity of running pods or its own forbids it")
	}
	why = append(why, slices.Compact(slices.Sorted(slices.Values(t.ruledOut[group])))...)
	if t.heard.Has(group) {
		why = append(why, "this plan keeps it to what it prefers")
	}
	return "every offering is ruled out: " + strings.Join(why, "; ")
}

// unmet says why no offering of a NodePool passes what a pod's own spec and its volumes ask, or
// "" if one does.
func (t *Translation) unmet(pod *corev1.Pod, np *v1.NodePool) string {
	demands := plainDemands(&pod.Spec, t.volumes.of(pod).where)
	known := [2]string{np.Name, placesKey(&pod.Spec)}
	for i := range demands {
		known[1] += "\x00" + demands[i].text
	}
	why, ok := t.incompatible[known]
	if !ok {
		from := slices.IndexFunc(t.Rows, func(r Row) bool { return r.Pool == np })
		to := len(t.Rows)
		if n := slices.IndexFunc(t.Rows[from:], func(r Row) bool { return r.Pool != np }); n >= 0 {
			to = from + n
		}
		why = unmetBy(t.Rows[from:to], demands, required(&pod.Spec))
		t.incompatible[known] = why
	}
	return why
}

// plainDemands lists what a pod asks whichever term of its node affinity is met.
func plainDemands(spec *corev1.PodSpec, where []choice) (demands []demand) {
	for _, key := range slices.Sorted(maps.Keys(spec.NodeSelector)) {
		r, err := nodeRequirement(key, corev1.NodeSelectorOpIn, []string{spec.NodeSelector[key]})
		if err != nil {
			demands = append(demands, demand{text: err.Error(), meets: func(*Row) bool { return false }})
			continue
		}
		demands = append(demands, ofLabel(r))
	}
	for _, c := range where {
		terms := make([]string, len(c.terms))
		for i, t := range c.terms {
			var all []string
			for _, d := range t.demands() {
				all = append(all, d.text)
			}
			terms[i] = strings.Join(all, " and ")
		}
		text := fmt.Sprintf("%s, where the volume of claim %s can be", strings.Join(terms, " or "), c.claim)
		demands = append(demands, demand{text: text, meets: func(r *Row) bool { return c.meets(r, "") }})
	}
	return demands
}

// demands lists what a term asks.
func (t *nodeTerm) demands() (demands []demand) {
	for _, r := range t.labels {
		demands = append(demands, ofLabel(r))
	}
	for _, r := range t.names {
		nameless := labels.Set{metav1.ObjectNameField: ""}
		demands = append(demands, demand{written(&r), r.Key(), func(*Row) bool { return r.Matches(nameless) }})
	}
	return demands
}

func ofLabel(r labels.Requirement) demand {
	return demand{written(&r), r.Key(), func(row *Row) bool { return r.Matches(row) }}
}

// written says a requirement as a manifest does, on one line.
func written(r *labels.Requirement) string {
	for op, known := range operators {
		if known == r.Operator() && len(r.ValuesUnsorted()) > 0 {
			return r.Key() + " " + string(op) + " " + list(r.Values().List())
		} else if known == r.Operator() {
			return r.Key() + " " + string(op)
		}
	}
	return r.String()
}

// unmetBy is unmet for some rows: of the term that comes nearest.
func unmetBy(rows []Row, common []demand, affinity *corev1.NodeSelector) string {
	if affinity == nil {
		return lacking(rows, common).why
	}
	terms := affinity.NodeSelectorTerms
	best, unread := lack{fewest: math.MaxInt}, ""
	for i, t := range terms {
		term, err := newNodeTerm(t)
		if err != nil {
			unread = cmp.Or(unread, fmt.Sprintf("nodeSelectorTerms[%d] matches no node: %v", i, err))
			continue
		}
		l := lacking(rows, slices.Concat(common, term.demands()))
		if l.why == "" {
			return ""
		}
		if len(terms) > 1 {
			l.why = fmt.Sprintf("nodeSelectorTerms[%d], the nearest of %d: %s", i, len(terms), l.why)
		}
		if l.fewest < best.fewest {
			best = l
		}
	}
	return cmp.Or(best.why, unread, "there are no nodeSelectorTerms, which match no node")
}

// A lack is what rows have less than all of.
type lack struct {
	fewest int // demands that the nearest row does not meet
	why    string
}

// lacking says what rows lack of some demands.
func lacking(rows []Row, demands []demand) lack {
	met, nearest, fewest := make([]bool, len(demands)), 0, len(demands)+1
	for i := range rows {
		fails := 0
		for j := range demands {
			if demands[j].meets(&rows[i]) {
				met[j] = true
			} else {
				fails++
			}
		}
		if fails < fewest {
			nearest, fewest = i, fails
		}
	}
	if fewest == 0 {
		return lack{}
	}
	var nowhere, lacks []string
	for j := range demands {
		if !met[j] {
			nowhere = append(nowhere, demands[j].text+instead(rows, demands[j].key))
		} else if !demands[j].meets(&rows[nearest]) {
			lacks = append(lacks, demands[j].text)
		}
	}
	if len(nowhere) > 0 {
		return lack{fewest, "no offering has " + some(nowhere, " nor ")}
	}
	return lack{fewest, fmt.Sprintf("no offering has all of it together: the nearest, %s, lacks %s", rows[nearest].Offering, some(lacks, " and "))}
}

// some writes the first of many, with something in between.
func some(all []string, between string) string {
	if n := len(all) - mostListed; n > 0 {
		all = append(slices.Clone(all[:mostListed]), fmt.Sprintf("%d more", n))
	}
	return strings.Join(all, between)
}

// instead says in brackets which values of a label there are.
func instead(rows []Row, key string) string {
	switch key {
	case "":
		return ""
	case corev1.LabelHostname, metav1.ObjectNameField:
		return " (a node has no name before it is there)"
	}
	values := sets.New[string]()
	for i := range rows {
		if v, ok := rows[i].Lookup(key); ok {
			values.Insert(v)
		}
	}
	if values.Len() == 0 {
		return " (none has this label)"
	}
	return " (there is " + list(sets.List(values)) + ")"
}

// noRows says why a NodePool that is understood has no rows.
func noRows(pool *v1.NodePool, in *Input) string {
	catalog, any := in.Catalogs[pool.Name], *pool
	template := &any.Spec.Template
	template.Spec.Requirements, template.Metadata.Labels = nil, nil
	rows, _ := rowsOf(&any, in, sets.New(v1.LabelTenancy))
	if os := unpricedSystem(catalog, in); len(rows) == 0 && os != "" {
		return "what its NodeClass's machines cost with " + os + " is not known: that is another price than with Linux"
	}
	if len(rows) == 0 {
		return "no offering of its NodeClass is available and has a known price"
	}
	var demands []demand
	for _, r := range pool.Spec.Template.Spec.Requirements {
		if c, err := requirement(r); err == nil && !custom(r.Key, catalog) {
			demands = append(demands, demand{r.Key + " " + string(r.Operator) + " " + list(r.Values), r.Key, func(row *Row) bool { return c.Matches(row) }})
		}
	}
	for _, key := range slices.Sorted(maps.Keys(pool.Spec.Template.Metadata.Labels)) {
		value := pool.Spec.Template.Metadata.Labels[key]
		if r, err := nodeRequirement(key, corev1.NodeSelectorOpIn, []string{value}); err == nil && !custom(key, catalog) {
			demands = append(demands, ofLabel(r))
		}
	}
	return "of what is available and has a known price, " + lacking(rows, demands).why
}
