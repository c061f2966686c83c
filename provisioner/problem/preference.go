package problem

import (
	"cmp"
	"context"
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
// there are anyway. Nor does a preference keep a pod from an existing node: that costs
// nothing, and so no spread is heard of pods that one has room for.
//
// If pods find no place, and a preference may be why, the plan is made once more without
// any (Decide).

// preferencePrice is how much more than elsewhere a pod may cost where it prefers to be, as
// a share: a tenth is about what neighbouring instance generations differ by.
const preferencePrice = 0.1

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
func wishesOf(p *corev1.Pod) []wish {
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
			rules, unsupported := affinityRules(p, antiAffinity, []corev1.PodAffinityTerm{t.PodAffinityTerm})
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
		group := &b.p.Groups[i]
		for j := range g.wishes {
			w := &g.wishes[j]
			if w.rule != nil {
				if !b.hasRoom(group) && b.isCheapEverywhere(i, w.rule) {
					g.rules = append(g.rules, *w.rule)
					b.t.heard.Add(i)
				}
				continue
			}
			narrow := without(group.Offers, func(o int) bool {
				row := &b.t.Rows[o]
				return !matchesAll(w.node.labels, row) || len(w.node.names) > 0 // a node to be bought has no name yet
			})
			if b.keepsDomains(g, group.Offers, narrow) && b.isCheap(group, narrow) {
				group.Offers = narrow
				b.t.heard.Add(i)
			}
		}
	}
}

// hasRoom reports whether an existing node has room for a pod of the group.
func (b *builder) hasRoom(g *binpack.Group) bool {
	for n := range g.Nodes.All {
		fits := true
		for r, q := range g.Requests {
			fits = fits && q <= b.p.Nodes[n].Free[r]
		}
		if fits {
			return true
		}
	}
	return false
}

// A cost is the least that a pod costs on a node that is full of its like, in the heaviest
// pools that hold one: weight comes before price, as always.
type cost struct {
	weight int32 // -1 where no offer holds a pod
	price  float64
}

// see notes what a pod costs on one more offer.
func (c *cost) see(weight int32, price float64) {
	if weight > c.weight || (weight == c.weight && price < c.price) {
		c.weight, c.price = weight, price
	}
}

// isLittleMore reports whether c is not far above the least.
func (c cost) isLittleMore(least cost) bool {
	return c.weight >= 0 && c.weight == least.weight && c.price <= float64(least.price*(1+preferencePrice))
}

// costs calls see with what a pod of a group costs on each of some offers that hold one.
func (b *builder) costs(g *binpack.Group, offers binpack.Set, see func(o int, weight int32, price float64)) {
	for i := range offers.All {
		o := &b.p.Offers[i]
		n := g.Count
		for r, q := range g.Requests {
			if q > 0 {
				n = min(n, (o.Capacity[r]-o.Overhead[r])/q)
			}
		}
		if n > 0 {
			pool := &b.p.Pools[o.Pool]
			see(i, pool.Weight, float64(o.Price+pool.NodeFee)/float64(n))
		}
	}
}

// isCheap reports whether a pod of the group costs little more on some of its offers than
// on all of them.
func (b *builder) isCheap(g *binpack.Group, some binpack.Set) bool {
	there, least := cost{weight: -1}, cost{weight: -1}
	b.costs(g, g.Offers, func(o int, weight int32, price float64) {
		least.see(weight, price)
		if some.Has(o) {
			there.see(weight, price)
		}
	})
	return there.isLittleMore(least)
}

// isCheapEverywhere reports whether a pod of a group can be in each of the domains that
// a spread looks at, and costs little more in any of them than in the cheapest.
func (b *builder) isCheapEverywhere(group int, r *rule) bool {
	key, g := b.key(r.key), &b.p.Groups[group]
	least, there := cost{weight: -1}, map[int]*cost{}
	among := b.eligible(group, r)
	for o := range among.offers.All {
		there[b.p.Offers[o].Domains[key]] = &cost{weight: -1}
	}
	for n := range among.nodes.All {
		there[b.p.Nodes[n].Domains[key]] = &cost{weight: -1}
	}
	delete(there, binpack.NoDomain)
	b.costs(g, g.Offers, func(o int, weight int32, price float64) {
		least.see(weight, price)
		if c := there[b.p.Offers[o].Domains[key]]; c != nil {
			c.see(weight, price)
		}
	})
	for _, c := range there {
		if !c.isLittleMore(least) {
			return false
		}
	}
	return len(there) > 1
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

// Decide translates a batch and solves it. Where pods find no place, and preferences may be
// why, it decides again without any, and returns the plan that places more pods, those of
// higher priority first. The error is that of binpack.Solve.
func Decide(ctx context.Context, in *Input) (*Translation, *binpack.Solution, error) {
	t := Build(in)
	s, err := binpack.Solve(ctx, t.Problem)
	if err != nil || !t.obstructs(s) {
		return t, s, err
	}
	firm := *in
	firm.IgnorePreferences = true
	u := Build(&firm)
	without, err := binpack.Solve(ctx, u.Problem)
	if err != nil || slices.Compare(unplaced(u.Problem, without), unplaced(t.Problem, s)) >= 0 {
		return t, s, nil
	}
	return u, without, nil
}

// obstructs reports whether a preference may have kept a pod from a place: one of its own, or
// any, where a limit or a reservation ran out.
func (t *Translation) obstructs(s *binpack.Solution) bool {
	return t.heard.Len() > 0 && slices.ContainsFunc(s.Unplaced, func(u binpack.Unplaced) bool {
		return t.heard.Has(u.Group) || slices.ContainsFunc(u.Reasons, func(r binpack.Reason) bool {
			return r.Code == binpack.LimitReached || r.Code == binpack.StockExhausted
		})
	})
}

// unplaced counts the pods without a place by priority, the highest first: of two plans for
// the same pods the lesser is the better one.
func unplaced(p *binpack.Problem, s *binpack.Solution) (out []int64) {
	byPriority := map[int32]int64{}
	for i := range p.Groups {
		byPriority[p.Groups[i].Priority] += 0
	}
	for _, u := range s.Unplaced {
		byPriority[p.Groups[u.Group].Priority] += u.Count
	}
	levels := make([]int32, 0, len(byPriority))
	for level := range byPriority {
		levels = append(levels, level)
	}
	slices.SortFunc(levels, func(a, b int32) int { return cmp.Compare(b, a) })
	for _, level := range levels {
		out = append(out, byPriority[level])
	}
	return out
}
