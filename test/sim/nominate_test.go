package sim_test

import (
	"fmt"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/stowage-sh/stowage/provisioner/nodepool"
	"github.com/stowage-sh/stowage/provisioner/state"
	v1 "github.com/stowage-sh/stowage/provisioner/v1"
	"github.com/stowage-sh/stowage/test/sim"
)

// nominated counts the pods without a node that Stowage has nominated to one.
func (s *scene) nominated() int {
	n := 0
	for _, p := range sim.List[*corev1.Pod](s.API) {
		if state.Nominated(p) && p.Spec.NodeName == "" {
			n++
		}
	}
	return n
}

// counted returns a counter's values by its only label.
func (s *scene) counted(name string) map[string]float64 {
	s.t.Helper()
	families, err := s.Registry.Gather()
	if err != nil {
		s.t.Fatal(err)
	}
	values := map[string]float64{}
	for _, f := range families {
		if f.GetName() == name {
			for _, m := range f.Metric {
				values[m.Label[0].GetValue()] = m.Counter.GetValue()
			}
		}
	}
	return values
}

// closed has pods of two nodes nominated, which a startup taint keeps out for ever.
func (s *scene) closed() {
	s.t.Helper()
	s.Cloud.StartupDelay = 24 * time.Hour
	s.edit(func(p *v1.NodePool) {
		p.Spec.Template.Spec.StartupTaints = []corev1.Taint{{Key: "example.com/setup", Effect: corev1.TaintEffectNoSchedule}}
	})
	s.pods(4, "web", "7", "1Gi")
	s.until(2*time.Minute, "all nominated", func() bool { return s.nominated() == 4 })
	s.wantLaunches(2)
}

// TestPodsGoWhileTheyArePlanned, and others come: nobody waits for those that went, and
// what was bought is used.
func TestPodsGoWhileTheyArePlanned(t *testing.T) {
	for _, after := range []time.Duration{2 * time.Second, 10 * time.Second, 21 * time.Second} {
		eachSeed(t, func(t *testing.T, s *scene) {
			s.pods(6, "web", "7", "1Gi")
			s.until(time.Minute, "bought", func() bool { return len(s.Cloud.Machines()) == 3 })
			s.pass(after)
			left := 6
			for i := range 2 {
				if p, ok := sim.Get[*corev1.Pod](s.API, "default", fmt.Sprintf("web-%d", i)); ok && p.Spec.NodeName == "" {
					s.delete(p)
					left--
				}
			}
			s.pods(6-left, "late", "7", "1Gi")
			s.untilBound(3*time.Minute, "", 6)
			s.pass(3 * time.Minute)
			s.wantLaunches(3)
		})
	}
}

// TestNodeClaimGoesWhilePodsAreNominated: the pods are planned anew, and come to run.
func TestNodeClaimGoesWhilePodsAreNominated(t *testing.T) {
	eachSeed(t, func(t *testing.T, s *scene) {
		s.closed()
		s.Cloud.StartupDelay = 0
		for _, c := range sim.List[*v1.NodeClaim](s.API) {
			s.delete(c)
		}
		s.untilBound(3*time.Minute, "web", 4)
		s.wantLaunches(4)
	})
}

// TestStopWithdrawsNominations, but that of kube-scheduler. A process that comes after
// one that was killed does not need it, and uses the nodes that there are.
func TestStopWithdrawsNominations(t *testing.T) {
	eachSeed(t, func(t *testing.T, s *scene) {
		s.closed()
		theirs, _ := sim.Get[*corev1.Pod](s.API, "default", "web-0")
		sim.Update(s.API, theirs, func(p *corev1.Pod) { p.Status.NominatedNodeName = "elsewhere" })
		if err := s.Provision.Withdraw(t.Context()); err != nil {
			t.Error(err)
		}
		if n := s.nominated(); n != 0 {
			t.Errorf("%d pods are still nominated", n)
		}
		if theirs, _ = sim.Get[*corev1.Pod](s.API, "default", "web-0"); theirs.Status.NominatedNodeName != "elsewhere" {
			t.Errorf("another's nomination became %q", theirs.Status.NominatedNodeName)
		}
		s.restart()
		s.until(time.Minute, "the others nominated again", func() bool { return s.nominated() >= 3 })
		s.wantLaunches(2)
	})
}

// TestCrashLeavesNominations to nodes that are gone when the next process comes: it
// withdraws them.
func TestCrashLeavesNominations(t *testing.T) {
	eachSeed(t, func(t *testing.T, s *scene) {
		s.closed()
		s.proc.Kill()
		s.SchedulerDelay = time.Hour // so that it erases nothing
		for _, n := range sim.List[*corev1.Node](s.API) {
			s.API.Remove(n)
		}
		for _, c := range sim.List[*v1.NodeClaim](s.API) {
			s.API.Remove(c)
		}
		s.restart()
		s.until(20*time.Second, "withdrawn", func() bool { return s.nominated() == 0 })
	})
}

// TestNodesThatAreNeverReady are given up as those that never join are, and the pods are
// planned anew; they are not bought in a loop.
func TestNodesThatAreNeverReady(t *testing.T) {
	eachSeed(t, func(t *testing.T, s *scene) {
		s.could = nothing
		usual := s.Cloud.ReadyDelay
		s.Cloud.ReadyDelay = 24 * time.Hour
		s.pods(10, "web", "7", "1Gi")
		s.pass(14 * time.Minute)
		s.wantLaunches(5)
		s.pass(2 * time.Hour)
		if got := len(s.Cloud.Machines()); got < 5+4 || got > 5+6 {
			t.Errorf("%d machines were bought in two hours", got)
		}
		if len(s.Cloud.Alive()) > 1 {
			t.Errorf("%d machines run that will not be ready", len(s.Cloud.Alive()))
		}
		s.Cloud.ReadyDelay = usual
		s.untilBound(2*time.Hour, "web", 10)
		pool, _ := sim.Get[*v1.NodePool](s.API, "", "pool")
		if _, failures := nodepool.Backoff(pool); failures != 0 {
			t.Errorf("%d failures are still noted", failures)
		}
	})
}
