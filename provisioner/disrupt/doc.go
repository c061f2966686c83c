// Package disrupt removes nodes that are not needed any more. So far these are
// the empty ones: no pod that would need another place has come or gone for the
// NodePool's consolidateAfter.
//
// A node goes in two steps, so that no pod is surprised:
//
//	Consolidatable, empty, within the budgets ─ taint, DisruptionReason
//	        │ settle later: still empty?
//	        ├─ yes ─ NodeClaim deleted; package lifecycle drains and ends it
//	        └─ no ── taint and condition off again
//
// Its laws: it evicts nothing itself and buys nothing; it never exceeds a budget,
// and a budget that cannot be read allows nothing; a step is level-triggered, so
// a crash between any two writes is healed by a later step; it has no clock.
package disrupt
