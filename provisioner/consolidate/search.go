package consolidate

import (
	"slices"

	"github.com/stowage-sh/stowage/binpack"
	"github.com/stowage-sh/stowage/provisioner/problem"
)

// A search is for the nodes to keep. It translates the cluster once, with all pods that may move
// as if they waited; which of them do and which stay where they are is then a matter of a few
// numbers, and a solution a matter of milliseconds.
type search struct {
	nodes []Node
	t     *problem.Translation
	whole *binpack.Problem // t's, with the offers that matter

	bin    []int       // by node: its index in the problem
	nodeOf map[int]int // the other way round
	groups [][]int     // by node: the group of each of its pods
	unit   []float64   // by resource: what one is worth
	room   []binpack.Vector
	load   []binpack.Vector
	rows   []int // by offer of whole: t's
}

func newSearch(in *problem.Input, nodes []Node) *search {
	own := *in
	own.Pods, own.Leaving = nil, nil
	for _, n := range nodes {
		own.Pods = append(own.Pods, n.Pods...)
	}
	s := &search{nodes: nodes, t: problem.Build(&own), nodeOf: map[int]int{}}
	s.whole = s.t.Problem
	s.unit = binpack.Worth(s.whole)
	byName, bins := map[string]int{}, map[string]int{}
	for i, n := range nodes {
		byName[n.Node.Name] = i
	}
	for i := range s.t.Bins {
		bins[s.t.Bins[i].Name()] = i
	}
	s.groups, s.load = make([][]int, len(nodes)), make([]binpack.Vector, len(nodes))
	for i, n := range nodes {
		s.bin = append(s.bin, bins[n.Node.Name])
		s.nodeOf[s.bin[i]] = i
		s.room = append(s.room, s.whole.Nodes[s.bin[i]].Free)
		s.load[i] = make(binpack.Vector, len(s.unit))
	}
	for g, pods := range s.t.Pods {
		for _, p := range pods {
			i := byName[p.Spec.NodeName]
			s.groups[i] = append(s.groups[i], g)
			for r, q := range s.whole.Groups[g].Requests {
				s.load[i][r] += q
			}
		}
	}
	return s
}

// near is how much more than what it holds is worth an offer may cost to be looked at.
const near = 1.02

// narrow leaves of the offers those that good plans use: any that the solution for all pods does,
// and those that are about as cheap for what they hold.
func (s *search) narrow(fresh *binpack.Solution) {
	var used binpack.Set
	for _, n := range fresh.New {
		used.Add(n.Offers[0])
	}
	small := *s.whole
	small.Offers, small.Groups, small.Stocks, small.MaxSteps = nil, slices.Clone(small.Groups), nil, 1
	may := make([]binpack.Set, len(small.Groups))
	for i, o := range s.whole.Offers {
		if !used.Has(i) && float64(o.Price) > near*s.worth(roomOf(&o)) {
			continue
		}
		for g := range may {
			if s.whole.Groups[g].Offers.Has(i) {
				may[g].Add(len(small.Offers))
			}
		}
		small.Offers, s.rows = append(small.Offers, o), append(s.rows, i)
	}
	for g := range may {
		small.Groups[g].Offers = may[g]
	}
	s.whole = &small
}

func roomOf(o *binpack.Offer) binpack.Vector {
	room := slices.Clone(o.Capacity)
	for r, q := range o.Overhead {
		room[r] = max(0, room[r]-q)
	}
	return room
}

// worth is what resources are worth, in MicroUSD for an hour.
func (s *search) worth(v binpack.Vector) (sum float64) {
	for r, q := range v {
		sum += s.unit[r] * float64(q)
	}
	return sum
}

// alone is the problem of all pods on new nodes, and on machines that are not given.
func (s *search) alone() *binpack.Problem {
	p := *s.whole
	p.Nodes = slices.Clone(p.Nodes)
	for _, i := range s.bin {
		p.Nodes[i].Free = make(binpack.Vector, len(s.unit))
	}
	return &p
}

// less returns a-b, and 0 where that is negative.
func less(a, b binpack.Vector) binpack.Vector {
	out := slices.Clone(a)
	for r, q := range b {
		out[r] = max(0, out[r]-q)
	}
	return out
}
