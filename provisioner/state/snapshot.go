package state

import (
	"cmp"
	"maps"
	"slices"
	"sync"
	"time"

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

// A Snapshot is the cluster at one moment. It is immutable, and so is all that
// it holds: whoever wants to change an object copies it first.
type Snapshot struct {
	// Revision rises with every change that was seen.
	Revision uint64

	Pods       List[*corev1.Pod]
	Nodes      List[*corev1.Node]
	NodeClaims List[*v1.NodeClaim]
	NodePools  List[*v1.NodePool]
	DaemonSets List[*appsv1.DaemonSet]
	Namespaces List[*corev1.Namespace]
	// RuntimeClasses say what is added to the pods of DaemonSets.
	RuntimeClasses List[*nodev1.RuntimeClass]
	Storage        Storage
	Selecting      Selecting
	Buffers        Buffers
	// NodeClasses are all of one kind: there is one cloud.
	NodeClasses List[NodeClass]
	// Plans says where pods without a node are to go, by pod UID.
	Plans map[types.UID]Plan
	// NodeOverlays are none where they are turned off.
	NodeOverlays         List[*v1alpha1.NodeOverlay]
	PodDisruptionBudgets List[*policyv1.PodDisruptionBudget]

	podsByNode      map[string][]*corev1.Pod
	claimByProvider map[string]*v1.NodeClaim
	nodeByProvider  map[string]*corev1.Node
	plannedFor      func() map[string][]types.UID
}

// A Plan is the place decided for a pod that kube-scheduler has not bound yet, or that
// has to leave its node, or for headroom: a NodeClaim of ours, or else an existing Node.
type Plan struct {
	NodeClaim, Node string
	// At is when it was decided: the same for all that was decided together.
	At time.Time
	// Spread tells that the pod has a hard spread over more than hostnames, so
	// that where it may go depends on where its like went before.
	Spread bool
	// Priority is the pod's.
	Priority int32
	// Move is of a pod that runs yet; zero for one that waits.
	Move Move
	// Headroom is of room for which there is no pod; zero for a pod's place.
	Headroom Headroom
}

// Headroom says for whom room is kept free, to which no pod of its own is to come.
type Headroom struct {
	// Buffer names the CapacityBuffer.
	Buffer types.NamespacedName
	// From names the NodeClaim on its way out that had the room before; empty if there is none.
	From string
}

// IsHeadroom reports whether no pod is to come to the place: it is room that is kept free.
func (p Plan) IsHeadroom() bool { return p.Headroom.Buffer.Name != "" }

// A Move says from where a pod is to go to its place. It does not go itself: it ends, and
// whoever controls it makes another, which has the place then.
type Move struct {
	// From is the name of the node that the pod is on.
	From string
	// Pod and Owner, its controller's UID, tell who comes after it.
	Pod   types.NamespacedName
	Owner types.UID
}

// PodsOn returns the pods bound to a node, terminal ones included, by name.
func (s *Snapshot) PodsOn(node string) []*corev1.Pod { return s.podsByNode[node] }

// NodeOf returns the Node of a NodeClaim, by provider ID.
func (s *Snapshot) NodeOf(claim *v1.NodeClaim) (*corev1.Node, bool) {
	if claim.Status.ProviderID == "" {
		return nil, false
	}
	n, ok := s.nodeByProvider[claim.Status.ProviderID]
	return n, ok
}

// ClaimOf returns the NodeClaim of a Node, by provider ID.
func (s *Snapshot) ClaimOf(node *corev1.Node) (*v1.NodeClaim, bool) {
	if node.Spec.ProviderID == "" {
		return nil, false
	}
	c, ok := s.claimByProvider[node.Spec.ProviderID]
	return c, ok
}

// NodeClass returns the NodeClass that ref names, not just one of that name.
func (s *Snapshot) NodeClass(ref cloudprovider.NodeClassRef) (NodeClass, bool) {
	class, ok := s.NodeClasses.Get(ref.Name)
	return class, ok && class.Ref() == ref
}

// Leaving reports whether a machine is on its way out, or is to be: its NodeClaim or Node
// is being deleted, or the NodeClaim was chosen for disruption. Its pods need another place.
func (s *Snapshot) Leaving(claim *v1.NodeClaim) bool {
	if claim.DeletionTimestamp != nil || v1.IsTrue(claim.Status.Conditions, v1.ConditionDisruptionReason) {
		return true
	}
	node, ok := s.NodeOf(claim)
	return ok && node.DeletionTimestamp != nil
}

// PlannedFor returns the UIDs of the pods planned for a NodeClaim, sorted, without those that
// are to move there and without headroom.
func (s *Snapshot) PlannedFor(claim string) []types.UID {
	return slices.Sorted(slices.Values(s.plannedFor()[claim]))
}

// SetPlans adds decided places, replacing earlier ones of the same pods.
func (c *Cluster) SetPlans(plans map[types.UID]Plan) {
	c.mu.Lock()
	defer c.mu.Unlock()
	maps.Copy(c.plans, plans)
	c.touchPlans(len(plans) > 0)
}

// DropPlans forgets the decided places of pods: they were bound, or are to be
// decided again.
func (c *Cluster) DropPlans(uids ...types.UID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	before := len(c.plans)
	for _, uid := range uids {
		delete(c.plans, uid)
	}
	c.touchPlans(len(c.plans) != before)
}

func (c *Cluster) touchPlans(changed bool) {
	if changed {
		c.frozenPlans = nil
	}
	c.touch(changed)
}

// freezePlans copies the plans if they changed since the last snapshot. Most
// snapshots are never asked what was planned for a NodeClaim, so the index waits
// for somebody who does.
func (c *Cluster) freezePlans() {
	if c.frozenPlans != nil {
		return
	}
	plans := maps.Clone(c.plans)
	c.frozenPlans = plans
	c.plannedFor = sync.OnceValue(func() map[string][]types.UID {
		index := map[string][]types.UID{}
		for uid, p := range plans {
			if p.NodeClaim != "" && p.Move.From == "" && !p.IsHeadroom() {
				index[p.NodeClaim] = append(index[p.NodeClaim], uid)
			}
		}
		return index
	})
}

// freeze copies what changed since the last snapshot and shares the rest with it.
func (c *Cluster) freeze() *Snapshot {
	c.freezePlans()
	s := &Snapshot{
		Revision:   c.revision,
		Pods:       c.pods.freeze(),
		Nodes:      c.nodes.freeze(),
		NodeClaims: c.claims.freeze(),
		NodePools:  c.pools.freeze(),
		DaemonSets: c.daemonSets.freeze(),
		Namespaces: c.namespaces.freeze(),

		RuntimeClasses: c.runtimeClasses.freeze(),
		Storage:        c.storage.freeze(),
		Selecting:      c.selecting.freeze(),
		Buffers:        c.buffers.freeze(),
		NodeClasses:    c.classes.freeze(),
		Plans:          c.frozenPlans,
		plannedFor:     c.plannedFor,

		NodeOverlays:         c.overlays.freeze(),
		PodDisruptionBudgets: c.budgets.freeze(),
	}
	if !c.pods.indexed {
		c.podsByNode = map[string][]*corev1.Pod{}
		for _, p := range s.Pods.All() {
			if p.Spec.NodeName != "" {
				c.podsByNode[p.Spec.NodeName] = append(c.podsByNode[p.Spec.NodeName], p)
			}
		}
	}
	if !c.nodes.indexed {
		c.nodeByProvider = map[string]*corev1.Node{}
		for _, n := range s.Nodes.All() {
			c.nodeByProvider[n.Spec.ProviderID] = n
		}
	}
	if !c.claims.indexed {
		c.claimByProvider = map[string]*v1.NodeClaim{}
		for _, n := range s.NodeClaims.All() {
			c.claimByProvider[n.Status.ProviderID] = n
		}
	}
	c.pods.indexed, c.nodes.indexed, c.claims.indexed = true, true, true
	s.podsByNode, s.nodeByProvider, s.claimByProvider = c.podsByNode, c.nodeByProvider, c.claimByProvider
	return s
}

// A List is an immutable set of objects of one kind, ordered by namespace and
// name.
type List[T client.Object] struct {
	sorted []T
	byKey  map[types.NamespacedName]T
}

// All returns the objects in order. The caller must not modify the slice.
func (l List[T]) All() []T { return l.sorted }

// Len returns the number of objects.
func (l List[T]) Len() int { return len(l.sorted) }

// Get finds a cluster-scoped object by name.
func (l List[T]) Get(name string) (T, bool) {
	return l.Namespaced("", name)
}

// Namespaced finds an object by namespace and name.
func (l List[T]) Namespaced(namespace, name string) (T, bool) {
	o, ok := l.byKey[types.NamespacedName{Namespace: namespace, Name: name}]
	return o, ok
}

// A table is the live form of a List: it is copied when it is frozen after a
// change, and only then.
type table[T client.Object] struct {
	live    map[types.NamespacedName]T
	frozen  *List[T] // nil when live changed since
	indexed bool     // whether the cluster's index was made from frozen
}

func (t *table[T]) put(o T) bool {
	key := client.ObjectKeyFromObject(o)
	if old, ok := t.live[key]; ok && !newer(old, o) {
		return false
	}
	if t.live == nil {
		t.live = map[types.NamespacedName]T{}
	}
	t.live[key] = o
	t.frozen, t.indexed = nil, false
	return true
}

func (t *table[T]) remove(o T) bool {
	key := client.ObjectKeyFromObject(o)
	if old, ok := t.live[key]; !ok || old.GetUID() != o.GetUID() {
		return false
	}
	delete(t.live, key)
	t.frozen, t.indexed = nil, false
	return true
}

func (t *table[T]) freeze() List[T] {
	if t.frozen == nil {
		sorted := slices.SortedFunc(maps.Values(t.live), func(a, b T) int {
			return cmp.Or(cmp.Compare(a.GetNamespace(), b.GetNamespace()), cmp.Compare(a.GetName(), b.GetName()))
		})
		t.frozen = &List[T]{sorted: sorted, byKey: maps.Clone(t.live)}
	}
	return *t.frozen
}
