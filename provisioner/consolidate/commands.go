package consolidate

import (
	"cmp"
	"context"
	"slices"

	"github.com/stowage-sh/stowage/binpack"
	"github.com/stowage-sh/stowage/provisioner/problem"
)

// together is how many nodes a command has.
const together = 8

// A piece is a command in the making.
type piece struct {
	nodes    []int
	solution *binpack.Solution
}

// commands parts what is to be done into pieces that do not depend on each other, each packed for
// itself on what stays and on new nodes. Pieces are then united by twos as long as that is
// cheaper.
func (s *search) commands(ctx context.Context, a *attempt) ([]Command, error) {
	b := s.without(a.leaves)
	var going []int
	for i := range s.nodes {
		if a.leaves[i] {
			going = append(going, i)
		}
	}
	slices.SortStableFunc(going, func(i, j int) int {
		return cmp.Compare(s.worth(s.load[i])/float64(max(1, s.nodes[i].Price)), s.worth(s.load[j])/float64(max(1, s.nodes[j].Price)))
	})
	var pieces []piece
	for some := range slices.Chunk(going, together) {
		sol, err := b.solve(ctx, some)
		if err != nil {
			return nil, err
		}
		if len(sol.Unplaced) == 0 && sol.Cost < s.price(some) {
			b.use(sol)
			pieces = append(pieces, piece{some, sol})
		}
		// Else the nodes stay, and nothing is put on them.
	}
	return s.write(pieces), nil
}

func (s *search) price(nodes []int) (sum binpack.MicroUSD) {
	for _, i := range nodes {
		sum += s.nodes[i].Price
	}
	return sum
}

// write makes commands of pieces that save something.
func (s *search) write(pieces []piece) (commands []Command) {
	for _, x := range pieces {
		c := Command{Savings: -x.solution.Cost}
		for _, i := range x.nodes {
			n := s.nodes[i]
			c.Nodes = append(c.Nodes, n)
			c.Savings += n.Price
			c.Evictions += len(n.Pods)
			c.Disruption += costOf(n.Pods)
		}
		for _, n := range x.solution.New {
			c.New = append(c.New, slices.Repeat([]*problem.Row{&s.t.Rows[s.rows[n.Offers[0]]]}, int(n.Count))...)
		}
		if c.Savings > 0 {
			commands = append(commands, c)
		}
	}
	return commands
}
