package provision

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stowage-sh/stowage/binpack"
	"github.com/stowage-sh/stowage/provisioner/state"
	v1 "github.com/stowage-sh/stowage/provisioner/v1"
	"github.com/stowage-sh/stowage/provisioner/v1beta1"
)

// bufferOf asks for room for so many pods of one core, and comes with their template.
func bufferOf(name string, replicas int32) []client.Object {
	meta := metav1.ObjectMeta{Namespace: "default", Name: name, UID: types.UID(name), ResourceVersion: "1"}
	b := &v1beta1.CapacityBuffer{ObjectMeta: meta}
	b.Spec.PodTemplateRef, b.Spec.Replicas = &v1beta1.LocalObjectRef{Name: name}, &replicas
	return []client.Object{b, &corev1.PodTemplate{ObjectMeta: meta, Template: corev1.PodTemplateSpec{Spec: waiting("", "1").Spec}}}
}

// spareOn counts the headroom on each NodeClaim or node: "general-1:2 n:1".
func (r *rig) spareOn() string {
	counts := map[string]int{}
	for _, plan := range r.Cluster.Snapshot().Plans.All() {
		if plan.IsHeadroom() {
			counts[plan.NodeClaim+plan.Node]++
		}
	}
	var words []string
	for place, n := range counts {
		words = append(words, fmt.Sprintf("%s:%d", place, n))
	}
	slices.Sort(words)
	return strings.Join(words, " ")
}

func (r *rig) wantSpare(want string) {
	r.t.Helper()
	if got := r.spareOn(); got != want {
		r.t.Fatalf("headroom is on %q, want %q", got, want)
	}
}

// decisions counts those that are verified.
func (r *rig) decisions() *int {
	n := new(int)
	r.verify = func(p *binpack.Problem, s *binpack.Solution) error { *n++; return binpack.Verify(p, s) }
	return n
}

// TestHeadroomIsDecidedOnce and not again as long as nothing changes; after another change it is
// reviewed a minute later, and after a restart what was bought is found.
func TestHeadroomIsDecidedOnce(t *testing.T) {
	objects := append(bufferOf("spare", 3), nodePool("general"))
	r := newRig(t, objects...)
	n := r.decisions()
	r.step(0)
	r.want("general-1() general-2()") // no pod is to come there
	r.wantSpare("general-1:2 general-2:1")
	for range 100 {
		r.step(time.Minute)
	}
	if *n != 1 {
		t.Errorf("%d decisions, and nothing has changed", *n)
	}
	other := nodePool("other")
	for i := range 30 {
		r.seen(r.server.next(other.DeepCopy()))
		r.step(2 * time.Second)
		if *n > 2 {
			t.Fatalf("%d decisions within %d s", *n, 2*i)
		}
	}
	if *n != 2 {
		t.Errorf("%d decisions, want a second one", *n)
	}
	objects = append(objects, r.claim("general-1"), r.claim("general-2"))
	r.restart(objects...)
	r.step(0)
	r.wantSpare("general-1:2 general-2:1")
	r.want("general-1() general-2()")
	if said := r.events.take(); said != "" {
		t.Errorf("users were told %s", said)
	}
}

// TestPodsComeBeforeHeadroom: they get its room on a machine that is on its way, and it is bought once
// more in the same step; nobody waits for what is gathered.
func TestPodsComeBeforeHeadroom(t *testing.T) {
	r := newRig(t, append(bufferOf("spare", 2), nodePool("general"))...)
	r.step(0)
	r.wantSpare("general-1:2")
	r.seen(waiting("a", "1500m"))
	r.step(time.Second)
	r.wantSpare("general-1:2") // until it is known
	r.step(time.Second)
	r.want("general-1(a) general-2()")
	r.wantSpare("general-2:2")

	r.seen(waiting("b", "100m"))
	r.step(time.Second)
	for _, o := range bufferOf("late", 1) {
		r.seen(o)
	}
	r.step(500 * time.Millisecond)
	r.wantSpare("general-2:2") // pods are being gathered
	r.step(500 * time.Millisecond)
	r.want("general-1(a b) general-2() general-3()")
	r.wantSpare("general-2:2 general-3:1")
}

// TestHeadroomIsTaken by pods that kube-scheduler binds, together with those that are planned there;
// and it is not on a node that takes no pods.
func TestHeadroomIsTaken(t *testing.T) {
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n", UID: "n", ResourceVersion: "1"}}
	node.Status.Allocatable = corev1.ResourceList{"cpu": resource.MustParse("4"), "memory": resource.MustParse("8Gi"), "pods": resource.MustParse("10")}
	r := newRig(t, append(bufferOf("spare", 2), nodePool("general"), node)...)
	r.step(0)
	r.wantSpare("n:2")
	r.Cluster.SetPlans(map[types.UID]state.Plan{"planned": {Node: "n", At: r.now}})
	r.seen(waiting("planned", "1"))
	r.step(time.Second)
	r.wantSpare("n:2")
	bound := waiting("bound", "1500m")
	bound.Spec.NodeName = "n"
	r.seen(bound)
	r.step(time.Second)
	r.want("general-1()") // there are half a core and the pod that is planned too many
	r.wantSpare("general-1:1 n:1")
	closed := node.DeepCopy()
	closed.Spec.Unschedulable = true
	r.seen(r.server.next(closed))
	r.step(time.Second)
	r.wantSpare("general-1:2")
}

// TestHeadroomIsNotBought: a plan that is refused buys nothing, and a NodeClaim that cannot be written
// is tried again; both are said, and neither to a pod.
func TestHeadroomIsNotBought(t *testing.T) {
	r := newRig(t, append(bufferOf("spare", 2), nodePool("general"))...)
	if _, decided := r.Missing(); decided {
		t.Error("it is decided already")
	}
	key := types.NamespacedName{Namespace: "default", Name: "spare"}
	r.verify = func(*binpack.Problem, *binpack.Solution) error { return errors.New("wrong") }
	if _, err := r.try(0); err == nil || !strings.Contains(err.Error(), "wrong") {
		t.Errorf("error %v", err)
	}
	if why, decided := r.Missing(); !decided || !strings.Contains(why[key], "nothing is launched: wrong") {
		t.Errorf("missing because %q", why)
	}
	r.verify = nil
	r.server.refuse = func(client.Object) error { return errConflict }
	if _, err := r.try(9 * time.Second); err != nil {
		t.Errorf("tried again too soon: %v", err)
	}
	if _, err := r.try(time.Second); err == nil {
		t.Error("no error")
	}
	if why, _ := r.Missing(); !strings.Contains(why[key], "busy") {
		t.Errorf("missing because %q", why)
	}
	r.want("")
	r.server.refuse = nil
	r.step(10 * time.Second)
	r.wantSpare("general-2:2")
	if why, decided := r.Missing(); !decided || len(why) > 0 {
		t.Errorf("missing because %q", why)
	}
	if said := r.events.take(); said != "" {
		t.Errorf("users were told %s", said)
	}
}

// TestNobodyAwaitsHeadroom: nodes that pods are for open without those that are for none.
func TestNobodyAwaitsHeadroom(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	c := state.New()
	c.SetPlans(map[types.UID]state.Plan{
		"a": {NodeClaim: "one", At: now},
		"b": {NodeClaim: "two", At: now, Headroom: state.Headroom{Buffer: types.NamespacedName{Name: "spare"}}},
	})
	all := gatherings(c.Snapshot())
	if len(all) != 1 || len(all[0].claims) != 1 || !all[0].claims["one"] {
		t.Errorf("gatherings %+v", all)
	}
}

// TestHeadroomMoves from a NodeClaim that is on its way out, which is remembered until it is gone.
func TestHeadroomMoves(t *testing.T) {
	r := newRig(t, append(bufferOf("spare", 2), nodePool("general"))...)
	r.step(0)
	leaving := r.claim("general-1")
	leaving.Status.Conditions = []metav1.Condition{{Type: v1.ConditionDisruptionReason, Status: metav1.ConditionTrue}}
	r.seen(leaving)
	r.step(time.Second)
	from := func(want string) {
		t.Helper()
		r.wantSpare("general-2:2")
		for uid, plan := range r.Cluster.Snapshot().Plans.All() {
			if plan.Headroom.From != want {
				t.Errorf("%s comes from %q, want %q", uid, plan.Headroom.From, want)
			}
		}
	}
	from("general-1")
	r.seen(r.server.next(nodePool("other")))
	r.step(time.Minute)
	from("general-1")
	r.Cluster.Forget(leaving)
	r.step(time.Minute)
	from("")
}
