package plan

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/stowage-sh/stowage/binpack"
	"github.com/stowage-sh/stowage/provisioner/consolidate"
	"github.com/stowage-sh/stowage/provisioner/disrupt"
	"github.com/stowage-sh/stowage/provisioner/problem"
	"github.com/stowage-sh/stowage/provisioner/state"
	v1 "github.com/stowage-sh/stowage/provisioner/v1"
)

// A consolidation is what becomes of the nodes that exist.
type consolidation struct {
	commands []command
	opened   []newNode // by the commands, in order
	left     []Left    // by name
	// before are the nodes of NodePools, with are those as well that are bought for pods that wait, and after
	// what becomes of these.
	before, with, after total
	// bound is proven: what stays, alone, and the least that new nodes cost for the pods of the others.
	bound binpack.MicroUSD
}

// A total is a number of nodes and what they cost an hour, as far as that is known.
type total struct {
	nodes int
	cost  binpack.MicroUSD
}

// A command is nodes that go together.
type command struct {
	reason    v1.DisruptionReason
	nodes     []consolidate.Node
	opens     []string // new nodes in their place, by name
	savings   binpack.MicroUSD
	evictions int
	payback   time.Duration
}

// maxRounds is how often it is planned anew after the commands of a plan have been carried out.
const maxRounds = 10

// consolidate plans which nodes go, as the controller does, until nothing more pays. Pods that wait have
// their places by then; nodes that such pods are to go to stay.
func (p *Plan) consolidate(ctx context.Context, in *Input, cluster *state.Cluster, question *problem.Input, now time.Time) error {
	st := p.newStage(cluster, question, in, now)
	c := &consolidation{before: p.price(st, nil)}
	p.consolidation = c
	p.noteUnpriced(st)
	st.expect(p)
	c.with = p.price(st, nil)
	var review *disrupt.Review
	var plan *consolidate.Plan
	for round := range maxRounds {
		if question, review = st.look(); len(review.Empty) > 0 {
			c.removeEmpty(review.Empty)
			st.remove(review.Empty)
			question, review = st.look()
		}
		var err error
		if plan, err = consolidate.Make(ctx, question, review.Loaded); err != nil {
			return fmt.Errorf("planning for %d nodes that may be underutilized: %w", len(review.Loaded), err)
		}
		if round == 0 {
			c.bound = p.price(st, review.Loaded).cost + plan.LowerBound
		}
		if len(plan.Commands) == 0 {
			break
		}
		opened, err := st.carry(ctx, plan)
		if err != nil {
			return err
		}
		c.add(plan, opened)
	}
	if len(plan.Commands) > 0 {
		p.note("more than these commands may pay: planning stopped after %d rounds", maxRounds)
	}
	c.opened, c.after = st.opened, p.price(st, nil)
	p.countPlanned(st.input())
	c.bound = min(c.bound, c.after.cost) // nodes that are there may cost less than any that can be bought
	c.leave(st.cluster.Snapshot(), review, plan.Stays)
	return nil
}

// price counts the nodes of NodePools, as if some were gone. All that commitments leave to pay for them is
// priced anew, since what one node does not use any more others do.
func (p *Plan) price(st *stage, gone []consolidate.Node) (sum total) {
	in, without := st.input(), map[string]bool{}
	for _, n := range gone {
		without[n.Claim.Name] = true
	}
	running := in.Running(without)
	for _, claim := range in.Snapshot.NodeClaims.All() {
		if node, ok := in.Snapshot.NodeOf(claim); ok && !without[claim.Name] && !st.isNew(node.Name) {
			sum.nodes++
			if price, known := running.PriceOf(claim, node); known {
				sum.cost += price
			}
		}
	}
	for _, nodes := range [][]newNode{p.nodes, st.opened} {
		for i := range nodes {
			if _, ok := in.Snapshot.NodeClaims.Get(nodes[i].name); ok {
				sum.nodes++
				sum.cost += running.PriceOfNew(nodes[i].name, &nodes[i].Launch)
			}
		}
	}
	return sum
}

// noteUnpriced notes the nodes whose price is not known.
func (p *Plan) noteUnpriced(st *stage) {
	in := st.input()
	running := in.Running(nil)
	unknown, first := 0, ""
	for _, claim := range in.Snapshot.NodeClaims.All() {
		node, ok := in.Snapshot.NodeOf(claim)
		if !ok {
			continue
		}
		if _, known := running.PriceOf(claim, node); !known {
			unknown++
			first = cmp.Or(first, node.Name)
		}
	}
	if unknown > 0 {
		p.note("the price of %s is not known (%s), and is in no sum", count(unknown, "node"), first)
	}
}

// removeEmpty adds a command for each of some empty nodes.
func (c *consolidation) removeEmpty(nodes []consolidate.Node) {
	for _, n := range nodes {
		c.commands = append(c.commands, command{reason: v1.ReasonEmpty, nodes: []consolidate.Node{n}, savings: n.Price})
	}
}

// add adds the commands of a plan, whose new nodes have the given names.
func (c *consolidation) add(plan *consolidate.Plan, opened []string) {
	for i := range plan.Commands {
		from := &plan.Commands[i]
		next := command{reason: v1.ReasonUnderutilized, nodes: from.Nodes, savings: from.Savings, evictions: from.Evictions, payback: from.Payback()}
		for _, index := range from.New {
			next.opens = append(next.opens, opened[index])
		}
		c.commands = append(c.commands, next)
	}
}

// leave says of each node that is left, and is not new, why.
func (c *consolidation) leave(s *state.Snapshot, review *disrupt.Review, stays []consolidate.Stay) {
	for _, stay := range stays {
		c.left = append(c.left, Left{stay.Node.Node.Name, string(stay.Code), stay.Message})
	}
	for _, b := range review.Blocked {
		if node, ok := s.NodeOf(b.Claim); ok {
			c.left = append(c.left, Left{node.Name, b.Code, b.Message})
		}
	}
	for _, node := range s.Nodes.All() {
		if _, claimed := s.ClaimOf(node); claimed {
			continue
		}
		why := "the node is of no NodePool"
		if pool := node.Labels[v1.LabelNodePool]; pool != "" {
			why = "NodePool " + pool + " is not given, or of another provisioner"
		}
		c.left = append(c.left, Left{node.Name, "NoNodePool", why})
	}
	slices.SortFunc(c.left, func(a, b Left) int { return cmp.Compare(a.Node, b.Node) })
}
