package repair

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

	"github.com/stowage-sh/stowage/cloudprovider"
	"github.com/stowage-sh/stowage/provisioner/state"
	v1 "github.com/stowage-sh/stowage/provisioner/v1"
)

var now = time.Date(2026, 3, 2, 10, 0, 0, 0, time.UTC)

var policies = []cloudprovider.RepairPolicy{
	{ConditionType: "Ready", ConditionStatus: "False", Toleration: 30 * time.Minute},
	{ConditionType: "Ready", ConditionStatus: "Unknown", Toleration: 30 * time.Minute},
	{ConditionType: "StorageReady", ConditionStatus: "False", Toleration: 10 * time.Minute},
}

// node has conditions in pairs of type and status.
func node(name string, conditions ...string) *corev1.Node {
	n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, UID: types.UID("node-" + name)}, Spec: corev1.NodeSpec{ProviderID: name}}
	for i := 0; i < len(conditions); i += 2 {
		n.Status.Conditions = append(n.Status.Conditions, corev1.NodeCondition{
			Type: corev1.NodeConditionType(conditions[i]), Status: corev1.ConditionStatus(conditions[i+1]), LastTransitionTime: metav1.NewTime(now),
		})
	}
	return n
}

func claim(name, pool string) *v1.NodeClaim {
	c := &v1.NodeClaim{ObjectMeta: metav1.ObjectMeta{Name: name, UID: types.UID("claim-" + name), Labels: map[string]string{}}}
	if pool != "" {
		c.Labels[v1.LabelNodePool] = pool
	}
	c.Status.ProviderID = name
	c.Status.Conditions = []metav1.Condition{{Type: v1.ConditionInitialized, Status: metav1.ConditionTrue}}
	return c
}

// TestTally: a fifth, rounded up, may be broken.
func TestTally(t *testing.T) {
	for _, c := range []struct {
		nodes, broken int
		tooMany       bool
	}{{1, 1, false}, {2, 2, true}, {5, 1, false}, {5, 2, true}, {6, 2, false}, {10, 2, false}, {10, 3, true}, {11, 3, false}, {0, 0, false}} {
		if got := (tally{c.nodes, c.broken}).tooMany(); got != c.tooMany {
			t.Errorf("%d of %d broken is too many: %v", c.broken, c.nodes, got)
		}
	}
}

// TestCensus: whose nodes count for whom.
func TestCensus(t *testing.T) {
	cluster := state.New()
	young, going := claim("young", "a"), claim("going", "a")
	young.Status.Conditions = nil
	going.DeletionTimestamp = &metav1.Time{Time: now}
	for _, o := range []client.Object{
		claim("a1", "a"), node("a1", "Ready", "True"), claim("a2", "a"), node("a2", "Ready", "Unknown"), claim("a3", "a"), node("a3", "StorageReady", "Unknown"),
		young, node("young", "Ready", "False"), going, node("going", "Ready", "False"), claim("a4", "a"), // has no node
		claim("alone", ""), node("alone", "StorageReady", "False"), node("foreign", "Ready", "False"), node("other", "Ready", "True"),
	} {
		cluster.Observe(o)
	}
	c := count(cluster.Snapshot(), policies)
	if got, want := fmt.Sprint(c.pools["a"], c.all), "{4 2} {7 4}"; got != want {
		t.Errorf("counted %s, want %s", got, want)
	}
	if why := c.blocks(claim("a2", "a")); why != "more than 20% of the nodes of NodePool a are unhealthy" {
		t.Errorf("a is blocked by %q", why)
	}
	if why := c.blocks(claim("alone", "")); why != "more than 20% of the nodes of the cluster are unhealthy" {
		t.Errorf("the claim without a pool is blocked by %q", why)
	}
}

// TestRipe: of several symptoms the one decides that is borne out first.
func TestRipe(t *testing.T) {
	n := node("n", "Ready", "False", "StorageReady", "False", "Other", "False")
	all, _ := symptomsOf(n, policies)
	first, at, ok := ripe(n, policies, map[symptom]time.Time{all[0]: now, all[1]: now.Add(15 * time.Minute)})
	if !ok || first.String() != "StorageReady=False" || !at.Equal(now.Add(25*time.Minute)) {
		t.Errorf("%v %v at %v", ok, first, at)
	}
	first, at, ok = ripe(n, policies, map[symptom]time.Time{all[0]: now, all[1]: now.Add(21 * time.Minute)})
	if !ok || first.String() != "Ready=False" || !at.Equal(now.Add(30*time.Minute)) {
		t.Errorf("%v %v at %v", ok, first, at)
	}
	if _, _, ok := ripe(node("n", "Ready", "True", "StorageReady", "Unknown"), policies, nil); ok {
		t.Error("a node that is well is sick")
	}
}

// server answers patches of nodes with what it has, and notes what is deleted.
type server struct {
	nodes   map[string]*corev1.Node
	err     error
	deleted []string
}

func (s *server) Create(context.Context, client.Object) error { return nil }
func (s *server) Patch(_ context.Context, obj client.Object, _ client.Patch) error {
	if n, ok := obj.(*corev1.Node); ok && s.err == nil {
		s.nodes[n.Name].DeepCopyInto(n)
	}
	return s.err
}
func (s *server) PatchStatus(context.Context, client.Object, client.Patch) error { return nil }
func (s *server) Delete(_ context.Context, obj client.Object, _ ...client.DeleteOption) error {
	s.deleted = append(s.deleted, obj.GetName())
	return nil
}
func (s *server) Evict(context.Context, *corev1.Pod) error     { return nil }
func (s *server) Event(runtime.Object, string, string, string) {}
func (s *server) at(n *corev1.Node) *server                    { s.nodes = map[string]*corev1.Node{n.Name: n}; return s }
func (s *server) step(t *testing.T, c *Controller, at time.Time) (ok bool) {
	t.Helper()
	_, err := c.Step(t.Context(), at)
	return err == nil
}

// TestOutage: the watch stood still, and the API server could not be reached. What
// has recovered meanwhile is left alone when it can be, and what has not goes once.
func TestOutage(t *testing.T) {
	for _, status := range []string{"True", "Unknown"} {
		cluster, api := state.New(), &server{}
		c := &Controller{Cluster: cluster, Write: state.Recorded(api, cluster), Policies: func() []cloudprovider.RepairPolicy { return policies }, Events: api}
		sick, there := node("n", "Ready", "Unknown"), node("n", "Ready", status)
		sick.ResourceVersion, there.ResourceVersion = "1", "2"
		cluster.Observe(claim("n", "a"))
		cluster.Observe(sick)
		api.at(there).step(t, c, now)
		api.err = fmt.Errorf("not to be reached")
		if api.step(t, c, now.Add(31*time.Minute)) {
			t.Error("no error, though the server is not to be reached")
		}
		api.err = nil
		for i := range 3 {
			api.step(t, c, now.Add(time.Duration(32+i)*time.Minute))
		}
		if want := map[string]int{"True": 0, "Unknown": 1}[status]; len(api.deleted) != want {
			t.Errorf("the node is Ready=%s, and deleted is %v", status, api.deleted)
		}
	}
}

// TestSpareInterrupted: a node that has recovered before it was deleted loses the deadline, but not if the
// cloud takes its machine: that has one, whatever the node says.
func TestSpareInterrupted(t *testing.T) {
	for _, interrupted := range []bool{false, true} {
		cluster, api := state.New(), &server{}
		c := &Controller{Cluster: cluster, Write: state.Recorded(api, cluster), Policies: func() []cloudprovider.RepairPolicy { return policies }, Events: api}
		begun := claim("n", "a")
		begun.Annotations = map[string]string{v1.AnnotationRepair: "Ready=Unknown", v1.AnnotationTerminationTimestamp: now.Format(time.RFC3339)}
		if interrupted {
			v1.SetCondition(&begun.Status.Conditions, metav1.Condition{Type: v1.ConditionInterrupted, Status: metav1.ConditionTrue, Reason: cloudprovider.SpotInterrupted}, now)
		}
		cluster.Observe(begun)
		cluster.Observe(node("n", "Ready", "True"))
		api.step(t, c, now)
		spared, _ := cluster.Snapshot().NodeClaims.Get("n")
		_, bounded := spared.Annotations[v1.AnnotationTerminationTimestamp]
		if _, begun := spared.Annotations[v1.AnnotationRepair]; begun || bounded != interrupted || len(api.deleted) > 0 {
			t.Errorf("interrupted %v: annotations %v, deleted %v", interrupted, spared.Annotations, api.deleted)
		}
	}
}
