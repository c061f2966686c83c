package binpack

import (
	"cmp"
	"encoding/binary"
	"slices"
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
// can never hold a pod of it are left out. one is memory for a group that has only one.
func (t *table) divide(g int, one []cell) []cell {
	group := &t.Groups[g]
	// The usual case: the group's own sets, shared with everybody who has them.
	keys := t.minds(g)
	if len(keys) == 0 || t.asks[g] != "" {
		one[0] = cell{offers: group.Offers, nodes: group.Nodes}
		return one
	}
	cells := slices.Clone(t.offered(g, keys))
	// Existing nodes join their cell, or make one where no offer can: pods may
	// go there as far as room lasts.
	for n := range group.Nodes.All {
		domains := along(keys, t.Nodes[n].Domains)
		i, ok := slices.BinarySearchFunc(cells, domains, func(c cell, domains []int) int { return slices.Compare(c.domains, domains) })
		if !ok {
			cells = slices.Insert(cells, i, cell{domains: domains})
		}
		cells[i].nodes.Add(n)
	}
	out := cells[:0]
	for i := range cells {
		if c := cells[i]; t.eligible(g, keys, c.domains) {
			t.seat(g, keys, &c)
			out = append(out, c)
		}
	}
	return out
}

// offered lists the cells that offers make for group g, without what depends on more than
// need, number and offers: many groups agree in these. They are in the order of their
// domains, and the caller's to copy.
func (t *table) offered(g int, keys []int) []cell {
	group := &t.Groups[g]
	name := binary.AppendUvarint(nil, uint64(t.intern(group.Offers)))
	name = binary.AppendVarint(name, group.Count)
	for _, q := range t.need[g] {
		name = binary.AppendVarint(name, q)
	}
	for _, k := range keys {
		name = binary.AppendUvarint(name, uint64(k))
	}
	if known, ok := t.divided[string(name)]; ok {
		return known
	}
	l := t.layout(keys)
	cells := make([]cell, len(l.domains))
	for o := range group.Offers.All {
		if t.room[o] == nil {
			continue
		}
		// The price of a pod is that of a node full of its like. It only orders
		// cells, so the 256th part of a MicroUSD is fine enough.
		if n := fit(t.room[o], t.need[g], group.Count); n > 0 {
			c := &cells[l.at[o]]
			if c.offers == nil {
				c.domains, c.offers = l.domains[l.at[o]], make(Set, 0, len(group.Offers))
			}
			c.offers.Add(o)
			c.offer(t.Pools[t.Offers[o].Pool].Weight, uint64(t.price[o])<<8/uint64(n))
		}
	}
	cells = slices.DeleteFunc(cells, func(c cell) bool { return !c.opens })
	t.divided[string(name)] = cells
	return cells
}

// A layout is how some keys tell offers apart.
type layout struct {
	domains [][]int // by cell: of each of the keys; sorted
	at      []int   // by offer: its cell
}

// layout returns the layout by the given keys. It is made once for all groups.
func (t *table) layout(keys []int) *layout {
	var name []byte
	for _, k := range keys {
		name = binary.AppendUvarint(name, uint64(k))
	}
	if known, ok := t.layouts[string(name)]; ok {
		return known
	}
	l := &layout{at: make([]int, len(t.Offers))}
	slab, each := make([]int, len(keys)*len(t.Offers)), make([][]int, len(t.Offers))
	for o := range t.Offers {
		each[o] = alongTo(carve(&slab, len(keys)), keys, t.Offers[o].Domains)
	}
	l.domains = slices.Clone(each)
	slices.SortFunc(l.domains, slices.Compare)
	l.domains = slices.CompactFunc(l.domains, slices.Equal)
	for o := range t.Offers {
		l.at[o], _ = slices.BinarySearchFunc(l.domains, each[o], slices.Compare)
	}
	t.layouts[string(name)] = l
	return l
}

// along lists the domains of the given keys.
func along(keys, domains []int) []int { return alongTo(make([]int, len(keys)), keys, domains) }

// alongTo is along, into out.
func alongTo(out, keys, domains []int) []int {
	for i, k := range keys {
		out[i] = domains[k]
	}
	return out
}

// bound reports whether the cell is one of a group that minds a key.
func (c *cell) bound() bool { return len(c.domains) > 0 }

// offer notes an offer that holds a pod.
func (c *cell) offer(weight int32, price uint64) {
	if !c.opens || weight > c.weight || (weight == c.weight && price < c.price) {
		c.opens, c.weight, c.price = true, weight, price
	}
}

// eligible reports whether the spreads and affinities that g owns allow the domains, of
// the keys that it minds, at all. What is merely counted, or a target, may also be where
// nobody counts.
func (t *table) eligible(g int, keys, domains []int) bool {
	domain := func(key int) int {
		i, _ := slices.BinarySearch(keys, key)
		return domains[i]
	}
	for _, i := range t.regions.spreads[g] {
		s := &t.Spreads[i]
		if s.Owners.Has(g) && position(s.Domains, domain(s.Key)) < 0 {
			return false
		}
	}
	for _, i := range t.regions.affinities[g] {
		if a := &t.Affinities[i]; a.Owners.Has(g) && domain(a.Key) == NoDomain {
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
