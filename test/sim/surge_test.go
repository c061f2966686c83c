package sim_test

import (
	"errors"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"

	v1 "github.com/stowage-sh/stowage/provisioner/v1"
	"github.com/stowage-sh/stowage/test/sim"
)

// ready counts the pods of an app that serve.
func (s *scene) serving(app string) (n int) {
	for _, p := range sim.List[*corev1.Pod](s.API) {
		for _, c := range p.Status.Conditions {
			if p.Labels["app"] == app && p.DeletionTimestamp == nil && c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue {
				n++
			}
		}
	}
	return n
}

// TestSurge: a Deployment with one pod is never without one that is Ready while its node is
// replaced, and nothing is bought for it twice.
func TestSurge(t *testing.T) {
	eachSeed(t, func(t *testing.T, s *scene) {
		s.Lifecycle.Surge = true
		pod := sim.Pod("web", "1500m", "1Gi")
		pod.Annotations = map[string]string{v1.AnnotationSurge: "true"}
		d := s.AddDeployment(pod)
		s.until(5*time.Minute, "it runs", func() bool { return s.serving("web") == 1 })
		s.pass(time.Minute)
		for _, name := range []string{"drifted", "deleted"} {
			claim := sim.List[*v1.NodeClaim](s.API)[0]
			before := len(s.Cloud.Machines())
			down := false
			s.Check(func(*sim.World) error {
				down = down || s.serving("web") == 0
				return nil
			})
			if name == "drifted" {
				s.drift(claim)
			} else {
				s.delete(claim)
			}
			s.until(20*time.Minute, name+": the node gone", func() bool { return s.claim(claim.Name) == nil })
			s.pass(time.Minute)
			if down {
				t.Errorf("%s: for a while nothing served", name)
			}
			if n := len(s.Cloud.Machines()) - before; n != 1 {
				t.Errorf("%s: %d machines were bought for one", name, n)
			}
		}
		// One that does not get on is not waited for.
		claim := sim.List[*v1.NodeClaim](s.API)[0]
		s.Cloud.LaunchError = errors.New("no machines today")
		s.delete(claim)
		s.pass(5 * time.Minute)
		if s.claim(claim.Name) == nil || s.serving("web") != 1 {
			t.Fatal("the pod was evicted before another was there")
		}
		sim.Update(s.API, d, setProgressing)
		s.until(5*time.Minute, "the node gone", func() bool { return s.claim(claim.Name) == nil })
		s.Cloud.LaunchError = nil
	})
}

// setProgressing says that a rollout does not get on.
func setProgressing(d *appsv1.Deployment) {
	d.Status.ObservedGeneration = d.Generation
	d.Status.Conditions = []appsv1.DeploymentCondition{{Type: appsv1.DeploymentProgressing, Status: corev1.ConditionFalse, Reason: "ProgressDeadlineExceeded"}}
}
