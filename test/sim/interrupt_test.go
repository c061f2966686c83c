package sim_test

import (
	"errors"
	"maps"
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stowage-sh/stowage/cloudprovider"
	v1 "github.com/stowage-sh/stowage/provisioner/v1"
	"github.com/stowage-sh/stowage/test/sim"
)

// interrupted has the cloud say something of a claim's machine, and returns the claim.
func (s *scene) interrupted(claim *v1.NodeClaim, kind string) *v1.NodeClaim {
	s.Cloud.Interrupt(s.machine(claim).ID, kind)
	return claim
}

// machine is that of a claim, also when it is no more.
func (s *scene) machine(claim *v1.NodeClaim) cloudprovider.Instance {
	s.t.Helper()
	all := s.Cloud.Machines()
	i := slices.IndexFunc(all, func(m cloudprovider.Instance) bool { return m.ProviderID == claim.Status.ProviderID })
	if i < 0 {
		s.t.Fatalf("NodeClaim %s has no machine", claim.Name)
	}
	return all[i]
}

// evictions notes when pods are evicted or told to go, and holds the process to the law that each
// has its place first. It is to be called again after a restart.
func (s *scene) evictions() *[]time.Time {
	var at []time.Time
	p := s.proc
	p.Before = func(verb string, obj client.Object) error {
		if err := p.PlacesReady(verb, obj); err != nil {
			s.Fail(err)
		}
		if _, pod := obj.(*corev1.Pod); pod && (verb == "evict" || verb == "delete") {
			at = append(at, s.Now)
		}
		return nil
	}
	return &at
}

// single has each pod of serve get a node of its own.
func (s *scene) single() {
	s.edit(func(p *v1.NodePool) {
		p.Spec.Template.Spec.Requirements = []v1.Requirement{{Key: corev1.LabelInstanceTypeStable, Operator: corev1.NodeSelectorOpIn, Values: []string{"general-02"}}}
	})
}

// gone tells when claims are.
func (s *scene) gone(claims ...*v1.NodeClaim) func() bool {
	return func() bool {
		return !slices.ContainsFunc(claims, func(c *v1.NodeClaim) bool { return s.claim(c.Name) != nil })
	}
}

// TestSpotInterruption: the replacement is bought at once, elsewhere, and the pods move when it is
// ready, which leaves time.
func TestSpotInterruption(t *testing.T) {
	eachSeed(t, func(t *testing.T, s *scene) {
		s.consolidate(v1.Never, v1.Budget{Nodes: "0"})
		s.single()
		rs := s.serve("web", 3)
		s.create(sim.Budget("web", 2))
		s.Check(neverPending(15 * time.Second))
		evicted := s.evictions()
		bought := len(s.Cloud.Machines())
		told := s.Now
		old := s.interrupted(sim.List[*v1.NodeClaim](s.API)[0], cloudprovider.SpotInterrupted)
		s.until(15*time.Second, "another is bought", func() bool { return len(s.Cloud.Machines()) > bought })
		if len(*evicted) > 0 {
			t.Error("a pod was evicted before a replacement was bought")
		}
		c := s.claim(old.Name)
		if why := v1.GetCondition(c.Status.Conditions, v1.ConditionInterrupted); why == nil || why.Reason != "spot_interrupted" {
			t.Errorf("the conditions say %+v", c.Status.Conditions)
		}
		if c.Annotations[v1.AnnotationTerminationTimestamp] != told.Add(110*time.Second).UTC().Format(time.RFC3339) {
			t.Errorf("the deadline is %s, %v after the notice of %v", c.Annotations[v1.AnnotationTerminationTimestamp], 110*time.Second, told)
		}
		was := s.machine(old).Offering
		if now := s.Cloud.Machines()[bought].Offering; was == now || !s.Availability.Unavailable(s.Now, was) {
			t.Errorf("%s is taken back, and bought again is %s", was, now)
		}
		s.until(time.Minute, "the node shows why", func() bool {
			why := v1.GetCondition(s.claim(old.Name).Status.Conditions, v1.ConditionDisrupting)
			return s.tainted(old.Name) && why != nil && why.Reason == "Interrupted"
		})
		s.until(2*time.Minute, "gone", s.gone(old))
		if s.Now.Sub(told) >= 2*time.Minute {
			t.Errorf("it was emptied in %v", s.Now.Sub(told))
		}
		s.pass(30 * time.Second)
		if n := s.running(rs); n != 3 {
			t.Errorf("%d of 3 pods run", n)
		}
		for _, reason := range []string{"SpotInterrupted", "TerminatingOnInterruption"} {
			if n := len(s.Told(reason)); n != 2 {
				t.Errorf("%s was told %d times, want once on the NodeClaim and once on the Node", reason, n)
			}
		}
	})
}

// TestNoPlaceInTime: where the replacement is late, pods go so early that each has its grace
// period: they are asked for ten seconds, and then told, whatever protects them.
func TestNoPlaceInTime(t *testing.T) {
	const grace, end = 45 * time.Second, 110 * time.Second
	for _, c := range []struct {
		name  string
		edit  func(*corev1.Pod)
		least int // of the PodDisruptionBudget
		after time.Duration
	}{
		{"protected", undisrupted, 1, end - grace},
		{"of a budget that is spent", func(*corev1.Pod) {}, 1, end - grace},
		{"willing", func(*corev1.Pod) {}, 0, end - grace - 10*time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			eachSeed(t, func(t *testing.T, s *scene) {
				s.consolidate(v1.Never)
				s.API.Slow = func(*corev1.Pod) bool { return true }
				rs := s.AddReplicaSet(1, patient("web", int64(grace/time.Second), c.edit))
				s.until(5*time.Minute, "it runs", func() bool { return s.running(rs) == 1 })
				s.create(sim.Budget("web", c.least))
				s.pass(time.Minute)
				s.Cloud.JoinDelay = 5 * time.Minute
				s.evictions()
				first, told := s.PodsOf(rs)[0].Name, s.Now
				old := s.interrupted(sim.List[*v1.NodeClaim](s.API)[0], cloudprovider.SpotInterrupted)
				s.until(2*time.Minute, "the pod is told to go", func() bool { return s.leaves(first) })
				if after := s.Now.Sub(told); after < c.after-time.Second || after > c.after+3*time.Second {
					t.Errorf("told after %v, want %v", after, c.after)
				}
				if at := s.pod(first).DeletionTimestamp.Sub(told); at > end || at < c.after+grace-3*time.Second {
					t.Errorf("it has until %v after the notice", at)
				}
				s.until(20*time.Minute, "it runs again", func() bool { return s.running(rs) == 1 && s.claim(old.Name) == nil })
			})
		})
	}
}

// TestForcefulInterruption: on a machine that fails nobody is waited for.
func TestForcefulInterruption(t *testing.T) {
	eachSeed(t, func(t *testing.T, s *scene) {
		s.consolidate(v1.Never)
		rs := s.serve("web", 1)
		s.create(sim.Budget("web", 1))
		s.API.Hold = func(p *corev1.Pod) bool { return p.Spec.NodeName == s.nodeName(rs) }
		old := s.interrupted(sim.List[*v1.NodeClaim](s.API)[0], cloudprovider.SystemStatus)
		s.until(time.Minute, "given back", func() bool { return s.machine(old).State != cloudprovider.Running })
		s.until(5*time.Minute, "it runs elsewhere", func() bool { return s.running(rs) == 1 && s.claim(old.Name) == nil })
		if len(s.Told("InstanceUnhealthy")) != 2 {
			t.Errorf("told: %v", s.Told("InstanceUnhealthy"))
		}
	})
}

// nodeName is where the only pod of a ReplicaSet runs.
func (s *scene) nodeName(rs *sim.ReplicaSet) string {
	for _, p := range s.PodsOf(rs) {
		return p.Spec.NodeName
	}
	return ""
}

// TestScheduledInterruptionIsGentle: budgets are not asked, and pods are, until there is no time.
func TestScheduledInterruptionIsGentle(t *testing.T) {
	for _, kind := range []string{cloudprovider.ScheduledChange, cloudprovider.EventStatus} {
		eachSeed(t, func(t *testing.T, s *scene) {
			s.consolidate(v1.Never, v1.Budget{Nodes: "0"})
			s.single()
			rs := s.serve("web", 2)
			s.create(sim.Budget("web", 1))
			s.Check(neverPending(time.Minute))
			s.evictions()
			claims := sim.List[*v1.NodeClaim](s.API)
			protected := s.PodsOf(rs)[0]
			sim.Update(s.API, protected, func(p *corev1.Pod) { p.Annotations = map[string]string{v1.AnnotationDoNotDisrupt: "true"} })
			s.interrupted(claims[0], kind)
			s.interrupted(claims[1], kind)
			s.pass(20 * time.Minute)
			if s.leaves(protected.Name) {
				t.Error("a protected pod was told to go while there was time")
			}
			if n := s.running(rs); n != 2 {
				t.Errorf("%d of 2 pods run", n)
			}
			if kind == cloudprovider.ScheduledChange { // it has no end
				sim.Update(s.API, s.pod(protected.Name), func(p *corev1.Pod) { p.Annotations = nil })
			}
			s.until(15*time.Minute, "both gone", s.gone(claims...))
			s.pass(time.Minute)
			if n := s.running(rs); n != 2 {
				t.Errorf("%d of 2 pods run in the end", n)
			}
		})
	}
}

// TestMachineEndedByOthers: its pods are made anew long before Kubernetes sees that it is gone.
func TestMachineEndedByOthers(t *testing.T) {
	eachSeed(t, func(t *testing.T, s *scene) {
		s.consolidate(v1.Never)
		rs := s.serve("web", 1)
		s.create(sim.Budget("web", 1))
		bought := len(s.Cloud.Machines())
		old := s.interrupted(sim.List[*v1.NodeClaim](s.API)[0], cloudprovider.InstanceTerminated)
		s.until(15*time.Second, "another is bought", func() bool { return len(s.Cloud.Machines()) > bought })
		s.until(2*time.Minute, "it runs elsewhere", func() bool { return s.running(rs) == 1 && s.claim(old.Name) == nil })
	})
}

// TestInterruptedBeforeItIsANode: nothing is on it that could wait.
func TestInterruptedBeforeItIsANode(t *testing.T) {
	eachSeed(t, func(t *testing.T, s *scene) {
		s.consolidate(v1.Never)
		s.Cloud.JoinDelay = time.Minute
		rs := s.AddReplicaSet(1, sim.Pod("web", "1500m", "1Gi"))
		s.until(time.Minute, "launched", func() bool {
			claims := sim.List[*v1.NodeClaim](s.API)
			return len(claims) > 0 && claims[0].Status.ProviderID != ""
		})
		old := s.interrupted(sim.List[*v1.NodeClaim](s.API)[0], cloudprovider.SpotInterrupted)
		s.until(45*time.Second, "gone", s.gone(old))
		s.until(5*time.Minute, "it runs", func() bool { return s.running(rs) == 1 })
		if n := len(s.Cloud.Machines()); n != 2 {
			t.Errorf("%d machines were bought, want 2", n)
		}
	})
}

// TestStaticNodeIsInterrupted: its NodePool has as many again.
func TestStaticNodeIsInterrupted(t *testing.T) {
	eachSeed(t, func(t *testing.T, s *scene) {
		pool := s.static("fixed", 2)
		s.until(5*time.Minute, "two nodes", s.has(pool, 2))
		old := s.interrupted(s.of(pool)[0], cloudprovider.SpotInterrupted)
		s.until(5*time.Minute, "gone", s.gone(old))
		s.until(5*time.Minute, "two others", s.has(pool, 2))
	})
}

// TestRecommendation: it is told, once, and changes nothing.
func TestRecommendation(t *testing.T) {
	eachSeed(t, func(t *testing.T, s *scene) {
		s.consolidate(v1.Never)
		s.serve("web", 1)
		s.Cloud.Mail.Repeats = 1
		claim := s.interrupted(sim.List[*v1.NodeClaim](s.API)[0], cloudprovider.RebalanceRecommendation)
		s.pass(10 * time.Minute)
		if c := s.claim(claim.Name); c == nil || c.DeletionTimestamp != nil || s.tainted(claim.Name) || s.is(claim.Name, v1.ConditionInterrupted) {
			t.Error("something was done")
		}
		if n := len(s.Told("SpotRebalanceRecommendation")); n != 2 {
			t.Errorf("told %d times, want once on the NodeClaim and once on the Node", n)
		}
		if s.Cloud.Mail.Sent < 2 {
			t.Error("it was not repeated")
		}
	})
}

// TestRecommendationIsHeard, if it is to be: the node is replaced within its budgets, and not if it must not be disrupted.
func TestRecommendationIsHeard(t *testing.T) {
	eachSeed(t, func(t *testing.T, s *scene) {
		s.consolidate(v1.Never)
		s.serve("web", 1)
		s.Interrupt.Rebalance, s.Drift.Rebalance = true, true
		s.Check(neverPending(15 * time.Second))
		s.Cloud.Mail.Repeats = 1
		claim := s.interrupted(sim.List[*v1.NodeClaim](s.API)[0], cloudprovider.RebalanceRecommendation)
		s.until(10*time.Minute, "drifted and gone", s.gone(claim))
		if n := len(s.Told("SpotRebalanceRecommendation")); n != 2 {
			t.Errorf("told %d times, want once on the NodeClaim and once on the Node", n)
		}
	})
}

// TestNoticesComeAgain: late, repeated and not acknowledged they do what one does.
func TestNoticesComeAgain(t *testing.T) {
	eachSeed(t, func(t *testing.T, s *scene) {
		s.consolidate(v1.Never)
		s.single()
		s.Cloud.Mail.Lag, s.Cloud.Mail.Repeats, s.Cloud.Mail.Loses = 20*time.Second, 0.7, 0.5
		rs := s.serve("web", 4)
		old := sim.List[*v1.NodeClaim](s.API)
		s.Check(neverPending(time.Minute))
		s.evictions()
		bought := len(s.Cloud.Machines())
		for _, c := range old {
			s.interrupted(c, cloudprovider.SpotInterrupted)
			s.Cloud.Interrupt("i-of-others", cloudprovider.SpotInterrupted)
		}
		s.until(5*time.Minute, "all replaced", s.gone(old...))
		s.pass(5 * time.Minute)
		if n := s.running(rs); n != 4 {
			t.Errorf("%d of 4 pods run", n)
		}
		if n := len(s.Cloud.Machines()) - bought; n > len(old) {
			t.Errorf("%d nodes were replaced by %d", len(old), n)
		}
		if n := len(s.Told("SpotInterrupted")); n != 2*len(old) {
			t.Errorf("told %d times of %d nodes, want twice each", n, len(old))
		}
		if left := s.Cloud.Mail.Notices(); len(left) > 0 || s.Cloud.Mail.Sent <= 2*len(old) {
			t.Errorf("%d notices came, and these are left: %v", s.Cloud.Mail.Sent, left)
		}
	})
}

// TestCrashWhileInterrupted kills the process at every write that follows from an interruption, one
// after the other: the node is replaced all the same, in time.
func TestCrashWhileInterrupted(t *testing.T) {
	eachSeed(t, func(t *testing.T, s *scene) {
		s.consolidate(v1.Never)
		s.single()
		rs := s.serve("web", 2)
		s.Check(neverPending(45 * time.Second))
		for at := range 16 {
			s.pass(30 * time.Second)
			claim := s.interrupted(sim.List[*v1.NodeClaim](s.API)[0], cloudprovider.SpotInterrupted)
			s.crashAfter(at, claim)
			s.until(20*time.Second, "closed", func() bool { return s.claim(claim.Name) == nil || s.tainted(claim.Name) })
			s.until(5*time.Minute, "replaced", s.gone(claim))
			s.pass(30 * time.Second)
			if n := s.running(rs); n != 2 {
				t.Fatalf("%d of 2 pods run: %v", n, errors.Join(s.proc.Errors...))
			}
		}
	})
}

// TestInterruptedWhileDisrupted: what is nearer counts. A node that drains at leisure, and one that
// waits for its replacement, have the deadline of the notice.
func TestInterruptedWhileDisrupted(t *testing.T) {
	eachSeed(t, func(t *testing.T, s *scene) {
		s.consolidate(v1.Never)
		s.single()
		rs := s.serve("web", 2)
		s.create(sim.Budget("web", 2))
		s.pass(5 * time.Second)
		claims := sim.List[*v1.NodeClaim](s.API)
		if len(claims) != 2 {
			t.Fatalf("%d nodes", len(claims))
		}
		s.delete(claims[0])
		s.drift(claims[1])
		s.pass(3 * time.Minute)
		if s.claim(claims[0].Name) == nil {
			t.Fatal("the PodDisruptionBudget did not hold")
		}
		for _, c := range claims {
			s.interrupted(c, cloudprovider.SpotInterrupted)
		}
		s.until(3*time.Minute, "both gone", s.gone(claims...))
		s.until(time.Minute, "all run", func() bool { return s.running(rs) == 2 })
	})
}

// TestInterruptionsAreCounted by kind.
func TestInterruptionsAreCounted(t *testing.T) {
	eachSeed(t, func(t *testing.T, s *scene) {
		s.consolidate(v1.Never)
		s.serve("web", 1)
		s.Cloud.Interrupt("i-of-others", cloudprovider.InstanceStopped)
		claim := s.interrupted(sim.List[*v1.NodeClaim](s.API)[0], cloudprovider.SpotInterrupted)
		s.until(3*time.Minute, "gone", s.gone(claim))
		s.pass(2 * time.Second)
		got := s.counted("karpenter_interruption_received_messages_total")
		if want := map[string]float64{"spot_interrupted": 1, "instance_stopped": 1}; !maps.Equal(got, want) {
			t.Errorf("received %v, want %v", got, want)
		}
		ended := s.counted("karpenter_nodeclaims_disrupted_total") // its first label is the capacity type
		if want := map[string]float64{"spot": 1}; !maps.Equal(ended, want) {
			t.Errorf("disrupted %v, want %v", ended, want)
		}
	})
}
