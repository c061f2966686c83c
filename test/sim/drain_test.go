package sim_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "github.com/stowage-sh/stowage/provisioner/v1"
	"github.com/stowage-sh/stowage/test/sim"
)

// beforeOpen refuses a few times, and fails the world if a node is open already
// when it is asked.
func beforeOpen(s *scene, refusals *int) func(context.Context, time.Time, *v1.NodeClaim, *corev1.Node) error {
	return func(_ context.Context, _ time.Time, claim *v1.NodeClaim, node *corev1.Node) error {
		stored, _ := sim.Get[*corev1.Node](s.API, "", node.Name)
		if !slices.ContainsFunc(stored.Spec.Taints, func(t corev1.Taint) bool { return t.Key == v1.TaintUnregistered }) && !s.is(claim.Name, v1.ConditionRegistered) {
			// Its own patch may have happened without the watch having told of it.
			if stored.Labels[v1.LabelRegistered] != "true" {
				s.Fail(errors.New("the node was open before BeforeOpen"))
			}
		}
		if *refusals > 0 {
			*refusals--
			return errors.New("not yet")
		}
		return nil
	}
}

func TestDrainGoesByGroups(t *testing.T) {
	eachSeed(t, func(t *testing.T, s *scene) {
		node := s.ready("one")
		critical := sim.Pod("critical", "10m", "16Mi")
		critical.Spec.PriorityClassName = "system-cluster-critical"
		stays := sim.Pod("stays", "10m", "16Mi")
		stays.Spec.Tolerations = []corev1.Toleration{{Operator: corev1.TolerationOpExists}}
		mirror := sim.Pod("mirror", "10m", "16Mi")
		mirror.Annotations = map[string]string{corev1.MirrorPodAnnotationKey: "x"}
		for _, pod := range []*corev1.Pod{critical, stays, mirror, sim.Pod("web", "10m", "16Mi"), sim.DaemonPod("daemon", node.Name)} {
			s.bind(pod, node.Name)
		}
		s.delete(s.claim("one"))
		s.until(3*time.Minute, "the claim gone", func() bool { return s.claim("one") == nil })
		var order []string
		var last time.Time
		for _, e := range s.Told("Evicted") {
			if slices.Contains(order, e.Name) {
				continue
			}
			if !e.At.After(last) {
				t.Errorf("%s was evicted together with the group before it", e.Name)
			}
			order, last = append(order, e.Name), e.At
		}
		if want := []string{"web", "daemon", "critical"}; !slices.Equal(order, want) {
			t.Errorf("evicted %v, want %v", order, want)
		}
		if alive := s.Cloud.Alive(); len(alive) != 0 {
			t.Errorf("still paid for: %v", alive)
		}
	})
}

// TestBlockedDrainStallsOnlyItsNode: a pod that its budget does not let go, and
// one that says do-not-disrupt, hold their own nodes and no other.
func TestBlockedDrainStallsOnlyItsNode(t *testing.T) {
	eachSeed(t, func(t *testing.T, s *scene) {
		a, b, c := s.ready("a"), s.ready("b"), s.ready("c")
		s.create(sim.Budget("guarded", 1))
		s.bind(sim.Pod("guarded", "10m", "16Mi"), a.Name)
		s.bind(sim.Pod("web", "10m", "16Mi"), b.Name)
		asked := sim.Pod("asked", "10m", "16Mi")
		asked.Annotations = map[string]string{v1.AnnotationDoNotDisrupt: "true"}
		s.bind(asked, c.Name)
		for _, name := range []string{"a", "b", "c"} {
			s.delete(s.claim(name))
		}
		s.until(2*time.Minute, "b gone", func() bool { return s.claim("b") == nil })
		s.pass(10 * time.Minute)
		if s.claim("a") == nil || s.claim("c") == nil || len(s.Cloud.Alive()) != 2 {
			t.Fatal("a protected pod was not waited for")
		}
		if len(s.Told("FailedDraining")) == 0 {
			t.Error("nobody was told why")
		}
		budget := sim.Budget("guarded", 1)
		budget.UID = ""
		s.delete(budget)
		s.until(time.Minute, "a gone without its budget", func() bool { return s.claim("a") == nil })
		if s.claim("c") == nil {
			t.Error("do-not-disrupt was not kept")
		}
	})
}

// TestDrainWhileCloudForgets: a machine that a List misses is still drained as
// long as its kubelet speaks.
func TestDrainWhileCloudForgets(t *testing.T) {
	eachSeed(t, func(t *testing.T, s *scene) {
		node := s.ready("one")
		s.create(sim.Budget("guarded", 1))
		s.bind(sim.Pod("guarded", "10m", "16Mi"), node.Name)
		s.Cloud.ListLag = time.Hour
		s.delete(s.claim("one"))
		s.pass(5 * time.Minute)
		if len(s.Cloud.Alive()) != 1 {
			t.Error("given back with a guarded pod on it")
		}
	})
}

// TestStuckPodIsNotWaitedForForever: kubelet is dead, the machine is not.
func TestStuckPodIsNotWaitedForForever(t *testing.T) {
	eachSeed(t, func(t *testing.T, s *scene) {
		node := s.ready("one")
		pod := s.bind(sim.Pod("web", "10m", "16Mi"), node.Name)
		s.API.Hold = func(p *corev1.Pod) bool { return p.UID == pod.UID }
		s.delete(s.claim("one"))
		s.pass(80 * time.Second)
		if s.claim("one") == nil {
			t.Fatal("a terminating pod was not waited for")
		}
		s.until(time.Minute, "the node gone", func() bool { return s.claim("one") == nil })
	})
}

// TestRefusedEvictionsAreAskedForAgain: soon at first, then less often, by a budget that
// has no room as well as by two at once; a webhook that refuses one pod holds up no other.
func TestRefusedEvictionsAreAskedForAgain(t *testing.T) {
	eachSeed(t, func(t *testing.T, s *scene) {
		node := s.ready("one")
		s.create(sim.Budget("guarded", 1))
		s.create(sim.Budget("twice", 0))
		second := sim.Budget("twice", 0)
		second.Name = "twice-again"
		s.create(second)
		for _, name := range []string{"guarded", "twice", "forbidden", "web"} {
			s.bind(sim.Pod(name, "10m", "16Mi"), node.Name)
		}
		asked := map[string][]time.Time{}
		s.proc.Before = func(verb string, obj client.Object) error {
			if verb != "evict" {
				return nil
			}
			asked[obj.GetName()] = append(asked[obj.GetName()], s.Now)
			if obj.GetName() == "forbidden" {
				return apierrors.NewForbidden(schema.GroupResource{Resource: "pods"}, obj.GetName(), errors.New("says a webhook"))
			}
			return nil
		}
		s.delete(s.claim("one"))
		s.pass(3 * time.Minute)
		if _, there := sim.Get[*corev1.Pod](s.API, "default", "web"); there {
			t.Error("a pod that nothing protects was held up")
		}
		for _, name := range []string{"guarded", "twice", "forbidden"} {
			at := asked[name]
			if len(at) < 15 || len(at) > 40 {
				t.Fatalf("%s was asked for %d times in three minutes", name, len(at))
			}
			first, last := at[1].Sub(at[0]), at[len(at)-1].Sub(at[len(at)-2])
			if first > 600*time.Millisecond || last < 10*time.Second || last > 12*time.Second {
				t.Errorf("%s was asked for again after %v at first and after %v at last", name, first, last)
			}
			if !slices.ContainsFunc(s.Told("FailedDraining"), func(e sim.Event) bool {
				return e.Name == node.Name && strings.Contains(e.Message, "default/"+name+" cannot be evicted")
			}) {
				t.Errorf("nobody was told of %s", name)
			}
		}
		for _, name := range []string{"guarded", "twice", "twice-again"} {
			budget, _ := sim.Get[*policyv1.PodDisruptionBudget](s.API, "default", name)
			s.API.Remove(budget)
		}
		s.proc.Before = nil
		s.until(30*time.Second, "the claim gone", func() bool { return s.claim("one") == nil })
	})
}

// TestCrashWhileTerminating kills the process before each of the writes of a node's end,
// one after the other, and after it. Each time the next process carries on.
func TestCrashWhileTerminating(t *testing.T) {
	eachSeed(t, func(t *testing.T, s *scene) {
		crashes := 0
		for write := 0; ; write++ {
			name := fmt.Sprintf("claim-%d", write)
			node := s.ready(name, bounded("30m"))
			s.bindWithVolume(sim.Pod("web-"+name, "10m", "16Mi"), "data-"+name, node.Name)
			seen := 0
			count := func(string, client.Object) error {
				if seen++; seen == write/2+1 {
					return sim.ErrCrash
				}
				return nil
			}
			if s.proc.Conflicts = 0; write%2 == 0 {
				s.proc.Before = count
			} else {
				s.proc.After = count
			}
			s.delete(s.claim(name))
			if _, err := s.RunUntil(3*time.Minute, func() bool { return s.proc.Dead() || s.claim(name) == nil }); err != nil {
				t.Fatal(err)
			}
			dead := s.proc.Dead()
			s.restart()
			s.until(3*time.Minute, name+" gone", func() bool {
				_, there := sim.Get[*corev1.Node](s.API, "", node.Name)
				return s.claim(name) == nil && !there && len(s.Cloud.Alive()) == 0
			})
			if !dead {
				break
			}
			crashes++
		}
		if crashes < 14 {
			t.Errorf("%d crashes: the end of a node is more than seven writes", crashes)
		}
	})
}

// TestClaimOfDeletedNodePool: a NodePool is deleted while a NodeClaim is being made for
// it. What comes too late is not left behind.
func TestClaimOfDeletedNodePool(t *testing.T) {
	eachSeed(t, func(t *testing.T, s *scene) {
		late := false
		s.proc.Before = s.onClaim(func() error {
			if pool, ok := sim.Get[*v1.NodePool](s.API, "", s.pool.Name); ok {
				late = true
				return s.API.Delete(pool)
			}
			return nil
		})
		s.could = func(*corev1.Pod) bool { return false }
		s.pods(3, "web", "1500m", "1Gi")
		s.until(time.Minute, "the NodePool deleted too late", func() bool { return late })
		s.until(5*time.Minute, "nothing left", func() bool {
			return len(sim.List[*v1.NodeClaim](s.API)) == 0 && len(sim.List[*corev1.Node](s.API)) == 0 && len(s.Cloud.Alive()) == 0
		})
		if s.API.Writes["NodeClaim"] == 0 {
			t.Error("no NodeClaim was made: nothing was shown")
		}
	})
}

func TestNodePoolDeleted(t *testing.T) {
	eachSeed(t, func(t *testing.T, s *scene) {
		a := s.ready("a")
		s.ready("b")
		pod := s.bind(sim.Pod("web", "10m", "16Mi"), a.Name)
		s.delete(s.pool)
		s.until(3*time.Minute, "its nodes drained and gone", func() bool {
			_, there := sim.Get[*corev1.Pod](s.API, pod.Namespace, pod.Name)
			return s.claim("a") == nil && s.claim("b") == nil && len(s.Cloud.Alive()) == 0 && !there
		})
	})
}
