package plan_test

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stowage-sh/stowage/cloudprovider/aws"
	awsv1 "github.com/stowage-sh/stowage/cloudprovider/aws/v1"
	"github.com/stowage-sh/stowage/cmd/stowage/plan"
	"github.com/stowage-sh/stowage/pricing"
	v1 "github.com/stowage-sh/stowage/provisioner/v1"
)

// market is all that EC2 is known to have in one region.
func market(t *testing.T) plan.Market {
	t.Helper()
	prices, err := pricing.Embedded("eu-west-1")
	if err != nil {
		t.Fatal(err)
	}
	m := plan.Market{Region: "eu-west-1", Types: aws.EmbeddedTypes(), Source: "embedded", Prices: prices}
	if err := m.Validate(); err != nil {
		t.Fatal(err)
	}
	return m
}

func meta(name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Name: name, UID: types.UID("uid-" + name)}
}

func requests(cpuMilli, memoryMiB int64) corev1.ResourceRequirements {
	return corev1.ResourceRequirements{Requests: corev1.ResourceList{
		corev1.ResourceCPU:    *resource.NewMilliQuantity(cpuMilli, resource.DecimalSI),
		corev1.ResourceMemory: *resource.NewQuantity(memoryMiB<<20, resource.BinarySI),
	}}
}

func pod(name string, r corev1.ResourceRequirements) *corev1.Pod {
	p := &corev1.Pod{ObjectMeta: meta(name), Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Resources: r}}}}
	p.Namespace = "default"
	p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: corev1.PodReasonUnschedulable}}
	return p
}

func pool(name string, weight int32) *v1.NodePool {
	p := &v1.NodePool{ObjectMeta: meta(name)}
	p.Spec.Weight = &weight
	p.Spec.Template.Spec.NodeClassRef = v1.NodeClassReference{Group: awsv1.Group, Kind: awsv1.Kind, Name: "default"}
	p.SetDefaults()
	return p
}

// randomCluster has pods of a few shapes, some of which fit nothing, nodes with
// and without room, and two NodePools.
func randomCluster(random *rand.Rand) []client.Object {
	objects := []client.Object{pool("heavy", 20), pool("light", 10)}
	objects[0].(*v1.NodePool).Spec.Limits = corev1.ResourceList{corev1.ResourceCPU: *resource.NewQuantity(random.Int64N(40), resource.DecimalSI)}
	for i := range random.IntN(4) {
		n := &corev1.Node{ObjectMeta: meta(fmt.Sprintf("node-%d", i))}
		n.Status.Allocatable = requests(4000, 8192).Requests
		n.Status.Allocatable[corev1.ResourcePods] = *resource.NewQuantity(20, resource.DecimalSI)
		bound := pod(fmt.Sprintf("bound-%d", i), requests(random.Int64N(4000), 512))
		bound.Spec.NodeName = n.Name
		objects = append(objects, n, bound)
	}
	daemon := &appsv1.DaemonSet{ObjectMeta: meta("agent")}
	daemon.Spec.Template.Spec.Containers = []corev1.Container{{Name: "c", Resources: requests(50, 64)}}
	objects = append(objects, daemon)
	shapes := make([]corev1.ResourceRequirements, 1+random.IntN(4))
	for i := range shapes {
		shapes[i] = requests(1+random.Int64N(8000), 1+random.Int64N(32768))
	}
	shapes = append(shapes, requests(1_000_000, 1))
	for i := range 1 + random.IntN(60) {
		objects = append(objects, pod(fmt.Sprintf("pod-%d", i), shapes[random.IntN(len(shapes))]))
	}
	return objects
}

func makePlan(t *testing.T, objects []client.Object, m plan.Market) (*plan.Plan, []byte) {
	t.Helper()
	p, err := plan.Make(t.Context(), plan.Input{Objects: objects, Market: m, Now: func() time.Time { return time.Time{} }})
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

// TestPlansAddUp makes plans for random clusters and adds up what they say.
func TestPlansAddUp(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("to repeat: seed %d in TestPlansAddUp", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	m := market(t)
	for round := range 15 {
		objects := randomCluster(random)
		p, first := makePlan(t, objects, m)
		d := p.Document()
		pending := map[string]bool{}
		for _, o := range objects {
			if o, ok := o.(*corev1.Pod); ok && o.Spec.NodeName == "" {
				pending["default/"+o.Name] = true
			}
		}
		if d.Stats.Pods != len(pending) {
			t.Errorf("round %d: %d pods, want %d", round, d.Stats.Pods, len(pending))
		}
		place := func(pods ...string) {
			for _, name := range pods {
				if !pending[name] {
					t.Errorf("round %d: pod %s has two places, or should have none", round, name)
				}
				delete(pending, name)
			}
		}
		cost := 0.0
		for i := range d.Nodes {
			place(d.Nodes[i].Pods...)
			cost += d.Nodes[i].PricePerHour
			checkNode(t, &d.Nodes[i])
		}
		for _, e := range d.Existing {
			place(e.Pods...)
		}
		for _, u := range d.Unschedulable {
			place(u.Pod)
			if len(u.Reasons) == 0 {
				t.Errorf("round %d: pod %s without a reason", round, u.Pod)
			}
		}
		if len(pending) > 0 {
			t.Errorf("round %d: pods that the plan lost: %v", round, pending)
		}
		if math.Abs(cost-d.CostPerHour) > 1e-6 || d.LowerBoundPerHour > d.CostPerHour {
			t.Errorf("round %d: cost %v, bound %v, the nodes come to %v", round, d.CostPerHour, d.LowerBoundPerHour, cost)
		}
		random.Shuffle(len(objects), func(i, j int) { objects[i], objects[j] = objects[j], objects[i] })
		if _, again := makePlan(t, objects, m); !bytes.Equal(first, again) {
			t.Errorf("round %d: another order of the objects gives another plan", round)
		}
	}
}

// checkNode adds up one node.
func checkNode(t *testing.T, n *plan.Node) {
	t.Helper()
	if got := n.Requests.Pods().Value() - n.DaemonSetRequests.Pods().Value(); got != int64(len(n.Pods)) {
		t.Errorf("node %s counts %d pods and lists %d", n.Name, got, len(n.Pods))
	}
	for name, q := range n.Requests {
		if has := n.Allocatable[name]; q.Cmp(has) > 0 {
			t.Errorf("node %s: %s of %s are asked for, it has %s", n.Name, q.String(), name, has.String())
		}
	}
	if !slices.IsSortedFunc(n.Alternatives, func(a, b plan.Offering) int { return int(1e6 * (a.PricePerHour - b.PricePerHour)) }) {
		t.Errorf("node %s: the alternatives are not in the order of their prices", n.Name)
	}
	if n.Labels[corev1.LabelTopologyZone] != n.Zone || n.Labels[corev1.LabelInstanceTypeStable] != n.InstanceType || n.Labels[v1.LabelNodePool] != n.NodePool {
		t.Errorf("node %s: labels %v are not those of %v in %s", n.Name, n.Labels, n.Offering, n.NodePool)
	}
}

func TestNodePoolOfAnotherCloud(t *testing.T) {
	p := pool("default", 1)
	p.Spec.Template.Spec.NodeClassRef = v1.NodeClassReference{Group: "example.com", Kind: "MoonNodeClass", Name: "default"}
	made, _ := makePlan(t, []client.Object{p, pod("web", requests(1, 1))}, market(t))
	reasons := made.Document().Unschedulable[0].Reasons
	if len(reasons) != 1 || reasons[0].Message != "NodePool default: its NodeClass is a MoonNodeClass.example.com, not an EC2NodeClass.karpenter.k8s.aws" {
		t.Errorf("reasons %v", reasons)
	}
}

// BenchmarkMake plans for a thousand pods of a dozen shapes, and says at which
// price.
func BenchmarkMake(b *testing.B) {
	prices, err := pricing.Embedded("us-east-1")
	if err != nil {
		b.Fatal(err)
	}
	m := plan.Market{Region: "us-east-1", Types: aws.EmbeddedTypes(), Source: "embedded", Prices: prices}
	random := rand.New(rand.NewPCG(1, 2))
	objects := []client.Object{pool("default", 1)}
	shapes := make([]corev1.ResourceRequirements, 12)
	for i := range shapes {
		shapes[i] = requests(100+random.Int64N(4000), 128+random.Int64N(16384))
	}
	for i := range 1000 {
		objects = append(objects, pod(fmt.Sprintf("pod-%d", i), shapes[i%len(shapes)]))
	}
	b.ReportAllocs()
	var d *plan.Document
	for b.Loop() {
		p, err := plan.Make(b.Context(), plan.Input{Objects: objects, Market: m, Now: time.Now})
		if err != nil {
			b.Fatal(err)
		}
		d = p.Document()
	}
	b.ReportMetric(d.CostPerHour, "$/h")
	b.ReportMetric(float64(len(objects)-1)*float64(b.N)/b.Elapsed().Seconds(), "pods/s")
}
