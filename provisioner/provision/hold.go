package provision

import (
	"maps"
	"slices"
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
	// patience is how long nodes that are Ready wait for others of their batch, and
	// longPatience how long where it matters in which order pods come: what that
	// costs is this much time, what it saves is a second batch.
	patience, longPatience = 3 * time.Second, 10 * time.Second
	// nominating is the most that a node waits beyond that for its pods to be nominated.
	nominating = 10 * time.Second
	// accord is from the first node's learning that its round may open to the opening:
	// lifecycle asks Hold at least that often, so by then all have learnt it. And
	// kube-scheduler has heard of the nominations, which it does not read together with
	// nodes.
	accord = time.Second
)

// Hold says how much longer a node that has joined is to be kept closed by our
// own taint, and why, so that the plan comes true:
//
//   - Until it is Ready, for nominations that kube-scheduler reads before it can
//     act on them are erased.
//   - Until its round opens: nodes that were decided together and are Ready open
//     together, once all their pods are nominated. Each node that opens alone
//     makes kube-scheduler try all pods, which erases the nominations to nodes that are
//     closed and lets their pods take the places of others (measured: of 980 pods on 40
//     nodes packed to 98 %, a fifth went elsewhere, and 5 to 15 found no place; opened together
//     2 went elsewhere and one found none).
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
	if len(c.Cluster.Snapshot().PlannedFor(claim.Name)) == 0 || staysClosed(node, claim) {
		return 0, ""
	}
	until := readySince(node).Add(longPatience + nominating)
	if opens, ok := c.rounds.opens(claim.Name, now); ok && opens.Before(until) {
		until = opens
	}
	// Who is awaited is left out: it changes with each node that comes, and every
	// NodeClaim of the batch would be written anew for it.
	return max(0, until.Sub(now)), "it opens together with the nodes of its batch, when their pods have been nominated"
}

// A gathering is the NodeClaims that were first decided on in one batch, and for which
// pods are planned still.
type gathering struct {
	claims map[string]bool
	// patience with those that are not Ready.
	patience time.Duration
}

// gatherings returns those of all plans. It takes time in proportion to the plans, so a
// Step asks once.
func gatherings(s *state.Snapshot) []*gathering {
	decided := map[string]time.Time{}
	for _, p := range s.Plans.All() {
		if at, known := decided[p.NodeClaim]; nominable(p) && (!known || p.At.Before(at)) {
			decided[p.NodeClaim] = p.At
		}
	}
	all, priority := map[time.Time]*gathering{}, map[time.Time]int32{}
	for _, p := range s.Plans.All() {
		if !nominable(p) {
			continue
		}
		at := decided[p.NodeClaim]
		g := all[at]
		if g == nil {
			g = &gathering{map[string]bool{}, patience}
			all[at], priority[at] = g, p.Priority
		}
		g.claims[p.NodeClaim] = true
		// A spread lets pods in domain by domain, which only goes when there is a node in
		// each; and nominations keep no room from pods of higher priority.
		if p.Spread || p.Priority != priority[at] {
			g.patience = longPatience
		}
	}
	return slices.Collect(maps.Values(all))
}

// nominable reports whether a plan is for a pod that can be nominated to a new node: one that is
// on a node cannot be, to another, and for headroom there is none.
func nominable(p state.Plan) bool { return p.NodeClaim != "" && p.Move.From == "" && !p.IsHeadroom() }

// round returns the NodeClaims of a gathering whose nodes are Ready and closed by our own taint
// alone, those left out whose round has been called, and how long they have to wait yet: not at
// all if nobody is awaited any more. What will never be a node is not awaited.
func (g *gathering) round(now time.Time, s *state.Snapshot, called func(string) bool) (closed []string, wait time.Duration) {
	awaited, first := false, now
	for name := range g.claims {
		claim, ok := s.NodeClaims.Get(name)
		if !ok || claim.DeletionTimestamp != nil {
			continue
		}
		node, joined := s.NodeOf(claim)
		switch {
		case !joined || !lifecycle.NodeReady(node) || !opening(node, claim) && !staysClosed(node, claim):
			awaited = true
		case len(claim.Spec.StartupTaints) == 0 && hasOwnTaint(node) && opening(node, claim) && !called(name):
			closed = append(closed, name)
			if since := readySince(node); since.Before(first) {
				first = since
			}
		}
	}
	if awaited {
		wait = max(0, first.Add(g.patience).Sub(now))
	}
	return closed, wait
}

// staysClosed reports whether somebody keeps a node closed by a taint that will not go by itself.
func staysClosed(node *corev1.Node, claim *v1.NodeClaim) bool {
	return slices.ContainsFunc(closing(node, claim), func(t corev1.Taint) bool { return !v1.IsEphemeralTaint(t) })
}

// readySince tells since when kubelet has said of a node's readiness what it says. Its clock may be
// wrong: by that of the API server it is not later than a node is kept closed that is not Ready.
func readySince(node *corev1.Node) time.Time {
	latest := node.CreationTimestamp.Add(unreadyHold)
	for _, condition := range node.Status.Conditions {
		if at := condition.LastTransitionTime.Time; condition.Type == corev1.NodeReady && at.Before(latest) {
			return at
		}
	}
	return latest
}

// rounds says of which NodeClaims the pods have been nominated, and when their nodes open. It
// may be used by many goroutines.
type rounds struct {
	mu sync.Mutex
	of map[string]*round
}

// A round is of the nodes that open together.
type round struct {
	called time.Time
	opens  time.Time // zero until somebody asks
}

// call notes that the pods of some NodeClaims have been nominated: their nodes open together.
func (r *rounds) call(now time.Time, claims ...string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.of == nil {
		r.of = map[string]*round{}
	}
	// Nodes are closed for minutes, not hours: nobody asks for those any more.
	maps.DeleteFunc(r.of, func(_ string, old *round) bool { return now.Sub(old.called) > time.Hour })
	next := &round{called: now}
	for _, name := range claims {
		if _, ok := r.of[name]; !ok {
			r.of[name] = next
		}
	}
}

// called reports whether the pods of a NodeClaim have been nominated.
func (r *rounds) called(claim string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	_, ok := r.of[claim]
	return ok
}

// opens says when the node of a NodeClaim opens, if its pods have been nominated.
func (r *rounds) opens(claim string, now time.Time) (time.Time, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	round, ok := r.of[claim]
	if !ok {
		return time.Time{}, false
	}
	if round.opens.IsZero() {
		round.opens = now.Add(accord)
	}
	return round.opens, true
}
