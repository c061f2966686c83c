package sim_test

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	awsv1 "github.com/stowage-sh/stowage/cloudprovider/aws/v1"
	v1 "github.com/stowage-sh/stowage/provisioner/v1"
	"github.com/stowage-sh/stowage/test/sim"
)

func (s *scene) nodePool() *v1.NodePool {
	p, _ := sim.Get[*v1.NodePool](s.API, "", "pool")
	return p
}

func (s *scene) nodeClass() *awsv1.EC2NodeClass {
	c, _ := sim.Get[*awsv1.EC2NodeClass](s.API, "", "default")
	return c
}

func TestNodePoolStatus(t *testing.T) {
	eachSeed(t, func(t *testing.T, s *scene) {
		s.ready("a")
		s.ready("b")
		s.until(time.Minute, "two nodes counted", func() bool {
			p := s.nodePool()
			cpu, nodes := p.Status.Resources[corev1.ResourceCPU], p.Status.Resources["nodes"]
			return p.Status.Nodes == 2 && nodes.Value() == 2 && cpu.Value() == 4
		})
		p := s.nodePool()
		if !v1.IsTrue(p.Status.Conditions, v1.ConditionReady) || !v1.IsTrue(p.Status.Conditions, v1.ConditionNodeRegistrationHealthy) ||
			p.Status.NodeClassObservedGeneration != 1 {
			t.Errorf("status: %+v", p.Status)
		}
		if p.Annotations[v1.AnnotationNodePoolHash] != p.Hash() || p.Annotations[v1.AnnotationNodePoolHashVersion] != v1.NodePoolHashVersion {
			t.Errorf("annotations: %v", p.Annotations)
		}
		writes := s.API.Writes["NodePool"]
		s.pass(10 * time.Minute)
		if got := s.API.Writes["NodePool"]; got != writes {
			t.Errorf("%d writes when nothing changed", got-writes)
		}
		s.delete(s.claim("a"))
		s.until(3*time.Minute, "one node counted", func() bool { return s.nodePool().Status.Nodes == 1 })
	})
}

func TestNodePoolConditions(t *testing.T) {
	eachSeed(t, func(t *testing.T, s *scene) {
		condition := func(kind string) (status, reason string) {
			if c := v1.GetCondition(s.nodePool().Status.Conditions, kind); c != nil {
				return string(c.Status), c.Reason
			}
			return "", ""
		}
		s.until(time.Minute, "ready", func() bool { status, _ := condition(v1.ConditionReady); return status == "True" })
		for _, c := range []struct {
			reason string
			edit   func(*awsv1.EC2NodeClass)
		}{
			{"NodeClassNotReady", func(c *awsv1.EC2NodeClass) {
				c.SetCondition(metav1.Condition{Type: awsv1.ConditionSubnetsReady, Status: metav1.ConditionFalse}, s.Now)
				c.SetReady([]string{awsv1.ConditionSubnetsReady}, s.Now)
			}},
			{"NodeClassTerminating", func(c *awsv1.EC2NodeClass) {
				c.SetReady(nil, s.Now)
				c.Finalizers, c.DeletionTimestamp = []string{awsv1.FinalizerTermination}, &metav1.Time{Time: s.Now}
			}},
			{"NodeClassNotFound", func(c *awsv1.EC2NodeClass) { c.Finalizers = nil }},
		} {
			sim.Update(s.API, s.nodeClass(), c.edit)
			s.until(time.Minute, c.reason, func() bool {
				_, reason := condition(v1.ConditionNodeClassReady)
				ready, _ := condition(v1.ConditionReady)
				return reason == c.reason && ready == "False"
			})
		}
		sim.Update(s.API, s.nodePool(), func(p *v1.NodePool) {
			taint := corev1.Taint{Key: "twice", Effect: corev1.TaintEffectNoSchedule}
			p.Spec.Template.Spec.Taints = []corev1.Taint{taint, taint}
		})
		s.until(time.Minute, "invalid", func() bool {
			status, reason := condition(v1.ConditionValidationSucceeded)
			return status == "False" && reason == "NodePoolValidationFailed"
		})
	})
}
