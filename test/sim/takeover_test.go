package sim_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stowage-sh/stowage/cloudprovider"
	awsv1 "github.com/stowage-sh/stowage/cloudprovider/aws/v1"
	v1 "github.com/stowage-sh/stowage/provisioner/v1"
	"github.com/stowage-sh/stowage/test/sim"
)

// A stage is how far Karpenter has brought a NodeClaim when Stowage takes over.
type stage string

const (
	made        stage = "made"        // nothing was bought
	bought      stage = "bought"      // a machine was, and that was not written down
	launched    stage = "launched"    // its node has not joined
	registered  stage = "registered"  // its node is not Ready
	initialized stage = "initialized" // its node holds a pod
	doomed      stage = "doomed"      // the same, and it was deleted and drains
	ending      stage = "ending"      // its machine was told to go
)

// Hashes of Karpenter's.
const (
	karpenterHash      = "5166034571180321477"
	karpenterClassHash = "11870332284921650034"
)

var karpenterOffering = cloudprovider.Offering{InstanceType: "general-04", Zone: "zone-b", CapacityType: cloudprovider.OnDemand}

// karpenter makes a NodeClaim as Karpenter does, and what it has made of it by a
// stage.
func (s *scene) karpenter(at stage, name string) {
	s.t.Helper()
	claim := sim.NodeClaim(s.pool, name)
	claim.Labels[awsv1.LabelNodeClass] = "default"
	claim.Annotations = map[string]string{v1.AnnotationNodePoolHash: karpenterHash, v1.AnnotationNodePoolHashVersion: "v3"}
	claim.Spec.Requirements = []v1.Requirement{
		{Key: corev1.LabelInstanceTypeStable, Operator: corev1.NodeSelectorOpIn, Values: []string{"general-02", "general-04"}},
		{Key: v1.LabelCapacityType, Operator: corev1.NodeSelectorOpIn, Values: []string{"on-demand", "spot"}},
		{Key: v1.LabelNodePool, Operator: corev1.NodeSelectorOpIn, Values: []string{s.pool.Name}},
		{Key: awsv1.LabelNodeClass, Operator: corev1.NodeSelectorOpIn, Values: []string{"default"}},
	}
	claim.Spec.Resources.Requests = corev1.ResourceList{
		corev1.ResourceCPU: resource.MustParse("2500m"), corev1.ResourceMemory: resource.MustParse("1Gi"), corev1.ResourcePods: resource.MustParse("1"),
	}
	s.create(claim)
	if at == made {
		return
	}
	machine := s.Cloud.LaunchAsKarpenter(claim, karpenterOffering)
	if at == bought {
		return
	}
	sim.Update(s.API, claim, func(c *v1.NodeClaim) {
		c.Finalizers = []string{v1.FinalizerTermination}
		c.Annotations[awsv1.AnnotationHash], c.Annotations[awsv1.AnnotationHashVersion] = karpenterClassHash, "v6"
		c.Annotations[awsv1.AnnotationInstanceProfile] = "test_9462087631204817316"
		c.Labels[corev1.LabelInstanceTypeStable], c.Labels[corev1.LabelTopologyZone] = machine.Offering.InstanceType, machine.Offering.Zone
		c.Labels[v1.LabelCapacityType] = machine.Offering.CapacityType
		c.Status.ProviderID, c.Status.ImageID = machine.ProviderID, machine.ImageID
		set(c, s.Now, v1.ConditionLaunched)
	})
	if at == launched {
		return
	}
	ready := at != registered
	s.until(time.Minute, "joined", func() bool { return s.nodeAt(machine.ProviderID, ready) != nil })
	node := s.nodeAt(machine.ProviderID, ready)
	sim.Update(s.API, node, func(n *corev1.Node) {
		n.Labels[v1.LabelNodePool], n.Labels[v1.LabelRegistered] = s.pool.Name, "true"
		n.Finalizers = []string{v1.FinalizerTermination}
		n.Spec.Taints = slices.DeleteFunc(n.Spec.Taints, func(t corev1.Taint) bool { return t.Key == v1.TaintUnregistered })
		if ready {
			n.Labels[v1.LabelInitialized] = "true"
		}
	})
	sim.Update(s.API, claim, func(c *v1.NodeClaim) {
		c.Status.NodeName = node.Name
		set(c, s.Now, v1.ConditionRegistered)
		if ready {
			set(c, s.Now, v1.ConditionInitialized)
			set(c, s.Now, v1.ConditionReady)
		}
	})
	if ready {
		s.bind(sim.Pod("on-"+name, "100m", "64Mi"), node.Name)
	}
	if at == doomed || at == ending {
		s.delete(claim)
		s.delete(node)
	}
	if at == ending {
		pod, _ := sim.Get[*corev1.Pod](s.API, "default", "on-"+name)
		s.API.Remove(pod)
		sim.Update(s.API, claim, func(c *v1.NodeClaim) { set(c, s.Now, v1.ConditionInstanceTerminating) })
		if err := s.Cloud.Terminate(s.t.Context(), machine.ID); err != nil {
			s.t.Fatal(err)
		}
	}
}

// set sets a condition as Karpenter does: the reason is the condition's own name.
func set(c *v1.NodeClaim, now time.Time, condition string) {
	v1.SetCondition(&c.Status.Conditions, metav1.Condition{
		Type: condition, Status: metav1.ConditionTrue, Reason: condition, ObservedGeneration: c.Generation,
	}, now)
}

// nodeAt returns the node of a machine, nil while there is none.
func (s *scene) nodeAt(providerID string, ready bool) *corev1.Node {
	for _, n := range sim.List[*corev1.Node](s.API) {
		isReady := slices.ContainsFunc(n.Status.Conditions, func(c corev1.NodeCondition) bool {
			return c.Type == corev1.NodeReady && c.Status == corev1.ConditionTrue
		})
		if n.Spec.ProviderID == providerID && (isReady || !ready) {
			return n
		}
	}
	return nil
}

// stamped reports whether a claim carries the hash that its NodePool has now. That
// of the NodeClass is the cloud's to write.
func (s *scene) stamped(name string) bool {
	a := s.claim(name).Annotations
	return a[v1.AnnotationNodePoolHash] == s.nodePool().Hash() && a[v1.AnnotationNodePoolHashVersion] == v1.NodePoolHashVersion
}

// TestTakeover: Stowage begins where Karpenter ended, with NodeClaims at every
// stage, and crashes now and then on the way. None is launched twice, none is lost,
// none drifts, and none goes that was not on its way out.
func TestTakeover(t *testing.T) {
	eachSeed(t, func(t *testing.T, s *scene) {
		s.proc.Kill()
		s.pool = s.nodePool()
		keep := map[string]bool{}
		for i, at := range []stage{initialized, registered, doomed, ending, bought, bought, launched, made} {
			name := fmt.Sprintf("%s-%d", at, i)
			keep[name] = at != doomed && at != ending
			s.karpenter(at, name)
		}
		s.restart()
		writes := 0
		s.proc.After = func(string, client.Object) error {
			if writes++; writes%5 == 0 && writes < 40 && s.Rand.IntN(3) == 0 {
				s.World.After(time.Second, s.restart)
				return sim.ErrCrash
			}
			return nil
		}
		s.until(20*time.Minute, "taken over", func() bool {
			for name, stays := range keep {
				if stays != s.is(name, v1.ConditionReady) || stays != (s.claim(name) != nil) {
					return false
				}
			}
			return true
		})
		s.pass(time.Hour)
		has := map[string]bool{}
		for name, stays := range keep {
			switch claim := s.claim(name); {
			case !stays && claim != nil:
				t.Errorf("%s is still there: %+v", name, claim.Status)
			case !stays:
			case claim == nil || claim.DeletionTimestamp != nil:
				t.Errorf("%s is gone, or going", name)
			case has[claim.Status.ProviderID]:
				t.Errorf("%s has the machine of another", name)
			case v1.GetCondition(claim.Status.Conditions, v1.ConditionDrifted) != nil || !s.stamped(name):
				t.Errorf("%s: annotations %v, conditions %v", name, claim.Annotations, claim.Status.Conditions)
			default:
				has[claim.Status.ProviderID] = true
			}
		}
		if n, alive := len(s.Cloud.Machines()), len(s.Cloud.Alive()); n != len(keep) || alive != len(keep)-2 {
			t.Errorf("%d machines for %d NodeClaims, of which %d live", n, len(keep), alive)
		}
		sim.Update(s.API, s.nodePool(), func(p *v1.NodePool) { p.Spec.Template.Metadata.Labels = map[string]string{"team": "b"} })
		s.pass(time.Minute)
		pool, claim := s.nodePool().Annotations, s.claim("initialized-0").Annotations
		if pool[v1.AnnotationNodePoolHashVersion] != claim[v1.AnnotationNodePoolHashVersion] || pool[v1.AnnotationNodePoolHash] == claim[v1.AnnotationNodePoolHash] {
			t.Errorf("after an edit of the NodePool it has %v, the NodeClaim %v", pool, claim)
		}
	})
}

// TestTakeoverWaitsForTheClass: as long as nothing can be launched, the machine that
// Karpenter bought without writing it down is not collected, and then it is the
// NodeClaim's. One that is for no NodeClaim goes.
func TestTakeoverWaitsForTheClass(t *testing.T) {
	eachSeed(t, func(t *testing.T, s *scene) {
		s.proc.Kill()
		s.pool = s.nodePool()
		s.karpenter(bought, "one")
		lost := sim.NodeClaim(s.pool, "lost")
		lost.Labels[v1.LabelNodePool] = "other"
		s.Cloud.LaunchAsKarpenter(lost, karpenterOffering)
		s.Cloud.CatalogError = errors.New("the class was not resolved yet")
		s.After(90*time.Second, func() { s.Cloud.CatalogError = nil })
		s.restart()
		s.until(10*time.Minute, "ready", func() bool { return s.is("one", v1.ConditionReady) })
		if first, n, alive := s.Cloud.Machines()[0].ProviderID, len(s.Cloud.Machines()), len(s.Cloud.Alive()); s.claim("one").Status.ProviderID != first || n != 2 || alive != 1 {
			t.Errorf("the NodeClaim has %s of %d machines, of which %d live, want %s", s.claim("one").Status.ProviderID, n, alive, first)
		}
	})
}

// TestTakeoverOfDrifted: what had drifted by Karpenter's word, or was about to by
// its hashes, is not forgiven.
func TestTakeoverOfDrifted(t *testing.T) {
	eachSeed(t, func(t *testing.T, s *scene) {
		s.consolidate(v1.Never, v1.Budget{Nodes: "0"}) // what drifts stays
		s.proc.Kill()
		s.pool = s.nodePool()
		for _, name := range []string{"same", "drifted", "about"} {
			s.karpenter(initialized, name)
		}
		sim.Update(s.API, s.claim("drifted"), func(c *v1.NodeClaim) {
			v1.SetCondition(&c.Status.Conditions, metav1.Condition{Type: v1.ConditionDrifted, Status: metav1.ConditionTrue, Reason: "AMIDrift"}, s.Now)
		})
		sim.Update(s.API, s.claim("about"), func(c *v1.NodeClaim) { c.Annotations[v1.AnnotationNodePoolHash] = "1" })
		sim.Update(s.API, s.nodePool(), func(p *v1.NodePool) {
			p.Annotations = map[string]string{v1.AnnotationNodePoolHash: karpenterHash, v1.AnnotationNodePoolHashVersion: "v3"}
		})
		s.restart()
		s.pass(time.Minute)
		for name, want := range map[string]string{"same": s.nodePool().Hash(), "drifted": karpenterHash, "about": "1"} {
			a := s.claim(name).Annotations
			if a[v1.AnnotationNodePoolHash] != want || a[v1.AnnotationNodePoolHashVersion] != v1.NodePoolHashVersion {
				t.Errorf("%s: %v, want the hash %s", name, a, want)
			}
		}
	})
}

// TestTakeoverPlansForWhatIsUnderWay: pods that Karpenter bought nodes for go there,
// and nothing more is bought.
func TestTakeoverPlansForWhatIsUnderWay(t *testing.T) {
	eachSeed(t, func(t *testing.T, s *scene) {
		s.proc.Kill()
		s.pool = s.nodePool()
		s.karpenter(launched, "launched")
		s.karpenter(made, "made")
		for i := range 2 {
			s.create(sim.Pod(fmt.Sprintf("pod-%d", i), "2500m", "1Gi"))
		}
		s.restart()
		s.until(5*time.Minute, "both pods run", func() bool {
			return !slices.ContainsFunc(sim.List[*corev1.Pod](s.API), func(p *corev1.Pod) bool { return p.Status.Phase != corev1.PodRunning })
		})
		if n := len(s.Cloud.Machines()); n != 2 {
			t.Errorf("%d machines for two pods that two NodeClaims were made for", n)
		}
	})
}

// TestTakeoverReopens: nodes that Karpenter closed for a disruption that it did not
// carry out are opened again, and stay.
func TestTakeoverReopens(t *testing.T) {
	eachSeed(t, func(t *testing.T, s *scene) {
		s.proc.Kill()
		s.pool = s.nodePool()
		s.karpenter(initialized, "one")
		sim.Update(s.API, s.claim("one"), func(c *v1.NodeClaim) {
			v1.SetCondition(&c.Status.Conditions, metav1.Condition{Type: v1.ConditionDisruptionReason, Status: metav1.ConditionTrue, Reason: "Underutilized"}, s.Now)
		})
		sim.Update(s.API, s.node("one"), func(n *corev1.Node) { n.Spec.Taints = append(n.Spec.Taints, v1.DisruptedTaint()) })
		s.restart()
		s.pass(5 * time.Minute)
		claim, node := s.claim("one"), s.node("one")
		if claim == nil || claim.DeletionTimestamp != nil || len(node.Spec.Taints) > 0 || v1.GetCondition(claim.Status.Conditions, v1.ConditionDisruptionReason) != nil {
			t.Errorf("claim %+v, node %+v", claim, node)
		}
	})
}
