package sim_test

import (
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/stowage-sh/stowage/cloudprovider"
	v1 "github.com/stowage-sh/stowage/provisioner/v1"
	"github.com/stowage-sh/stowage/provisioner/v1alpha1"
	"github.com/stowage-sh/stowage/test/sim"
)

// overlay creates a NodeOverlay for instance types.
func (s *scene) overlay(name string, edit func(*v1alpha1.NodeOverlaySpec), types ...string) {
	s.t.Helper()
	o := &v1alpha1.NodeOverlay{ObjectMeta: metav1.ObjectMeta{Name: name}}
	o.Spec.Requirements = []v1alpha1.Requirement{{Key: corev1.LabelInstanceTypeStable, Operator: corev1.NodeSelectorOpIn, Values: types}}
	edit(&o.Spec)
	s.create(o)
}

// untilJudged waits until an overlay's two conditions say status and reason.
func (s *scene) untilJudged(limit time.Duration, name string, status metav1.ConditionStatus, reason string) {
	s.t.Helper()
	s.until(limit, name+" is judged "+reason, func() bool {
		o, _ := sim.Get[*v1alpha1.NodeOverlay](s.API, "", name)
		valid, ready := v1.GetCondition(o.Status.Conditions, v1.ConditionValidationSucceeded), v1.GetCondition(o.Status.Conditions, v1.ConditionReady)
		return valid != nil && ready != nil && valid.Status == status && ready.Status == status &&
			strings.HasPrefix(valid.Reason, reason) && ready.ObservedGeneration == o.Generation
	})
}

func price(p string) func(*v1alpha1.NodeOverlaySpec) {
	return func(s *v1alpha1.NodeOverlaySpec) { s.Price = &p }
}

// TestOverlayPriceDecidesWhatIsBought: a pod for which the smallest spot machine
// would do gets the one that an overlay makes the cheapest; and when the overlay
// has gone and the node is cordoned, the next pod does not.
func TestOverlayPriceDecidesWhatIsBought(t *testing.T) {
	eachSeed(t, func(t *testing.T, s *scene) {
		s.overlay("paid-for", price("0.001"), "general-08")
		s.untilJudged(time.Minute, "paid-for", metav1.ConditionTrue, "")
		s.pods(1, "first", "1", "1Gi")
		s.untilBound(2*time.Minute, "first", 1)
		for _, c := range sim.List[*v1.NodeClaim](s.API) {
			if c.Labels[corev1.LabelInstanceTypeStable] != "general-08" || c.Annotations[v1.AnnotationPriceOverlay] != "true" || c.Annotations[v1.AnnotationCapacityOverlay] != "" || !s.Cloud.Ranked[c.Name] {
				t.Errorf("bought %v with annotations %v", c.Labels, c.Annotations)
			}
		}
		o, _ := sim.Get[*v1alpha1.NodeOverlay](s.API, "", "paid-for")
		s.delete(o)
		sim.Update(s.API, s.joined(1)[0], func(n *corev1.Node) { n.Spec.Unschedulable = true })
		s.pass(5 * time.Second)
		s.pods(1, "second", "1", "1Gi")
		s.untilBound(2*time.Minute, "second", 1)
		if got := sim.List[*v1.NodeClaim](s.API); len(got) != 2 || got[1].Labels[corev1.LabelInstanceTypeStable] != "general-02" || got[1].Annotations[v1.AnnotationPriceOverlay] != "" || s.Cloud.Ranked[got[1].Name] {
			t.Errorf("bought %v", s.Cloud.Machines())
		}
	})
}

// TestOverlayCapacityIsBought: pods ask for what only an overlay knows of. What the
// claim expects of its node has it too, so that after a restart a late pod finds
// the room before the node is there.
func TestOverlayCapacityIsBought(t *testing.T) {
	const fuse = "example.com/fuse"
	eachSeed(t, func(t *testing.T, s *scene) {
		s.Cloud.JoinDelay = 2 * time.Minute
		s.Cloud.Devices = func(o cloudprovider.Offering) cloudprovider.Resources {
			if o.InstanceType == "general-04" {
				return cloudprovider.Resources{fuse: 3}
			}
			return nil
		}
		asks := func(p *corev1.Pod) {
			p.Spec.Containers[0].Resources.Requests[fuse] = resource.MustParse("1")
		}
		s.overlay("fuse", func(o *v1alpha1.NodeOverlaySpec) {
			o.Capacity = corev1.ResourceList{fuse: resource.MustParse("3")}
		}, "general-04")
		s.untilJudged(time.Minute, "fuse", metav1.ConditionTrue, "")
		s.pods(2, "early", "100m", "64Mi", asks)
		s.until(time.Minute, "launched", func() bool {
			claims := sim.List[*v1.NodeClaim](s.API)
			return len(claims) == 1 && v1.IsTrue(claims[0].Status.Conditions, v1.ConditionLaunched)
		})
		claim := sim.List[*v1.NodeClaim](s.API)[0]
		capacity, allocatable := claim.Status.Capacity[fuse], claim.Status.Allocatable[fuse]
		if capacity.Value() != 3 || allocatable.Value() != 3 || claim.Annotations[v1.AnnotationCapacityOverlay] != "true" || claim.Annotations[v1.AnnotationPriceOverlay] != "" {
			t.Errorf("capacity %v, allocatable %v, annotations %v", claim.Status.Capacity, claim.Status.Allocatable, claim.Annotations)
		}
		s.restart()
		s.pods(1, "late", "100m", "64Mi", asks)
		s.untilBound(5*time.Minute, "", 3)
		s.wantLaunches(1)
	})
}

// TestOverlayIsJudged: one that cannot be read and one that contradicts are not
// applied, and say why; the second is, once the first of the two has gone. Nothing
// is written when nothing changes.
func TestOverlayIsJudged(t *testing.T) {
	eachSeed(t, func(t *testing.T, s *scene) {
		s.overlay("b", price("0.002"), "general-02", "general-04")
		s.overlay("a", price("0.001"), "general-04", "general-08")
		s.overlay("wrong", func(o *v1alpha1.NodeOverlaySpec) {
			o.Capacity = corev1.ResourceList{"hugepages-2Mi": resource.MustParse("1Gi")}
		}, "general-16")
		s.untilJudged(time.Minute, "b", metav1.ConditionTrue, "")
		s.untilJudged(time.Minute, "a", metav1.ConditionFalse, v1alpha1.ReasonConflict)
		s.untilJudged(time.Minute, "wrong", metav1.ConditionFalse, v1alpha1.ReasonRuntimeValidation)
		s.pods(1, "web", "7", "1Gi") // on a, if it were applied
		s.untilBound(2*time.Minute, "web", 1)
		if c := sim.List[*v1.NodeClaim](s.API)[0]; c.Annotations[v1.AnnotationPriceOverlay] != "" {
			t.Errorf("bought %v with annotations %v", c.Labels, c.Annotations)
		}
		writes := s.API.Writes["NodeOverlay"]
		s.pass(7 * time.Hour)
		if got := s.API.Writes["NodeOverlay"]; got != writes {
			t.Errorf("%d writes when nothing changed", got-writes)
		}
		o, _ := sim.Get[*v1alpha1.NodeOverlay](s.API, "", "b")
		s.delete(o)
		s.untilJudged(time.Minute, "a", metav1.ConditionTrue, "")
	})
}

// TestOverlayIsJudgedAgain: a catalog changes without notice, and six hours later
// the verdict follows; a NodePool that is new is looked at sooner.
func TestOverlayIsJudgedAgain(t *testing.T) {
	eachSeed(t, func(t *testing.T, s *scene) {
		types := s.Cloud.Catalogue.InstanceTypes
		s.Cloud.Catalogue.InstanceTypes = types[:2:2] // until 4 cpus
		s.overlay("a", price("0.001"), "general-08")
		s.overlay("b", price("0.002"), "general-08")
		s.untilJudged(time.Minute, "a", metav1.ConditionTrue, "")
		s.pass(10 * time.Second) // its own writes wake it too
		s.Cloud.Catalogue.InstanceTypes = types
		s.untilJudged(6*time.Hour+time.Minute, "a", metav1.ConditionFalse, v1alpha1.ReasonConflict)

		for _, name := range []string{"c", "d"} {
			s.overlay(name, func(o *v1alpha1.NodeOverlaySpec) {
				price("0.00" + map[string]string{"c": "3", "d": "4"}[name])(o)
				o.Requirements = append(o.Requirements, v1alpha1.Requirement{Key: v1.LabelNodePool, Operator: corev1.NodeSelectorOpIn, Values: []string{"second"}})
			}, "general-02")
		}
		s.untilJudged(time.Minute, "c", metav1.ConditionTrue, "")
		s.pass(10 * time.Second)
		s.create(sim.NodePool("second"))
		s.untilJudged(time.Minute, "c", metav1.ConditionFalse, v1alpha1.ReasonConflict)
	})
}
