package sim_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "github.com/stowage-sh/stowage/provisioner/v1"
	"github.com/stowage-sh/stowage/provisioner/v1beta1"
	"github.com/stowage-sh/stowage/test/sim"
)

func meta(name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: "default", Name: name}
}

// template is that of pods of one core and 1 GiB.
func template(name string) corev1.PodTemplateSpec {
	pod := sim.Pod(name, "1", "1Gi")
	return corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: pod.Labels}, Spec: pod.Spec}
}

// buffer asks for room for some pods like those of the PodTemplate web, which is made too.
func (s *scene) buffer(replicas int32, edits ...func(*v1beta1.CapacityBufferSpec)) *v1beta1.CapacityBuffer {
	s.t.Helper()
	s.create(&corev1.PodTemplate{ObjectMeta: meta("web"), Template: template("web")})
	b := spareFor(replicas)
	for _, edit := range edits {
		edit(&b.Spec)
	}
	s.create(b)
	return b
}

// spareFor is a buffer for some pods like those of the PodTemplate web.
func spareFor(replicas int32) *v1beta1.CapacityBuffer {
	b := &v1beta1.CapacityBuffer{ObjectMeta: meta("spare")}
	b.Spec.PodTemplateRef, b.Spec.Replicas = &v1beta1.LocalObjectRef{Name: "web"}, &replicas
	return b
}

// spare is the buffer as it is now.
func (s *scene) spare() *v1beta1.CapacityBuffer {
	b, _ := sim.Get[*v1beta1.CapacityBuffer](s.API, "default", "spare")
	return b
}

// says reports whether a condition of the buffer has a status and a reason.
func (s *scene) says(condition string, status metav1.ConditionStatus, reason string) bool {
	c := v1.GetCondition(s.spare().Status.Conditions, condition)
	return c != nil && c.Status == status && c.Reason == reason
}

// untilRoom waits until the buffer says that there is room for so many pods.
func (s *scene) untilRoom(limit time.Duration, replicas int32) {
	s.t.Helper()
	s.until(limit, fmt.Sprintf("there is room for %d pods", replicas), func() bool {
		n := s.spare().Status.Replicas
		return n != nil && *n == replicas && s.says(v1beta1.ConditionProvisioning, metav1.ConditionTrue, v1beta1.ReasonFitsExistingCapacity)
	})
	if free := s.free(); free < int64(replicas) {
		s.t.Fatalf("there is room for %d pods, and %d are to fit", free, replicas)
	}
}

// free says for how many pods of one core there is room on nodes that are ready.
func (s *scene) free() (n int64) {
	for _, node := range sim.List[*corev1.Node](s.API) {
		if !v1.IsTrue(s.claimOf(node).Status.Conditions, v1.ConditionInitialized) || len(node.Spec.Taints) > 0 {
			continue
		}
		left := node.Status.Allocatable.Cpu().MilliValue()
		for _, p := range sim.List[*corev1.Pod](s.API) {
			if p.Spec.NodeName == node.Name {
				left -= p.Spec.Containers[0].Resources.Requests.Cpu().MilliValue()
			}
		}
		n += left / 1000
	}
	return n
}

func (s *scene) claimOf(node *corev1.Node) *v1.NodeClaim {
	for _, c := range sim.List[*v1.NodeClaim](s.API) {
		if c.Status.ProviderID == node.Spec.ProviderID {
			return c
		}
	}
	return &v1.NodeClaim{}
}

// TestHeadroomIsBought, stays, is taken by pods that need not wait, and is bought again. Nobody
// hears of pods that are not there.
func TestHeadroomIsBought(t *testing.T) {
	eachSeed(t, func(t *testing.T, s *scene) {
		s.consolidate("0s", v1.Budget{Nodes: "100%"})
		s.buffer(6)
		s.untilRoom(2*time.Minute, 6)
		bought := len(s.Cloud.Machines())
		s.pass(time.Minute)
		writes := s.API.Writes["CapacityBuffer"]
		s.pass(20 * time.Minute)
		s.wantLaunches(bought)
		if got := s.API.Writes["CapacityBuffer"]; got != writes {
			t.Errorf("%d writes when nothing changed", got-writes)
		}
		if n := len(sim.List[*corev1.Node](s.API)); n != bought {
			t.Errorf("of %d nodes %d are left", bought, n)
		}
		for _, c := range sim.List[*v1.NodeClaim](s.API) {
			if why := v1.GetCondition(c.Status.Conditions, v1.ConditionDisrupting); why == nil || why.Reason != "HoldsHeadroom" || !strings.Contains(why.Message, "default/spare") {
				t.Errorf("NodeClaim %s stays because of %+v", c.Name, why)
			}
		}
		template := s.spare().Status
		if template.PodTemplateRef.Name != "web" || *template.PodTemplateGeneration != 1 || *template.ProvisioningStrategy != v1beta1.ActiveCapacity {
			t.Errorf("status %+v", template)
		}

		s.pods(4, "real", "1", "1Gi")
		s.untilBound(15*time.Second, "real", 4) // as long as watches are late, and not as a machine takes
		s.wantLaunches(bought)
		s.until(time.Minute, "headroom is missing", func() bool {
			return s.says(v1beta1.ConditionProvisioning, metav1.ConditionFalse, v1beta1.ReasonRequiresNewCapacity)
		})
		s.untilRoom(3*time.Minute, 6)
		bought = len(s.Cloud.Machines())
		if limit := int64(10+6) * 10_000 * 13 / 10; s.cost() > limit {
			t.Errorf("pods of 4 cpus with headroom of 6 cost %d, more than %d", s.cost(), limit)
		}
		s.pass(10 * time.Minute)
		s.wantLaunches(bought)
		if pods := sim.List[*corev1.Pod](s.API); len(pods) != 4 {
			t.Errorf("%d pods are there, and 4 were made", len(pods))
		}
		for _, e := range s.Events {
			if e.Kind == "Pod" && !strings.HasPrefix(e.Name, "real") {
				t.Errorf("an event: %+v", e)
			}
		}
	})
}

// TestHeadroomGivesWay: pods that come while the headroom's machines are on their way get their
// room, and are waited for like others; the headroom is bought once more then, and not earlier.
func TestHeadroomGivesWay(t *testing.T) {
	eachSeed(t, func(t *testing.T, s *scene) {
		s.buffer(3)
		s.until(time.Minute, "bought", func() bool { return len(s.Cloud.Machines()) > 0 })
		s.pods(3, "real", "1", "1Gi")
		s.untilBound(2*time.Minute, "real", 3)
		s.untilRoom(2*time.Minute, 3)
		if limit := int64(6+4) * 10_000; s.cost() > limit {
			t.Errorf("pods of 3 cpus with headroom of 3 cost %d, more than %d", s.cost(), limit)
		}
	})
}

// TestHeadroomFollowsItsWorkload: a percentage is of the replicas of a Deployment.
func TestHeadroomFollowsItsWorkload(t *testing.T) {
	eachSeed(t, func(t *testing.T, s *scene) {
		s.consolidate("0s", v1.Budget{Nodes: "100%"})
		s.buffer(0, func(b *v1beta1.CapacityBufferSpec) {
			b.PodTemplateRef, b.Replicas = nil, nil
			b.ScalableRef = &v1beta1.ScalableRef{APIGroup: "apps", Kind: "Deployment", Name: "web"}
			b.Percentage = new(int32(25))
		})
		s.until(time.Minute, "the reference is missing", func() bool {
			return s.says(v1beta1.ConditionReadyForProvisioning, metav1.ConditionFalse, v1beta1.ReasonScalableRefNotFound)
		})
		web := &appsv1.Deployment{ObjectMeta: meta("web"), Spec: appsv1.DeploymentSpec{Replicas: new(int32(10)), Template: template("web")}}
		s.create(web)
		s.untilRoom(3*time.Minute, 3)
		sim.Update(s.API, web, func(d *appsv1.Deployment) { d.Spec.Replicas = new(int32(40)) })
		s.untilRoom(3*time.Minute, 10)
		bought := len(s.Cloud.Machines())
		s.pass(5 * time.Minute)
		s.wantLaunches(bought)
		sim.Update(s.API, web, func(d *appsv1.Deployment) { d.Spec.Replicas = new(int32(0)) })
		s.until(5*time.Minute, "all gone", func() bool { return len(s.Cloud.Alive()) == 0 })
		if !s.says(v1beta1.ConditionProvisioning, metav1.ConditionFalse, v1beta1.ReasonBufferEmpty) {
			t.Errorf("status %+v", s.spare().Status)
		}
		s.API.Remove(web)
		s.until(time.Minute, "the workload is missing", func() bool {
			return s.says(v1beta1.ConditionReadyForProvisioning, metav1.ConditionFalse, v1beta1.ReasonScalableRefNotFound)
		})
	})
}

// TestHeadroomIsLimited by the buffer itself, and by quotas.
func TestHeadroomIsLimited(t *testing.T) {
	eachSeed(t, func(t *testing.T, s *scene) {
		s.buffer(9, func(b *v1beta1.CapacityBufferSpec) {
			b.Limits = corev1.ResourceList{"cpu": resource.MustParse("5900m"), "memory": resource.MustParse("1Ti")}
		})
		s.untilRoom(2*time.Minute, 5)
		if !s.says(v1beta1.ConditionLimitedByQuotas, metav1.ConditionFalse, v1beta1.ReasonWithinQuotas) {
			t.Errorf("status %+v", s.spare().Status)
		}
		quota := &corev1.ResourceQuota{ObjectMeta: meta("cores")}
		quota.Status.Hard = corev1.ResourceList{"requests.cpu": resource.MustParse("10")}
		quota.Status.Used = corev1.ResourceList{"requests.cpu": resource.MustParse("7500m")}
		s.create(quota)
		s.until(time.Minute, "limited", func() bool {
			return s.says(v1beta1.ConditionLimitedByQuotas, metav1.ConditionTrue, v1beta1.ReasonLimitedByQuotas) && *s.spare().Status.Replicas == 2
		})
		s.API.Remove(quota)
		s.untilRoom(2*time.Minute, 5)
	})
}

// TestHeadroomGoes with its buffer, and with a strategy that is not ours, about which others may have
// spoken.
func TestHeadroomGoes(t *testing.T) {
	for _, byStrategy := range []bool{false, true} {
		eachSeed(t, func(t *testing.T, s *scene) {
			s.consolidate("0s", v1.Budget{Nodes: "100%"})
			b := s.buffer(6)
			s.untilRoom(2*time.Minute, 6)
			s.pods(1, "real", "1", "1Gi")
			s.untilBound(time.Minute, "real", 1)
			s.untilRoom(2*time.Minute, 6)
			if byStrategy {
				sim.Update(s.API, b, func(b *v1beta1.CapacityBuffer) {
					b.Spec.ProvisioningStrategy = new("example.com/standby")
					b.Generation++
				})
				s.until(time.Minute, "it is said", func() bool {
					return s.says(v1beta1.ConditionReadyForProvisioning, metav1.ConditionFalse, v1beta1.ReasonUnknownStrategy)
				})
			} else {
				s.delete(s.spare())
			}
			s.until(5*time.Minute, "one node left", func() bool {
				return len(s.Cloud.Alive()) == 1 && len(sim.List[*corev1.Node](s.API)) == 1
			})
			s.untilBound(time.Second, "real", 1)
			if byStrategy {
				sim.Update(s.API, b, func(b *v1beta1.CapacityBuffer) {
					v1.SetCondition(&b.Status.Conditions, metav1.Condition{Type: v1beta1.ConditionReadyForProvisioning, Status: "True", Reason: "TheirReason"}, s.Now)
				})
				s.pass(2 * time.Minute)
				if !s.says(v1beta1.ConditionReadyForProvisioning, metav1.ConditionTrue, "TheirReason") {
					t.Errorf("status %+v", s.spare().Status)
				}
			}
		})
	}
}

// TestRestartKeepsHeadroom: the next process knows no places, but what the one before bought is
// there, or on its way. It does not mistake it for empty nodes, even if it cannot get the template.
func TestRestartKeepsHeadroom(t *testing.T) {
	for _, at := range []time.Duration{500 * time.Millisecond, 1500 * time.Millisecond, 3 * time.Second, 15 * time.Second, 25 * time.Second, 5 * time.Minute} {
		eachSeed(t, func(t *testing.T, s *scene) {
			s.consolidate("0s", v1.Budget{Nodes: "100%"})
			s.buffer(7)
			s.pass(at)
			s.restart()
			before, failed := at > time.Minute && s.says(v1beta1.ConditionProvisioning, "True", v1beta1.ReasonFitsExistingCapacity), s.Now.Add(2*time.Minute)
			nodes := len(sim.List[*corev1.Node](s.API))
			s.proc.Before = func(verb string, obj client.Object) error {
				if verb == "get" && sim.KindOf(obj) == "PodTemplate" && s.Now.Before(failed) && before {
					return errors.New("not now")
				}
				return nil
			}
			s.untilRoom(5*time.Minute, 7)
			s.pass(5 * time.Minute)
			if bought := len(s.Cloud.Machines()); before && bought != nodes {
				t.Errorf("%d nodes were there, and %d machines are bought now", nodes, bought)
			}
			if limit := int64(10) * 10_000; s.cost() > limit {
				t.Errorf("after a restart at %v headroom of 7 cpus costs %d, more than %d", at, s.cost(), limit)
			}
			s.wantLaunches(len(s.Cloud.Alive()))
		})
	}
}

// TestCrashAmidHeadroom: the process ends after any of its NodeClaims was written.
func TestCrashAmidHeadroom(t *testing.T) {
	eachSeed(t, func(t *testing.T, s *scene) {
		left := 1 + s.Rand.IntN(3)
		s.proc.After = s.onClaim(func() error {
			if left--; left == 0 {
				return sim.ErrCrash
			}
			return nil
		})
		s.buffer(45) // three of the largest machines
		s.until(time.Minute, "crashed", s.proc.Dead)
		s.restart()
		s.untilRoom(3*time.Minute, 45)
		s.wantLaunches(3)
	})
}

// TestHeadroomCannotBeRead: a buffer says what is wrong while the API server does not answer, others
// are served meanwhile, and it is served once it does.
func TestHeadroomCannotBeRead(t *testing.T) {
	eachSeed(t, func(t *testing.T, s *scene) {
		s.proc.Before = func(verb string, obj client.Object) error {
			if verb == "get" && obj.GetName() == "web" {
				return errors.New("not allowed")
			}
			return nil
		}
		s.create(&corev1.PodTemplate{ObjectMeta: meta("other"), Template: template("other")})
		other := &v1beta1.CapacityBuffer{ObjectMeta: meta("theirs")}
		other.Spec.PodTemplateRef, other.Spec.Replicas = &v1beta1.LocalObjectRef{Name: "other"}, new(int32(1))
		s.create(other)
		s.buffer(3)
		s.until(time.Minute, "it is said", func() bool {
			c := v1.GetCondition(s.spare().Status.Conditions, v1beta1.ConditionReadyForProvisioning)
			return c != nil && c.Reason == v1beta1.ReasonResolutionFailed && strings.Contains(c.Message, "not allowed")
		})
		s.until(2*time.Minute, "the other is served", func() bool {
			b, _ := sim.Get[*v1beta1.CapacityBuffer](s.API, "default", "theirs")
			return v1.IsTrue(b.Status.Conditions, v1beta1.ConditionProvisioning)
		})
		s.proc.Before = nil
		s.untilRoom(3*time.Minute, 3)
		if free := s.free(); free < 4 {
			t.Errorf("there is room for %d pods, of 4 in all", free)
		}
	})
}

// TestHeadroomFindsNoPlace: the buffer says why, pods are served all the same, and what is asked for
// is bought once there is something to buy it from.
func TestHeadroomFindsNoPlace(t *testing.T) {
	eachSeed(t, func(t *testing.T, s *scene) {
		s.edit(func(p *v1.NodePool) { p.Spec.Limits = corev1.ResourceList{"cpu": resource.MustParse("4")} })
		s.buffer(5)
		s.until(2*time.Minute, "room for 3", func() bool {
			c := v1.GetCondition(s.spare().Status.Conditions, v1beta1.ConditionProvisioning)
			return c != nil && strings.HasPrefix(c.Message, "there is room for 3 of 5 pods; for others there is none: ") && strings.Contains(c.Message, "limit")
		})
		s.pods(3, "real", "1", "1Gi")
		s.untilBound(time.Minute, "real", 3)
		s.until(time.Minute, "room for none", func() bool {
			c := v1.GetCondition(s.spare().Status.Conditions, v1beta1.ConditionProvisioning)
			return strings.HasPrefix(c.Message, "there is room for 0 of 5 pods; for others there is none: ")
		})
		s.edit(func(p *v1.NodePool) { p.Spec.Limits = nil })
		s.untilRoom(2*time.Minute, 5)
	})
}

// TestDriftKeepsHeadroom: before a node goes that has nothing but headroom, the headroom is ready
// elsewhere.
func TestDriftKeepsHeadroom(t *testing.T) {
	eachSeed(t, func(t *testing.T, s *scene) {
		s.buffer(3)
		s.untilRoom(2*time.Minute, 3)
		s.pass(time.Minute)
		old := sim.List[*v1.NodeClaim](s.API)
		if len(old) != 1 {
			t.Fatalf("%d nodes for three pods", len(old))
		}
		s.drift(old...)
		s.until(5*time.Minute, "it goes", func() bool {
			c := s.claim(old[0].Name)
			return c == nil || c.DeletionTimestamp != nil
		})
		if free := s.free(); free < 3 {
			t.Errorf("a node goes, and there is room for %d of 3 pods", free)
		}
		s.untilRoom(2*time.Minute, 3)
		s.wantLaunches(2)
	})
}
