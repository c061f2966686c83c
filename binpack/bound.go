package binpack

import (
	"encoding/binary"
	"math"
	"math/big"
	"math/bits"
	"slices"
)

// What no plan can beat.
//
// Let a unit of resource r be worth yᵣ. A node of offer o holds a load L that is no larger
// than its room, so
//
// 	y·L  ≤  y·room(o)
//
// and if that is at most price(o) for every o, then the sum over all nodes of a plan says:
// y·demand ≤ cost. Any y will do; better ones give a higher bound, and prices that differ from
// offer to offer better ones still (ascent.go). Nothing else about a plan is used
// (whole pods, topology), so the bound may be out of reach: with pods that
// are small against nodes it is close, with large ones it is not.
//
// What may run out has a rent ρ for as much of it as any offer takes: offers that take of it may
// cost their part of that more, and no plan pays more than ρ for all there is, which comes off the bound.

// A claimant is a kind of pod for the lower bound: those that may use the same
// offers. Its pods are the ones that the plan put on new nodes of one weight.
type claimant struct {
	offers Set
	groups []Share // pods by group
	demand Vector
}

// lowerBound proves what the pods on the plan's new nodes cost at least. The
// pods on any node take no more than its room. So if each resource has a price
// y, under which the room of no offer is worth more than the offer costs, then
// no plan costs less than all pods are worth: y·demand. The fluid problem finds
// good prices in floating point; they are then rounded to integers, and lowered
// until each offer passes an exact check. So the bound holds whatever the floats
// did.
//
// Claimants whose offers have nothing in common, directly or through others, are
// bounded apart and added up. Where that leaves the plan in doubt, each offer gets
// prices of its own (ascent.go), as far as the given steps last, and where few pods fit
// on a node, each pod (certify.go).
func (s *pass) lowerBound(steps int64) MicroUSD {
	bound := s.fluidBound()
	if s.above(bound) && steps > 4*s.ascended && !s.truncated {
		bound = max(bound, s.ascend(steps))
	}
	// Where the mixture's prices promise more, it is worth a search.
	for _, price := range s.prices() {
		if worthOfAll(s.claimed, price) > float64(bound)*worthwhile {
			bound = max(bound, s.certify(s.claimed, price))
		}
	}
	return bound
}

// fluidBound is the part of lowerBound that lets pods be cut: the better of what
// follows with spreads and without. With them pods are of more kinds, and a count of
// each is less than a count of all.
func (s *pass) fluidBound() MicroUSD {
	if !s.bounded {
		s.bounded = true
		s.fluid = s.componentBounds(s.claimants(false))
		if len(s.Spreads) > 0 {
			s.fluid = max(s.fluid, s.componentBounds(s.claimants(true)))
		}
		if s.above(s.fluid) {
			s.fluid = max(s.fluid, s.ascend(s.steps/partOfPlan))
		}
	}
	return s.fluid
}

// ascend is the bound with prices that differ from offer to offer, as far as steps last.
func (s *pass) ascend(steps int64) (sum MicroUSD) {
	for _, c := range s.components {
		sum += c.ascend(steps / int64(len(s.components)))
	}
	s.ascended = steps
	return sum
}

// componentBounds adds up the bounds of claimants that share no offers, and keeps what it
// made of them.
func (s *pass) componentBounds(list []claimant) (sum MicroUSD) {
	s.claimed, s.components = list, nil
	for _, list := range components(list) {
		c := s.component(list)
		s.components = append(s.components, c)
		best := MicroUSD(0)
		for i := range c.list {
			best = max(best, c.countBound(&c.list[i]))
		}
		sum += max(best, c.priced())
	}
	return sum
}

// A component is claimants that share offers, and those of the offers that decide what
// their pods cost.
type component struct {
	*pass
	list   []claimant
	offers []int          // by rising price
	room   map[int]Vector // by offer: what pods of the claimants can use of it; see grid
	cost   MicroUSD       // of the plan's nodes for them

	scarce []scarcity       // what may run out of the offers
	rents  []MicroUSD       // by what is scarce: in force, for its unit
	full   []MicroUSD       // by what is scarce: the rents at which its offers are worth no more than others
	dear   map[int]MicroUSD // by offer: its price with rent
}

// component makes one of the given claimants.
func (s *pass) component(list []claimant) *component {
	c := &component{pass: s, list: slices.Clone(list), room: map[int]Vector{}}
	grid := make(grid, len(s.Resources))
	var every Set
	for _, claimant := range list {
		every = every.or(claimant.offers)
		for _, sh := range claimant.groups {
			grid.add(s.need[sh.Group])
		}
	}
	var decisive Set
	c.offers = s.decisive(list)
	slices.SortFunc(c.offers, func(a, b int) int { return s.turn[a] - s.turn[b] })
	for _, o := range c.offers {
		decisive.Add(o)
		c.room[o] = grid.floor(s.room[o])
	}
	pods := int64(0)
	for i := range c.list {
		c.list[i].offers = list[i].offers.and(decisive)
		for _, sh := range list[i].groups {
			pods += sh.Count
		}
	}
	c.scarce = s.table.scarce(c.offers, pods, s.takesAlone, s.atFirst)
	c.rents, c.full, c.dear = make([]MicroUSD, len(c.scarce)), make([]MicroUSD, len(c.scarce)), map[int]MicroUSD{}
	c.let(0)
	for _, o := range s.opened {
		if every.Has(o.offer) {
			c.cost += s.price[o.offer] * MicroUSD(o.count)
		}
	}
	return c
}

// demand is that of all claimants.
func (c *component) demand() Vector {
	sum := make(Vector, len(c.Resources))
	for i := range c.list {
		for r, q := range c.list[i].demand {
			sum[r] += q
		}
	}
	return sum
}

// decisive lists the offers that some claimant may use, but those that are beaten by
// another that the same may use and that runs out together with them: prices that hold for
// the better one hold for them.
func (t *table) decisive(list []claimant) (out []int) {
	classes := map[string][]int{}
	var names []string
	var key []byte
	for o := range t.Offers {
		key = key[:0]
		for i := range list {
			if list[i].offers.Has(o) {
				key = binary.AppendVarint(key, int64(i))
			}
		}
		if len(key) == 0 || t.room[o] == nil {
			continue
		}
		for _, d := range t.stocks[o] {
			key = binary.AppendVarint(key, int64(^d.stock)) // negative, unlike claimants
			key = binary.AppendVarint(key, d.units)
		}
		if pool := t.Offers[o].Pool; t.Pools[pool].Left != nil || t.Pools[pool].NodesLeft != Unlimited {
			key = binary.AppendVarint(key, int64(^(len(t.Stocks) + pool)))
		}
		if classes[string(key)] == nil {
			names = append(names, string(key))
		}
		classes[string(key)] = append(classes[string(key)], o)
	}
	for _, name := range names {
		out = append(out, t.frontier(classes[name], func(int, int) bool { return true })...)
	}
	return out
}

// partOfSearch is the share of the steps of the search for a plan, one in so many, that its
// bound may take again.
const partOfSearch = 4

// partOfPlan is that of the steps of a plan for the bound that the search goes by.
const partOfPlan = 8

// worthwhile is by how much the prices of a mixture must be above the fluid bound to
// search for a proof of them.
const worthwhile = 1.002

// worthOfAll is what the pods of claimants are worth at the given prices by group.
func worthOfAll(list []claimant, price map[int]float64) float64 {
	sum := 0.0
	for i := range list {
		for _, sh := range list[i].groups {
			sum += float64(price[sh.Group] * float64(sh.Count))
		}
	}
	return sum
}

// claimants sorts the pods on new nodes by what they may use: offers of their
// group in pools of at least the weight they got, that hold a pod of some group
// of the kind. With spread set, the pods that a spread puts into each domain may use
// only the offers there.
func (s *pass) claimants(spread bool) []claimant {
	type kind struct {
		set    int
		weight int32
	}
	index := map[kind]int{}
	var out []claimant
	var weights []int32
	add := func(offers Set, weight int32, g int, n int64) {
		k := kind{s.intern(offers), weight}
		i, ok := index[k]
		if !ok {
			i = len(out)
			index[k] = i
			out = append(out, claimant{offers: offers, demand: make(Vector, len(s.Resources))})
			weights = append(weights, weight)
		}
		out[i].groups = with(out[i].groups, g, n)
		for r, q := range s.need[g] {
			out[i].demand[r] += q * n
		}
	}
	// A group may be spread over pools of several weights: those pods are of
	// several kinds, since a heavier pool may cost more and was not open to all.
	for _, weight := range s.weights {
		for g, n := range s.bought(weight) {
			if n == 0 {
				continue
			}
			if sp, least := s.leastEach(g, n); spread && sp != nil {
				for _, d := range sp.Domains {
					add(s.Groups[g].Offers.and(s.in(sp.Key, d.Domain)), weight, g, least)
					n -= least
				}
			}
			if n > 0 {
				add(s.Groups[g].Offers, weight, g, n)
			}
		}
	}
	for i := range out {
		var offers Set
		// Offers that hold none of these pods cannot carry any of the demand. Pools
		// with MinValues stay: another plan could use them.
		for o := range out[i].offers.All {
			if s.Pools[s.Offers[o].Pool].Weight >= weights[i] && s.room[o] != nil && s.everOpens(o) &&
				slices.ContainsFunc(out[i].groups, func(sh Share) bool { return covers(s.room[o], s.need[sh.Group]) }) {
				offers.Add(o)
			}
		}
		out[i].offers = offers
	}
	return out
}

// everOpens reports whether limits and stocks allowed a node of the offer at the start.
func (t *table) everOpens(o int) bool {
	pool := &t.Pools[t.Offers[o].Pool]
	for r, q := range t.charge[o] {
		if q > pool.Left[r] {
			return false
		}
	}
	return pool.NodesLeft > 0 && !slices.ContainsFunc(t.stocks[o], func(d draw) bool { return t.Stocks[d.stock].Count < d.units })
}

// bought counts by group the pods on new nodes of pools of a weight.
func (s *pass) bought(weight int32) []int64 {
	out := make([]int64, len(s.Groups))
	for _, o := range s.opened {
		if s.Pools[s.Offers[o.offer].Pool].Weight == weight {
			for _, sh := range o.pods {
				out[sh.Group] += sh.Count * o.count
			}
		}
	}
	return out
}

// leastEach is how many of n pods of group g any plan puts into each domain of a
// spread: with skew s over D domains, at least (n − s·(D−1)) / D. There is none
// where that cannot be told: where others are counted, some run already, some are not
// on new nodes of one weight, or the lowest number is taken as 0.
func (s *pass) leastEach(g int, n int64) (by *Spread, least int64) {
	if n < total(s.placed[g]) {
		return nil, 0
	}
	for _, i := range s.regions.spreads[g] {
		sp := &s.Spreads[i]
		d := int64(len(sp.Domains))
		if !sp.Owners.Has(g) || sp.Counted.Len() != 1 || !sp.Counted.Has(g) || d < max(sp.MinDomains, 2) ||
			slices.ContainsFunc(sp.Domains, func(c DomainCount) bool { return c.Count > 0 }) {
			continue
		}
		if l := (n - min(sp.MaxSkew, n)*(d-1) + d - 1) / d; l > least {
			by, least = sp, l
		}
	}
	return by, least
}

// in returns the offers in a domain of a key.
func (t *table) in(key, domain int) Set {
	at := [2]int{key, domain}
	if set, ok := t.within[at]; ok {
		return set
	}
	var set Set
	for o := range t.Offers {
		if t.Offers[o].Domains[key] == domain {
			set.Add(o)
		}
	}
	t.within[at] = set
	return set
}

// components gathers claimants that share an offer, transitively.
func components(list []claimant) [][]claimant {
	var out [][]claimant
	for _, c := range list {
		mine := []claimant{c}
		rest := out[:0]
		for _, others := range out {
			if slices.ContainsFunc(others, func(d claimant) bool { return c.offers.Meets(d.offers) }) {
				mine = append(others, mine...)
			} else {
				rest = append(rest, others)
			}
		}
		out = append(rest, mine)
	}
	return out
}

// countBound: pods need a number of nodes that hold them, whatever else is on
// these, and none is cheaper than the cheapest that holds one. Groups that ask for the
// same, and that no rule of one node binds, are counted together.
func (c *component) countBound(of *claimant) MicroUSD {
	s := c.pass
	groups := slices.Clone(of.groups)
	slices.SortStableFunc(groups, func(a, b Share) int { return slices.Compare(s.need[a.Group], s.need[b.Group]) })
	offers := make([]int, 0, len(c.offers))
	for _, o := range c.offers {
		if of.offers.Has(o) {
			offers = append(offers, o)
		}
	}
	best := MicroUSD(0)
	for i := 0; i < len(groups); {
		sh := groups[i]
		for i++; i < len(groups) && !s.isRuled(sh.Group) && !s.isRuled(groups[i].Group) && slices.Equal(s.need[groups[i].Group], s.need[sh.Group]); i++ {
			sh.Count += groups[i].Count
		}
		// Offers come by rising price, so the first that holds a pod is the cheapest.
		need := s.need[sh.Group]
		first := slices.IndexFunc(offers, func(o int) bool { return covers(s.room[o], need) })
		if first < 0 || MicroUSD(sh.Count)*s.price[offers[first]] <= best {
			continue // not even a node for each pod would cost more
		}
		least, most := s.price[offers[first]], int64(0)
		for _, o := range offers[first:] {
			most = max(most, fit(s.room[o], need, sh.Count))
		}
		if most > 0 {
			// The rules of one node may allow fewer pods than its room does.
			most = max(s.abides(sh.Group, nil, -1, most), 1)
			best = max(best, MicroUSD((sh.Count+most-1)/most)*least)
		}
	}
	return best
}

// priced is the bound of a component by fluid prices, at the best of some rents for what may
// run out, which stay in force.
func (c *component) priced() (best MicroUSD) {
	best = c.pricedAt(0)
	if len(c.scarce) == 0 || !c.findRents() {
		return best
	}
	at := 0
	for part := 1; part <= rentParts; part++ {
		if bound := c.pricedAt(part); bound > best {
			best, at = bound, part
		}
	}
	c.let(at)
	return best
}

// rentParts is in how many steps rents rise from nothing to the full.
const rentParts = 4

// pricedAt is the bound by fluid prices at a part of the full rents.
func (c *component) pricedAt(part int) MicroUSD {
	c.let(part)
	e := exactly([][]float64{c.fluidPrices(nil)})
	for _, o := range c.offers {
		e.fit(e.y[0], c.room[o], c.dear[o])
	}
	total := worthExactly(e.y[0], c.demand())
	return e.ceil(total.Sub(total, c.owed(e)))
}

// let puts a part of the full rents in force.
func (c *component) let(part int) {
	for i, full := range c.full {
		c.rents[i] = full / rentParts * MicroUSD(part)
	}
	for _, o := range c.offers {
		c.dear[o] = c.price[o]
		for i := range c.scarce {
			hi, lo := bits.Mul64(uint64(c.rents[i]), uint64(c.takesAlone(o, &c.scarce[i])))
			rent, _ := bits.Div64(hi, lo, uint64(c.scarce[i].unit)) // no offer takes more than a unit
			c.dear[o] += MicroUSD(rent)
		}
	}
}

// owed is the rent of all that is scarce, as exact prices count, rounded up.
func (c *component) owed(e *exact) *big.Int {
	sum := new(big.Int)
	for i := range c.scarce {
		x := &c.scarce[i]
		rent := new(big.Int).Mul(big.NewInt(int64(c.rents[i])), big.NewInt(c.atFirst(x)))
		rent.Lsh(rent, e.shift).Add(rent, big.NewInt(x.unit-1))
		sum.Add(sum, rent.Quo(rent, big.NewInt(x.unit)))
	}
	return sum
}

// findRents finds the rents at which offers that may run out are worth no more than those
// that do not, and reports whether there are any and they are small enough to count with.
// An offer that takes of several things pays for the one that lets fewest nodes be.
func (c *component) findRents() bool {
	y := c.fluidPrices(c.mayRunOut)
	any := false
	for _, o := range c.offers {
		gain := -float64(c.price[o])
		for r, q := range c.room[o] {
			gain += float64(y[r] * float64(q))
		}
		at, nodes, takes := -1, int64(0), int64(0)
		for i := range c.scarce {
			if n := c.takesAlone(o, &c.scarce[i]); n > 0 && (at < 0 || c.atFirst(&c.scarce[i])/n < nodes) {
				at, nodes, takes = i, c.atFirst(&c.scarce[i])/n, n
			}
		}
		if at < 0 || gain <= 0 {
			continue
		}
		rent := math.Ceil(gain * float64(c.scarce[at].unit) / float64(takes))
		if rent > math.MaxInt32*1e6 { // a node of two billion dollars an hour
			return false
		}
		c.full[at], any = max(c.full[at], MicroUSD(rent)), true
	}
	return any
}

// mayRunOut reports whether an offer takes of what is scarce.
func (c *component) mayRunOut(o int) bool {
	return slices.ContainsFunc(c.scarce, func(x scarcity) bool { return c.takesAlone(o, &x) > 0 })
}

// fluidPrices are the prices of resources, in MicroUSD for a unit, that the
// fluid problem of the component has without some offers, at the rents in force.
func (c *component) fluidPrices(without func(o int) bool) []float64 {
	rooms, prices := make([][]float64, 0, len(c.offers)), make([]float64, 0, len(c.offers))
	most := MicroUSD(1)
	for _, o := range c.offers {
		most = max(most, c.dear[o])
	}
	for _, o := range c.offers {
		if without == nil || !without(o) {
			// Not table.size, which is rounded: the last digits of prices are worth having.
			rooms = append(rooms, c.fractions(c.room[o]))
			prices = append(prices, float64(c.dear[o])/float64(most))
		}
	}
	y := c.tableau.fluid(rooms, prices, c.fractions(c.demand()))
	for r := range y {
		y[r] = y[r] * float64(most) / float64(c.scale[r])
	}
	return y
}

// fractions expresses v in parts of the largest quantity of each resource.
func (t *table) fractions(v Vector) []float64 {
	out := make([]float64, len(v))
	for r, q := range v {
		out[r] = float64(q) / float64(t.scale[r])
	}
	return out
}

// exact is prices of resources as whole numbers of MicroUSD / 2^shift.
type exact struct {
	y     [][]uint64
	shift uint
}

// exactly rounds prices down. Shift and digits are such that the worth of any
// room, and any price, stay within 127 bits.
func exactly(prices [][]float64) *exact {
	const digits, most = 56, 63
	e := &exact{shift: most}
	for _, y := range prices {
		for _, v := range y {
			if _, exp := math.Frexp(v); v > 0 {
				e.shift = uint(max(min(int(e.shift), digits-exp), 0))
			}
		}
	}
	for _, y := range prices {
		whole := make([]uint64, len(y))
		for r, v := range y {
			if v > 0 {
				whole[r] = uint64(min(math.Ldexp(v, int(e.shift)), 1<<digits-1))
			}
		}
		e.y = append(e.y, whole)
	}
	return e
}

// fits reports whether a room is worth no more than it costs.
func (e *exact) fits(y []uint64, room Vector, price MicroUSD) bool {
	hi, lo := product(y, room)
	limitHi, limitLo := uint64(price)>>(64-e.shift), uint64(price)<<e.shift
	return hi < limitHi || (hi == limitHi && lo <= limitLo)
}

// fit lowers y in proportion until the room fits. Prices only fall, so offers
// that fitted before still do.
func (e *exact) fit(y []uint64, room Vector, price MicroUSD) {
	if e.fits(y, room, price) {
		return
	}
	worth, limit := worthExactly(y, room), new(big.Int).Lsh(big.NewInt(int64(price)), e.shift)
	// Rounded down, each price times its room sums to at most the limit.
	for r := range y {
		v := new(big.Int).SetUint64(y[r])
		y[r] = v.Mul(v, limit).Quo(v, worth).Uint64()
	}
}

// worthExactly is y·v.
func worthExactly(y []uint64, v Vector) *big.Int {
	sum := new(big.Int)
	for r, q := range v {
		sum.Add(sum, new(big.Int).Mul(new(big.Int).SetUint64(y[r]), big.NewInt(q)))
	}
	return sum
}

// ceil rounds up to a whole MicroUSD: costs are whole, so the bound still holds.
func (e *exact) ceil(v *big.Int) MicroUSD {
	if v.Sign() <= 0 {
		return 0
	}
	one := new(big.Int).Lsh(big.NewInt(1), e.shift)
	v.Add(v, one).Sub(v, big.NewInt(1))
	return MicroUSD(v.Rsh(v, e.shift).Int64())
}
