package plan_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stowage-sh/stowage/cmd/stowage/plan"
	"github.com/stowage-sh/stowage/pricing"
	v1 "github.com/stowage-sh/stowage/provisioner/v1"
)

// committed is the market with these commitments, entries of a file.
func committed(t *testing.T, entries ...string) plan.Market {
	t.Helper()
	m := market(t)
	read, err := pricing.ReadCommitments(strings.NewReader("commitments: ["+strings.Join(entries, ", ")+"]"), "file", m.Region, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	m.Prices = m.Prices.WithCommitments(read.Commitments)
	return m
}

// standing are four m5.2xlarge, of 0.428 $/h each: two with little on them that may not be evicted, and two that have
// more, for which there is room on the first two.
func standing() (objects []client.Object) {
	objects = append(objects, pool("default", 1))
	for i, name := range []string{"keep-0", "keep-1", "move-0", "move-1"} {
		p := pod("pod-"+name, requests([]int64{1000, 1000, 3000, 3000}[i], 1000))
		p.Spec.NodeName, p.Status.Phase, p.Status.Conditions = name, corev1.PodRunning, nil
		p.OwnerReferences = []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: "ReplicaSet", Name: "w", UID: "w", Controller: new(true)}}
		if i < 2 {
			p.Annotations = map[string]string{v1.AnnotationDoNotDisrupt: "true"}
		}
		objects = append(objects, running(name, "m5.2xlarge", "eu-west-1a", "default", 8000), p)
	}
	return objects
}

// sums are what a plan comes to, before and after, and what it proves.
func sums(d *plan.Document) string {
	return fmt.Sprintf("%d of %.4f, %d of %.4f, bound %.4f", d.Before.Nodes, d.Before.CostPerHour, d.After.Nodes, d.After.CostPerHour, d.After.LowerBoundPerHour)
}

// TestWhatStaysHidesNoSavings: a plan covers as many nodes as there are that may not go. The others go, as they
// would without it, though they are better used.
func TestWhatStaysHidesNoSavings(t *testing.T) {
	p, _ := consolidated(t, standing(), committed(t, `{name: m5, kind: EC2InstanceSavingsPlan, region: eu-west-1, family: m5, dollarsPerHour: "0.5136", discount: 40%}`))
	if got, want := sums(p.Document()), "4 of 0.8560, 2 of 0.0000, bound 0.0000"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// TestAfterIsTheBill: a plan pays for 0.06 $/h of what runs on demand, which is a part of any node. It is worth as much
// after as before, though the new node is not covered whole.
func TestAfterIsTheBill(t *testing.T) {
	pool := pool("default", 1)
	pool.Spec.Template.Spec.Requirements = []v1.Requirement{{Key: v1.LabelCapacityType, Operator: corev1.NodeSelectorOpIn, Values: []string{"on-demand"}}}
	objects := append([]client.Object{pool}, standing()[7:]...) // move-1 alone
	d := func(m plan.Market) *plan.Document { p, _ := consolidated(t, objects, m); return p.Document() }
	free, paid := d(market(t)), d(committed(t, `{name: any, kind: ComputeSavingsPlan, dollarsPerHour: 0.03, discount: 50%}`))
	if len(paid.Nodes) != 1 || paid.Nodes[0].PricePerHour != free.Nodes[0].PricePerHour {
		t.Fatalf("new nodes are %v, and %v without the plan", paid.Nodes, free.Nodes)
	}
	for _, total := range [][2]plan.Total{{*free.Before, *paid.Before}, {free.After.Total, paid.After.Total}} {
		if math.Abs(total[0].CostPerHour-0.06-total[1].CostPerHour) > 2e-6 {
			t.Errorf("%v without the plan, and %v with it", total[0], total[1])
		}
	}
	if paid.After.LowerBoundPerHour > paid.After.CostPerHour {
		t.Errorf("the bound is %v", paid.After)
	}
	// 0.107 $/h cover half of the old node, and all of the new one, which takes half its price.
	half := d(committed(t, `{name: any, kind: ComputeSavingsPlan, dollarsPerHour: 0.107, discount: 50%}`))
	if c := half.Commitments[0]; c.Used != 0.107 || math.Abs(c.Planned-free.Nodes[0].PricePerHour/2) > 2e-6 || half.After.CostPerHour != 0 {
		t.Errorf("of %v so much is used, and %v is paid", c, half.After)
	}
}

// TestCommittedAddUp: in random clusters no command is said to save what is not saved, and the bound is not
// above what is had.
func TestCommittedAddUp(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("to repeat: seed %d in TestCommittedAddUp", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	commands := 0
	for round := range 8 {
		objects := randomStanding(random)
		p, _ := consolidated(t, objects, committed(t,
			fmt.Sprintf(`{name: any, kind: ComputeSavingsPlan, dollarsPerHour: 0.%d, discount: 27%%}`, 1+random.IntN(9)),
			fmt.Sprintf(`{name: m5, kind: EC2InstanceSavingsPlan, region: eu-west-1, family: m5, dollarsPerHour: 0.%d, discount: 60%%}`, 1+random.IntN(9)),
			fmt.Sprintf(`{name: ri, kind: ReservedInstance, region: eu-west-1, instanceType: m5.large, count: %d}`, 1+random.IntN(3))))
		d, saved := p.Document(), 0.0
		for _, one := range d.Disruptions {
			saved += one.SavingsPerHour
		}
		commands += len(d.Disruptions)
		forPods := d.CostPerHour
		for _, one := range d.Disruptions {
			for _, name := range one.Replacements {
				i := slices.IndexFunc(d.Nodes, func(n plan.Node) bool { return n.Name == name })
				forPods -= d.Nodes[i].PricePerHour
			}
		}
		if fell := d.Before.CostPerHour + forPods - d.After.CostPerHour; saved > fell+1e-4 {
			t.Errorf("round %d: commands save %v, and the bill falls by %v", round, saved, fell)
		}
		if d.After.LowerBoundPerHour > d.After.CostPerHour || d.After.CostPerHour < 0 {
			t.Errorf("round %d: after %v", round, d.After)
		}
	}
	if commands == 0 {
		t.Error("there were no commands")
	}
}
