package consolidate

import (
	"os"
	"fmt"
	"cmp"
	"context"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/stowage-sh/stowage/binpack"
	"github.com/stowage-sh/stowage/cloudprovider"
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
	// LowerBound is proven: no nodes that could be bought for all pods of the given nodes, on
	// top of the nodes that are not given, cost less.
	LowerBound binpack.MicroUSD
	// Steps is the solver's work.
	Steps int64
}

// A Command is nodes that go together, and where their pods go.
type Command struct {
	Nodes []Node
	// Launches are new nodes, for pods of these Nodes only; Placements are on machines that stay.
	Launches   []problem.Launch
	Placements []problem.Placement
	// Savings are what the Nodes cost an hour less what the Launches do; positive.
	Savings binpack.MicroUSD
	// Evictions is the number of pods that move, and Disruption what that costs, in
	// lifecycle.OnePods.
	Evictions  int
	Disruption int64
}

// Make plans which of the nodes go. It decides as provisioning does about in, whose Pods and
// Leaving are not read: the pods of nodes that go are placed on what stays, and on new
// nodes where that is cheaper. The error is that of problem.Decide.
//
// What is sought is a set of nodes to keep. In the fluid problem of the whole cluster a unit of
// each resource has a worth (binpack.Worth), and a node that offers more than its price is worth
// keeping: the best are kept, as many as hold all pods, at several degrees of filling, and the rest
// is packed anew. Then those of the kept that are dearest for what is on them go, too, as long
// as that is cheaper.
func Make(ctx context.Context, in *problem.Input, nodes []Node) (*Plan, error) {
	s := &search{in: in, nodes: nodes}
	plan := &Plan{}
	for _, n := range nodes {
		plan.Before += n.Price
	}
	plan.After = plan.Before
	if len(nodes) == 0 {
		return plan, nil
	}
	fresh, err := s.try(ctx, all(len(nodes)))
	if err != nil {
		return nil, err
	}
	plan.LowerBound = fresh.solution.LowerBound
	s.weigh(fresh.translation)
	var best *attempt
	for _, fill := range fills {
		next, err := s.try(ctx, s.leaves(fill))
		if err != nil {
			return nil, err
		}
		if best == nil { best = next }
		best = better(best, next)
	}
	for range improvements {
		next, err := s.try(ctx, s.withDear(best))
		if err != nil {
			return nil, err
		}
		if next.cost >= best.cost {
			break
		}
		best = next
	}
	plan.Commands, plan.Steps = s.commands(best), s.steps
	for _, c := range plan.Commands {
		plan.After -= c.Savings
	}
	return plan, nil
}

// fills are the parts of the kept nodes' room that all pods are to take, which are tried; and
// improvements is how often the dearest are tried to go after that.
var fills = []float64{1, 0.97, 0.94, 0.9, 0.8}

const improvements = 12

// A search is for the nodes to keep.
type search struct {
	in    *problem.Input
	nodes []Node
	steps int64

	unit map[string]float64 // what one of each resource is worth
	room []cloudprovider.Resources
	load []cloudprovider.Resources
}

// An attempt is what it costs if some nodes leave.
type attempt struct {
	leaves      []bool // by node
	cost        binpack.MicroUSD
	translation *problem.Translation
	solution    *binpack.Solution
}

func better(a, b *attempt) *attempt {
	if b.cost < a.cost {
		return b
	}
	return a
}

func all(n int) []bool {
	leaves := make([]bool, n)
	for i := range leaves {
		leaves[i] = true
	}
	return leaves
}

// try decides where the pods of leaving nodes go. A node of which a pod finds no place stays.
func (s *search) try(ctx context.Context, leaves []bool) (*attempt, error) {
	for {
		own := *s.in
		own.Pods, own.Leaving = nil, map[string]bool{}
		a := &attempt{leaves: leaves}
		for i, n := range s.nodes {
			if !leaves[i] {
				a.cost += n.Price
				continue
			}
			own.Leaving[n.Claim.Name] = true
			own.Pods = append(own.Pods, n.Pods...)
		}
		var err error
		if a.translation, a.solution, err = problem.Decide(ctx, &own); err != nil {
			return nil, err
		}
		s.steps += a.solution.Steps
		a.cost += a.solution.Cost
		stuck := map[string]bool{}
		for i := range a.solution.Unplaced {
			u := &a.solution.Unplaced[i]
			group := a.translation.Pods[u.Group]
			for _, p := range group[len(group)-int(u.Count):] {
				stuck[p.Spec.NodeName] = true
			}
		}
		if len(stuck) == 0 {
			if os.Getenv("DBG") != "" {
				gone, ev, nw := 0, 0, int64(0)
				for i := range leaves {
					if leaves[i] {
						gone++
						ev += len(s.nodes[i].Pods)
					}
				}
				for _, n := range a.solution.New { nw += n.Count }
				fmt.Fprintf(os.Stderr, "gone %d evict %d new %d cost %.2f newcost %.2f\n", gone, ev, nw, float64(a.cost)/1e6, float64(a.solution.Cost)/1e6)
			}
			return a, nil
		}
		leaves = slices.Clone(leaves)
		for i, n := range s.nodes {
			leaves[i] = leaves[i] && !stuck[n.Node.Name]
		}
	}
}

// weigh notes what resources are worth in a problem of all pods, and what each node offers them
// and holds.
func (s *search) weigh(t *problem.Translation) {
	s.unit = map[string]float64{}
	for r, worth := range binpack.Worth(t.Problem) {
		s.unit[t.Problem.Resources[r]] = worth
	}
	free := map[string]cloudprovider.Resources{}
	for i, bin := range t.Bins {
		room := cloudprovider.Resources{}
		for r, q := range t.Problem.Nodes[i].Free {
			room[t.Problem.Resources[r]] = q
		}
		free[bin.Name()] = room
	}
	for _, n := range s.nodes {
		load := cloudprovider.Resources{}
		for _, p := range n.Pods {
			add(load, problem.Requests(p))
		}
		s.load, s.room = append(s.load, load), append(s.room, free[n.Node.Name])
	}
}

func add(sum, r cloudprovider.Resources) {
	for name, q := range r {
		sum[name] += q
	}
}

// worth is what resources are worth, in MicroUSD for an hour.
func (s *search) worth(r cloudprovider.Resources) (sum float64) {
	for name, q := range r {
		sum += s.unit[name] * float64(q)
	}
	return sum
}

// staying is how much of a node's room counts for keeping it when it is in use, beside its
// price: of two that cost the same for what they offer, the fuller one stays, and fewer pods move.
const staying = 0.05

// leaves are the nodes that are not needed when the best are kept, and filled to a part of
// their room.
func (s *search) leaves(fill float64) []bool {
	score := make([]float64, len(s.nodes))
	order := make([]int, len(s.nodes))
	need := cloudprovider.Resources{}
	for i, n := range s.nodes {
		order[i] = i
		offers := max(s.worth(s.room[i]), 1)
		score[i] = float64(n.Price)/offers - staying*s.worth(s.load[i])/offers
		add(need, s.load[i])
	}
	slices.SortStableFunc(order, func(i, j int) int { return cmp.Compare(score[i], score[j]) })
	leaves := all(len(s.nodes))
	for _, i := range order {
		if !s.lacking(need) {
			break
		}
		leaves[i] = false
		for name, q := range s.room[i] {
			need[name] -= int64(float64(q) * fill)
		}
	}
	return leaves
}

// lacking reports whether some of what is worth anything is needed yet.
func (s *search) lacking(need cloudprovider.Resources) bool {
	for name, q := range need {
		if q > 0 && s.unit[name] > 0 {
			return true
		}
	}
	return false
}

// withDear has those leave as well that cost most beyond what is on them, a tenth of those that
// stay at most.
func (s *search) withDear(a *attempt) []bool {
	load := map[string]float64{}
	for _, f := range a.solution.Fills {
		bin := &a.translation.Bins[f.Node]
		for _, share := range f.Pods {
			load[bin.Name()] += float64(share.Count) * s.worth(problem.Requests(a.translation.Pods[share.Group][0]))
		}
	}
	type loss struct {
		node int
		of   float64
	}
	var losses []loss
	kept := 0
	for i, n := range s.nodes {
		if a.leaves[i] {
			continue
		}
		kept++
		if of := float64(n.Price) - s.worth(s.load[i]) - load[n.Node.Name]; of > 0.02*float64(n.Price) {
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

// commands parts what is to be done into pieces that do not depend on each other: nodes whose
// pods share no new node. Those that save nothing are left out.
func (s *search) commands(a *attempt) []Command {
	launches, placements := a.translation.Placed(a.solution)
	together := redeal(a.translation, launches, placements)
	found := map[int]*Command{}
	for i, n := range s.nodes {
		if !a.leaves[i] {
			continue
		}
		id := together(n.Node.Name)
		if id < 0 {
			id = -1 - i // it has no pods
		}
		c := found[id]
		if c == nil {
			c = &Command{}
			found[id] = c
		}
		c.Nodes = append(c.Nodes, n)
		c.Savings += n.Price
		c.Evictions += len(n.Pods)
		for _, p := range n.Pods {
			c.Disruption += max(0, lifecycle.EvictionCost(p))
		}
	}
	for _, l := range launches {
		c := found[together(l.Pods[0].Spec.NodeName)]
		c.Launches = append(c.Launches, l)
		c.Savings -= l.Price
	}
	for _, at := range placements {
		byCommand := map[*Command][]*corev1.Pod{}
		for _, p := range at.Pods {
			c := found[together(p.Spec.NodeName)]
			byCommand[c] = append(byCommand[c], p)
		}
		for c, pods := range byCommand {
			c.Placements = append(c.Placements, problem.Placement{Bin: at.Bin, Pods: pods})
		}
	}
	var commands []Command
	for _, c := range found {
		if c.Savings > 0 {
			commands = append(commands, *c)
		}
	}
	slices.SortFunc(commands, func(x, y Command) int {
		return cmp.Or(cmp.Compare(float64(y.Savings)/float64(y.Disruption+lifecycle.OnePod), float64(x.Savings)/float64(x.Disruption+lifecycle.OnePod)),
			cmp.Compare(x.Nodes[0].Node.Name, y.Nodes[0].Node.Name))
	})
	return commands
}
