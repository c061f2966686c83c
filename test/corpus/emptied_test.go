package corpus

import (
	"cmp"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/stowage-sh/stowage/binpack"
	"github.com/stowage-sh/stowage/provisioner/problem"
)

// emptied is what the usual rule makes of a cluster: nodes are emptied in order of utilisation, the
// larger of what is asked of their CPU and memory, where all of their pods fit on others that
// are in use, each on the fullest. It returns what the cluster costs then and how many pods moved.
func (s *Standing) emptied() (cost binpack.MicroUSD, evictions int) {
	type node struct {
		price      binpack.MicroUSD
		free, room [3]int64
		pods       []*corev1.Pod
		gone       bool
	}
	ask := func(p *corev1.Pod) [3]int64 {
		r := problem.Requests(p)
		return [3]int64{r["cpu"], r["memory"], 1}
	}
	used := func(n *node) float64 {
		most := 0.0
		for i := range 2 {
			most = max(most, 1-float64(n.free[i])/float64(n.room[i]))
		}
		return most
	}
	var nodes []*node
	for _, n := range s.Nodes {
		a := n.Node.Status.Allocatable
		room := [3]int64{a.Cpu().MilliValue(), a.Memory().Value(), a.Pods().Value()}
		for _, d := range s.market.Daemons {
			for i, q := range ask(&corev1.Pod{Spec: d.Spec.Template.Spec}) {
				room[i] -= q
			}
		}
		m := &node{price: n.Price, room: room, free: room, pods: slices.Clone(n.Pods)}
		for _, p := range n.Pods {
			for i, q := range ask(p) {
				m.free[i] -= q
			}
		}
		nodes = append(nodes, m)
	}
	order := slices.Clone(nodes)
	slices.SortStableFunc(order, func(a, b *node) int { return cmp.Compare(used(a), used(b)) })
	for _, from := range order {
		others := slices.DeleteFunc(slices.Clone(nodes), func(n *node) bool { return n.gone || n == from || len(n.pods) == 0 })
		slices.SortStableFunc(others, func(a, b *node) int { return cmp.Compare(used(b), used(a)) })
		pods := slices.Clone(from.pods)
		slices.SortStableFunc(pods, func(a, b *corev1.Pod) int { return cmp.Compare(ask(b)[0], ask(a)[0]) })
		to := make([]*node, 0, len(pods))
		for _, p := range pods {
			need := ask(p)
			at := slices.IndexFunc(others, func(n *node) bool {
				return need[0] <= n.free[0] && need[1] <= n.free[1] && need[2] <= n.free[2]
			})
			if at < 0 {
				break
			}
			for i, q := range need {
				others[at].free[i] -= q
			}
			to = append(to, others[at])
		}
		if len(to) < len(pods) { // it stays, and so do they
			for j, n := range to {
				for i, q := range ask(pods[j]) {
					n.free[i] += q
				}
			}
			continue
		}
		for j, n := range to {
			n.pods = append(n.pods, pods[j])
		}
		from.gone, from.pods = true, nil
		evictions += len(pods)
	}
	for _, n := range nodes {
		if !n.gone {
			cost += n.price
		}
	}
	return cost, evictions
}
