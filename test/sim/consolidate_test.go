package sim_test

import (
	"fmt"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "github.com/stowage-sh/stowage/provisioner/v1"
	"github.com/stowage-sh/stowage/test/sim"
)

func underutilized(p *v1.NodePool) {
	p.Spec.Disruption.ConsolidationPolicy = v1.WhenEmptyOrUnderutilized
}

// thinned is a cluster that two thirds of the pods have left. Each of the others is one of a
// PodDisruptionBudget of all but two.
func (s *scene) thinned() (left []*sim.ReplicaSet) {
	s.t.Helper()
	s.could = nothing // pods come and go
	kinds := []struct {
		name, cpu, memory string
		before, after     int
	}{{"web", "500m", "1Gi", 36, 12}, {"db", "1500m", "6Gi", 12, 4}, {"batch", "900m", "512Mi", 24, 8}}
	for _, k := range kinds {
		left = append(left, s.AddReplicaSet(k.before, sim.Pod(k.name, k.cpu, k.memory)))
	}
	s.until(10*time.Minute, "all pods run", func() bool {
		n := 0
		for _, rs := range left {
			n += s.running(rs)
		}
		return n == 36+12+24
	})
	s.pass(time.Minute)
	for i, k := range kinds {
		s.Scale(left[i], k.after)
		s.create(sim.Budget(k.name, k.after-2))
	}
	s.pass(time.Minute)
	for i, k := range kinds {
		s.Check(func(*sim.World) error {
			if n := s.running(left[i]); n < k.after-2 {
				return fmt.Errorf("%d of %d %s pods run, and their budget is %d", n, k.after, k.name, k.after-2)
			}
			return nil
		})
	}
	return left
}

// evicted holds the pods that are evicted or told to go, and holds the process to the law that each has its
// place first.
func (s *scene) evicted() map[types.UID]bool {
	pods := map[types.UID]bool{}
	p := s.proc
	p.Before = func(verb string, obj client.Object) error {
		if err := p.PlacesReady(verb, obj); err != nil {
			s.Fail(err)
		}
		if _, pod := obj.(*corev1.Pod); pod && (verb == "evict" || verb == "delete") {
			pods[obj.GetUID()] = true
		}
		return nil
	}
	return pods
}

// leastFor is what the cpus that pods of thinned ask for cost at least, as spot.
const leastFor = (12*500 + 4*1500 + 8*900) * 10

// TestUnderutilizedNodesGo: others hold their pods, each of which has its place before it is
// evicted and waits no longer than a moment. Then all is quiet.
func TestUnderutilizedNodesGo(t *testing.T) {
	eachSeed(t, func(t *testing.T, s *scene) {
		left := s.thinned()
		s.Check(neverPending(15 * time.Second))
		before := s.cost()
		evicted := s.evicted()
		s.consolidate("30s", v1.Budget{Nodes: "50%"})
		s.edit(underutilized)
		s.until(time.Hour, "fewer machines", func() bool { return s.cost() < leastFor*13/10 })
		s.pass(v1.ConsolidationPaybackDefault + 30*time.Minute) // until then pods come to pay
		settled, cost := len(evicted), s.cost()
		s.pass(3 * time.Hour)
		if len(evicted) != settled || s.cost() != cost {
			t.Errorf("at rest %d pods were evicted, and the cost went from %d to %d", len(evicted)-settled, cost, s.cost())
		}
		n := 0
		for _, rs := range left {
			n += s.running(rs)
		}
		if n != 24 {
			t.Errorf("%d of 24 pods run", n)
		}
		t.Logf("from %d to %d for what costs %d at least, %d evictions", before, cost, leastFor, settled)
	})
}

// TestWhatIsNotUnderutilized: nodes stay by policy, by consolidateAfter, by budget, and where it takes too long
// to pay, and it is said why.
func TestWhatIsNotUnderutilized(t *testing.T) {
	for name, c := range map[string]struct {
		edit func(*v1.NodePool)
		want string
	}{
		"WhenEmpty": {func(p *v1.NodePool) { p.Spec.Disruption.ConsolidationPolicy = v1.WhenEmpty }, "OnlyWhenEmpty"},
		"Never":     {func(p *v1.NodePool) { p.Spec.Disruption.ConsolidateAfter = v1.Never }, "ConsolidationOff"},
		"budget": {func(p *v1.NodePool) {
			p.Spec.Disruption.Budgets = []v1.Budget{{Nodes: "0", Reasons: []v1.DisruptionReason{v1.ReasonUnderutilized}}}
		}, "BudgetSpent"},
		"payback":   {func(p *v1.NodePool) { p.Annotations = map[string]string{v1.AnnotationConsolidationPayback: "1s"} }, "NotWorthIt"},
		"surcharge": {func(p *v1.NodePool) { p.Annotations = map[string]string{v1.AnnotationInstanceSurcharge: "5 cents"} }, "PriceUnknown"},
	} {
		t.Run(name, func(t *testing.T) {
			eachSeed(t, func(t *testing.T, s *scene) {
				s.thinned()
				evicted := s.evicted()
				s.consolidate("0s")
				s.edit(underutilized)
				s.edit(c.edit)
				s.pass(20 * time.Minute)
				if len(evicted) > 0 {
					t.Errorf("%d pods were evicted", len(evicted))
				}
				said := 0
				for _, claim := range sim.List[*v1.NodeClaim](s.API) {
					if d := v1.GetCondition(claim.Status.Conditions, v1.ConditionDisrupting); d != nil && d.Reason == c.want {
						said++
					}
				}
				if said == 0 {
					for _, claim := range sim.List[*v1.NodeClaim](s.API) {
						t.Logf("%s: %+v", claim.Name, v1.GetCondition(claim.Status.Conditions, v1.ConditionDisrupting))
					}
					t.Errorf("no node says %s", c.want)
				}
			})
		})
	}
}
