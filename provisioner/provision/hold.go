package provision

import (
	"maps"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/stowage-sh/stowage/provisioner/state"
	v1 "github.com/stowage-sh/stowage/provisioner/v1"
)

// How long a node that has joined stays closed.
const (
	// unreadyHold is the most for a node that is not Ready: a DaemonSet that it
	// waits for may not tolerate our taint.
	unreadyHold = 30 * time.Second
	// spreadHold is the most for a node that is Ready and waits for the others of
	// its batch: what that costs is this much time, what it saves a second batch.
	spreadHold = 10 * time.Second
	// accord is from the first node's learning that all may open to the opening:
	// lifecycle asks Hold at least that often, so by then all have learnt it.
	accord = time.Second
)

// Hold says how much longer a node that has joined is to be kept closed by our
// own taint, and why, so that the plan comes true:
//
//   - Until it is Ready, for nominations that kube-scheduler reads before it can
//     act on them are erased.
//   - A node with pods that spread over domains opens together with all that were
//     decided with it. Nominations keep the room of such pods from others only for a
//     moment (see spreadsOverDomains); and the spread lets them in domain by
//     domain, which only goes when there is a node in each.
//
// A node with startup taints is not kept: others open it, who may need it
// without ours.
func (c *Controller) Hold(now time.Time, claim *v1.NodeClaim, node *corev1.Node) (wait time.Duration, why string) {
	if len(claim.Spec.StartupTaints) > 0 {
		return 0, ""
	}
	if ready, _ := readiness(node); !ready {
		return max(0, unreadyHold-now.Sub(node.CreationTimestamp.Time)), "it is not Ready"
	}
	g := gather(c.Cluster.Snapshot(), claim.Name)
	if g.awaited != "" {
		return max(0, g.until.Sub(now)), "its pods spread over domains, and NodeClaim " + g.awaited + " of the same batch is not there yet"
	}
	if opens, ok := c.named.opens(g.decided, now); ok && opens.Before(g.until) {
		g.until = opens
	}
	return max(0, g.until.Sub(now)), "its pods spread over domains, and all nodes of their batch open together"
}

// A gathering is what a Ready node with pods that spread over domains waits
// for. It is zero for any other node.
type gathering struct {
	decided time.Time // when its batch was
	until   time.Time // when it opens at the latest
	awaited string    // the first NodeClaim, by name, that is late; empty when none is
}

// gather says what the Ready node of a NodeClaim waits for.
func gather(s *state.Snapshot, name string) gathering {
	var g gathering
	for _, p := range s.Plans {
		if p.NodeClaim == name && p.Spread && (g.decided.IsZero() || p.At.Before(g.decided)) {
			g.decided = p.At // with its first pods
		}
	}
	if g.decided.IsZero() {
		return g
	}
	for claim, spread := range decidedAt(s, g.decided) {
		since, late := lateness(s, claim, spread)
		if late && (g.awaited == "" || claim < g.awaited) {
			g.awaited = claim
		}
		if claim == name {
			g.until = since.Add(spreadHold)
		}
	}
	return g
}

// A roll says of which batches whose nodes open together all pods have been
// nominated, and when those nodes open. It may be used by many goroutines.
type roll struct {
	mu      sync.Mutex
	batches map[time.Time]time.Time // when decided → when its nodes open; zero until somebody asks
}

// call notes that the pods of a batch have been nominated.
func (r *roll) call(decided time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, ok := r.batches[decided]; ok {
		return
	}
	if r.batches == nil {
		r.batches = map[time.Time]time.Time{}
	}
	maps.DeleteFunc(r.batches, func(other, _ time.Time) bool { return decided.Sub(other) > time.Hour })
	r.batches[decided] = time.Time{}
}

// called reports whether the pods of a batch have been nominated.
func (r *roll) called(decided time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	_, ok := r.batches[decided]
	return ok
}

// opens says when the nodes of a batch open, if its pods have been nominated.
func (r *roll) opens(decided, now time.Time) (time.Time, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	at, ok := r.batches[decided]
	if ok && at.IsZero() {
		at = now.Add(accord)
		r.batches[decided] = at
	}
	return at, ok
}

// decidedAt returns the names of the NodeClaims for which pods were planned at a
// moment, and whether any of those spread.
func decidedAt(s *state.Snapshot, at time.Time) map[string]bool {
	claims := map[string]bool{}
	for _, p := range s.Plans {
		if p.NodeClaim != "" && p.At.Equal(at) {
			claims[p.NodeClaim] = claims[p.NodeClaim] || p.Spread
		}
	}
	return claims
}

// lateness reports whether a NodeClaim is still to become a node that is Ready,
// and else since when it is one. One that waits for nobody, since its pods do not
// spread, is to be open too: each node that opens makes kube-scheduler try all
// pods again, and erase the nominations to nodes that are closed. What will never be
// a node is not late.
func lateness(s *state.Snapshot, name string, spread bool) (since time.Time, late bool) {
	claim, ok := s.NodeClaims.Get(name)
	if !ok || claim.DeletionTimestamp != nil {
		return time.Time{}, false
	}
	node, ok := s.NodeOf(claim)
	if !ok {
		return time.Time{}, true
	}
	ready, since := readiness(node)
	return since, !ready || (!spread && hasOwnTaint(node))
}

// readiness tells whether kubelet says that a node is ready, and since when.
func readiness(node *corev1.Node) (ready bool, since time.Time) {
	for _, condition := range node.Status.Conditions {
		if condition.Type == corev1.NodeReady {
			return condition.Status == corev1.ConditionTrue, condition.LastTransitionTime.Time
		}
	}
	return false, time.Time{}
}
