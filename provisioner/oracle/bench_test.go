package oracle

import (
	"context"
	"fmt"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
)

// BenchmarkCheck judges a plan of 10,000 pods of 200 Deployments on 500 nodes in three zones,
// in which each Deployment has a pod on every tenth node. A third of the pods is constrained: a
// third of those spread over zones, a third keep apart on nodes, a third want a neighbour.
func BenchmarkCheck(b *testing.B) {
	const nodes, apps, replicas = 500, 200, 50
	c := Cluster{}
	for i := range nodes {
		n := node(fmt.Sprintf("node-%d", i), string(rune('a'+i%3)))
		n.Status.Allocatable[corev1.ResourcePods] = *n.Status.Allocatable.Cpu()
		n.Status.Allocatable = corev1.ResourceList{}
		for name, q := range node("", "").Status.Allocatable {
			q.Mul(10)
			n.Status.Allocatable[name] = q
		}
		c.Nodes = append(c.Nodes, n)
	}
	var placements []Placement
	for i := range apps {
		for k := range replicas {
			p := pod(fmt.Sprintf("app-%d-%d", i, k), app(fmt.Sprint("app-", i)))
			selector := *web
			selector.MatchLabels = map[string]string{"app": p.Labels["app"]}
			switch i % 9 {
			case 0:
				spread(1)(p)
				p.Spec.TopologySpreadConstraints[0].LabelSelector = &selector
			case 3:
				apart(corev1.LabelHostname)(p)
				p.Spec.Affinity.PodAntiAffinity.RequiredDuringSchedulingIgnoredDuringExecution[0].LabelSelector = &selector
			case 6:
				near(fmt.Sprint("app-", i+1))(p) // which is on the same nodes
			}
			// What pods of a cluster have each of their own.
			p.Labels["statefulset.kubernetes.io/pod-name"] = p.Name
			p.Spec.Volumes = []corev1.Volume{{Name: "kube-api-access-" + p.Name}}
			p.UID = types.UID(p.Name)
			placements = append(placements, Placement{p, fmt.Sprintf("node-%d", ((i/9*9+i%9/3)*7+k*10)%nodes)})
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		refusals, err := Check(context.Background(), c, placements)
		if err != nil || len(refusals) > 0 {
			b.Fatalf("%v, %d refusals: %v", err, len(refusals), refusals[:min(len(refusals), 3)])
		}
	}
	b.ReportMetric(float64(len(placements)*b.N)/b.Elapsed().Seconds(), "pods/s")
}
