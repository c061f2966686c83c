package sim

import (
	"fmt"
	"maps"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/stowage-sh/stowage/cloudprovider"
	"github.com/stowage-sh/stowage/provisioner/headroom"
	"github.com/stowage-sh/stowage/provisioner/lifecycle"
	"github.com/stowage-sh/stowage/provisioner/problem"
	"github.com/stowage-sh/stowage/provisioner/state"
	v1 "github.com/stowage-sh/stowage/provisioner/v1"
)

// process returns the process that lives, if there is one. Worlds have one at a
// time.
func (w *World) process() *Process {
	for _, p := range w.processes {
		if !p.dead {
			return p
		}
	}
	return nil
}

// NoPodForgotten is the law that no pod that could be placed waits for longer than
// limit for its place to be decided: limit is a number of batch windows, and
// what watches are late by. could says of an unschedulable pod whether there
// is anything to place it on now. It is looked at once a second.
func NoPodForgotten(limit time.Duration, could func(*corev1.Pod) bool) func(*World) error {
	since := map[types.UID]time.Time{}
	var last *Process
	var looked time.Time
	return func(w *World) error {
		if w.Now.Sub(looked) < time.Second {
			return nil
		}
		looked = w.Now
		p := w.process()
		if p == nil || p != last { // no process, or one that begins to look now
			last = p
			clear(since)
			return nil
		}
		plans := p.Cluster.Snapshot().Plans
		waits := map[types.UID]bool{}
		for _, pod := range stored[*corev1.Pod](w.API) {
			if _, planned := plans.Get(pod.UID); planned || !problem.Provisionable(pod) || !could(pod) {
				continue
			}
			waits[pod.UID] = true
			if at, ok := since[pod.UID]; !ok {
				since[pod.UID] = w.Now
			} else if w.Now.Sub(at) > limit {
				return fmt.Errorf("pod %s/%s has waited for %v without a place decided", pod.Namespace, pod.Name, limit)
			}
		}
		maps.DeleteFunc(since, func(uid types.UID, _ time.Time) bool { return !waits[uid] })
		return nil
	}
}

// PlannedOnce returns the law that nobody buys twice for a pod: while the machine
// that it is planned for is on its way, it is not planned for another. A process
// that begins knows of no plans, and may decide anew.
func PlannedOnce() func(*World) error {
	was := map[types.UID]state.Plan{}
	var last *Process
	var revision uint64
	return func(w *World) error {
		p := w.process()
		if p == nil || p != last {
			last, revision = p, 0
			clear(was)
			return nil
		}
		s := p.Cluster.Snapshot()
		if s.Revision == revision {
			return nil
		}
		revision = s.Revision
		for _, pod := range s.Pods.All() {
			now, ok := s.Plans.Get(pod.UID)
			if !ok {
				continue // a plan that was dropped counts until there is another
			}
			if now.Move.From != "" {
				delete(was, pod.UID) // its node may stay after all, and go later
				continue
			}
			if old := was[pod.UID].NodeClaim; old != "" && old != now.NodeClaim && w.underWay(old) {
				return fmt.Errorf("pod %s/%s is planned for %s%s while NodeClaim %s is on its way for it", pod.Namespace, pod.Name, now.NodeClaim, now.Node, old)
			}
			was[pod.UID] = now
		}
		return nil
	}
}

// underWay reports whether a NodeClaim may still become a node, and is none yet that
// is open to pods, or as good as: a Ready node is about to open, and whether its places
// are still there is known.
func (w *World) underWay(name string) bool {
	claim, ok := Get[*v1.NodeClaim](w.API, "", name)
	if !ok || claim.DeletionTimestamp != nil {
		return false
	}
	node := w.nodeOf(claim)
	return node == nil && !v1.IsTrue(claim.Status.Conditions, v1.ConditionRegistered) ||
		node != nil && node.DeletionTimestamp == nil && hasTaint(node, v1.TaintUnregistered) && !lifecycle.NodeReady(node)
}

func (w *World) nodeOf(claim *v1.NodeClaim) *corev1.Node {
	for _, n := range stored[*corev1.Node](w.API) {
		if claim.Status.ProviderID != "" && n.Spec.ProviderID == claim.Status.ProviderID {
			return n
		}
	}
	return nil
}

func hasTaint(node *corev1.Node, key string) bool {
	return slices.ContainsFunc(node.Spec.Taints, func(t corev1.Taint) bool { return t.Key == key })
}

// PlansFit is the law that the pods planned for a NodeClaim, headroom included, together
// with those that are bound to it, fit every machine that it may become, as long as it is
// not open to others; and that a NodeClaim is written for some pod, for headroom, or for a
// static NodePool.
func PlansFit() func(*World) error {
	var last *Process
	var revision uint64
	seen := map[types.UID]bool{}
	return func(w *World) error {
		p := w.process()
		if p == nil {
			return nil
		}
		s := p.Cluster.Snapshot()
		if p == last && s.Revision == revision {
			return nil
		}
		fresh := p != last // what it finds was planned by the one before
		last, revision = p, s.Revision
		wanted := map[string]corev1.ResourceList{}
		for _, pod := range slices.Concat(s.Pods.All(), headroom.Pods(headroom.Asks(s))) {
			if plan := s.Plans.Of(pod.UID); plan.NodeClaim != "" && pod.Spec.NodeName == plan.Move.From {
				add(wanted, plan.NodeClaim, requests(pod))
			}
		}
		for _, claim := range s.NodeClaims.All() {
			pool, _ := s.NodePools.Get(claim.Labels[v1.LabelNodePool])
			static := pool != nil && pool.Spec.Replicas != nil
			if w.named[claim.Name] && !static && !fresh && !seen[claim.UID] && wanted[claim.Name] == nil {
				return fmt.Errorf("NodeClaim %s was made for no pod", claim.Name)
			}
			seen[claim.UID] = true
			if err := w.checkRoom(s, claim, wanted[claim.Name]); err != nil {
				return err
			}
		}
		return nil
	}
}

func add(sums map[string]corev1.ResourceList, key string, more corev1.ResourceList) {
	if sums[key] == nil {
		sums[key] = corev1.ResourceList{}
	}
	for name, q := range more {
		sum := sums[key][name]
		sum.Add(q)
		sums[key][name] = sum
	}
}

func (w *World) checkRoom(s *state.Snapshot, claim *v1.NodeClaim, wanted corev1.ResourceList) error {
	if wanted == nil || !w.underWay(claim.Name) {
		return nil
	}
	offerings := problem.Offerings(claim)
	if m := w.Cloud.machineOf(claim.Status.ProviderID); m != nil {
		offerings = []cloudprovider.Offering{m.Offering}
		for _, pod := range s.PodsOn(m.node) {
			if m.node != "" && !ended(pod) {
				return nil // others were quicker; settle sees to it
			}
		}
	}
	for _, o := range offerings {
		if _, allocatable := w.Cloud.roomOf(o); !fits(quantities(allocatable), wanted) {
			return fmt.Errorf("the pods planned for NodeClaim %s do not fit %s", claim.Name, o)
		}
	}
	return nil
}

// NominationsHold is the law that a pod carries a nomination of Stowage's only as long as
// its node may still take the pod, by the plan of the process that lives: or, past that,
// for limit. It is looked at once a second.
func NominationsHold(limit time.Duration) func(*World) error {
	since := map[types.UID]time.Time{} // by pod: when its nomination was first seen to be in vain
	var last *Process
	var looked time.Time
	return func(w *World) error {
		if w.Now.Sub(looked) < time.Second {
			return nil
		}
		looked = w.Now
		p := w.process()
		if p == nil || p != last {
			last = p
			clear(since)
			return nil
		}
		plans := p.Cluster.Snapshot().Plans
		inVain := map[types.UID]bool{}
		for _, pod := range stored[*corev1.Pod](w.API) {
			if !state.Nominated(pod) || pod.Spec.NodeName != "" || w.mayTake(pod.Status.NominatedNodeName, plans.Of(pod.UID).NodeClaim) {
				continue
			}
			inVain[pod.UID] = true
			if at, ok := since[pod.UID]; !ok {
				since[pod.UID] = w.Now
			} else if w.Now.Sub(at) > limit {
				return fmt.Errorf("pod %s/%s has been nominated to %s in vain for %v", pod.Namespace, pod.Name, pod.Status.NominatedNodeName, limit)
			}
		}
		maps.DeleteFunc(since, func(uid types.UID, _ time.Time) bool { return !inVain[uid] })
		return nil
	}
}

// mayTake reports whether a node is that of a NodeClaim which lives.
func (w *World) mayTake(node, claim string) bool {
	c, ok := Get[*v1.NodeClaim](w.API, "", claim)
	if !ok || c.DeletionTimestamp != nil {
		return false
	}
	n := w.nodeOf(c)
	return n != nil && n.Name == node
}
