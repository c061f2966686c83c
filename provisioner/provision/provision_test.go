package provision

import (
	"errors"
	"maps"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stowage-sh/stowage/binpack"
	"github.com/stowage-sh/stowage/cloudprovider"
	"github.com/stowage-sh/stowage/provisioner/nodepool"
	"github.com/stowage-sh/stowage/provisioner/problem"
	v1 "github.com/stowage-sh/stowage/provisioner/v1"
)

func TestWindowGathersPods(t *testing.T) {
	r := newRig(t, nodePool("general"), waiting("a", "1"))
	if again := r.step(0); again != time.Second {
		t.Errorf("looks again after %v, want the window's second", again)
	}
	r.want("")
	r.seen(waiting("b", "1"))
	r.step(900 * time.Millisecond)
	r.step(900 * time.Millisecond)
	r.want("")
	r.step(100 * time.Millisecond)
	r.want("general-1(a b)")
	if got, want := r.events.take(), "a Normal Nominated: Pod should schedule on: nodeclaim/general-1\nb Normal Nominated: Pod should schedule on: nodeclaim/general-1"; got != want {
		t.Errorf("users were told\n%s\nwant\n%s", got, want)
	}
	if again := r.step(time.Second); again != 10*time.Second {
		t.Errorf("with nothing to wait for it looks again after %v", again)
	}
}

func TestWindowClosesInAStorm(t *testing.T) {
	r := newRig(t, nodePool("general"), waiting("a", "1"))
	r.step(0)
	for i := range 12 {
		r.seen(waiting("p"+string(rune('a'+i)), "100m"))
		r.step(900 * time.Millisecond)
	}
	if r.server.created == 0 {
		t.Error("nothing was bought for eleven seconds because pods kept coming")
	}
}

// TestSchedulersThatAreServed: pods of others wait for others.
func TestSchedulersThatAreServed(t *testing.T) {
	other, own := waiting("other", "1"), waiting("own", "1")
	other.Spec.SchedulerName, own.Spec.SchedulerName = "volcano", "mine"
	r := newRig(t, nodePool("general"), waiting("default", "1"), other, own)
	r.Schedulers = problem.Schedulers{corev1.DefaultSchedulerName, "mine"}
	r.step(0)
	r.step(time.Second)
	r.want("general-1(default own)")
}

// TestOneClaimForOnePod: the watch tells nothing of the claim, and the pod waits on.
func TestOneClaimForOnePod(t *testing.T) {
	r := newRig(t, nodePool("general"), waiting("a", "1"))
	r.step(0)
	for range 100 {
		r.step(time.Second)
	}
	r.want("general-1(a)")

	// The machine is launched and joins; kube-scheduler takes its time.
	c := r.claim("general-1")
	c.Status.ProviderID = "i-1"
	c.Status.Conditions = []metav1.Condition{{Type: v1.ConditionRegistered, Status: metav1.ConditionTrue}}
	r.seen(c)
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n", UID: "n", ResourceVersion: "1"}, Spec: corev1.NodeSpec{ProviderID: "i-1"}}
	node.Status.Allocatable = corev1.ResourceList{"cpu": resource.MustParse("2"), "pods": resource.MustParse("20")}
	r.seen(node)
	for range 60 {
		r.step(time.Second)
	}
	r.want("general-1(a)")

	// Bound: nothing is planned any more.
	bound := waiting("a", "1")
	bound.ResourceVersion, bound.Spec.NodeName = "1000", "n"
	r.seen(bound)
	r.step(time.Second)
	r.want("general-1()")
	if r.server.created != 1 {
		t.Errorf("%d claims were created", r.server.created)
	}
}

// TestAlikeIsLaunchedTogether: NodeClaims of a batch for which the same was decided say so, each with its place among them.
func TestAlikeIsLaunchedTogether(t *testing.T) {
	r := newRig(t, nodePool("general"), waiting("a", "7"), waiting("b", "8"), waiting("c", "1"))
	r.step(0)
	r.step(time.Second)
	places := map[v1.LaunchGroup]int{}
	for _, claim := range r.Cluster.Snapshot().NodeClaims.All() {
		g := v1.LaunchGroupOf(claim)
		g.ID = map[bool]string{true: "some"}[g.ID != ""]
		places[g]++
	}
	if want := (map[v1.LaunchGroup]int{{ID: "some", Size: 2}: 1, {ID: "some", Index: 1, Size: 2}: 1}); !maps.Equal(places, want) {
		t.Errorf("places are %v, want %v", places, want)
	}
}

// TestClaimsInFlightAreBins: after a restart nothing is known of plans, and what is
// under way is used before anything is bought.
func TestClaimsInFlightAreBins(t *testing.T) {
	pool, a, b := nodePool("general"), waiting("a", "1"), waiting("b", "1500m")
	r := newRig(t, pool, a)
	r.step(0)
	r.step(time.Second)
	r.want("general-1(a)")
	r.restart(pool, a, b, r.claim("general-1"))
	r.NewName = func(string) string { return "second" }
	r.step(0)
	r.step(time.Second)
	if got := r.claims(); got != "general-1(a) second(b)" && got != "general-1(b) second(a)" {
		t.Errorf("claims are %q: each of two should hold one pod", got)
	}
}

// TestRanOut: the claim went for lack of capacity. Its pods are solved at the next
// window, without the offering, and with no wait.
func TestRanOut(t *testing.T) {
	r := newRig(t, nodePool("general"), waiting("a", "1"))
	r.step(0)
	r.step(time.Second)
	c := r.claim("general-1")
	if got := c.Annotations[v1.AnnotationOfferings]; got != "small/a/on-demand" {
		t.Fatalf("decided on %s", got)
	}
	r.Availability.Mark(r.now, cloudprovider.Offering{InstanceType: "small", Zone: "a", CapacityType: cloudprovider.OnDemand})
	r.Cluster.Forget(c)
	r.step(0)
	r.step(time.Second)
	r.want("general-2(a)")
	if got := r.claim("general-2").Annotations[v1.AnnotationOfferings]; got != "large/a/on-demand" {
		t.Errorf("decided on %s though small ran out", got)
	}
}

func TestRefusedPlanCreatesNothing(t *testing.T) {
	r := newRig(t, nodePool("general"), waiting("a", "1"))
	refusal := errors.New("pattern 0 holds too much")
	r.verify = func(*binpack.Problem, *binpack.Solution) error { return refusal }
	r.step(0)
	if _, err := r.try(time.Second); !errors.Is(err, refusal) || !strings.Contains(err.Error(), "nothing is launched") {
		t.Errorf("the step says %v", err)
	}
	r.want("")
	want := "a Warning FailedScheduling: refusing the plan for a batch of 1 pods, nothing is launched: pattern 0 holds too much"
	if told := r.events.take(); r.server.created != 0 || told != want {
		t.Errorf("%d claims were created, users were told %q", r.server.created, told)
	}
	r.verify = nil // and it is not stuck
	r.step(9 * time.Second)
	r.want("")
	r.step(time.Second)
	r.step(time.Second)
	r.want("general-1(a)")
}

// TestCreateFails: the pods of the claim that could not be written are solved
// again, the others are not.
func TestCreateFails(t *testing.T) {
	r := newRig(t, nodePool("general"), waiting("a", "7"), waiting("b", "8"))
	failed := false
	r.server.refuse = func(o client.Object) error {
		if !failed {
			failed = true
			return errConflict
		}
		return nil
	}
	r.step(0)
	if _, err := r.try(time.Second); !errors.Is(err, error(errConflict)) {
		t.Errorf("the step says %v", err)
	}
	if got := r.claims(); got != "general-2(a)" && got != "general-2(b)" {
		t.Errorf("claims are %q", got)
	}
	if told := r.events.take(); !strings.Contains(told, "Warning FailedScheduling: creating a NodeClaim for NodePool general: ") {
		t.Errorf("users were told %q", told)
	}
	r.step(10 * time.Second)
	r.step(time.Second)
	if got := r.claims(); got != "general-2(a) general-3(b)" && got != "general-2(b) general-3(a)" {
		t.Errorf("claims are %q", got)
	}
}

// TestCreateWithoutAnAnswer: the claim may be there all the same, so it is asked
// for again under its name, and no second one is made.
func TestCreateWithoutAnAnswer(t *testing.T) {
	r := newRig(t, nodePool("general"), waiting("a", "7"))
	lost := false
	r.server.lose = func(client.Object) bool {
		defer func() { lost = true }()
		return !lost
	}
	r.step(0)
	r.step(time.Second)
	r.want("general-1(a)")
	for range 30 {
		r.step(time.Second)
	}
	r.want("general-1(a)")
}

// TestUsersAreTold why a pod waits: at once, again when the reason changes, and
// otherwise not before two minutes have passed.
func TestUsersAreTold(t *testing.T) {
	r := newRig(t, nodePool("general"), waiting("huge", "64"), waiting("fits", "1"))
	r.step(0)
	r.step(time.Second)
	r.want("general-1(fits)")
	first := "fits Normal Nominated: Pod should schedule on: nodeclaim/general-1\n" +
		"huge Warning FailedScheduling: Stowage finds no place: NodePool general: no offering is large enough: cpu wanted 64, the largest has 8 after DaemonSets"
	if got := r.events.take(); got != first {
		t.Errorf("users were told\n%s\nwant\n%s", got, first)
	}
	for range 110 {
		r.step(time.Second)
	}
	if got := r.events.take(); got != "" {
		t.Errorf("the same was told again: %s", got)
	}
	r.cloud.err = &cloudprovider.NotReadyError{Class: cloudprovider.NodeClassRef{Kind: "C", Group: "g", Name: "n"}, Reason: "no subnets"}
	for range 15 {
		r.step(time.Second)
	}
	if got := r.events.take(); got != "huge Warning FailedScheduling: Stowage finds no place: NodePool general: C.g/n is not ready: no subnets" {
		t.Errorf("after the reason changed users were told %q", got)
	}
	for range 200 {
		r.step(time.Second)
	}
	if got := r.events.take(); strings.Count(got, "\n") != 0 || got == "" {
		t.Errorf("within more than two and less than four minutes users were told %q", got)
	}
}

// TestFailuresAreToldOnce: what a webhook says has the name in it of the NodeClaim that it
// refuses, another each time; and each batch has another size.
func TestFailuresAreToldOnce(t *testing.T) {
	r := newRig(t, nodePool("general"), waiting("a", "1"))
	r.server.refuse = func(o client.Object) error {
		return apierrors.NewForbidden(schema.GroupResource{Resource: "nodeclaims"}, o.GetName(), errors.New("no more of them"))
	}
	again := func(seconds int) []string {
		for range seconds {
			_, _ = r.try(time.Second)
		}
		return strings.Split(r.events.take(), "\n")
	}
	tries := 0
	name := r.NewName
	r.NewName = func(pool string) string { tries++; return name(pool) }
	if told := again(110); len(told) != 1 || !strings.Contains(told[0], "no more of them") || tries < 5 {
		t.Errorf("after %d tries users were told %q", tries, told)
	}
	r.server.refuse = nil
	r.verify = func(*binpack.Problem, *binpack.Solution) error { return errors.New("too much") }
	if told := again(12); len(told) != 1 || !strings.Contains(told[0], "too much") {
		t.Errorf("of another failure users were told %q", told)
	}
	r.seen(waiting("b", "1"))
	if told := again(60); len(told) != 1 || !strings.HasPrefix(told[0], "b ") {
		t.Errorf("when a pod came users were told %q", told)
	}
}

// TestPoolThatIsNotReady buys nothing, and says why.
func TestPoolThatIsNotReady(t *testing.T) {
	for want, conditions := range map[string][]metav1.Condition{
		"its status is not known yet":      nil,
		"is not ready: NodeClass is going": {{Type: v1.ConditionReady, Status: metav1.ConditionFalse, Message: "NodeClass is going"}},
	} {
		pool := nodePool("general")
		pool.Status.Conditions = conditions
		r := newRig(t, pool, waiting("a", "1"))
		r.step(0)
		r.step(time.Second)
		r.want("")
		if got := r.events.take(); !strings.HasSuffix(got, want) {
			t.Errorf("users were told %q, want %q", got, want)
		}
	}
}

// TestBackoff: a NodePool whose machines do not join buys nothing for a while, then
// one at a time until one joins.
func TestBackoff(t *testing.T) {
	r := newRig(t)
	pool := nodePool("general")
	pool.Annotations = map[string]string{nodepool.AnnotationFailures: "2@" + r.now.UTC().Format(time.RFC3339)}
	for _, o := range []client.Object{pool, waiting("a", "8"), waiting("b", "8")} {
		r.seen(o)
	}
	for range 115 {
		r.step(time.Second)
	}
	r.want("")
	if got := r.events.take(); !strings.Contains(got, "buys nothing until 2023-11-14T22:15:20Z: 2 node(s) in a row never joined the cluster") {
		t.Errorf("users were told %q", got)
	}
	for i := 0; r.server.created == 0 && i < 20; i++ {
		r.step(time.Second)
	}
	if got := r.claims(); got != "general-1(a)" && got != "general-1(b)" {
		t.Fatalf("claims are %q, want one as a probe", got)
	}
	if got := r.events.take(); !strings.Contains(got, "may open no more nodes for now") {
		t.Errorf("users were told %q", got)
	}
	for range 30 {
		r.step(time.Second)
	}
	if r.server.created != 1 {
		t.Fatalf("%d claims while the probe is under way", r.server.created)
	}
	if got := r.events.take(); !strings.Contains(got, "waits for NodeClaim general-1 to join the cluster") {
		t.Errorf("users were told %q", got)
	}
	r.seen(r.server.next(nodePool("general"))) // lifecycle has cleared the count
	for range 15 {
		r.step(time.Second)
	}
	if r.server.created != 2 {
		t.Errorf("%d claims after the probe joined, want one for each pod", r.server.created)
	}
}

// TestPreemptionIsWaitedFor: kube-scheduler makes room; nothing is bought unless
// that comes to nothing.
func TestPreemptionIsWaitedFor(t *testing.T) {
	priority := int32(10)
	p := waiting("a", "1")
	p.Spec.Priority, p.Status.NominatedNodeName = &priority, "n"
	victim := waiting("victim", "1")
	victim.Spec.NodeName, victim.DeletionTimestamp = "n", &metav1.Time{}
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n", UID: "n"}}
	r := newRig(t, nodePool("general"), p, victim, node)
	for range 5 {
		r.step(time.Second)
	}
	r.want("")
	r.Cluster.Forget(victim)
	r.step(time.Second)
	r.step(time.Second)
	r.want("general-1(a)")
}

// TestNominate writes the node's name on the pods planned for it, once the node is
// open, and again when kube-scheduler erased it.
func TestNominate(t *testing.T) {
	r := newRig(t, nodePool("general"), waiting("a", "1"))
	r.step(0)
	r.step(time.Second)
	c := r.claim("general-1")
	c.Status.ProviderID = "i-1"
	r.seen(c)
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n", UID: "n", ResourceVersion: "1"}, Spec: corev1.NodeSpec{
		ProviderID: "i-1", Taints: []corev1.Taint{{Key: "starting", Effect: corev1.TaintEffectNoSchedule}},
	}, Status: corev1.NodeStatus{Allocatable: corev1.ResourceList{"cpu": resource.MustParse("4"), "memory": resource.MustParse("8Gi"), "pods": resource.MustParse("20")}, Conditions: []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}}}}
	r.seen(node)
	r.step(time.Second)
	if len(r.server.patched) != 0 {
		t.Fatalf("nominated while the node is closed: %s", r.server.patched)
	}
	open := node.DeepCopy()
	open.ResourceVersion, open.Spec.Taints = "2", nil
	r.seen(open)
	for range 3 {
		r.step(time.Second)
	}
	if got := strings.Join(r.server.patched, ", "); got != `a {"status":{"nominatedNodeName":"n"}}` {
		t.Fatalf("patches: %s", got)
	}
	r.seen(r.server.next(waiting("a", "1")))
	r.step(time.Second)
	if len(r.server.patched) != 2 {
		t.Errorf("patches after the name was erased: %s", r.server.patched)
	}
}
