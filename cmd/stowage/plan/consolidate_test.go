package plan_test

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stowage-sh/stowage/cmd/stowage/plan"
	v1 "github.com/stowage-sh/stowage/provisioner/v1"
)

// noon is when plans are made.
var noon = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

// running is a node of a NodePool as a dump without NodeClaims has it.
func running(name, kind, zone, pool string, cpuMilli int64) *corev1.Node {
	n := &corev1.Node{ObjectMeta: meta(name)}
	n.CreationTimestamp = metav1.NewTime(noon.Add(-24 * time.Hour))
	n.Labels = map[string]string{
		corev1.LabelHostname: name, corev1.LabelInstanceTypeStable: kind, corev1.LabelTopologyZone: zone, corev1.LabelArchStable: "amd64",
		corev1.LabelOSStable: "linux", v1.LabelNodePool: pool, v1.LabelCapacityType: "on-demand", v1.LabelInitialized: "true",
	}
	n.Spec.ProviderID = "aws:///" + zone + "/" + name
	n.Status.Allocatable = requests(cpuMilli-90, cpuMilli*35/10).Requests
	n.Status.Allocatable[corev1.ResourcePods] = *resource.NewQuantity(58, resource.DecimalSI)
	return n
}

// randomStanding has nodes of three sizes that are used in part, by workloads that may bind their pods to
// each other, some pods that hold their nodes, a node of no NodePool, one of a type without a price, and
// pods that wait.
func randomStanding(random *rand.Rand) []client.Object {
	objects := []client.Object{pool("default", 1)}
	kinds := []struct {
		name string
		cpu  int64
	}{{"m5.large", 2000}, {"m5.xlarge", 4000}, {"m5.2xlarge", 8000}, {"m0.none", 4000}}
	shapes := make([]*corev1.Pod, 5)
	for w := range shapes {
		shapes[w] = pod("", requests(100+random.Int64N(1200), 100+random.Int64N(3000)))
		shapes[w].Labels = map[string]string{"app": fmt.Sprint(w)}
		shapes[w].OwnerReferences = []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: "ReplicaSet", Name: fmt.Sprint("w", w), UID: "w", Controller: new(true)}}
		like := &metav1.LabelSelector{MatchLabels: shapes[w].Labels}
		switch random.IntN(4) {
		case 0:
			shapes[w].Spec.TopologySpreadConstraints = []corev1.TopologySpreadConstraint{{
				MaxSkew: 2, TopologyKey: corev1.LabelTopologyZone, WhenUnsatisfiable: corev1.DoNotSchedule, LabelSelector: like,
			}}
		case 1:
			shapes[w].Spec.Affinity = &corev1.Affinity{PodAntiAffinity: &corev1.PodAntiAffinity{
				RequiredDuringSchedulingIgnoredDuringExecution: []corev1.PodAffinityTerm{{LabelSelector: like, TopologyKey: corev1.LabelHostname}},
			}}
		}
	}
	made := 0
	next := func(w int) *corev1.Pod {
		p := shapes[w].DeepCopy()
		p.ObjectMeta.Name, p.UID = fmt.Sprintf("pod-%d", made), meta(fmt.Sprintf("pod-%d", made)).UID
		made++
		return p
	}
	for i := range 4 + random.IntN(12) {
		kind := kinds[random.IntN(len(kinds))]
		n := running(fmt.Sprintf("ip-%d", i), kind.name, []string{"eu-west-1a", "eu-west-1b", "eu-west-1c"}[random.IntN(3)], "default", kind.cpu)
		if random.IntN(8) == 0 {
			delete(n.Labels, v1.LabelNodePool)
		}
		objects = append(objects, n)
		for _, w := range random.Perm(len(shapes))[:random.IntN(4)] {
			p := next(w)
			p.Spec.NodeName, p.Status.Phase, p.Status.Conditions = n.Name, corev1.PodRunning, nil
			if random.IntN(12) == 0 {
				p.Annotations = map[string]string{v1.AnnotationDoNotDisrupt: "true"}
			}
			objects = append(objects, p)
		}
	}
	for range random.IntN(4) {
		objects = append(objects, next(random.IntN(len(shapes))))
	}
	return objects
}

func consolidated(t *testing.T, objects []client.Object, m plan.Market) (*plan.Plan, []byte) {
	t.Helper()
	p, err := plan.Make(t.Context(), plan.Input{Objects: objects, Market: m, Now: func() time.Time { return noon }, Consolidate: true, Verify: true})
	if err != nil {
		t.Fatal(err)
	}
	var json, text bytes.Buffer
	if err := p.WriteJSON(&json); err != nil {
		t.Fatal(err)
	}
	if err := p.WriteText(&text); err != nil {
		t.Fatal(err)
	}
	return p, append(json.Bytes(), text.Bytes()...)
}

// TestConsolidationsAddUp consolidates random clusters and adds up what is said of them: kube-scheduler's
// filters agree, each node is in one command or is left, and the order of the objects does not matter.
func TestConsolidationsAddUp(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("to repeat: seed %d in TestConsolidationsAddUp", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	m := market(t)
	commands, replacements := 0, 0
	for round := range 8 {
		objects := randomStanding(random)
		p, first := consolidated(t, objects, m)
		d := p.Document()
		if len(d.Refused) > 0 {
			t.Errorf("round %d: kube-scheduler refuses %v", round, d.Refused)
		}
		checkCommands(t, objects, d)
		commands += len(d.Disruptions)
		for _, one := range d.Disruptions {
			replacements += len(one.Replacements)
		}
		random.Shuffle(len(objects), func(i, j int) { objects[i], objects[j] = objects[j], objects[i] })
		if _, again := consolidated(t, objects, m); !bytes.Equal(first, again) {
			t.Errorf("round %d: another order of the objects gives another plan:\n%s\n%s", round, first, again)
		}
	}
	if commands == 0 || replacements == 0 {
		t.Errorf("%d commands with %d replacements: the clusters do not test anything", commands, replacements)
	}
}

// checkCommands adds up one document.
func checkCommands(t *testing.T, objects []client.Object, d *plan.Document) {
	t.Helper()
	nodes, bought, cost := map[string]bool{}, map[string]bool{}, 0.0
	for _, o := range objects {
		if n, ok := o.(*corev1.Node); ok {
			nodes[n.Name] = true
		}
	}
	for i := range d.Nodes {
		checkNode(t, &d.Nodes[i])
		bought[d.Nodes[i].Name] = true
		cost += d.Nodes[i].PricePerHour
	}
	if len(bought) != len(d.Nodes) || math.Abs(cost-d.CostPerHour) > 1e-6 {
		t.Errorf("%d names for %d new nodes, which cost %v and not %v", len(bought), len(d.Nodes), d.CostPerHour, cost)
	}
	place := func(name string) {
		if !nodes[name] {
			t.Errorf("node %s goes or stays twice, or is none", name)
		}
		delete(nodes, name)
	}
	saved := 0.0
	for _, one := range d.Disruptions {
		saved += one.SavingsPerHour
		for _, name := range one.Nodes {
			place(name)
		}
		for _, name := range one.Replacements {
			if !bought[name] {
				t.Errorf("replacement %s is not bought, or replaces twice", name)
			}
			delete(bought, name)
			for i := range d.Nodes {
				if d.Nodes[i].Name == name {
					cost -= d.Nodes[i].PricePerHour
				}
			}
		}
		if one.Reason == "Empty" && one.EvictedPods > 0 || one.SavingsPerHour <= 0 && one.Reason != "Empty" {
			t.Errorf("command %v", one)
		}
	}
	for _, l := range d.Left {
		place(l.Node)
		if l.Code == "" || l.Message == "" {
			t.Errorf("node %s is left without a reason", l.Node)
		}
	}
	if len(nodes) > 0 {
		t.Errorf("nodes %v neither go nor stay", nodes)
	}
	// What is left of the cost is that of nodes for pods that wait.
	if after := d.Before.CostPerHour - saved + cost; math.Abs(after-d.After.CostPerHour) > 1e-6 || d.After.LowerBoundPerHour > d.After.CostPerHour+1e-9 {
		t.Errorf("after %v, bound %v, want %v", d.After.CostPerHour, d.After.LowerBoundPerHour, after)
	}
	if !slices.IsSortedFunc(d.Left, func(a, b plan.Left) int { return bytes.Compare([]byte(a.Node), []byte(b.Node)) }) {
		t.Errorf("left are %v", d.Left)
	}
}
