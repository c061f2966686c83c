package problem

import (
	"context"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/stowage-sh/stowage/binpack"
)

// thinCost is how much more a plan may cost for having pods that spread one by one on nodes, as a factor. It is less than
// what the nodes cost that are bought later where they are not.
const thinCost = 1.01

// SpreadsOverDomains reports whether a pod must spread over more than hostnames: zones, mostly.
func SpreadsOverDomains(p *corev1.Pod) bool {
	return slices.ContainsFunc(p.Spec.TopologySpreadConstraints, func(c corev1.TopologySpreadConstraint) bool {
		return c.WhenUnsatisfiable == corev1.DoNotSchedule && c.TopologyKey != corev1.LabelHostname
	})
}

// Thin solves a problem again where a node of its plan gets several pods of a group that must spread over domains, with one at
// the most, and returns that plan if it costs next to nothing more. Of such pods only one can be nominated to a node at a
// time: a second would be too many for kube-scheduler, which counts both as there. Those that are not nominated take places of
// others, and where they differ in size some find none.
func Thin(ctx context.Context, t *Translation, s *binpack.Solution) *binpack.Solution {
	p := *t.Problem
	p.Groups = slices.Clone(p.Groups)
	for g := range p.Groups {
		if SpreadsOverDomains(t.Pods[g][0]) {
			p.Groups[g].MaxPerNode = 1
		}
	}
	if !slices.ContainsFunc(s.New, func(n binpack.Pattern) bool {
		return slices.ContainsFunc(n.Pods, func(s binpack.Share) bool { return s.Count > 1 && p.Groups[s.Group].MaxPerNode == 1 })
	}) {
		return s
	}
	alike := func(a, b binpack.Unplaced) bool { return a.Group == b.Group && a.Count == b.Count }
	thin, err := binpack.Solve(ctx, &p)
	if err != nil || float64(thin.Cost) > thinCost*float64(s.Cost) || !slices.EqualFunc(thin.Unplaced, s.Unplaced, alike) {
		return s
	}
	thin.Unplaced = s.Unplaced // with the reasons of the problem itself
	thin.Steps += s.Steps
	return thin
}
