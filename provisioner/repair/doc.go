// Package repair replaces nodes that have been broken for too long, by force: it
// deletes their NodeClaims with a deadline that has come, so that no
// PodDisruptionBudget, no karpenter.sh/do-not-disrupt and no kubelet that is silent
// holds them up. What is broken, and for how long that is borne, is what the cloud
// says.
//
//	condition of a policy ─ borne for its toleration ─▶ few others? ─▶ is it so, server?
//	    └─ recovered: forgotten       └─ no: NodeRepairBlocked    └─ deadline ─▶ NodeClaim deleted
//
// Its laws:
//
//   - Where more than a fifth of a NodePool's nodes are broken, rounded up, the fault
//     is hardly theirs, and none is repaired: a zone, a network, an image.
//   - A condition counts from when this process saw it begin, by its own clock.
//     Kubelets write the times of their conditions, and their clocks may be hours off.
//     A restart waits anew: late is better than by mistake.
//   - The server is asked once more before anything is done, since what was seen may be
//     as old as the watch: a node that has recovered is left alone.
//   - A step is level-triggered. A crash between deadline and deletion is healed by a
//     later step: what is still broken is deleted, and what has recovered loses the
//     deadline. It has no clock.
package repair
