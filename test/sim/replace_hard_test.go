package sim_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "github.com/stowage-sh/stowage/provisioner/v1"
	"github.com/stowage-sh/stowage/test/sim"
)

// smallNodes has a NodePool buy small nodes alone.
func smallNodes(p *v1.NodePool) {
	p.Spec.Template.Spec.Requirements = []v1.Requirement{{Key: corev1.LabelInstanceTypeStable, Operator: corev1.NodeSelectorOpIn, Values: []string{"general-02"}}}
}

func (s *scene) allGone(old []*v1.NodeClaim) bool {
	return !slices.ContainsFunc(old, func(c *v1.NodeClaim) bool { return s.claim(c.Name) != nil })
}

// failedReplacements counts those of which a NodePool was told.
func (s *scene) failedReplacements() (n int) {
	for _, e := range s.Told("DisruptionBlocked") {
		if e.Kind == "NodePool" && strings.HasPrefix(e.Message, "replacing ") {
			n++
		}
	}
	return n
}

// TestDriftDoesNotAskBoundedPods: where a terminationGracePeriod bounds how long pods stay, neither
// an annotation nor a budget keeps a node that drifted.
func TestDriftDoesNotAskBoundedPods(t *testing.T) {
	for _, kind := range []string{"annotation", "budget"} {
		t.Run(kind, func(t *testing.T) {
			eachSeed(t, func(t *testing.T, s *scene) {
				sim.Update(s.API, s.pool, func(p *v1.NodePool) { p.Spec.Template.Spec.TerminationGracePeriod = "1h" })
				s.consolidate(v1.Never)
				s.serve("web", 1)
				if kind == "budget" {
					s.create(sim.Budget("web", 1))
				} else {
					for _, p := range sim.List[*corev1.Pod](s.API) {
						sim.Update(s.API, p, undisrupted)
					}
				}
				s.pass(10 * time.Second)
				old := sim.List[*v1.NodeClaim](s.API)
				s.drift(old...)
				s.until(4*time.Hour, "replaced", func() bool { return s.allGone(old) })
			})
		})
	}
}

// TestBusyBudgetIsNoFailure: a PodDisruptionBudget that is spent by the eviction before lets nodes
// go one after the other, and no replacement counts as failed for it.
func TestBusyBudgetIsNoFailure(t *testing.T) {
	eachSeed(t, func(t *testing.T, s *scene) {
		s.consolidate(v1.Never, v1.Budget{Nodes: "20%"})
		sim.Update(s.API, s.pool, smallNodes)
		s.serve("web", 12)
		s.create(sim.Budget("web", 11))
		s.PodDelay = 90 * time.Second
		s.pass(2 * time.Minute)
		old := sim.List[*v1.NodeClaim](s.API)
		s.drift(old...)
		s.until(8*time.Hour, "all replaced", func() bool { return s.allGone(old) })
		if n := s.failedReplacements(); n > 0 {
			t.Errorf("%d replacements failed", n)
		}
	})
}

// TestStaticNodesWithPodsAreReplaced, though no other NodePool could take their pods.
func TestStaticNodesWithPodsAreReplaced(t *testing.T) {
	eachSeed(t, func(t *testing.T, s *scene) {
		s.delete(s.nodePool())
		fixed := s.static("fixed", 3, smallNodes)
		s.until(5*time.Minute, "three nodes", s.has(fixed, 3))
		s.serve("web", 3)
		old := s.of(fixed)
		s.drift(old...)
		s.until(2*time.Hour, "all replaced", func() bool { return s.allGone(old) })
	})
}

// TestStaticNodesAtTheirLimit: with room for one more they are replaced one after the other;
// without, none is even closed.
func TestStaticNodesAtTheirLimit(t *testing.T) {
	for _, limit := range []string{"6", "5"} {
		t.Run(limit, func(t *testing.T) {
			eachSeed(t, func(t *testing.T, s *scene) {
				s.consolidate(v1.Never)
				fixed := s.static("fixed", 5, func(p *v1.NodePool) {
					p.Spec.Limits = corev1.ResourceList{"nodes": resource.MustParse(limit)}
					p.Spec.Disruption.Budgets = []v1.Budget{{Nodes: "3"}}
				})
				s.until(5*time.Minute, "five nodes", s.has(fixed, 5))
				s.pass(time.Minute)
				old := s.of(fixed)
				s.drift(old...)
				if limit == "6" {
					s.until(time.Hour, "all replaced", func() bool { return s.allGone(old) })
					return
				}
				for range 60 {
					s.pass(time.Minute)
					if slices.ContainsFunc(old, func(c *v1.NodeClaim) bool { return s.claim(c.Name) == nil || s.tainted(c.Name) }) {
						t.Fatal("a node was closed for which there may be no other")
					}
				}
			})
		})
	}
}

// TestStuckNodesStarveNobody: many nodes whose pods fit nowhere do not keep the one behind them
// from being tried.
func TestStuckNodesStarveNobody(t *testing.T) {
	eachSeed(t, func(t *testing.T, s *scene) {
		s.consolidate(v1.Never)
		s.could = func(*corev1.Pod) bool { return false }
		owned := func(kind, name string) *corev1.Pod {
			p := sim.Pod(name, "1", "1Gi")
			p.OwnerReferences = []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: kind, Name: name, UID: types.UID("uid-" + name), Controller: new(true)}}
			return p
		}
		const n = 40
		name := func(i int) string { return fmt.Sprintf("stuck-%d", i) }
		for i := range n {
			s.create(sim.NodeClaim(s.pool, name(i), smallSpot))
		}
		s.until(5*time.Minute, "all ready", func() bool {
			for i := range n {
				if !s.is(name(i), v1.ConditionReady) {
					return false
				}
			}
			return true
		})
		s.pass(20 * time.Second)
		var old []*v1.NodeClaim
		for i := range n {
			p := owned("StatefulSet", name(i))
			p.Spec.NodeName = s.node(name(i)).Name
			p.Spec.NodeSelector = map[string]string{corev1.LabelHostname: "only-here"}
			s.create(p)
			old = append(old, s.claim(name(i)))
		}
		s.bind(owned("ReplicaSet", "fine"), s.ready("fine").Name)
		s.pass(time.Minute)
		s.drift(old...)
		s.until(10*time.Minute, "the stuck ones have drifted", func() bool { return s.is(name(0), v1.ConditionDrifted) })
		s.drift(s.claim("fine"))
		s.until(3*time.Hour, "the other one replaced", func() bool { return s.claim("fine") == nil })
	})
}

// TestNodeDeletedByHandStopsNoOther: what somebody deletes does not break off what was begun within
// the budget.
func TestNodeDeletedByHandStopsNoOther(t *testing.T) {
	eachSeed(t, func(t *testing.T, s *scene) {
		s.consolidate(v1.Never, v1.Budget{Nodes: "1"})
		sim.Update(s.API, s.pool, smallNodes)
		s.Cloud.JoinDelay = 2 * time.Minute
		s.serve("web", 4)
		all := sim.List[*v1.NodeClaim](s.API)
		s.drift(all[0])
		s.until(10*time.Minute, "chosen", func() bool { return s.tainted(all[0].Name) })
		s.pass(30 * time.Second)
		s.delete(all[2])
		s.until(10*time.Minute, "replaced", func() bool {
			if c := s.claim(all[0].Name); c != nil && c.DeletionTimestamp == nil && !s.tainted(c.Name) {
				t.Fatal("the node was opened again")
			}
			return s.claim(all[0].Name) == nil
		})
	})
}

// TestExpiringNodeIsClosed also where the taint loses a race at first.
func TestExpiringNodeIsClosed(t *testing.T) {
	eachSeed(t, func(t *testing.T, s *scene) {
		sim.Update(s.API, s.pool, func(p *v1.NodePool) { p.Spec.Template.Spec.ExpireAfter = "2h" })
		s.consolidate(v1.Never)
		s.serve("web", 1)
		claim := sim.List[*v1.NodeClaim](s.API)[0]
		once := false
		s.proc.Before = func(verb string, obj client.Object) error {
			if _, ok := obj.(*corev1.Node); ok && verb == "patch" && !once && s.is(claim.Name, v1.ConditionDisruptionReason) {
				once = true
				return apierrors.NewConflict(schema.GroupResource{Resource: "nodes"}, obj.GetName(), errors.New("kubelet was quicker"))
			}
			return nil
		}
		s.until(3*time.Hour, "chosen", func() bool { return s.is(claim.Name, v1.ConditionDisruptionReason) })
		s.until(2*time.Minute, "closed", func() bool { return s.tainted(claim.Name) })
	})
}

// TestRestartDuringDrain: a pod that may not be evicted for a while keeps its other place, which is
// not taken for an empty node after a restart.
func TestRestartDuringDrain(t *testing.T) {
	eachSeed(t, func(t *testing.T, s *scene) {
		sim.Update(s.API, s.pool, smallNodes)
		s.consolidate("1m")
		s.serve("web", 2)
		claim := sim.List[*v1.NodeClaim](s.API)[0]
		s.Check(neverPending(15 * time.Second))
		s.drift(claim)
		s.until(10*time.Minute, "chosen", func() bool { return s.tainted(claim.Name) })
		s.pass(15 * time.Second)
		s.create(sim.Budget("web", 2)) // another pod of it is not Ready for a while, say
		s.until(10*time.Minute, "deleted", func() bool { return s.claim(claim.Name).DeletionTimestamp != nil })
		s.pass(5 * time.Second)
		s.restart()
		s.pass(10 * time.Minute)
		stay := slices.DeleteFunc(sim.List[*v1.NodeClaim](s.API), func(c *v1.NodeClaim) bool { return c.DeletionTimestamp != nil })
		if len(stay) != 2 {
			t.Errorf("%d nodes stay, want the other one and the replacement", len(stay))
		}
		s.delete(sim.Budget("web", 2))
		s.until(10*time.Minute, "gone", func() bool { return s.claim(claim.Name) == nil })
	})
}
