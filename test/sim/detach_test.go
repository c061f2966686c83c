package sim_test

import (
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"

	v1 "github.com/stowage-sh/stowage/provisioner/v1"
	"github.com/stowage-sh/stowage/test/sim"
)

// bindWithVolume binds a pod with a volume of its own, and waits until that is attached.
func (s *scene) bindWithVolume(pod *corev1.Pod, volume, node string) {
	s.t.Helper()
	if err := s.Volume(volume, pod); err != nil {
		s.t.Fatal(err)
	}
	s.bind(pod, node)
	s.until(time.Minute, volume+" attached", func() bool { return s.attachment(volume, node) != nil })
}

func (s *scene) attachment(volume, node string) *storagev1.VolumeAttachment {
	a, _ := sim.Get[*storagev1.VolumeAttachment](s.API, "", "csi-"+volume+"-"+node)
	return a
}

// hang has the driver of an attachment not answer until release.
func (s *scene) hang(a *storagev1.VolumeAttachment) (release func()) {
	sim.Update(s.API, a, func(a *storagev1.VolumeAttachment) { a.Finalizers = []string{"external-attacher/ebs-csi-aws-com"} })
	return func() {
		sim.Update(s.API, a, func(a *storagev1.VolumeAttachment) { a.Finalizers = nil })
	}
}

func (s *scene) condition(claim, kind string) (status, reason string) {
	if c := s.claim(claim); c != nil {
		if got := v1.GetCondition(c.Status.Conditions, kind); got != nil {
			return string(got.Status), got.Reason
		}
	}
	return "", ""
}

// tolerant makes a pod one that stays on a node to its end.
func tolerant(pod *corev1.Pod) *corev1.Pod {
	pod.Spec.Tolerations = []corev1.Toleration{{Operator: corev1.TolerationOpExists}}
	return pod
}

// TestVolumesAreDetachedFirst: a machine is not given back with the volume of a pod that
// was drained; those of pods that stay, shared ones too, are not waited for. A pod that comes
// meanwhile is drained as well.
func TestVolumesAreDetachedFirst(t *testing.T) {
	eachSeed(t, func(t *testing.T, s *scene) {
		node := s.ready("one")
		s.bindWithVolume(tolerant(sim.DaemonPod("agent", node.Name)), "kept", node.Name)
		s.bindWithVolume(sim.Pod("db", "10m", "16Mi"), "data", node.Name)
		sharer := sim.Pod("sharer", "10m", "16Mi")
		sim.Mount(sharer, "kept")
		s.bind(sharer, node.Name)
		release := s.hang(s.attachment("data", node.Name))
		s.delete(s.claim("one"))
		s.until(time.Minute, "drained", func() bool { return s.is("one", v1.ConditionDrained) })
		s.pass(10 * time.Minute)
		if status, reason := s.condition("one", v1.ConditionVolumesDetached); status != "Unknown" || reason != "AwaitingVolumeDetachment" {
			t.Errorf("VolumesDetached is %s because of %s", status, reason)
		}
		told := s.Told("AwaitingVolumeDetachment")
		if len(told) < 5 || len(told) > 6 {
			t.Errorf("told %d times in ten minutes, want once in two", len(told))
		}
		for _, e := range told {
			if e.Kind != "Node" || !strings.Contains(e.Message, "data") || strings.Contains(e.Message, "kept") {
				t.Errorf("told of %s %s: %s", e.Kind, e.Name, e.Message)
			}
		}
		s.bind(sim.Pod("late", "10m", "16Mi"), node.Name)
		s.until(time.Minute, "the late pod gone", func() bool {
			_, there := sim.Get[*corev1.Pod](s.API, "default", "late")
			return !there
		})
		if len(s.Cloud.Alive()) != 1 {
			t.Fatal("given back with a volume attached")
		}
		release()
		s.until(time.Minute, "the claim gone", func() bool { return s.claim("one") == nil })
		if s.attachment("kept", node.Name) == nil {
			t.Error("the volume of a pod that stays was detached: nothing was shown")
		}
	})
}

// TestDetachedSoonAfterTheDrain: nothing is waited for twice.
func TestDetachedSoonAfterTheDrain(t *testing.T) {
	eachSeed(t, func(t *testing.T, s *scene) {
		node := s.ready("one")
		s.bindWithVolume(sim.Pod("db", "10m", "16Mi"), "data", node.Name)
		release := s.hang(s.attachment("data", node.Name))
		s.delete(s.claim("one"))
		s.until(time.Minute, "drained", func() bool { return s.is("one", v1.ConditionDrained) })
		release()
		s.until(s.MaxLag+2*time.Second, "given back", func() bool { return len(s.Cloud.Alive()) == 0 })
	})
}

// TestVolumesAreNotAwaitedPastTheDeadline: nor is what was left behind of a volume that is
// no more.
func TestVolumesAreNotAwaitedPastTheDeadline(t *testing.T) {
	eachSeed(t, func(t *testing.T, s *scene) {
		a := s.ready("bounded", func(c *v1.NodeClaim) { c.Spec.TerminationGracePeriod = "3m" })
		b := s.ready("leaked")
		s.bindWithVolume(sim.Pod("db", "10m", "16Mi"), "data", a.Name)
		s.bindWithVolume(sim.Pod("old", "10m", "16Mi"), "lost", b.Name)
		s.hang(s.attachment("data", a.Name))
		s.hang(s.attachment("lost", b.Name))
		volume, _ := sim.Get[*corev1.PersistentVolume](s.API, "", "lost")
		s.API.Remove(volume)
		s.delete(s.claim("bounded"))
		s.delete(s.claim("leaked"))
		s.pass(2*time.Minute + 50*time.Second)
		if s.claim("leaked") != nil {
			t.Error("a volume that is no more was waited for")
		}
		if len(s.Cloud.Alive()) != 1 {
			t.Fatal("given back before the deadline with a volume attached")
		}
		s.until(15*time.Second, "given back", func() bool { return len(s.Cloud.Alive()) == 0 })
		drained, _ := s.condition("bounded", v1.ConditionDrained)
		if status, reason := s.condition("bounded", v1.ConditionVolumesDetached); drained != "True" || status != "False" || reason != "TerminationGracePeriodElapsed" {
			t.Errorf("Drained is %s, VolumesDetached is %s because of %s", drained, status, reason)
		}
	})
}

// TestMachineGoneWhileItIsWaitedFor: what keeps a node from going keeps nothing any more
// once its machine is gone.
func TestMachineGoneWhileItIsWaitedFor(t *testing.T) {
	eachSeed(t, func(t *testing.T, s *scene) {
		a, b := s.ready("volume"), s.ready("budget")
		s.bindWithVolume(sim.Pod("db", "10m", "16Mi"), "data", a.Name)
		s.hang(s.attachment("data", a.Name))
		s.create(sim.Budget("guarded", 1))
		s.bind(sim.Pod("guarded", "10m", "16Mi"), b.Name)
		s.delete(s.claim("volume"))
		s.delete(s.claim("budget"))
		s.pass(2 * time.Minute)
		if len(s.Cloud.Alive()) != 2 {
			t.Fatal("nothing was waited for")
		}
		for _, m := range s.Cloud.Machines() {
			s.Cloud.Kill(m.ID)
		}
		s.until(2*time.Minute, "both gone", func() bool { return s.claim("volume") == nil && s.claim("budget") == nil })
	})
}
