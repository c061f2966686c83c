package disrupt

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stowage-sh/stowage/cloudprovider"
	"github.com/stowage-sh/stowage/pricing"
	"github.com/stowage-sh/stowage/provisioner/consolidate"
	"github.com/stowage-sh/stowage/provisioner/problem"
	"github.com/stowage-sh/stowage/provisioner/state"
	v1 "github.com/stowage-sh/stowage/provisioner/v1"
)

// small is what all nodes of halfEmpty are.
var small = cloudprovider.Offering{InstanceType: "small", Zone: "zone-a", CapacityType: "spot"}

// halfEmpty is a cluster of n small nodes with one pod each, of which a node holds two.
func halfEmpty(n int, budget string) *state.Cluster {
	c := many(n, 1)
	s := c.Snapshot()
	pool, _ := s.NodePools.Get("pool")
	pool = pool.DeepCopy()
	pool.Spec.Disruption.ConsolidateAfter = "0s"
	pool.Spec.Disruption.Budgets = []v1.Budget{{Nodes: budget}}
	c.Observe(pool)
	for _, claim := range s.NodeClaims.All() {
		claim = claim.DeepCopy()
		meta.RemoveStatusCondition(&claim.Status.Conditions, v1.ConditionDrifted)
		claim.Labels[corev1.LabelInstanceTypeStable], claim.Labels[corev1.LabelTopologyZone], claim.Labels[v1.LabelCapacityType] = small.InstanceType, small.Zone, small.CapacityType
		c.Observe(claim)
	}
	for _, node := range s.Nodes.All() {
		node = node.DeepCopy()
		node.Status.Allocatable = corev1.ResourceList{"cpu": resource.MustParse("2"), "memory": resource.MustParse("8Gi"), "pods": resource.MustParse("20")}
		node.Labels[v1.LabelNodePool] = "pool"
		c.Observe(node)
	}
	for _, p := range s.Pods.All() {
		p = p.DeepCopy()
		p.Spec.Containers = []corev1.Container{{Name: "c", Resources: corev1.ResourceRequirements{Requests: corev1.ResourceList{"cpu": resource.MustParse("900m"), "memory": resource.MustParse("1Gi")}}}}
		c.Observe(p)
	}
	return c
}

// A mover carries nothing out, and refuses some pods.
type mover struct {
	cluster *state.Cluster
	prices  *pricing.Table
	refuses map[types.UID]string
	fails   types.UID // a pod of which nothing can be said
	carried []*problem.Moves
}

func newMover(c *state.Cluster) *mover {
	return &mover{cluster: c, prices: pricing.NewTable("region", "the test", map[cloudprovider.Offering]pricing.MicroUSD{small: 100_000}), refuses: map[types.UID]string{}}
}

func (m *mover) Input(_ context.Context, _ time.Time, s *state.Snapshot) *problem.Input {
	kind := cloudprovider.InstanceType{
		Name: "small", Labels: map[string]string{corev1.LabelInstanceTypeStable: "small"}, Offerings: []cloudprovider.Offering{small},
		Capacity:    cloudprovider.Resources{"cpu": 2000, "memory": 8 << 30, "pods": 20},
		Allocatable: cloudprovider.Resources{"cpu": 2000, "memory": 8 << 30, "pods": 20},
	}
	catalog := &cloudprovider.Catalog{Region: "region", InstanceTypes: []cloudprovider.InstanceType{kind}}
	return &problem.Input{Snapshot: s, Catalogs: map[string]*cloudprovider.Catalog{"pool": catalog}, Prices: m.prices}
}

func (m *mover) Refused(_ context.Context, _ time.Time, _ *state.Snapshot, moves *problem.Moves) (map[types.UID]string, error) {
	if slices.ContainsFunc(moves.Pods(), func(p *corev1.Pod) bool { return p.UID == m.fails }) {
		return nil, errors.New("that pod is odd")
	}
	return m.refuses, nil
}

func (m *mover) Carry(_ context.Context, now time.Time, moves *problem.Moves) error {
	m.carried = append(m.carried, moves)
	plans := map[types.UID]state.Plan{}
	for _, o := range moves.Onto {
		for _, p := range o.Pods {
			plans[p.UID] = state.Plan{NodeClaim: o.NodeClaim, Node: o.Node, At: now, Move: state.Move{From: p.Spec.NodeName}}
		}
	}
	m.cluster.SetPlans(plans)
	return nil
}

// saving is a Controller for a cluster, past its start.
func saving(c *state.Cluster) (*Controller, *mover, func(time.Duration)) {
	m := newMover(c)
	d := &Controller{Cluster: c, Write: state.Recorded(&counting{}, c), Events: &counting{}, Mover: m}
	now := monday.Add(time.Hour)
	step := func(after time.Duration) {
		now = now.Add(after)
		if _, err := d.Step(context.Background(), now); err != nil {
			panic(err)
		}
	}
	step(0)
	return d, m, step
}

// reasons are the conditions Disrupting by reason, and how many nodes are marked.
func reasons(c *state.Cluster) (why map[string]int, marked int) {
	why = map[string]int{}
	for _, claim := range c.Snapshot().NodeClaims.All() {
		if d := v1.GetCondition(claim.Status.Conditions, v1.ConditionDisrupting); d != nil {
			why[d.Reason]++
		}
	}
	for _, node := range c.Snapshot().Nodes.All() {
		if slices.ContainsFunc(node.Spec.Taints, isMark) {
			marked++
		}
	}
	return why, marked
}

// TestCommandsAsBudgetsAllow: of ten nodes five can go, three at a time; the others of these are
// marked until it is their turn, and when the process goes.
func TestCommandsAsBudgetsAllow(t *testing.T) {
	c := halfEmpty(10, "3")
	d, m, step := saving(c)
	step(15 * time.Second)
	if why, marked := reasons(c); len(m.carried) != 3 || why["Underutilized"] != 3 || why["BudgetSpent"] != 2 || why["WellUsed"] != 5 || marked != 2 {
		t.Errorf("%d commands, %v, %d marked", len(m.carried), why, marked)
	}
	step(10 * time.Second) // they go, and count until they are gone
	if why, _ := reasons(c); why["BudgetSpent"] != 2 {
		t.Errorf("then %v", why)
	}
	if err := d.Withdraw(context.Background()); err != nil {
		t.Fatal(err)
	}
	if _, marked := reasons(c); marked != 0 {
		t.Errorf("%d nodes are marked when the process goes", marked)
	}
}

// TestRefusedPods keep their node, and nobody else's; it is looked at again soon.
func TestRefusedPods(t *testing.T) {
	c := halfEmpty(10, "100%")
	_, m, step := saving(c)
	for i := range 10 {
		m.refuses[types.UID(fmt.Sprintf("pod-%d-0", i))] = "no"
	}
	delete(m.refuses, "pod-0-0")
	step(15 * time.Second)
	why, _ := reasons(c)
	if why["NoPlaceForPods"] == 0 || len(m.carried) > 1 {
		t.Errorf("%v, %d commands", why, len(m.carried))
	}
	clear(m.refuses)
	step(21 * time.Second)
	step(11 * time.Second)
	if n := len(m.carried); n < 4 {
		t.Errorf("%d commands, and nobody is refused any more", n)
	}
}

// TestAtRest nothing is planned, until something changes.
func TestAtRest(t *testing.T) {
	c := halfEmpty(10, "0")
	d, m, step := saving(c)
	step(15 * time.Second)
	planned := d.outlook.at
	for range 30 {
		step(time.Minute)
	}
	if d.outlook.at != planned {
		t.Error("it is planned anew, and nothing has changed")
	}
	pool, _ := c.Snapshot().NodePools.Get("pool")
	pool = pool.DeepCopy()
	pool.Spec.Disruption.Budgets, pool.Generation = nil, 2
	c.Observe(pool)
	step(time.Minute)
	if d.outlook.at == planned || len(m.carried) == 0 {
		t.Error("the budgets have changed, and nothing is planned")
	}
}

// TestPriceNotKnown: what it would save is not known, and it is said so.
func TestPriceNotKnown(t *testing.T) {
	c := halfEmpty(10, "100%")
	_, m, step := saving(c)
	m.prices = pricing.NewTable("region", "the test", map[cloudprovider.Offering]pricing.MicroUSD{})
	step(15 * time.Second)
	if why, _ := reasons(c); why["PriceUnknown"] != 10 || len(m.carried) > 0 {
		t.Errorf("%v, %d commands", why, len(m.carried))
	}
}

// TestOddPod: where nothing can be said of a pod's place its node stays, and the others go.
func TestOddPod(t *testing.T) {
	c := halfEmpty(10, "100%")
	m := newMover(c)
	d := &Controller{Cluster: c, Write: state.Recorded(&counting{}, c), Events: &counting{}, Mover: m}
	step := func(after time.Duration) (failed error) {
		_, failed = d.Step(context.Background(), monday.Add(time.Hour+after))
		return failed
	}
	_ = step(0)
	_ = step(15 * time.Second)
	going := len(m.carried)
	if going == 0 {
		t.Fatal("nobody goes")
	}
	m.fails = m.carried[0].Pods()[0].UID
	if step(25*time.Second) == nil {
		t.Error("nobody is told")
	}
	stayed, _ := c.Snapshot().NodeClaims.Get(m.carried[0].Leaving[0].Name)
	if chosen(stayed) {
		t.Error("the node with the odd pod is held for ever")
	}
	if n := len(d.deleted); n != going-1 {
		t.Errorf("%d of the %d others went", n, going-1)
	}
}

// TestSiblingsStay: of nodes that go together for a new one none goes when a pod of one is refused at last.
func TestSiblingsStay(t *testing.T) {
	c := halfEmpty(10, "100%")
	d, m, step := saving(c)
	step(15 * time.Second)
	if len(m.carried) < 3 {
		t.Fatalf("%d commands", len(m.carried))
	}
	together := &consolidate.Command{}
	for _, moves := range m.carried[:2] {
		together.Nodes = append(together.Nodes, consolidate.Node{Claim: moves.Leaving[0]})
	}
	d.outlook.together(together)
	m.refuses[m.carried[0].Pods()[0].UID] = "no"
	step(10 * time.Second)
	step(time.Second)
	for _, n := range together.Nodes {
		if claim, _ := c.Snapshot().NodeClaims.Get(n.Claim.Name); chosen(claim) {
			t.Errorf("%s is to go", claim.Name)
		}
		if _, gone := d.deleted[n.Claim.UID]; gone {
			t.Errorf("%s goes", n.Claim.Name)
		}
	}
	if n := len(d.deleted); n != len(m.carried)-2 {
		t.Errorf("%d of the %d others go", n, len(m.carried)-2)
	}
}

// TestPlaceTaken: a node that goes to save money stays at once when the place of a pod is taken, since
// nobody looks for another, and is tried again soon; each time that it happens again, later.
func TestPlaceTaken(t *testing.T) {
	c := halfEmpty(2, "100%")
	d, m, step := saving(c)
	step(15 * time.Second)
	if len(m.carried) != 1 {
		t.Fatalf("%d commands", len(m.carried))
	}
	moves := m.carried[0]
	c.DropPlans(moves.Pods()[0].UID)
	step(9 * time.Second)
	claim, _ := c.Snapshot().NodeClaims.Get(moves.Leaving[0].Name)
	if chosen(claim) || len(d.deleted) > 0 {
		t.Fatalf("the node is held, or goes: %v", claim.Status.Conditions)
	}
	for _, want := range []time.Duration{1, 2, 4, 8, 15, 15} {
		if pause := d.setAside[claim.UID].pause; pause != want*hinderedFor {
			t.Errorf("a pause of %v, not %v", pause, want*hinderedFor)
		}
		d.hinder(monday, claim, "its place is taken")
	}
	d.hinder(monday.Add(time.Hour), claim, "its place is taken")
	if pause := d.setAside[claim.UID].pause; pause != hinderedFor {
		t.Errorf("a pause of %v an hour later", pause)
	}
}

// versioned counts, and refuses a write on what is not the newest.
type versioned struct {
	counting
	newest map[types.UID]string
}

func (w *versioned) Patch(_ context.Context, obj client.Object, _ client.Patch) error {
	if is := obj.GetResourceVersion(); is != w.newest[obj.GetUID()] {
		return apierrors.NewConflict(schema.GroupResource{}, obj.GetName(), fmt.Errorf("version %q is not the newest", is))
	}
	w.patches++
	obj.SetResourceVersion(strconv.Itoa(w.patches))
	w.newest[obj.GetUID()] = obj.GetResourceVersion()
	return nil
}

func (w *versioned) PatchStatus(ctx context.Context, obj client.Object, patch client.Patch) error {
	return w.Patch(ctx, obj, patch)
}

// TestWhatWaitedIsCarriedOut, though it was said of the nodes meanwhile that they wait.
func TestWhatWaitedIsCarriedOut(t *testing.T) {
	c := halfEmpty(10, "3")
	m := newMover(c)
	w := &versioned{newest: map[types.UID]string{}}
	d := &Controller{Cluster: c, Write: state.Recorded(w, c), Events: &counting{}, Mover: m}
	now := monday.Add(time.Hour)
	step := func(after time.Duration) {
		t.Helper()
		now = now.Add(after)
		if _, err := d.Step(context.Background(), now); err != nil {
			t.Fatal(err)
		}
	}
	step(0)
	step(15 * time.Second)
	if why, _ := reasons(c); len(m.carried) != 3 || why["BudgetSpent"] != 2 {
		t.Fatalf("%d commands, %v", len(m.carried), why)
	}
	step(10 * time.Second)
	for _, moves := range m.carried { // they go, and their pods go where they were to go
		for _, o := range moves.Onto {
			for _, p := range o.Pods {
				c.Forget(p)
				p = p.DeepCopy()
				p.UID += "-next"
				p.Name, p.Spec.NodeName = string(p.UID), o.Machine.NodeClaim
				c.Observe(p)
			}
		}
		node, _ := c.Snapshot().Nodes.Get(moves.Leaving[0].Name)
		c.Forget(node)
		c.Forget(moves.Leaving[0])
	}
	step(time.Second)
	if why, _ := reasons(c); len(m.carried) != 5 || why["Underutilized"] != 2 {
		t.Errorf("%d commands, %v", len(m.carried), why)
	}
}
