// Package plan makes the answer of `stowage plan`: what would be bought for the
// pending pods of a cluster, and what it would cost. It runs the controller's own
// steps (state, problem, binpack, consolidate) on objects from anywhere, and buys nothing.
//
//	objects + Market ── Make ──▶ Plan ── WriteJSON, WriteText
//
// Where it is asked to consolidate, commands are carried out in memory, on a stage of its own, and it is
// decided again until none is left.
//
// It reads no file and no clock. Its law: the same input gives the same bytes,
// apart from the time that solving took.
package plan
