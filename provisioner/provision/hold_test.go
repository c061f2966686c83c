package provision

import (
	"context"
	"errors"
	"fmt"
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
	const together = "it opens together with the nodes of its batch, when their pods have been nominated"
	for _, test := range []struct {
		name   string
		change func(h *holding)
		wait   time.Duration
		why    string
	}{
		{"no pods are planned", func(h *holding) { h.unplanned = true }, 0, ""},
		{"not Ready", func(h *holding) { h.ready("own", -1) }, 26 * time.Second, "it is not Ready"},
		{"not Ready for long", func(h *holding) { h.ready("own", -1); h.now = h.now.Add(time.Minute) }, 0, ""},
		{"startup taints", func(h *holding) { h.claims["own"].Spec.StartupTaints = []corev1.Taint{{Key: "a"}} }, 0, ""},
		{"pods not nominated", func(*holding) {}, 17 * time.Second, together},
		{"somebody else keeps it closed", func(h *holding) {
			h.nodes["own"].Spec.Taints = append(h.nodes["own"].Spec.Taints, corev1.Taint{Key: "theirs", Effect: corev1.TaintEffectNoSchedule})
		}, 0, ""},
		{"pods nominated", func(h *holding) { h.nominated = true }, time.Second, together},
		{"pods nominated late", func(h *holding) { h.nominated = true; h.ready("own", 19500*time.Millisecond) }, 500 * time.Millisecond, together},
		{"nobody waits for ever", func(h *holding) { h.now = h.now.Add(17 * time.Second) }, 0, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			h := newHolding()
			test.change(h)
			r := newRig(t, h.objects()...)
			if !h.unplanned {
				r.Cluster.SetPlans(h.plans())
			}
			if h.nominated {
				r.rounds.call(h.now, "own", "other")
			}
			wait, why := r.Hold(h.now, h.claims["own"], h.nodes["own"])
			if wait != test.wait {
				t.Errorf("held for %v (%s), want %v", wait, why, test.wait)
			}
			if wait > 0 && why != test.why {
				t.Errorf("held because %q, want %q", why, test.why)
			}
		})
	}
}

// TestRound: which of two nodes that are Ready for 3 s and 1 s may open, and in what time.
func TestRound(t *testing.T) {
	const both, own = "[other own]", "[own]"
	for _, test := range []struct {
		name   string
		change func(h *holding)
		closed string
		wait   time.Duration
	}{
		{"both are Ready", func(*holding) {}, both, 0},
		{"the other is not Ready", func(h *holding) { h.ready("other", -1) }, own, 7 * time.Second},
		{"the other has not joined", func(h *holding) { delete(h.nodes, "other") }, own, 7 * time.Second},
		{"they have been patient", func(h *holding) { h.ready("other", -1); h.now = h.now.Add(7 * time.Second) }, own, 0},
		{"a patience that is short", func(h *holding) {
			h.ready("other", -1)
			h.spread["own"], h.spread["other"] = false, false
			h.now = h.now.Add(-2 * time.Second)
		}, own, 2 * time.Second},
		{"the patience of priorities", func(h *holding) {
			h.ready("other", -1)
			h.spread["own"], h.spread["other"] = false, false
			h.priority["other-spread"] = 1
		}, own, 7 * time.Second},
		{"the other is given up", func(h *holding) {
			h.ready("other", -1)
			h.claims["other"].DeletionTimestamp = &metav1.Time{Time: h.now}
		}, own, 0},
		{"the other is gone", func(h *holding) { delete(h.claims, "other") }, own, 0},
		{"the other is of another batch", func(h *holding) { h.ready("other", -1); h.apart = true }, own, 0},
		{"the other is open", func(h *holding) { h.nodes["other"].Spec.Taints = nil }, own, 0},
		{"somebody else keeps the other closed", func(h *holding) {
			h.nodes["other"].Spec.Taints = append(h.nodes["other"].Spec.Taints, corev1.Taint{Key: "theirs", Effect: corev1.TaintEffectNoSchedule})
		}, own, 0},
		{"the other is about to be initialized", func(h *holding) {
			h.nodes["other"].Spec.Taints = append(h.nodes["other"].Spec.Taints, corev1.Taint{Key: "node.cloudprovider.kubernetes.io/uninitialized", Value: "true", Effect: corev1.TaintEffectNoSchedule})
		}, own, 7 * time.Second},
		{"the other is not ready yet for pods that run", func(h *holding) {
			h.nodes["other"].Spec.Taints = append(h.nodes["other"].Spec.Taints, corev1.Taint{Key: corev1.TaintNodeNotReady, Effect: corev1.TaintEffectNoExecute})
		}, own, 7 * time.Second},
		{"startup taints", func(h *holding) { h.claims["other"].Spec.StartupTaints = []corev1.Taint{{Key: "a"}} }, own, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			h := newHolding()
			h.ready("other", time.Second)
			test.change(h)
			r := newRig(t, h.objects()...)
			r.Cluster.SetPlans(h.plans())
			s := r.Cluster.Snapshot()
			for _, g := range gatherings(s) {
				if !g.claims["own"] {
					continue
				}
				closed, wait := g.round(h.now, s, r.rounds.called)
				slices.Sort(closed)
				if fmt.Sprint(closed) != test.closed || wait != test.wait {
					t.Errorf("%v may open in %v, want %s in %v", closed, wait, test.closed, test.wait)
				}
				return
			}
			t.Error("the node is in no gathering")
		})
	}
}

// TestRoundIsNominated: when all its nodes are Ready, before they open; of pods that spread
// one of a kind on each node; and again what kube-scheduler has erased.
func TestRoundIsNominated(t *testing.T) {
	h := newHolding()
	h.ready("other", -1)
	r := newRig(t, h.objects()...)
	second := waiting("own-spread2", "1") // of the kind of own-spread
	second.Spec = *h.pods()[1].Spec.DeepCopy()
	r.seen(second)
	plans := h.plans()
	plans["own-spread2"] = ofPod("own-spread2", plans["own-spread"])
	r.Cluster.SetPlans(plans)
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
	held("a nomination failed", time.Second)
	r.server.refuse = nil
	step("what failed is tried again", "other-spread")
	held("all are nominated", time.Second)
	for _, p := range h.pods() {
		r.seen(r.server.next(p)) // kube-scheduler has erased the names
	}
	step("the names were erased, and those that were tried come last", "other-spread", "own-plain", "own-spread2")
	if err := r.Nominate(t.Context(), r.now, h.claims["own"], h.nodes["own"]); err != nil || len(r.server.patched) != 3 {
		t.Errorf("nominated again as the node opens: %v, %q", err, r.server.patched)
	}
	r.now = r.now.Add(time.Second)
	held("a second later", 0)
	second.Spec.NodeName = "own"
	r.seen(r.server.next(second))
	step("one of a kind is bound", "own-spread")
}

// TestStepAwaitsTheRound: it looks again when the patience of those that are Ready ends.
func TestStepAwaitsTheRound(t *testing.T) {
	h := newHolding()
	h.ready("other", -1)
	r := newRig(t, h.objects()...)
	r.Cluster.SetPlans(h.plans())
	r.now = h.now
	if again := r.step(0); again != 7*time.Second {
		t.Errorf("looks again in %v, want the 7 s of patience that are left", again)
	}
}

// TestNominationsEnd with their time, or at what the server refuses: no node is kept closed for
// it, and it is tried again before the round opens.
func TestNominationsEnd(t *testing.T) {
	h := newHolding()
	h.apart = true
	r := newRig(t, h.objects()...)
	r.Cluster.SetPlans(h.plans())
	over, cancel := context.WithCancel(t.Context())
	cancel()
	if again := r.nominateOpen(over, h.now, r.Cluster.Snapshot()); again >= accord {
		t.Errorf("tries again in %v, when the nodes have opened", again)
	}
	if len(r.server.patched) != 0 || !r.rounds.called("own") || !r.rounds.called("other") {
		t.Errorf("patches %q, and the rounds are called: %v, %v", r.server.patched, r.rounds.called("own"), r.rounds.called("other"))
	}
}

// TestPatienceIsOfARound: a node whose round has been called does not make those that come later
// impatient.
func TestPatienceIsOfARound(t *testing.T) {
	h := newHolding()
	h.ready("own", 11*time.Second)
	h.ready("other", 100*time.Millisecond)
	third := h.claims["own"].DeepCopy()
	third.Name, third.UID, third.Status.ProviderID = "third", "third", "third"
	r := newRig(t, append(h.objects(), third, waiting("third-plain", "1"))...)
	plans := h.plans()
	plans["third-plain"] = state.Plan{NodeClaim: "third", At: h.decided}
	r.Cluster.SetPlans(plans)
	r.rounds.call(h.now, "own")
	if again := r.nominateOpen(t.Context(), h.now, r.Cluster.Snapshot()); r.rounds.called("other") || again > longPatience {
		t.Errorf("the other has its round: %v; looks again in %v", r.rounds.called("other"), again)
	}
}

// TestClocksOfNodes: a kubelet whose clock is ahead keeps its node closed no longer.
func TestClocksOfNodes(t *testing.T) {
	h := newHolding()
	h.ready("own", -10*time.Minute)
	h.nodes["own"].Status.Conditions[0].Status = corev1.ConditionTrue
	r := newRig(t, h.objects()...)
	r.Cluster.SetPlans(h.plans())
	if wait, _ := r.Hold(h.now, h.claims["own"], h.nodes["own"]); wait > unreadyHold+longPatience+nominating {
		t.Errorf("held for %v", wait)
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
	r.nominateOpen(t.Context(), h.now, r.Cluster.Snapshot())
	if len(r.server.patched) != 2 || !r.rounds.called("own") {
		t.Errorf("patches %q, and the round counts as nominated: %v", r.server.patched, r.rounds.called("own"))
	}
}

// TestRounds: all nodes of one open at one moment, and old ones are forgotten.
func TestRounds(t *testing.T) {
	var r rounds
	now := time.Unix(60, 0)
	if _, ok := r.opens("a", now); ok {
		t.Error("a node opens whose pods nobody has nominated")
	}
	r.call(now, "a", "b")
	for i, claim := range []string{"a", "b", "a"} {
		r.call(now, claim) // again is nothing new
		if at, ok := r.opens(claim, now.Add(time.Duration(i)*300*time.Millisecond)); !ok || !at.Equal(now.Add(accord)) {
			t.Errorf("the node of %s opens at %v (%v), want %v", claim, at, ok, now.Add(accord))
		}
	}
	r.call(now.Add(2*time.Hour), "c")
	if r.called("a") || len(r.of) != 1 {
		t.Errorf("%d NodeClaims are remembered", len(r.of))
	}
}

// A holding is two NodeClaims with nodes that are closed, and pods planned for
// them: one of each that spreads, and a plain one.
type holding struct {
	now, decided time.Time
	spread       map[string]bool     // NodeClaims with a pod that has a hard spread
	apart        bool                // the two were decided at different times
	nominated    bool                // all pods of the batch were
	unplanned    bool                // no pods are planned for them
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
	plans := map[types.UID]state.Plan{
		"own-plain":    {NodeClaim: "own", At: h.decided, Priority: h.priority["own-plain"]},
		"own-spread":   {NodeClaim: "own", At: h.decided, Spread: h.spread["own"], Priority: h.priority["own-spread"]},
		"other-spread": {NodeClaim: "other", At: other, Spread: h.spread["other"], Priority: h.priority["other-spread"]},
	}
	for uid, plan := range plans {
		plans[uid] = ofPod(string(uid), plan)
	}
	return plans
}

// ofPod makes a plan that of a pod.
func ofPod(name string, plan state.Plan) state.Plan {
	plan.Pod = types.NamespacedName{Namespace: "default", Name: name}
	return plan
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

// TestLostPlacesAreDecidedTogether: a pod whose place another took waits as long as pods are still
// to come to nodes that are open, and five seconds at most; whoever else comes does not wait.
func TestLostPlacesAreDecidedTogether(t *testing.T) {
	for _, settles := range []bool{true, false} {
		h := newHolding()
		for _, n := range h.nodes {
			n.Spec.Taints = nil
			n.Status.Allocatable["cpu"] = resource.MustParse("1")
		}
		thief := waiting("thief", "1")
		thief.Spec.NodeName = "own"
		r := newRig(t, append(h.objects(), nodePool("general"), thief)...)
		r.Cluster.SetPlans(h.plans())
		r.now = h.now
		planned := func(pod types.UID) bool {
			_, ok := r.Cluster.Snapshot().Plans.Get(pod)
			return ok
		}
		r.step(0)
		r.seen(waiting("unconcerned", "1"))
		r.step(0)
		r.step(2 * time.Second)
		if planned("own-spread") || !planned("unconcerned") {
			t.Fatalf("while pods are still to come, decided for the one that lost its place: %v, for another: %v", planned("own-spread"), planned("unconcerned"))
		}
		if settles {
			last := waiting("other-spread", "1")
			last.Spec.NodeName = "other"
			r.seen(r.server.next(last))
		} else {
			r.step(3 * time.Second)
		}
		r.step(0)
		r.step(time.Second)
		if !planned("own-spread") {
			t.Errorf("settled: %v; and nothing was decided", settles)
		}
	}
}
