package lifecycle

import (
	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stowage-sh/stowage/provisioner/state"
	v1 "github.com/stowage-sh/stowage/provisioner/v1"
)

// Concerned returns the names of the NodeClaims that a change of obj concerns: it
// says what to reconcile when a watch delivers obj, after c has taken it in. A
// pod, and a volume that is attached, concern the claim of their node only while that drains.
func Concerned(c *state.Cluster, obj client.Object) []string {
	switch o := obj.(type) {
	case *v1.NodeClaim:
		return []string{o.Name}
	case *corev1.Node:
		if claim, ok := c.NodeClaimAt(o.Spec.ProviderID); ok {
			return []string{claim.Name}
		}
	case *corev1.Pod:
		return leavingAs(c, o.Spec.NodeName)
	case *storagev1.VolumeAttachment:
		return leavingAs(c, o.Spec.NodeName)
	}
	return nil
}

// leavingAs returns the name of the claim of a node, if that is being deleted.
func leavingAs(c *state.Cluster, name string) []string {
	node, ok := c.NodeNamed(name)
	if !ok {
		return nil
	}
	if claim, ok := c.NodeClaimAt(node.Spec.ProviderID); ok && claim.DeletionTimestamp != nil {
		return []string{claim.Name}
	}
	return nil
}
