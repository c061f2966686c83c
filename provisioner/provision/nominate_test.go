package provision

import (
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stowage-sh/stowage/provisioner/state"
)

// A nomination is a pod that Stowage nominated to the node own of a holding, and what has
// become of both.
type nomination struct {
	*holding
	pod    *corev1.Pod
	victim *corev1.Pod
	plan   string // a NodeClaim; empty for none
	tried  bool   // no place was found for the pod
	off    bool   // nominations are not wanted
}

// rig has the pod alone, as a process sees it that knows no more than the plan.
func (n *nomination) rig(t *testing.T) *rig {
	objects := slices.DeleteFunc(n.objects(), func(o client.Object) bool { _, pod := o.(*corev1.Pod); return pod })
	objects = append(objects, n.pod)
	if n.victim != nil {
		objects = append(objects, n.victim)
	}
	r := newRig(t, objects...)
	r.now, r.NoNominations = n.now, n.off
	if n.plan != "" {
		r.Cluster.SetPlans(map[types.UID]state.Plan{n.pod.UID: {NodeClaim: n.plan, At: n.now}})
	}
	if n.tried {
		r.tried = map[types.UID]time.Time{n.pod.UID: n.now}
	}
	return r
}

// TestNominationsAreWithdrawn that nothing speaks for, and on a stop all that are ours.
func TestNominationsAreWithdrawn(t *testing.T) {
	for _, test := range []struct {
		name         string
		change       func(n *nomination)
		step, onStop bool // whether it is withdrawn
	}{
		{"planned for the node", func(*nomination) {}, false, true},
		{"planned for another", func(n *nomination) { n.plan = "other" }, true, true},
		{"to be decided, after a restart", func(n *nomination) { n.plan = "" }, false, true},
		{"no place was found for it", func(n *nomination) { n.plan, n.tried = "", true }, true, true},
		{"the NodeClaim is given up", func(n *nomination) { n.claims["own"].DeletionTimestamp = &metav1.Time{Time: n.now} }, true, true},
		{"the NodeClaim is gone", func(n *nomination) { delete(n.claims, "own") }, true, true},
		{"the node goes", func(n *nomination) { n.plan = ""; n.nodes["own"].DeletionTimestamp = &metav1.Time{Time: n.now} }, true, true},
		{"the node is gone", func(n *nomination) { delete(n.nodes, "own") }, true, true},
		{"another wrote it", func(n *nomination) { n.pod.ManagedFields = nil; delete(n.nodes, "own") }, false, false},
		{"kube-scheduler makes room", func(n *nomination) {
			n.plan = "other"
			n.victim = waiting("victim", "1")
			n.victim.Spec.NodeName, n.victim.DeletionTimestamp, n.victim.Spec.Priority = "own", &metav1.Time{Time: n.now}, new(int32(-1))
		}, false, false},
		{"bound", func(n *nomination) { n.pod.Spec.NodeName = "other" }, false, false},
		{"on its way out", func(n *nomination) { n.plan = ""; n.pod.DeletionTimestamp = &metav1.Time{Time: n.now} }, false, false},
		{"not wanted", func(n *nomination) { n.off = true; delete(n.nodes, "own") }, false, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			n := &nomination{holding: newHolding(), pod: signed(waiting("a", "1")), plan: "own"}
			n.ready("own", -1) // so that nothing is nominated
			n.ready("other", -1)
			n.pod.Status.NominatedNodeName = "own"
			test.change(n)
			r := n.rig(t)
			r.withdrawStray(t.Context(), r.Cluster.Snapshot())
			n.want(t, "a step", r, test.step)
			r = n.rig(t)
			if err := r.Withdraw(t.Context()); err != nil {
				t.Error(err)
			}
			n.want(t, "a stop", r, test.onStop)
		})
	}
}

func (n *nomination) want(t *testing.T, what string, r *rig, withdrawn bool) {
	t.Helper()
	const path = `"path":"/status/nominatedNodeName"`
	var want []string
	if withdrawn {
		want = []string{`a [{"op":"test",` + path + `,"value":"own"},{"op":"remove",` + path + `}]`}
	}
	if !slices.Equal(r.server.patched, want) {
		t.Errorf("%s: patches %q, want %q", what, r.server.patched, want)
	}
	p, _ := r.Cluster.Snapshot().Pods.Namespaced("default", "a")
	if (p.Status.NominatedNodeName == "") != withdrawn {
		t.Errorf("%s: known to be nominated to %q", what, p.Status.NominatedNodeName)
	}
}

// TestWithdrawnTooLate: by now the pod is gone, or carries what another wrote.
func TestWithdrawnTooLate(t *testing.T) {
	pods := schema.GroupResource{Resource: "pods"}
	for answer, ok := range map[error]bool{
		apierrors.NewNotFound(pods, "a"): true,
		apierrors.NewGenericServerResponse(422, "patch", pods, "a", "testing value: test failed", 0, false): true,
		error(errConflict): false,
	} {
		n := &nomination{holding: newHolding(), pod: signed(waiting("a", "1"))}
		n.pod.Status.NominatedNodeName = "own"
		r := n.rig(t)
		r.server.refuse = func(client.Object) error { return answer }
		if err := r.Withdraw(t.Context()); (err == nil) != ok {
			t.Errorf("the answer %q leads to %v", answer, err)
		}
	}
}

// TestNominationsOfOthersStay: kube-scheduler makes room for a pod; neither before its
// planned node opens nor later is it nominated to that.
func TestNominationsOfOthersStay(t *testing.T) {
	h := newHolding()
	h.spread["own"], h.spread["other"] = false, false
	r := newRig(t, h.objects()...)
	r.Cluster.SetPlans(h.plans())
	theirs := r.server.next(waiting("own-spread", "1")).(*corev1.Pod)
	theirs.Status.NominatedNodeName = "n"
	r.seen(theirs)
	if err := r.Nominate(t.Context(), h.now, h.claims["own"], h.nodes["own"]); err != nil {
		t.Fatal(err)
	}
	open := h.nodes["own"].DeepCopy()
	open.Spec.Taints = nil
	r.seen(r.server.next(open))
	r.nominateOpen(t.Context(), r.now, r.Cluster.Snapshot())
	want := []string{`own-plain {"status":{"nominatedNodeName":"own"}}`, `other-spread {"status":{"nominatedNodeName":"other"}}`}
	if !slices.Equal(r.server.patched, want) {
		t.Errorf("patches %q, want %q", r.server.patched, want)
	}
}

// TestHigherPrioritiesAreNominatedFirst, and pods of one priority by name.
func TestHigherPrioritiesAreNominatedFirst(t *testing.T) {
	h := newHolding()
	pods := []*corev1.Pod{waiting("a", "1"), waiting("b", "1"), waiting("c", "1"), waiting("d", "1")}
	objects := []client.Object{h.claims["own"], h.nodes["own"]}
	for i, priority := range []int32{0, 10, -5, 10} {
		pods[i].Spec.Priority = &priority
		objects = append(objects, pods[i])
	}
	r := newRig(t, objects...)
	for _, p := range pods {
		r.Cluster.SetPlans(map[types.UID]state.Plan{p.UID: planned(h.now, p, state.Plan{NodeClaim: "own"})})
	}
	if err := r.Nominate(t.Context(), h.now, h.claims["own"], h.nodes["own"]); err != nil {
		t.Fatal(err)
	}
	var order []string
	for _, patch := range r.server.patched {
		name, _, _ := strings.Cut(patch, " ")
		order = append(order, name)
	}
	if want := []string{"b", "d", "a", "c"}; !slices.Equal(order, want) {
		t.Errorf("nominated in the order %q, want %q", order, want)
	}
}
