package problem

import (
	"context"
	"fmt"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/stowage-sh/stowage/binpack"
)

// SpreadsOverDomains reports whether a pod must spread over more than hostnames: zones, mostly.
func SpreadsOverDomains(p *corev1.Pod) bool {
	return slices.ContainsFunc(p.Spec.TopologySpreadConstraints, func(c corev1.TopologySpreadConstraint) bool {
		return c.WhenUnsatisfiable == corev1.DoNotSchedule && c.TopologyKey != corev1.LabelHostname
	})
}

// Thin solves a problem again where new nodes of its plan get several pods of a group that must spread over domains, with one on
// each at the most, and returns that plan if it is as good and costs less than 1 % more. Of such pods only one can be nominated
// to a node at a time: a second would be too many for kube-scheduler, which counts both as there. Those that are
// not nominated take places of each other, and where they differ in size some find none. The nodes that are bought for them then
// cost more than 1 %. Those of one size leave each other what they need. Machines that are there or on their way are filled as
// they would be.
func Thin(ctx context.Context, t *Translation, s *binpack.Solution) *binpack.Solution {
	spreads := func(g int) bool { return SpreadsOverDomains(t.Pods[g][0]) }
	sizes := map[string]bool{} // of pods that cannot be nominated
	for _, n := range s.New {
		for _, share := range n.Pods {
			if share.Count > 1 && spreads(share.Group) {
				sizes[fmt.Sprint(t.Problem.Groups[share.Group].Requests)] = true
			}
		}
	}
	if len(sizes) < 2 {
		return s
	}
	p := *t.Problem
	p.Groups = slices.Clone(p.Groups)
	for g := range p.Groups {
		if spreads(g) {
			p.Groups[g].MaxPerNode = 1
		}
	}
	thin, err := binpack.Solve(ctx, &p)
	if err != nil || !t.asGood(thin, s) || t.priceOf(thin)-t.priceOf(s) >= t.priceOf(s)/100 {
		return s
	}
	// The bound is about the pods on new nodes, which are the same, and their pools' weights. That of the other problem
	// is higher, and so may be its reasons.
	thin.LowerBound, thin.Unplaced = s.LowerBound, s.Unplaced
	thin.Steps += s.Steps
	return thin
}

// asGood reports whether a plan places the same pods as another, on new nodes of pools of the same weights, and takes no
// more of any stock: what is reserved or committed has no price.
func (t *Translation) asGood(plan, other *binpack.Solution) bool {
	for i := range t.Problem.Stocks {
		if stock := &t.Problem.Stocks[i]; taken(stock, plan) > taken(stock, other) {
			return false
		}
	}
	left := func(a, b binpack.Unplaced) bool { return a.Group == b.Group && a.Count == b.Count }
	return slices.EqualFunc(plan.Unplaced, other.Unplaced, left) && maps.Equal(t.byWeight(plan), t.byWeight(other))
}

// byWeight counts the pods on new nodes by group and weight of the pool.
func (t *Translation) byWeight(s *binpack.Solution) map[[2]int]int64 {
	pods := map[[2]int]int64{}
	for _, n := range s.New {
		weight := int(t.Problem.Pools[t.Problem.Offers[n.Offers[0]].Pool].Weight)
		for _, share := range n.Pods {
			pods[[2]int{share.Group, weight}] += n.Count * share.Count
		}
	}
	return pods
}

// priceOf is what the new nodes of a plan cost an hour.
func (t *Translation) priceOf(s *binpack.Solution) (sum binpack.MicroUSD) {
	for _, n := range s.New {
		sum += binpack.MicroUSD(n.Count) * t.Rows[n.Offers[0]].Price
	}
	return sum
}

// taken is how many units of a stock a plan takes.
func taken(stock *binpack.Stock, s *binpack.Solution) (units int64) {
	for _, n := range s.New {
		most := int64(0)
		for _, o := range n.Offers {
			most = max(most, stock.Takes(o))
		}
		units += n.Count * most
	}
	return units
}
