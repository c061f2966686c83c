package sim

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stowage-sh/stowage/cloudprovider"
	v1 "github.com/stowage-sh/stowage/provisioner/v1"
)

// How long Kubernetes' own parts take.
const (
	startDelay   = time.Second            // kubelet, from bound to running and from deleted to gone
	replaceDelay = 200 * time.Millisecond // ReplicaSets, from a missing pod to a new one
	collectDelay = time.Second            // garbage collection, from an owner's end to its dependents' deletion
	silenceDelay = 40 * time.Second       // from a machine's end to its node being not ready
	orphanDelay  = 40 * time.Second       // from a node's end to its pods' end
	attachDelay  = 200 * time.Millisecond // from a pod's start or end to its volumes' attachment or detachment
)

// kubernetes is the parts of Kubernetes that controllers lean on. They see the
// API without lag.
type kubernetes struct {
	w         *World
	replicas  []*ReplicaSet
	scheduled bool // a round of the scheduler is due
	replacing bool
	weighing  bool // the status of PodDisruptionBudgets is about to be written
	attaching bool
	// deployments that are rolled, by name.
	deployments []string
	requests    map[*corev1.Pod]corev1.ResourceList // see requestsOf
}

// A ReplicaSet keeps Replicas pods like Template.
type ReplicaSet struct {
	// Name and UID of the owner of the pods.
	Name string
	UID  types.UID
	// Replicas may be changed with Scale.
	Replicas int
	// Template of the pods; its name is the ReplicaSet's.
	Template *corev1.Pod

	deployment string // that it belongs to, by name
}

func (k *kubernetes) notice(obj client.Object, gone bool) {
	switch o := obj.(type) {
	case *corev1.Pod:
		k.kubelet(o, gone)
		k.soonReplace()
		k.soonWeigh()
		k.soonAttach(o)
	case *policyv1.PodDisruptionBudget:
		k.soonWeigh()
	case *appsv1.Deployment:
		k.soonReplace()
	case *corev1.Node:
		if gone {
			k.w.After(orphanDelay, func() { k.dropOrphans(o.Name) })
		}
	case *v1.NodeClaim:
		k.adopt(o, gone)
	}
	if gone {
		k.w.After(collectDelay, func() { k.collect(obj.GetUID()) })
	}
	if pod, ok := obj.(*corev1.Pod); !ok || gone || k.retries(pod) {
		k.soonSchedule()
	}
}

// kubelet starts bound pods and ends deleted ones, while its machine lives.
func (k *kubernetes) kubelet(pod *corev1.Pod, gone bool) {
	if gone || pod.Spec.NodeName == "" || !k.alive(pod.Spec.NodeName) {
		return
	}
	switch {
	case pod.DeletionTimestamp != nil:
		grace := time.Duration(*pod.DeletionGracePeriodSeconds) * time.Second
		if k.w.API.Slow == nil || !k.w.API.Slow(pod) {
			grace = min(grace, startDelay)
		}
		k.w.After(grace, func() {
			if k.alive(pod.Spec.NodeName) && (k.w.API.Hold == nil || !k.w.API.Hold(pod)) {
				k.w.API.Remove(pod)
			}
		})
	case pod.Status.Phase == "" || pod.Status.Phase == corev1.PodPending:
		k.w.After(startDelay+k.w.PodDelay, func() {
			Update(k.w.API, pod, func(p *corev1.Pod) {
				if p.DeletionTimestamp != nil || ended(p) {
					return
				}
				p.Status.Phase = corev1.PodRunning
				now := metav1.NewTime(k.w.Now)
				p.Status.StartTime = &now
				setPodCondition(p, corev1.PodReady, corev1.ConditionTrue, "", k.w.Now)
			})
		})
	}
}

// alive reports whether there is a kubelet on a node; one that no cloud made
// always has one.
func (k *kubernetes) alive(node string) bool {
	if m, ok := k.w.Cloud.byNode[node]; ok {
		return m.State != cloudprovider.Terminated
	}
	_, ok := Get[*corev1.Node](k.w.API, "", node)
	return ok
}

// silence makes the node of a dead machine not ready, after a while.
func (k *kubernetes) silence(name string) {
	k.w.After(silenceDelay, func() {
		if node, ok := Get[*corev1.Node](k.w.API, "", name); ok {
			Update(k.w.API, node, func(n *corev1.Node) {
				setReady(n, corev1.ConditionUnknown)
				n.Spec.Taints = append(n.Spec.Taints,
					corev1.Taint{Key: corev1.TaintNodeUnreachable, Effect: corev1.TaintEffectNoSchedule})
			})
		}
	})
}

// dropOrphans ends the pods of a node that is no more.
func (k *kubernetes) dropOrphans(node string) {
	if _, ok := Get[*corev1.Node](k.w.API, "", node); ok {
		return
	}
	for _, pod := range stored[*corev1.Pod](k.w.API) {
		if pod.Spec.NodeName == node {
			k.w.API.Remove(pod)
		}
	}
}

// adopt has a NodeClaim collected that was made for a NodePool which is gone by now.
func (k *kubernetes) adopt(claim *v1.NodeClaim, gone bool) {
	if gone || claim.DeletionTimestamp != nil {
		return
	}
	for _, owner := range claim.OwnerReferences {
		if pool, ok := Get[*v1.NodePool](k.w.API, "", owner.Name); owner.Kind == "NodePool" && (!ok || pool.UID != owner.UID) {
			k.w.After(collectDelay, func() { k.collect(owner.UID) })
		}
	}
}

// collect deletes what an object that is gone owned.
func (k *kubernetes) collect(owner types.UID) {
	for _, obj := range k.w.API.owned() {
		if slices.ContainsFunc(obj.GetOwnerReferences(), func(r metav1.OwnerReference) bool { return r.UID == owner }) {
			_ = k.w.API.Delete(obj) // gone meanwhile is as good
		}
	}
}

// checkDrained fails the world if a machine that is being given back still has a
// pod that had to go first.
func (k *kubernetes) checkDrained(m *machine) {
	now := k.w.Now
	if p := k.w.process(); p != nil { // by whose clock it is judged
		now = p.now()
	}
	if claim, ok := Get[*v1.NodeClaim](k.w.API, "", m.request.Claim); ok && string(claim.UID) == m.request.UID {
		at, err := time.Parse(time.RFC3339, claim.Annotations[v1.AnnotationTerminationTimestamp])
		if err == nil && !now.Before(at) {
			return // out of time: nothing is waited for
		}
	}
	for _, pod := range stored[*corev1.Pod](k.w.API) {
		if m.node != "" && pod.Spec.NodeName == m.node && !ended(pod) && !stays(pod) && !stuck(now, pod) {
			k.w.Fail(fmt.Errorf("machine %s was given back with pod %s/%s on it", m.ID, pod.Namespace, pod.Name))
		}
	}
	k.checkDetached(now, m)
}

func stays(pod *corev1.Pod) bool {
	taint := v1.DisruptedTaint()
	return tolerates(pod, taint) || pod.Annotations[corev1.MirrorPodAnnotationKey] != ""
}

func stuck(now time.Time, pod *corev1.Pod) bool {
	return pod.DeletionTimestamp != nil && now.Sub(pod.DeletionTimestamp.Time) >= time.Minute
}

// AddReplicaSet begins to keep n pods like template, which is not modified.
func (w *World) AddReplicaSet(n int, template *corev1.Pod) *ReplicaSet {
	rs := &ReplicaSet{Name: template.Name, Replicas: n, Template: template.DeepCopy()}
	rs.UID = types.UID(fmt.Sprintf("rs-%d", len(w.kube.replicas)+1))
	w.kube.replicas = append(w.kube.replicas, rs)
	w.kube.soonReplace()
	return rs
}

// Scale changes how many pods a ReplicaSet keeps.
func (w *World) Scale(rs *ReplicaSet, n int) {
	rs.Replicas = n
	w.kube.soonReplace()
}

// PodsOf returns the pods of a ReplicaSet that are not on their way out, by name.
func (w *World) PodsOf(rs *ReplicaSet) []*corev1.Pod {
	var pods []*corev1.Pod
	for _, p := range w.kube.podsOf(rs) {
		pods = append(pods, p.DeepCopy())
	}
	return pods
}

// podsOf is PodsOf without copies.
func (k *kubernetes) podsOf(rs *ReplicaSet) []*corev1.Pod {
	return slices.DeleteFunc(stored[*corev1.Pod](k.w.API), func(p *corev1.Pod) bool {
		owner := metav1.GetControllerOfNoCopy(p)
		return owner == nil || owner.UID != rs.UID || p.DeletionTimestamp != nil || ended(p)
	})
}

func (k *kubernetes) soonReplace() {
	if !k.replacing {
		k.replacing = true
		k.w.After(replaceDelay, k.replace)
	}
}

func (k *kubernetes) replace() {
	k.replacing = false
	k.roll()
	for _, rs := range k.replicas {
		pods := k.podsOf(rs)
		// Pods that have no node yet go first.
		slices.SortStableFunc(pods, func(a, b *corev1.Pod) int {
			return cmp.Compare(min(len(a.Spec.NodeName), 1), min(len(b.Spec.NodeName), 1))
		})
		for i := len(pods); i > rs.Replicas; i-- {
			_ = k.w.API.Delete(pods[len(pods)-i]) // listed just now
		}
		for range rs.Replicas - len(pods) {
			pod := rs.Template.DeepCopy()
			pod.Name, pod.GenerateName = "", rs.Name+"-"
			yes := true
			pod.OwnerReferences = []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: "ReplicaSet", Name: rs.Name, UID: rs.UID, Controller: &yes}}
			if err := k.w.API.Create(pod); err != nil {
				k.soonReplace() // the name is taken: another one next time
			}
		}
	}
}

func ended(p *corev1.Pod) bool {
	return p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed
}

func isReady(p *corev1.Pod) bool {
	return slices.ContainsFunc(p.Status.Conditions, func(c corev1.PodCondition) bool {
		return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue
	})
}

// setPodCondition sets a condition; its time moves with its status.
func setPodCondition(p *corev1.Pod, kind corev1.PodConditionType, status corev1.ConditionStatus, reason string, now time.Time) {
	next := corev1.PodCondition{Type: kind, Status: status, Reason: reason, LastTransitionTime: metav1.NewTime(now.Truncate(time.Second))}
	for i, c := range p.Status.Conditions {
		if c.Type == kind {
			if c.Status != status {
				p.Status.Conditions[i] = next
			}
			return
		}
	}
	p.Status.Conditions = append(p.Status.Conditions, next)
}

func selects(selector *metav1.LabelSelector, set map[string]string) bool {
	for key, value := range selector.MatchLabels {
		if set[key] != value {
			return false
		}
	}
	if len(selector.MatchExpressions) == 0 {
		return true
	}
	s, err := metav1.LabelSelectorAsSelector(selector)
	return err == nil && s.Matches(labels.Set(set))
}

// soonWeigh writes the status of PodDisruptionBudgets, after a moment: evictions do not wait for
// it, but whoever watches them sees no other.
func (k *kubernetes) soonWeigh() {
	if k.weighing {
		return
	}
	k.weighing = true
	k.w.After(replaceDelay, func() {
		k.weighing = false
		for _, b := range stored[*policyv1.PodDisruptionBudget](k.w.API) {
			if allowed := int32(max(0, allowedBy(k.w.API, b))); allowed != b.Status.DisruptionsAllowed || b.Status.ObservedGeneration != b.Generation {
				Update(k.w.API, b, func(b *policyv1.PodDisruptionBudget) {
					b.Status.DisruptionsAllowed, b.Status.ObservedGeneration = allowed, b.Generation
				})
			}
		}
	})
}

// allowedBy computes how many pods a PodDisruptionBudget lets go now.
func allowedBy(a *API, b *policyv1.PodDisruptionBudget) int {
	total, healthy := 0, 0
	for _, p := range stored[*corev1.Pod](a) {
		if p.Namespace != b.Namespace || !selects(b.Spec.Selector, p.Labels) || ended(p) {
			continue
		}
		total++
		if isReady(p) && p.DeletionTimestamp == nil {
			healthy++
		}
	}
	if b.Spec.MinAvailable != nil {
		least, _ := intstr.GetScaledValueFromIntOrPercent(b.Spec.MinAvailable, total, true)
		return healthy - least
	}
	most, _ := intstr.GetScaledValueFromIntOrPercent(b.Spec.MaxUnavailable, total, true)
	return healthy - (total - most)
}
