package binpack

import (
	"cmp"
	"slices"
)

// Order out of the input.
//
// The solver walks lists in the order of their indices and breaks ties by index.
// To make that an order by ID, all lists are sorted by ID before anything else is
// done, and the references between them rewritten:
//
// 	caller's problem ──canonical──▶ canon ──Solve──▶ solution of it
// 	       ▲                                              │
// 	       └───────────── restore ◀──────────────────────┘
//
// Doing this once, at the door, is safer than care in every loop: a test that
// shuffles all lists and compares bytes then tests only this file. The price is a
// copy of the lists, not of what they hold; sets that nothing moves are shared.

// A canon is a problem with every list sorted by ID, so that no loop of the
// solver can depend on the order in which the caller wrote it down, and the
// way back: canon.offers[i] is the caller's index of offer i.
type canon struct {
	*Problem
	resources, pools, offers, nodes, groups []int
}

// canonical sorts p into a copy of its own. What is in order already, sets and
// vectors for the most part, is shared with p. It costs O(n log n) and, for
// offers out of order, one look at each element of each distinct set.
func canonical(p *Problem) *canon {
	c := &canon{Problem: &Problem{MaxSteps: p.MaxSteps, Blend: p.Blend}}
	var keys []int
	c.resources = sorted(len(p.Resources), func(i int) string { return p.Resources[i] })
	keys = sorted(len(p.Keys), func(i int) string { return p.Keys[i] })
	c.pools = sorted(len(p.Pools), func(i int) string { return p.Pools[i].ID })
	c.offers = sorted(len(p.Offers), func(i int) string { return p.Offers[i].ID })
	c.nodes = sorted(len(p.Nodes), func(i int) string { return p.Nodes[i].ID })
	c.groups = sorted(len(p.Groups), func(i int) string { return p.Groups[i].ID })

	c.Resources = pick(p.Resources, c.resources)
	c.Keys = pick(p.Keys, keys)
	// Domains are an order of their own within each key.
	domains := make([][]int, len(keys)) // order of each key's domains, by new key
	for k, old := range keys {
		domains[k] = sorted(len(p.Domains[old]), func(i int) string { return p.Domains[old][i] })
		c.Domains = append(c.Domains, pick(p.Domains[old], domains[k]))
	}
	m := &mover{
		vector: c.resources,
		keys:   keys, key: ranks(keys),
		pool: ranks(c.pools), offer: ranks(c.offers), node: ranks(c.nodes), group: ranks(c.groups),
		sets: map[memo]Set{},
	}
	for _, d := range domains {
		m.domain = append(m.domain, ranks(d))
	}
	m.places(c, p)
	m.relations(c, p)
	return c
}

// A mover carries references from the caller's indices to canonical ones: new
// index by old, except vector and keys, which are old by new. A nil rank says
// that nothing moves.
type mover struct {
	vector, keys                  []int
	key, pool, offer, node, group []int
	domain                        [][]int
	sets                          map[memo]Set
}

// A memo names a set by the memory it is in, and the list it is of.
type memo struct {
	words *uint64
	n     int
	rank  *int
}

// places moves pools, offers, nodes and groups: the things that others refer to.
// Each is copied, so that the references inside can be rewritten.
func (m *mover) places(c *canon, p *Problem) {
	for _, i := range c.pools {
		pool := p.Pools[i]
		pool.Left = m.quantities(pool.Left)
		c.Pools = append(c.Pools, pool)
	}
	if c.Offers = p.Offers; !m.keepsOffers(c.offers) {
		c.Offers = m.movedOffers(c.offers, p)
	}
	for _, i := range c.nodes {
		n := p.Nodes[i]
		n.Free, n.Domains = m.quantities(n.Free), m.domains(n.Domains)
		c.Nodes = append(c.Nodes, n)
	}
	c.Groups = make([]Group, 0, len(p.Groups))
	for _, i := range c.groups {
		g := p.Groups[i]
		g.Requests = m.quantities(g.Requests)
		g.Offers, g.Nodes = m.set(g.Offers, m.offer), m.set(g.Nodes, m.node)
		c.Groups = append(c.Groups, g)
	}
}

// keepsOffers reports whether no offer moves in the given order, nor anything that offers
// refer to. Then the caller's list will do: it is by far the longest, and nothing
// writes to it.
func (m *mover) keepsOffers(order []int) bool {
	return slices.IsSorted(order) && slices.IsSorted(m.vector) && slices.IsSorted(m.keys) && m.pool == nil &&
		!slices.ContainsFunc(m.domain, func(rank []int) bool { return rank != nil })
}

// movedOffers is a copy of the offers in the given order.
func (m *mover) movedOffers(order []int, p *Problem) []Offer {
	out := make([]Offer, 0, len(order))
	for _, i := range order {
		o := p.Offers[i]
		o.Pool = moved(m.pool, o.Pool)
		o.Capacity, o.Overhead, o.Charge = m.quantities(o.Capacity), m.quantities(o.Overhead), m.quantities(o.Charge)
		o.Domains = m.domains(o.Domains)
		out = append(out, o)
	}
	return out
}

// relations moves what ties groups to each other. Nothing refers to a relation, so
// their order needs no rank.
func (m *mover) relations(c *canon, p *Problem) {
	for _, i := range sorted(len(p.Exclusions), func(i int) string { return p.Exclusions[i].ID }) {
		x := p.Exclusions[i]
		x.A, x.B = m.set(x.A, m.group), m.set(x.B, m.group)
		x.Key, _ = m.topology(x.Key)
		c.Exclusions = append(c.Exclusions, x)
	}
	for _, i := range sorted(len(p.Spreads), func(i int) string { return p.Spreads[i].ID }) {
		s := p.Spreads[i]
		var rank []int
		s.Owners, s.Counted = m.set(s.Owners, m.group), m.set(s.Counted, m.group)
		s.Key, rank = m.topology(s.Key)
		// Sorted by domain, so that a domain can be found by binary search.
		s.Domains = slices.Clone(s.Domains)
		for j := range s.Domains {
			s.Domains[j].Domain = moved(rank, s.Domains[j].Domain)
		}
		slices.SortFunc(s.Domains, func(a, b DomainCount) int { return cmp.Compare(a.Domain, b.Domain) })
		c.Spreads = append(c.Spreads, s)
	}
	for _, i := range sorted(len(p.Affinities), func(i int) string { return p.Affinities[i].ID }) {
		a := p.Affinities[i]
		var rank []int
		a.Owners, a.Targets = m.set(a.Owners, m.group), m.set(a.Targets, m.group)
		a.Key, rank = m.topology(a.Key)
		a.Present = m.set(a.Present, rank)
		c.Affinities = append(c.Affinities, a)
	}
	for _, i := range sorted(len(p.Stocks), func(i int) string { return p.Stocks[i].ID }) {
		s := p.Stocks[i]
		s.Offers = m.set(s.Offers, m.offer)
		if s.Units != nil {
			s.Units = pick(s.Units, c.offers)
		}
		c.Stocks = append(c.Stocks, s)
	}
}

// topology moves a key, and returns the ranks of its domains.
func (m *mover) topology(key int) (int, []int) {
	if key == Hostname {
		return Hostname, m.node
	}
	key = moved(m.key, key)
	return key, m.domain[key]
}

// quantities puts the entries of v in the order of the sorted resources. nil stays
// nil: for a limit or a charge it means something else than zeros.
func (m *mover) quantities(v Vector) Vector {
	if v == nil {
		return nil
	}
	return pick(v, m.vector)
}

// domains moves both the keys that the list is indexed by, and the domains in it.
// The caller's list is never written to, not even if no key moves.
func (m *mover) domains(old []int) []int {
	out := pick(old, m.keys)
	if len(out) > 0 && &out[0] == &old[0] {
		out = slices.Clone(old)
	}
	for k := range out {
		if out[k] != NoDomain {
			out[k] = moved(m.domain[k], out[k])
		}
	}
	return out
}

// set moves the elements of s. Groups share sets, so each is moved once.
func (m *mover) set(s Set, rank []int) Set {
	s = s.trimmed()
	if rank == nil || len(s) == 0 {
		return s
	}
	// Many groups share one set of offers: the same memory, length and list give
	// the same result.
	key := memo{&s[0], len(s), &rank[0]}
	if out, ok := m.sets[key]; ok {
		return out
	}
	var out Set
	for i := range s.All {
		out.Add(rank[i])
	}
	m.sets[key] = out
	return out
}

// sorted returns the indices of a list in the order of their IDs. IDs are unique,
// so there is one such order.
func sorted(n int, id func(int) string) []int {
	out := make([]int, n)
	for i := range out {
		out[i] = i
	}
	slices.SortFunc(out, func(a, b int) int { return cmp.Compare(id(a), id(b)) })
	return out
}

// ranks inverts an order, or returns nil if the order moves nothing.
func ranks(order []int) []int {
	if slices.IsSorted(order) {
		return nil
	}
	rank := make([]int, len(order))
	for i, old := range order {
		rank[old] = i
	}
	return rank
}

// moved is the new index of i; a nil rank moves nothing.
func moved(rank []int, i int) int {
	if rank == nil {
		return i
	}
	return rank[i]
}

// pick returns list in the given order, or list itself if that moves nothing.
func pick[T any](list []T, order []int) []T {
	if slices.IsSorted(order) {
		return list
	}
	out := make([]T, len(order))
	for i, old := range order {
		out[i] = list[old]
	}
	return out
}

// restore rewrites the references of s, a solution of c, as the caller's.
// Orders stay: they are by ID.
func (c *canon) restore(s *Solution) {
	shares := func(pods []Share) {
		for i := range pods {
			pods[i].Group = c.groups[pods[i].Group]
		}
	}
	for i := range s.New {
		for j, o := range s.New[i].Offers {
			s.New[i].Offers[j] = c.offers[o]
		}
		shares(s.New[i].Pods)
	}
	for i := range s.Fills {
		s.Fills[i].Node = c.nodes[s.Fills[i].Node]
		shares(s.Fills[i].Pods)
	}
	for i := range s.Unplaced {
		u := &s.Unplaced[i]
		u.Group = c.groups[u.Group]
		for j := range u.Reasons {
			if r := &u.Reasons[j]; r.Pool >= 0 {
				r.Pool = c.pools[r.Pool]
			}
			if r := &u.Reasons[j]; r.Resource >= 0 {
				r.Resource = c.resources[r.Resource]
			}
		}
	}
}
