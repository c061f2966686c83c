package provision

import (
	"maps"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/stowage-sh/stowage/provisioner/lifecycle"
	"github.com/stowage-sh/stowage/provisioner/state"
	v1 "github.com/stowage-sh/stowage/provisioner/v1"
)

// How long a node that has joined stays closed.
const (
	// unreadyHold is the most for a node that is not Ready: a DaemonSet that it
	// waits for may not tolerate our taint.
	unreadyHold = 30 * time.Second
	// spreadHold is the most for a node that is Ready and waits for others of its
	// batch: what that costs is this much time, what it saves a second batch.
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
//   - Of the other nodes of a batch, those with pods of higher priority open first:
//     nominations keep no room from such pods, and kube-scheduler tries them first.
//
// A node with startup taints is not kept: others open it, who may need it
// without ours.
func (c *Controller) Hold(now time.Time, claim *v1.NodeClaim, node *corev1.Node) (wait time.Duration, why string) {
	if len(claim.Spec.StartupTaints) > 0 {
		return 0, ""
	}
	if !lifecycle.NodeReady(node) {
		return max(0, unreadyHold-now.Sub(node.CreationTimestamp.Time)), "it is not Ready"
	}
	s := c.Cluster.Snapshot()
	until := readySince(node).Add(spreadHold)
	batch := batchOf(s, claim.Name)
	if batch.IsZero() {
		if !outranked(s, claim.Name) {
			return 0, ""
		}
		return max(0, until.Sub(now)), "nodes of its batch with pods of higher priority open first"
	}
	if opens, ok := c.named.opens(batch, now); ok && opens.Before(until) {
		until = opens
	}
	// Who is awaited is left out: it changes with each node that comes, and every
	// NodeClaim of the batch would be written anew for it.
	return max(0, until.Sub(now)), "its pods spread over domains, and the nodes of their batch open together"
}

// batchOf returns when the batch was decided whose nodes the one of a NodeClaim
// opens with: that of the first of its pods which spread over domains. It is zero
// for a node that waits for nobody.
func batchOf(s *state.Snapshot, claim string) time.Time {
	var first time.Time
	for _, uid := range s.PlannedFor(claim) {
		if p := s.Plans[uid]; p.Spread && (first.IsZero() || p.At.Before(first)) {
			first = p.At
		}
	}
	return first
}

// A gathering is the NodeClaims for which pods were planned in one batch.
type gathering struct {
	// claims says by name whether any of these pods spread over domains.
	claims map[string]bool
	// late tells that the node of one of them is still awaited.
	late bool
}

// gatherings returns those of all plans, by when they were decided. It takes time
// in proportion to the plans, so a Step asks once.
func gatherings(s *state.Snapshot) map[time.Time]*gathering {
	all := map[time.Time]*gathering{}
	for _, p := range s.Plans {
		if p.NodeClaim == "" {
			continue
		}
		if all[p.At] == nil {
			all[p.At] = &gathering{claims: map[string]bool{}}
		}
		all[p.At].claims[p.NodeClaim] = all[p.At].claims[p.NodeClaim] || p.Spread
	}
	for _, g := range all {
		for name, spread := range g.claims {
			g.late = g.late || late(s, name, spread)
		}
	}
	return all
}

// late reports whether a NodeClaim is still to become a node that is Ready. One
// that waits for nobody, since its pods do not spread, is to be open too: each node
// that opens makes kube-scheduler try all pods again, and erase the nominations to
// nodes that are closed. What will never be a node is not late.
func late(s *state.Snapshot, name string, spread bool) bool {
	claim, ok := s.NodeClaims.Get(name)
	if !ok || claim.DeletionTimestamp != nil {
		return false
	}
	node, ok := s.NodeOf(claim)
	return !ok || !lifecycle.NodeReady(node) || !spread && hasOwnTaint(node)
}

// outranked reports whether another node is still to open that was decided in a batch
// with a NodeClaim's pods, and that a pod is planned for whose priority is higher than
// any of theirs. Nodes that open together are left out, since they wait for this one.
func outranked(s *state.Snapshot, claim string) bool {
	top := s.Expected(claim).Priority
	batches := map[time.Time]bool{}
	for _, uid := range s.PlannedFor(claim) {
		batches[s.Plans[uid].At] = true
	}
	for batch := range batches {
		for other := range s.PlannedAt(batch) {
			if e := s.Expected(other); e.Priority > top && !e.Spread && late(s, other, false) {
				return true
			}
		}
	}
	return false
}

// readySince tells since when kubelet has said of a node's readiness what it says.
func readySince(node *corev1.Node) time.Time {
	for _, condition := range node.Status.Conditions {
		if condition.Type == corev1.NodeReady {
			return condition.LastTransitionTime.Time
		}
	}
	return time.Time{}
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
	// Nodes are closed for minutes, not hours: nobody asks for those any more.
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
