package binpack

import (
	"cmp"
	"context"
	"slices"
)

// One plan, from empty to whole.
//
// 	group by group:
// 	  split over cells ──▶ fill existing nodes ──▶ parts
// 	then:
// 	  open new nodes for all parts together
// 	  send again what did not find the place it was sent to
//
// Existing nodes are filled group by group, since they cost nothing and only their
// room matters. New nodes are opened for all groups together, since what makes a
// good load depends on everything that is left to place.

// A part is what is left of a group for new nodes of one cell.
type part struct {
	group, cell int
	left        int64  // pods that have no place yet; never negative
	set         int    // the cell's offers: an index into table.sets
	need        Vector // of one pod
}

// An opened is a pattern under construction.
type opened struct {
	offer  int
	listed []int // that the pattern must list beside the offer, by price; see flexible.go
	count  int64
	pods   []Share
	cells  []int // by pods: the cell of the group
}

// A pass is one plan from the beginning, made under quotas that earlier passes
// found to be necessary. It is the state that all steps of a pass share.
type pass struct {
	*table
	ctx    context.Context
	caps   *caps
	strict bool // open nodes for each priority in turn
	alone  bool // open nodes for those alone who may be without company
	homes  Set  // affinities over Hostname of which owners have started a node
	recipe recipe

	free  []Vector  // by node: room left
	fills [][]Share // by node
	tight []int     // nodes, the fullest first

	left      []Vector // by pool: what limits allow still
	nodesLeft []int64  // by pool
	stockLeft []int64
	bundles   []*bundle // by offer: of the candidates under way, nil where there is none

	residents *crowd // of the node that joins looks at
	ledger    *ledger
	quota     [][]int64 // by group, by cell: what split decided
	placed    [][]int64 // by group, by cell: what found a place
	parts     []part
	opened    []opened

	incumbent []opened // nodes of the best plan so far
	until     int64    // steps after which no more patterns are looked for

	fluid      MicroUSD     // see fluidBound
	bounded    bool         // fluid has been worked out
	ascended   int64        // steps that the ascent for it could take
	claimed    []claimant   // that fluid was worked out for last
	components []*component // of these
	steps      int64
	bound      bool // a limit or stock stood in somebody's way
	truncated  bool
	scored     []int64 // see score; nil until it is asked for
}

// caps are the most pods that the first helping of a pass may plan: in all for a group, and in
// each of its cells. Groups that are out get no place in any.
type caps struct {
	group []int64
	cell  [][]int64
	out   Set
}

// giveUp keeps a group from the first helping and, if that was not enough, from all.
func (c *caps) giveUp(g int) {
	if c.group[g] == 0 {
		c.out.Add(g)
	}
	c.group[g] = 0
}

// A recipe is a way to make a plan. No one is best for all problems, and each takes
// little time.
type recipe struct {
	fair   float64 // of a kind, at most this many fair shares to a node; 0 for no bound. See relax
	shares float64 // a load counts for at most so many fair shares of the worth, where pods keep apart; 0 for no bound. See slots.go
	mixed  float64 // share of the mixture's cost that is decided before nodes are opened one by one
}

// recipes in the order in which they are tried; the first makes the first plan.
var recipes = []recipe{
	{fair: 1, shares: 2}, {fair: 2, shares: 3}, {}, {fair: 1.5, shares: 1.2},
	{fair: 1, mixed: 0.75}, {fair: 1, mixed: 0.9}, {mixed: 0.5, shares: 1}, {fair: 1, mixed: 1}, {mixed: 0.95}, {fair: 2, mixed: 0.85, shares: 2},
}

// newPass starts with everything empty and all limits untouched.
func newPass(ctx context.Context, t *table, r recipe) *pass {
	s := &pass{table: t, ctx: ctx, recipe: r, residents: newCrowd(t), ledger: newLedger(t)}
	s.fills = make([][]Share, len(t.Nodes))
	s.bundles = make([]*bundle, len(t.Offers))
	for i := range t.Nodes {
		s.free = append(s.free, slices.Clone(t.Nodes[i].Free))
		s.tight = append(s.tight, i)
	}
	s.tighten()
	for i := range t.Pools {
		s.left = append(s.left, slices.Clone(t.Pools[i].Left))
		s.nodesLeft = append(s.nodesLeft, t.Pools[i].NodesLeft)
	}
	for i := range t.Stocks {
		s.stockLeft = append(s.stockLeft, t.Stocks[i].Count)
	}
	s.quota, s.placed = t.perCell(), t.perCell()
	return s
}

// perCell makes a number for each cell of each group.
func (t *table) perCell() [][]int64 {
	n := 0
	for g := range t.cells {
		n += len(t.cells[g])
	}
	slab, out := make([]int64, n), make([][]int64, len(t.cells))
	for g := range out {
		n := len(t.cells[g])
		out[g], slab = slab[:n:n], slab[n:]
	}
	return out
}

// run makes the plan: existing nodes for each group in turn, then new ones.
func (s *pass) run() {
	order := s.order()
	if s.Blend {
		s.furnish(order)
	}
	for _, g := range order {
		if s.ended() {
			return
		}
		s.place(g)
	}
	s.late(order)
	s.open()
	for range secondHelpings {
		if s.ended() || !s.again() {
			return
		}
	}
}

// secondHelpings bounds how often a pass looks again for pods that split sent
// where there was no room. Each time may fill one more layer of a spread.
const secondHelpings = 20

// again splits anew what is left of groups that mind a key, over the cells that
// can still take pods, with what really found a place in the ledger. It reports
// whether that placed any.
func (s *pass) again() bool {
	// What is broken needs other quotas from the start; more pods cannot
	// mend it.
	s.ledger = s.real()
	if !s.broken().none() {
		return false
	}
	s.ledger.freeze()
	before := int64(0)
	bound := Set{}
	for g := range s.Groups {
		before += total(s.placed[g])
		if len(s.cells[g]) > 0 && s.cells[g][0].bound() && total(s.placed[g]) < s.Groups[g].Count && s.asks[g] == "" {
			bound.Add(g)
		}
	}
	if bound.Len() == 0 {
		return false
	}
	// Other parts stay: they may fill nodes that are opened now.
	s.parts = slices.DeleteFunc(s.parts, func(p part) bool { return p.left == 0 || bound.Has(p.group) })
	after := int64(0)
	for _, g := range s.order() {
		if bound.Has(g) {
			s.place(g)
		}
	}
	s.open()
	for g := range s.Groups {
		after += total(s.placed[g])
	}
	return after > before
}

// ended notes that ctx has ended. It is asked between groups and between nodes:
// often enough to be prompt, at moments when the state is whole.
func (s *pass) ended() bool {
	s.truncated = s.truncated || s.ctx.Err() != nil
	return s.truncated
}

// order lists the groups that can be placed as they are split and put on
// existing nodes: by priority; those that a spread counts without asking them
// before the ones that ask, whose skew they move, and targets of an affinity before its
// owners; the dearest pods first.
func (s *pass) order() []int {
	w := s.overall()
	type key struct {
		group    int
		priority int32
		asks     int
		value    uint64
	}
	priority, asks := s.rank(s.row())
	keys := make([]key, 0, len(s.Groups))
	norm := make(Vector, len(s.Resources))
	for g := range s.Groups {
		if !s.mayPlace(g) {
			continue
		}
		keys = append(keys, key{g, priority[g], asks[g], w.value(s.normTo(norm, s.need[g]))})
	}
	slices.SortFunc(keys, func(a, b key) int {
		return cmp.Or(cmp.Compare(b.priority, a.priority),
			cmp.Compare(a.asks, b.asks), cmp.Compare(b.value, a.value), cmp.Compare(a.group, b.group))
	})
	out := make([]int, len(keys))
	for i := range keys {
		out[i] = keys[i].group
	}
	return s.guestsNext(out, priority)
}

// row is by group 0 for those that a spread counts without asking them: they may go
// anywhere, and shift the counts. All others stand in row 1.
func (s *pass) row() []int {
	out := make([]int, len(s.Groups))
	for g := range out {
		out[g] = 1
		for _, i := range s.regions.spreads[g] {
			if !s.Spreads[i].Owners.Has(g) {
				out[g] = 0
			}
		}
	}
	return out
}

// place splits what is left of group g over its cells, fills existing nodes with
// what goes there and leaves the rest as parts.
func (s *pass) place(g int) {
	if s.barred(g) >= 0 || s.caps.out.Has(g) {
		return
	}
	cells := s.cells[g]
	n := s.Groups[g].Count
	if !s.ledger.frozen() {
		n = min(n, s.caps.group[g])
	}
	quota := s.ledger.split(cells, n-total(s.placed[g]), s.cellRoom(g))
	for i := range cells {
		s.quota[g][i] += quota[i]
		if quota[i] == 0 {
			continue
		}
		// Existing nodes cost nothing, so they come first wherever the pods may go;
		// a part is what new nodes of the cell must hold.
		filled, kept := s.first(g, &cells[i], quota[i])
		filled += s.fill(g, &cells[i], quota[i]-filled-kept)
		s.placed[g][i] += filled
		if rest := quota[i] - filled; rest > 0 && s.opens[g] {
			s.parts = append(s.parts, part{
				group: g, cell: i, left: rest, set: s.intern(cells[i].offers), need: s.need[g],
			})
		}
	}
}

// cellRoom looks at each cell of group g as it is now. Caps hold for the first
// helping only: later ones keep every skew whatever comes of them. A group that minds no key
// is not worth the look.
func (s *pass) cellRoom(g int) cellRoom {
	cells := s.cells[g]
	room := cellRoom{free: make([]int64, len(cells)), opens: make([]bool, len(cells)), most: make([]int64, len(cells))}
	for i := range cells {
		room.most[i] = s.Groups[g].Count
		if !s.ledger.frozen() {
			room.most[i] = s.caps.cell[g][i]
		}
		if !cells[i].bound() {
			continue
		}
		room.free[i] = s.roomFor(g, &cells[i])
		// Cells list only offers that hold a pod, so room is not the question.
		room.opens[i] = s.canOpen(&cells[i]) && s.expects(g, &cells[i])
	}
	room.leads = s.leads(g, room)
	if len(room.leads) == 0 && len(cells) > 1 && s.isStarter(g) {
		s.keepTogether(g, &room)
	}
	return room
}

// roomFor counts the pods of group g that existing nodes of cell c hold.
func (s *pass) roomFor(g int, c *cell) (n int64) {
	for i := range c.nodes.All {
		s.steps++
		if k := fit(s.free[i], s.need[g], s.Groups[g].Count); k > 0 {
			n += s.joins(g, s.fills[i], i, k)
		}
	}
	return n
}

// fill puts up to n pods of group g on existing nodes of cell c, the fullest
// first, and returns how many went.
func (s *pass) fill(g int, c *cell, n int64) int64 {
	rest := n
	for _, i := range s.tight {
		if rest == 0 {
			break
		}
		if !c.nodes.Has(i) {
			continue
		}
		s.steps++
		k := fit(s.free[i], s.need[g], rest)
		if k > 0 {
			k = s.joins(g, s.fills[i], i, k)
		}
		if k == 0 {
			continue
		}
		for r, q := range s.need[g] {
			s.free[i][r] -= q * k
		}
		s.fills[i] = with(s.fills[i], g, k)
		rest -= k
	}
	if rest < n {
		s.tighten()
	}
	return n - rest
}

// tighten sorts the nodes by what they have left, summed over resources: best fit.
// Filling the fullest first keeps large rooms for large pods, and leaves nodes empty
// that may then be removed. Few move at a time, so the sort is nearly linear.
func (s *pass) tighten() {
	size := make([]int64, len(s.free))
	for i, v := range s.free {
		for _, q := range s.norm(v) {
			size[i] += q
		}
	}
	slices.SortFunc(s.tight, func(a, b int) int { return cmp.Or(cmp.Compare(size[a], size[b]), cmp.Compare(a, b)) })
}

// overall prices the resources for all offers and all pods, whatever is placed: for
// orders that must not depend on which of them is looked at.
func (t *table) overall() worth {
	if t.common != nil {
		return t.common
	}
	// Offers that others beat have no say.
	offers := make([]int, 0, len(t.Offers))
	for o := range t.Offers {
		if t.room[o] != nil {
			offers = append(offers, o)
		}
	}
	offers = t.frontier(offers, func(int, int) bool { return true })
	// Prices are taken in parts of the highest, as quantities are: another
	// currency gives the same floats.
	most := MicroUSD(1)
	for _, o := range offers {
		most = max(most, t.price[o])
	}
	rooms, prices := make([][]float64, len(offers)), make([]float64, len(offers))
	for i, o := range offers {
		rooms[i], prices[i] = t.size[o], float64(t.price[o])/float64(most)
	}
	demand := make([]float64, len(t.Resources))
	for g := range t.Groups {
		if !t.opens[g] {
			continue
		}
		for r, q := range t.norm(t.need[g]) {
			demand[r] += float64(float64(q) / unit * float64(t.Groups[g].Count))
		}
	}
	t.common = t.tableau.worth(rooms, prices, demand)
	return t.common
}

// floats expresses a normalised vector in parts of 1.
func floats(v Vector) []float64 { return floatsTo(make([]float64, len(v)), v) }

// floatsTo is floats, into out.
func floatsTo(out []float64, v Vector) []float64 {
	for r, q := range v {
		out[r] = float64(q) / unit
	}
	return out
}
