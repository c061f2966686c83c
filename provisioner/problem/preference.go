package problem

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/stowage-sh/stowage/binpack"
)

// What pods prefer.
//
// kube-scheduler weighs preferences among the nodes that there are. Which those are is
// decided here, so a preference is made a requirement of the plan where that costs next
// to nothing, and left to kube-scheduler where it does not:
//
//	preferred node affinity                     only the offers that it admits
//	ScheduleAnyway, preferred anti-affinity     a spread over the domains, as even as
//	  to pods like oneself                        the skew allows
//
// The heaviest is heard first; what contradicts it is not heard. Over host names nothing is:
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

// A wish is one preference of a pod. It is for a rule, or else for a node.
type wish struct {
	weight int32
	rule   *rule
	node   nodeTerm
	text   string // equal for equal wishes
}

// always is the weight of a spread that may be violated: more than any that a pod can
// write.
const always = 1 << 20

// wishesOf lists what a pod prefers that a plan can hear, the heaviest first. What cannot be
// read is no wish.
func wishesOf(p *corev1.Pod, ns *namespaces) []wish {
	var out []wish
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
				out = append(out, wish{weight: t.Weight, node: term, text: string(text)})
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
			if w.rule != nil {
				if !b.holdsMost(group) && !g.staysTogether(w.rule.key) && b.isCheapEverywhere(i, w.rule, least) {
					g.rules = append(g.rules, *w.rule)
					b.t.heard.Add(i)
				}
				continue
			}
			admitted := b.admitted(w)
			narrow := without(group.Offers, func(o int) bool { return !admitted.Has(o) })
			if narrow.Len() < group.Offers.Len() && b.keepsDomains(g, group.Offers, narrow) && b.isCheap(group, narrow, least) {
				group.Offers = narrow
				b.t.heard.Add(i)
			}
		}
	}
}

// admitted are the offers that a preferred term of node affinity admits. A node to be
// bought has no name yet.
func (b *builder) admitted(w *wish) binpack.Set {
	known, ok := b.admittedKnown[w.text]
	if !ok && len(w.node.names) == 0 {
		for o := range b.t.Rows {
			if matchesAll(w.node.labels, &b.t.Rows[o]) {
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

// isCheap reports whether a pod of the group costs little more than the least on some of its
// offers. Where a pool must list several values, to narrow its offers may leave too few.
func (b *builder) isCheap(g *binpack.Group, some binpack.Set, least cost) bool {
	there, listed := cost{weight: -1}, false
	b.costs(g, some, g.Count, func(o int, c cost) {
		there.see(c)
		listed = listed || len(b.p.Pools[b.p.Offers[o].Pool].MinValues) > 0
	})
	return !listed && there.isLittleMore(least)
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
