package consolidate

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/stowage-sh/stowage/binpack"
	"github.com/stowage-sh/stowage/provisioner/problem"
)

// together is how many nodes a command has.
const together = 8

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
	for g := range p.Groups {
		p.Groups[g].Nodes = slices.Clone(p.Groups[g].Nodes)
	}
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
	for some := range slices.Chunk(going, together) {
		x, err := b.pack(some)
		if err != nil {
			return nil, err
		}
		if x == nil || x.cost >= s.price(some) {
			continue
		}
		b.use(x)
		pieces = append(pieces, x)
	}
	return s.write(pieces), nil
}

func (s *search) price(nodes []int) (sum binpack.MicroUSD) {
	for _, i := range nodes {
		sum += s.nodes[i].Price
	}
	return sum
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

// use takes a piece's room, and adds what its new nodes have left.
func (b *board) use(x *piece) {
	for _, f := range x.fills {
		b.p.Nodes[f.Node].Free = b.after(b.p.Nodes[f.Node].Free, f.Pods)
	}
	for _, n := range x.New {
		offer := n.Offers[0]
		free := b.after(roomOf(&b.p.Offers[offer]), n.Pods)
		for range n.Count {
			at := len(b.p.Nodes)
			b.p.Nodes = append(b.p.Nodes, binpack.Node{ID: fmt.Sprintf("new/%d", at), Free: free, Domains: b.p.Offers[offer].Domains})
			for g := range b.p.Groups {
				if b.p.Groups[g].Offers.Has(offer) {
					b.p.Groups[g].Nodes.Add(at)
				}
			}
		}
	}
}

// after is what is left of room when pods are there.
func (b *board) after(room binpack.Vector, pods []binpack.Share) binpack.Vector {
	left := slices.Clone(room)
	for _, share := range pods {
		for r, q := range b.p.Groups[share.Group].Requests {
			left[r] -= q * share.Count
		}
	}
	return left
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
	return commands
}
