// Package nodepool keeps what NodePools say about themselves true: their status
// and conditions, the hash that drift compares, and how long a pool whose nodes
// fail to join must wait before it may buy again ([Backoff]).
//
// It buys nothing and removes nothing. A NodePool that is deleted takes its
// NodeClaims with it by their owner references, which is the garbage collector's
// work; package lifecycle then drains them. It reads snapshots only, writes
// patches only, and writes nothing where nothing changed.
package nodepool
