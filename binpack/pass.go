package binpack

import (
	"cmp"
	"context"
	"slices"
)

// A part is what is left of a group for new nodes of one cell.
type part struct {
	group, cell int
	left        int64
	offers      Set
	need, norm  Vector
	value       uint64 // of one pod, by the worth in force
	filler      bool   // may only fill nodes that others open
}

// An opened is a pattern under construction.
type opened struct {
	offer int
	count int64
	pods  []Share
	cells []int // by pods: the cell of the group
}

// A pass is one plan from the beginning, made under quotas that earlier passes
// found to be necessary. It is the state that all steps of a pass share.
type pass struct {
	*table
	ctx    context.Context
	caps   *caps
	strict bool // open nodes for each priority in turn

	free  []Vector  // by node: room left
	fills [][]Share // by node
	tight []int     // nodes, the fullest first

	left      []Vector // by pool: what limits allow still
	nodesLeft []int64  // by pool
	stockLeft []int64

	ledger *ledger
	quota  [][]int64 // by group, by cell: what split decided
	placed [][]int64 // by group, by cell: what found a place
	parts  []part
	opened []opened

	steps     int64
	bound     bool // a limit or stock stood in somebody's way
	truncated bool
}

// caps are the most pods that a pass may plan: in all for a group, and in each
// of its cells.
type caps struct {
	group []int64
	cell  [][]int64
}

func newPass(ctx context.Context, t *table, c *caps, strict bool) *pass {
	s := &pass{table: t, ctx: ctx, caps: c, strict: strict, ledger: newLedger(t)}
	s.fills = make([][]Share, len(t.Nodes))
	for i := range t.Nodes {
		s.free = append(s.free, slices.Clone(t.Nodes[i].Free))
		s.tight = append(s.tight, i)
	}
	for i := range t.Pools {
		s.left = append(s.left, slices.Clone(t.Pools[i].Left))
		s.nodesLeft = append(s.nodesLeft, t.Pools[i].NodesLeft)
	}
	for i := range t.Stocks {
		s.stockLeft = append(s.stockLeft, t.Stocks[i].Count)
	}
	for g := range t.Groups {
		s.quota = append(s.quota, make([]int64, len(t.cells[g])))
		s.placed = append(s.placed, make([]int64, len(t.cells[g])))
	}
	return s
}

// run makes the plan: existing nodes for each group in turn, then new ones.
func (s *pass) run() {
	for _, g := range s.order() {
		if s.ended() {
			return
		}
		s.place(g)
	}
	s.open()
}

// ended notes that ctx has ended.
func (s *pass) ended() bool {
	s.truncated = s.truncated || s.ctx.Err() != nil
	return s.truncated
}

// order lists the groups that can be placed as they are split and put on
// existing nodes: by priority; those that a spread counts without asking them
// before the ones that ask, whose skew they move; the dearest pods first.
func (s *pass) order() []int {
	w := s.worth(func(o int) bool { return true }, func(g int) int64 { return s.Groups[g].Count })
	type key struct {
		group, asks int
		value       uint64
	}
	var keys []key
	for g := range s.Groups {
		if s.asks[g] != "" || s.Groups[g].Count == 0 {
			continue
		}
		k := key{group: g, asks: 1, value: w.value(s.norm(s.need[g]))}
		for _, i := range s.regions.spreads[g] {
			if !s.Spreads[i].Owners.Has(g) {
				k.asks = 0
			}
		}
		keys = append(keys, k)
	}
	slices.SortFunc(keys, func(a, b key) int {
		return cmp.Or(cmp.Compare(s.Groups[b.group].Priority, s.Groups[a.group].Priority),
			cmp.Compare(a.asks, b.asks), cmp.Compare(b.value, a.value), cmp.Compare(a.group, b.group))
	})
	out := make([]int, len(keys))
	for i := range keys {
		out[i] = keys[i].group
	}
	return out
}

// place splits group g over its cells, fills existing nodes with what goes
// there and leaves the rest as parts.
func (s *pass) place(g int) {
	cells := s.cells[g]
	free := make([]int64, len(cells))
	if len(cells) != 1 || cells[0].bound() {
		for i := range cells {
			free[i] = s.roomFor(g, &cells[i])
		}
	}
	s.quota[g] = s.ledger.split(cells, min(s.Groups[g].Count, s.caps.group[g]), free, s.caps.cell[g])
	for i := range cells {
		if s.quota[g][i] == 0 {
			continue
		}
		s.placed[g][i] = s.fill(g, &cells[i], s.quota[g][i])
		if rest := s.quota[g][i] - s.placed[g][i]; rest > 0 {
			s.parts = append(s.parts, part{
				group: g, cell: i, left: rest, offers: cells[i].offers,
				need: s.need[g], norm: s.norm(s.need[g]),
			})
		}
	}
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

// tighten sorts the nodes by what they have left, summed over resources.
func (s *pass) tighten() {
	size := make([]int64, len(s.free))
	for i, v := range s.free {
		for _, q := range s.norm(v) {
			size[i] += q
		}
	}
	slices.SortFunc(s.tight, func(a, b int) int { return cmp.Or(cmp.Compare(size[a], size[b]), cmp.Compare(a, b)) })
}

// worth prices the resources for the offers and the pods that are asked for.
func (s *pass) worth(offer func(int) bool, pods func(int) int64) worth {
	var rooms [][]float64
	var prices []float64
	most := MicroUSD(1)
	for _, p := range s.price {
		most = max(most, p)
	}
	for o := range s.Offers {
		if s.room[o] == nil || !s.usable(s.Offers[o].Pool) || !offer(o) {
			continue
		}
		rooms = append(rooms, floats(s.norm(s.room[o])))
		prices = append(prices, float64(s.price[o])/float64(most))
	}
	demand := make([]float64, len(s.Resources))
	for g := range s.Groups {
		for r, q := range s.norm(s.need[g]) {
			demand[r] += float64(float64(q) / unit * float64(pods(g)))
		}
	}
	return worthOf(rooms, prices, demand)
}

// floats expresses a normalised vector in parts of 1.
func floats(v Vector) []float64 {
	out := make([]float64, len(v))
	for r, q := range v {
		out[r] = float64(q) / unit
	}
	return out
}
