// Package binpack decides which nodes to open for a batch of pods.
//
// A [Problem] lists groups of pods that are alike, the offers that a node can be
// opened from, the nodes that exist, and what ties pods to each other. [Solve]
// turns it into a [Solution]: patterns of new nodes, what goes on existing ones,
// and what finds no place, with reasons. [Verify] checks a solution without
// trusting the solver. [Parse] and the Text methods are the written form of
// both, for tests, bug reports and replays.
//
// The package knows no Kubernetes and no cloud. It does not estimate, retry or
// remember anything; whoever translates a cluster into a Problem decides what
// may go where.
//
// # Laws
//
//   - Solve and Verify are pure functions: no clock, no chance, no I/O, no log.
//     They only read the problem, so that many may share one.
//   - The answer does not depend on the order of any list: every list is sorted
//     by ID first, and every tie ends in an ID. It is the same bytes on every
//     machine: decisions compare integers, and where floating point helps (the
//     fluid prices) each operation is rounded on its own.
//   - Prices, quantities and counts are int64. [Problem.Validate] refuses a
//     problem of which any sum could overflow.
//   - LowerBound is proven in exact arithmetic, whatever the floats did.
//   - Work is limited by steps, not by time. When ctx ends, the best plan so far
//     comes back, marked Truncated; it holds like any other.
//
// # How Solve works
//
//	canonical → table → pass ( order → split → fill → open → again ) → bound
//
// A pass takes the groups by priority, then by worth. It splits a group that
// minds topology domains over its cells (split.go), fills existing nodes with
// the best fit, and leaves the rest as parts. For the parts it opens nodes, pools
// of the heaviest weight first: the dual prices of the fluid problem say what a
// unit of each resource is worth (fluid.go); every offer worth a look is packed
// full; the one that costs least for the worth of its load is opened, as often
// as the parts last, after a change to the cheapest offer that still holds the
// load (open.go). What was sent where there turned out to be no room is sent
// again. If limits have left a spread lopsided, the pass is repeated with
// quotas that can be met. While the step budget lasts, passes with other recipes
// follow, and the best by the objective wins: pods placed by priority, pool
// weight, cost, number of nodes.
//
// Solve does not yet place owners of an [Affinity], nor open nodes of pools with
// [MinValues]; it reports both as [Unsupported]. Verify checks both.
//
// # Cost
//
// With G groups, O offers of which C are not dominated, E existing nodes, N
// patterns and R resources, a pass takes O(G·O + G·E + N·C·G·R) steps at worst;
// most offers are ruled out by their price before they are packed. Only split
// looks at single pods, and only of groups that mind a domain. A thousand pods in
// 40 groups on 5,000 offers take some 20 ms, ten thousand in 1,000 groups a
// fraction of a second. Memory is O(G·O/64 + O·R).
package binpack
