package static

import (
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/stowage-sh/stowage/provisioner/lifecycle"
	"github.com/stowage-sh/stowage/provisioner/nodepool"
	"github.com/stowage-sh/stowage/provisioner/state"
	v1 "github.com/stowage-sh/stowage/provisioner/v1"
)

// tellAgain is how long an event lasts: after that it is sent anew.
const tellAgain = time.Hour

// allow returns how many of the missing nodes may be bought now, and when to look
// again where time alone would change that. It says on the NodePool why some
// have to wait.
func (c *Controller) allow(now time.Time, s *state.Snapshot, pool *v1.NodePool, m *memory, missing int64) (n int64, again time.Duration) {
	n, why := room(s, pool, missing)
	on, wait := lifecycle.Probation(now, s, pool)
	switch until, _ := nodepool.Backoff(pool); {
	case missing == 0 || n == 0:
	case now.Before(m.until):
		n, why, again = 0, "got no machine for its last NodeClaims; their events say why", m.until.Sub(now)
	case on < n:
		n, why, again = on, wait, max(0, until.Sub(now))
	}
	if why != "" && (why != m.told || now.Sub(m.toldAt) >= tellAgain) {
		m.told, m.toldAt = why, now
		c.Events.Event(pool, corev1.EventTypeWarning, "ReplicasMissing",
			fmt.Sprintf("%d of %d nodes have to wait: NodePool %s %s", missing-n, *pool.Spec.Replicas, pool.Name, why))
	}
	return n, again
}

// room is how many of the missing nodes a pool may have as far as itself and its
// limit say, and why not all. The limit counts all nodes, those that are going
// included.
func room(s *state.Snapshot, pool *v1.NodePool, missing int64) (n int64, why string) {
	switch ready := v1.GetCondition(pool.Status.Conditions, v1.ConditionReady); {
	case ready == nil:
		return 0, "" // it is new, and nobody has looked at it
	case ready.Status != metav1.ConditionTrue:
		return 0, "is not ready: " + ready.Message
	}
	limit, limited := pool.Spec.Limits["nodes"]
	if left := limit.Value() - int64(len(nodepool.Claims(s, pool))); limited && left < missing {
		return max(0, left), fmt.Sprintf("may have no more nodes than its limit of %s", limit.String())
	}
	return missing, ""
}
