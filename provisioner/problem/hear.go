package problem

import (
	"cmp"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/stowage-sh/stowage/binpack"
)

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
			if b.hears(i, &g.wishes[j], &least) {
				b.t.heard.Add(i)
			}
		}
	}
}

// hears hears one wish of a group, if that costs little.
func (b *builder) hears(i int, w *wish, least *cost) bool {
	r := w.rule
	switch {
	case r == nil:
		return b.narrows(i, w, least)
	case r.kind == spread:
		return b.spreads(i, r, *least)
	case b.running(r).Len() > 0:
		return b.narrows(i, w, least)
	}
	return r.kind == affinity && b.joins(i, r, *least)
}

// spreads makes a rule of a spread that a group prefers, if that costs little with its share of
// the group in each domain that the spread looks at.
func (b *builder) spreads(i int, r *rule, least cost) bool {
	g, group, key := b.groups[i], &b.p.Groups[i], b.key(r.key)
	domains := b.domainsOf(key, b.eligible(i, r))
	n := int64(domains.Len())
	if n < 2 || b.holdsMost(group) || g.staysTogether(r.key) || !b.isCheapIn(group, key, domains, (group.Count+n-1)/n, least) {
		return false
	}
	g.rules = append(g.rules, *r)
	return true
}

// joins makes a rule of an affinity to pods of the batch, if it costs little to be wherever these
// may go, or to be together if it is for pods of the group. What may contradict it goes first.
func (b *builder) joins(i int, r *rule, least cost) bool {
	g, group, key := b.groups[i], &b.p.Groups[i], b.key(r.key)
	var domains binpack.Set
	company := int64(0) // the pods that one of the group may be near to
	for t := range b.targets(r).All {
		switch target := &b.p.Groups[t]; {
		case target.Unsupported != "":
		case t == i:
			company += target.Count - 1
		default:
			company += target.Count
			for d := range b.reach(t, key).All {
				domains.Add(d)
			}
		}
	}
	contradicts := func(r rule) bool { return r.key != corev1.LabelHostname }
	if company == 0 || b.holdsMost(group) || slices.ContainsFunc(g.rules, contradicts) || !b.isCheapIn(group, key, domains, group.Count, least) {
		return false
	}
	g.rules = append(g.rules, *r)
	return true
}

// reach are the domains of a key in which pods of a group may find a place. What the group is
// narrowed to later is among them.
func (b *builder) reach(i, key int) binpack.Set {
	known, ok := b.reachKnown[[2]int{i, key}]
	if !ok {
		g := &b.p.Groups[i]
		roomy := without(g.Nodes, func(n int) bool { return b.fits(g, n) == 0 })
		known = b.domainsOf(key, places{g.Offers, roomy})
		b.reachKnown[[2]int{i, key}] = known
	}
	return known
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

// admitted are the offers that a wish is for: of one for pods that run those in their domains,
// or those elsewhere.
func (b *builder) admitted(w *wish) binpack.Set {
	known, ok := b.admittedKnown[w.text]
	if ok {
		return known
	}
	admits := func(o int) bool { return w.admits(&b.t.Rows[o]) }
	if w.rule != nil {
		key, domains := b.key(w.rule.key), b.running(w.rule)
		admits = func(o int) bool {
			d := b.p.Offers[o].Domains[key]
			return (d != binpack.NoDomain && domains.Has(d)) == (w.rule.kind == affinity)
		}
	}
	for o := range b.t.Rows {
		if admits(o) {
			known.Add(o)
		}
	}
	b.admittedKnown[w.text] = known
	return known
}

// running are the domains in which pods run that a rule looks at.
func (b *builder) running(r *rule) binpack.Set {
	known, ok := b.runningKnown[r.id()]
	if !ok {
		for _, n := range b.holding(r) {
			if d := b.p.Nodes[n.bin].Domains[b.key(r.key)]; d != binpack.NoDomain {
				known.Add(d)
			}
		}
		b.runningKnown[r.id()] = known
	}
	return known
}

// holdsMost reports whether existing nodes have room for half of a group or more.
func (b *builder) holdsMost(g *binpack.Group) bool {
	pods := int64(0)
	for n := range g.Nodes.All {
		if pods += b.fits(g, n); pods >= (g.Count+1)/2 {
			return true
		}
	}
	return false
}

// fits is how many pods of a group an existing node has room for.
func (b *builder) fits(g *binpack.Group, node int) int64 {
	fits := g.Count
	for r, q := range g.Requests {
		if q > 0 {
			fits = min(fits, b.p.Nodes[node].Free[r]/q)
		}
	}
	return fits
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
		if b.t.Rows[i].Commitment != nil {
			continue // of which there are so many, and a preference is for all pods
		}
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

// isCheapIn reports whether a pod of a group costs little more than the least in each of some
// domains of a key, if so many come together there.
func (b *builder) isCheapIn(g *binpack.Group, key int, domains binpack.Set, together int64, least cost) bool {
	there := slices.Repeat([]cost{{weight: -1}}, len(b.p.Domains[key]))
	b.costs(g, g.Offers, together, func(o int, c cost) {
		if d := b.p.Offers[o].Domains[key]; d != binpack.NoDomain {
			there[d].see(c)
		}
	})
	for d := range domains.All {
		if !there[d].isLittleMore(least) {
			return false
		}
	}
	return true
}

// keepsDomains reports whether some offers of a group are in all domains in which they all
// are, of the keys of its rules.
func (b *builder) keepsDomains(g *group, all, some binpack.Set) bool {
	for i := range g.rules {
		if g.rules[i].key == corev1.LabelHostname {
			continue
		}
		key := b.key(g.rules[i].key)
		if b.domainsOf(key, places{offers: all}).Len() != b.domainsOf(key, places{offers: some}).Len() {
			return false
		}
	}
	return true
}

// domainsOf are the domains of a key that places are in.
func (b *builder) domainsOf(key int, of places) (domains binpack.Set) {
	add := func(d int) {
		if d != binpack.NoDomain {
			domains.Add(d)
		}
	}
	for o := range of.offers.All {
		add(b.p.Offers[o].Domains[key])
	}
	for n := range of.nodes.All {
		add(b.p.Nodes[n].Domains[key])
	}
	return domains
}
