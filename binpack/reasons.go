package binpack

import (
	"cmp"
	"slices"
)

// Why a pod found no place, as data.
//
// For each pool, the offers that the pod alone may use fall into three kinds:
//
// 	none                     NoCompatibleOffer
// 	none that holds it       InsufficientResources, with the resource
// 	some that hold it        what stops each of these now:
// 	                         TooFewValues, LimitReached, StockExhausted,
// 	                         SpreadUnsatisfiable, Excluded or AffinityUnsatisfiable
//
// They are judged as things stand when the plan is complete, so that a reason is
// something that a user can check against the plan: at this limit, with these pods
// in these zones, one pod more of this group does not go.

// MinValuesField is the constraint that a TooFewValues reason names.
const MinValuesField = "minValues"

// unplaced lists what is left of each group, with the reasons as things stand
// at the end of the pass.
func (s *pass) unplaced() []Unplaced {
	short := 0
	for g := range s.Groups {
		if total(s.placed[g]) < s.Groups[g].Count {
			short++
		}
	}
	out := make([]Unplaced, 0, short)
	for g := range s.Groups {
		if n := s.Groups[g].Count - total(s.placed[g]); n > 0 {
			out = append(out, Unplaced{g, n, s.reasons(g)})
		}
	}
	return out
}

// reasons asks each pool, heaviest first as pods would have gone there. What the
// group asks for in vain is the same for all pools, and stands alone.
func (s *pass) reasons(g int) []Reason {
	if s.asks[g] != "" {
		return []Reason{{Code: Unsupported, Pool: -1, Resource: -1, Constraint: s.asks[g]}}
	}
	pools := make([]int, len(s.Pools))
	for i := range pools {
		pools[i] = i
	}
	slices.SortStableFunc(pools, func(a, b int) int { return cmp.Compare(s.Pools[b].Weight, s.Pools[a].Weight) })
	var out []Reason
	for _, i := range pools {
		out = append(out, s.poolReasons(g, i)...)
	}
	if len(pools) == 0 {
		out = append(out, Reason{Code: NoCompatibleOffer, Pool: -1, Resource: -1})
	}
	return out
}

// poolReasons says why no offer of a pool takes one more pod of group g. Offers
// may fail for different reasons: each is listed once, in the order of codes.
func (s *pass) poolReasons(g, pool int) []Reason {
	why := collector{pool: pool}
	// Most pods without a place ask for more than there is anywhere: thousands of them
	// need no look at each offer.
	most := s.most(s.Groups[g].Offers, pool)
	for r, q := range s.need[g] {
		if most != nil && q > most[r] {
			why.quantity(InsufficientResources, r, q, most[r])
		}
	}
	if len(why.reasons) > 0 {
		return why.reasons
	}
	var fits, short []int
	for o := range s.Groups[g].Offers.All {
		switch {
		case s.Offers[o].Pool != pool:
		// Unlike cells, this looks at all offers of the group, also those in
		// domains where a spread does not let it.
		case s.room[o] != nil && covers(s.room[o], s.need[g]):
			fits = append(fits, o)
		default:
			short = append(short, o)
		}
	}
	switch {
	case len(fits)+len(short) == 0:
		why.add(NoCompatibleOffer, "")
	case len(fits) == 0:
		s.shortage(g, short, &why)
	default:
		for _, o := range fits {
			s.obstacle(g, o, &why)
		}
		// A bundle that the group alone would have is not there while others of the batch,
		// which nothing lets in either, may use only some of its offers (bundleFor). The next
		// batch may be without them.
		if len(why.reasons) == 0 && slices.ContainsFunc(fits, s.isFlexible) {
			why.add(TooFewValues, MinValuesField)
		}
	}
	slices.SortFunc(why.reasons, func(a, b Reason) int {
		return cmp.Or(cmp.Compare(a.Code, b.Code), cmp.Compare(a.Resource, b.Resource), cmp.Compare(a.Constraint, b.Constraint))
	})
	return why.reasons
}

// A collector keeps the distinct reasons about a pool.
type collector struct {
	pool    int
	reasons []Reason
}

// add notes a reason that names no quantity, once.
func (c *collector) add(code ReasonCode, constraint string) {
	r := Reason{Code: code, Pool: c.pool, Resource: -1, Constraint: constraint}
	if !slices.Contains(c.reasons, r) {
		c.reasons = append(c.reasons, r)
	}
}

// quantity keeps of reasons about one resource the one that comes nearest.
func (c *collector) quantity(code ReasonCode, resource int, wanted, best int64) {
	for i := range c.reasons {
		if r := &c.reasons[i]; r.Code == code && r.Resource == resource {
			if wanted-best < r.Wanted-r.Best {
				r.Wanted, r.Best = wanted, best
			}
			return
		}
	}
	c.reasons = append(c.reasons, Reason{Code: code, Pool: c.pool, Resource: resource, Wanted: wanted, Best: best})
}

// shortage is about offers of which each resource alone would do, but not all together:
// those with enough CPU have too little memory, say. It names the resources that the
// best-suited offers lack: the ones that fail in the fewest.
func (s *pass) shortage(g int, offers []int, why *collector) {
	lacks := func(o int) (n int) {
		for r, q := range s.need[g] {
			if s.has(o, r) < q {
				n++
			}
		}
		return n
	}
	fewest := len(s.Resources) + 1
	for _, o := range offers {
		if n := lacks(o); n > 0 {
			fewest = min(fewest, n)
		}
	}
	for _, o := range offers {
		for r, q := range s.need[g] {
			if s.has(o, r) < q && lacks(o) == fewest {
				why.quantity(InsufficientResources, r, q, s.has(o, r))
			}
		}
	}
	if len(why.reasons) == 0 { // overhead alone exceeds every offer
		why.quantity(InsufficientResources, -1, 0, 0)
	}
}

// has is what an offer has of a resource after overhead, at least 0. It is not read
// from room, which is nil for offers that hold no pod: those are the ones that a
// shortage is about.
func (t *table) has(o, r int) int64 {
	return max(t.Offers[o].Capacity.at(r)-t.Offers[o].Overhead.at(r), 0)
}

// anyPool in place of a pool means all of them.
const anyPool = -1

// most is for each resource the most that any of a set of offers has, of those of a pool.
// It is nil if there are none. Groups share few sets.
func (t *table) most(offers Set, pool int) Vector {
	at := [2]int{t.intern(offers), pool}
	known, ok := t.mosts[at]
	if !ok {
		for o := range offers.All {
			if pool != anyPool && t.Offers[o].Pool != pool {
				continue
			}
			if known == nil {
				known = make(Vector, len(t.Resources))
			}
			for r := range known {
				known[r] = max(known[r], t.has(o, r))
			}
		}
		t.mosts[at] = known
	}
	return known
}

// obstacle says what keeps a pod of g from a new node of offer o, which would
// hold it.
func (s *pass) obstacle(g, o int, why *collector) {
	pool := s.Offers[o].Pool
	blocked := false
	charge, stocks := s.charge[o], s.stocks[o]
	if s.isFlexible(o) {
		b := s.bundle(o, s.cellOf(g, o).Has)
		if b == nil {
			why.add(TooFewValues, MinValuesField)
			return
		}
		charge, stocks = b.charge, b.stocks
	}
	// All limits that are short are named: raising one alone would not help.
	if s.nodesLeft[pool] < 1 {
		blocked = true
		why.quantity(LimitReached, -1, 1, 0)
	}
	for r, q := range charge {
		if q > s.left[pool][r] {
			blocked = true
			why.quantity(LimitReached, r, q, s.left[pool][r])
		}
	}
	for _, d := range stocks {
		if s.stockLeft[d.stock] < d.units {
			blocked = true
			why.add(StockExhausted, s.Stocks[d.stock].ID)
		}
	}
	if blocked {
		return
	}
	for _, i := range s.regions.spreads[g] {
		if x := &s.Spreads[i]; x.Owners.Has(g) && position(x.Domains, s.Offers[o].Domains[x.Key]) < 0 {
			why.add(SpreadUnsatisfiable, x.ID)
			return
		}
	}
	for _, i := range s.regions.affinities[g] {
		if a := &s.Affinities[i]; a.Owners.Has(g) && s.Offers[o].Domains[a.Key] == NoDomain {
			why.add(AffinityUnsatisfiable, a.ID)
			return
		}
	}
	if i := s.barred(g); i >= 0 {
		why.add(AffinityUnsatisfiable, s.Affinities[i].ID)
	}
	for _, i := range s.hosts.affinities[g] {
		if s.isOwned(i, g) {
			why.add(AffinityUnsatisfiable, s.Affinities[i].ID)
		}
	}
	for i := range s.cells[g] {
		if c := &s.cells[g][i]; c.bound() && c.offers.Has(o) {
			s.blocker(c, why)
		}
	}
}

// cellOf is the offers among which those of a node with offer o must be.
func (t *table) cellOf(g, o int) Set {
	for i := range t.cells[g] {
		if t.cells[g][i].offers.Has(o) {
			return t.cells[g][i].offers
		}
	}
	return t.Groups[g].Offers
}

// blocker says which spread, exclusion or affinity closes cell c. If none does now, an
// earlier look found the cell short, and the group was held back there for the
// sake of all its constraints: then it names each.
func (s *pass) blocker(c *cell, why *collector) {
	before := len(why.reasons)
	for _, all := range [2]bool{false, true} {
		for _, x := range c.corners {
			side := s.ledger.sides[x.exclusion][x.domain]
			if all || (x.a && side[1] > 0) || (x.b && side[0] > 0) {
				why.add(Excluded, s.Exclusions[x.exclusion].ID)
			}
		}
		for _, x := range c.seats {
			n := s.ledger.counted[x.spread][x.at]
			if all || n >= s.ledger.lowest(x.spread)+s.Spreads[x.spread].MaxSkew {
				why.add(SpreadUnsatisfiable, s.Spreads[x.spread].ID)
			}
		}
		for _, b := range c.bonds {
			if !s.ledger.welcomes(b) || (all && b.owner) {
				why.add(AffinityUnsatisfiable, s.Affinities[b.affinity].ID)
			}
		}
		if len(why.reasons) > before {
			return
		}
	}
}
