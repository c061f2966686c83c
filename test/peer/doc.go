// Peer runs Karpenter's released provisioning scheduler, imported as a library, and
// Stowage's on the same pods, instance types, offerings and prices in one process,
// and prints what each took and what each would buy.
//
// Both are timed from pods as API objects to NodeClaims. The peer: its topology, its
// scheduler, Solve, truncation, and the claims it would create. Stowage: Build,
// Solve, Verify, Placed. What both keep between batches (instance types, the
// cluster) is made before. The plan that is timed is the plan that is priced; a
// claim of the peer costs what its cheapest launch costs, which flatters it for spot.
//
// With -consolidation it runs Karpenter's disruption code instead, and Stowage's package
// consolidate, on the same standing clusters (corpus.Standing) until neither finds
// anything to do. Both decide for themselves; what their commands need of a cluster
// happens in memory (disrupt.go).
//
// It is a module of its own, so that nothing else in the project depends on the peer.
package main
