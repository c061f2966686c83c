package state

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	v1 "github.com/stowage-sh/stowage/provisioner/v1"
)

// NodeClaimAt returns the NodeClaim of a machine, and NodeNamed a Node, as they
// are now and without a snapshot, for the routing of each of many events.
// Decisions are made from snapshots.
func (c *Cluster) NodeClaimAt(providerID string) (*v1.NodeClaim, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.claimByProvider.live.first(providerID)
}

// NodeNamed returns a Node as it is now; see NodeClaimAt.
func (c *Cluster) NodeNamed(name string) (*corev1.Node, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.nodes.get(types.NamespacedName{Name: name})
}
