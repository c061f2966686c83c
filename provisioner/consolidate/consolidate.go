package consolidate

import (
	"cmp"
	"context"
	"math"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/stowage-sh/stowage/binpack"
	"github.com/stowage-sh/stowage/provisioner/problem"
	v1 "github.com/stowage-sh/stowage/provisioner/v1"
)

// A Node is one that may go.
type Node struct {
	Claim *v1.NodeClaim
	Node  *corev1.Node
	// Price of it for an hour.
	Price binpack.MicroUSD
	// Pods that would need another place.
	Pods []*corev1.Pod
	// Terms on which it goes: the same for all nodes of a NodePool.
	Terms *Terms
}

// Terms are those on which the nodes of a NodePool go.
type Terms struct {
	NodePool string
	// Now is the time; zero where it is not asked for how long pods have run.
	Now time.Time
	// Payback is the time within which savings have to pay for the evictions; 0 where any
	// saving will do.
	Payback time.Duration
	// Most is how many nodes may go in one command.
	Most int
	// Balanced asks that a command saves at least half as large a share of the pool's Cost as it
	// is of the pool's Disruption.
	Balanced bool
	// Cost of all nodes of the pool for an hour, and what it would take to disrupt them all, as
	// Disruption counts it.
	Cost       binpack.MicroUSD
	Disruption int64
}

// A Plan is the Commands that make a cluster cheaper, in order. After any number of them the
// cluster is whole, and each makes it cheaper.
type Plan struct {
	Commands []Command
	// New nodes that Commands open, without names.
	New []problem.Launch
	// Stays says why of each node that is in no command.
	Stays []Stay
	// Before and After are what the given nodes cost an hour, and what those cost that are in
	// their place after all Commands.
	Before, After binpack.MicroUSD
	// LowerBound is proven: no nodes that could be bought for the pods of the given nodes, as far
	// as any hold them, cost less.
	LowerBound binpack.MicroUSD
}

// A Command is nodes that go together, N for M.
type Command struct {
	Nodes []Node
	// New nodes that it opens, as indices into Plan.New. Commands after it may use them too.
	New []int
	// Moves has the other place of each pod.
	Moves []Move
	// Savings are what the Nodes cost an hour less what the New ones do; positive.
	Savings binpack.MicroUSD
	// Evictions is the number of pods that move; Moving is what that costs, once, in MicroUSD.
	Evictions int
	Moving    binpack.MicroUSD
}

// A Move is a pod and where it goes: to a machine that is there, or to a new one.
type Move struct {
	Pod *corev1.Pod
	To  *problem.Bin
	New int // of Plan.New, where To is nil
}

// Payback is how long it takes until the savings have paid for the evictions.
func (c *Command) Payback() time.Duration {
	nanoseconds := float64(c.Moving) / float64(c.Savings) * float64(time.Hour)
	if nanoseconds >= math.MaxInt64 {
		return math.MaxInt64
	}
	return time.Duration(nanoseconds)
}

// Make plans which of the nodes go. It decides as provisioning does about in, whose Pods are
// not read; Leaving are nodes that take no pods. The order of nodes does not matter. The error is
// that of binpack.Solve.
//
// What is sought is a set of nodes to keep (keep.go). What leaves is then parted into commands
// (deal.go).
func Make(ctx context.Context, in *problem.Input, nodes []Node) (*Plan, error) {
	plan := &Plan{}
	for _, n := range nodes {
		plan.Before += n.Price
	}
	plan.After = plan.Before
	nodes = slices.SortedFunc(slices.Values(nodes), func(a, b Node) int { return cmp.Compare(a.Node.Name, b.Node.Name) })
	nodes = slices.DeleteFunc(nodes, func(n Node) bool { return plan.keeps(in, n) })
	if len(nodes) == 0 {
		return plan, nil
	}
	s := newSearch(in, nodes)
	alone := s.alone()
	fresh, err := binpack.Solve(ctx, alone)
	if err != nil {
		return nil, err
	}
	plan.LowerBound = max(0, fresh.LowerBound-s.t.MostTold(alone.Stocks))
	s.narrow(fresh)
	best, err := s.keep(ctx)
	if err != nil {
		return nil, err
	}
	if err := s.deal(ctx, best, plan); err != nil {
		return nil, err
	}
	s.explain(plan)
	return plan, nil
}
