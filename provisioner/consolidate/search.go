package consolidate

import (
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/stowage-sh/stowage/binpack"
	"github.com/stowage-sh/stowage/provisioner/problem"
)

// A search is for the nodes to keep. It translates the cluster once, with all pods that may move
// as if they waited; which of them do and which stay where they are is then a matter of a few
// numbers, and a solution a matter of milliseconds.
type search struct {
	nodes []Node
	t     *problem.Translation
	quick *binpack.Problem // t's with the offers that matter, and no time to improve a plan
	rows  []int            // by offer of quick: t's

	bin    []int            // by node: its index in the problem
	nodeOf map[int]int      // the other way round
	pods   [][]member       // by node
	unit   []float64        // by resource: what one is worth
	room   []binpack.Vector // by node
	load   []binpack.Vector
	moving []float64      // by node: what it costs to move its pods, once, in MicroUSD
	owed   []float64      // by node: what it has to save an hour for that to be paid back in time
	pinned map[int]string // nodes that stay: a pod that would find no other place
}

// A member is a pod and the group that it is in.
type member struct {
	pod   *corev1.Pod
	group int
}

func newSearch(in *problem.Input, nodes []Node) *search {
	own := *in
	own.Pods, own.GiveBack = nil, true
	for _, n := range nodes {
		own.Pods = append(own.Pods, n.Pods...)
	}
	s := &search{nodes: nodes, t: problem.Build(&own), nodeOf: map[int]int{}, pinned: map[int]string{}}
	whole := s.t.Problem
	whole.Blend = true
	s.unit = binpack.Worth(bought(whole), nil)
	byName, bins := map[string]int{}, map[string]int{}
	for i, n := range nodes {
		byName[n.Node.Name] = i
	}
	for i := range s.t.Bins {
		if n := s.t.Bins[i].Node; n != nil { // a machine on its way may bear the name of a node
			bins[n.Name] = i
		}
	}
	s.pods, s.load = make([][]member, len(nodes)), make([]binpack.Vector, len(nodes))
	for i, n := range nodes {
		s.bin = append(s.bin, bins[n.Node.Name])
		s.nodeOf[s.bin[i]] = i
		s.room = append(s.room, whole.Nodes[s.bin[i]].Free)
		s.load[i] = make(binpack.Vector, len(s.unit))
	}
	if len(whole.Offers) == 0 { // what is there is all that can be had
		kept := make([]binpack.Kept, len(nodes))
		for i, n := range nodes {
			kept[i] = binpack.Kept{Room: s.room[i], Price: float64(n.Price)}
		}
		s.unit = binpack.Worth(whole, kept)
	}
	for g, pods := range s.t.Pods {
		for _, p := range pods {
			i := byName[p.Spec.NodeName]
			s.pods[i] = append(s.pods[i], member{p, g})
			for r, q := range whole.Groups[g].Requests {
				s.load[i][r] += q
			}
		}
	}
	s.countMoves()
	return s
}

// near is how much more than what it holds is worth an offer may cost to be looked at.
const near = 1.02

// narrow leaves of the offers those that good plans use: any that the solution for all pods does,
// and those that are about as cheap for what they hold.
func (s *search) narrow(fresh *binpack.Solution) {
	whole := s.t.Problem
	var used binpack.Set
	for _, n := range fresh.New {
		used.Add(n.Offers[0])
	}
	small := *whole
	small.Offers, small.Groups, small.Stocks, small.MaxSteps = nil, slices.Clone(small.Groups), slices.Clone(small.Stocks), 1
	for j := range small.Stocks {
		small.Stocks[j].Units = nil
	}
	may, holds := make([]binpack.Set, len(small.Groups)), make([]binpack.Set, len(small.Stocks))
	for i, o := range whole.Offers {
		if !used.Has(i) && float64(s.t.Bought(i)) > near*s.worth(o.Room()) {
			continue
		}
		for g := range may {
			if whole.Groups[g].Offers.Has(i) {
				may[g].Add(len(small.Offers))
			}
		}
		for j := range holds {
			if whole.Stocks[j].Offers.Has(i) {
				holds[j].Add(len(small.Offers))
			}
			if units := whole.Stocks[j].Units; units != nil {
				small.Stocks[j].Units = append(small.Stocks[j].Units, units[i])
			}
		}
		small.Offers, s.rows = append(small.Offers, o), append(s.rows, i)
	}
	for j := range holds {
		small.Stocks[j].Offers = holds[j]
	}
	for g := range may {
		small.Groups[g].Offers = may[g]
	}
	s.quick = &small
}

// widened is a solution of quick as one of the whole problem.
func (s *search) widened(quick *binpack.Solution) *binpack.Solution {
	wide := *quick
	wide.New = slices.Clone(quick.New)
	for i := range wide.New {
		offers := slices.Clone(wide.New[i].Offers)
		for j := range offers {
			offers[j] = s.rows[offers[j]]
		}
		wide.New[i].Offers = offers
	}
	return &wide
}

// worth is what resources are worth, in MicroUSD for an hour.
func (s *search) worth(v binpack.Vector) (sum float64) {
	for r, q := range v {
		sum += float64(s.unit[r] * float64(q))
	}
	return sum
}

// bought is a problem without the offers that there are only so many of. What they cost, which is little, says
// nothing about what room is worth. It is the whole problem where some resource is to be had with them only.
func bought(p *binpack.Problem) *binpack.Problem {
	var few binpack.Set
	for i := range p.Stocks {
		for o := range p.Stocks[i].Offers.All {
			few.Add(o)
		}
	}
	if few.Len() == 0 {
		return p
	}
	out := *p
	out.Offers = nil
	missing := make([]bool, len(p.Resources))
	for o := range few.All {
		for r, q := range p.Offers[o].Capacity {
			missing[r] = missing[r] || q > 0
		}
	}
	for o := range p.Offers {
		if few.Has(o) {
			continue
		}
		out.Offers = append(out.Offers, p.Offers[o])
		for r, q := range p.Offers[o].Capacity {
			missing[r] = missing[r] && q == 0
		}
	}
	if slices.Contains(missing, true) {
		return p
	}
	return &out
}

// alone is the problem of all pods on new nodes, and on machines that are not given. What commitments
// cover of the given nodes can be used again.
func (s *search) alone() *binpack.Problem {
	p := *s.t.Problem
	gone := map[string]bool{}
	for _, n := range s.nodes {
		gone[n.Claim.Name] = true
	}
	p.Stocks = s.t.Without(gone)
	p.Nodes = slices.Clone(p.Nodes)
	for _, i := range s.bin {
		p.Nodes[i].Free = make(binpack.Vector, len(s.unit))
	}
	return &p
}

// price of nodes for an hour.
func (s *search) price(nodes []int) (sum binpack.MicroUSD) {
	for _, i := range nodes {
		sum += s.nodes[i].Price
	}
	return sum
}

// less returns a-b, and 0 where that is negative.
func less(a, b binpack.Vector) binpack.Vector {
	out := slices.Clone(a)
	for r, q := range b {
		out[r] = max(0, out[r]-q)
	}
	return out
}
