package provision

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stowage-sh/stowage/provisioner/state"
	v1 "github.com/stowage-sh/stowage/provisioner/v1"
)

// TestHold looks at a node that joined 4 s ago, became Ready 3 s ago, and was
// decided together with another.
func TestHold(t *testing.T) {
	const together = "the nodes of their batch open together"
	for _, test := range []struct {
		name   string
		change func(h *holding)
		wait   time.Duration
		why    string
	}{
		{"pods that do not spread", func(h *holding) { h.spread["own"] = false }, 0, ""},
		{"not Ready", func(h *holding) { h.ready("own", -1) }, 26 * time.Second, "it is not Ready"},
		{"not Ready for long", func(h *holding) { h.ready("own", -1); h.now = h.now.Add(time.Minute) }, 0, ""},
		{"startup taints", func(h *holding) { h.claims["own"].Spec.StartupTaints = []corev1.Taint{{Key: "a"}} }, 0, ""},
		{"pods not nominated", func(*holding) {}, 7 * time.Second, together},
		{"pods nominated", func(h *holding) { h.nominated = true }, time.Second, together},
		{"pods nominated late", func(h *holding) { h.nominated = true; h.ready("own", 9500*time.Millisecond) }, 500 * time.Millisecond, together},
		{"nobody waits for ever", func(h *holding) { h.ready("other", -1); h.now = h.now.Add(7 * time.Second) }, 0, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			h := newHolding()
			test.change(h)
			r := newRig(t, h.objects()...)
			r.Cluster.SetPlans(h.plans())
			if h.nominated {
				r.named.call(h.decided)
			}
			wait, why := r.Hold(h.now, h.claims["own"], h.nodes["own"])
			if wait != test.wait {
				t.Errorf("held for %v (%s), want %v", wait, why, test.wait)
			}
			if wait > 0 && !strings.HasSuffix(why, test.why) {
				t.Errorf("held because %q, want %q", why, test.why)
			}
		})
	}
}

// TestHigherPrioritiesOpenFirst: the node own, Ready for 3 s, has no pod of the priority
// that one of the pods of other has, and none spread.
func TestHigherPrioritiesOpenFirst(t *testing.T) {
	for _, test := range []struct {
		name   string
		change func(h *holding)
		wait   time.Duration
	}{
		{"the other is closed", func(*holding) {}, 7 * time.Second},
		{"the other is not Ready", func(h *holding) { h.ready("other", -1) }, 7 * time.Second},
		{"the other has not joined", func(h *holding) { delete(h.nodes, "other") }, 7 * time.Second},
		{"the other is open", func(h *holding) { h.nodes["other"].Spec.Taints = nil }, 0},
		{"the other is given up", func(h *holding) { h.claims["other"].DeletionTimestamp = &metav1.Time{Time: h.now} }, 0},
		{"the other is of another batch", func(h *holding) { h.apart = true }, 0},
		{"the other waits for all", func(h *holding) { h.spread["other"] = true }, 0},
		{"one of its own pods is no less important", func(h *holding) { h.priority["own-plain"] = 5 }, 0},
		{"all are less important", func(h *holding) { h.priority["other-spread"] = -1 }, 0},
		{"nobody waits for ever", func(h *holding) { h.now = h.now.Add(7 * time.Second) }, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			h := newHolding()
			h.spread["own"], h.spread["other"] = false, false
			h.priority["other-spread"] = 5
			test.change(h)
			r := newRig(t, h.objects()...)
			r.Cluster.SetPlans(h.plans())
			if wait, why := r.Hold(h.now, h.claims["own"], h.nodes["own"]); wait != test.wait || wait > 0 && !strings.Contains(why, "higher priority") {
				t.Errorf("held for %v (%s), want %v", wait, why, test.wait)
			}
			if wait, why := r.Hold(h.now, h.claims["other"], h.nodes["own"]); test.wait > 0 && wait != 0 {
				t.Errorf("the other is held for %v: %s", wait, why)
			}
		})
	}
}

// TestLate: whom the node of a NodeClaim waits for.
func TestLate(t *testing.T) {
	for _, test := range []struct {
		name   string
		change func(h *holding)
		late   bool
	}{
		{"all Ready", func(*holding) {}, false},
		{"the other not Ready", func(h *holding) { h.ready("other", -1) }, true},
		{"the other not joined", func(h *holding) { delete(h.nodes, "other") }, true},
		{"the other given up", func(h *holding) {
			h.ready("other", -1)
			h.claims["other"].DeletionTimestamp = &metav1.Time{Time: h.now}
		}, false},
		{"the other gone", func(h *holding) { delete(h.claims, "other") }, false},
		{"the other of another batch", func(h *holding) { h.ready("other", -1); h.apart = true }, false},
		{"the other waits for nobody, and is closed", func(h *holding) { h.spread["other"] = false }, true},
		{"the other waits for nobody, and is open", func(h *holding) {
			h.spread["other"] = false
			h.nodes["other"].Spec.Taints = nil
		}, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			h := newHolding()
			test.change(h)
			r := newRig(t, h.objects()...)
			r.Cluster.SetPlans(h.plans())
			s := r.Cluster.Snapshot()
			if got := gatherings(s)[batchOf(s, "own")].late; got != test.late {
				t.Errorf("waits for others: %v, want %v", got, test.late)
			}
		})
	}
}

// TestBatchIsNominatedOnce: when all its nodes are Ready, before they open, whole;
// and pods that spread are not named again.
func TestBatchIsNominatedOnce(t *testing.T) {
	h := newHolding()
	h.ready("other", -1)
	r := newRig(t, h.objects()...)
	r.Cluster.SetPlans(h.plans())
	r.now = h.now
	step := func(what string, names ...string) {
		t.Helper()
		r.server.patched = nil
		r.step(0)
		slices.Sort(r.server.patched)
		for i, name := range names {
			names[i] = name + ` {"status":{"nominatedNodeName":"` + strings.Split(name, "-")[0] + `"}}`
		}
		if !slices.Equal(r.server.patched, names) {
			t.Errorf("%s: patches %q, want %q", what, r.server.patched, names)
		}
	}
	held := func(what string, want time.Duration) {
		t.Helper()
		if wait, _ := r.Hold(r.now, h.claims["own"], h.nodes["own"]); wait != want {
			t.Errorf("%s: held for %v, want %v", what, wait, want)
		}
	}
	step("one is awaited")
	h.ready("other", 0)
	r.seen(r.server.next(h.nodes["other"].DeepCopy()))
	r.server.refuse = func(o client.Object) error {
		if o.GetName() == "other-spread" {
			return errors.New("the server is busy")
		}
		return nil
	}
	step("a nomination fails", "own-plain", "own-spread")
	held("a nomination failed", 7*time.Second)
	r.server.refuse = nil
	step("what failed is tried again", "other-spread")
	held("all are nominated", time.Second)
	for _, p := range h.pods() {
		r.seen(r.server.next(p)) // kube-scheduler has erased the names
	}
	step("the names were erased", "own-plain")
	if err := r.Nominate(t.Context(), r.now, h.claims["own"], h.nodes["own"]); err != nil || len(r.server.patched) != 1 {
		t.Errorf("nominated again as the node opens: %v, %q", err, r.server.patched)
	}
	r.now = r.now.Add(time.Second)
	held("a second later", 0)
}

// TestNominationsEnd with their time: what is left is nobody's to wait for.
func TestNominationsEnd(t *testing.T) {
	h := newHolding()
	r := newRig(t, h.objects()...)
	r.Cluster.SetPlans(h.plans())
	over, cancel := context.WithCancel(t.Context())
	cancel()
	r.nominateOpen(over, r.Cluster.Snapshot())
	if len(r.server.patched) != 0 || r.named.called(h.decided) {
		t.Errorf("patches %q, and the batch counts as nominated: %v", r.server.patched, r.named.called(h.decided))
	}
}

// TestBoundPodKeepsNobodyWaiting: the API server refuses to name a node for a pod that has
// been bound meanwhile, and the batch counts as nominated.
func TestBoundPodKeepsNobodyWaiting(t *testing.T) {
	h := newHolding()
	h.ready("other", 0)
	r := newRig(t, h.objects()...)
	r.Cluster.SetPlans(h.plans())
	r.server.refuse = func(o client.Object) error {
		if o.GetName() != "own-plain" {
			return nil
		}
		bound := field.Forbidden(field.NewPath("status", "nominatedNodeName"), "may not be set on pods that are already bound to a node")
		return apierrors.NewInvalid(schema.GroupKind{Kind: "Pod"}, o.GetName(), field.ErrorList{bound})
	}
	r.nominateOpen(t.Context(), r.Cluster.Snapshot())
	if len(r.server.patched) != 2 || !r.named.called(h.decided) {
		t.Errorf("patches %q, and the batch counts as nominated: %v", r.server.patched, r.named.called(h.decided))
	}
}

// TestRoll: all who ask hear of one moment, and old batches are forgotten.
func TestRoll(t *testing.T) {
	var r roll
	batch, now := time.Unix(0, 0), time.Unix(60, 0)
	if _, ok := r.opens(batch, now); ok {
		t.Error("nodes open whose pods nobody has nominated")
	}
	r.call(batch)
	for _, asked := range []time.Time{now, now.Add(700 * time.Millisecond)} {
		r.call(batch) // again is nothing new
		if at, ok := r.opens(batch, asked); !ok || !at.Equal(now.Add(accord)) {
			t.Errorf("asked at %v: the nodes open at %v (%v), want %v", asked, at, ok, now.Add(accord))
		}
	}
	r.call(batch.Add(2 * time.Hour))
	if r.called(batch) || len(r.batches) != 1 {
		t.Errorf("%d batches are remembered", len(r.batches))
	}
}

// A holding is two NodeClaims with nodes that are closed, and pods planned for
// them: one of each that spreads, and a plain one.
type holding struct {
	now, decided time.Time
	spread       map[string]bool     // NodeClaims with a pod that has a hard spread
	apart        bool                // the two were decided at different times
	nominated    bool                // all pods of the batch were
	priority     map[types.UID]int32 // of pods; 0 for those left out
	claims       map[string]*v1.NodeClaim
	nodes        map[string]*corev1.Node
}

func newHolding() *holding {
	now := time.Unix(1_700_000_000, 0)
	h := &holding{
		now: now, decided: now.Add(-time.Minute), spread: map[string]bool{"own": true, "other": true}, priority: map[types.UID]int32{},
		claims: map[string]*v1.NodeClaim{}, nodes: map[string]*corev1.Node{},
	}
	for _, name := range []string{"own", "other"} {
		meta := metav1.ObjectMeta{Name: name, UID: types.UID(name), CreationTimestamp: metav1.NewTime(h.now.Add(-4 * time.Second))}
		h.claims[name] = &v1.NodeClaim{ObjectMeta: meta, Status: v1.NodeClaimStatus{ProviderID: name}}
		h.nodes[name] = &corev1.Node{ObjectMeta: meta, Spec: corev1.NodeSpec{ProviderID: name, Taints: []corev1.Taint{v1.UnregisteredTaint()}}}
		h.nodes[name].Status.Allocatable = corev1.ResourceList{"cpu": resource.MustParse("8"), "pods": resource.MustParse("20")}
		h.ready(name, 3*time.Second)
	}
	return h
}

// ready makes a node Ready since some time ago; not at all if that is negative.
func (h *holding) ready(name string, ago time.Duration) {
	status := corev1.ConditionTrue
	if ago < 0 {
		status = corev1.ConditionFalse
	}
	h.nodes[name].Status.Conditions = []corev1.NodeCondition{{
		Type: corev1.NodeReady, Status: status, LastTransitionTime: metav1.NewTime(h.now.Add(-ago)),
	}}
}

// pods are named for the NodeClaim that they are planned for.
func (h *holding) pods() []*corev1.Pod {
	all := []*corev1.Pod{waiting("own-plain", "1"), waiting("own-spread", "1"), waiting("other-spread", "1")}
	for _, p := range all[1:] {
		p.Spec.TopologySpreadConstraints = []corev1.TopologySpreadConstraint{{
			MaxSkew: 1, TopologyKey: corev1.LabelTopologyZone, WhenUnsatisfiable: corev1.DoNotSchedule,
		}}
	}
	return all
}

func (h *holding) plans() map[types.UID]state.Plan {
	other := h.decided
	if h.apart {
		other = other.Add(time.Second)
	}
	return map[types.UID]state.Plan{
		"own-plain":    {NodeClaim: "own", At: h.decided, Priority: h.priority["own-plain"]},
		"own-spread":   {NodeClaim: "own", At: h.decided, Spread: h.spread["own"], Priority: h.priority["own-spread"]},
		"other-spread": {NodeClaim: "other", At: other, Spread: h.spread["other"], Priority: h.priority["other-spread"]},
	}
}

func (h *holding) objects() []client.Object {
	var all []client.Object
	for _, name := range []string{"own", "other"} {
		if claim, ok := h.claims[name]; ok {
			all = append(all, claim)
		}
		if node, ok := h.nodes[name]; ok {
			all = append(all, node.DeepCopy())
		}
	}
	for _, p := range h.pods() {
		all = append(all, p)
	}
	return all
}
