package consolidate

import (
	"fmt"
	"math"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/stowage-sh/stowage/binpack"
	"github.com/stowage-sh/stowage/cloudprovider"
	"github.com/stowage-sh/stowage/pricing"
	"github.com/stowage-sh/stowage/provisioner/problem"
	"github.com/stowage-sh/stowage/provisioner/state"
	v1 "github.com/stowage-sh/stowage/provisioner/v1"
)

// A world is a cluster of one NodePool in one zone. On sale are c2, c4 and c8, each with as many CPUs,
// twice as many GiB and $0.1 for each CPU.
type world struct {
	t       *testing.T
	cluster *state.Cluster
	pool    *v1.NodePool
	catalog *cloudprovider.Catalog
	prices  map[cloudprovider.Offering]pricing.MicroUSD
	terms   Terms
	nodes   []Node

	commitments pricing.Commitments
}

func newWorld(t *testing.T) *world {
	w := &world{
		t: t, cluster: state.New(), catalog: &cloudprovider.Catalog{}, prices: map[cloudprovider.Offering]pricing.MicroUSD{},
		pool: &v1.NodePool{
			TypeMeta:   metav1.TypeMeta{APIVersion: v1.GroupVersion.String(), Kind: "NodePool"},
			ObjectMeta: metav1.ObjectMeta{Name: "default", UID: "nodepool-default"},
		},
		terms: Terms{NodePool: "default", Most: math.MaxInt},
	}
	w.cluster.Observe(w.pool)
	for _, cpus := range []int64{2, 4, 8} {
		w.sell(fmt.Sprintf("c%d", cpus), cpus, cloudprovider.Offering{Zone: "a", CapacityType: cloudprovider.OnDemand}, 100_000*cpus)
	}
	return w
}

// sell adds an offering of an instance type of its own.
func (w *world) sell(name string, cpus int64, o cloudprovider.Offering, price int64) {
	o.InstanceType = name
	room := cloudprovider.Resources{cloudprovider.CPU: 1000 * cpus, cloudprovider.Memory: cpus << 31, cloudprovider.Pods: 110}
	w.catalog.InstanceTypes = append(w.catalog.InstanceTypes, cloudprovider.InstanceType{
		Name: name, Capacity: room, Allocatable: room, Offerings: []cloudprovider.Offering{o},
		Labels: map[string]string{corev1.LabelInstanceTypeStable: name, corev1.LabelArchStable: "amd64", corev1.LabelOSStable: "linux"},
	})
	w.prices[o] = pricing.MicroUSD(price)
}

// node adds a node of so many CPUs, which costs $0.1 for each, with pods.
func (w *world) node(name string, cpus int64, pods ...*corev1.Pod) {
	claim := w.pool.NewClaim()
	claim.Name, claim.UID, claim.Status.ProviderID, claim.Status.NodeName = "claim-"+name, types.UID("claim-"+name), "test:///"+name, name
	claim.Labels[corev1.LabelInstanceTypeStable], claim.Labels[corev1.LabelTopologyZone] = fmt.Sprintf("c%d", cpus), "a"
	claim.Labels[v1.LabelCapacityType] = cloudprovider.OnDemand
	for _, condition := range []string{v1.ConditionLaunched, v1.ConditionRegistered, v1.ConditionInitialized} {
		v1.SetCondition(&claim.Status.Conditions, metav1.Condition{Type: condition, Status: metav1.ConditionTrue, Reason: condition}, time.Unix(0, 0))
	}
	n := &corev1.Node{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Node"},
		ObjectMeta: metav1.ObjectMeta{Name: name, UID: types.UID("node-" + name), Labels: map[string]string{
			corev1.LabelHostname: name, corev1.LabelTopologyZone: "a", corev1.LabelInstanceTypeStable: fmt.Sprintf("c%d", cpus),
			corev1.LabelArchStable: "amd64", corev1.LabelOSStable: "linux", v1.LabelCapacityType: cloudprovider.OnDemand,
			v1.LabelNodePool: w.pool.Name, v1.LabelRegistered: "true", v1.LabelInitialized: "true",
		}},
		Spec: corev1.NodeSpec{ProviderID: claim.Status.ProviderID},
		Status: corev1.NodeStatus{
			Allocatable: problem.Quantities(cloudprovider.Resources{cloudprovider.CPU: 1000 * cpus, cloudprovider.Memory: cpus << 31, cloudprovider.Pods: 110}),
			Conditions:  []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}},
		},
	}
	w.cluster.Observe(claim)
	w.cluster.Observe(n)
	for i, p := range pods {
		p.Name = fmt.Sprintf("%s-%d", name, i)
		p.UID, p.Spec.NodeName = types.UID(p.Name), name
		w.cluster.Observe(p)
	}
	w.nodes = append(w.nodes, Node{Claim: claim, Node: n, Price: binpack.MicroUSD(100_000 * cpus), Pods: pods, Terms: &w.terms})
}

// pod is one that asks for CPU, and as many bytes for each as there are to a CPU.
func pod(cpuMilli int64, change ...func(*corev1.Pod)) *corev1.Pod {
	p := &corev1.Pod{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Pod"},
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Labels: map[string]string{"app": "web"}},
		Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "main", Resources: corev1.ResourceRequirements{Requests: corev1.ResourceList{
			corev1.ResourceCPU:    *resource.NewMilliQuantity(cpuMilli, resource.DecimalSI),
			corev1.ResourceMemory: *resource.NewQuantity(cpuMilli*(1<<31)/1000, resource.BinarySI),
		}}}}},
		Status: corev1.PodStatus{Phase: corev1.PodRunning},
	}
	for _, f := range change {
		f(p)
	}
	return p
}

// stuckOn has a pod ask for a node by name.
func stuckOn(node string) func(*corev1.Pod) {
	return func(p *corev1.Pod) { p.Spec.NodeSelector = map[string]string{corev1.LabelHostname: node} }
}

func (w *world) input() *problem.Input {
	return &problem.Input{
		Snapshot: w.cluster.Snapshot(), Catalogs: map[string]*cloudprovider.Catalog{w.pool.Name: w.catalog},
		Prices: pricing.NewTable("", "test", w.prices).WithCommitments(w.commitments),
	}
}

// plan makes one, and checks what holds of each.
func (w *world) plan() *Plan {
	w.t.Helper()
	plan, err := Make(w.t.Context(), w.input(), w.nodes)
	if err != nil {
		w.t.Fatal(err)
	}
	saved := plan.Before - plan.After
	seen := map[string]bool{}
	moved := map[types.UID]bool{}
	for _, c := range plan.Commands {
		if saved -= c.Savings; c.Savings <= 0 {
			w.t.Errorf("a command saves %v", c.Savings)
		}
		evictions := 0
		for _, n := range c.Nodes {
			if evictions += len(n.Pods); seen[n.Node.Name] {
				w.t.Errorf("%s goes twice", n.Node.Name)
			}
			seen[n.Node.Name] = true
		}
		for _, m := range c.Moves {
			if moved[m.Pod.UID] || (m.To != nil && seen[m.To.Name()]) {
				w.t.Errorf("pod %s moves twice, or to a node that goes", m.Pod.Name)
			}
			moved[m.Pod.UID] = true
		}
		if evictions != c.Evictions || evictions != len(c.Moves) {
			w.t.Errorf("%d pods, %d evictions, %d moves", evictions, c.Evictions, len(c.Moves))
		}
	}
	if saved != 0 {
		w.t.Errorf("%v before and %v after, without what the commands save, differ by %v", plan.Before, plan.After, saved)
	}
	if stays := len(w.nodes) - len(seen); len(plan.Stays) != stays {
		w.t.Errorf("%d nodes stay, and a reason is given for %d", stays, len(plan.Stays))
	}
	return plan
}

// text says what a plan does in a line: the nodes that go by command, with the prices of new ones, and
// why others stay.
func (plan *Plan) text() string {
	out := ""
	for _, c := range plan.Commands {
		for _, n := range c.Nodes {
			out += "-" + n.Node.Name + " "
		}
		for _, i := range c.New {
			out += fmt.Sprintf("+%s ", plan.New[i].Rows[0].Offering.InstanceType)
		}
		out += "/ "
	}
	for _, s := range plan.Stays {
		out += fmt.Sprintf("%s:%s ", s.Node.Node.Name, s.Code)
	}
	return out
}
