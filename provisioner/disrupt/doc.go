// Package disrupt ends nodes by choice: those that are empty, those that drifted, and those that
// are as old as they may become; and, without a choice, those that the cloud takes. Docs/disruption.md
// tells users how.
//
//	empty, drifted, within the budgets ─ DisruptionReason, taint
//	        │ package provision finds other places for the pods, and buys what is missing
//	        ├─ all ready ──── NodeClaim deleted; package lifecycle drains and ends it
//	        └─ not in time, or something speaks against it ─ taint and condition off again
//
// Its laws:
//
//   - It evicts nothing itself and buys nothing.
//   - No node goes before every pod on it that will be made anew has another place that is ready,
//     but for one that expires or that the cloud takes, when there is no more time to wait.
//   - It never chooses more than the budgets allow, and a budget that cannot be read allows nothing.
//   - A step is level-triggered: all that it has to know is in the objects and in the plans, which
//     provision makes anew after a restart; but not those of nodes that go to save money, which stay
//     then. A crash between any two writes is healed by a later step.
//   - Each node is judged by itself: one that is stuck holds up no other.
//   - It has no clock.
package disrupt
