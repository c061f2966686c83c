package state

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stowage-sh/stowage/cloudprovider"
	v1 "github.com/stowage-sh/stowage/provisioner/v1"
)

// pod makes one; its label says which version of it this is.
func pod(name, uid, version string) *corev1.Pod {
	return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{
		Namespace: "default", Name: name, UID: types.UID(uid), ResourceVersion: version, Labels: map[string]string{"v": uid + "." + version},
	}}
}

func pods(s *Snapshot) string {
	var words []string
	for _, p := range s.Pods.All() {
		words = append(words, p.Name+"="+p.Labels["v"])
	}
	return strings.Join(words, " ")
}

// TestObserve tells the cluster of versions in an order, and looks at what is
// known after each.
func TestObserve(t *testing.T) {
	type step struct {
		see, gone *corev1.Pod
		want      string
	}
	for name, steps := range map[string][]step{
		"ordered by name":           {{see: pod("b", "1", "1"), want: "b=1.1"}, {see: pod("a", "2", "2"), want: "a=2.2 b=1.1"}},
		"newer replaces":            {{see: pod("a", "1", "9"), want: "a=1.9"}, {see: pod("a", "1", "10"), want: "a=1.10"}},
		"older is ignored":          {{see: pod("a", "1", "10"), want: "a=1.10"}, {see: pod("a", "1", "9"), want: "a=1.10"}},
		"versions are numbers":      {{see: pod("a", "1", "99999999999999999999"), want: "a=1.99999999999999999999"}, {see: pod("a", "1", "5"), want: "a=1.5"}},
		"gone":                      {{see: pod("a", "1", "1"), want: "a=1.1"}, {gone: pod("a", "1", "2")}},
		"an answer after the end":   {{see: pod("a", "1", "1"), want: "a=1.1"}, {gone: pod("a", "1", "2")}, {see: pod("a", "1", "3")}},
		"gone before it was seen":   {{gone: pod("a", "1", "2")}, {see: pod("a", "1", "1")}},
		"another of the same name":  {{see: pod("a", "1", "5"), want: "a=1.5"}, {see: pod("a", "2", "3"), want: "a=2.3"}},
		"the end of the one before": {{see: pod("a", "1", "5"), want: "a=1.5"}, {see: pod("a", "2", "7"), want: "a=2.7"}, {gone: pod("a", "1", "6"), want: "a=2.7"}},
		"the one before, late":      {{see: pod("a", "1", "5"), want: "a=1.5"}, {gone: pod("a", "1", "6")}, {see: pod("a", "2", "7"), want: "a=2.7"}, {see: pod("a", "1", "6"), want: "a=2.7"}},
	} {
		t.Run(name, func(t *testing.T) {
			c := New()
			for i, s := range steps {
				if s.see != nil {
					c.Observe(s.see)
				} else {
					c.Forget(s.gone)
				}
				if got := pods(c.Snapshot()); got != s.want {
					t.Fatalf("after step %d: %q, want %q", i, got, s.want)
				}
			}
		})
	}
}

func TestRevisionRisesWithChangesOnly(t *testing.T) {
	c := New()
	last := c.Snapshot()
	for i, c1 := range []struct {
		do      func()
		changed bool
	}{
		{func() { c.Observe(pod("a", "1", "1")) }, true},
		{func() { c.Observe(pod("a", "1", "1")) }, false},
		{func() { c.Observe(&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "s", UID: "s"}}) }, false},
		{func() { c.Forget(pod("b", "7", "1")) }, false},
		{func() { c.Observe(class("x", "1")) }, true},
		{func() { c.Observe(class("x", "1")) }, false},
		{func() { c.Forget(class("x", "2")) }, true},
		{func() { c.Forget(class("x", "2")) }, false},
		{func() { c.SetPlans(map[types.UID]Plan{"1": {Node: "n"}}) }, true},
		{func() { c.SetPlans(nil) }, false},
		{func() { c.DropPlans("2") }, false},
		{func() { c.DropPlans("1") }, true},
		{func() { c.SetPlans(map[types.UID]Plan{"9": {Node: "n"}}) }, true},
		{func() { c.Forget(pod("z", "9", "1")) }, true}, // its plan went
	} {
		c1.do()
		next := c.Snapshot()
		if (next.Revision > last.Revision) != c1.changed || (next != last) != c1.changed {
			t.Errorf("step %d: revision %d after %d, want a change: %v", i, next.Revision, last.Revision, c1.changed)
		}
		last = next
	}
}

// A shipyard is a NodeClass of a cloud that we know nothing of.
type shipyard struct{ corev1.Secret }

func (s *shipyard) Ref() cloudprovider.NodeClassRef {
	return cloudprovider.NodeClassRef{Group: "sea", Kind: "Shipyard", Name: s.Name}
}
func (s *shipyard) Readiness() (bool, string)      { return true, "" }
func (s *shipyard) DeepCopyObject() runtime.Object { return &shipyard{*s.Secret.DeepCopy()} }

func class(name, version string) *shipyard {
	return &shipyard{corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: name, UID: types.UID(name), ResourceVersion: version}}}
}

// TestNodeClasses are found by what NodePools say of them: group and kind as well
// as name. What was written to them is not undone by a late watch.
func TestNodeClasses(t *testing.T) {
	c := New()
	written := class("x", "")
	if err := Recorded(&answers{version: 10}, c).PatchStatus(t.Context(), written, nil); err != nil {
		t.Fatal(err)
	}
	c.Observe(class("x", "5"))
	s := c.Snapshot()
	if got, ok := s.NodeClass(written.Ref()); !ok || got.GetResourceVersion() != "11" {
		t.Errorf("found %v: %v, want version 11", ok, got)
	}
	for _, ref := range []cloudprovider.NodeClassRef{{Group: "sea", Kind: "Shipyard", Name: "y"}, {Group: "sea", Kind: "Dock", Name: "x"}, {Kind: "Shipyard", Name: "x"}} {
		if got, ok := s.NodeClass(ref); ok {
			t.Errorf("%s is %v", ref, got)
		}
	}
}

// TestSelecting: what selects pods comes and goes like all else.
func TestSelecting(t *testing.T) {
	c := New()
	at := func(uid string) metav1.ObjectMeta {
		return metav1.ObjectMeta{Namespace: "default", Name: "web", UID: types.UID(uid)}
	}
	all := []client.Object{
		&corev1.Service{ObjectMeta: at("1")}, &corev1.ReplicationController{ObjectMeta: at("2")}, &appsv1.ReplicaSet{ObjectMeta: at("3")},
		&appsv1.StatefulSet{ObjectMeta: at("4")}, &appsv1.Deployment{ObjectMeta: at("5")},
	}
	kinds := func() int {
		s := c.Snapshot().Selecting
		return s.Services.Len() + s.ReplicationControllers.Len() + s.ReplicaSets.Len() + s.StatefulSets.Len() + s.Deployments.Len()
	}
	for i, o := range all {
		if c.Observe(o); kinds() != i+1 {
			t.Errorf("%T is not there", o)
		}
	}
	for i, o := range all {
		if c.Forget(o); kinds() != len(all)-1-i {
			t.Errorf("%T is still there", o)
		}
	}
}

// TestSnapshotShares: what did not change is the same memory as before, and what changed is in a
// later snapshot only.
func TestSnapshotShares(t *testing.T) {
	c := New()
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n", UID: "n", ResourceVersion: "1"}, Spec: corev1.NodeSpec{ProviderID: "i-1"}}
	claim := &v1.NodeClaim{ObjectMeta: metav1.ObjectMeta{Name: "c", UID: "c", ResourceVersion: "1"}, Status: v1.NodeClaimStatus{ProviderID: "i-1"}}
	bound := pod("a", "1", "1")
	bound.Spec.NodeName = "n"
	for _, o := range []client.Object{node, claim, bound} {
		c.Observe(o)
	}
	before := c.Snapshot()
	c.Observe(pod("b", "2", "1"))
	after := c.Snapshot()
	if &before.Nodes.All()[0] != &after.Nodes.All()[0] || &before.NodeClaims.All()[0] != &after.NodeClaims.All()[0] {
		t.Error("nodes and claims were copied though only pods changed")
	}
	if &before.Pods.All()[0] == &after.Pods.All()[0] || before.Pods.Len() != 1 || after.Pods.Len() != 2 {
		t.Errorf("the old snapshot has %d pods, the new one %d", before.Pods.Len(), after.Pods.Len())
	}
	if got, ok := after.NodeOf(claim); !ok || got != node {
		t.Error("the claim's node is not found")
	}
	moved := node.DeepCopy()
	moved.ResourceVersion, moved.Spec.ProviderID = "2", "i-2"
	c.Observe(moved)
	last := c.Snapshot()
	if &after.PodsOn("n")[0] != &last.PodsOn("n")[0] {
		t.Error("the index of pods was made again though only a node changed")
	}
	if _, ok := last.NodeOf(claim); ok {
		t.Error("the node is found by the provider ID that it had")
	}
	if _, ok := after.NodeOf(claim); !ok {
		t.Error("the old snapshot changed")
	}
}

// TestPlansAreShared as long as none changes; and what an old snapshot says of them
// does not depend on when it is asked.
func TestPlansAreShared(t *testing.T) {
	c := New()
	c.SetPlans(map[types.UID]Plan{"1": {NodeClaim: "new"}})
	before := c.Snapshot()
	c.Observe(pod("a", "1", "1"))
	after := c.Snapshot()
	if before.Plans != after.Plans {
		t.Error("plans were taken anew though only pods changed")
	}
	c.SetPlans(map[types.UID]Plan{"2": {NodeClaim: "new"}})
	last := c.Snapshot()
	if got := fmt.Sprint(before.PlannedFor("new"), before.Plans.Len(), last.PlannedFor("new"), last.Plans.Len()); got != "[1] 1 [1 2] 2" {
		t.Errorf("planned before and after: %s", got)
	}
}

func TestIndexes(t *testing.T) {
	c := New()
	c.Observe(&corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "bare", UID: "bare"}})
	c.Observe(&v1.NodeClaim{ObjectMeta: metav1.ObjectMeta{Name: "new", UID: "new"}})
	c.SetPlans(map[types.UID]Plan{
		"3": {NodeClaim: "new", Priority: -7}, "1": {NodeClaim: "new", Priority: -9, At: time.Unix(1, 0), Spread: true}, "2": {Node: "bare", Priority: 3},
	})
	s := c.Snapshot()
	node, _ := s.Nodes.Get("bare")
	claim, _ := s.NodeClaims.Get("new")
	if _, ok := s.NodeOf(claim); ok {
		t.Error("a claim without provider ID has the node without one")
	}
	if _, ok := s.ClaimOf(node); ok {
		t.Error("a node without provider ID has the claim without one")
	}
	if got := fmt.Sprint(s.PlannedFor("new")); got != "[1 3]" {
		t.Errorf("planned for the claim: %s", got)
	}
	c.Forget(pod("a", "1", "1"))
	if got := fmt.Sprint(c.Snapshot().PlannedFor("new")); got != "[3]" {
		t.Errorf("planned for the claim after the pod went: %s", got)
	}
}

// TestTombstonesAreARing: the oldest makes room, the later ones stay.
func TestTombstonesAreARing(t *testing.T) {
	var g tombstones
	for i := range len(g.ring) + 1 {
		g.add(types.UID(fmt.Sprint(i)))
		g.add(types.UID(fmt.Sprint(i))) // twice is once
	}
	g.add("")
	if g.has("0") || !g.has("1") || !g.has(types.UID(fmt.Sprint(len(g.ring)))) || g.has("") || len(g.set) != len(g.ring) {
		t.Errorf("%d of %d remembered; the first %v, the second %v", len(g.set), len(g.ring), g.has("0"), g.has("1"))
	}
}

// TestReadersWhileItChanges has readers look at snapshots while a writer changes
// the cluster. The race detector does the judging; each snapshot holds together.
func TestReadersWhileItChanges(t *testing.T) {
	c := New()
	var group sync.WaitGroup
	stop := make(chan struct{})
	for range 4 {
		group.Go(func() {
			last := uint64(0)
			for {
				select {
				case <-stop:
					return
				default:
				}
				s := c.Snapshot()
				if s.Revision < last {
					t.Error("a revision fell")
				}
				last = s.Revision
				n := 0
				for _, p := range s.Pods.All() {
					n += len(p.Labels)
					if _, ok := s.Pods.Namespaced(p.Namespace, p.Name); !ok {
						t.Errorf("pod %s is in the list and not found", p.Name)
					}
				}
				if n != s.Pods.Len() || len(s.PodsOn("n")) > s.Pods.Len() {
					t.Error("the snapshot does not hold together")
				}
				for range s.Plans.All() {
					n++
				}
			}
		})
	}
	for i := range 500 {
		uid := fmt.Sprint(i % 20)
		p := pod("p"+uid, uid, fmt.Sprint(i+1))
		p.Spec.NodeName = "n"
		c.Observe(p)
		c.SetPlans(map[types.UID]Plan{p.UID: {Node: "n"}})
		if i%7 == 0 {
			c.Forget(p)
			c.DropPlans(p.UID)
		}
	}
	close(stop)
	group.Wait()
}

// answers is a Writer that answers as the server would: the object with a new
// version.
type answers struct {
	version int
	err     error
}

func (a *answers) answer(obj client.Object) error {
	if a.err != nil {
		return a.err
	}
	a.version++
	obj.SetResourceVersion(fmt.Sprint(a.version))
	if obj.GetUID() == "" {
		obj.SetUID(types.UID("uid-of-" + obj.GetName()))
	}
	return nil
}

func (a *answers) Create(_ context.Context, obj client.Object) error { return a.answer(obj) }
func (a *answers) Patch(_ context.Context, obj client.Object, _ client.Patch) error {
	return a.answer(obj)
}
func (a *answers) PatchStatus(_ context.Context, obj client.Object, _ client.Patch) error {
	return a.answer(obj)
}
func (a *answers) Delete(context.Context, client.Object, ...client.DeleteOption) error { return a.err }
func (a *answers) Evict(context.Context, *corev1.Pod) error                            { return a.err }

// TestOwnWritesAreSeen: before the watch tells, and not undone by what it tells
// late.
func TestOwnWritesAreSeen(t *testing.T) {
	ctx := context.Background()
	c, server := New(), &answers{version: 10}
	w := Recorded(server, c)
	claim := &v1.NodeClaim{ObjectMeta: metav1.ObjectMeta{Name: "c", Finalizers: []string{v1.FinalizerTermination}}}
	get := func() *v1.NodeClaim { got, _ := c.Snapshot().NodeClaims.Get("c"); return got }

	if err := w.Create(ctx, claim); err != nil || get() == nil {
		t.Fatalf("the claim is not there after its creation: %v", err)
	}
	late := claim.DeepCopy()
	claim.Status.ProviderID = "i-1"
	if get().Status.ProviderID != "" {
		t.Fatal("the snapshot shares memory with the object that was written")
	}
	if err := w.PatchStatus(ctx, claim, nil); err != nil {
		t.Fatal(err)
	}
	c.Observe(late)
	if get().Status.ProviderID != "i-1" {
		t.Error("a late watch undid what was written")
	}

	server.err = errors.New("conflict")
	claim.Labels = map[string]string{"lost": "yes"}
	if err := w.Patch(ctx, claim, nil); !errors.Is(err, server.err) || get().Labels != nil {
		t.Errorf("after a write that failed (%v) labels are %v", err, get().Labels)
	}
	server.err = nil

	// The last finalizer of one that is being deleted ends it, for good.
	claim.DeletionTimestamp = &metav1.Time{}
	claim.Finalizers = nil
	if err := w.Patch(ctx, claim, nil); err != nil || get() != nil {
		t.Errorf("the claim is there after its last finalizer went: %v", err)
	}
	c.Observe(late)
	if get() != nil {
		t.Error("a late watch brought back a claim that is gone")
	}

	// A pod goes when kubelet has ended it, not before.
	p := pod("a", "1", "1")
	p.DeletionTimestamp = &metav1.Time{}
	if err := w.Patch(ctx, p, nil); err != nil || pods(c.Snapshot()) == "" {
		t.Errorf("a pod that still runs is gone: %v", err)
	}
}
