package disrupt

import (
	"context"
	"fmt"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stowage-sh/stowage/provisioner/problem"
	"github.com/stowage-sh/stowage/provisioner/state"
	v1 "github.com/stowage-sh/stowage/provisioner/v1"
)

// counting counts events and writes, and does nothing else.
type counting struct{ events, statuses, patches, deletes int }

func (c *counting) Event(runtime.Object, string, string, string)             { c.events++ }
func (c *counting) Create(context.Context, client.Object) error              { return nil }
func (c *counting) Patch(context.Context, client.Object, client.Patch) error { c.patches++; return nil }
func (c *counting) PatchStatus(context.Context, client.Object, client.Patch) error {
	c.statuses++
	return nil
}
func (c *counting) Delete(context.Context, client.Object, ...client.DeleteOption) error {
	c.deletes++
	return nil
}
func (c *counting) Evict(context.Context, *corev1.Pod) error { return nil }

// many is a cluster of n nodes that drifted, with a pod each.
func many(n int, pods int) *state.Cluster {
	c := state.New()
	pool := &v1.NodePool{ObjectMeta: metav1.ObjectMeta{Name: "pool", UID: "pool"}}
	pool.Spec.Disruption.ConsolidateAfter = v1.Never
	pool.Spec.Disruption.Budgets = []v1.Budget{{Nodes: "10%"}}
	c.Observe(pool)
	yes := true
	for i := range n {
		name := fmt.Sprintf("node-%05d", i)
		claim := &v1.NodeClaim{ObjectMeta: metav1.ObjectMeta{Name: name, UID: types.UID(name), Labels: map[string]string{v1.LabelNodePool: "pool"}}}
		claim.Status.ProviderID = "sim:///" + name
		v1.SetCondition(&claim.Status.Conditions, metav1.Condition{Type: v1.ConditionInitialized, Status: metav1.ConditionTrue}, monday)
		v1.SetCondition(&claim.Status.Conditions, metav1.Condition{Type: v1.ConditionDrifted, Status: metav1.ConditionTrue, Reason: "AMIDrift"}, monday)
		node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, UID: types.UID("node-" + name), Labels: map[string]string{v1.LabelInitialized: "true"}}}
		node.Spec.ProviderID = claim.Status.ProviderID
		node.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}}
		c.Observe(claim)
		c.Observe(node)
		for j := range pods {
			p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: fmt.Sprintf("pod-%d-%d", i, j), UID: types.UID(fmt.Sprintf("pod-%d-%d", i, j)),
				OwnerReferences: []metav1.OwnerReference{{Kind: "ReplicaSet", Name: "rs", UID: "rs", Controller: &yes}}}}
			p.Spec.NodeName = name
			p.Status.Phase = corev1.PodRunning
			c.Observe(p)
		}
	}
	return c
}

// TestFailuresAreNotSpread: of a failed replacement not every node of the pool is told, nor is the API
// server of each.
func TestFailuresAreNotSpread(t *testing.T) {
	cluster := many(1000, 1)
	w := &counting{}
	c := &Controller{Cluster: cluster, Write: state.Recorded(w, cluster), Events: w}
	now := monday.Add(time.Hour)
	c.Step(context.Background(), now)
	now = now.Add(time.Minute)
	step := func(what string) {
		before := *w
		if _, err := c.Step(context.Background(), now); err != nil {
			t.Fatal(err)
		}
		if n := w.statuses - before.statuses; n > 2*sayAtOnce {
			t.Errorf("%s: %d conditions written in one step", what, n)
		}
	}
	step("first")
	for i := range 4 {
		now = now.Add(10 * time.Second)
		c.wave("pool").failed(now)
		step(fmt.Sprintf("replacement %d failed", i))
		now = c.wave("pool").until.Add(time.Second)
		step("after the pause")
	}
	if w.events > 100 {
		t.Errorf("%d events for four failures", w.events)
	}
}

// TestOneWaveFailsOnce, however many nodes it has.
func TestOneWaveFailsOnce(t *testing.T) {
	w := &wave{size: 8}
	var pause time.Duration
	for range 8 { // of one wave, at once
		pause = w.failed(monday)
	}
	if pause > 2*time.Minute {
		t.Errorf("one wave that failed stops drift for %v", pause)
	}
}

// TestOverIsOfItsReasons: a budget of one reason counts what goes for it.
func TestOverIsOfItsReasons(t *testing.T) {
	cluster := state.New()
	pool := &v1.NodePool{ObjectMeta: metav1.ObjectMeta{Name: "pool", UID: "pool"}}
	pool.Spec.Disruption.Budgets = []v1.Budget{{Nodes: "1", Reasons: []v1.DisruptionReason{v1.ReasonDrifted}}, {Nodes: "5"}}
	cluster.Observe(pool)
	s := many(10, 0)

	for i, claim := range s.Snapshot().NodeClaims.All() {
		claim = claim.DeepCopy()
		reason := []string{"Drifted", "Empty", "Empty"}
		if i < 3 {
			v1.SetCondition(&claim.Status.Conditions, metav1.Condition{Type: v1.ConditionDisruptionReason, Status: metav1.ConditionTrue, Reason: reason[i]}, monday)
		}
		cluster.Observe(claim)
	}
	for _, n := range s.Snapshot().Nodes.All() {
		cluster.Observe(n)
	}
	a := Allowances(monday, cluster.Snapshot())["pool"]
	if a[v1.ReasonDrifted].over > 0 {
		t.Errorf("one drifted node under its budget of one is rolled back: over %d", a[v1.ReasonDrifted].over)
	}
}

// TestPlaceHasToBeReady: a node does not go while the place of its pod is not Ready.
func TestPlaceHasToBeReady(t *testing.T) {
	cluster := many(2, 1)
	s := cluster.Snapshot()
	old, _ := s.NodeClaims.Get("node-00000")
	old = old.DeepCopy()
	v1.SetCondition(&old.Status.Conditions, metav1.Condition{Type: v1.ConditionDisruptionReason, Status: metav1.ConditionTrue, Reason: "Drifted"}, monday)
	cluster.Observe(old)
	n, _ := s.Nodes.Get("node-00000")
	n = n.DeepCopy()
	n.Spec.Taints = []corev1.Taint{v1.DisruptedTaint()}
	cluster.Observe(n)
	to, _ := s.Nodes.Get("node-00001")
	to = to.DeepCopy()
	to.Status.Conditions[0].Status = corev1.ConditionUnknown // its kubelet is silent
	cluster.Observe(to)
	cluster.SetPlans(map[types.UID]state.Plan{"pod-0-0": {NodeClaim: "node-00001", Move: state.Move{From: "node-00000"}}})
	c := &Controller{Cluster: cluster, Schedulers: problem.Schedulers{}}
	next := c.next(c.look(monday.Add(time.Minute)), old, 0, map[types.UID]time.Time{}, nil)
	if next.goes {
		t.Errorf("%+v: the node goes, and its pod's place is not Ready", next)
	}
}

// TestStuckNodesAreNotAskedForEachStep: it takes the whole cluster to be solved.
func TestStuckNodesAreNotAskedForEachStep(t *testing.T) {
	cluster := many(3, 1)
	w := &counting{}
	calls := 0
	c := &Controller{Cluster: cluster, Write: state.Recorded(w, cluster), Events: w,
		Foresee: func(_ context.Context, _ time.Time, s *state.Snapshot, _ []*v1.NodeClaim) (map[types.UID]string, error) {
			calls++
			return map[types.UID]string{"pod-0-0": "no", "pod-1-0": "no", "pod-2-0": "no"}, nil
		}}
	now := monday.Add(time.Hour)
	for range 60 {
		now = now.Add(time.Second)
		c.Step(context.Background(), now)
	}
	if calls > 10 {
		t.Errorf("the whole cluster was solved %d times in a minute for three nodes that are set aside for five", calls)
	}
}
