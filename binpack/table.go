package binpack

import (
	"cmp"
	"math/bits"
	"slices"
)

// What the solver knows about a problem before it begins, in the form in which it
// asks for it: vectors without nil, prices with fees, rooms without overhead,
// relations by group. It is made once for a call of Solve and shared by all passes.

// unit is the resolution of normalised quantities: the largest quantity of each
// resource in the problem counts as unit. Only preferences are computed from
// them, never whether something fits.
const unit = 1 << 20

// A table is what the solver looks up often about a problem and never changes.
type table struct {
	*canon
	room   []Vector    // by offer: capacity without overhead; nil if no pod can be put on it
	price  []MicroUSD  // by offer, with the pool's fee
	charge []Vector    // by offer; nil if its pool has no limits
	stocks []draws     // by offer: what a node takes of stocks
	need   []Vector    // by group
	asks   []string    // by group: what it asks for that Solve does not do, or ""
	opens  []bool      // by group: whether some offer holds a pod of it
	scale  []int64     // by resource: the largest quantity, at least 1
	turn   []int       // by offer: its place by rising price, falling room, ID
	normed []Vector    // by offer: the room in parts of unit
	size   [][]float64 // by offer: the room in parts of 1

	hosts     ruleIndex          // of the constraints over Hostname
	regions   ruleIndex          // of those over other keys
	stands    []stances          // by group
	slots     []slot             // see slots.go
	rings     bool               // affinities may wait for each other; see arrival.go
	visiting  *crowd             // see visitors
	alike     []int              // by group: the first that rules of one node bind in the same way; -1 if none does
	running   []map[int]int64    // by spread over Hostname: counted pods by node
	cells     [][]cell           // by group
	mosts     map[[2]int]Vector  // by set of offers and pool; see most
	frontiers map[string][]int   // by set of offers; see undominated
	divided   map[string][]cell  // see offered
	layouts   map[string]*layout // by keys

	sets     []Set           // distinct sets of offers that cells have; see intern
	setAt    map[*uint64]int // by where one begins in memory: an index into sets
	setNamed map[string]int  // by content
	mixtures []*mixture      // made so far; see opener.mixture
	within   map[[2]int]Set  // offers by key and domain; see in
	widest   int             // the most kinds that were opened for together

	cheapest [][]int                    // by pool: offers by price, then ID; see byPrice
	bundled  map[string]map[int]*bundle // by what parts may use: of each offer; see bundleUp
	openable map[int]Set                // by set of offers: those that can be opened; see bundlesIn

	tableau tableau // for fluid problems
	common  worth   // see overall

	weights    []int32            // of pools, heaviest first
	priorities map[int32]struct{} // of groups that have pods
}

// newTable looks once at every number of the problem. What depends on the order
// of things here is only the order of canonical lists.
func newTable(c *canon) *table {
	t := &table{
		canon: c, scale: make([]int64, len(c.Resources)), priorities: map[int32]struct{}{},
		within: map[[2]int]Set{}, setAt: map[*uint64]int{}, bundled: map[string]map[int]*bundle{}, openable: map[int]Set{}, setNamed: map[string]int{},
		mosts: map[[2]int]Vector{}, frontiers: map[string][]int{}, divided: map[string][]cell{}, layouts: map[string]*layout{},
	}
	for r := range t.scale {
		t.scale[r] = 1
	}
	t.need, t.asks = make([]Vector, 0, len(c.Groups)), make([]string, 0, len(c.Groups))
	for i := range c.Groups {
		g := &c.Groups[i]
		need := g.Requests
		if need == nil {
			need = t.dense(nil)
		}
		t.need = append(t.need, need)
		t.asks = append(t.asks, g.Unsupported)
		if g.Count > 0 {
			t.priorities[g.Priority] = struct{}{}
		}
	}
	t.addOffers()
	t.dropUseless()
	for i := range c.Nodes {
		c.Nodes[i].Free = t.dense(c.Nodes[i].Free)
		t.widen(c.Nodes[i].Free)
	}
	t.measure()
	t.addRules()
	t.cells = make([][]cell, len(c.Groups))
	slab := make([]cell, len(c.Groups))
	for g := range c.Groups {
		t.cells[g] = t.divide(g, carve(&slab, 1))
	}
	return t
}

// addOffers works out for each offer what is left for pods, what it costs and what
// it takes from limits and stocks.
func (t *table) addOffers() {
	n := len(t.Offers)
	t.stocks, t.room, t.charge, t.price = make([]draws, n), make([]Vector, 0, n), make([]Vector, 0, n), make([]MicroUSD, 0, n)
	for i := range t.Stocks {
		for o := range t.Stocks[i].Offers.All {
			t.stocks[o] = append(t.stocks[o], draw{i, t.Stocks[i].Takes(o)})
		}
	}
	slab := make(Vector, n*len(t.Resources))
	for i := range t.Offers {
		o := &t.Offers[i]
		pool := &t.Pools[o.Pool]
		// Overhead above capacity in any resource closes the offer.
		room := carve(&slab, len(t.Resources))
		copy(room, o.Capacity)
		for r, q := range o.Overhead {
			room[r] -= q
		}
		if slices.ContainsFunc(room, func(q int64) bool { return q < 0 }) {
			room = nil
		}
		t.room = append(t.room, room)
		t.price = append(t.price, o.Price+pool.NodeFee)
		// A pool without limits charges nothing: then no offer is heavier on them
		// than another.
		var charge Vector
		if pool.Left != nil {
			if charge = o.Charged(); len(charge) < len(t.Resources) {
				charge = t.dense(charge)
			}
		}
		t.charge = append(t.charge, charge)
	}
	for i := range t.Pools {
		t.weights = append(t.weights, t.Pools[i].Weight)
	}
	slices.SortFunc(t.weights, func(a, b int32) int { return cmp.Compare(b, a) })
	t.weights = slices.Compact(t.weights)
}

// dropUseless closes the offers that hold no pod of any group they are open to,
// so that nothing is measured by them.
func (t *table) dropUseless() {
	var useful Set
	t.opens = make([]bool, len(t.Groups))
	for g := range t.Groups {
		if t.asks[g] != "" || t.Groups[g].Count == 0 {
			continue
		}
		offers := t.Groups[g].Offers
		if most := t.most(offers, anyPool); most == nil || !covers(most, t.need[g]) {
			continue
		}
		// Of a thousand groups most have only offers that are known to be useful.
		holds := func(o int) bool { return t.room[o] != nil && covers(t.room[o], t.need[g]) }
		for o := range offers.Minus(useful).All {
			if holds(o) {
				useful.Add(o)
				t.opens[g] = true
			}
		}
		for o := range offers.All {
			if t.opens[g] = t.opens[g] || holds(o); t.opens[g] {
				break
			}
		}
	}
	for o := range t.room {
		if !useful.Has(o) {
			t.room[o] = nil
		}
		t.widen(t.room[o])
	}
}

// dense returns a copy of v that is not nil.
func (t *table) dense(v Vector) Vector {
	out := make(Vector, len(t.Resources))
	copy(out, v)
	return out
}

// widen keeps scale at the largest quantity seen.
func (t *table) widen(v Vector) {
	for r, q := range v {
		t.scale[r] = max(t.scale[r], q)
	}
}

// measure expresses the rooms of offers in parts of the largest quantities, and ranks
// them.
func (t *table) measure() {
	n := len(t.Offers)
	t.normed, t.size, t.turn = make([]Vector, n), make([][]float64, n), make([]int, n)
	whole, parts := make(Vector, n*len(t.Resources)), make([]float64, n*len(t.Resources))
	ranked := make([]int, 0, n)
	for o, room := range t.room {
		if room != nil {
			t.normed[o] = t.normTo(carve(&whole, len(room)), room)
			t.size[o] = floatsTo(carve(&parts, len(room)), t.normed[o])
			ranked = append(ranked, o)
		}
	}
	slices.SortFunc(ranked, func(a, b int) int {
		return cmp.Or(cmp.Compare(t.price[a], t.price[b]), slices.Compare(t.room[b], t.room[a]), cmp.Compare(a, b))
	})
	for i, o := range ranked {
		t.turn[o] = i
	}
}

// carve takes n elements off a slab: one allocation for many small slices.
func carve[S ~[]E, E any](slab *S, n int) S {
	out := (*slab)[:n:n]
	*slab = (*slab)[n:]
	return out
}

// norm expresses v in parts of the largest quantity of each resource. Since it
// divides, scaling all quantities of a problem leaves it as it is.
func (t *table) norm(v Vector) Vector { return t.normTo(make(Vector, len(v)), v) }

// normTo is norm, into out.
func (t *table) normTo(out, v Vector) Vector {
	for r, q := range v {
		if q >= t.scale[r] {
			out[r] = unit // more than any place has: it fits nowhere
			continue
		}
		hi, lo := bits.Mul64(uint64(q), unit)
		n, _ := bits.Div64(hi, lo, uint64(t.scale[r]))
		out[r] = int64(n)
	}
	return out
}

// fit returns how many pods of the given need go into room, at most n.
func fit(room, need Vector, n int64) int64 {
	// Most tries fail: find that out before dividing.
	for r, q := range need {
		if q > room[r] {
			return 0
		}
	}
	for r, q := range need {
		if q > 0 && q*n > room[r] {
			n = room[r] / q
		}
	}
	return n
}

// of counts the pods of the groups in s.
func of(pods []Share, s Set) (n int64) {
	for _, sh := range pods {
		if s.Has(sh.Group) {
			n += sh.Count
		}
	}
	return n
}

// with adds n pods of group g to pods, kept in the order of groups. Nodes hold few
// groups, so a sorted slice beats a map, and has an order.
func with(pods []Share, g int, n int64) []Share {
	i, found := slices.BinarySearchFunc(pods, g, func(sh Share, g int) int { return cmp.Compare(sh.Group, g) })
	if found {
		pods[i].Count += n
		return pods
	}
	return slices.Insert(pods, i, Share{g, n})
}
