// Package static keeps as many nodes of each static NodePool as its spec.replicas
// says, whatever pods there are.
//
// Too few: it makes NodeClaims as the template describes them, and package lifecycle
// launches them by their requirements. It makes none while the NodePool is not
// Ready, on probation because its nodes never joined, or at limits.nodes, and waits
// a little longer each time that one was given up without a machine.
//
// Too many: it deletes NodeClaims, and package lifecycle drains them. First those
// go that have no machine yet, then empty nodes, then those whose pods cost least to
// move; what karpenter.sh/do-not-disrupt protects goes last.
//
// A NodeClaim that was chosen for disruption does not count, so that one is made for it;
// package disrupt lets it go when there are enough of the others.
//
// Its laws: a NodeClaim counts from the moment that it may exist, and no longer from
// the moment that it may have been deleted, so that neither a late watch nor an
// answer that was lost makes it create or delete too many; a step is
// level-triggered, and a crash between any two writes is healed by a later step; it
// has no clock.
package static
