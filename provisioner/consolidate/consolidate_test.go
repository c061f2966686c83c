package consolidate

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/stowage-sh/stowage/cloudprovider"
)

// wants compares a plan with one line.
func (w *world) wants(want string) *Plan {
	w.t.Helper()
	plan := w.plan()
	if got := plan.text(); got != want {
		w.t.Errorf("plan %q, want %q", got, want)
		for _, s := range plan.Stays {
			w.t.Logf("%s: %s", s.Node.Node.Name, s.Message)
		}
	}
	return plan
}

func TestNothing(t *testing.T) {
	newWorld(t).wants("")
}

// TestEmptied: of two nodes half in use one goes, and one without pods does.
func TestEmptied(t *testing.T) {
	w := newWorld(t)
	w.node("a", 4, pod(2000))
	w.node("b", 4, pod(1900))
	w.node("c", 8)
	plan := w.wants("-c / -b / a:WellUsed ")
	if plan.Before != 1_600_000 || plan.After != 400_000 || plan.LowerBound != 400_000 {
		t.Errorf("%v before, %v after, at least %v", plan.Before, plan.After, plan.LowerBound)
	}
}

// TestReplaced: a node that is too large gives way to a smaller one, also where one node may go at a
// time, and the next one too.
func TestReplaced(t *testing.T) {
	for _, most := range []int{1, 2, math.MaxInt} {
		w := newWorld(t)
		w.terms.Most = most
		w.node("a", 8, pod(1900))
		w.wants("-a +c2 / ")
	}
}

// TestMost: where one node of the pool may go at a time no command has two, and what pays by itself is
// found though the node before it does not. Where none may, none does.
func TestMost(t *testing.T) {
	w := newWorld(t)
	w.terms.Most = 1
	for _, name := range []string{"a", "b", "c", "d", "e", "f"} {
		w.node(name, 8, pod(1900), pod(1900))
	}
	plan := w.plan()
	for _, c := range plan.Commands {
		if len(c.Nodes) > 1 {
			t.Errorf("%d nodes go at a time", len(c.Nodes))
		}
	}
	if plan.After > 2_400_000 {
		t.Errorf("cost %v after: three nodes hold all", plan.After)
	}
	w.terms.Most = 0
	w.wants("a:NoneMayGo b:NoneMayGo c:NoneMayGo d:NoneMayGo e:NoneMayGo f:NoneMayGo ")
}

// TestPinned: a node stays for the sake of a pod that fits nowhere else, and all others still go.
func TestPinned(t *testing.T) {
	w := newWorld(t)
	w.node("a", 4, pod(100, stuckOn("a")), pod(100))
	w.node("b", 4, pod(1000))
	w.node("c", 4, pod(1000))
	w.node("d", 4, pod(1000))
	plan := w.plan()
	if plan.After != 400_000 || len(plan.Stays) != 1 || plan.Stays[0].Code != NoPlaceForPods || plan.Stays[0].Message != "pod default/a-0 would find no other place" {
		t.Errorf("%s: %+v", plan.text(), plan.Stays)
	}
}

// TestPayback: 1900m on a node of $0.4 cost $0.2 on one of two CPUs. To move the pod costs what its place does in a
// quarter of an hour, $0.19/4, and has to be paid back by $0.2 an hour: that takes 14 minutes and a quarter.
func TestPayback(t *testing.T) {
	for payback, want := range map[time.Duration]string{
		0: "-a +c2 / ", time.Minute: "a:NotWorthIt ", 14 * time.Minute: "a:NotWorthIt ", 15 * time.Minute: "-a +c2 / ",
	} {
		w := newWorld(t)
		w.terms.Payback = payback
		w.node("a", 4, pod(1900))
		plan := w.wants(want)
		for _, c := range plan.Commands {
			if got := c.Payback(); got < 14*time.Minute || got > 15*time.Minute {
				t.Errorf("paid back in %v", got)
			}
		}
	}
}

// TestPaybackIsFinite: a command that hardly saves anything pays back in no time that can be told.
func TestPaybackIsFinite(t *testing.T) {
	if got := (&Command{Moving: math.MaxInt64, Savings: 1}).Payback(); got != math.MaxInt64 {
		t.Errorf("paid back in %v", got)
	}
}

// TestOddNodes: nodes that cost nothing, that are not there any more, whose pods ask for nothing, and
// that are overcommitted are no trouble.
func TestOddNodes(t *testing.T) {
	w := newWorld(t)
	w.node("a", 4, pod(1900))
	w.node("free", 4, pod(100))
	w.nodes[1].Price = 0
	w.node("full", 2, pod(1900), pod(1900))
	w.node("gone", 4, pod(1900))
	w.cluster.Forget(w.nodes[3].Node)
	w.node("idle", 4, pod(0), pod(0))
	plan := w.plan()
	stays := map[string]Code{}
	for _, s := range plan.Stays {
		stays[s.Node.Node.Name] = s.Code
	}
	if stays["gone"] != NotFound || stays["free"] != WellUsed || len(plan.Commands) == 0 {
		t.Errorf("plan %s", plan.text())
	}
}

// TestNothingOnSale: where nothing can be bought nodes are emptied all the same, the dear one rather
// than the cheap.
func TestNothingOnSale(t *testing.T) {
	w := newWorld(t)
	w.node("a", 4, pod(1000))
	w.node("b", 4, pod(1000))
	w.node("c", 4, pod(1000))
	w.catalog.InstanceTypes = nil
	w.nodes[0].Price *= 2
	if plan := w.plan(); plan.After != 400_000 || plan.LowerBound != 0 {
		t.Errorf("%s: %v after, at least %v", plan.text(), plan.After, plan.LowerBound)
	}
}

// TestLimits: of what is nearly free there are two, and no more are planned with; nor are more nodes than the
// NodePool may open.
func TestLimits(t *testing.T) {
	reserve := func(w *world) {
		o := cloudprovider.Offering{InstanceType: "r4", Zone: "a", CapacityType: cloudprovider.Reserved, Reservation: "cr-1"}
		w.sell("r4", 4, o, 1)
		w.catalog.Reservations = map[string]cloudprovider.Reservation{"cr-1": {Offering: o, Left: 2}}
	}
	fill := func(w *world) {
		for _, name := range []string{"a", "b", "c", "d", "e"} {
			w.node(name, 8, pod(3900))
		}
	}
	w := newWorld(t)
	reserve(w)
	fill(w)
	reserved := 0
	for _, launch := range w.plan().New {
		if launch.Rows[0].Offering.Reservation != "" {
			reserved++
		}
	}
	if reserved != 2 {
		t.Errorf("%d nodes of two that are reserved", reserved)
	}
	w = newWorld(t)
	fill(w)
	in := w.input()
	in.NodesLeft = map[string]int64{w.pool.Name: 1}
	plan, err := Make(t.Context(), in, w.nodes)
	if err != nil {
		t.Fatal(err)
	}
	if len(plan.New) > 1 || len(plan.Commands) == 0 {
		t.Errorf("%s opens %d nodes, and may one", plan.text(), len(plan.New))
	}
}

// TestApart: pods that keep apart never share a node, and as many nodes stay as there are of them.
func TestApart(t *testing.T) {
	apart := func(p *corev1.Pod) {
		p.Labels = map[string]string{"app": "db"}
		p.Spec.Affinity = &corev1.Affinity{PodAntiAffinity: &corev1.PodAntiAffinity{RequiredDuringSchedulingIgnoredDuringExecution: []corev1.PodAffinityTerm{{
			LabelSelector: &metav1.LabelSelector{MatchLabels: p.Labels}, TopologyKey: corev1.LabelHostname,
		}}}}
	}
	w := newWorld(t)
	for _, name := range []string{"a", "b", "c"} {
		w.node(name, 4, pod(1000, apart), pod(1000))
	}
	w.node("d", 4, pod(900))
	plan := w.plan()
	on := map[string]int{}
	for _, n := range w.nodes {
		for _, p := range n.Pods {
			if p.Labels["app"] == "db" {
				on[n.Node.Name]++
			}
		}
	}
	for _, c := range plan.Commands {
		for _, m := range c.Moves {
			if m.Pod.Labels["app"] == "db" && m.To != nil {
				if on[m.Pod.Spec.NodeName]--; on[m.To.Name()] > 0 {
					t.Errorf("two on %s: %s", m.To.Name(), plan.text())
				}
				on[m.To.Name()]++
			}
		}
	}
	if plan.After > 1_000_000 {
		t.Errorf("%s: %v after, and two of four CPUs and one of two hold all", plan.text(), plan.After)
	}
}

// TestOrderOfNodes does not matter.
func TestOrderOfNodes(t *testing.T) {
	w := newWorld(t)
	for i, name := range []string{"a", "b", "c", "d", "e", "f", "g", "h"} {
		w.node(name, []int64{4, 8}[i%2], pod([]int64{500, 1100, 1900}[i%3]), pod(500))
	}
	want := w.plan().text()
	for seed := range uint64(20) {
		rand.New(rand.NewPCG(seed, 0)).Shuffle(len(w.nodes), func(i, j int) { w.nodes[i], w.nodes[j] = w.nodes[j], w.nodes[i] })
		before := slices.Clone(w.nodes)
		if got := w.plan().text(); got != want {
			t.Fatalf("seed %d: %s, was %s", seed, got, want)
		}
		if !slices.EqualFunc(before, w.nodes, func(a, b Node) bool { return a.Node == b.Node }) {
			t.Fatal("the caller's nodes have moved")
		}
	}
}
