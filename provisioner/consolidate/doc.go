// Package consolidate decides which nodes of a cluster are to go because others hold their pods for
// less: the whole cluster at once, N nodes for M.
//
//	nodes that may go ──▶ keep ──▶ deal ──▶ Commands, the best first
//	                       │ ▲      │ ▲
//	    pods of some nodes ▼ │      ▼ │ where they go, for how much
//	                       binpack.Solve
//
// It chooses; package problem says what a choice costs. It reads a snapshot, and writes nothing.
package consolidate
