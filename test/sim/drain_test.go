package sim_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

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

// TestTerminationGracePeriod: past the deadline, nothing holds a node.
func TestTerminationGracePeriod(t *testing.T) {
	eachSeed(t, func(t *testing.T, s *scene) {
		node := s.ready("one", func(c *v1.NodeClaim) { c.Spec.TerminationGracePeriod = "10m" })
		s.create(sim.Budget("guarded", 1))
		pod := s.bind(sim.Pod("guarded", "10m", "16Mi"), node.Name)
		grace := int64(120)
		sim.Update(s.API, pod, func(p *corev1.Pod) { p.Spec.TerminationGracePeriodSeconds = &grace })
		s.delete(s.claim("one"))
		s.pass(7*time.Minute + 50*time.Second)
		if p, ok := sim.Get[*corev1.Pod](s.API, "default", "guarded"); !ok || p.DeletionTimestamp != nil {
			t.Fatal("the pod went before its own grace had to begin")
		}
		s.until(20*time.Second, "the pod told to go", func() bool {
			p, ok := sim.Get[*corev1.Pod](s.API, "default", "guarded")
			return !ok || p.DeletionTimestamp != nil
		})
		s.until(3*time.Minute, "the node gone", func() bool { return s.claim("one") == nil })
	})
}

// TestDeadlineOverrulesPod: a pod that does not end in time does not hold its
// node past the deadline.
func TestDeadlineOverrulesPod(t *testing.T) {
	eachSeed(t, func(t *testing.T, s *scene) {
		node := s.ready("one", func(c *v1.NodeClaim) { c.Spec.TerminationGracePeriod = "1m" })
		s.bind(sim.Pod("web", "10m", "16Mi"), node.Name)
		s.API.Hold = func(*corev1.Pod) bool { return true }
		s.delete(s.claim("one"))
		s.pass(55 * time.Second)
		if len(s.Cloud.Alive()) != 1 {
			t.Fatal("given back before the deadline")
		}
		s.until(15*time.Second, "the machine given back", func() bool { return len(s.Cloud.Alive()) == 0 })
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
