package main

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	toolscache "k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/stowage-sh/stowage/provisioner/state"
	v1 "github.com/stowage-sh/stowage/provisioner/v1"
)

// TestWhoeverIsWokenFindsTheChange: the state has an object before any
// controller hears of it, and has it no more before any hears that it is gone.
func TestWhoeverIsWokenFindsTheChange(t *testing.T) {
	cluster := state.New()
	f := &feed{cluster: cluster}
	queue := workqueue.NewTypedRateLimitingQueue(workqueue.DefaultTypedControllerRateLimiter[reconcile.Request]())
	defer queue.ShutDown()
	var there []bool
	look := func(obj client.Object) []string {
		_, ok := cluster.Snapshot().Nodes.Get(obj.GetName())
		there = append(there, ok)
		return []string{obj.GetName()}
	}
	if err := f.source(look, 0).Start(t.Context(), queue); err != nil {
		t.Fatal(err)
	}
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n", UID: "n"}}
	f.observe(node)
	f.forget(toolscache.DeletedFinalStateUnknown{Obj: node}) // as after a watch that was cut
	if len(there) != 2 || !there[0] || there[1] {
		t.Errorf("the node was there when it was added, and when it was gone: %v", there)
	}
	request, _ := queue.Get()
	if request.Name != "n" {
		t.Errorf("woken for %q", request.Name)
	}
}

// TestNotReadyUntilTheWatchesHaveCaughtUp: one that has not is enough.
func TestNotReadyUntilTheWatchesHaveCaughtUp(t *testing.T) {
	caught := false
	f := &feed{synced: []toolscache.InformerSynced{func() bool { return true }, func() bool { return caught }}}
	if err := f.check(nil); err == nil {
		t.Error("ready though a watch has not caught up")
	}
	caught = true
	if err := f.check(nil); err != nil {
		t.Error(err)
	}
}

func TestABurstWakesOnce(t *testing.T) {
	f := &feed{cluster: state.New()}
	queue := workqueue.NewTypedRateLimitingQueue(workqueue.DefaultTypedControllerRateLimiter[reconcile.Request]())
	defer queue.ShutDown()
	one := func(client.Object) []string { return []string{"cluster"} }
	if err := f.source(one, time.Millisecond).Start(t.Context(), queue); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"a", "b", "c"} {
		f.observe(&corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, UID: "n"}})
	}
	if request, _ := queue.Get(); request.Name != "cluster" || queue.Len() != 0 {
		t.Errorf("woken for %q, and %d times more", request.Name, queue.Len())
	}
}

// TestOthersAreLeftAlone: NodePools and NodeClaims of another cloud's NodeClass never
// reach the state, so that no controller can touch them, and ours do.
func TestOthersAreLeftAlone(t *testing.T) {
	f := &feed{cluster: state.New()}
	for name, group := range map[string]string{"auto": "eks.amazonaws.com", "ours": "karpenter.k8s.aws"} {
		pool, claim := &v1.NodePool{ObjectMeta: metav1.ObjectMeta{Name: name, UID: types.UID(name)}}, &v1.NodeClaim{ObjectMeta: metav1.ObjectMeta{Name: name, UID: types.UID(name)}}
		pool.Spec.Template.Spec.NodeClassRef.Group, claim.Spec.NodeClassRef.Group = group, group
		f.observe(pool)
		f.observe(claim)
	}
	s := f.cluster.Snapshot()
	_, pool := s.NodePools.Get("ours")
	_, claim := s.NodeClaims.Get("ours")
	if !pool || !claim || s.NodePools.Len() != 1 || s.NodeClaims.Len() != 1 {
		t.Errorf("the state has %d NodePools and %d NodeClaims, ours among them: %v, %v", s.NodePools.Len(), s.NodeClaims.Len(), pool, claim)
	}
}
