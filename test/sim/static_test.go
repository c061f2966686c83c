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
	v1 "github.com/stowage-sh/stowage/provisioner/v1"
	"github.com/stowage-sh/stowage/test/sim"
)

// static makes a static NodePool.
func (s *scene) static(name string, replicas int64, edits ...func(*v1.NodePool)) *v1.NodePool {
	s.t.Helper()
	pool := sim.NodePool(name)
	pool.Spec.Replicas = &replicas
	for _, edit := range edits {
		edit(pool)
	}
	s.create(pool)
	return pool
}

// scale sets a static NodePool's replicas, as the scale subresource does.
func (s *scene) scale(pool *v1.NodePool, replicas int64) {
	sim.Update(s.API, pool, func(p *v1.NodePool) { p.Spec.Replicas = &replicas })
}

// of returns the NodeClaims of a pool that are not being deleted.
func (s *scene) of(pool *v1.NodePool) []*v1.NodeClaim {
	return slices.DeleteFunc(sim.List[*v1.NodeClaim](s.API), func(c *v1.NodeClaim) bool {
		return c.Labels[v1.LabelNodePool] != pool.Name || c.DeletionTimestamp != nil
	})
}

// has reports whether a pool has n initialized nodes, and nothing else.
func (s *scene) has(pool *v1.NodePool, n int) func() bool {
	return func() bool {
		claims := s.of(pool)
		for _, c := range claims {
			if !v1.IsTrue(c.Status.Conditions, v1.ConditionInitialized) {
				return false
			}
		}
		nodes, _ := sim.Get[*v1.NodePool](s.API, "", pool.Name)
		return len(claims) == n && nodes.Status.Nodes == int64(n)
	}
}

// TestStaticPool: nodes come without pods and stay without; pods use them, and none
// is bought for pods.
func TestStaticPool(t *testing.T) {
	eachSeed(t, func(t *testing.T, s *scene) {
		s.delete(s.nodePool())
		s.could = func(*corev1.Pod) bool { return false }
		fixed := s.static("fixed", 3, func(p *v1.NodePool) {
			p.Spec.Disruption.ConsolidateAfter = "0s"
			p.Spec.Template.Metadata.Labels = map[string]string{"team": "blue", corev1.LabelTopologyZone: "zone-b"}
			p.Spec.Template.Spec.Requirements = []v1.Requirement{
				{Key: "karpenter.k8s.aws/instance-cpu", Operator: corev1.NodeSelectorOpIn, Values: []string{"4"}},
			}
		})
		s.until(5*time.Minute, "three nodes", s.has(fixed, 3))
		for _, node := range sim.List[*corev1.Node](s.API) {
			if l := node.Labels; l["team"] != "blue" || l[corev1.LabelTopologyZone] != "zone-b" || l[corev1.LabelInstanceTypeStable] != "general-04" {
				t.Errorf("labels of %s: %v", node.Name, l)
			}
		}
		for i := range 5 { // three fit on each node
			s.create(sim.Pod(fmt.Sprintf("web-%d", i), "1", "1Gi"))
		}
		s.create(sim.Pod("large", "8", "1Gi"))
		s.pass(time.Hour)
		if n := len(s.Cloud.Launches); n != 3 {
			t.Errorf("%d machines were bought", n)
		}
		for _, pod := range sim.List[*corev1.Pod](s.API) {
			if (pod.Spec.NodeName == "") != (pod.Name == "large") {
				t.Errorf("pod %s is on %q", pod.Name, pod.Spec.NodeName)
			}
		}
		if told := s.Told("FailedScheduling"); len(told) == 0 || !strings.Contains(told[len(told)-1].Message, "NodePool fixed: spec.replicas: its nodes are there for pods") {
			t.Errorf("the pod that fits nowhere was told %v", told)
		}
		if got := s.counted("karpenter_nodeclaims_created_total")["false"]; got != 3 {
			t.Errorf("%v NodeClaims were counted", got)
		}
		s.delete(s.of(fixed)[0])
		s.until(10*time.Minute, "the node that was deleted by hand is made up for", s.has(fixed, 3))
		s.scale(fixed, 0)
		s.until(10*time.Minute, "none left", func() bool { return s.has(fixed, 0)() && len(s.Cloud.Alive()) == 0 })
		if got := s.counted("karpenter_nodeclaims_disrupted_total")["spot"]; got != 3 {
			t.Errorf("%v NodeClaims were counted as disrupted", got)
		}
	})
}

// TestStaticScaleDown: those go first whose going hurts least.
func TestStaticScaleDown(t *testing.T) {
	eachSeed(t, func(t *testing.T, s *scene) {
		fixed := s.static("fixed", 6)
		s.until(5*time.Minute, "six nodes", s.has(fixed, 6))
		claims := s.of(fixed)
		on := func(i int, name string, edits ...func(*corev1.Pod)) {
			pod := sim.Pod(name, "250m", "64Mi")
			for _, edit := range edits {
				edit(pod)
			}
			s.bind(pod, s.node(claims[i].Name).Name)
		}
		protect := func(p *corev1.Pod) { p.Annotations = map[string]string{v1.AnnotationDoNotDisrupt: "true"} }
		cheap := func(p *corev1.Pod) { p.Annotations = map[string]string{corev1.PodDeletionCost: "-100000000"} }
		on(0, "protected", protect)
		on(1, "one")
		on(2, "two-a")
		on(2, "two-b")
		s.bind(sim.DaemonPod("daemon", s.node(claims[3].Name).Name), s.node(claims[3].Name).Name)
		on(4, "cheap-a", cheap)
		on(4, "cheap-b", cheap)
		sim.Update(s.API, s.node(claims[5].Name), func(n *corev1.Node) {
			n.Annotations = map[string]string{v1.AnnotationDoNotDisrupt: "true"}
		})
		// A seventh does not get a machine.
		s.Cloud.LaunchError = fmt.Errorf("the cloud is not to be reached")
		s.scale(fixed, 7)
		s.until(time.Minute, "seven", func() bool { return len(s.of(fixed)) == 7 })
		s.pass(10 * time.Second) // nothing is under way
		claims = append(claims, slices.DeleteFunc(s.of(fixed), func(c *v1.NodeClaim) bool { return c.Status.ProviderID != "" })...)
		for gone, want := range []int{6, 3, 4, 1, 2} {
			s.scale(fixed, int64(6-gone))
			s.until(time.Minute, fmt.Sprintf("claim %d goes", want), func() bool {
				c := s.claim(claims[want].Name)
				return c == nil || c.DeletionTimestamp != nil
			})
			s.pass(20 * time.Second)
			if n := len(s.of(fixed)); n != 6-gone {
				t.Fatalf("%d are left after claim %d, want %d", n, want, 6-gone)
			}
		}
		if left := s.of(fixed); left[0].Name != claims[0].Name || left[1].Name != claims[5].Name {
			t.Errorf("left are %s and %s", left[0].Name, left[1].Name)
		}
	})
}

// TestStaticReplicasAreKept whatever goes wrong: crashes between writes, refusals,
// lost answers, late watches, machines that never come or go by themselves, while
// somebody changes his mind.
func TestStaticReplicasAreKept(t *testing.T) {
	eachSeed(t, func(t *testing.T, s *scene) {
		fixed := s.static("fixed", 2)
		s.MaxLag = 5 * time.Second
		calm := false
		fault := func(verb string, _ client.Object) error {
			switch {
			case calm:
			case s.Rand.IntN(40) == 0:
				return sim.ErrCrash
			case s.Rand.IntN(4) == 0:
				return fmt.Errorf("%s: the server is not to be reached", verb)
			}
			return nil
		}
		s.Cloud.Broken = func(cloudprovider.Instance) bool { return !calm && s.Rand.IntN(6) == 0 }
		s.proc.Before, s.proc.After = fault, fault
		for range 60 {
			switch s.Rand.IntN(5) {
			case 0:
				s.scale(fixed, int64(s.Rand.IntN(8)))
			case 1:
				s.Cloud.Empty[smallSpot], s.Cloud.Empty[smallB] = s.Rand.IntN(2) == 0, s.Rand.IntN(2) == 0
			case 2:
				if alive := s.Cloud.Alive(); len(alive) > 0 {
					s.Cloud.Kill(alive[s.Rand.IntN(len(alive))].ID)
				}
			case 3:
				s.Cloud.LaunchError = nil
				if s.Rand.IntN(2) == 0 {
					s.Cloud.LaunchError = fmt.Errorf("the cloud is not to be reached")
				}
			}
			s.pass(time.Duration(s.Rand.IntN(90)) * time.Second)
			if s.proc.Dead() {
				s.restart()
				s.proc.Before, s.proc.After = fault, fault
			}
		}
		calm = true
		s.Cloud.LaunchError = nil
		s.restart()
		s.scale(fixed, 4)
		s.until(3*time.Hour, "four nodes", s.has(fixed, 4))
		s.pass(30 * time.Minute)
		if !s.has(fixed, 4)() || len(s.Cloud.Alive()) != 4 {
			t.Errorf("%d nodes and %d machines when all is done", len(s.of(fixed)), len(s.Cloud.Alive()))
		}
	})
}

// TestStaticWaitsForCapacity: what cannot be had is not asked for without end, and
// comes once it can.
func TestStaticWaitsForCapacity(t *testing.T) {
	eachSeed(t, func(t *testing.T, s *scene) {
		for _, kind := range s.Cloud.Catalogue.InstanceTypes {
			for _, o := range kind.Offerings {
				s.Cloud.Empty[o] = true
			}
		}
		fixed := s.static("fixed", 2)
		s.pass(30 * time.Minute)
		made := s.counted("karpenter_nodeclaims_created_total")["false"]
		if made < 10 || made > 60 { // two after one minute, two, four, and then every eight, for each offering
			t.Errorf("%v NodeClaims were made in half an hour of no capacity", made)
		}
		if told := s.Told("ReplicasMissing"); len(told) != 1 || !strings.Contains(told[0].Message, "nodes have to wait: NodePool fixed got no machine for its last NodeClaims") {
			t.Errorf("the user was told %v", told)
		}
		s.Cloud.Empty = map[cloudprovider.Offering]bool{}
		s.until(cloudprovider.LongestShortage+2*time.Minute, "two nodes", s.has(fixed, 2))
	})
}

// TestStaticBacksOff: a pool whose machines never join tries one at a time.
func TestStaticBacksOff(t *testing.T) {
	eachSeed(t, func(t *testing.T, s *scene) {
		broken := true
		s.Cloud.Broken = func(cloudprovider.Instance) bool { return broken }
		fixed := s.static("fixed", 5)
		s.pass(3 * time.Hour)
		if n := len(s.Cloud.Machines()); n < 8 || n > 14 {
			t.Errorf("%d machines were bought in three hours, none of which joined", n)
		}
		if told := s.Told("ReplicasMissing"); len(told) == 0 || !strings.Contains(told[0].Message, "nodes have to wait: NodePool fixed buys nothing until") {
			t.Errorf("the user was told %v", told)
		}
		broken = false
		s.until(3*time.Hour, "five nodes", s.has(fixed, 5))
	})
}

// TestStaticLimit: as many nodes as limits.nodes lets there be, those that are going
// included.
func TestStaticLimit(t *testing.T) {
	eachSeed(t, func(t *testing.T, s *scene) {
		fixed := s.static("fixed", 3, func(p *v1.NodePool) { p.Spec.Limits = corev1.ResourceList{"nodes": resource.MustParse("2")} })
		s.until(5*time.Minute, "two nodes", s.has(fixed, 2))
		s.delete(s.of(fixed)[0])
		s.until(10*time.Minute, "two nodes again", s.has(fixed, 2))
		if told := s.Told("ReplicasMissing"); len(told) == 0 || !strings.Contains(told[0].Message, "1 of 3 nodes have to wait: NodePool fixed may have no more nodes than its limit of 2") {
			t.Errorf("the user was told %v", told)
		}
		sim.Update(s.API, fixed, func(p *v1.NodePool) { p.Spec.Limits = nil })
		s.until(5*time.Minute, "three nodes", s.has(fixed, 3))
	})
}

// TestStaticPoolNotReady buys nothing, and lets nodes go all the same.
func TestStaticPoolNotReady(t *testing.T) {
	eachSeed(t, func(t *testing.T, s *scene) {
		fixed := s.static("fixed", 2)
		s.until(5*time.Minute, "two nodes", s.has(fixed, 2))
		s.delete(s.nodeClass())
		s.until(time.Minute, "the pool knows", func() bool {
			p, _ := sim.Get[*v1.NodePool](s.API, "", "fixed")
			return !v1.IsTrue(p.Status.Conditions, v1.ConditionReady)
		})
		s.pass(3 * time.Second) // so does everybody else
		s.scale(fixed, 4)
		s.pass(10 * time.Minute)
		if n := len(s.Cloud.Launches); n != 2 {
			t.Errorf("%d machines were bought without a NodeClass", n)
		}
		s.scale(fixed, 1)
		s.until(10*time.Minute, "one node", s.has(fixed, 1))
	})
}

// TestStaticNodesAreReplaced: a drifted node of a static NodePool goes when another is there, and
// there are never fewer than replicas that serve.
func TestStaticNodesAreReplaced(t *testing.T) {
	eachSeed(t, func(t *testing.T, s *scene) {
		s.consolidate(v1.Never)
		s.static("fixed", 3)
		ready := func() (n int) {
			for _, c := range sim.List[*v1.NodeClaim](s.API) {
				if c.DeletionTimestamp == nil && v1.IsTrue(c.Status.Conditions, v1.ConditionInitialized) {
					n++
				}
			}
			return n
		}
		s.until(5*time.Minute, "three nodes", func() bool { return ready() == 3 })
		s.pass(time.Minute)
		old := sim.List[*v1.NodeClaim](s.API)
		s.Check(func(*sim.World) error {
			if n := ready(); n < 3 {
				return fmt.Errorf("%d of 3 nodes are ready", n)
			}
			return nil
		})
		s.drift(old...)
		s.until(time.Hour, "all replaced", func() bool {
			return !slices.ContainsFunc(old, func(c *v1.NodeClaim) bool { return s.claim(c.Name) != nil })
		})
		s.pass(time.Minute)
		if n := len(sim.List[*v1.NodeClaim](s.API)); n != 3 {
			t.Errorf("there are %d nodes", n)
		}
	})
}
