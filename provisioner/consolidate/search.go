package consolidate

import (
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/stowage-sh/stowage/binpack"
	"github.com/stowage-sh/stowage/provisioner/lifecycle"
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
	own.Pods = nil
	for _, n := range nodes {
		own.Pods = append(own.Pods, n.Pods...)
	}
	s := &search{nodes: nodes, t: problem.Build(&own), nodeOf: map[int]int{}, pinned: map[int]string{}}
	whole := s.t.Problem
	whole.Blend = true
	s.unit = binpack.Worth(whole, nil)
	byName, bins := map[string]int{}, map[string]int{}
	for i, n := range nodes {
		byName[n.Node.Name] = i
	}
	for i := range s.t.Bins {
		bins[s.t.Bins[i].Name()] = i
	}
	s.pods, s.load = make([][]member, len(nodes)), make([]binpack.Vector, len(nodes))
	s.moving, s.owed = make([]float64, len(nodes)), make([]float64, len(nodes))
	for i, n := range nodes {
		s.bin = append(s.bin, bins[n.Node.Name])
		s.nodeOf[s.bin[i]] = i
		s.room = append(s.room, whole.Nodes[s.bin[i]].Free)
		s.load[i] = make(binpack.Vector, len(s.unit))
	}
	least := leastMoved(whole.Resources)
	for g, pods := range s.t.Pods {
		for _, p := range pods {
			i := byName[p.Spec.NodeName]
			s.pods[i] = append(s.pods[i], member{p, g})
			cost := s.costOf(p, whole.Groups[g].Requests, least)
			s.moving[i] += cost
			s.owed[i] += nodes[i].Terms.rate(p, cost)
			for r, q := range whole.Groups[g].Requests {
				s.load[i][r] += q
			}
		}
	}
	return s
}

// restart is how long a pod's place is paid for while it does no work there, when it moves: its
// image is pulled, it starts and warms up.
const restart = 15 * time.Minute

// costOf is what it costs to move a pod, in MicroUSD: what its place costs for the time of a
// restart, times its eviction cost.
func (s *search) costOf(p *corev1.Pod, requests, least binpack.Vector) float64 {
	place := 0.0
	for r, q := range requests {
		place += s.unit[r] * float64(max(q, least[r]))
	}
	return place * restart.Hours() * float64(max(0, lifecycle.EvictionCost(p))) / lifecycle.OnePod
}

// leastMoved is what a pod counts for at least that asks for less: as much as kube-scheduler
// takes of one that does not say (util.DefaultMilliCPURequest and DefaultMemoryRequest).
func leastMoved(resources []string) binpack.Vector {
	least := make(binpack.Vector, len(resources))
	for r, name := range resources {
		switch corev1.ResourceName(name) {
		case corev1.ResourceCPU:
			least[r] = 100
		case corev1.ResourceMemory:
			least[r] = 200 << 20
		}
	}
	return least
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
	small.Offers, small.Groups, small.Stocks, small.MaxSteps = nil, slices.Clone(small.Groups), nil, 1
	may := make([]binpack.Set, len(small.Groups))
	for i, o := range whole.Offers {
		if !used.Has(i) && float64(o.Price) > near*s.worth(roomOf(&o)) {
			continue
		}
		for g := range may {
			if whole.Groups[g].Offers.Has(i) {
				may[g].Add(len(small.Offers))
			}
		}
		small.Offers, s.rows = append(small.Offers, o), append(s.rows, i)
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
	p := *s.t.Problem
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
