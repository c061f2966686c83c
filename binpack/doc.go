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
//	canonical → table → plans by several recipes, each a pass → the best → bound
//	pass: order → split → fill existing nodes → open new ones → again
//
// A pass takes the groups by priority, then by worth. It splits a group that
// minds topology domains over its cells (split.go), targets of an affinity before its
// owners (affinity.go), fills existing nodes with
// the best fit, and leaves the rest as parts. For the parts it opens nodes, pools
// of the heaviest weight first (open.go): the dual prices of the fluid problem say
// what a unit of each resource is worth for what is left to place (fluid.go);
// offers that may do best (race.go) are filled, in several ways (fill.go, relax.go),
// under the rules of one node (rules.go); the one that
// costs least for the worth of its load is opened, as often as the pods last,
// after a change to the cheapest offer that still holds the load. What was sent
// where there turned out to be no room is sent again. If limits have left a spread
// lopsided, the pass is repeated with quotas that can be met.
//
// The first recipe makes the first plan. While the step budget lasts and the plan is
// not proven near enough to the bound, other recipes follow. Some decide most nodes by
// a mixture of patterns, found by column generation (mix.go, columns.go, master.go, knapsack.go), and
// only the rest one by one. The best plan by the objective wins: pods placed by
// priority, pool weight, cost, number of nodes. At last its worst nodes are taken back and
// their pods packed anew, again and again (repack.go); where pods are of too many kinds for a
// mixture, that follows the first plan at once. A part of the budget is kept for making one
// node of two where that costs no more (unite.go).
//
// The lower bound is that of the fluid problem (bound.go) with rooms floored to what pods
// can use (grid.go), raised by prices of its own for each offer (ascent.go) or, where pods
// are large against nodes, one proven from the mixture's prices (certify.go).
//
// Where pods that keep apart need a good part of the nodes, these are filled before others
// are opened (slots.go). What may run out has a price in mixtures, and a rent in bounds
// (scarce.go).
//
// Owners of an [Affinity] over Hostname go with their targets, on nodes that are opened for
// both (company.go). Nodes of pools with [MinValues] are opened as bundles of offers that
// each hold what the first holds (flexible.go), unless the first is Relaxed. Groups of which each is an owner that
// waits for the other, with no target in place, stay unplaced: nobody could come first
// (arrival.go).
//
// # Cost
//
// Groups that are alike in need and places are one kind to the packing. With K kinds,
// O offers of which C are not dominated, N patterns and R resources, a pass takes
// O(G·O/64 + N·K·R) steps and a few looks at each candidate for each pattern; most are
// ruled out by their price before they are filled. A mixture takes some hundred rounds of
// O(C·K·R + K²). Only split looks at single pods, and only of groups that mind a
// domain. Without a budget of its own a problem gets for improving the first plan what
// solve.go says; a step takes some 30 ns. Memory is
// O(G·O/64 + O·R + K²).
package binpack
