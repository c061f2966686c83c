package state

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"runtime"
	"strconv"
	"sync"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	v1 "github.com/stowage-sh/stowage/provisioner/v1"
)

// A picture is all that a snapshot says, as text.
func picture(s *Snapshot) string {
	var words []string
	say := func(format string, args ...any) { words = append(words, fmt.Sprintf(format, args...)) }
	for _, p := range s.Pods.All() {
		found, ok := s.Pods.Namespaced(p.Namespace, p.Name)
		say("%s on %q %v %v", p.Labels["v"], p.Spec.NodeName, ok, found == p)
	}
	for _, p := range s.Unbound.All() {
		say("%s waits", p.Name)
	}
	for _, n := range s.Nodes.All() {
		claim, ok := s.ClaimOf(n)
		say("node %s of %v %v:", n.Name, ok, claim != nil && claim.Status.ProviderID == n.Spec.ProviderID)
		for _, p := range s.PodsOn(n.Name) {
			say("%s", p.Labels["v"])
		}
	}
	for _, c := range s.NodeClaims.All() {
		_, ok := s.NodeOf(c)
		say("claim %s %v %v", c.Name, ok, s.PlannedFor(c.Name))
	}
	for _, pool := range []string{"a", "b"} {
		for _, c := range s.ClaimsOf(pool) {
			say("%s has %s", pool, c.Name)
		}
	}
	for _, c := range s.AllLeaving() {
		say("%s leaves", c.Name)
	}
	for uid, plan := range s.Plans.All() {
		say("%s goes to %s%s from %q", uid, plan.NodeClaim, plan.Node, plan.Move.From)
	}
	return fmt.Sprint(words)
}

// slowly is what a snapshot's indexes must say, found by looking at everything.
func slowly(s *Snapshot) *Snapshot {
	c := New()
	for _, p := range s.Pods.All() {
		c.Observe(p)
	}
	for _, n := range s.Nodes.All() {
		c.Observe(n)
	}
	for _, n := range s.NodeClaims.All() {
		c.Observe(n)
	}
	c.SetPlans(plansOf(s.Plans))
	return c.Snapshot()
}

func plansOf(p Plans) map[types.UID]Plan {
	all := map[types.UID]Plan{}
	for uid, plan := range p.All() {
		all[uid] = plan
	}
	return all
}

// A changer changes a cluster at random.
type changer struct {
	*Cluster
	*rand.Rand
	version int
}

func (c *changer) meta(name string) metav1.ObjectMeta {
	c.version++
	m := metav1.ObjectMeta{Namespace: "default", Name: name, UID: types.UID(name), ResourceVersion: strconv.Itoa(c.version), Labels: map[string]string{"v": name + "." + strconv.Itoa(c.version)}}
	if c.IntN(8) == 0 {
		m.DeletionTimestamp = &metav1.Time{}
	}
	return m
}

// change does one thing. There are names for a few hundred of each.
func (c *changer) change() {
	some := func(kind string, n int) string { return kind + strconv.Itoa(c.IntN(n)) }
	switch c.IntN(10) {
	case 0:
		c.Observe(&corev1.Node{ObjectMeta: c.meta(some("node", 60)), Spec: corev1.NodeSpec{ProviderID: some("i-", 80)}})
	case 1:
		claim := &v1.NodeClaim{ObjectMeta: c.meta(some("claim", 60))}
		claim.Labels[v1.LabelNodePool] = []string{"a", "b"}[c.IntN(2)]
		claim.Status.ProviderID = []string{"", some("i-", 80)}[c.IntN(2)]
		c.Observe(claim)
	case 2:
		p := &corev1.Pod{ObjectMeta: c.meta(some("pod", 400))}
		c.gone = tombstones{} // it may come again
		c.Forget(p)
	case 3:
		n, claim := &corev1.Node{ObjectMeta: c.meta(some("node", 60))}, &v1.NodeClaim{ObjectMeta: c.meta(some("claim", 60))}
		c.Forget(n)
		c.Forget(claim)
		c.gone = tombstones{}
	case 4:
		c.SetPlans(map[types.UID]Plan{types.UID(some("pod", 400)): {NodeClaim: some("claim", 60), Move: Move{From: []string{"", "node1"}[c.IntN(2)]}}})
	case 5:
		c.DropPlans(types.UID(some("pod", 400)))
	default:
		p := &corev1.Pod{ObjectMeta: c.meta(some("pod", 400))}
		p.Spec.NodeName = []string{"", some("node", 60)}[min(c.IntN(4), 1)]
		c.Observe(p)
	}
}

// TestIndexesAreTrue: whatever happened, a snapshot says what one of a cluster says that has seen
// nothing but what is there.
func TestIndexesAreTrue(t *testing.T) {
	for seed := range uint64(5) {
		c := &changer{New(), rand.New(rand.NewPCG(seed, 0)), 0}
		for step := range 3000 {
			c.change()
			if step%100 > 0 {
				continue
			}
			s := c.Snapshot()
			if got, want := picture(s), picture(slowly(s)); got != want {
				t.Fatalf("seed %d, step %d:\n%s\nand not\n%s", seed, step, got, want)
			}
		}
	}
}

// TestSnapshotsStand: readers of old snapshots see what they saw at first, while writers go on.
// The race detector judges that no lock is needed for it.
func TestSnapshotsStand(t *testing.T) {
	c := &changer{New(), rand.New(rand.NewPCG(1, 2)), 0}
	type taken struct {
		*Snapshot
		said string // empty if nobody has looked yet
	}
	var readers sync.WaitGroup
	queue := make(chan taken, 64)
	for range 4 {
		readers.Go(func() {
			for s := range queue {
				first := picture(s.Snapshot)
				for range 3 {
					runtime.Gosched()
					if now := picture(s.Snapshot); now != first || s.said != "" && s.said != first {
						t.Errorf("revision %d changed", s.Revision)
					}
				}
			}
		})
	}
	var kept []taken
	for step := range 4000 {
		c.change()
		switch {
		case step%40 == 0:
			s := taken{c.Snapshot(), ""}
			if step%80 == 0 { // others are looked at late for the first time
				s.said = picture(s.Snapshot)
				kept = append(kept, s)
			}
			queue <- s
		case step%97 == 0:
			c.Snapshot()
		}
	}
	close(queue)
	readers.Wait()
	for _, s := range kept {
		if picture(s.Snapshot) != s.said {
			t.Errorf("revision %d is not what it was", s.Revision)
		}
	}
}

// TestCostDoesNotGrow: what a change and the snapshot after it allocate depends on the depth of
// trees, and not on how many objects there are.
func TestCostDoesNotGrow(t *testing.T) {
	cost := func(pods int) uint64 {
		c := New()
		make := func(i, version int) *corev1.Pod {
			name := fmt.Sprintf("pod-%06d", i)
			return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name, UID: types.UID(name), ResourceVersion: strconv.Itoa(version)},
				Spec: corev1.PodSpec{NodeName: fmt.Sprintf("node-%05d", i/20)}}
		}
		for i := range pods {
			c.Observe(make(i, 1))
		}
		c.Snapshot()
		var changes []*corev1.Pod
		for i := range 100 {
			changes = append(changes, make(i*pods/100, 2))
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		for _, p := range changes {
			c.Observe(p)
			if len(c.Snapshot().PodsOn(p.Spec.NodeName)) != 20 {
				t.Fatal("a pod is not on its node")
			}
		}
		runtime.ReadMemStats(&after)
		return (after.TotalAlloc - before.TotalAlloc) / uint64(len(changes))
	}
	if small, large := cost(1000), cost(50_000); large > 3*small {
		t.Errorf("a change allocates %d bytes among 50,000 pods, and %d among 1,000", large, small)
	}
}

// TestEmptyLists are those of a cluster that has seen nothing, and of none.
func TestEmptyLists(t *testing.T) {
	for _, s := range []*Snapshot{New().Snapshot(), {}} {
		if got := picture(s); got != "[]" {
			t.Errorf("of nothing: %s", got)
		}
		if _, ok := s.Pods.Namespaced("a", "b"); ok || s.Pods.Len() != 0 || s.Plans.Len() != 0 || s.PlannedFor("c") != nil || !reflect.ValueOf(s.Plans.Of("u")).IsZero() {
			t.Error("something is there")
		}
	}
	c := New()
	p := pod("a", "1", "1")
	c.Observe(p)
	c.Forget(p)
	if s := c.Snapshot(); s.Pods.Len()+s.Unbound.Len()+len(s.Pods.All()) != 0 {
		t.Error("what is gone is there")
	}
}
