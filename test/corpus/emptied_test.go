package corpus

import (
	"cmp"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/stowage-sh/stowage/binpack"
	"github.com/stowage-sh/stowage/provisioner/problem"
)

// An emptiable is a node as the usual rule sees it.
type emptiable struct {
	price      binpack.MicroUSD
	free, room amounts
	pods       []*corev1.Pod
}

// amounts of CPU, memory and pods.
type amounts [3]int64

func asks(p *corev1.Pod) amounts {
	r := problem.Requests(p)
	return amounts{r["cpu"], r["memory"], 1}
}

// utilisation is the larger of what is asked of the CPU and the memory.
func (n *emptiable) utilisation() float64 {
	most := 0.0
	for i := range 2 {
		most = max(most, 1-float64(n.free[i])/float64(n.room[i]))
	}
	return most
}

func (n *emptiable) holds(need amounts) bool {
	return need[0] <= n.free[0] && need[1] <= n.free[1] && need[2] <= n.free[2]
}

// take gives so much of the room away, times a sign.
func (n *emptiable) take(need amounts, sign int64) {
	for i, q := range need {
		n.free[i] -= sign * q
	}
}

// emptiables are the nodes of the cluster.
func (s *Standing) emptiables() (nodes []*emptiable) {
	for _, n := range s.Nodes {
		a := n.Node.Status.Allocatable
		m := &emptiable{price: n.Price, free: amounts{a.Cpu().MilliValue(), a.Memory().Value(), a.Pods().Value()}, pods: slices.Clone(n.Pods)}
		for _, d := range s.market.Daemons {
			m.take(asks(&corev1.Pod{Spec: d.Spec.Template.Spec}), 1)
		}
		m.room = m.free
		for _, p := range n.Pods {
			m.take(asks(p), 1)
		}
		nodes = append(nodes, m)
	}
	return nodes
}

// emptied is what the usual rule makes of a cluster: nodes are emptied in order of utilisation where
// all of their pods fit on others that are in use, each on the fullest. It returns what the cluster costs then
// and how many pods moved.
func (s *Standing) emptied() (cost binpack.MicroUSD, evictions int) {
	nodes := s.emptiables()
	order := slices.Clone(nodes)
	slices.SortStableFunc(order, func(a, b *emptiable) int { return cmp.Compare(a.utilisation(), b.utilisation()) })
	for _, from := range order {
		others := slices.DeleteFunc(slices.Clone(nodes), func(n *emptiable) bool { return n == from || len(n.pods) == 0 })
		slices.SortStableFunc(others, func(a, b *emptiable) int { return cmp.Compare(b.utilisation(), a.utilisation()) })
		if from.moveTo(others) {
			evictions += len(from.pods)
			from.pods = nil
			nodes = slices.DeleteFunc(nodes, func(n *emptiable) bool { return n == from })
		}
	}
	for _, n := range nodes {
		cost += n.price
	}
	return cost, evictions
}

// moveTo puts the pods of a node on the first of others that holds them, the largest first. Where one
// finds no place they all stay.
func (n *emptiable) moveTo(others []*emptiable) bool {
	pods := slices.Clone(n.pods)
	slices.SortStableFunc(pods, func(a, b *corev1.Pod) int { return cmp.Compare(asks(b)[0], asks(a)[0]) })
	to := make([]*emptiable, 0, len(pods))
	for _, p := range pods {
		at := slices.IndexFunc(others, func(o *emptiable) bool { return o.holds(asks(p)) })
		if at < 0 {
			for j, o := range to {
				o.take(asks(pods[j]), -1)
			}
			return false
		}
		others[at].take(asks(p), 1)
		to = append(to, others[at])
	}
	for j, o := range to {
		o.pods = append(o.pods, pods[j])
	}
	return true
}
