package consolidate

import (
	"cmp"
	"context"
	"slices"

	"github.com/stowage-sh/stowage/binpack"
	"github.com/stowage-sh/stowage/provisioner/lifecycle"
	"github.com/stowage-sh/stowage/provisioner/problem"
)

// mostTogether is how many nodes a command has at most, and few how many it begins with.
const mostTogether, few = 16, 8

// A piece is a command in the making.
type piece struct {
	nodes []int
	cost  binpack.MicroUSD // of the new nodes
	fills []binpack.Fill
	New   []binpack.Pattern
}

// commands parts what is to be done into pieces that do not depend on each other, each packed for
// itself on what stays and on new nodes. Pieces are then united by twos as long as that is
// cheaper.
func (s *search) commands(ctx context.Context, a *attempt) ([]Command, error) {
	p := s.without(a.leaves)
	b := &board{search: s, ctx: ctx, p: p}
	var going []int
	for i := range s.nodes {
		if a.leaves[i] {
			going = append(going, i)
		}
	}
	slices.SortStableFunc(going, func(i, j int) int {
		return cmp.Compare(s.worth(s.load[i])/float64(max(1, s.nodes[i].Price)), s.worth(s.load[j])/float64(max(1, s.nodes[j].Price)))
	})
	var pieces []*piece
	for some := range slices.Chunk(going, few) {
		x, err := b.pack(some)
		if err != nil {
			return nil, err
		}
		b.use(x, -1)
		pieces = append(pieces, x)
	}
	pieces, err := b.unite(pieces)
	if err != nil {
		return nil, err
	}
	return s.write(pieces), nil
}

// A board is the room that is left on machines that stay.
type board struct {
	*search
	ctx context.Context
	p   *binpack.Problem
}

// pack finds places for the pods of nodes; nil if some have none.
func (b *board) pack(nodes []int) (*piece, error) {
	for g := range b.p.Groups {
		b.p.Groups[g].Count = 0
	}
	for _, i := range nodes {
		b.count(b.p, i)
	}
	sol, err := binpack.Solve(b.ctx, b.p)
	if err != nil || len(sol.Unplaced) > 0 {
		return nil, err
	}
	return &piece{slices.Clone(nodes), sol.Cost, sol.Fills, sol.New}, nil
}

// use takes a piece's room, or with sign 1 gives it back.
func (b *board) use(x *piece, sign int64) {
	if x == nil {
		return
	}
	for _, f := range x.fills {
		free := slices.Clone(b.p.Nodes[f.Node].Free)
		for _, share := range f.Pods {
			for r, q := range b.p.Groups[share.Group].Requests {
				free[r] += sign * q * share.Count
			}
		}
		b.p.Nodes[f.Node].Free = free
	}
}

// unite packs pieces together where that is cheaper, as long as they are small.
func (b *board) unite(pieces []*piece) ([]*piece, error) {
	pieces = slices.DeleteFunc(pieces, func(x *piece) bool { return x == nil })
	for round := 0; round < 4; round++ {
		slices.SortStableFunc(pieces, func(x, y *piece) int { return cmp.Compare(b.waste(y), b.waste(x)) })
		var next []*piece
		for len(pieces) > 0 {
			x := pieces[0]
			pieces = pieces[1:]
			if x.cost > 0 {
				for tries, j := 0, 0; j < len(pieces) && tries < 6; j++ {
					y := pieces[j]
					if len(x.nodes)+len(y.nodes) > mostTogether {
						continue
					}
					tries++
					b.use(x, 1)
					b.use(y, 1)
					both, err := b.pack(slices.Concat(x.nodes, y.nodes))
					if err != nil {
						return nil, err
					}
					if both != nil && both.cost < x.cost+y.cost {
						b.use(both, -1)
						x, pieces = both, slices.Delete(pieces, j, j+1)
						j = -1
						continue
					}
					b.use(x, -1)
					b.use(y, -1)
				}
			}
			next = append(next, x)
		}
		if len(next) == len(pieces) {
			break
		}
		pieces = next
	}
	return pieces, nil
}

// waste is what the new nodes of a piece cost beyond what their pods are worth.
func (b *board) waste(x *piece) float64 {
	of := float64(x.cost)
	for _, n := range x.New {
		for _, share := range n.Pods {
			of -= float64(n.Count*share.Count) * b.worth(b.p.Groups[share.Group].Requests)
		}
	}
	return of
}

// write makes commands of pieces that save something.
func (s *search) write(pieces []*piece) (commands []Command) {
	for _, x := range pieces {
		c := Command{Savings: -x.cost}
		for _, i := range x.nodes {
			n := s.nodes[i]
			c.Nodes = append(c.Nodes, n)
			c.Savings += n.Price
			c.Evictions += len(n.Pods)
			c.Disruption += costOf(n.Pods)
		}
		for _, n := range x.New {
			c.New = append(c.New, slices.Repeat([]*problem.Row{&s.t.Rows[s.rows[n.Offers[0]]]}, int(n.Count))...)
		}
		if c.Savings > 0 {
			commands = append(commands, c)
		}
	}
	slices.SortStableFunc(commands, func(x, y Command) int {
		return cmp.Compare(float64(y.Savings)/float64(y.Disruption+lifecycle.OnePod), float64(x.Savings)/float64(x.Disruption+lifecycle.OnePod))
	})
	return commands
}
