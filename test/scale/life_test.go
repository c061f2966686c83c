package scale_test

import (
	"errors"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	v1 "github.com/stowage-sh/stowage/provisioner/v1"
	"github.com/stowage-sh/stowage/test/sim"
)

// A size of a cluster.
type size struct{ nodes, podsEach, daemonsEach int }

// large is what is measured: 5,000 nodes, 100,000 pods.
var large = size{5000, 20, 4}

// What happens in a second, or every so often.
const (
	pools         = 3
	owners        = 100 // ReplicaSets
	replaced      = 8   // pods of ReplicaSets that end and come again, a second
	jobs          = 2   // pods of Jobs that begin, a second
	statusPeriod  = 5 * time.Minute
	surgePeriod   = 2 * time.Minute
	surgeLifetime = 45 * time.Second
	surgePods     = 20 // of a Deployment that grows, each half a machine
)

// A life is a cluster in which things happen.
type life struct {
	*sim.World
	nodes  []string
	pods   []types.NamespacedName // of ReplicaSets
	surged []types.NamespacedName // that wait for machines
	made   int
}

// populate makes the cluster.
func populate(of size) (*life, error) {
	l := &life{World: sim.Bare(1)}
	var made []*v1.NodePool
	failed := []error{l.API.Create(sim.NodeClass())}
	for i := range pools {
		pool := sim.NodePool(fmt.Sprintf("pool-%d", i))
		pool.Spec.Disruption.ConsolidateAfter = "1m"
		failed = append(failed, l.API.Create(pool))
		made = append(made, pool)
	}
	for i := range of.daemonsEach {
		failed = append(failed, l.API.Create(daemonSet(fmt.Sprintf("agent-%02d", i))))
	}
	for i := range of.nodes {
		failed = append(failed, l.addNode(made[i%pools], i, of))
	}
	return l, errors.Join(failed...)
}

// addNode makes a node that has been there for a while, with its pods.
func (l *life) addNode(pool *v1.NodePool, i int, of size) error {
	c := claim(pool, fmt.Sprintf("%s-old-%05d", pool.Name, i), offering(i))
	if err := l.API.Create(c); err != nil {
		return err
	}
	instance := l.Cloud.Adopt(c, offering(i), c.Status.NodeName)
	sim.Update(l.API, c, func(c *v1.NodeClaim) { c.Status.ProviderID = instance.ProviderID })
	c.Status.ProviderID = instance.ProviderID
	l.nodes = append(l.nodes, c.Status.NodeName)
	failed := []error{l.API.Create(node(c, offering(i)))}
	for j := range of.podsEach {
		owner := ownedBy("ReplicaSet", fmt.Sprintf("web-%02d", (i+j)%owners))
		if j < of.daemonsEach {
			owner = ownedBy("DaemonSet", fmt.Sprintf("agent-%02d", j))
		}
		p := pod(l.name(owner.Name), owner, "450m")
		bind(p, c.Status.NodeName, sim.Start.Add(-time.Hour))
		run(p, sim.Start.Add(-time.Hour))
		failed = append(failed, l.API.Create(p))
		if owner.Kind == "ReplicaSet" {
			l.pods = append(l.pods, keyOf(p))
		}
	}
	return errors.Join(failed...)
}

func (l *life) name(owner string) string {
	l.made++
	return fmt.Sprintf("%s-5d9c7b6f4-%06d", owner, l.made)
}

func keyOf(p *corev1.Pod) types.NamespacedName {
	return types.NamespacedName{Namespace: p.Namespace, Name: p.Name}
}

// begin lets things happen from now on.
func (l *life) begin() {
	for _, name := range l.nodes {
		l.After(time.Duration(l.Rand.Int64N(int64(statusPeriod))), func() { l.report(name) })
	}
	every := func(period time.Duration, what func()) {
		var next func()
		next = func() { what(); l.After(period, next) }
		l.After(period, next)
	}
	every(time.Second/replaced, l.replace)
	every(time.Second/jobs, l.job)
	every(surgePeriod, l.surge)
	every(time.Second, l.schedule)
}

// report is what kubelet writes of its node though nothing changed.
func (l *life) report(name string) {
	n, ok := sim.Get[*corev1.Node](l.API, "", name)
	if !ok {
		return
	}
	sim.Update(l.API, n, func(n *corev1.Node) {
		for i := range n.Status.Conditions {
			n.Status.Conditions[i].LastHeartbeatTime = metav1.NewTime(l.Now)
		}
	})
	l.After(statusPeriod, func() { l.report(name) })
}

// change edits a pod, if it is there.
func (l *life) change(key types.NamespacedName, edit func(*corev1.Pod)) {
	if p, ok := sim.Get[*corev1.Pod](l.API, key.Namespace, key.Name); ok {
		sim.Update(l.API, p, edit)
	}
}

// end deletes a pod; kubelet takes a second.
func (l *life) end(key types.NamespacedName) {
	p, ok := sim.Get[*corev1.Pod](l.API, key.Namespace, key.Name)
	if !ok {
		return
	}
	if err := l.API.Delete(p); err != nil {
		l.Fail(err)
	}
	l.After(time.Second, func() { l.API.Remove(p) })
}

// start makes a pod that finds a place at once, and runs a second later.
func (l *life) start(owner metav1.OwnerReference) types.NamespacedName {
	p := pod(l.name(owner.Name), owner, "450m")
	if err := l.API.Create(p); err != nil {
		l.Fail(err)
	}
	key := keyOf(p)
	l.After(50*time.Millisecond, func() { l.place(key, l.nodes[l.Rand.IntN(len(l.nodes))]) })
	return key
}

// place binds a pod, which runs a second later.
func (l *life) place(key types.NamespacedName, node string) {
	l.change(key, func(p *corev1.Pod) { bind(p, node, l.Now) })
	l.After(time.Second, func() { l.change(key, func(p *corev1.Pod) { run(p, l.Now) }) })
}

// replace ends a pod of a ReplicaSet, which makes another.
func (l *life) replace() {
	i := l.Rand.IntN(len(l.pods))
	old, ok := sim.Get[*corev1.Pod](l.API, l.pods[i].Namespace, l.pods[i].Name)
	if !ok {
		l.Fail(fmt.Errorf("pod %s has gone by itself", l.pods[i]))
		return
	}
	l.end(l.pods[i])
	l.pods[i] = l.start(old.OwnerReferences[0])
}

// job runs a pod for a while.
func (l *life) job() {
	key := l.start(ownedBy("Job", fmt.Sprintf("report-%02d", l.Rand.IntN(100))))
	ran := 10*time.Second + time.Duration(l.Rand.IntN(60))*time.Second
	l.After(ran, func() { l.change(key, func(p *corev1.Pod) { p.Status.Phase = corev1.PodSucceeded }) })
	l.After(ran+time.Minute, func() { l.end(key) })
}

// surge lets a Deployment grow by more than there is room for, and shrink again.
func (l *life) surge() {
	for range surgePods {
		owner := ownedBy("ReplicaSet", "surge-00")
		p := pod(l.name(owner.Name), owner, "7500m")
		if err := l.API.Create(p); err != nil {
			l.Fail(err)
		}
		key := keyOf(p)
		l.After(50*time.Millisecond, func() {
			l.change(key, func(p *corev1.Pod) {
				p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: corev1.PodReasonUnschedulable, LastTransitionTime: metav1.NewTime(l.Now)}}
			})
		})
		l.surged = append(l.surged, key)
		l.After(surgeLifetime, func() { l.end(key) })
	}
}

// schedule binds pods of the surge to the nodes that they are nominated to, once those are open.
func (l *life) schedule() {
	l.surged = slices.DeleteFunc(l.surged, func(key types.NamespacedName) bool {
		p, ok := sim.Get[*corev1.Pod](l.API, key.Namespace, key.Name)
		if !ok || p.Status.NominatedNodeName == "" {
			return !ok
		}
		n, ok := sim.Get[*corev1.Node](l.API, "", p.Status.NominatedNodeName)
		if !ok || len(n.Spec.Taints) > 0 {
			return false
		}
		l.place(key, n.Name)
		return true
	})
}
