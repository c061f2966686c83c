package consolidate

import (
	"cmp"
	"context"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/stowage-sh/stowage/binpack"
	"github.com/stowage-sh/stowage/provisioner/lifecycle"
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
}

// A Plan is the Commands that make a cluster cheaper, the best first. Each stands alone: the
// cluster is whole, and cheaper, after any number of them.
type Plan struct {
	Commands []Command
	// Before and After are what the given nodes cost an hour, and what those cost that are in
	// their place after all Commands.
	Before, After binpack.MicroUSD
	// LowerBound is proven: no nodes that could be bought for all pods of the given nodes
	// cost less.
	LowerBound binpack.MicroUSD
}

// A Command is nodes that go together, N for M.
type Command struct {
	Nodes []Node
	// New nodes that are expected in their place, for pods of these Nodes only.
	New []*problem.Row
	// Savings are what the Nodes cost an hour less what the New ones do; positive.
	Savings binpack.MicroUSD
	// Evictions is the number of pods that move, and Disruption what that costs, in parts
	// of lifecycle.OnePod.
	Evictions  int
	Disruption int64
}

// Make plans which of the nodes go. It decides as provisioning does about in, whose Pods and
// Leaving are not read. The error is that of binpack.Solve.
//
// What is sought is a set of nodes to keep. In the fluid problem of the whole cluster a unit of
// each resource has a worth (binpack.Worth), and a node that offers more than its price is worth
// keeping: the best are kept, as many as hold all pods, at several degrees of filling, and the rest
// is packed anew. Then those of the kept that are dearest for what is on them go, too, as long
// as that is cheaper. What goes is parted into commands of a few nodes, each packed for itself.
func Make(ctx context.Context, in *problem.Input, nodes []Node) (*Plan, error) {
	plan := &Plan{}
	for _, n := range nodes {
		plan.Before += n.Price
	}
	plan.After = plan.Before
	if len(nodes) == 0 {
		return plan, nil
	}
	s := newSearch(in, nodes)
	fresh, err := binpack.Solve(ctx, s.alone())
	if err != nil {
		return nil, err
	}
	plan.LowerBound = fresh.LowerBound
	s.narrow(fresh)
	best, err := s.keep(ctx)
	if err != nil {
		return nil, err
	}
	plan.Commands, err = s.commands(ctx, best)
	for _, c := range plan.Commands {
		plan.After -= c.Savings
	}
	return plan, err
}

// fills are the parts of the kept nodes' room that all pods are to take, which are tried;
// improvements is how often the dearest are tried to go after that, and dear by what part of
// its price a node must cost more than what is on it is worth, to be one of them.
var fills = []float64{1, 0.97, 0.94, 0.9, 0.8}

const (
	improvements = 20
	dear         = 0.02
)

// An attempt is what it costs if some nodes leave.
type attempt struct {
	leaves   []bool // by node
	cost     binpack.MicroUSD
	solution *binpack.Solution
}

// keep finds the nodes to keep.
func (s *search) keep(ctx context.Context) (best *attempt, err error) {
	try := func(leaves []bool) (*attempt, error) {
		a := &attempt{leaves: leaves}
		var going []int
		for i, n := range s.nodes {
			if leaves[i] {
				going = append(going, i)
			} else {
				a.cost += n.Price
			}
		}
		if a.solution, err = s.without(leaves).solve(ctx, going); err != nil {
			return nil, err
		}
		a.cost += a.solution.Cost
		return a, nil
	}
	for _, fill := range fills {
		next, err := try(s.leaves(fill))
		if err != nil {
			return nil, err
		}
		if best == nil || len(next.solution.Unplaced) == 0 && next.cost < best.cost {
			best = next
		}
	}
	for range improvements {
		next, err := try(s.withDear(best))
		if err != nil {
			return nil, err
		}
		if len(next.solution.Unplaced) > 0 || next.cost >= best.cost {
			break
		}
		best = next
	}
	return best, nil
}

// staying is how much of a node's room counts for keeping it when it is in use, beside its
// price: of two that cost the same for what they offer, the fuller one stays, and fewer pods move.
const staying = 0.05

// leaves are the nodes that are not needed when the best are kept, and filled to a part of
// their room.
func (s *search) leaves(fill float64) []bool {
	score := make([]float64, len(s.nodes))
	order := make([]int, len(s.nodes))
	need := make([]float64, len(s.unit))
	for i, n := range s.nodes {
		order[i] = i
		offers := max(s.worth(s.room[i]), 1)
		score[i] = float64(n.Price)/offers - staying*s.worth(s.load[i])/offers
		for r, q := range s.load[i] {
			need[r] += float64(q)
		}
	}
	slices.SortStableFunc(order, func(i, j int) int { return cmp.Compare(score[i], score[j]) })
	leaves := make([]bool, len(s.nodes))
	for _, i := range order {
		if !s.lacking(need) {
			leaves[i] = true
			continue
		}
		for r, q := range s.room[i] {
			need[r] -= float64(q) * fill
		}
	}
	return leaves
}

// lacking reports whether some of what is worth anything is needed yet.
func (s *search) lacking(need []float64) bool {
	for r, q := range need {
		if q > 0 && s.unit[r] > 0 {
			return true
		}
	}
	return false
}

// withDear has those leave as well that cost most beyond what is on them, a tenth of those that
// stay at most.
func (s *search) withDear(a *attempt) []bool {
	type loss struct {
		node int
		of   float64
	}
	got := make([]float64, len(s.nodes))
	for _, f := range a.solution.Fills {
		if i, ok := s.nodeOf[f.Node]; ok {
			for _, share := range f.Pods {
				got[i] += float64(share.Count) * s.worth(s.whole.Groups[share.Group].Requests)
			}
		}
	}
	var losses []loss
	kept := 0
	for i, n := range s.nodes {
		if a.leaves[i] {
			continue
		}
		kept++
		if of := float64(n.Price) - s.worth(s.load[i]) - got[i]; of > dear*float64(n.Price) {
			losses = append(losses, loss{i, of})
		}
	}
	slices.SortStableFunc(losses, func(x, y loss) int { return cmp.Compare(y.of, x.of) })
	leaves := slices.Clone(a.leaves)
	for _, l := range losses[:min(len(losses), kept/10+1)] {
		leaves[l.node] = true
	}
	return leaves
}

// costOf is what it costs to move pods.
func costOf(pods []*corev1.Pod) (cost int64) {
	for _, p := range pods {
		cost += max(0, lifecycle.EvictionCost(p))
	}
	return cost
}
