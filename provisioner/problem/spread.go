package problem

import (
	"fmt"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/stowage-sh/stowage/binpack"
)

// offersOfAny returns the offers that any group of the batch may open. One of a reservation that
// is used up is none: no node comes of it that a spread could wait for.
func (b *builder) offersOfAny() (any binpack.Set) {
	for _, known := range b.placesKnown { // each group has one of these
		for o := range known.offers.All {
			any.Add(o)
		}
	}
	return without(any, func(o int) bool {
		return slices.ContainsFunc(b.p.Stocks, func(s binpack.Stock) bool { return s.Count == 0 && s.Offers.Has(o) })
	})
}

// eligible returns the places whose domains a spread of a group looks at: as
// kube-scheduler has it those that the owner's node selector admits, if it says so
// those whose taints it tolerates, and of these those with all the keys that its
// spreads are over. New nodes count as soon as they are there, so offers count
// that any group of the batch may open. A machine that is not launched counts if it
// will whatever it is launched as.
func (b *builder) eligible(owner int, r *rule) places {
	g := b.groups[owner]
	spec, keys := &g.pods[0].Spec, g.spreadKeys(r.soft)
	name := fmt.Sprint(g.places, keys, r.ignoreAffinity, r.honourTaints)
	if known, ok := b.eligibleKnown[name]; ok {
		return known
	}
	var among places
	for i := range b.t.Bins {
		bin := &b.t.Bins[i]
		if (r.ignoreAffinity || g.selector.matches(bin.labels, bin.Name())) && (!r.honourTaints || tolerates(spec.Tolerations, bin.taints)) &&
			!slices.ContainsFunc(keys, func(key string) bool { return !bin.carries(key) }) {
			among.nodes.Add(i)
		}
	}
	for i := range b.t.Rows {
		row := &b.t.Rows[i]
		if b.anyOffer.Has(i) && (r.ignoreAffinity || g.selector.matches(row, "")) && (!r.honourTaints || tolerates(spec.Tolerations, row.Pool.Spec.Template.Spec.Taints)) &&
			!slices.ContainsFunc(keys, func(key string) bool { return key != corev1.LabelHostname && !row.Has(key) }) {
			among.offers.Add(i)
		}
	}
	b.eligibleKnown[name] = among
	return among
}

// spreadKeys returns the topology keys of a group's spreads, in order; with soft set also
// of those that are only preferred.
func (g *group) spreadKeys(soft bool) []string {
	var keys []string
	for i := range g.rules {
		if g.rules[i].kind == spread && (soft || !g.rules[i].soft) {
			keys = append(keys, g.rules[i].key)
		}
	}
	slices.Sort(keys)
	return slices.Compact(keys)
}

// addSpread adds a spread with its eligible domains, those of the places that it
// looks at, and the pods that run there.
func (b *builder) addSpread(id string, c *constraint) {
	key, targets := b.key(c.key), b.targets(&c.rule)
	if key != binpack.Hostname && b.strays(key, c.among, targets) {
		key = b.narrowed(key, c.among)
	}
	s := binpack.Spread{ID: id, Key: key, Owners: c.owners, Counted: targets, MaxSkew: c.maxSkew, MinDomains: c.minDomains}
	domain := func(bin int) int {
		if key == binpack.Hostname {
			return bin
		}
		return b.p.Nodes[bin].Domains[key]
	}
	counts := map[int]int64{}
	if key != binpack.Hostname {
		for i := range c.among.offers.All {
			if d := b.p.Offers[i].Domains[key]; d != binpack.NoDomain {
				counts[d] += 0
			}
		}
		for i := range c.among.nodes.All {
			if d := domain(i); d != binpack.NoDomain {
				counts[d] += 0
			}
		}
	}
	for _, n := range b.holding(&c.rule) {
		if d := domain(n.bin); n.staying > 0 && d != binpack.NoDomain && c.among.nodes.Has(n.bin) {
			counts[d] += n.staying
		}
	}
	for _, d := range slices.Sorted(maps.Keys(counts)) {
		s.Domains = append(s.Domains, binpack.DomainCount{Domain: d, Count: counts[d]})
	}
	b.p.Spreads = append(b.p.Spreads, s)
	if later := b.comeLater(c.owners, targets); later.Len() > 0 {
		s.ID += ", before others come"
		s.Counted = without(targets, later.Has)
		b.p.Spreads = append(b.p.Spreads, s)
	}
}

// comeLater returns those of the groups that a spread counts which come only once its owners are
// there, since they must be near to them. The owners then have to be able to come without them.
//
// Spreads that count each other's pods and look at different domains may wait for each other as
// well, about once in 10,000 random clusters. To have each hold before the others come would keep
// out far more pods than that.
func (b *builder) comeLater(owners, counted binpack.Set) (later binpack.Set) {
	for g := range counted.All {
		if !owners.Has(g) && slices.ContainsFunc(b.groups[g].rules, func(r rule) bool { return r.kind == affinity && meets(owners, b.targets(&r)) }) {
			later.Add(g)
		}
	}
	return later
}

// strays reports whether pods of the groups may go to places that have a domain
// and are not among those that a spread looks at. They do not count there.
func (b *builder) strays(key int, among places, groups binpack.Set) bool {
	// Nearly always there is no such place, whoever the groups are.
	var outside places
	for o := range b.p.Offers {
		if !among.offers.Has(o) && b.p.Offers[o].Domains[key] != binpack.NoDomain {
			outside.offers.Add(o)
		}
	}
	for n := range b.p.Nodes {
		if !among.nodes.Has(n) && b.p.Nodes[n].Domains[key] != binpack.NoDomain {
			outside.nodes.Add(n)
		}
	}
	for g := range groups.All {
		if meets(outside.offers, b.p.Groups[g].Offers) || meets(outside.nodes, b.p.Groups[g].Nodes) {
			return true
		}
	}
	return false
}

// meets reports whether two sets have an element in common. The first is the smaller.
func meets(few, many binpack.Set) bool {
	for i := range few.All {
		if many.Has(i) {
			return true
		}
	}
	return false
}

// narrowed returns a key of the problem that is like another, but has no domain
// for places that are not among those that a spread looks at. So pods there do not
// count, as kube-scheduler has it.
func (b *builder) narrowed(key int, among places) int {
	domainOf := func(had []int, counts bool) int {
		if counts {
			return had[key]
		}
		return binpack.NoDomain
	}
	k := len(b.p.Keys)
	b.p.Keys = append(b.p.Keys, fmt.Sprintf("%s, narrowed %d", b.p.Keys[key], k))
	b.p.Domains = append(b.p.Domains, b.p.Domains[key])
	for i := range b.p.Offers {
		b.p.Offers[i].Domains = append(b.p.Offers[i].Domains, domainOf(b.p.Offers[i].Domains, among.offers.Has(i)))
	}
	for i := range b.p.Nodes {
		b.p.Nodes[i].Domains = append(b.p.Nodes[i].Domains, domainOf(b.p.Nodes[i].Domains, among.nodes.Has(i)))
	}
	return k
}
