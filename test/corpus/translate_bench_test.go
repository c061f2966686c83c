package corpus

import (
	"fmt"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/stowage-sh/stowage/cloudprovider"
	"github.com/stowage-sh/stowage/provisioner/problem"
	"github.com/stowage-sh/stowage/provisioner/state"
	v1 "github.com/stowage-sh/stowage/provisioner/v1"
)

// everything is a market of the whole embedded catalog, on demand and as spot.
func everything(tb testing.TB) *Market {
	tb.Helper()
	m, err := Embedded("", Options{})
	if err != nil {
		tb.Fatal(err)
	}
	m.Pool = pool(v1.Requirement{Key: v1.LabelCapacityType, Operator: corev1.NodeSelectorOpIn, Values: []string{cloudprovider.OnDemand, cloudprovider.Spot}})
	return m.watched()
}

// apps are n pods of 1,000 Deployments, which mind what those of MixedConstraints do.
func apps(n int) []*corev1.Pod {
	r := random("apps")
	return deployments(n, "app", func(i int) deployment {
		d := deployment{replicas: n / 1000, shape: constraint(i)}
		d.cpuMilli, d.memory = menu(r)
		return d
	})
}

// running returns the snapshot of a cluster with the market's NodePool and DaemonSets, and as many nodes,
// on which pods of the Deployments of apps run.
func (m *Market) running(nodes, pods int) *state.Snapshot {
	cluster := state.New()
	cluster.Observe(m.Pool)
	for _, d := range m.Daemons {
		cluster.Observe(d)
	}
	for i := range nodes {
		kind := &m.Catalog.InstanceTypes[i%len(m.Catalog.InstanceTypes)]
		n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("node-%04d", i), Labels: map[string]string{}}}
		for key, value := range kind.Labels {
			n.Labels[key] = value
		}
		n.Labels[corev1.LabelHostname], n.Labels[corev1.LabelTopologyZone] = n.Name, fmt.Sprintf("us-east-1%c", 'a'+i%3)
		n.Labels[v1.LabelNodePool], n.Labels[v1.LabelCapacityType] = m.Pool.Name, cloudprovider.OnDemand
		n.Status.Allocatable = problem.Quantities(kind.Allocatable)
		n.Spec.ProviderID = "aws:///" + n.Name
		claim := &v1.NodeClaim{ObjectMeta: metav1.ObjectMeta{Name: "claim-" + n.Name, Labels: n.Labels}}
		claim.Status.ProviderID = n.Spec.ProviderID
		claim.Status.Capacity, claim.Status.Allocatable = problem.Quantities(kind.Capacity), n.Status.Allocatable
		claim.Status.Conditions = []metav1.Condition{{Type: v1.ConditionRegistered, Status: metav1.ConditionTrue}, {Type: v1.ConditionInitialized, Status: metav1.ConditionTrue}}
		cluster.Observe(n)
		cluster.Observe(claim)
	}
	if nodes == 0 {
		return cluster.Snapshot()
	}
	for i, p := range apps(pods) {
		p.Name, p.UID = "running-"+p.Name, "running-"+p.UID
		p.Spec.NodeName = fmt.Sprintf("node-%04d", i%nodes)
		c := &p.Spec.Containers[0]
		c.Image = "image"
		p.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: c.Name, Resources: &c.Resources, AllocatedResources: c.Resources.Requests}}
		_, _ = state.Slim(p) // as the controller's cache does; it returns no error
		cluster.Observe(p)
	}
	return cluster.Snapshot()
}

// BenchmarkTranslate is what stands between a snapshot and a problem, on the whole catalog. Nothing
// may grow with pods × nodes: twice as many of either takes at most twice as long.
func BenchmarkTranslate(b *testing.B) {
	m := everything(b)
	for _, c := range []struct{ pods, nodes, running int }{
		{10000, 0, 0}, {20000, 0, 0}, {10000, 2000, 50000}, {20000, 2000, 50000}, {10000, 4000, 50000}, {10000, 4000, 100000}, {20000, 4000, 100000},
	} {
		b.Run(fmt.Sprintf("pods=%d/nodes=%d/running=%d", c.pods, c.nodes, c.running), func(b *testing.B) {
			in := m.Input(apps(c.pods), 0)
			in.Snapshot = m.running(c.nodes, c.running)
			b.ReportAllocs()
			var t *problem.Translation
			for b.Loop() {
				t = problem.Build(in)
			}
			b.ReportMetric(float64(len(t.Problem.Groups)), "groups")
			b.ReportMetric(float64(len(t.Problem.Offers)), "offers")
		})
	}
}
