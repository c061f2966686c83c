package sim_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stowage-sh/stowage/cloudprovider"
	v1 "github.com/stowage-sh/stowage/provisioner/v1"
	"github.com/stowage-sh/stowage/test/sim"
)

// repairing turns node repair on.
func (s *scene) repairing() {
	s.Cloud.Repairs = []cloudprovider.RepairPolicy{
		{ConditionType: "Ready", ConditionStatus: "False", Toleration: 30 * time.Minute},
		{ConditionType: "AcceleratedHardwareReady", ConditionStatus: "False", Toleration: 10 * time.Minute},
	}
}

// condition sets a condition of a claim's node, by a clock that may be wrong.
func (s *scene) nodeCondition(claim string, kind corev1.NodeConditionType, status corev1.ConditionStatus, clock time.Duration) {
	sim.Update(s.API, s.node(claim), func(n *corev1.Node) {
		n.Status.Conditions = slices.DeleteFunc(n.Status.Conditions, func(c corev1.NodeCondition) bool { return c.Type == kind })
		n.Status.Conditions = append(n.Status.Conditions, corev1.NodeCondition{Type: kind, Status: status, LastTransitionTime: metav1.NewTime(s.Now.Add(clock))})
	})
}

// doomed reports whether a claim is gone or going.
func (s *scene) doomed(name string) bool {
	c := s.claim(name)
	return c == nil || c.DeletionTimestamp != nil
}

// TestNodeRepair: a node that has been broken for long goes, whatever its pods say;
// one that recovers in time stays, and clocks of kubelets do not matter.
func TestNodeRepair(t *testing.T) {
	eachSeed(t, func(t *testing.T, s *scene) {
		s.repairing()
		for _, name := range []string{"a", "b", "c", "d", "e", "f"} {
			s.ready(name)
		}
		held := sim.Pod("held", "100m", "16Mi")
		held.Annotations = map[string]string{v1.AnnotationDoNotDisrupt: "true"}
		s.bind(held, s.node("a").Name)
		s.create(sim.Budget("held", 1))

		s.nodeCondition("a", corev1.NodeReady, corev1.ConditionFalse, -5*time.Hour)
		s.nodeCondition("b", "AcceleratedHardwareReady", corev1.ConditionFalse, 5*time.Hour)
		s.nodeCondition("c", "SomethingElse", corev1.ConditionFalse, 0)
		s.pass(9 * time.Minute)
		if s.doomed("a") || s.doomed("b") {
			t.Fatal("a node was repaired before its time")
		}
		s.until(2*time.Minute, "b is repaired", func() bool { return s.doomed("b") })
		s.pass(15 * time.Minute)
		s.nodeCondition("a", corev1.NodeReady, corev1.ConditionTrue, -5*time.Hour)
		s.pass(10 * time.Second)
		s.nodeCondition("a", corev1.NodeReady, corev1.ConditionFalse, -5*time.Hour)
		s.pass(29 * time.Minute)
		if s.doomed("a") {
			t.Fatal("a node was repaired that had recovered")
		}
		s.until(2*time.Minute, "a is repaired", func() bool { return s.doomed("a") })
		s.until(2*time.Minute, "a is gone, held pod or not", func() bool { return s.claim("a") == nil })
		s.pass(time.Hour)
		for _, name := range []string{"c", "d", "e", "f"} {
			if c := s.claim(name); s.doomed(name) || c.Annotations[v1.AnnotationTerminationTimestamp] != "" {
				t.Errorf("%s was repaired", name)
			}
		}
		if got := s.counted("karpenter_nodeclaims_unhealthy_disrupted_total"); got["spot"] != 1 {
			t.Errorf("counted %v", got)
		}
		if got := s.counted("karpenter_nodeclaims_disrupted_total"); got["spot"] != 2 {
			t.Errorf("counted as disrupted %v", got)
		}
		if n := len(s.Told("NodeRepairBlocked")); n != 0 {
			t.Errorf("%d times it was said that repair is blocked", n)
		}
	})
}

// TestNodeRepairIsBlocked where too many nodes are broken, and goes on once it is
// fewer.
func TestNodeRepairIsBlocked(t *testing.T) {
	eachSeed(t, func(t *testing.T, s *scene) {
		s.repairing()
		for i := range 10 {
			s.ready(fmt.Sprint("n", i))
		}
		for i := range 3 {
			s.nodeCondition(fmt.Sprint("n", i), corev1.NodeReady, corev1.ConditionFalse, 0)
		}
		s.pass(3 * time.Hour)
		for i := range 10 {
			if s.doomed(fmt.Sprint("n", i)) {
				t.Errorf("n%d was repaired", i)
			}
		}
		if n := len(s.Told("NodeRepairBlocked")); n != 2*3 {
			t.Errorf("%d times it was said that repair is blocked, of three claims and nodes", n)
		}
		s.nodeCondition("n1", corev1.NodeReady, corev1.ConditionTrue, 0)
		s.until(2*time.Minute, "the others are repaired", func() bool { return s.doomed("n0") && s.doomed("n2") })
		s.pass(time.Hour)
		if s.doomed("n1") {
			t.Error("the one that recovered was repaired")
		}
	})
}

// TestNodeRepairCrashes between any two writes, with answers lost: what is still
// broken goes, and what has recovered keeps no deadline.
func TestNodeRepairCrashes(t *testing.T) {
	for _, recovers := range []bool{false, true} {
		for crash := range 6 {
			eachSeed(t, func(t *testing.T, s *scene) {
				s.repairing()
				s.ready("a")
				writes := 0
				fault := func(_ string, obj client.Object) error {
					if writes++; writes-1 == crash {
						return sim.ErrCrash
					}
					return nil
				}
				s.nodeCondition("a", corev1.NodeReady, corev1.ConditionFalse, 0)
				s.pass(29 * time.Minute)
				s.proc.Before, s.proc.After = fault, fault
				s.pass(3 * time.Minute)
				if !s.proc.Dead() {
					t.Fatalf("no crash at write %d", crash)
				}
				going := s.doomed("a")
				if recovers && !going {
					s.nodeCondition("a", corev1.NodeReady, corev1.ConditionTrue, 0)
				}
				s.restart()
				if !recovers || going {
					s.until(time.Hour, "a is gone", func() bool { return s.claim("a") == nil })
					return
				}
				s.pass(time.Hour)
				if c := s.claim("a"); s.doomed("a") || c.Annotations[v1.AnnotationTerminationTimestamp] != "" || c.Annotations[v1.AnnotationRepair] != "" {
					t.Errorf("after a crash at write %d the node that recovered has %v", crash, c)
				}
			})
		}
	}
}
