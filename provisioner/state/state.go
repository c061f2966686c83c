// Package state is the cluster as Stowage sees it: Kubernetes objects go in as
// watches deliver them, and an immutable numbered [Snapshot] comes out.
//
// Its laws: nothing in a snapshot is ever modified, by anyone; taking one copies nothing, and
// a change takes logarithmic time; an object never goes back to an
// older version, so what Stowage itself wrote is in the next snapshot even when
// the watch is late (see [Recorded]). It decides nothing.
package state

import (
	"strconv"
	"sync"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	nodev1 "k8s.io/api/node/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stowage-sh/stowage/cloudprovider"
	v1 "github.com/stowage-sh/stowage/provisioner/v1"
	"github.com/stowage-sh/stowage/provisioner/v1alpha1"
)

// A Cluster takes in objects and gives out snapshots. Its methods may be called
// by many goroutines at once; none waits for anything but its own short lock.
type Cluster struct {
	mu       sync.Mutex
	revision uint64
	last     *Snapshot // nil when something changed since

	pods           table[*corev1.Pod]
	nodes          table[*corev1.Node]
	claims         table[*v1.NodeClaim]
	pools          table[*v1.NodePool]
	daemonSets     table[*appsv1.DaemonSet]
	namespaces     table[*corev1.Namespace]
	selecting      selecting
	buffers        buffers
	runtimeClasses table[*nodev1.RuntimeClass]
	overlays       table[*v1alpha1.NodeOverlay]
	classes        table[NodeClass]
	budgets        table[*policyv1.PodDisruptionBudget]
	storage        storageTables
	gone           tombstones

	// What follows the tables of pods, nodes and claims.
	unbound         subset[*corev1.Pod]
	podsByNode      grouping[*corev1.Pod]
	claimByProvider grouping[*v1.NodeClaim]
	nodeByProvider  grouping[*corev1.Node]
	claimsByPool    grouping[*v1.NodeClaim]
	going           subset[*v1.NodeClaim]
	deletedNodes    subset[*corev1.Node]

	plans       Plans
	frozenPlans *Plans // nil when plans changed since the last snapshot
}

// A NodeClass is an object of the cloud's own kind that NodePools refer to: what
// the provisioner needs to know of one, whatever its cloud.
type NodeClass interface {
	client.Object
	// Ref names the object.
	Ref() cloudprovider.NodeClassRef
	// Readiness reports whether machines can be launched from it as it is now, and
	// why not.
	Readiness() (ready bool, reason string)
}

// New returns an empty cluster.
func New() *Cluster {
	c := &Cluster{plans: newPlans()}
	c.unbound.has = func(p *corev1.Pod) bool { return p.Spec.NodeName == "" }
	c.podsByNode.by = func(p *corev1.Pod) string { return p.Spec.NodeName }
	c.pods.followers = []follower[*corev1.Pod]{&c.unbound, &c.podsByNode}
	c.nodeByProvider.by = func(n *corev1.Node) string { return n.Spec.ProviderID }
	c.deletedNodes.has = func(n *corev1.Node) bool { return n.DeletionTimestamp != nil }
	c.nodes.followers = []follower[*corev1.Node]{&c.nodeByProvider, &c.deletedNodes}
	c.claimByProvider.by = func(n *v1.NodeClaim) string { return n.Status.ProviderID }
	c.claimsByPool.by = func(n *v1.NodeClaim) string { return n.Labels[v1.LabelNodePool] }
	c.going.has = isGoing
	c.claims.followers = []follower[*v1.NodeClaim]{&c.claimByProvider, &c.claimsByPool, &c.going}
	return c
}

// Observe takes in an object that was added, changed or written. An object that
// is older than what is known, or known to be gone, changes nothing. Kinds that
// nobody reads are ignored. The caller must not modify obj afterwards.
func (c *Cluster) Observe(obj client.Object) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.gone.has(obj.GetUID()) {
		return
	}
	changed := false
	switch o := obj.(type) {
	case *corev1.Pod:
		changed = c.pods.put(o)
	case *corev1.Node:
		changed = c.nodes.put(o)
	case *v1.NodeClaim:
		changed = c.claims.put(o)
	case *v1.NodePool:
		changed = c.pools.put(o)
	case *appsv1.DaemonSet:
		changed = c.daemonSets.put(o)
	case *corev1.Namespace:
		changed = c.namespaces.put(o)
	case *nodev1.RuntimeClass:
		changed = c.runtimeClasses.put(o)
	case *v1alpha1.NodeOverlay:
		changed = c.overlays.put(o)
	case *policyv1.PodDisruptionBudget:
		changed = c.budgets.put(o)
	case NodeClass:
		changed = c.classes.put(o)
	default:
		changed = c.storage.put(o) || c.selecting.put(o) || c.buffers.put(o)
	}
	c.touch(changed)
}

// Forget takes out an object that is gone. One of the same name with another UID
// stays.
func (c *Cluster) Forget(obj client.Object) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.gone.add(obj.GetUID())
	changed := false
	switch o := obj.(type) {
	case *corev1.Pod:
		if c.plans.Of(o.UID).Move.From == "" { // else another comes after it
			c.touchPlans(c.plans.drop(o.UID))
		}
		changed = c.pods.remove(o)
	case *corev1.Node:
		changed = c.nodes.remove(o)
	case *v1.NodeClaim:
		changed = c.claims.remove(o)
	case *v1.NodePool:
		changed = c.pools.remove(o)
	case *appsv1.DaemonSet:
		changed = c.daemonSets.remove(o)
	case *corev1.Namespace:
		changed = c.namespaces.remove(o)
	case *nodev1.RuntimeClass:
		changed = c.runtimeClasses.remove(o)
	case *v1alpha1.NodeOverlay:
		changed = c.overlays.remove(o)
	case *policyv1.PodDisruptionBudget:
		changed = c.budgets.remove(o)
	case NodeClass:
		changed = c.classes.remove(o)
	default:
		changed = c.storage.remove(o) || c.selecting.remove(o) || c.buffers.remove(o)
	}
	c.touch(changed)
}

func (c *Cluster) touch(changed bool) {
	if changed {
		c.revision++
		c.last = nil
	}
}

// Snapshot returns the cluster as it is now. It costs the same however large the cluster is, and
// nothing when nothing changed since the last call.
func (c *Cluster) Snapshot() *Snapshot {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.last == nil {
		c.last = c.freeze()
	}
	return c.last
}

// newer reports whether next should replace old: another object of the same
// name, or a later version of the same. Resource versions of one object are
// integers that rise (Kubernetes API conventions since 1.35); one that is no
// integer counts as newer, so that nothing is ever stuck.
func newer(old, next client.Object) bool {
	if old.GetUID() != next.GetUID() {
		return true
	}
	was, err1 := strconv.ParseUint(old.GetResourceVersion(), 10, 64)
	is, err2 := strconv.ParseUint(next.GetResourceVersion(), 10, 64)
	return err1 != nil || err2 != nil || is > was
}

// tombstones remembers the UIDs of the last objects that went, so that an answer
// to a write that arrives after the watch has told of the end does not bring the
// object back. It is a ring: a write is answered long before it comes round.
type tombstones struct {
	set  map[types.UID]struct{}
	ring [4096]types.UID
	next int
}

func (t *tombstones) add(uid types.UID) {
	if uid == "" || t.has(uid) {
		return
	}
	if t.set == nil {
		t.set = map[types.UID]struct{}{}
	}
	delete(t.set, t.ring[t.next])
	t.ring[t.next] = uid
	t.set[uid] = struct{}{}
	t.next = (t.next + 1) % len(t.ring)
}

func (t *tombstones) has(uid types.UID) bool {
	_, ok := t.set[uid]
	return ok
}
