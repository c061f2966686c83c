package provision

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "github.com/stowage-sh/stowage/provisioner/v1"
)

// TestLargeBatchesAreNotAnnounced pod by pod: only the first few are, and the
// solve is timed by the clock that it is given.
func TestLargeBatchesAreNotAnnounced(t *testing.T) {
	objects := []client.Object{nodePool("general")}
	for i := range maxNominated + 5 {
		objects = append(objects, waiting(fmt.Sprintf("p%02d", i), "1"))
	}
	r := newRig(t, objects...)
	registry := prometheus.NewRegistry()
	var err error
	if r.Metrics, err = NewMetrics(registry); err != nil {
		t.Fatal(err)
	}
	ticks := 0
	r.Clock = func() time.Time { ticks++; return time.Unix(int64(3*ticks), 0) }
	r.step(0)
	r.step(time.Second)
	if n := strings.Count(r.events.take(), "Nominated"); n != maxNominated {
		t.Errorf("%d pods were told their place, want %d", n, maxNominated)
	}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == "karpenter_scheduler_scheduling_duration_seconds" {
			if h := f.Metric[0].Histogram; h.GetSampleCount() != 1 || h.GetSampleSum() != 3 {
				t.Errorf("timed %d solves, %v s in all", h.GetSampleCount(), h.GetSampleSum())
			}
			return
		}
	}
	t.Error("the solve is not timed")
}

// TestRelaxedClaimsAreCounted apart from those that minValues hold for.
func TestRelaxedClaimsAreCounted(t *testing.T) {
	pool := nodePool("general")
	pool.Spec.Template.Spec.Requirements = []v1.Requirement{{Key: corev1.LabelInstanceTypeStable, Operator: corev1.NodeSelectorOpExists, MinValues: new(2)}}
	r := newRig(t, pool, waiting("little", "1"), waiting("large", "7"))
	registry := prometheus.NewRegistry()
	var err error
	if r.Metrics, err = NewMetrics(registry); err != nil {
		t.Fatal(err)
	}
	r.step(0)
	r.step(time.Second)
	r.want("general-1(little)")
	r.RelaxMinValues = true
	r.step(10 * time.Second)
	r.step(time.Second)
	r.want("general-1(little) general-2(large)")
	for name, want := range map[string]string{"general-1": "", "general-2": "true"} {
		if got := r.claim(name).Annotations[v1.AnnotationMinValuesRelaxed]; got != want {
			t.Errorf("%s is annotated %q, want %q", name, got, want)
		}
	}
	if got := counts(t, registry, "karpenter_nodeclaims_created_total"); got != "false 1, true 1" {
		t.Errorf("counted %q", got)
	}
}

// A witness writes down what it hears.
type witness struct {
	begin time.Time
	heard []string
}

func (w *witness) Waits(now time.Time, pods []*corev1.Pod)    { w.note("waits", now, pods) }
func (w *witness) Placed(now time.Time, pods []*corev1.Pod)   { w.note("placed", now, pods) }
func (w *witness) Unplaced(now time.Time, pods []*corev1.Pod) { w.note("unplaced", now, pods) }

func (w *witness) note(what string, now time.Time, pods []*corev1.Pod) {
	for _, p := range pods {
		w.heard = append(w.heard, fmt.Sprintf("%s %s %s", now.Sub(w.begin), what, p.Name))
	}
}

// TestDecisionsAreTold: a witness hears of pods when they wait, and of what was
// decided, on new nodes and on those that are there.
func TestDecisionsAreTold(t *testing.T) {
	r := newRig(t, nodePool("general"), waiting("fits", "1"), waiting("huge", "100"))
	var err error
	if r.Metrics, err = NewMetrics(prometheus.NewRegistry()); err != nil {
		t.Fatal(err)
	}
	w := &witness{begin: r.now}
	r.Metrics.Witness = w
	r.step(0)
	if got := strings.Join(w.heard, ", "); got != "0s waits fits, 0s waits huge" {
		t.Errorf("before the window closes: %s", got)
	}
	w.heard = nil
	r.step(time.Second)
	slices.Sort(w.heard)
	if got := strings.Join(w.heard, ", "); got != "1s placed fits, 1s unplaced huge, 1s waits fits, 1s waits huge" {
		t.Errorf("as it closes: %s", got)
	}
	// Another fits beside the first, on the machine that is on its way.
	r.Cluster.Observe(waiting("second", "1"))
	w.heard = nil
	r.step(0)
	r.step(time.Second)
	if !slices.Contains(w.heard, "2s placed second") {
		t.Errorf("of a pod that an earlier machine holds: %v", w.heard)
	}
}

// counts returns some counters, as "label value" by their first label.
func counts(t *testing.T, registry *prometheus.Registry, names ...string) string {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var words []string
	for _, f := range families {
		if slices.Contains(names, f.GetName()) {
			for _, m := range f.Metric {
				words = append(words, fmt.Sprintf("%s %v", m.Label[0].GetValue(), m.Counter.GetValue()))
			}
		}
	}
	return strings.Join(words, ", ")
}

// TestPlansAreCounted by what became of them: of three pods one is bound as planned, one
// elsewhere; the third one's node does not come, and the next one's room is taken.
func TestPlansAreCounted(t *testing.T) {
	r := newRig(t, nodePool("general"), waiting("a", "7"), waiting("b", "8"))
	registry := prometheus.NewRegistry()
	var err error
	if r.Metrics, err = NewMetrics(registry); err != nil {
		t.Fatal(err)
	}
	want := func(what, want string) {
		t.Helper()
		r.step(0)
		r.step(time.Second)
		if got := counts(t, registry, "stowage_pods_bound_total", "stowage_second_waves_total"); got != want {
			t.Errorf("%s: counted %q, want %q", what, got, want)
		}
	}
	want("planned", "")
	r.want("general-1(a) general-2(b)")
	bind := func(name, node string) {
		p := r.server.next(waiting(name, "1")).(*corev1.Pod)
		p.Spec.NodeName = node
		r.seen(p)
	}
	r.join("general-1", "8")
	bind("a", "general-1")
	want("bound to the node", "as_planned 1")
	bind("b", "general-1")
	want("bound to another", "as_planned 1, elsewhere 1")
	r.Cluster.Forget(r.claim("general-2"))
	r.seen(waiting("c", "8"))
	want("a third pod", "as_planned 1, elsewhere 1")
	r.want("general-1() general-3(c)")
	r.Cluster.Forget(r.claim("general-3"))
	want("its node does not come", "as_planned 1, elsewhere 1, node_gone 1")
	r.want("general-1() general-4(c)")
	r.join("general-4", "8")
	bind("thief", "general-4")
	want("its room is taken", "as_planned 1, elsewhere 1, node_gone 1, place_lost 1")
	r.want("general-1() general-4() general-5(c)")
}

// TestSlowScheduler: pods keep their places as long as others of their batch come to theirs, however long that
// takes, and are decided on anew when none has come for a while.
func TestSlowScheduler(t *testing.T) {
	r := newRig(t, nodePool("general"), waiting("a", "500m"), waiting("b", "500m"), waiting("c", "500m"))
	r.step(0)
	r.step(time.Second)
	r.want("general-1(a b c)")
	decided := r.now
	r.join("general-1", "8")
	open := r.claim("general-1")
	v1.SetCondition(&open.Status.Conditions, metav1.Condition{Type: v1.ConditionInitialized, Status: metav1.ConditionTrue}, r.now)
	r.seen(open)
	at := func() time.Time {
		p, _ := r.Cluster.Snapshot().Plans.Get("c")
		return p.At
	}
	for _, name := range []string{"a", "b"} {
		r.step(8 * time.Second)
		p := r.server.next(waiting(name, "500m")).(*corev1.Pod)
		p.Spec.NodeName = "general-1"
		r.seen(p)
		r.step(time.Second)
		if !at().Equal(decided) {
			t.Fatalf("%s has come, and c is decided on anew", name)
		}
	}
	r.step(8 * time.Second)
	if !at().Equal(decided) {
		t.Error("b came 9 s ago, and c is decided on anew")
	}
	r.step(2 * time.Second)
	r.step(time.Second)
	if at().Equal(decided) {
		t.Error("nobody has come for 11 s, and c waits for its place")
	}
}

// join makes a NodeClaim's machine an open node of its name.
func (r *rig) join(name, cpu string) {
	c := r.claim(name)
	c.Status.ProviderID = name
	r.seen(c)
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, UID: types.UID("node-" + name), ResourceVersion: "1"}, Spec: corev1.NodeSpec{ProviderID: name}}
	node.Status.Allocatable = corev1.ResourceList{"cpu": resource.MustParse(cpu), "memory": resource.MustParse("8Gi"), "pods": resource.MustParse("20")}
	node.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}}
	r.seen(node)
}
