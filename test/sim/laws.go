package sim

import (
	"fmt"
	"slices"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stowage-sh/stowage/cloudprovider"
	"github.com/stowage-sh/stowage/provisioner/lifecycle"
	"github.com/stowage-sh/stowage/provisioner/problem"
	v1 "github.com/stowage-sh/stowage/provisioner/v1"
)

// NoLostMachine is the law that no machine is paid for, for longer than limit,
// without a NodeClaim that stands for it.
func NoLostMachine(limit time.Duration) func(*World) error {
	since := map[string]time.Time{} // by machine: when it was first seen lost
	return func(w *World) error {
		unwritten, had := map[string]bool{}, map[string]bool{} // claims without a machine, and machines with a claim
		for _, c := range stored[*v1.NodeClaim](w.API) {
			unwritten[string(c.UID)] = c.Status.ProviderID == ""
			had[c.Status.ProviderID] = true
		}
		for _, m := range w.Cloud.machines {
			if had[m.ProviderID] || unwritten[m.request.UID] || m.State == cloudprovider.Stopping || m.State == cloudprovider.Terminated {
				delete(since, m.ID)
				continue
			}
			if _, ok := since[m.ID]; !ok {
				since[m.ID] = w.Now
			}
			if w.Now.Sub(since[m.ID]) > limit {
				return fmt.Errorf("machine %s of NodeClaim %s has been lost for %v", m.ID, m.request.Claim, limit)
			}
		}
		return nil
	}
}

// LaunchedOnce is the law that no NodeClaim ever has two machines that live.
func LaunchedOnce(w *World) error {
	live := map[string]string{}
	for _, m := range w.Cloud.machines {
		if m.State == cloudprovider.Terminated || m.State == cloudprovider.Stopping || m.request.UID == "" { // the last: Karpenter's
			continue
		}
		if other := live[m.request.UID]; other != "" {
			return fmt.Errorf("machines %s and %s were both launched for NodeClaim %s", other, m.ID, m.request.Claim)
		}
		live[m.request.UID] = m.ID
	}
	return nil
}

// LimitsKept is the law that no NodePool's NodeClaims exceed its limits. A
// NodeClaim that is not launched counts by what it asks for.
func LimitsKept(w *World) error {
	for _, pool := range stored[*v1.NodePool](w.API) {
		used := corev1.ResourceList{}
		nodes := int64(0)
		for _, claim := range stored[*v1.NodeClaim](w.API) {
			if claim.Labels[v1.LabelNodePool] != pool.Name {
				continue
			}
			nodes++
			have := claim.Status.Capacity
			if len(have) == 0 {
				have = claim.Spec.Resources.Requests
			}
			for name, q := range have {
				sum := used[name]
				sum.Add(q)
				used[name] = sum
			}
		}
		for name, limit := range pool.Spec.Limits {
			sum := used[name]
			if name == "nodes" {
				sum.Set(nodes)
			}
			if sum.Cmp(limit) > 0 {
				return fmt.Errorf("NodePool %s uses %s of %s, past its limit %s", pool.Name, sum.String(), name, limit.String())
			}
		}
	}
	return nil
}

// ReservedOnce is the law that no more NodeClaims count on a reservation than it has
// machines: those that are yet to be launched and list it, and those whose machine is
// from it. It is for worlds in which the plan makes all NodeClaims.
func ReservedOnce(w *World) error {
	for name, r := range w.Cloud.Catalogue.Reservations {
		counting := map[string]bool{} // UIDs
		launched := map[string]bool{}
		for _, m := range w.Cloud.machines {
			launched[m.request.UID] = true
			if m.Offering.Reservation == name && m.State != cloudprovider.Terminated {
				counting[m.request.UID] = true
			}
		}
		for _, claim := range stored[*v1.NodeClaim](w.API) {
			lists := func(o cloudprovider.Offering) bool { return o.Reservation == name }
			if uid := string(claim.UID); !launched[uid] && slices.ContainsFunc(problem.Offerings(claim), lists) {
				counting[uid] = true
			}
		}
		if int64(len(counting)) > r.Left {
			return fmt.Errorf("%d NodeClaims count on reservation %s, which has %d machines", len(counting), name, r.Left)
		}
	}
	return nil
}

// ReplicasKept is the law that a static NodePool never has more NodeClaims than
// replicas, those aside that are being deleted, and one for each that was chosen for
// disruption in the last minutes. While
// there are too many, since replicas were lowered, there never come to be more; but
// that they were lowered may be heard as late as watches are.
func ReplicasKept() func(*World) error {
	type asked struct {
		replicas int64
		until    time.Time
	}
	last, history := map[string]int64{}, map[string][]asked{} // by pool
	chosen := map[string]time.Time{}                          // claims, and when last
	return func(w *World) error {
		have := map[string]int64{}
		for _, claim := range stored[*v1.NodeClaim](w.API) {
			if v1.IsTrue(claim.Status.Conditions, v1.ConditionDisruptionReason) {
				chosen[claim.Name] = w.Now
			}
			if at, ok := chosen[claim.Name]; claim.DeletionTimestamp == nil && (!ok || w.Now.Sub(at) > 2*time.Minute) {
				have[claim.Labels[v1.LabelNodePool]]++
			}
		}
		for _, pool := range stored[*v1.NodePool](w.API) {
			if pool.Spec.Replicas == nil {
				continue
			}
			h := history[pool.Name]
			if len(h) > 0 { // so many were asked for until just now
				h[len(h)-1].until = w.Now
			}
			h = append(slices.DeleteFunc(h, func(a asked) bool { return w.Now.Sub(a.until) > w.MaxLag }), asked{*pool.Spec.Replicas, w.Now})
			history[pool.Name] = h
			most := last[pool.Name]
			for _, a := range h {
				most = max(most, a.replicas)
			}
			if have[pool.Name] > most {
				return fmt.Errorf("static NodePool %s has %d NodeClaims, its replicas are %d", pool.Name, have[pool.Name], *pool.Spec.Replicas)
			}
		}
		last = have
		return nil
	}
}

// BudgetsKept is the law that no more nodes of a NodePool are in voluntary
// disruption than each of its budgets allows that is a plain number and always
// active. Expiration and interruption ask no budget.
func BudgetsKept(w *World) error {
	disrupted := map[string]int{}
	for _, claim := range stored[*v1.NodeClaim](w.API) {
		c := claim.Status.Conditions
		reason := v1.GetCondition(c, v1.ConditionDisruptionReason)
		if reason != nil && !unbudgeted(reason) && !v1.IsTrue(c, v1.ConditionInstanceTerminating) {
			disrupted[claim.Labels[v1.LabelNodePool]]++
		}
	}
	for _, pool := range stored[*v1.NodePool](w.API) {
		for _, b := range pool.Spec.Disruption.Budgets {
			n, err := strconv.Atoi(b.Nodes)
			if err == nil && b.Schedule == "" && len(b.Reasons) == 0 && disrupted[pool.Name] > n {
				return fmt.Errorf("%d nodes of NodePool %s are disrupted, its budget is %d", disrupted[pool.Name], pool.Name, n)
			}
		}
	}
	return nil
}

// Gentle is the law that no pod is ended that asked not to be: called before each write of the
// process. A pod with do-not-disrupt is not evicted before its node's deadline has come near, and
// pods are deleted only then, or where their machine is gone. The API itself refuses evictions
// against a PodDisruptionBudget.
func (p *Process) Gentle(verb string, obj client.Object) error {
	pod, ok := obj.(*corev1.Pod)
	if !ok || verb != "evict" && verb != "delete" {
		return nil
	}
	current, ok := Get[*corev1.Pod](p.world.API, pod.Namespace, pod.Name)
	if !ok || current.UID != pod.UID {
		return nil
	}
	node, _ := Get[*corev1.Node](p.world.API, "", current.Spec.NodeName)
	switch {
	case node == nil || !p.world.kube.alive(node.Name):
		return nil // there is nobody to be gentle to
	case p.deadlineNear(node, current):
		return nil
	case verb == "delete":
		return fmt.Errorf("pod %s was deleted on node %s, which lives and has no deadline", pod.Name, node.Name)
	case lifecycle.Protected(p.now(), current) && lifecycle.Protected(p.now(), pod): // as far as was known
		return fmt.Errorf("pod %s was evicted in spite of %s", pod.Name, v1.AnnotationDoNotDisrupt)
	}
	return nil
}

// deadlineNear reports whether the deadline of a node's claim leaves a pod no more than its grace.
func (p *Process) deadlineNear(node *corev1.Node, pod *corev1.Pod) bool {
	for _, claim := range stored[*v1.NodeClaim](p.world.API) {
		if claim.Status.ProviderID != node.Spec.ProviderID {
			continue
		}
		at, err := time.Parse(time.RFC3339, claim.Annotations[v1.AnnotationTerminationTimestamp])
		grace := time.Duration(corev1.DefaultTerminationGracePeriodSeconds) * time.Second
		if s := pod.Spec.TerminationGracePeriodSeconds; s != nil {
			grace = time.Duration(*s) * time.Second
		}
		return err == nil && !p.now().Before(at.Add(-grace))
	}
	return false
}

// Budgeted is the law that a node is chosen only if the NodePool's budgets allow one more, as far
// as the process could know: called before each write of the process. It is for budgets that are
// always active, numbers or percentages.
func (p *Process) Budgeted(verb string, obj client.Object) error {
	claim, ok := obj.(*v1.NodeClaim)
	if !ok || verb != "patchStatus" {
		return nil
	}
	s := p.Cluster.Snapshot()
	reason := v1.GetCondition(claim.Status.Conditions, v1.ConditionDisruptionReason)
	old, known := s.NodeClaims.Get(claim.Name)
	pool, found := s.NodePools.Get(claim.Labels[v1.LabelNodePool])
	if reason == nil || unbudgeted(reason) || !known || !found || v1.IsTrue(old.Status.Conditions, v1.ConditionDisruptionReason) {
		return nil
	}
	total, busy := 0, 1
	for _, c := range s.NodeClaims.All() {
		if c.Labels[v1.LabelNodePool] != pool.Name || !v1.IsTrue(c.Status.Conditions, v1.ConditionInitialized) || v1.IsTrue(c.Status.Conditions, v1.ConditionInstanceTerminating) {
			continue
		}
		total++
		if c.DeletionTimestamp != nil || v1.IsTrue(c.Status.Conditions, v1.ConditionDisruptionReason) {
			busy++
		}
	}
	for _, b := range pool.Spec.Disruption.Budgets {
		if b.Schedule != "" || len(b.Reasons) > 0 && !slices.Contains(b.Reasons, v1.DisruptionReason(reason.Reason)) {
			continue
		}
		limit, err := intstr.GetScaledValueFromIntOrPercent(new(intstr.Parse(b.Nodes)), total, true)
		if err != nil || busy > limit {
			return fmt.Errorf("NodeClaim %s of NodePool %s was chosen as number %d of %d nodes, the budget is %s", claim.Name, pool.Name, busy, total, b.Nodes)
		}
	}
	return nil
}

// unbudgeted reports whether budgets know nothing of a reason of disruption.
func unbudgeted(reason *metav1.Condition) bool {
	return reason.Reason == "Expired" || reason.Reason == "Interrupted"
}

// PlacesReady is the law that a node which drifted, is underutilized, or was interrupted and has time left, goes only
// when each of its pods that will be made anew has another place that is ready: called before each
// write of the process.
func (p *Process) PlacesReady(verb string, obj client.Object) error {
	claim, ok := obj.(*v1.NodeClaim)
	if !ok || verb != "delete" {
		return nil
	}
	s := p.Cluster.Snapshot()
	current, known := s.NodeClaims.Get(claim.Name)
	if !known {
		return nil
	}
	reason := v1.GetCondition(current.Status.Conditions, v1.ConditionDisruptionReason)
	node, joined := s.NodeOf(current)
	if !joined || node.DeletionTimestamp != nil || !lifecycle.NodeReady(node) {
		return nil // by hand, or its machine was lost
	}
	interrupted := v1.GetCondition(current.Status.Conditions, v1.ConditionInterrupted)
	if interrupted == nil && (reason == nil || reason.Reason != string(v1.ReasonDrifted) && reason.Reason != string(v1.ReasonUnderutilized)) || interrupted != nil && p.pressed(current, interrupted, s.PodsOn(node.Name)) {
		return nil // for another reason, or there is no time
	}
	if life, ok := current.Spec.ExpireAfter.Get(); ok && !p.now().Before(current.CreationTimestamp.Add(life)) {
		return nil // it has expired as well
	}
	for _, pod := range s.PodsOn(node.Name) {
		if !lifecycle.Recreated(pod) || lifecycle.Protected(p.now(), pod) {
			continue // it stays till the deadline of the drain, and is planned for then
		}
		plan := s.Plans.Of(pod.UID)
		if target, ok := s.NodeClaims.Get(plan.NodeClaim); plan.Move.From != node.Name || !ok || !v1.IsTrue(target.Status.Conditions, v1.ConditionInitialized) {
			return fmt.Errorf("NodeClaim %s was deleted, and pod %s on its node has no other place that is ready", claim.Name, pod.Name)
		}
	}
	return nil
}

// pressed reports whether an interrupted node has no time left: of the grace periods of its pods the
// longest, and ten seconds, end with it; or it has waited for half an hour, where it has no end.
func (p *Process) pressed(claim *v1.NodeClaim, interrupted *metav1.Condition, pods []*corev1.Pod) bool {
	at, err := time.Parse(time.RFC3339, claim.Annotations[v1.AnnotationTerminationTimestamp])
	if err != nil {
		return p.now().Sub(interrupted.LastTransitionTime.Time) >= 30*time.Minute
	}
	var grace int64
	for _, pod := range pods {
		own := pod.Spec.TerminationGracePeriodSeconds
		switch {
		case !lifecycle.Reschedulable(pod):
		case own == nil:
			grace = max(grace, corev1.DefaultTerminationGracePeriodSeconds)
		default:
			grace = max(grace, *own)
		}
	}
	return !p.now().Before(at.Add(-time.Duration(grace)*time.Second - 10*time.Second))
}
