package problem

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	toleration "k8s.io/component-helpers/scheduling/corev1"
	"k8s.io/klog/v2"

	"github.com/stowage-sh/stowage/binpack"
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
//	ScheduleAnyway, preferred anti-affinity     a spread over the domains, as even as
//	  to pods like oneself                        the skew allows
//
// The taints come first. They are the word of whoever made the NodePools, as weights are, and
// speak of fewer pods: so a lighter NodePool without such a taint goes before a heavier one with
// it, but no preference goes before its price.
//
// Then the heaviest is heard first; what contradicts it is not heard. Over host names nothing is:
// each pod would get a node of its own, and kube-scheduler spreads pods over what nodes
// there are anyway. Existing nodes cost nothing: no spread is heard of pods of which these
// hold most.
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
				out = append(out, evenly(always, r))
			}
		}
	}
	a := p.Spec.Affinity
	if a != nil && a.PodAntiAffinity != nil {
		for i := range a.PodAntiAffinity.PreferredDuringSchedulingIgnoredDuringExecution {
			t := &a.PodAntiAffinity.PreferredDuringSchedulingIgnoredDuringExecution[i]
			rules, unsupported := affinityRules(p, ns, antiAffinity, []corev1.PodAffinityTerm{t.PodAffinityTerm})
			if unsupported == "" && rules[0].key != corev1.LabelHostname && rules[0].term.matches(p) {
				r := rules[0]
				r.kind, r.maxSkew = spread, 1
				r.field = fmt.Sprintf("spec.affinity.podAntiAffinity.preferredDuringSchedulingIgnoredDuringExecution[%d]", i)
				out = append(out, evenly(t.Weight, r))
			}
		}
	}
	if a != nil && a.NodeAffinity != nil {
		for _, t := range a.NodeAffinity.PreferredDuringSchedulingIgnoredDuringExecution {
			if term, ok := newNodeTerm(t.Preference); ok {
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

// evenly is the wish for a spread.
func evenly(weight int32, r rule) wish {
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
	repels := map[string]bool{}
	for i := range taints {
		if !toleration.TolerationsTolerateTaint(klog.Background(), p.Spec.Tolerations, &taints[i], false) {
			repels[taints[i].ToString()] = true
			w.text += "not " + taints[i].ToString() + " "
		}
	}
	w.weight = first
	w.admits = func(row *Row) bool {
		return !slices.ContainsFunc(row.Pool.Spec.Template.Spec.Taints, func(t corev1.Taint) bool { return repels[t.ToString()] })
	}
	return w, len(repels) > 0
}

// hear makes requirements of what groups prefer, where that costs little. It comes
// before the rules of groups become constraints.
func (b *builder) hear() {
	for i, g := range b.groups {
		if len(g.wishes) == 0 {
			continue
		}
		group := &b.p.Groups[i]
		least := cost{weight: -1} // whatever is heard: ten wishes are not ten tenths
		b.costs(group, group.Offers, group.Count, func(_ int, c cost) { least.see(c) })
		for j := range g.wishes {
			w := &g.wishes[j]
			if w.rule != nil && b.spreads(i, w.rule, least) || w.rule == nil && b.narrows(i, w, &least) {
				b.t.heard.Add(i)
			}
		}
	}
}

// spreads makes a rule of a spread that a group prefers, if that costs little.
func (b *builder) spreads(i int, r *rule, least cost) bool {
	g := b.groups[i]
	if b.holdsMost(&b.p.Groups[i]) || g.staysTogether(r.key) || !b.isCheapEverywhere(i, r, least) {
		return false
	}
	g.rules = append(g.rules, *r)
	return true
}

// narrows keeps a group to the offers that it prefers, if these cost little more than the least.
// Where a pool must list several values, to narrow its offers may leave too few.
func (b *builder) narrows(i int, w *wish, least *cost) bool {
	group, admitted, limit := &b.p.Groups[i], b.admitted(w), *least
	some := without(group.Offers, func(o int) bool { return !admitted.Has(o) })
	if some.Len() == group.Offers.Len() || !b.keepsDomains(b.groups[i], group.Offers, some) {
		return false
	}
	there, listed := cost{weight: -1}, false
	b.costs(group, some, group.Count, func(o int, c cost) {
		there.see(c)
		listed = listed || len(b.p.Pools[b.p.Offers[o].Pool].MinValues) > 0
	})
	if w.weight == first { // of whole pools, whatever they weigh
		limit.weight, listed = there.weight, false
	}
	if listed || !there.isLittleMore(limit) {
		return false
	}
	group.Offers, *least = some, limit
	return true
}

// admitted are the offers that a wish is for.
func (b *builder) admitted(w *wish) binpack.Set {
	known, ok := b.admittedKnown[w.text]
	if !ok {
		for o := range b.t.Rows {
			if w.admits(&b.t.Rows[o]) {
				known.Add(o)
			}
		}
	}
	b.admittedKnown[w.text] = known
	return known
}

// holdsMost reports whether existing nodes have room for half of a group or more.
func (b *builder) holdsMost(g *binpack.Group) bool {
	pods := int64(0)
	for n := range g.Nodes.All {
		fits := g.Count
		for r, q := range g.Requests {
			if q > 0 {
				fits = min(fits, b.p.Nodes[n].Free[r]/q)
			}
		}
		if pods += fits; pods >= (g.Count+1)/2 {
			return true
		}
	}
	return false
}

// staysTogether reports whether the group has a required affinity over a key: it cannot be
// spread over the domains as well.
func (g *group) staysTogether(key string) bool {
	return slices.ContainsFunc(g.rules, func(r rule) bool { return r.kind == affinity && r.key == key })
}

// A cost is the least that a pod costs on a node that is full of its like, in the heaviest
// pools that hold one: weight comes before price, as always.
type cost struct {
	weight int32 // -1 where no offer holds a pod
	price  float64
	// more is how much more than elsewhere it may cost there, as a share.
	more float64
}

// see notes what a pod costs on one more offer.
func (c *cost) see(other cost) {
	if cmp.Or(cmp.Compare(c.weight, other.weight), cmp.Compare(other.price, c.price), cmp.Compare(c.more, other.more)) < 0 {
		*c = other
	}
}

// isLittleMore reports whether c is not far above the least.
func (c cost) isLittleMore(least cost) bool {
	return c.weight >= 0 && c.weight == least.weight && c.price <= float64(least.price*(1+c.more))
}

// costs calls see with what a pod of a group costs on each of some offers that hold one and
// that limits let be opened, if so many of the group come together.
func (b *builder) costs(g *binpack.Group, offers binpack.Set, together int64, see func(o int, c cost)) {
	for i := range offers.All {
		o := &b.p.Offers[i]
		pool := &b.p.Pools[o.Pool]
		n := together
		for r, q := range g.Requests {
			if q > 0 {
				n = min(n, (o.Capacity[r]-o.Overhead[r])/q)
			}
		}
		if n < 1 || pool.NodesLeft < 1 {
			continue
		}
		spent := false
		for r, left := range pool.Left {
			spent = spent || o.Charge[r] > left
		}
		if !spent {
			see(i, cost{pool.Weight, float64(o.Price+pool.NodeFee) / float64(n), b.preferencePrices[o.Pool]})
		}
	}
}

// isCheapEverywhere reports whether a pod of a group can be in each of the domains that
// a spread looks at, and costs little more than the least in any of them, with its share of
// the group.
func (b *builder) isCheapEverywhere(group int, r *rule, least cost) bool {
	key, g := b.key(r.key), &b.p.Groups[group]
	there := map[int]*cost{}
	among := b.eligible(group, r)
	for o := range among.offers.All {
		there[b.p.Offers[o].Domains[key]] = &cost{weight: -1}
	}
	for n := range among.nodes.All {
		there[b.p.Nodes[n].Domains[key]] = &cost{weight: -1}
	}
	delete(there, binpack.NoDomain)
	if len(there) < 2 {
		return false
	}
	share := (g.Count + int64(len(there)) - 1) / int64(len(there))
	b.costs(g, g.Offers, share, func(o int, c cost) {
		if domain := there[b.p.Offers[o].Domains[key]]; domain != nil {
			domain.see(c)
		}
	})
	for _, c := range there {
		if !c.isLittleMore(least) {
			return false
		}
	}
	return true
}

// keepsDomains reports whether some offers of a group are in all domains in which they all
// are, of the keys of its rules.
func (b *builder) keepsDomains(g *group, all, some binpack.Set) bool {
	for i := range g.rules {
		if r := &g.rules[i]; r.key != corev1.LabelHostname && b.domainsOf(b.key(r.key), all).Len() != b.domainsOf(b.key(r.key), some).Len() {
			return false
		}
	}
	return true
}

// domainsOf are the domains of a key that offers are in.
func (b *builder) domainsOf(key int, offers binpack.Set) (domains binpack.Set) {
	for o := range offers.All {
		if d := b.p.Offers[o].Domains[key]; d != binpack.NoDomain {
			domains.Add(d)
		}
	}
	return domains
}
