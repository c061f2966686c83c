package sim_test

import (
	"errors"
	"flag"
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stowage-sh/stowage/cloudprovider"
	awsv1 "github.com/stowage-sh/stowage/cloudprovider/aws/v1"
	"github.com/stowage-sh/stowage/provisioner/nodepool"
	v1 "github.com/stowage-sh/stowage/provisioner/v1"
	"github.com/stowage-sh/stowage/test/sim"
)

var (
	seed  = flag.Uint64("seed", 0, "run the worlds of this seed alone")
	seeds = flag.Uint64("seeds", worlds, "run each test in this many worlds")
	story = flag.Bool("story", false, "print everything that happens in a world")
)

// newWorld makes the world of a seed.
func newWorld(n uint64) *sim.World {
	w := sim.New(n)
	if *story {
		w.Trace = func(at time.Time, what string) { fmt.Println(at.Format("15:04:05.000"), what) }
	}
	return w
}

var (
	smallSpot = cloudprovider.Offering{InstanceType: "general-02", Zone: "zone-a", CapacityType: cloudprovider.Spot}
	smallB    = cloudprovider.Offering{InstanceType: "general-02", Zone: "zone-b", CapacityType: cloudprovider.Spot}
)

// scene is a world with one NodePool, a ready NodeClass, the controllers running,
// and every law checked.
type scene struct {
	*sim.World
	*sim.Controllers
	t    *testing.T
	proc *sim.Process
	pool *v1.NodePool
	// could says which unschedulable pods there is something for; see
	// sim.NoPodForgotten.
	could func(*corev1.Pod) bool
}

// eachSeed runs a test in a few worlds, each with late watches and lost races.
func eachSeed(t *testing.T, run func(t *testing.T, s *scene)) {
	t.Helper()
	first, last := uint64(0), *seeds
	if *seed != 0 {
		first, last = *seed, *seed+1
	}
	for n := first; n < last; n++ {
		t.Run(fmt.Sprintf("seed %d", n), func(t *testing.T) {
			t.Parallel()
			t.Cleanup(func() {
				if t.Failed() {
					test, _, _ := strings.Cut(t.Name(), "/")
					t.Logf("repeat with: go test ./test/sim -run '^%s$' -seed %d", test, n)
				}
			})
			w := newWorld(n)
			if n > 0 { // seed 0 is the quiet world
				w.MaxLag = 2 * time.Second
			}
			w.Check(sim.NoLostMachine(3 * time.Minute))
			w.Check(sim.LaunchedOnce)
			w.Check(sim.LimitsKept)
			w.Check(sim.BudgetsKept)
			w.Check(sim.ReplicasKept())
			s := &scene{World: w, t: t, pool: sim.NodePool("pool"), could: fitsSomething}
			w.Check(sim.NoPodForgotten(3*10*time.Second, func(p *corev1.Pod) bool { return s.could(p) }))
			w.Check(sim.PlannedOnce())
			w.Check(sim.PlansFit())
			w.Check(sim.NominationsHold(3 * 10 * time.Second))
			s.pool.Spec.Disruption.ConsolidateAfter = v1.Never
			s.pool.Spec.Disruption.ConsolidationPolicy = v1.WhenEmpty
			s.create(sim.NodeClass())
			s.create(s.pool)
			s.restart()
			run(t, s)
		})
	}
}

// restart begins a new process; the one before is killed.
func (s *scene) restart() {
	if s.proc != nil {
		s.proc.Kill()
	}
	s.proc = s.Start()
	if s.MaxLag > 0 {
		s.proc.Conflicts = 0.1
	}
	s.Controllers = s.proc.AddControllers()
}

func (s *scene) create(obj client.Object) {
	s.t.Helper()
	if err := s.API.Create(obj); err != nil {
		s.t.Fatal(err)
	}
}

func (s *scene) delete(obj client.Object) {
	s.t.Helper()
	if err := s.API.Delete(obj); err != nil {
		s.t.Fatal(err)
	}
}

// until fails the test if something does not come true in time.
func (s *scene) until(limit time.Duration, what string, done func() bool) {
	s.t.Helper()
	ok, err := s.RunUntil(limit, done)
	if err != nil {
		s.t.Fatal(err)
	}
	if !ok {
		s.t.Fatalf("after %v: not yet: %s\nerrors: %v", limit, what, errors.Join(s.proc.Errors...))
	}
}

func (s *scene) pass(d time.Duration) {
	s.t.Helper()
	if err := s.Run(d); err != nil {
		s.t.Fatal(err)
	}
}

func (s *scene) claim(name string) *v1.NodeClaim {
	c, _ := sim.Get[*v1.NodeClaim](s.API, "", name)
	return c
}

func (s *scene) is(name, condition string) bool {
	c := s.claim(name)
	return c != nil && v1.IsTrue(c.Status.Conditions, condition)
}

// ready makes a claim and waits until it is an initialized node.
func (s *scene) ready(name string, edits ...func(*v1.NodeClaim)) *corev1.Node {
	s.t.Helper()
	claim := sim.NodeClaim(s.pool, name, smallSpot)
	for _, edit := range edits {
		edit(claim)
	}
	s.create(claim)
	s.until(5*time.Minute, name+" initialized", func() bool { return s.is(name, v1.ConditionReady) })
	return s.node(name)
}

func (s *scene) node(claim string) *corev1.Node {
	c := s.claim(claim)
	if c == nil {
		return nil
	}
	n, _ := sim.Get[*corev1.Node](s.API, "", c.Status.NodeName)
	return n
}

// bind makes a pod that is bound to a node.
func (s *scene) bind(pod *corev1.Pod, node string) *corev1.Pod {
	s.t.Helper()
	pod.Spec.NodeName = node
	s.create(pod)
	s.pass(5 * time.Second)
	return pod
}

func TestNodeClaimBecomesNode(t *testing.T) {
	eachSeed(t, func(t *testing.T, s *scene) {
		claim := sim.NodeClaim(s.pool, "one", smallSpot)
		claim.Labels["team"] = "a"
		claim.Annotations["note"] = "kept"
		claim.Spec.Taints = []corev1.Taint{{Key: "dedicated", Value: "x", Effect: corev1.TaintEffectNoSchedule}}
		claim.Spec.StartupTaints = []corev1.Taint{{Key: "setup", Effect: corev1.TaintEffectNoExecute}}
		s.create(claim)
		s.until(time.Minute, "launched", func() bool { return s.is("one", v1.ConditionLaunched) })
		got := s.claim("one")
		if cpu := got.Status.Allocatable[corev1.ResourceCPU]; got.Status.ProviderID == "" || got.Status.ImageID == "" || cpu.MilliValue() != 1900 {
			t.Errorf("status after the launch: %+v", got.Status)
		}
		s.until(2*time.Minute, "registered", func() bool { return s.is("one", v1.ConditionRegistered) })
		node := s.node("one")
		for key, want := range map[string]string{
			corev1.LabelInstanceTypeStable: "general-02", corev1.LabelTopologyZone: "zone-a", corev1.LabelTopologyRegion: "region-1",
			v1.LabelCapacityType: "spot", v1.LabelNodePool: "pool", v1.LabelRegistered: "true", "team": "a",
			"topology.k8s.aws/zone-id": "zone-a-id", "karpenter.k8s.aws/instance-cpu": "2", corev1.LabelArchStable: "amd64",
		} {
			if node.Labels[key] != want {
				t.Errorf("label %s of the node is %q, want %q", key, node.Labels[key], want)
			}
		}
		if node.Annotations["note"] != "kept" || len(node.Finalizers) != 1 || len(node.OwnerReferences) != 1 || node.OwnerReferences[0].UID != got.UID {
			t.Errorf("metadata of the node: %+v", node.ObjectMeta)
		}
		taints := fmt.Sprint(node.Spec.Taints)
		if strings.Contains(taints, v1.TaintUnregistered) || !strings.Contains(taints, "dedicated") || !strings.Contains(taints, "setup") {
			t.Errorf("taints after registration: %s", taints)
		}
		s.until(time.Minute, "initialized", func() bool { return s.is("one", v1.ConditionReady) })
		if strings.Contains(fmt.Sprint(s.node("one").Spec.Taints), "setup") {
			t.Error("initialized with a startup taint")
		}
		writes := s.API.Writes["NodeClaim"] + s.API.Writes["Node"]
		s.pass(2 * time.Second)
		if got := s.API.Writes["NodeClaim"] + s.API.Writes["Node"]; got > writes+1 {
			t.Errorf("%d writes when nothing changed", got-writes)
		}
	})
}

func TestBeforeOpenRunsBeforeNodeOpens(t *testing.T) {
	eachSeed(t, func(t *testing.T, s *scene) {
		refusals := 2
		s.Lifecycle.BeforeOpen = beforeOpen(s, &refusals)
		s.ready("one")
		if refusals != 0 {
			t.Errorf("BeforeOpen was not asked again: %d refusals left", refusals)
		}
	})
}

func TestInsufficientCapacity(t *testing.T) {
	eachSeed(t, func(t *testing.T, s *scene) {
		s.Cloud.Empty[smallSpot] = true
		s.create(sim.NodeClaim(s.pool, "one", smallSpot))
		s.create(sim.NodeClaim(s.pool, "two", smallSpot, smallB))
		s.until(time.Minute, "the claim without an offering gone, the other launched", func() bool {
			return s.claim("one") == nil && s.is("two", v1.ConditionLaunched)
		})
		if !s.Availability.Unavailable(s.Now, smallSpot) || s.Availability.Unavailable(s.Now, smallB) {
			t.Error("not exactly the refused offering is marked")
		}
		if len(s.Told("InsufficientCapacityError")) == 0 {
			t.Error("nobody was told")
		}
		if zone := s.claim("two").Labels[corev1.LabelTopologyZone]; zone != "zone-b" {
			t.Errorf("the other claim is in %q", zone)
		}
	})
}

func TestNodeClassNotReady(t *testing.T) {
	eachSeed(t, func(t *testing.T, s *scene) {
		s.Cloud.NotReady = "SubnetsReady is False"
		s.create(sim.NodeClaim(s.pool, "one", smallSpot))
		s.until(time.Minute, "the claim gone", func() bool { return s.claim("one") == nil })
		if told := s.Told("NodeClassNotReady"); len(told) == 0 || !strings.Contains(told[0].Message, "SubnetsReady") {
			t.Errorf("told: %v", told)
		}
	})
}

func TestLaunchErrorIsShownAndGivenUp(t *testing.T) {
	eachSeed(t, func(t *testing.T, s *scene) {
		s.Cloud.LaunchError = errors.New("not authorized to run instances")
		s.create(sim.NodeClaim(s.pool, "one", smallSpot))
		s.until(time.Minute, "the error on the claim", func() bool {
			c := s.claim("one")
			launched := v1.GetCondition(c.Status.Conditions, v1.ConditionLaunched)
			return launched != nil && launched.Reason == "LaunchFailed" && strings.Contains(launched.Message, "not authorized")
		})
		s.Cloud.LaunchError = nil
		s.create(sim.NodeClaim(s.pool, "two", smallSpot))
		s.until(time.Minute, "both launched", func() bool { return s.is("one", v1.ConditionLaunched) && s.is("two", v1.ConditionLaunched) })

		s.Cloud.LaunchError = errors.New("not authorized to run instances")
		s.create(sim.NodeClaim(s.pool, "three", smallSpot))
		s.until(6*time.Minute, "the claim given up", func() bool { return s.claim("three") == nil })
		if s.claim("one") == nil || s.claim("two") == nil {
			t.Error("a claim with a machine was given up")
		}
	})
}

func TestMachineNeverJoins(t *testing.T) {
	eachSeed(t, func(t *testing.T, s *scene) {
		s.Cloud.Broken = func(i cloudprovider.Instance) bool { return strings.HasPrefix(i.Claim, "broken") }
		s.create(sim.NodeClaim(s.pool, "broken-1", smallSpot))
		s.create(sim.NodeClaim(s.pool, "broken-2", smallSpot))
		s.pass(14 * time.Minute)
		if s.claim("broken-1") == nil {
			t.Fatal("given up before its time")
		}
		s.until(3*time.Minute, "both gone with their machines", func() bool {
			return s.claim("broken-1") == nil && s.claim("broken-2") == nil && len(s.Cloud.Alive()) == 0
		})
		pool, _ := sim.Get[*v1.NodePool](s.API, "", "pool")
		until, failures := nodepool.Backoff(pool)
		if failures != 1 || until.Before(s.Now.Add(-2*time.Minute)) {
			t.Errorf("a round of two failures counts as %d, back off until %v at %v", failures, until, s.Now)
		}
		s.create(sim.NodeClaim(s.pool, "broken-3", smallSpot))
		s.until(18*time.Minute, "the second round counted", func() bool {
			pool, _ := sim.Get[*v1.NodePool](s.API, "", "pool")
			healthy := v1.GetCondition(pool.Status.Conditions, v1.ConditionNodeRegistrationHealthy)
			return healthy != nil && healthy.Status == "False"
		})
		s.ready("good")
		s.until(time.Minute, "forgiven", func() bool {
			pool, _ := sim.Get[*v1.NodePool](s.API, "", "pool")
			_, failures := nodepool.Backoff(pool)
			return failures == 0 && v1.IsTrue(pool.Status.Conditions, v1.ConditionNodeRegistrationHealthy)
		})
	})
}

func TestChangedNodeClassIsForgiven(t *testing.T) {
	eachSeed(t, func(t *testing.T, s *scene) {
		s.Cloud.Broken = func(cloudprovider.Instance) bool { return true }
		s.create(sim.NodeClaim(s.pool, "one", smallSpot))
		s.until(20*time.Minute, "a failure noted", func() bool {
			pool, _ := sim.Get[*v1.NodePool](s.API, "", "pool")
			_, failures := nodepool.Backoff(pool)
			return failures == 1
		})
		sim.Update(s.API, s.nodeClass(), func(c *awsv1.EC2NodeClass) {
			c.Generation++
			c.SetReady(nil, s.Now)
		})
		s.until(time.Minute, "forgiven", func() bool {
			pool, _ := sim.Get[*v1.NodePool](s.API, "", "pool")
			_, failures := nodepool.Backoff(pool)
			return failures == 0 && pool.Status.NodeClassObservedGeneration == 2
		})
	})
}

func TestUnregisteredTaintMissing(t *testing.T) {
	eachSeed(t, func(t *testing.T, s *scene) {
		s.Cloud.Untainted = true
		s.create(sim.NodeClaim(s.pool, "one", smallSpot))
		s.pass(5 * time.Minute)
		if s.is("one", v1.ConditionRegistered) {
			t.Error("registered")
		}
		if told := s.Told("UnregisteredTaintMissing"); len(told) == 0 || s.MaxLag == 0 && len(told) != 1 {
			t.Errorf("told %d times", len(told))
		}
		s.until(15*time.Minute, "given up", func() bool { return s.claim("one") == nil && len(s.Cloud.Alive()) == 0 })
	})
}

// TestCrashBetweenLaunchAndStatus kills the process at each write that follows
// the launch; the next one takes over. There is never a second machine.
func TestCrashBetweenLaunchAndStatus(t *testing.T) {
	eachSeed(t, func(t *testing.T, s *scene) {
		for i, verb := range []string{"patch", "patchStatus"} {
			name := fmt.Sprintf("claim-%d", i)
			s.proc.Conflicts = 0
			s.proc.Before = func(v string, obj client.Object) error {
				if v == verb && sim.KindOf(obj) == "NodeClaim" && len(s.Cloud.Machines()) > i {
					return sim.ErrCrash
				}
				return nil
			}
			s.create(sim.NodeClaim(s.pool, name, smallSpot))
			s.until(time.Minute, "crashed", s.proc.Dead)
			if got := s.claim(name); got.Status.ProviderID != "" {
				t.Fatalf("crashed too late: %+v", got.Status)
			}
			s.pass(40 * time.Second) // the machine joins with nobody looking
			s.restart()
			s.until(time.Minute, "taken over", func() bool { return s.is(name, v1.ConditionReady) })
		}
		if n := len(s.Cloud.Machines()); n != 2 {
			t.Errorf("%d machines for two claims", n)
		}
	})
}

// TestCrashBetweenOpeningAndStatus kills the process after it has opened a node.
// The next one must not put startup taints back that somebody has taken off.
func TestCrashBetweenOpeningAndStatus(t *testing.T) {
	eachSeed(t, func(t *testing.T, s *scene) {
		s.proc.Conflicts = 0
		s.proc.After = func(verb string, obj client.Object) error {
			if sim.KindOf(obj) == "Node" {
				return sim.ErrCrash
			}
			return nil
		}
		claim := sim.NodeClaim(s.pool, "one", smallSpot)
		claim.Spec.StartupTaints = []corev1.Taint{{Key: "setup", Effect: corev1.TaintEffectNoSchedule}}
		s.create(claim)
		s.until(time.Minute, "crashed", s.proc.Dead)
		s.pass(30 * time.Second) // the node is set up with nobody looking
		s.restart()
		s.until(time.Minute, "ready", func() bool { return s.is("one", v1.ConditionReady) })
	})
}

// TestDeletedBeforeLaunchIsWrittenDown deletes a claim whose launch was never
// written down: its machine goes too.
func TestDeletedBeforeLaunchIsWrittenDown(t *testing.T) {
	eachSeed(t, func(t *testing.T, s *scene) {
		s.proc.Conflicts = 0
		s.proc.Before = func(v string, obj client.Object) error {
			if sim.KindOf(obj) == "NodeClaim" && len(s.Cloud.Machines()) > 0 {
				return sim.ErrCrash
			}
			return nil
		}
		claim := sim.NodeClaim(s.pool, "one", smallSpot)
		s.create(claim)
		s.until(time.Minute, "crashed", s.proc.Dead)
		s.delete(claim)
		s.restart()
		s.until(2*time.Minute, "the claim gone", func() bool { return s.claim("one") == nil })
		if len(s.Cloud.Alive()) != 0 {
			t.Error("the claim let go of its machine, and left it to the collector")
		}
	})
}

// TestStatusIsWrittenLate: a machine whose claim cannot write it down yet is not
// a lost one.
func TestStatusIsWrittenLate(t *testing.T) {
	eachSeed(t, func(t *testing.T, s *scene) {
		until := s.Now.Add(2 * time.Minute)
		s.proc.Before = func(verb string, obj client.Object) error {
			if verb == "patchStatus" && sim.KindOf(obj) == "NodeClaim" && s.Now.Before(until) {
				return errors.New("the server is not to be reached")
			}
			return nil
		}
		s.create(sim.NodeClaim(s.pool, "one", smallSpot))
		s.until(4*time.Minute, "ready", func() bool { return s.is("one", v1.ConditionReady) })
		if n := len(s.Cloud.Machines()); n != 1 {
			t.Errorf("%d machines were bought", n)
		}
	})
}

func TestLostMachineIsCollected(t *testing.T) {
	eachSeed(t, func(t *testing.T, s *scene) {
		s.Cloud.ListLag = 10 * time.Second
		node := s.ready("one")
		// Somebody takes the finalizer off: the claim goes, the machine stays.
		claim := s.claim("one")
		sim.Update(s.API, claim, func(c *v1.NodeClaim) { c.Finalizers = nil })
		s.proc.Before = func(verb string, obj client.Object) error { // and it is not put back first
			if verb == "patch" && obj.GetName() == "one" {
				return errors.New("no")
			}
			return nil
		}
		s.delete(claim)
		s.until(3*time.Minute, "machine and node gone", func() bool {
			_, there := sim.Get[*corev1.Node](s.API, "", node.Name)
			return len(s.Cloud.Alive()) == 0 && !there
		})
	})
}

func TestMachineTerminatedBehindOurBack(t *testing.T) {
	eachSeed(t, func(t *testing.T, s *scene) {
		node := s.ready("one")
		s.create(sim.Budget("web", 1)) // protects nobody on a machine that is gone
		rs := s.AddReplicaSet(1, sim.Pod("web", "1", "1Gi"))
		s.until(time.Minute, "the pod bound", func() bool { p := s.PodsOf(rs); return len(p) == 1 && p[0].Spec.NodeName == node.Name })
		old := s.PodsOf(rs)[0].Name
		s.Cloud.Kill(s.Cloud.Machines()[0].ID)
		s.until(6*time.Minute, "claim and node gone, the pod made anew", func() bool {
			_, there := sim.Get[*corev1.Node](s.API, "", node.Name)
			pods := s.PodsOf(rs)
			return s.claim("one") == nil && !there && len(pods) == 1 && pods[0].Name != old
		})
	})
}

// TestCloudForgetsForAMoment: a List that misses a machine once, or that misses
// the machine of a node that is alive, ends nothing.
func TestCloudForgetsForAMoment(t *testing.T) {
	eachSeed(t, func(t *testing.T, s *scene) {
		s.ready("one")
		s.Cloud.ListLag = time.Hour
		s.pass(10 * time.Minute)
		if s.claim("one") == nil || len(s.Cloud.Alive()) != 1 {
			t.Error("the cloud's forgetfulness cost a node that is alive")
		}
	})
}

func TestNodeDeletedByHand(t *testing.T) {
	eachSeed(t, func(t *testing.T, s *scene) {
		node := s.ready("one")
		pod := s.bind(sim.Pod("web", "1", "1Gi"), node.Name)
		s.delete(node)
		s.until(3*time.Minute, "everything gone", func() bool {
			_, there := sim.Get[*corev1.Node](s.API, "", node.Name)
			_, podThere := sim.Get[*corev1.Pod](s.API, pod.Namespace, pod.Name)
			return s.claim("one") == nil && !there && !podThere && len(s.Cloud.Alive()) == 0
		})
	})
}

// TestNodeJoinsAnew: the node of a running machine is gone, and comes back as it
// joined at first. It is opened again, and its claim, which is older than a machine
// may be that never joined, lives on.
func TestNodeJoinsAnew(t *testing.T) {
	eachSeed(t, func(t *testing.T, s *scene) {
		node := s.ready("one")
		s.pass(20 * time.Minute)
		s.API.Remove(node)
		again := &corev1.Node{}
		again.Name, again.Spec.ProviderID = node.Name, node.Spec.ProviderID
		again.Spec.Taints = []corev1.Taint{v1.UnregisteredTaint()}
		again.Status.Capacity, again.Status.Allocatable = node.Status.Capacity, node.Status.Allocatable
		again.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionFalse}}
		s.create(again)
		s.pass(10 * time.Second)
		sim.Update(s.API, again, func(n *corev1.Node) { n.Status.Conditions[0].Status = corev1.ConditionTrue })
		s.until(time.Minute, "opened and initialized again", func() bool {
			n, _ := sim.Get[*corev1.Node](s.API, "", node.Name)
			return n != nil && n.Labels[v1.LabelInitialized] == "true" && !tainted(n, v1.TaintUnregistered)
		})
		if !s.is("one", v1.ConditionReady) || len(s.Cloud.Alive()) != 1 {
			t.Error("the claim of a node that came back is not Ready")
		}
	})
}

func TestForeignNodeIsNotTouched(t *testing.T) {
	eachSeed(t, func(t *testing.T, s *scene) {
		node := &corev1.Node{}
		node.Name, node.Spec.ProviderID = "managed", "sim:///zone-a/i-foreign"
		node.Spec.Taints = []corev1.Taint{v1.DisruptedTaint()} // somebody else's, whatever it means
		s.create(node)
		s.ready("one")
		s.delete(s.claim("one"))
		s.until(3*time.Minute, "our own node gone", func() bool { return s.claim("one") == nil })
		got, ok := sim.Get[*corev1.Node](s.API, "", "managed")
		if !ok || got.ResourceVersion != node.ResourceVersion {
			t.Errorf("the foreign node was changed: %+v", got)
		}
	})
}

// TestNodeSmallerThanExpected: a node that is clearly smaller than what was bought is said
// to be, once, until it is not any more.
func TestNodeSmallerThanExpected(t *testing.T) {
	eachSeed(t, func(t *testing.T, s *scene) {
		node := s.ready("one", func(c *v1.NodeClaim) {
			c.Spec.Resources.Requests = corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("1Gi")}
		})
		s.until(time.Minute, "found consistent", func() bool { return s.is("one", v1.ConditionConsistentStateFound) })
		resize := func(memory string) {
			sim.Update(s.API, node, func(n *corev1.Node) {
				n.Status.Capacity = corev1.ResourceList{corev1.ResourceMemory: resource.MustParse(memory)}
			})
		}
		resize("7500Mi") // of 8 GiB
		s.pass(time.Minute)
		if !s.is("one", v1.ConditionConsistentStateFound) {
			t.Error("nine tenths are too little")
		}
		resize("7Gi")
		s.until(time.Minute, "said to be smaller", func() bool {
			status, reason := s.condition("one", v1.ConditionConsistentStateFound)
			return status == "False" && reason == "ConsistencyCheckFailed"
		})
		sim.Update(s.API, node, func(n *corev1.Node) { n.Annotations = map[string]string{"any": "change"} })
		s.pass(time.Minute)
		told := s.Told("FailedConsistencyCheck")
		if len(told) == 0 || s.MaxLag == 0 && len(told) != 1 || told[0].Name != "one" || !strings.Contains(told[0].Message, "7Gi of 8Gi memory") {
			t.Errorf("told: %v", told)
		}
		resize("8Gi")
		s.until(time.Minute, "found consistent again", func() bool { return s.is("one", v1.ConditionConsistentStateFound) })
		if !s.is("one", v1.ConditionReady) {
			t.Error("its size made a node not ready")
		}
	})
}

// onClaim makes a fault of the creations of NodeClaims alone.
func (s *scene) onClaim(fault func() error) func(string, client.Object) error {
	return func(verb string, obj client.Object) error {
		if verb == "create" && sim.KindOf(obj) == "NodeClaim" {
			return fault()
		}
		return nil
	}
}
