package provision

import (
	"context"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stowage-sh/stowage/provisioner/state"
	v1 "github.com/stowage-sh/stowage/provisioner/v1"
)

// oldNode is an initialized node that is called so, with its NodeClaim.
func oldNode(name string) (*v1.NodeClaim, *corev1.Node) {
	claim := &v1.NodeClaim{ObjectMeta: metav1.ObjectMeta{Name: name, UID: types.UID("claim-" + name), ResourceVersion: "1", Labels: map[string]string{v1.LabelNodePool: "general"}}}
	claim.Status.ProviderID = "i-" + name
	for _, kind := range []string{v1.ConditionRegistered, v1.ConditionInitialized} {
		claim.Status.Conditions = append(claim.Status.Conditions, metav1.Condition{Type: kind, Status: metav1.ConditionTrue})
	}
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, UID: types.UID("node-" + name), ResourceVersion: "1"}, Spec: corev1.NodeSpec{ProviderID: "i-" + name}}
	node.Status.Allocatable = corev1.ResourceList{"cpu": resource.MustParse("2"), "pods": resource.MustParse("20")}
	node.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}}
	return claim, node
}

// on is a pod of ReplicaSet web that runs on a node; without one it waits.
func on(node, name, cpu string) *corev1.Pod {
	p := waiting(name, cpu)
	yes := true
	p.OwnerReferences = []metav1.OwnerReference{{Kind: "ReplicaSet", Name: "web", UID: "web", Controller: &yes}}
	p.Labels = map[string]string{"app": "web"}
	if p.Spec.NodeName = node; node != "" {
		p.Status.Conditions[0] = corev1.PodCondition{Type: corev1.PodScheduled, Status: corev1.ConditionTrue}
	}
	return p
}

// chosen says that a claim is to be disrupted.
func chosen(claim *v1.NodeClaim) *v1.NodeClaim {
	claim = claim.DeepCopy()
	claim.ResourceVersion += "0"
	claim.Status.Conditions = append(claim.Status.Conditions, metav1.Condition{Type: v1.ConditionDisruptionReason, Status: metav1.ConditionTrue, Reason: "Drifted"})
	return claim
}

// places lists where pods are planned to go.
func (r *rig) places() string {
	plans := r.Cluster.Snapshot().Plans
	var words []string
	for uid, plan := range plans.All() {
		words = append(words, string(uid)+"→"+plan.NodeClaim)
	}
	return strings.Join(words, " ")
}

func (r *rig) wantPlaces(want string) {
	r.t.Helper()
	if got := r.places(); got != want {
		r.t.Fatalf("places are %q, want %q", got, want)
	}
}

// TestPodsOfLeavingNodesArePlanned: their next place is bought while they run, and whoever
// comes after them has it.
func TestPodsOfLeavingNodesArePlanned(t *testing.T) {
	claim, node := oldNode("old")
	a, b := on("old", "a", "1"), on("old", "b", "1")
	r := newRig(t, nodePool("general"), claim, node, a, b, on("old", "alone", "100m"))
	daemon := on("old", "daemon", "100m")
	daemon.OwnerReferences[0].Kind = "DaemonSet"
	r.seen(daemon)
	alone := on("old", "alone", "100m")
	alone.ResourceVersion, alone.OwnerReferences = "2", nil
	r.seen(alone)
	r.step(0)
	r.step(time.Second)
	r.wantPlaces("")
	r.seen(chosen(claim))
	r.step(0)
	r.step(time.Second)
	r.wantPlaces("a→general-1 b→general-1")
	if told := r.events.take(); told != "" {
		t.Errorf("pods that run were told %s", told)
	}
	for range 60 { // it takes its time
		r.step(time.Second)
	}
	r.wantPlaces("a→general-1 b→general-1")

	// a ends; its controller makes c, which kube-scheduler cannot place yet.
	a = a.DeepCopy()
	a.ResourceVersion, a.DeletionTimestamp, a.DeletionGracePeriodSeconds = "2", &metav1.Time{Time: r.now.Add(30 * time.Second)}, new(int64(30))
	r.seen(a)
	r.step(time.Second)
	r.wantPlaces("a→general-1 b→general-1")
	c := on("", "c", "1")
	c.CreationTimestamp = metav1.NewTime(r.now)
	r.seen(c)
	r.step(100 * time.Millisecond)
	r.wantPlaces("b→general-1 c→general-1")

	// b is gone at once; d, which comes after it, is bound before anybody looks.
	r.Cluster.Forget(b)
	r.step(0)
	r.wantPlaces("b→general-1 c→general-1")
	d := on("elsewhere", "d", "1")
	d.CreationTimestamp = metav1.NewTime(r.now.Add(time.Second))
	r.seen(d)
	r.step(time.Second)
	r.wantPlaces("c→general-1")
	if r.server.created != 1 {
		t.Errorf("%d NodeClaims were created, want 1", r.server.created)
	}
}

// TestHeirsThatDoNotCome: a place is not kept for ever.
func TestHeirsThatDoNotCome(t *testing.T) {
	claim, node := oldNode("old")
	a := on("old", "a", "1")
	r := newRig(t, nodePool("general"), chosen(claim), node, a)
	r.step(0)
	r.step(time.Second)
	r.wantPlaces("a→general-1")
	r.Cluster.Forget(a)
	r.step(time.Second)
	r.wantPlaces("a→general-1")
	early := on("elsewhere", "early", "1") // it was there before
	early.CreationTimestamp = metav1.NewTime(r.now.Add(-time.Minute))
	r.seen(early)
	r.step(time.Second)
	r.wantPlaces("a→general-1")
	r.step(10 * time.Second)
	r.wantPlaces("")
}

// TestMovesEnd: what was decided for a pod that runs holds as long as it has to leave, and its
// place is there.
func TestMovesEnd(t *testing.T) {
	claim, node := oldNode("old")
	other, otherNode := oldNode("other")
	stateful := on("old", "a", "1")
	stateful.OwnerReferences[0].Kind = "StatefulSet"
	for name, test := range map[string]struct {
		then func(r *rig)
		want string
	}{
		"nothing happens": {func(*rig) {}, "a→other"},
		"the node stays": {func(r *rig) {
			back := claim.DeepCopy()
			back.ResourceVersion = "100"
			r.seen(back)
		}, ""},
		"the other node leaves too": {func(r *rig) { r.seen(chosen(other)) }, "a→general-1"},
		"others took the room":      {func(r *rig) { r.seen(on("other", "big", "1500m")) }, "a→general-1"},
		"the node is deleted": {func(r *rig) {
			gone := chosen(claim)
			gone.ResourceVersion, gone.DeletionTimestamp = "100", &metav1.Time{Time: r.now}
			r.seen(gone)
		}, "a→other"},
		"a pod of a StatefulSet ends slowly": {func(r *rig) {
			p := stateful.DeepCopy()
			p.ResourceVersion, p.DeletionTimestamp, p.DeletionGracePeriodSeconds = "2", &metav1.Time{Time: r.now.Add(time.Hour)}, new(int64(3600))
			r.seen(p)
		}, "a→other"},
	} {
		t.Run(name, func(t *testing.T) {
			p := on("old", "a", "1")
			if strings.Contains(name, "StatefulSet") {
				p = stateful
			}
			r := newRig(t, nodePool("general"), chosen(claim), node, other, otherNode, p)
			r.step(0)
			r.step(time.Second)
			r.wantPlaces("a→other")
			test.then(r)
			for range 15 {
				r.step(time.Second)
			}
			r.wantPlaces(test.want)
		})
	}
}

// TestPodsThatMayNotBeEvicted are planned for when they have to go, and not before.
func TestPodsThatMayNotBeEvicted(t *testing.T) {
	claim, node := oldNode("old")
	deleted := func(deadline time.Duration) *v1.NodeClaim {
		c := claim.DeepCopy()
		c.ResourceVersion, c.DeletionTimestamp = "2", &metav1.Time{Time: time.Unix(1_700_000_000, 0)}
		if deadline > 0 {
			c.Annotations = map[string]string{v1.AnnotationTerminationTimestamp: c.DeletionTimestamp.Add(deadline).UTC().Format(time.RFC3339)}
		}
		return c
	}
	budget := &policyv1.PodDisruptionBudget{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "web", UID: "budget", ResourceVersion: "1"},
		Spec: policyv1.PodDisruptionBudgetSpec{Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "web"}}}}
	second := budget.DeepCopy()
	second.Name, second.UID, second.Status.DisruptionsAllowed = "web-2", "budget-2", 1
	allows := budget.DeepCopy()
	allows.Status.DisruptionsAllowed = 1
	protected := on("old", "a", "1")
	protected.Annotations = map[string]string{v1.AnnotationDoNotDisrupt: "true"}
	for name, test := range map[string]struct {
		objects []client.Object
		want    string
	}{
		"nothing keeps it":       {[]client.Object{deleted(0), on("old", "a", "1")}, "a→general-1"},
		"do-not-disrupt":         {[]client.Object{deleted(0), protected}, ""},
		"till a deadline, far":   {[]client.Object{deleted(time.Hour), protected}, ""},
		"till a deadline, near":  {[]client.Object{deleted(time.Minute), protected}, "a→general-1"},
		"a budget that is spent": {[]client.Object{deleted(0), on("old", "a", "1"), budget}, ""},
		"a budget that allows":   {[]client.Object{deleted(0), on("old", "a", "1"), allows}, "a→general-1"},
		"two budgets":            {[]client.Object{deleted(0), on("old", "a", "1"), allows, second}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, append(test.objects, nodePool("general"), node)...)
			r.step(0)
			r.step(time.Second)
			r.wantPlaces(test.want)
		})
	}
}

// TestForesee says what would find no place, and does nothing.
func TestForesee(t *testing.T) {
	claim, node := oldNode("old")
	picky := on("old", "picky", "1")
	picky.Spec.NodeSelector = map[string]string{"example.com/disk": "gold"}
	r := newRig(t, nodePool("general"), claim, node, on("old", "a", "1"), picky)
	stuck, err := r.Foresee(context.Background(), r.now, r.Cluster.Snapshot(), []*v1.NodeClaim{claim})
	if err != nil {
		t.Fatal(err)
	}
	if why := stuck["picky"]; len(stuck) != 1 || !strings.Contains(why, "example.com/disk") {
		t.Errorf("without a place would be %v", stuck)
	}
	r.step(0)
	r.step(time.Second)
	r.wantPlaces("")
	r.want("old()")
	if stuck, err := r.Foresee(context.Background(), r.now, &state.Snapshot{}, nil); err != nil || len(stuck) != 0 {
		t.Errorf("of nothing: %v, %v", stuck, err)
	}
}

// TestHeirTakesOnePlace, and not one more with each step, if it is bound already.
func TestHeirTakesOnePlace(t *testing.T) {
	claim, node := oldNode("old")
	a, b := on("old", "a", "1"), on("old", "b", "1")
	r := newRig(t, nodePool("general"), chosen(claim), node, a, b)
	r.step(0)
	r.step(time.Second)
	r.wantPlaces("a→general-1 b→general-1")
	for _, p := range []*corev1.Pod{a, b} { // evicted in the same second
		p = p.DeepCopy()
		p.ResourceVersion, p.DeletionTimestamp, p.DeletionGracePeriodSeconds = "2", &metav1.Time{Time: r.now.Add(30 * time.Second)}, new(int64(30))
		r.seen(p)
	}
	x := on("elsewhere", "x", "1") // comes after one of them, and is bound at once
	x.CreationTimestamp = metav1.NewTime(r.now.Truncate(time.Second).Add(time.Second))
	r.seen(x)
	r.step(100 * time.Millisecond)
	r.wantPlaces("b→general-1")
	r.step(100 * time.Millisecond)
	r.wantPlaces("b→general-1") // y is still to come
}
