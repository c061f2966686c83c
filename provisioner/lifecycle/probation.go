package lifecycle

import (
	"fmt"
	"math"
	"time"

	"github.com/stowage-sh/stowage/provisioner/nodepool"
	"github.com/stowage-sh/stowage/provisioner/state"
	v1 "github.com/stowage-sh/stowage/provisioner/v1"
)

// Unlimited is how many nodes a NodePool may buy that is not on probation.
const Unlimited = math.MaxInt64

// Probation says how many nodes a NodePool may buy at now, since its last ones did
// not join: none, and why, while it waits as nodepool.Backoff says or for the one
// that it tries; then one at a time.
func Probation(now time.Time, s *state.Snapshot, pool *v1.NodePool) (nodes int64, why string) {
	until, failures := nodepool.Backoff(pool)
	if failures == 0 {
		return Unlimited, ""
	}
	if now.Before(until) {
		return 0, fmt.Sprintf("buys nothing until %s: %d node(s) in a row never joined the cluster", until.UTC().Format(time.RFC3339), failures)
	}
	for _, claim := range s.NodeClaims.All() {
		if claim.Labels[v1.LabelNodePool] == pool.Name && joining(s, claim) {
			return 0, fmt.Sprintf("waits for NodeClaim %s to join the cluster: %d node(s) in a row never did", claim.Name, failures)
		}
	}
	return 1, ""
}

// joining reports whether it is open yet whether a NodeClaim becomes a node of use.
func joining(s *state.Snapshot, claim *v1.NodeClaim) bool {
	if !v1.IsTrue(claim.Status.Conditions, v1.ConditionRegistered) {
		return true
	}
	node, ok := s.NodeOf(claim)
	return ok && !NodeReady(node) && !v1.IsTrue(claim.Status.Conditions, v1.ConditionInitialized)
}
