package sim_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stowage-sh/stowage/provisioner/state"
	v1 "github.com/stowage-sh/stowage/provisioner/v1"
	"github.com/stowage-sh/stowage/test/sim"
)

// consolidate edits the pool's disruption settings.
func (s *scene) consolidate(after v1.Duration, budgets ...v1.Budget) {
	sim.Update(s.API, s.pool, func(p *v1.NodePool) {
		p.Spec.Disruption.ConsolidateAfter = after
		p.Spec.Disruption.Budgets = budgets
	})
}

func (s *scene) tainted(claim string) bool {
	node := s.node(claim)
	return node != nil && slices.ContainsFunc(node.Spec.Taints, func(t corev1.Taint) bool { return t.Key == v1.TaintDisrupted })
}

func TestEmptyNodeIsRemovedAfterConsolidateAfter(t *testing.T) {
	eachSeed(t, func(t *testing.T, s *scene) {
		node := s.ready("one")
		pod := s.bind(sim.Pod("web", "1", "1Gi"), node.Name)
		s.bind(sim.DaemonPod("daemon", node.Name), node.Name)
		s.consolidate("5m")
		s.pass(20 * time.Minute)
		if s.claim("one") == nil || s.tainted("one") {
			t.Fatal("a node with a pod was disrupted")
		}
		if !s.is("one", v1.ConditionConsolidatable) {
			t.Error("quiet for longer than consolidateAfter, and not Consolidatable")
		}
		s.delete(pod)
		left := s.Now
		s.pass(4 * time.Minute)
		if s.claim("one").DeletionTimestamp != nil || s.is("one", v1.ConditionConsolidatable) {
			t.Fatal("disrupted before consolidateAfter had passed since the last pod left")
		}
		s.until(3*time.Minute, "the node gone", func() bool { return s.claim("one") == nil && len(s.Cloud.Alive()) == 0 })
		if took := s.Now.Sub(left); took > 7*time.Minute {
			t.Errorf("it took %v", took)
		}
		if len(s.Told("DisruptionTerminating")) == 0 {
			t.Error("nobody was told")
		}
	})
}

// TestPodBoundMeanwhile: a pod that kube-scheduler bound before it saw the taint
// keeps its node.
func TestPodBoundMeanwhile(t *testing.T) {
	eachSeed(t, func(t *testing.T, s *scene) {
		s.MaxLag = min(s.MaxLag, time.Second)
		s.ready("one")
		s.consolidate("0s")
		s.until(2*time.Minute, "chosen", func() bool { return s.tainted("one") })
		pod := s.bind(sim.Pod("web", "1", "1Gi"), s.claim("one").Status.NodeName)
		s.pass(time.Minute)
		if s.claim("one") == nil || s.claim("one").DeletionTimestamp != nil || s.tainted("one") || s.is("one", v1.ConditionDisruptionReason) {
			t.Fatal("the node was not opened again")
		}
		if len(s.Told("ConsolidationRejected")) == 0 {
			t.Error("nobody was told")
		}
		s.delete(pod)
		s.until(2*time.Minute, "the node gone", func() bool { return s.claim("one") == nil })
	})
}

func TestWhatProtectsAnEmptyNode(t *testing.T) {
	eachSeed(t, func(t *testing.T, s *scene) {
		for _, name := range []string{"planned", "annotated", "nominated", "daemon", "empty"} {
			s.ready(name)
		}
		// One that has only a plan, as if its pods were about to be bound; provision,
		// which would drop it, sees nothing.
		s.Provision.Cluster = state.New()
		s.proc.Cluster.SetPlans(map[types.UID]state.Plan{"pod-1": {NodeClaim: "planned", At: s.Now}})
		sim.Update(s.API, s.node("annotated"), func(n *corev1.Node) { n.Annotations = map[string]string{v1.AnnotationDoNotDisrupt: "true"} })
		pending := sim.Pod("pending", "64", "1Gi")
		pending.Spec.SchedulingGates = []corev1.PodSchedulingGate{{Name: "example.com/later"}} // keeps the nomination
		s.create(pending)
		s.pass(time.Second)
		sim.Update(s.API, pending, func(p *corev1.Pod) { p.Status.NominatedNodeName = s.claim("nominated").Status.NodeName })
		daemon := sim.DaemonPod("daemon", "")
		daemon.Annotations = map[string]string{v1.AnnotationDoNotDisrupt: "true"}
		s.bind(daemon, s.claim("daemon").Status.NodeName)
		s.consolidate("0s")
		s.until(3*time.Minute, "the unprotected one gone", func() bool { return s.claim("empty") == nil })
		s.pass(time.Minute)
		for _, name := range []string{"planned", "annotated", "nominated", "daemon"} {
			if s.claim(name) == nil || s.tainted(name) {
				t.Errorf("the %s node was disrupted", name)
			}
		}
		s.consolidate(v1.Never)
		s.proc.Cluster.DropPlans("pod-1")
		s.pass(2 * time.Minute)
		if s.claim("planned") == nil {
			t.Error("consolidateAfter Never removed a node")
		}
	})
}

func TestBudgetsAreKept(t *testing.T) {
	eachSeed(t, func(t *testing.T, s *scene) {
		const nodes = 6
		for i := range nodes {
			s.create(sim.NodeClaim(s.pool, fmt.Sprintf("node-%d", i), smallSpot))
		}
		s.until(5*time.Minute, "all ready", func() bool {
			for i := range nodes {
				if !s.is(fmt.Sprintf("node-%d", i), v1.ConditionReady) {
					return false
				}
			}
			return true
		})
		s.consolidate("0s", v1.Budget{Nodes: "0"})
		s.pass(10 * time.Minute)
		if n := len(sim.List[*v1.NodeClaim](s.API)); n != nodes {
			t.Fatalf("budget 0, and %d of %d nodes are left", n, nodes)
		}
		if len(s.Told("DisruptionBlocked")) == 0 {
			t.Error("nobody was told")
		}
		s.consolidate("0s", v1.Budget{Nodes: "50%", Schedule: "not a schedule at all", Duration: "1h"})
		s.pass(5 * time.Minute)
		if n := len(sim.List[*v1.NodeClaim](s.API)); n != nodes {
			t.Fatalf("a budget that cannot be read, and %d of %d nodes are left", n, nodes)
		}
		if !slices.ContainsFunc(s.Told("DisruptionBlocked"), func(e sim.Event) bool { return strings.Contains(e.Message, "budgets[0]: schedule") }) {
			t.Errorf("nobody was told which budget: %v", s.Told("DisruptionBlocked"))
		}
		// A third of six is two, then a third of four rounds up to two, and so on;
		// BudgetsKept watches the plain number.
		s.consolidate("0s", v1.Budget{Nodes: "2"}, v1.Budget{Nodes: "0", Reasons: []v1.DisruptionReason{v1.ReasonDrifted}})
		s.until(20*time.Minute, "all gone, two at a time", func() bool { return len(sim.List[*v1.NodeClaim](s.API)) == 0 })
	})
}

// TestBudgetCountsNodesNotReady: a node that is not ready uses the budget up.
func TestBudgetCountsNodesNotReady(t *testing.T) {
	eachSeed(t, func(t *testing.T, s *scene) {
		sick := s.ready("sick")
		s.ready("empty")
		s.bind(sim.Pod("web", "1", "1Gi"), sick.Name)
		sim.Update(s.API, sick, func(n *corev1.Node) { n.Status.Conditions[0].Status = corev1.ConditionUnknown })
		s.consolidate("0s", v1.Budget{Nodes: "1"})
		s.pass(5 * time.Minute)
		if s.claim("empty") == nil {
			t.Fatal("the budget was exceeded")
		}
		sim.Update(s.API, sick, func(n *corev1.Node) { n.Status.Conditions[0].Status = corev1.ConditionTrue })
		s.until(2*time.Minute, "the empty node gone", func() bool { return s.claim("empty") == nil })
	})
}

// TestCrashWhileDisrupting kills the process at every write of a removal, one
// after the other: the node goes all the same, once.
func TestCrashWhileDisrupting(t *testing.T) {
	eachSeed(t, func(t *testing.T, s *scene) {
		for at := range 12 {
			name := fmt.Sprintf("node-%d", at)
			s.consolidate(v1.Never)
			s.ready(name)
			s.consolidate("0s")
			writes := 0
			s.proc.After = func(verb string, obj client.Object) error {
				if obj.GetName() == name || obj.GetName() == s.claim(name).Status.NodeName {
					if writes++; writes > at {
						return sim.ErrCrash
					}
				}
				return nil
			}
			_, err := s.RunUntil(2*time.Minute, func() bool { return s.proc.Dead() || s.claim(name) == nil })
			if err != nil {
				t.Fatal(err)
			}
			s.restart()
			s.until(3*time.Minute, name+" gone", func() bool { return s.claim(name) == nil && len(s.Cloud.Alive()) == 0 })
		}
	})
}

// TestStaleTaintIsTakenOff: a disrupted taint on our node that nothing explains.
func TestStaleTaintIsTakenOff(t *testing.T) {
	eachSeed(t, func(t *testing.T, s *scene) {
		node := s.ready("one")
		sim.Update(s.API, node, func(n *corev1.Node) { n.Spec.Taints = append(n.Spec.Taints, v1.DisruptedTaint()) })
		s.until(time.Minute, "the taint gone", func() bool { return !s.tainted("one") })
	})
}

// TestMetrics: what happened to one node is counted under Karpenter's names.
func TestMetrics(t *testing.T) {
	eachSeed(t, func(t *testing.T, s *scene) {
		s.proc.Conflicts = 0
		node := s.ready("one")
		pod := s.bind(sim.Pod("web", "1", "1Gi"), node.Name)
		s.delete(pod)
		s.bind(sim.DaemonPod("daemon", node.Name), node.Name)
		s.consolidate("0s")
		s.until(3*time.Minute, "the node gone", func() bool { return s.claim("one") == nil })
		s.pass(time.Minute) // until the watch has told
		families, err := s.Registry.Gather()
		if err != nil {
			t.Fatal(err)
		}
		got := map[string]float64{}
		for _, f := range families {
			for _, m := range f.Metric {
				got[f.GetName()] += m.GetCounter().GetValue() + float64(m.GetHistogram().GetSampleCount()+m.GetSummary().GetSampleCount())
			}
		}
		for _, name := range []string{
			"karpenter_nodeclaims_terminated_total", "karpenter_nodeclaims_disrupted_total", "karpenter_nodes_created_total",
			"karpenter_nodes_terminated_total", "karpenter_nodes_drained_total", "karpenter_pods_eviction_requests_total",
			"karpenter_nodeclaims_termination_duration_seconds", "karpenter_nodeclaims_instance_termination_duration_seconds",
			"karpenter_nodes_lifetime_duration_seconds", "karpenter_voluntary_disruption_decisions_total",
			"karpenter_nodes_termination_duration_seconds", "karpenter_pods_drained_total",
			"operator_nodeclaim_termination_duration_seconds", "operator_node_termination_duration_seconds",
		} {
			if got[name] != 1 {
				t.Errorf("%s is %v, want 1", name, got[name])
			}
		}
	})
}

// TestLostAnswerCountsAgainstBudget: the write that chose a node happened, its
// answer was lost, and the watch is late. An older node that may go by now is not
// chosen as well.
func TestLostAnswerCountsAgainstBudget(t *testing.T) {
	eachSeed(t, func(t *testing.T, s *scene) {
		s.MaxLag, s.proc.Conflicts = 0, 0
		older := s.ready("older")
		s.pass(2 * time.Second)
		s.ready("younger")
		pod := s.bind(sim.Pod("web", "1", "1Gi"), older.Name)
		s.pass(2 * time.Minute)
		s.delete(pod)
		s.pass(45 * time.Second)
		s.consolidate("1m", v1.Budget{Nodes: "1"}) // BudgetsKept watches
		s.MaxLag = 50 * time.Second
		lost := false
		s.proc.After = func(verb string, obj client.Object) error {
			claim, ok := obj.(*v1.NodeClaim)
			if ok && verb == "patchStatus" && !lost && v1.IsTrue(claim.Status.Conditions, v1.ConditionDisruptionReason) {
				lost = true
				return errors.New("the connection broke")
			}
			return nil
		}
		s.pass(40 * time.Second)
		if !lost {
			t.Fatal("no answer was lost")
		}
		s.MaxLag = 0
		s.until(10*time.Minute, "both gone, one at a time", func() bool { return s.claim("older") == nil && s.claim("younger") == nil })
	})
}
