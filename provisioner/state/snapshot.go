package state

import (
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	nodev1 "k8s.io/api/node/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/stowage-sh/stowage/cloudprovider"
	v1 "github.com/stowage-sh/stowage/provisioner/v1"
	"github.com/stowage-sh/stowage/provisioner/v1alpha1"
)

// A Snapshot is the cluster at one moment. It is immutable, and so is all that
// it holds: whoever wants to change an object copies it first.
type Snapshot struct {
	// Revision rises with every change that was seen.
	Revision uint64

	Pods List[*corev1.Pod]
	// Unbound are the pods that have no node, those included that have ended or are gated.
	Unbound    List[*corev1.Pod]
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
	// Plans say where pods without a node are to go.
	Plans Plans
	// NodeOverlays are none where they are turned off.
	NodeOverlays         List[*v1alpha1.NodeOverlay]
	PodDisruptionBudgets List[*policyv1.PodDisruptionBudget]

	podsByNode      groups[*corev1.Pod]
	claimByProvider groups[*v1.NodeClaim]
	nodeByProvider  groups[*corev1.Node]
	claimsByPool    groups[*v1.NodeClaim]
	going           List[*v1.NodeClaim] // of themselves; see Leaving
	deletedNodes    List[*corev1.Node]
}

// PodsOn returns the pods bound to a node, terminal ones included, by namespace and name. The
// caller must not modify the slice, which is the same as in the snapshot before if none of them
// changed.
func (s *Snapshot) PodsOn(node string) []*corev1.Pod { return s.podsByNode.of(node) }

// ClaimsOf returns the NodeClaims of a NodePool, those being deleted included, by name. The caller
// must not modify the slice.
func (s *Snapshot) ClaimsOf(pool string) []*v1.NodeClaim { return s.claimsByPool.of(pool) }

// NodeOf returns the Node of a NodeClaim, by provider ID.
func (s *Snapshot) NodeOf(claim *v1.NodeClaim) (*corev1.Node, bool) {
	return s.nodeByProvider.first(claim.Status.ProviderID)
}

// ClaimOf returns the NodeClaim of a Node, by provider ID.
func (s *Snapshot) ClaimOf(node *corev1.Node) (*v1.NodeClaim, bool) {
	return s.claimByProvider.first(node.Spec.ProviderID)
}

// NodeClass returns the NodeClass that ref names, not just one of that name.
func (s *Snapshot) NodeClass(ref cloudprovider.NodeClassRef) (NodeClass, bool) {
	class, ok := s.NodeClasses.Get(ref.Name)
	return class, ok && class.Ref() == ref
}

// Leaving reports whether a machine is on its way out, or is to be: its NodeClaim or Node
// is being deleted, or the NodeClaim was chosen for disruption. Its pods need another place.
func (s *Snapshot) Leaving(claim *v1.NodeClaim) bool {
	if isGoing(claim) {
		return true
	}
	node, ok := s.NodeOf(claim)
	return ok && node.DeletionTimestamp != nil
}

// isGoing reports whether a NodeClaim's own word is that its machine is Leaving.
func isGoing(claim *v1.NodeClaim) bool {
	return claim.DeletionTimestamp != nil || v1.IsTrue(claim.Status.Conditions, v1.ConditionDisruptionReason)
}

// AllLeaving returns the NodeClaims that are Leaving, by name, in time proportional to their number.
func (s *Snapshot) AllLeaving() []*v1.NodeClaim {
	all := slices.Clone(s.going.All())
	for _, node := range s.deletedNodes.All() {
		if claim, ok := s.ClaimOf(node); ok && !isGoing(claim) {
			all = append(all, claim)
		}
	}
	slices.SortFunc(all, compareObjects)
	return all
}

// PlannedFor returns the UIDs of the pods planned for a NodeClaim, sorted, without those that
// are to move there and without headroom.
func (s *Snapshot) PlannedFor(claim string) []types.UID {
	return s.Plans.waitingFor(claim)
}

// freeze takes what changed since the last snapshot anew, each in constant time, and shares the
// rest with it.
func (c *Cluster) freeze() *Snapshot {
	return &Snapshot{
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
		Plans:          c.freezePlans(),

		NodeOverlays:         c.overlays.freeze(),
		PodDisruptionBudgets: c.budgets.freeze(),

		Unbound:         c.unbound.freeze(),
		podsByNode:      c.podsByNode.freeze(),
		claimByProvider: c.claimByProvider.freeze(),
		nodeByProvider:  c.nodeByProvider.freeze(),
		claimsByPool:    c.claimsByPool.freeze(),
		going:           c.going.freeze(),
		deletedNodes:    c.deletedNodes.freeze(),
	}
}
