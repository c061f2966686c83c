package sim_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	v1 "github.com/stowage-sh/stowage/provisioner/v1"
	"github.com/stowage-sh/stowage/test/sim"
)

// patient makes a pod with a grace period.
func patient(name string, grace int64, edits ...func(*corev1.Pod)) *corev1.Pod {
	pod := sim.Pod(name, "10m", "16Mi")
	pod.Spec.TerminationGracePeriodSeconds = &grace
	for _, edit := range edits {
		edit(pod)
	}
	return pod
}

func undisrupted(p *corev1.Pod) { p.Annotations = map[string]string{v1.AnnotationDoNotDisrupt: "true"} }
func critical(p *corev1.Pod)    { p.Spec.PriorityClassName = "system-cluster-critical" }

func (s *scene) pod(name string) *corev1.Pod {
	pod, _ := sim.Get[*corev1.Pod](s.API, "default", name)
	return pod
}

// leaves reports whether a pod is on its way out, or gone.
func (s *scene) leaves(name string) bool {
	pod := s.pod(name)
	return pod == nil || pod.DeletionTimestamp != nil
}

// bounded is a node that has to be gone so long after its claim was deleted.
func bounded(grace v1.Duration) func(*v1.NodeClaim) {
	return func(c *v1.NodeClaim) { c.Spec.TerminationGracePeriod = grace }
}

// TestPodsEndByTheDeadline: each pod is told to go so early that its own grace period ends
// with that of the node, whatever protects it and whichever group's turn it is, and not earlier.
func TestPodsEndByTheDeadline(t *testing.T) {
	eachSeed(t, func(t *testing.T, s *scene) {
		node := s.ready("one", bounded("10m"))
		s.API.Slow = func(*corev1.Pod) bool { return true }
		s.create(sim.Budget("guarded", 1))
		s.bind(patient("guarded", 120), node.Name)
		s.bind(patient("asked", 60, undisrupted), node.Name)
		s.bind(patient("core", 30, critical), node.Name)
		s.bind(patient("hasty", 0, undisrupted), node.Name)
		s.bind(tolerant(sim.Pod("stays", "10m", "16Mi")), node.Name)
		s.delete(s.claim("one"))
		deadline := s.claim("one").DeletionTimestamp.Add(10 * time.Minute)
		for _, c := range []struct {
			name  string
			grace time.Duration
		}{{"guarded", 120 * time.Second}, {"asked", time.Minute}, {"core", 30 * time.Second}} {
			s.pass(deadline.Add(-c.grace - time.Second).Sub(s.Now))
			if s.leaves(c.name) {
				t.Fatalf("%s went before its own grace had to begin", c.name)
			}
			s.until(3*time.Second, c.name+" told to go", func() bool { return s.leaves(c.name) })
			pod := s.pod(c.name)
			if at := pod.DeletionTimestamp.Time; at.After(deadline) || deadline.Sub(at) > 3*time.Second {
				t.Errorf("%s has until %v, its node until %v", c.name, at, deadline)
			}
		}
		s.until(deadline.Add(5*time.Second).Sub(s.Now), "given back", func() bool { return len(s.Cloud.Alive()) == 0 })
		for _, name := range []string{"guarded", "asked", "core"} {
			if s.pod(name) != nil {
				t.Errorf("%s was still there when the machine was given back", name)
			}
		}
		if pod := s.pod("hasty"); pod != nil && (pod.DeletionGracePeriodSeconds == nil || *pod.DeletionGracePeriodSeconds != 1) {
			t.Errorf("a pod without a grace period: %+v", pod.ObjectMeta)
		}
		if s.leaves("stays") {
			t.Error("a pod that tolerates the drain was told to go")
		}
		var kinds []string
		for _, e := range s.Told("TerminationGracePeriodExpiring") {
			kinds = append(kinds, e.Kind)
			if at := deadline.UTC().Format(time.RFC3339); !strings.Contains(e.Message, at) {
				t.Errorf("told %q, and it ends at %s", e.Message, at)
			}
		}
		if want := []string{"NodeClaim", "Node"}; !slices.Equal(kinds, want) {
			t.Errorf("the deadline was said on %v, want %v", kinds, want)
		}
		s.until(time.Minute, "the claim gone", func() bool { return s.claim("one") == nil })
	})
}

// TestPodsWithMoreGraceThanTheirNode get what there is, at once; without any they get a
// second, so that kubelet still ends them.
func TestPodsWithMoreGraceThanTheirNode(t *testing.T) {
	eachSeed(t, func(t *testing.T, s *scene) {
		a, b := s.ready("short", bounded("2m")), s.ready("none", bounded("0s"))
		s.API.Slow = func(*corev1.Pod) bool { return true }
		s.bind(patient("long", 600, undisrupted), a.Name)
		s.bind(patient("cut", 600, undisrupted), b.Name)
		s.delete(s.claim("short"))
		s.delete(s.claim("none"))
		s.until(5*time.Second, "both told", func() bool { return s.leaves("long") && s.leaves("cut") })
		if pod := s.pod("cut"); pod != nil && *pod.DeletionGracePeriodSeconds != 1 {
			t.Errorf("a pod of a node without time has %d s", *pod.DeletionGracePeriodSeconds)
		}
		if grace := *s.pod("long").DeletionGracePeriodSeconds; grace > 120 || grace < 114 {
			t.Errorf("of two minutes a pod has %d s", grace)
		}
		s.pass(100 * time.Second)
		if s.pod("long") == nil || len(s.Cloud.Alive()) != 1 {
			t.Error("a pod did not have the time that was left")
		}
		s.until(3*time.Minute, "both gone", func() bool { return s.claim("short") == nil && s.claim("none") == nil })
	})
}

// TestPodToldByOthersIsCut: a pod that is on its way out already, with more time than its
// node has, is ended shortly before the deadline, and not taken for stuck until then.
func TestPodToldByOthersIsCut(t *testing.T) {
	eachSeed(t, func(t *testing.T, s *scene) {
		node := s.ready("one", bounded("5m"))
		s.API.Slow = func(*corev1.Pod) bool { return true }
		pod := s.bind(patient("queue", 7*24*3600), node.Name)
		s.delete(pod)
		s.pass(time.Hour)
		s.delete(s.claim("one"))
		deadline := s.claim("one").DeletionTimestamp.Add(5 * time.Minute)
		s.pass(4*time.Minute + 45*time.Second)
		if s.pod("queue") == nil || len(s.Cloud.Alive()) != 1 {
			t.Fatal("cut too early")
		}
		s.until(deadline.Sub(s.Now), "the pod ended before the deadline", func() bool { return s.pod("queue") == nil })
		s.until(time.Minute, "the claim gone", func() bool { return s.claim("one") == nil })
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
