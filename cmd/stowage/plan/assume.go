package plan

import (
	"cmp"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	awsv1 "github.com/stowage-sh/stowage/cloudprovider/aws/v1"
	"github.com/stowage-sh/stowage/provisioner/lifecycle"
	"github.com/stowage-sh/stowage/provisioner/state"
	v1 "github.com/stowage-sh/stowage/provisioner/v1"
)

// ours reports whether a NodeClass is of the kind that Stowage buys from.
func ours(ref v1.NodeClassReference) bool {
	return ref.Group == awsv1.Group && ref.Kind == awsv1.Kind
}

// assumeClaims gives each Node of a NodePool that came without its NodeClaim one that says what the
// Node says.
func (p *Plan) assumeClaims(c *state.Cluster) {
	s := c.Snapshot()
	var first string
	n := 0
	for _, node := range s.Nodes.All() {
		pool, ok := s.NodePools.Get(node.Labels[v1.LabelNodePool])
		if _, claimed := s.ClaimOf(node); claimed || !ok || !ours(pool.Spec.Template.Spec.NodeClassRef) {
			continue
		}
		first = cmp.Or(first, node.Name)
		n++
		node = assumedNode(node)
		c.Observe(node)
		c.Observe(assumedClaim(pool, node, s.PodsOn(node.Name)))
	}
	if n > 0 {
		p.note("%s without a NodeClaim (%s): one is assumed for each, of its labels", count(n, "node"), first)
	}
}

// assumedNode is a Node as the controller leaves it, which one that was written by hand may not be. A
// Node that says that it is not Ready may have yet to be initialized.
func assumedNode(node *corev1.Node) *corev1.Node {
	node = node.DeepCopy()
	node.ResourceVersion = "" // it takes the other's place
	node.Spec.ProviderID = cmp.Or(node.Spec.ProviderID, "assumed:///"+node.Name)
	if !slices.ContainsFunc(node.Status.Conditions, func(c corev1.NodeCondition) bool {
		return c.Type == corev1.NodeReady && c.Status != corev1.ConditionTrue
	}) {
		node.Labels[v1.LabelInitialized] = "true"
	}
	return node
}

// assumedClaim is the NodeClaim that a Node with some pods would have. Its name is none that an API
// server would take.
func assumedClaim(pool *v1.NodePool, node *corev1.Node, pods []*corev1.Pod) *v1.NodeClaim {
	claim := pool.NewClaim()
	claim.Name, claim.UID = "node/"+node.Name, types.UID("assumed/"+node.Name)
	claim.CreationTimestamp = node.CreationTimestamp
	claim.Annotations = nil // what protects a node is on the Node as well
	for _, key := range []string{corev1.LabelInstanceTypeStable, corev1.LabelTopologyZone, v1.LabelCapacityType} {
		claim.Labels[key] = node.Labels[key]
	}
	claim.Status.ProviderID, claim.Status.NodeName = node.Spec.ProviderID, node.Name
	claim.Status.Capacity, claim.Status.Allocatable = maps.Clone(node.Status.Capacity), maps.Clone(node.Status.Allocatable)
	if len(claim.Status.Capacity) == 0 {
		claim.Status.Capacity = claim.Status.Allocatable
	}
	initialize(claim, node.CreationTimestamp)
	for _, pod := range pods {
		if lifecycle.OwnedByDaemonSet(pod) || lifecycle.Static(pod) {
			continue
		}
		for _, c := range pod.Status.Conditions {
			if c.Type == corev1.PodScheduled && c.LastTransitionTime.After(claim.Status.LastPodEventTime.Time) {
				claim.Status.LastPodEventTime = c.LastTransitionTime
			}
		}
	}
	return claim
}

// initialize says of a NodeClaim that its node has been there since some time; zero is for ever, which
// v1.SetCondition would take for now.
func initialize(claim *v1.NodeClaim, since metav1.Time) {
	for _, kind := range []string{v1.ConditionLaunched, v1.ConditionRegistered, v1.ConditionInitialized} {
		claim.Status.Conditions = append(claim.Status.Conditions, metav1.Condition{Type: kind, Status: metav1.ConditionTrue, Reason: kind, LastTransitionTime: since})
	}
}
