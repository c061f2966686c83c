package metrics

import (
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/stowage-sh/stowage/pricing"
	"github.com/stowage-sh/stowage/provisioner/disrupt"
	"github.com/stowage-sh/stowage/provisioner/problem"
	v1 "github.com/stowage-sh/stowage/provisioner/v1"
)

// poolFamilies are what is shown of NodePools.
type poolFamilies struct{ limit, usage, cost, allowed, consuming family }

func newPoolFamilies() poolFamilies {
	return poolFamilies{
		limit: newFamily("karpenter_nodepools_limit", "The most that a NodePool's nodes may have together.", "nodepool", "resource_type"),
		usage: newFamily("karpenter_nodepools_usage", "What a NodePool's nodes have together.", "nodepool", "resource_type"),
		cost: newFamily("karpenter_nodepools_cost_total", "What a NodePool's machines cost, in dollars an hour; those whose price is not known are left out.",
			"nodepool"),
		allowed: newFamily("karpenter_nodepools_allowed_disruptions", "How many nodes the budgets let be disrupted at once, those included that are disrupted or not ready now.",
			"nodepool", "reason"),
		consuming: newFamily("karpenter_nodepools_nodes_consuming_budgets", "Nodes that are disrupted or not ready now.", "nodepool", "reason"),
	}
}

func (f *poolFamilies) all() []family {
	return []family{f.limit, f.usage, f.cost, f.allowed, f.consuming}
}

// collect shows every NodePool, also one that has no node: it costs nothing, which
// is something to know.
func (f *poolFamilies) collect(s *scrape, v *view, prices *pricing.Table) {
	costs := map[string]pricing.MicroUSD{}
	for _, claim := range v.NodeClaims.All() {
		if price, ok := prices.For(claim.Labels[corev1.LabelOSStable]).Price(problem.LaunchedAs(claim)); ok {
			costs[claim.Labels[v1.LabelNodePool]] += price
		}
	}
	allowances := disrupt.Allowances(v.now, v.Snapshot)
	for _, pool := range v.NodePools.All() {
		for _, a := range amounts(corev1.ResourceList(pool.Spec.Limits), quantity) {
			s.add(f.limit, a.quantity, f.limit.labels.with(pool.Name, a.resource))
		}
		for _, a := range amounts(pool.Status.Resources, quantity) {
			s.add(f.usage, a.quantity, f.usage.labels.with(pool.Name, a.resource))
		}
		s.add(f.cost, float64(costs[pool.Name])/1e6, f.cost.labels.with(pool.Name))
		for _, reason := range disrupt.Reasons {
			a := allowances[pool.Name][reason]
			labels := f.allowed.labels.with(pool.Name, strings.ToLower(string(reason)))
			s.add(f.allowed, float64(a.Nodes+a.Busy), labels)
			s.add(f.consuming, float64(a.Busy), labels)
		}
	}
}
