package static

import (
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/stowage-sh/stowage/provisioner/state"
	v1 "github.com/stowage-sh/stowage/provisioner/v1"
)

var now = time.Date(2026, 3, 2, 10, 0, 0, 0, time.UTC)

// claim is a NodeClaim of a word: "old!" was chosen for disruption.
func claim(word string) *v1.NodeClaim {
	name, disrupted := strings.CutSuffix(word, "!")
	c := &v1.NodeClaim{ObjectMeta: metav1.ObjectMeta{Name: name, UID: types.UID(name)}}
	if disrupted {
		c.Status.Conditions = []metav1.Condition{{Type: v1.ConditionDisruptionReason, Status: metav1.ConditionTrue, Reason: "Drifted"}}
	}
	return c
}

// TestStanding: what was chosen for disruption does not count.
func TestStanding(t *testing.T) {
	var got []string
	for _, c := range standing([]*v1.NodeClaim{claim("a!"), claim("b"), claim("c")}) {
		got = append(got, c.Name)
	}
	if strings.Join(got, " ") != "b c" {
		t.Errorf("%v count", got)
	}
}

// TestSurplus: who goes before whom, and a tie in a stable order.
func TestSurplus(t *testing.T) {
	cluster := state.New()
	conditions := []metav1.Condition{{Type: v1.ConditionInitialized, Status: metav1.ConditionTrue}}
	var all []*v1.NodeClaim
	add := func(name string, edit func(*v1.NodeClaim, *corev1.Node), pods ...*corev1.Pod) {
		c := claim(name)
		c.CreationTimestamp = metav1.NewTime(now.Add(-time.Hour))
		c.Status.ProviderID, c.Status.Conditions = name, conditions
		n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, UID: types.UID(name)}, Spec: corev1.NodeSpec{ProviderID: name}}
		n.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}}
		edit(c, n)
		cluster.Observe(c)
		cluster.Observe(n)
		for _, p := range pods {
			if p.Spec.NodeName == "bound" {
				p.Spec.NodeName = name
			}
			cluster.Observe(p)
		}
		all = append(all, c)
	}
	pod := func(name, node string, edits ...func(*corev1.Pod)) *corev1.Pod {
		p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name, UID: types.UID(name)}, Spec: corev1.PodSpec{NodeName: node}}
		for _, edit := range edits {
			edit(p)
		}
		return p
	}
	plain := func(*v1.NodeClaim, *corev1.Node) {}
	add("planned", plain, pod("p0", ""))
	cluster.SetPlans(map[types.UID]state.Plan{"p0": {NodeClaim: "planned"}})
	add("nominated", plain, pod("p1", "", func(p *corev1.Pod) { p.Status.NominatedNodeName = "nominated" }))
	add("kept-node", func(_ *v1.NodeClaim, n *corev1.Node) {
		n.Annotations = map[string]string{v1.AnnotationDoNotDisrupt: "true"}
	})
	add("kept-claim", func(c *v1.NodeClaim, _ *corev1.Node) {
		c.Annotations = map[string]string{v1.AnnotationDoNotDisrupt: "true"}
	})
	add("kept-pod", plain, pod("p2", "bound", func(p *corev1.Pod) { p.Annotations = map[string]string{v1.AnnotationDoNotDisrupt: "true"} }))
	add("empty", plain)
	add("broken", func(_ *v1.NodeClaim, n *corev1.Node) { n.Status.Conditions[0].Status = corev1.ConditionUnknown })
	add("unlaunched", func(c *v1.NodeClaim, n *corev1.Node) { c.Status.ProviderID, n.Spec.ProviderID = "", "" }, pod("p3", ""))
	add("old", func(c *v1.NodeClaim, _ *corev1.Node) { c.CreationTimestamp = metav1.NewTime(now.Add(-2 * time.Hour)) })
	important := int32(1 << 26) // three times the cost of a pod
	add("important", plain, pod("p4", "bound", func(p *corev1.Pod) { p.Spec.Priority = &important }))
	add("two", plain, pod("p5", "bound"), pod("p6", "bound"))
	worthless := int32(-2_000_000_000)
	add("worthless", plain, pod("p7", "bound", func(p *corev1.Pod) { p.Spec.Priority = &worthless }))
	add("done", plain, pod("p8", "bound", func(p *corev1.Pod) { p.Status.Phase = corev1.PodSucceeded }))
	var got []string
	for _, s := range surplus(now, cluster.Snapshot(), all, len(all)) {
		got = append(got, s.Name)
	}
	const want = "unlaunched broken old done empty worthless nominated planned two important kept-claim kept-node kept-pod"
	if strings.Join(got, " ") != want {
		t.Errorf("they go in the order\n%s, want\n%s", strings.Join(got, " "), want)
	}
}

// TestMemory: what counts as a launch that failed, and how long it is waited for.
func TestMemory(t *testing.T) {
	launched := func(c *v1.NodeClaim) *v1.NodeClaim {
		c.Status.Conditions = append(c.Status.Conditions, metav1.Condition{Type: v1.ConditionLaunched, Status: metav1.ConditionTrue})
		return c
	}
	deleting := func(c *v1.NodeClaim) *v1.NodeClaim {
		c.DeletionTimestamp = &metav1.Time{Time: now}
		return c
	}
	m := newMemory("pool")
	for i, c := range []struct {
		claims []*v1.NodeClaim
		wait   time.Duration
	}{
		{[]*v1.NodeClaim{claim("a"), claim("b")}, 0},
		{[]*v1.NodeClaim{claim("b")}, 10 * time.Second},
		{[]*v1.NodeClaim{claim("b")}, 10 * time.Second},
		{[]*v1.NodeClaim{deleting(claim("b"))}, 20 * time.Second},
		{[]*v1.NodeClaim{}, 20 * time.Second},
		{[]*v1.NodeClaim{claim("c"), claim("d")}, 20 * time.Second},
		{[]*v1.NodeClaim{launched(claim("d"))}, 10 * time.Second}, // one failed, and one did not
		{[]*v1.NodeClaim{claim("e"), launched(claim("d"))}, 10 * time.Second},
		{[]*v1.NodeClaim{launched(claim("e"))}, 0}, // that d went is not a launch that failed
	} {
		m.look(now, c.claims)
		if got := max(0, m.until.Sub(now)); got != c.wait {
			t.Errorf("look %d: %v to wait, want %v", i, got, c.wait)
		}
	}
	for range 20 {
		m.look(now, []*v1.NodeClaim{claim("f")})
		m.look(now, nil)
	}
	if got := m.until.Sub(now); got != 3*time.Minute {
		t.Errorf("after many failures it waits %v", got)
	}
	m.going["g"] = answered
	m.look(now, []*v1.NodeClaim{claim("g")})
	if !m.leaves(claim("g")) || m.unanswered(claim("g")) || m.launching["g"] {
		t.Error("a claim that was asked to go still counts")
	}
	m.look(now, []*v1.NodeClaim{deleting(claim("g"))})
	if len(m.going) != 0 {
		t.Error("what the watch has told of is still remembered")
	}
}
