package sim_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stowage-sh/stowage/cloudprovider"
	"github.com/stowage-sh/stowage/provisioner/problem"
	v1 "github.com/stowage-sh/stowage/provisioner/v1"
	"github.com/stowage-sh/stowage/test/sim"
)

// fitsSomething reports whether the largest machine of sim.Catalogue holds a pod
// that asks for nothing special.
func fitsSomething(p *corev1.Pod) bool {
	return len(p.Spec.ResourceClaims) == 0 && problem.Requests(p)[cloudprovider.CPU] <= 15_900
}

func nothing(*corev1.Pod) bool { return false }

// pods makes n pods called name-0, name-1 and so on.
func (s *scene) pods(n int, name, cpu, memory string, edits ...func(*corev1.Pod)) {
	s.t.Helper()
	for i := range n {
		pod := sim.Pod(fmt.Sprintf("%s-%d", name, i), cpu, memory)
		for _, edit := range edits {
			edit(pod)
		}
		s.create(pod)
	}
}

// bound counts the bound pods whose names begin so.
func (s *scene) bound(prefix string) int {
	n := 0
	for _, p := range sim.List[*corev1.Pod](s.API) {
		if strings.HasPrefix(p.Name, prefix) && p.Spec.NodeName != "" {
			n++
		}
	}
	return n
}

func (s *scene) untilBound(limit time.Duration, prefix string, n int) {
	s.t.Helper()
	s.until(limit, fmt.Sprintf("%d pods %s… bound", n, prefix), func() bool { return s.bound(prefix) == n })
}

// wantLaunches fails the test unless so many machines were bought so far.
func (s *scene) wantLaunches(n int) {
	s.t.Helper()
	if got := len(s.Cloud.Machines()); got != n {
		s.t.Errorf("%d machines were bought, want %d: %v", got, n, s.Cloud.Machines())
	}
}

// edit changes the scene's NodePool before anything is bought.
func (s *scene) edit(change func(*v1.NodePool)) {
	s.t.Helper()
	sim.Update(s.API, s.pool, change)
	s.pass(s.MaxLag)
}

// joined waits until so many nodes have joined, open or not, and returns them.
func (s *scene) joined(n int) []*corev1.Node {
	s.t.Helper()
	s.until(2*time.Minute, fmt.Sprintf("%d nodes joined", n), func() bool { return len(sim.List[*corev1.Node](s.API)) == n })
	return sim.List[*corev1.Node](s.API)
}

func tainted(n *corev1.Node, key string) bool {
	return slices.ContainsFunc(n.Spec.Taints, func(t corev1.Taint) bool { return t.Key == key })
}

// told returns what a pod's FailedScheduling events said.
func (s *scene) told(pod string) string {
	var words []string
	for _, e := range s.Told("FailedScheduling") {
		if e.Name == pod {
			words = append(words, e.Message)
		}
	}
	return strings.Join(words, "\n")
}

// TestScaleUpFromZero: pods of three shapes become bound in one wave of nodes,
// nearly all where they were planned; and when they go, the nodes go.
func TestScaleUpFromZero(t *testing.T) {
	eachSeed(t, func(t *testing.T, s *scene) {
		sim.Update(s.API, s.pool, func(p *v1.NodePool) { p.Spec.Disruption.ConsolidateAfter = "0s" })
		web := s.AddReplicaSet(30, sim.Pod("web", "1", "1Gi"))
		db := s.AddReplicaSet(4, sim.Pod("db", "3", "10Gi"))
		batch := s.AddReplicaSet(20, sim.Pod("batch", "250m", "3Gi"))
		start := s.Now
		s.until(3*time.Minute, "all bound", func() bool { return s.bound("") == 54 })
		if took := s.Now.Sub(start); took > time.Minute {
			t.Errorf("it took %v", took)
		}
		s.wantLaunches(len(sim.List[*v1.NodeClaim](s.API)))
		bought := len(s.Cloud.Machines())
		if cost, bound := s.cost(), int64(47*10_000); cost < bound || cost > bound*12/10 {
			t.Errorf("%d for 47 cpus of pods, at least %d", cost, bound)
		}
		for _, m := range s.Cloud.Machines() {
			if m.Offering.CapacityType != cloudprovider.Spot || m.Offering.Zone != "zone-a" {
				t.Errorf("bought %s, which is dearer than others", m.Offering)
			}
		}
		s.pass(10 * time.Minute)
		s.wantLaunches(bought)
		if placed, waves := s.counted("stowage_pods_bound_total"), s.counted("stowage_second_waves_total"); placed["as_planned"] < 50 || placed["as_planned"]+placed["elsewhere"] != 54 || len(waves) > 0 {
			t.Errorf("bound: %v, second waves: %v", placed, waves)
		}
		for _, rs := range []*sim.ReplicaSet{web, db, batch} {
			s.Scale(rs, 0)
		}
		s.until(5*time.Minute, "all gone", func() bool {
			return len(s.Cloud.Alive()) == 0 && len(sim.List[*v1.NodeClaim](s.API)) == 0 && len(sim.List[*corev1.Node](s.API)) == 0
		})
		s.wantLaunches(bought)
	})
}

// cost is what the machines that run now cost in an hour.
func (s *scene) cost() (micro int64) {
	for _, m := range s.Cloud.Alive() {
		p, _ := s.Cloud.Price(m.Offering)
		micro += p
	}
	return micro
}

// TestOneMachineForOnePod, whatever the watch is late by, and though kube-scheduler
// takes its time after the node has opened.
func TestOneMachineForOnePod(t *testing.T) {
	eachSeed(t, func(t *testing.T, s *scene) {
		s.MaxLag *= 4
		s.could = nothing // a lag of eight seconds each way is more than any window
		s.SchedulerDelay = 3 * time.Second
		s.pods(1, "web", "1", "1Gi")
		s.untilBound(3*time.Minute, "web", 1)
		s.pass(5 * time.Minute)
		s.wantLaunches(1)
	})
}

// TestRestartWithClaimsInFlight: the next process knows no plans, but it knows the
// NodeClaims, at whatever moment the one before it ended.
func TestRestartWithClaimsInFlight(t *testing.T) {
	for _, at := range []time.Duration{1200 * time.Millisecond, 2 * time.Second, 5 * time.Second, 21 * time.Second, 26 * time.Second} {
		eachSeed(t, func(t *testing.T, s *scene) {
			s.pods(12, "web", "3", "1Gi")
			s.pods(6, "db", "900m", "6Gi")
			s.pass(at)
			s.restart()
			s.untilBound(3*time.Minute, "", 18)
			bought := len(s.Cloud.Machines())
			if cost := s.cost(); cost > 45*10_000*12/10 {
				t.Errorf("after a restart at %v, %d machines for %d", at, bought, cost)
			}
			s.pass(5 * time.Minute)
			s.wantLaunches(bought)
		})
	}
}

// TestCrashAmidCreation: the process ends after any of its NodeClaims was written.
func TestCrashAmidCreation(t *testing.T) {
	eachSeed(t, func(t *testing.T, s *scene) {
		s.pods(20, "web", "7", "1Gi") // two on the largest machine
		left := 1 + s.Rand.IntN(8)
		s.proc.After = s.onClaim(func() error {
			if left--; left == 0 {
				return sim.ErrCrash
			}
			return nil
		})
		s.until(time.Minute, "crashed", s.proc.Dead)
		s.restart()
		s.untilBound(3*time.Minute, "web", 20)
		s.wantLaunches(10)
	})
}

// TestCreationWithoutAnAnswer: a NodeClaim was written, and the server's answer was
// lost. It is used as if the answer had come.
func TestCreationWithoutAnAnswer(t *testing.T) {
	eachSeed(t, func(t *testing.T, s *scene) {
		s.pods(8, "web", "7", "1Gi")
		n := 0
		s.proc.After = s.onClaim(func() error {
			if n++; n <= 2 {
				return fmt.Errorf("the answer got lost")
			}
			return nil
		})
		s.untilBound(3*time.Minute, "web", 8)
		s.wantLaunches(4)
	})
}

// TestServerGoesAwayAmidCreation: one NodeClaim is written, its answer is lost, and
// so is every other call of that moment; the watch is late to tell. What was
// written is used, and what was not is decided anew.
func TestServerGoesAwayAmidCreation(t *testing.T) {
	eachSeed(t, func(t *testing.T, s *scene) {
		s.MaxLag = 6 * time.Second
		s.could = nothing // one that may have been written is waited for
		s.pods(8, "web", "7", "1Gi")
		var away time.Time
		s.proc.After = s.onClaim(func() error {
			if !away.IsZero() {
				return nil
			}
			away = s.Now.Add(time.Millisecond)
			return fmt.Errorf("the answer got lost")
		})
		s.proc.Before = func(string, client.Object) error {
			if s.Now.Before(away) {
				return fmt.Errorf("the server is not to be reached")
			}
			return nil
		}
		for i := range 6 { // something to look at meanwhile; there is room for it
			s.pods(1, fmt.Sprintf("small-%d", i), "100m", "128Mi")
			s.pass(2 * time.Second)
		}
		s.untilBound(3*time.Minute, "", 14)
		if got, want := s.cost(), int64(4*16*10_000); got != want {
			t.Errorf("the machines cost %d, want %d: %v", got, want, s.Cloud.Machines())
		}
	})
}

// TestCreationThatFails without being written: the pods are solved again.
func TestCreationThatFails(t *testing.T) {
	eachSeed(t, func(t *testing.T, s *scene) {
		s.pods(8, "web", "7", "1Gi")
		n := 0
		s.proc.Before = s.onClaim(func() error {
			if n++; n <= 2 {
				return fmt.Errorf("the server is not to be reached")
			}
			return nil
		})
		s.untilBound(3*time.Minute, "web", 8)
		s.wantLaunches(4)
	})
}

// TestCapacityRunsOut: the cheapest offering has run out, and the launch takes
// the next of the list; then all of the list, and the pods are solved again at
// once; then everything, and the pods say so, until there is capacity again.
func TestCapacityRunsOut(t *testing.T) {
	eachSeed(t, func(t *testing.T, s *scene) {
		s.Cloud.Empty[smallSpot] = true
		s.pods(1, "one", "1", "1Gi")
		s.untilBound(2*time.Minute, "one", 1)
		s.wantLaunches(1)
		if got := s.Cloud.Machines()[0].Offering; got != smallB {
			t.Errorf("bought %s, the next is %s", got, smallB)
		}

		onDemand := s.Cloud.Catalogue.InstanceTypes[0].Offerings[0]
		for _, kind := range s.Cloud.Catalogue.InstanceTypes {
			for _, o := range kind.Offerings {
				s.Cloud.Empty[o] = o != onDemand
			}
		}
		s.pods(1, "two", "1", "1Gi")
		s.until(2*time.Minute, "bought", func() bool { return len(s.Cloud.Machines()) == 2 })
		if refused := s.Told("InsufficientCapacityError"); len(refused) == 0 {
			t.Error("no launch was refused")
		} else if took, most := s.Now.Sub(refused[len(refused)-1].At), 2*time.Second+2*s.MaxLag; took > most {
			t.Errorf("the next offering was bought after %v", took)
		}
		if got := s.Cloud.Machines()[1].Offering; got != onDemand {
			t.Errorf("bought %s, all but %s have run out", got, onDemand)
		}
		s.untilBound(2*time.Minute, "two", 1)

		s.could = nothing
		s.Cloud.Empty[onDemand] = true
		s.pods(1, "three", "1500m", "1Gi")
		s.pass(2 * time.Minute)
		if !strings.Contains(s.told("three-0"), "NodePool pool") {
			t.Errorf("the pod says %q", s.told("three-0"))
		}
		s.Cloud.Empty = map[cloudprovider.Offering]bool{}
		s.untilBound(5*time.Minute, "three", 1)
		s.wantLaunches(3)
	})
}

// TestLimits: no NodePool grows past its limits, and the pods that wait say so.
func TestLimits(t *testing.T) {
	for name, limit := range map[corev1.ResourceName]string{"cpu": "20", "nodes": "3", "memory": "72Gi"} {
		eachSeed(t, func(t *testing.T, s *scene) {
			s.could = nothing
			s.edit(func(p *v1.NodePool) { p.Spec.Limits = corev1.ResourceList{name: resource.MustParse(limit)} })
			for i := range 5 {
				s.pods(2, fmt.Sprintf("web-%d", i), "1500m", "1Gi")
				s.pass(1500 * time.Millisecond) // claims may not be launched yet
			}
			s.pods(40, "more", "1500m", "1Gi")
			s.pass(3 * time.Minute)
			if s.bound("") < 3 || s.bound("") > 40 {
				t.Errorf("%d of 50 pods are bound", s.bound(""))
			}
			if all := fmt.Sprint(s.Told("FailedScheduling")); !strings.Contains(all, fmt.Sprintf("its limit on %s is reached", name)) {
				t.Errorf("the pods say %s", all)
			}
			// With the limit lifted all get their place.
			sim.Update(s.API, s.pool, func(p *v1.NodePool) { p.Spec.Limits = nil })
			s.untilBound(3*time.Minute, "", 50)
		})
	}
}

// TestBrokenPool: machines that never join are not bought in a loop, and once they
// join again, all pods get their place.
func TestBrokenPool(t *testing.T) {
	eachSeed(t, func(t *testing.T, s *scene) {
		s.could = nothing
		broken := true
		s.Cloud.Broken = func(cloudprovider.Instance) bool { return broken }
		s.pods(10, "web", "7", "1Gi")
		s.pass(time.Minute)
		s.wantLaunches(5)
		for i := range 12 { // pods that keep coming change nothing
			s.pass(10 * time.Minute)
			s.pods(1, fmt.Sprintf("late-%d", i), "1", "1Gi")
		}
		// Launches take a quarter of an hour to fail, and then 1, 2, 4, 8, 16
		// minutes pass before the next one.
		if got := len(s.Cloud.Machines()); got < 5+4 || got > 5+6 {
			t.Errorf("%d machines were bought in two hours", got)
		}
		if len(s.Cloud.Alive()) > 1 {
			t.Errorf("%d machines run that will not join", len(s.Cloud.Alive()))
		}
		broken = false
		s.untilBound(2*time.Hour, "", 22)
		if n := len(s.Cloud.Machines()); n > 5+6+8 {
			t.Errorf("%d machines were bought", n)
		}
	})
}

// TestWeights: the heavier NodePool gets all that it may have, whatever it costs;
// a selector, or its limit, sends pods to the other.
func TestWeights(t *testing.T) {
	eachSeed(t, func(t *testing.T, s *scene) {
		heavy, weight := sim.NodePool("heavy"), int32(50)
		heavy.Spec.Weight = &weight
		heavy.Spec.Disruption.ConsolidateAfter = v1.Never
		heavy.Spec.Limits = corev1.ResourceList{"nodes": resource.MustParse("1")}
		heavy.Spec.Template.Spec.Requirements = []v1.Requirement{
			{Key: v1.LabelCapacityType, Operator: corev1.NodeSelectorOpIn, Values: []string{cloudprovider.OnDemand}},
		}
		s.create(heavy)
		s.pass(s.MaxLag + 2*time.Second)
		s.pods(4, "any", "1", "1Gi")
		s.untilBound(2*time.Minute, "any", 4)
		s.pods(1, "chosen", "1", "1Gi", func(p *corev1.Pod) { p.Spec.NodeSelector = map[string]string{v1.LabelNodePool: "pool"} })
		s.pods(6, "rest", "2", "1Gi")
		s.untilBound(2*time.Minute, "", 11)
		for i, m := range s.Cloud.Machines() {
			want := "pool"
			if i == 0 {
				want = "heavy"
			}
			if m.NodePool != want || (m.Offering.CapacityType == cloudprovider.OnDemand) != (want == "heavy") {
				t.Errorf("machine %d is %s of NodePool %s, want NodePool %s", i, m.Offering, m.NodePool, want)
			}
		}
		if len(s.Cloud.Machines()) < 2 {
			t.Error("one machine for all")
		}
	})
}

// TestPodsThatFindNoPlace hold nobody up, and say why.
func TestPodsThatFindNoPlace(t *testing.T) {
	eachSeed(t, func(t *testing.T, s *scene) {
		s.pods(1, "huge", "17", "1Gi")
		s.pods(1, "device", "1", "1Gi", func(p *corev1.Pod) { p.Spec.ResourceClaims = []corev1.PodResourceClaim{{Name: "gpu"}} })
		s.pods(5, "web", "1", "1Gi")
		s.untilBound(time.Minute, "web", 5)
		bought := len(s.Cloud.Machines())
		s.pass(5 * time.Minute)
		if s.bound("") != 5 {
			t.Errorf("%d pods are bound", s.bound(""))
		}
		s.wantLaunches(bought)
		if got := s.told("huge-0"); !strings.Contains(got, "no offering is large enough: cpu wanted 17") {
			t.Errorf("the pod that is too large says %q", got)
		}
		if got := s.told("device-0"); !strings.Contains(got, "spec.resourceClaims is not supported yet") {
			t.Errorf("the pod that asks for a device says %q", got)
		}
		if n := strings.Count(s.told("huge-0"), "\n"); n > 3 {
			t.Errorf("it says so %d times in five minutes", n)
		}
	})
}

// TestStartupTaints: pods go where they were planned once others have taken the
// taints off, however long that takes, and nothing is bought meanwhile.
func TestStartupTaints(t *testing.T) {
	eachSeed(t, func(t *testing.T, s *scene) {
		s.Cloud.StartupDelay = time.Minute
		s.edit(func(p *v1.NodePool) {
			p.Spec.Template.Spec.StartupTaints = []corev1.Taint{{Key: "example.com/setup", Effect: corev1.TaintEffectNoSchedule}}
			p.Spec.Template.Spec.Taints = []corev1.Taint{{Key: "example.com/team", Value: "a", Effect: corev1.TaintEffectNoSchedule}}
		})
		mine := func(p *corev1.Pod) {
			p.Spec.Tolerations = []corev1.Toleration{{Key: "example.com/team", Operator: corev1.TolerationOpEqual, Value: "a"}}
		}
		s.could = func(p *corev1.Pod) bool { return len(p.Spec.Tolerations) > 0 }
		s.pods(6, "web", "3", "1Gi", mine)
		s.pods(9, "small", "500m", "4Gi", mine)
		s.pods(1, "stranger", "1", "1Gi")
		s.until(2*time.Minute, "a node is ready and held by the startup taint", func() bool {
			return slices.ContainsFunc(sim.List[*corev1.Node](s.API), func(n *corev1.Node) bool {
				return n.Labels[v1.LabelRegistered] == "true" && tainted(n, "example.com/setup")
			})
		})
		bought := len(s.Cloud.Machines())
		s.pass(20 * time.Second)
		if s.bound("") != 0 {
			t.Error("pods were bound to a node that is not set up")
		}
		s.untilBound(3*time.Minute, "", 15)
		s.pass(3 * time.Minute)
		s.wantLaunches(bought)
		if got := s.told("stranger-0"); !strings.Contains(got, "taint example.com/team=a:NoSchedule is not tolerated") {
			t.Errorf("the pod that does not tolerate the taint says %q", got)
		}
	})
}

// TestStolenPlace: kube-scheduler gave the planned room to another pod. The pods
// are solved again as soon as that is seen, not after a wait.
func TestStolenPlace(t *testing.T) {
	eachSeed(t, func(t *testing.T, s *scene) {
		s.pods(2, "web", "7", "1Gi")
		node := s.joined(1)[0]
		s.until(time.Minute, "the node open", func() bool {
			node, _ = sim.Get[*corev1.Node](s.API, "", node.Name)
			return !tainted(node, v1.TaintUnregistered)
		})
		s.bind(sim.Pod("thief", "8", "1Gi"), node.Name)
		stolen := s.Now
		s.until(time.Minute, "another machine bought", func() bool { return len(s.Cloud.Machines()) == 2 })
		if took := s.Now.Sub(stolen); took > 1500*time.Millisecond+4*s.MaxLag {
			t.Errorf("it took %v", took)
		}
		s.untilBound(2*time.Minute, "web", 2)
		s.pass(3 * time.Minute)
		s.wantLaunches(2)
		if waves := s.counted("stowage_second_waves_total"); waves["place_lost"] != 1 || len(waves) != 1 {
			t.Errorf("second waves: %v", waves)
		}
	})
}

// TestStolenBeforeItOpened is TestStolenPlace with a pod that tolerates everything.
func TestStolenBeforeItOpened(t *testing.T) {
	eachSeed(t, func(t *testing.T, s *scene) {
		s.pods(2, "web", "7", "1Gi")
		s.bind(sim.Pod("thief", "8", "1Gi"), s.joined(1)[0].Name)
		s.untilBound(3*time.Minute, "web", 2)
		s.pass(3 * time.Minute)
		s.wantLaunches(2)
	})
}

// TestNodesOfOthers are used, and never touched.
func TestNodesOfOthers(t *testing.T) {
	eachSeed(t, func(t *testing.T, s *scene) {
		sim.Update(s.API, s.pool, func(p *v1.NodePool) { p.Spec.Disruption.ConsolidateAfter = "0s" })
		theirs := &corev1.Node{}
		theirs.Name = "theirs"
		theirs.Labels = map[string]string{corev1.LabelHostname: "theirs", "eks.amazonaws.com/nodegroup": "managed"}
		theirs.Spec.ProviderID = "sim:///zone-a/i-theirs"
		theirs.Status.Allocatable = corev1.ResourceList{"cpu": resource.MustParse("4"), "memory": resource.MustParse("16Gi"), "pods": resource.MustParse("20")}
		theirs.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}}
		s.create(theirs)
		s.pass(time.Second + s.MaxLag)
		before, _ := sim.Get[*corev1.Node](s.API, "", "theirs")

		// Stowage sees the pods, and that they have room, before kube-scheduler
		// gets round to them.
		s.SchedulerDelay = 8 * time.Second
		s.pods(3, "web", "1", "1Gi", func(p *corev1.Pod) {
			p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: corev1.PodReasonUnschedulable}}
		})
		s.untilBound(time.Minute, "web", 3)
		s.wantLaunches(0)
		s.SchedulerDelay = 0
		s.pods(1, "more", "2", "1Gi")
		s.untilBound(2*time.Minute, "more", 1)
		s.wantLaunches(1)
		for _, p := range sim.List[*corev1.Pod](s.API) {
			s.delete(p)
		}
		s.until(5*time.Minute, "our node gone", func() bool { return len(s.Cloud.Alive()) == 0 && len(sim.List[*corev1.Node](s.API)) == 1 })
		s.pass(10 * time.Minute)
		if after, ok := sim.Get[*corev1.Node](s.API, "", "theirs"); !ok || after.ResourceVersion != before.ResourceVersion {
			t.Errorf("their node was touched: %+v", after)
		}
	})
}
