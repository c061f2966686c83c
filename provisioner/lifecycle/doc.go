// Package lifecycle takes every NodeClaim through its life: launched, registered,
// initialized, and, once it is deleted, drained and gone. It also collects what
// was lost on the way: machines without a NodeClaim, NodeClaims without a machine;
// and tells the cloud what nodes really have (Observer).
//
//	NodeClaim ─ finalizer ─ Launch ─▶ Launched ─ node joins ─▶ Registered ─ ready ─▶ Initialized
//	    │            no capacity: deleted │  timeout: deleted │
//	    ▼ deleted                         ▼                   ▼
//	taint ─ evict by groups ─▶ Drained ─▶ VolumesDetached ─ Terminate ─▶ InstanceTerminating ─ gone ─▶ finalizers off
//
// Its laws:
//
//   - It decides nothing about what to buy or what to remove.
//   - A step looks at one NodeClaim, does what can be done now, and says when to
//     look again; it never sleeps and has no clock. A NodeClaim that is stuck
//     costs its own retries and nobody else's.
//   - Every step may be repeated after a crash at any point. A launch is
//     idempotent by the NodeClaim's UID, which is the cloud's duty.
//   - A machine is not terminated while a pod that should be drained first is on
//     its node, or a volume of such a pod is attached to it, unless the NodeClaim's
//     own deadline has passed or the machine is known to be gone already.
//   - Before the deadline a pod is only asked to go, by eviction, unless its own grace
//     period would not end in time otherwise.
//   - A node without a NodeClaim of ours is never touched.
package lifecycle
