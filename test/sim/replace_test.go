package sim_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stowage-sh/stowage/cloudprovider"
	v1 "github.com/stowage-sh/stowage/provisioner/v1"
	"github.com/stowage-sh/stowage/test/sim"
)

// drift makes the machines of claims drift.
func (s *scene) drift(claims ...*v1.NodeClaim) {
	for _, claim := range claims {
		driftMachine(s.World, claim)
	}
}

func driftMachine(w *sim.World, claim *v1.NodeClaim) {
	_, id, _ := strings.Cut(claim.Status.ProviderID, "/i-")
	w.Cloud.Drifts["i-"+id] = cloudprovider.Drift{Reason: "AMIDrift", Message: "there is another image"}
}

// serve runs n pods of three quarters of a small node each, and returns their ReplicaSet once
// all run.
func (s *scene) serve(name string, n int) *sim.ReplicaSet {
	s.t.Helper()
	rs := s.AddReplicaSet(n, sim.Pod(name, "1500m", "1Gi"))
	s.until(5*time.Minute, "all pods run", func() bool { return s.running(rs) == n })
	s.pass(time.Minute) // until nodes are not new any more
	return rs
}

// running counts the pods of a ReplicaSet that are Ready.
func (s *scene) running(rs *sim.ReplicaSet) (n int) {
	for _, p := range s.PodsOf(rs) {
		if slices.ContainsFunc(p.Status.Conditions, func(c corev1.PodCondition) bool {
			return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue
		}) {
			n++
		}
	}
	return n
}

// neverPending is the law that a pod waits no longer than limit for its node.
func neverPending(limit time.Duration) func(*sim.World) error {
	return func(w *sim.World) error {
		for _, p := range sim.List[*corev1.Pod](w.API) {
			if p.Spec.NodeName == "" && w.Now.Sub(p.CreationTimestamp.Time) > limit {
				return fmt.Errorf("pod %s has waited for %v", p.Name, limit)
			}
		}
		return nil
	}
}

// TestDriftedNodesAreReplaced: each after its replacement is ready, so that no pod waits.
func TestDriftedNodesAreReplaced(t *testing.T) {
	eachSeed(t, func(t *testing.T, s *scene) {
		s.consolidate(v1.Never, v1.Budget{Nodes: "3"})
		rs := s.serve("web", 8)
		s.create(sim.Budget("web", 7))
		old := sim.List[*v1.NodeClaim](s.API)
		s.Check(neverPending(15 * time.Second))
		s.Check(func(*sim.World) error {
			if n := s.running(rs); n < 7 {
				return fmt.Errorf("%d of 8 pods run, and their budget is 7", n)
			}
			return nil
		})
		s.drift(old...)
		s.until(time.Hour, "all replaced", func() bool {
			return !slices.ContainsFunc(old, func(c *v1.NodeClaim) bool { return s.claim(c.Name) != nil })
		})
		s.pass(time.Minute)
		if n := len(sim.List[*v1.NodeClaim](s.API)); n > len(old) {
			t.Errorf("%d nodes were replaced by %d", len(old), n)
		}
		if n := s.running(rs); n != 8 {
			t.Errorf("%d of 8 pods run", n)
		}
		if len(s.Told("DisruptionTerminating")) == 0 {
			t.Error("nobody was told")
		}
	})
}

// TestReplacementFails: machines that do not join cost nothing but time, the old nodes stay, and
// fewer and fewer are tried.
func TestReplacementFails(t *testing.T) {
	eachSeed(t, func(t *testing.T, s *scene) {
		s.consolidate(v1.Never)
		s.Lifecycle.RegistrationTimeout = 3 * time.Minute
		rs := s.serve("web", 6)
		old := sim.List[*v1.NodeClaim](s.API)
		s.Cloud.Broken = func(cloudprovider.Instance) bool { return true }
		s.drift(old...)
		s.pass(2 * time.Hour)
		if n := s.running(rs); n != 6 {
			t.Fatalf("%d of 6 pods run", n)
		}
		for _, c := range old {
			if s.claim(c.Name) == nil {
				t.Fatal("a node went whose replacement had not come")
			}
		}
		bought := len(s.Cloud.Machines()) - len(old)
		if bought == 0 || bought > 12 {
			t.Errorf("%d machines were bought in two hours of failure", bought)
		}
		s.Cloud.Broken = nil
		s.until(6*time.Hour, "all replaced", func() bool {
			return !slices.ContainsFunc(old, func(c *v1.NodeClaim) bool { return s.claim(c.Name) != nil })
		})
	})
}

// TestWhatKeepsDriftedNodes: what their pods and annotations say, until it is said no more.
func TestWhatKeepsDriftedNodes(t *testing.T) {
	eachSeed(t, func(t *testing.T, s *scene) {
		s.consolidate(v1.Never)
		s.serve("web", 1)
		claim := sim.List[*v1.NodeClaim](s.API)[0]
		s.create(sim.Budget("web", 1))
		s.pass(5 * time.Second)
		s.drift(claim)
		s.until(10*time.Minute, "it has been seen", func() bool { return s.is(claim.Name, v1.ConditionDrifted) })
		kept := func(reason string) {
			t.Helper()
			s.pass(2 * time.Minute)
			if s.claim(claim.Name) == nil || s.tainted(claim.Name) {
				t.Fatalf("disrupted in spite of %s", reason)
			}
			if why := v1.GetCondition(s.claim(claim.Name).Status.Conditions, v1.ConditionDisrupting); why == nil || why.Reason != reason {
				t.Fatalf("the condition says %+v, want %s", why, reason)
			}
		}
		kept("PodDisruptionBudget")
		s.delete(sim.Budget("web", 1))
		node := s.node(claim.Name)
		sim.Update(s.API, node, func(n *corev1.Node) { n.Annotations[v1.AnnotationDoNotDisrupt] = "true" })
		kept("DoNotDisrupt")
		sim.Update(s.API, node, func(n *corev1.Node) { delete(n.Annotations, v1.AnnotationDoNotDisrupt) })
		for _, p := range sim.List[*corev1.Pod](s.API) {
			sim.Update(s.API, p, func(p *corev1.Pod) { p.Annotations = map[string]string{v1.AnnotationDoNotDisrupt: "30m"} })
		}
		kept("PodDoNotDisrupt")
		s.until(time.Hour, "replaced", func() bool { return s.claim(claim.Name) == nil })
		told := 0
		for _, e := range s.Told("DisruptionBlocked") {
			if e.Kind == "NodeClaim" {
				told++
			}
		}
		if told < 3 || told > 6 {
			t.Errorf("%d times told what keeps the node, want once for each reason", told)
		}
	})
}

// TestExpiredNodeIsReplacedInTime: its pods' other place is there when it goes.
func TestExpiredNodeIsReplacedInTime(t *testing.T) {
	eachSeed(t, func(t *testing.T, s *scene) {
		sim.Update(s.API, s.pool, func(p *v1.NodePool) { p.Spec.Template.Spec.ExpireAfter = "2h" })
		s.consolidate(v1.Never, v1.Budget{Nodes: "0"})
		s.serve("web", 4)
		old := sim.List[*v1.NodeClaim](s.API)
		s.Check(neverPending(15 * time.Second))
		s.until(2*time.Hour+10*time.Minute, "all replaced", func() bool {
			return !slices.ContainsFunc(old, func(c *v1.NodeClaim) bool { return s.claim(c.Name) != nil })
		})
		if age := s.Now.Sub(old[0].CreationTimestamp.Time); age < 2*time.Hour {
			t.Errorf("a node went at the age of %v", age)
		}
	})
}

// crashAfter kills the process at the next write but so many, unless a claim is gone before, and
// starts another.
func (s *scene) crashAfter(at int, claim *v1.NodeClaim) {
	s.t.Helper()
	writes := 0
	s.proc.After = func(string, client.Object) error {
		if writes++; writes > at {
			return sim.ErrCrash
		}
		return nil
	}
	if _, err := s.RunUntil(10*time.Minute, func() bool { return s.proc.Dead() || s.claim(claim.Name) == nil }); err != nil {
		s.t.Fatal(err)
	}
	s.restart()
}

// TestCrashWhileReplacing kills the process at every write of a replacement, one after the
// other: the node is replaced all the same.
func TestCrashWhileReplacing(t *testing.T) {
	eachSeed(t, func(t *testing.T, s *scene) {
		s.consolidate(v1.Never)
		rs := s.serve("web", 2)
		s.Check(neverPending(30 * time.Second))
		for at := range 16 {
			claim := sim.List[*v1.NodeClaim](s.API)[0]
			s.pass(30 * time.Second)
			s.drift(claim)
			s.crashAfter(at, claim)
			s.until(20*time.Minute, "replaced", func() bool { return s.claim(claim.Name) == nil })
			if n := s.running(rs); n != 2 {
				t.Fatalf("%d of 2 pods run", n)
			}
		}
	})
}
