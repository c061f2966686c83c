package sim

import (
	"slices"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	corev1helpers "k8s.io/component-helpers/scheduling/corev1"
	"k8s.io/component-helpers/scheduling/corev1/nodeaffinity"
)

// bindDelay is kube-scheduler's, from a change to its next round, unless
// World.SchedulerDelay says otherwise.
const bindDelay = 100 * time.Millisecond

func (k *kubernetes) soonSchedule() {
	if k.scheduled {
		return
	}
	k.scheduled = true
	delay := bindDelay
	if k.w.SchedulerDelay > 0 {
		delay = k.w.SchedulerDelay
	}
	k.w.After(delay, k.schedule)
}

// retries reports whether a change of a pod makes kube-scheduler look at those that
// wait: it is new, or gives room back. What is written into the status of one that was
// tried already does not, or each nomination would end by being tried.
func (k *kubernetes) retries(p *corev1.Pod) bool {
	if p.Spec.NodeName != "" {
		return ended(p)
	}
	if k.w.Now.Sub(p.CreationTimestamp.Time) < time.Second { // API timestamps are in whole seconds
		return true
	}
	return !slices.ContainsFunc(p.Status.Conditions, func(c corev1.PodCondition) bool { return c.Type == corev1.PodScheduled })
}

// A round of kube-scheduler: what is free on each node, and for whom it is kept.
type round struct {
	nodes     []*corev1.Node
	free      map[string]corev1.ResourceList
	nominated map[string][]*corev1.Pod // pods without a node, by the node that they are nominated to
}

func (k *kubernetes) newRound(nodes []*corev1.Node, pods []*corev1.Pod) *round {
	r := &round{nodes: nodes, free: map[string]corev1.ResourceList{}, nominated: map[string][]*corev1.Pod{}}
	for _, n := range nodes {
		r.free[n.Name] = n.Status.Allocatable.DeepCopy()
	}
	for _, p := range pods {
		if ended(p) {
			continue
		}
		if list, ok := r.free[p.Spec.NodeName]; ok {
			take(list, k.requestsOf(p))
		}
		if on := p.Status.NominatedNodeName; on != "" && p.Spec.NodeName == "" && p.DeletionTimestamp == nil {
			r.nominated[on] = append(r.nominated[on], p)
		}
	}
	return r
}

// schedule binds every pending pod to the node that it is nominated to, or else
// to any that it fits, and says of the others that they cannot be placed: then a
// nomination is gone. Pods come in an order that nobody can rely on.
func (k *kubernetes) schedule() {
	k.scheduled = false
	pods := stored[*corev1.Pod](k.w.API)
	waiting := slices.DeleteFunc(slices.Clone(pods), func(p *corev1.Pod) bool {
		return p.Spec.NodeName != "" || p.DeletionTimestamp != nil || ended(p) || len(p.Spec.SchedulingGates) > 0
	})
	if len(waiting) == 0 {
		return
	}
	k.w.Rand.Shuffle(len(waiting), func(i, j int) { waiting[i], waiting[j] = waiting[j], waiting[i] })
	r := k.newRound(stored[*corev1.Node](k.w.API), pods)
	for _, p := range waiting {
		node := k.place(r, p)
		if on := p.Status.NominatedNodeName; on != "" { // bound, or in vain
			r.nominated[on] = slices.DeleteFunc(r.nominated[on], func(q *corev1.Pod) bool { return q.UID == p.UID })
		}
		if node != "" {
			take(r.free[node], k.requestsOf(p))
		}
		if node == "" && p.Status.NominatedNodeName == "" && isUnschedulable(p) {
			continue // it says so already, as most do
		}
		Update(k.w.API, p, func(p *corev1.Pod) {
			p.Spec.NodeName = node
			p.Status.NominatedNodeName = ""
			if node == "" {
				setPodCondition(p, corev1.PodScheduled, corev1.ConditionFalse, corev1.PodReasonUnschedulable, k.w.Now)
				return
			}
			setPodCondition(p, corev1.PodScheduled, corev1.ConditionTrue, "", k.w.Now)
		})
	}
}

// isUnschedulable reports whether a pod says that it was tried in vain.
func isUnschedulable(p *corev1.Pod) bool {
	return slices.ContainsFunc(p.Status.Conditions, func(c corev1.PodCondition) bool {
		return c.Type == corev1.PodScheduled && c.Status == corev1.ConditionFalse && c.Reason == corev1.PodReasonUnschedulable
	})
}

// place finds a pod's node. Devices that a pod claims are nobody's here, so such
// a pod has none.
func (k *kubernetes) place(r *round, p *corev1.Pod) string {
	if len(p.Spec.ResourceClaims) > 0 {
		return ""
	}
	var fitting []*corev1.Node
	for _, n := range r.nodes {
		if n.Spec.Unschedulable || !fits(r.left(n, p), k.requestsOf(p)) || !welcome(p, n) {
			continue
		}
		if n.Name == p.Status.NominatedNodeName {
			return n.Name
		}
		fitting = append(fitting, n)
	}
	if len(fitting) == 0 {
		return ""
	}
	if k.w.LeastAllocated {
		return r.emptiest(fitting).Name
	}
	return fitting[k.w.Rand.IntN(len(fitting))].Name
}

// emptiest is the node with the largest part of its cpus and memory free, as kube-scheduler's score
// NodeResourcesFit has it by default.
func (r *round) emptiest(nodes []*corev1.Node) (best *corev1.Node) {
	most := -1.0
	for _, n := range nodes {
		part := 0.0
		for _, name := range []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory} {
			free, all := r.free[n.Name][name], n.Status.Allocatable[name]
			part += free.AsApproximateFloat64() / all.AsApproximateFloat64()
		}
		if part > most {
			best, most = n, part
		}
	}
	return best
}

// left is what is free on a node for a pod, as if the others that are nominated
// to it, and are no less important, were there already.
func (r *round) left(n *corev1.Node, p *corev1.Pod) corev1.ResourceList {
	free := r.free[n.Name]
	if len(r.nominated[n.Name]) == 0 {
		return free
	}
	free = free.DeepCopy()
	for _, q := range r.nominated[n.Name] {
		if q.UID != p.UID && corev1helpers.PodPriority(q) >= corev1helpers.PodPriority(p) {
			take(free, requests(q))
		}
	}
	return free
}

// welcome reports whether a pod's selectors and tolerations allow a node.
func welcome(p *corev1.Pod, n *corev1.Node) bool {
	for _, taint := range n.Spec.Taints {
		if taint.Effect != corev1.TaintEffectPreferNoSchedule && !tolerates(p, taint) {
			return false
		}
	}
	ok, err := nodeaffinity.GetRequiredNodeAffinity(p).Match(n)
	return ok && err == nil
}

func tolerates(p *corev1.Pod, taint corev1.Taint) bool {
	return slices.ContainsFunc(p.Spec.Tolerations, func(t corev1.Toleration) bool { return t.ToleratesTaint(logr.Discard(), &taint, true) })
}

// requestsOf is requests, which are summed once for each version of a pod: the API never modifies
// what it keeps.
func (k *kubernetes) requestsOf(p *corev1.Pod) corev1.ResourceList {
	sum, ok := k.requests[p]
	if !ok {
		if k.requests == nil || len(k.requests) > 4000 { // most are of versions that are gone
			k.requests = map[*corev1.Pod]corev1.ResourceList{}
		}
		sum = requests(p)
		k.requests[p] = sum
	}
	return sum
}

// requests sums what the pod's containers ask for, and counts the pod itself.
func requests(p *corev1.Pod) corev1.ResourceList {
	sum := corev1.ResourceList{corev1.ResourcePods: *resource.NewQuantity(1, resource.DecimalSI)}
	for _, c := range p.Spec.Containers {
		for name, q := range c.Resources.Requests {
			total := sum[name]
			total.Add(q)
			sum[name] = total
		}
	}
	return sum
}

func fits(free, want corev1.ResourceList) bool {
	for name, q := range want {
		have := free[name]
		if q.Cmp(have) > 0 {
			return false
		}
	}
	return true
}

func take(free, want corev1.ResourceList) {
	for name, q := range want {
		have := free[name]
		have.Sub(q)
		free[name] = have
	}
}
