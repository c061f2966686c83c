package consolidate

import (
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/stowage-sh/stowage/binpack"
	"github.com/stowage-sh/stowage/provisioner/lifecycle"
)

// restart is how long a pod's place is paid for while it does no work there, when it moves: its
// image is pulled, it starts and warms up.
const restart = 15 * time.Minute

// countMoves works out what it costs to move the pods of each node: for each what the average pod's place
// is worth for the time of a restart, times its eviction cost. A small pod disturbs as much as a large one.
func (s *search) countMoves() {
	s.moving, s.owed = make([]float64, len(s.nodes)), make([]float64, len(s.nodes))
	worth, pods := 0.0, 0
	for i := range s.nodes {
		worth += s.worth(s.load[i])
		pods += len(s.pods[i])
	}
	place := worth / float64(max(1, pods))
	for i, n := range s.nodes {
		for _, m := range s.pods[i] {
			cost := float64(place * restart.Hours() * evictions(m.pod))
			s.moving[i] += cost
			s.owed[i] += n.Terms.rate(m.pod, cost)
		}
	}
}

// evictions is how many ordinary ones the eviction of a pod counts for.
func evictions(p *corev1.Pod) float64 {
	return float64(max(0, lifecycle.EvictionCost(p))) / lifecycle.OnePod
}

// fee is what a node that goes has to save an hour for the evictions of its pods to be paid back in
// time, in MicroUSD.
func (s *search) fee(i int) (fee float64) {
	t := s.nodes[i].Terms
	fee = s.owed[i]
	if t.Balanced {
		fee = max(fee, t.share(Disruption(s.nodes[i])))
	}
	return fee
}

// rate is what a node has to save an hour for a pod that it costs so much to move: all of it within the
// payback, or within as long as the pod has run where that is shorter. How long a new place will be worth
// having nobody knows; as long again as the pod has had the old one is the best guess. So a pod does not move time and
// again while things change, and one that waits like that has lost, when it moves, no more than the move costs.
func (t *Terms) rate(p *corev1.Pod, cost float64) float64 {
	if t.Payback == 0 {
		return 0
	}
	within := t.Payback
	if !t.Now.IsZero() && p.Status.StartTime != nil {
		within = max(time.Second, min(within, t.Now.Sub(p.Status.StartTime.Time)))
	}
	return cost / within.Hours()
}

// share is what so much disruption has to save an hour under the policy Balanced, in MicroUSD.
func (t *Terms) share(disruption int64) float64 {
	return float64(t.Cost) / 2 * float64(disruption) / float64(max(1, t.Disruption))
}

// Disruption is what it takes to disrupt a node, in lifecycle.OnePods: that of its pods, and one more.
func Disruption(n Node) int64 {
	d := int64(lifecycle.OnePod)
	for _, p := range n.Pods {
		d += max(0, lifecycle.EvictionCost(p))
	}
	return d
}

// pays reports whether nodes may go together for what that saves an hour. Under the policy Balanced the
// nodes of each pool have their part in the savings, by price.
func (s *search) pays(nodes []int, savings binpack.MicroUSD) bool {
	owed := 0.0
	cost, disruption := map[*Terms]binpack.MicroUSD{}, map[*Terms]int64{}
	for _, i := range nodes {
		t := s.nodes[i].Terms
		owed += s.owed[i]
		cost[t] += s.nodes[i].Price
		disruption[t] += Disruption(s.nodes[i])
	}
	for t := range cost {
		part := float64(savings) * float64(cost[t]) / float64(max(1, s.price(nodes)))
		if t.Balanced && part < t.share(disruption[t]) {
			return false
		}
	}
	return savings > 0 && float64(savings) >= owed
}

// tooMany reports whether more nodes of a pool go together than may.
func (s *search) tooMany(nodes []int) bool {
	count := map[*Terms]int{}
	for _, i := range nodes {
		t := s.nodes[i].Terms
		if count[t]++; count[t] > t.Most {
			return true
		}
	}
	return false
}
