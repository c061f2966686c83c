package provision

import (
	"fmt"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/stowage-sh/stowage/provisioner/state"
	v1 "github.com/stowage-sh/stowage/provisioner/v1"
)

// BenchmarkHold is a second of a batch of 1,000 nodes and 50,000 pods, of which the last
// node is awaited: one look for whom to nominate, and Hold asked for every node, with a write
// between two of them.
func BenchmarkHold(b *testing.B) {
	now := time.Unix(1_700_000_000, 0)
	c := &Controller{Cluster: state.New()}
	plans := map[types.UID]state.Plan{}
	var claims []*v1.NodeClaim
	var nodes []*corev1.Node
	for i := range 1000 {
		name := fmt.Sprintf("general-%04d", i)
		meta := metav1.ObjectMeta{Name: name, UID: types.UID(name), ResourceVersion: "1"}
		node := &corev1.Node{ObjectMeta: meta, Spec: corev1.NodeSpec{ProviderID: name, Taints: []corev1.Taint{v1.UnregisteredTaint()}}}
		node.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue, LastTransitionTime: metav1.NewTime(now)}}
		if i == 999 {
			node.Status.Conditions[0].Status = corev1.ConditionFalse
		}
		claims = append(claims, &v1.NodeClaim{ObjectMeta: meta, Status: v1.NodeClaimStatus{ProviderID: name}})
		nodes = append(nodes, node)
		c.Cluster.Observe(claims[i])
		c.Cluster.Observe(node)
		for j := range 50 {
			plans[types.UID(fmt.Sprintf("7c0b7e34-2f31-4c8e-9d0a-%06d%06d", i, j))] = state.Plan{NodeClaim: name, At: now, Spread: true}
		}
	}
	c.Cluster.SetPlans(plans)
	version := 1
	b.ReportAllocs()
	for b.Loop() {
		if nodes, _, _ := c.targets(now, c.Cluster.Snapshot()); len(nodes) != 0 {
			b.Fatalf("%d nodes are to be named though one is awaited", len(nodes))
		}
		for i := range claims[:999] {
			version++
			next := *claims[i]
			next.ResourceVersion = fmt.Sprint(version)
			c.Cluster.Observe(&next)
			if wait, _ := c.Hold(now, claims[i], nodes[i]); wait == 0 {
				b.Fatal("a node opens though one is awaited")
			}
		}
	}
}
