package binpack

import (
	"cmp"
	"slices"
	"strconv"
)

// Where a group tells one place from another.
//
// 	                 zone a       zone b       no zone
// 	              ┌────────────┬────────────┬───────────┐
// 	  spot        │ cell       │ cell       │ cell      │   a group that
// 	              ├────────────┼────────────┼───────────┤   minds zone and
// 	  on-demand   │ cell       │     –      │ cell      │   capacity type
// 	              └────────────┴────────────┴───────────┘
//
// A spread, an exclusion or an affinity over an ordinary key makes the plan's pods in a domain
// depend on each other. So the domain must be decided before a node is packed, and
// must be the same for all offers that the node's pattern lists. Cells hold those
// offers and nodes of the group that agree in every key it minds; only those that
// have a place exist. Keys over which nothing is asked stay undecided, which leaves
// the cloud more to choose from.

// A cell is the part of a group's places that lies in one domain of each key
// that a spread, an exclusion or an affinity makes the group mind. A group that minds no key
// has one cell.
type cell struct {
	domains []int // by key minded; NoDomain where the place has none
	offers  Set
	nodes   Set
	seats   []seat
	corners []corner
	bonds   []bond

	// Of the offers in the cell that hold a pod of the group, if there are any:
	opens  bool
	weight int32  // of the heaviest pool
	price  uint64 // the least that one pod costs in that pool, in 1/256 MicroUSD
}

// A seat is where a cell stands in a spread: pods put into the cell count at
// position at of the spread's Domains.
type seat struct {
	spread, at     int
	owner, counted bool
}

// A corner is where a cell stands in an exclusion.
type corner struct {
	exclusion, domain int
	a, b              bool
}

// minds returns the keys of which the plan must know the domain of g's pods.
func (t *table) minds(g int) []int {
	var keys []int
	for _, i := range t.regions.spreads[g] {
		keys = append(keys, t.Spreads[i].Key)
	}
	for _, i := range t.regions.exclusions[g] {
		keys = append(keys, t.Exclusions[i].Key)
	}
	for _, i := range t.regions.affinities[g] {
		keys = append(keys, t.Affinities[i].Key)
	}
	slices.Sort(keys)
	return slices.Compact(keys)
}

// divide lists the cells of group g in the order of their domains. Offers that
// can never hold a pod of it are left out.
func (t *table) divide(g int) []cell {
	group := &t.Groups[g]
	// The usual case: the group's own sets, shared with everybody who has them.
	keys := t.minds(g)
	if len(keys) == 0 || t.asks[g] != "" {
		return []cell{{offers: group.Offers, nodes: group.Nodes}}
	}
	b := builder{table: t, keys: keys, index: map[string]int{}}
	for o := range group.Offers.All {
		if t.room[o] == nil || !t.eligible(g, t.Offers[o].Domains) {
			continue
		}
		// The price of a pod is that of a node full of its like. It only orders
		// cells, so the 256th part of a MicroUSD is fine enough.
		if n := fit(t.room[o], t.need[g], group.Count); n > 0 {
			c := b.at(t.Offers[o].Domains)
			c.offers.Add(o)
			c.offer(t.Pools[t.Offers[o].Pool].Weight, uint64(t.price[o])<<8/uint64(n))
		}
	}
	// Existing nodes join their cell, or make one where no offer can: pods may
	// go there as far as room lasts.
	for n := range group.Nodes.All {
		if t.eligible(g, t.Nodes[n].Domains) {
			b.at(t.Nodes[n].Domains).nodes.Add(n)
		}
	}
	// Offers and nodes came in their own order: the cells get one by domain.
	slices.SortFunc(b.cells, func(x, y cell) int { return slices.Compare(x.domains, y.domains) })
	for i := range b.cells {
		t.seat(g, keys, &b.cells[i])
	}
	return b.cells
}

// A builder finds the cell of a tuple of domains, or makes it.
type builder struct {
	*table
	keys  []int
	cells []cell
	index map[string]int
	name  []byte
}

// at returns the cell for a place in the given domains. The name is built in a
// buffer, since most places find their cell already there.
func (b *builder) at(domains []int) *cell {
	b.name = b.name[:0]
	for _, k := range b.keys {
		b.name = append(strconv.AppendInt(b.name, int64(domains[k]), 10), ' ')
	}
	i, ok := b.index[string(b.name)]
	if !ok {
		i = len(b.cells)
		b.index[string(b.name)] = i
		own := make([]int, len(b.keys))
		for j, k := range b.keys {
			own[j] = domains[k]
		}
		b.cells = append(b.cells, cell{domains: own})
	}
	return &b.cells[i]
}

// bound reports whether the cell is one of a group that minds a key.
func (c *cell) bound() bool { return len(c.domains) > 0 }

// offer notes an offer that holds a pod.
func (c *cell) offer(weight int32, price uint64) {
	if !c.opens || weight > c.weight || (weight == c.weight && price < c.price) {
		c.opens, c.weight, c.price = true, weight, price
	}
}

// eligible reports whether the spreads and affinities that g owns allow the domains at
// all. What is merely counted, or a target, may also be where nobody counts.
func (t *table) eligible(g int, domains []int) bool {
	for _, i := range t.regions.spreads[g] {
		s := &t.Spreads[i]
		if s.Owners.Has(g) && position(s.Domains, domains[s.Key]) < 0 {
			return false
		}
	}
	for _, i := range t.regions.affinities[g] {
		if a := &t.Affinities[i]; a.Owners.Has(g) && domains[a.Key] == NoDomain {
			return false
		}
	}
	return true
}

// seat finds where cell c of group g stands in the constraints of g.
func (t *table) seat(g int, keys []int, c *cell) {
	domain := func(key int) int {
		i, _ := slices.BinarySearch(keys, key)
		return c.domains[i]
	}
	for _, i := range t.regions.spreads[g] {
		s := &t.Spreads[i]
		if at := position(s.Domains, domain(s.Key)); at >= 0 {
			c.seats = append(c.seats, seat{i, at, s.Owners.Has(g), s.Counted.Has(g)})
		}
	}
	for _, i := range t.regions.exclusions[g] {
		x := &t.Exclusions[i]
		if d := domain(x.Key); d != NoDomain {
			c.corners = append(c.corners, corner{i, d, x.A.Has(g), x.B.Has(g)})
		}
	}
	c.bonds = t.bonds(g, domain)
}

// position finds domain d in a list sorted by domain, or returns -1.
func position(list []DomainCount, d int) int {
	i, ok := slices.BinarySearchFunc(list, d, func(a DomainCount, d int) int { return cmp.Compare(a.Domain, d) })
	if !ok {
		return -1
	}
	return i
}
