package sim_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stowage-sh/stowage/cloudprovider"
	"github.com/stowage-sh/stowage/provisioner/drift"
	v1 "github.com/stowage-sh/stowage/provisioner/v1"
	"github.com/stowage-sh/stowage/test/sim"
)

// drifted returns the reason of a claim's condition Drifted; "" if it has none.
func (s *scene) drifted(name string) string {
	if c := s.claim(name); c != nil {
		if condition := v1.GetCondition(c.Status.Conditions, v1.ConditionDrifted); condition != nil && condition.Status == metav1.ConditionTrue {
			return condition.Reason
		}
	}
	return ""
}

// noneDrifts is the law that no claim has drifted.
func noneDrifts(w *sim.World) error {
	for _, c := range sim.List[*v1.NodeClaim](w.API) {
		if condition := v1.GetCondition(c.Status.Conditions, v1.ConditionDrifted); condition != nil {
			return fmt.Errorf("NodeClaim %s has drifted: %s: %s", c.Name, condition.Reason, condition.Message)
		}
	}
	return nil
}

func redden(p *v1.NodePool) { p.Spec.Template.Metadata.Labels = map[string]string{"team": "red"} }

// ways are changes by which a claim of the scene's pool drifts, and is again what was
// asked for.
var ways = []struct {
	reason       string
	change, back func(*scene)
}{
	{drift.NodePoolDrifted,
		func(s *scene) { s.edit(redden) },
		func(s *scene) { s.edit(func(p *v1.NodePool) { p.Spec.Template.Metadata.Labels = nil }) }},
	{drift.RequirementsDrifted,
		func(s *scene) {
			s.edit(func(p *v1.NodePool) {
				p.Spec.Template.Spec.Requirements = []v1.Requirement{{Key: corev1.LabelTopologyZone, Operator: corev1.NodeSelectorOpIn, Values: []string{"zone-b"}}}
			})
		},
		func(s *scene) {
			s.edit(func(p *v1.NodePool) { p.Spec.Template.Spec.Requirements = []v1.Requirement{} })
		}},
	{"ImageDrift",
		func(s *scene) {
			for _, m := range s.Cloud.Machines() {
				s.Cloud.Drifts[m.ID] = cloudprovider.Drift{Reason: "ImageDrift", Message: "there is a newer image"}
			}
		},
		func(s *scene) { clear(s.Cloud.Drifts) }},
}

// TestDrift: each kind is seen within the time between two looks, is gone within the
// same, and is written no more than that.
func TestDrift(t *testing.T) {
	eachSeed(t, func(t *testing.T, s *scene) {
		s.consolidate(v1.Never, v1.Budget{Nodes: "0"}) // what drifts stays
		s.ready("one")
		for _, way := range ways {
			for _, step := range []struct {
				do   func(*scene)
				want string
			}{{way.change, way.reason}, {way.back, ""}} {
				step.do(s)
				s.until(drift.Interval+time.Minute, fmt.Sprintf("%s: drifted is %q", way.reason, step.want), func() bool { return s.drifted("one") == step.want })
				s.pass(3 * time.Minute) // until others have drawn their conclusions
				since := s.claim("one").Status.Conditions
				writes := s.API.Writes["NodeClaim"]
				s.pass(3 * drift.Interval)
				if got := s.API.Writes["NodeClaim"]; got != writes {
					t.Errorf("%s: %d writes when nothing changed: %v, then %v", way.reason, got-writes, since, s.claim("one").Status.Conditions)
				}
			}
		}
	})
}

// TestDriftSince: the condition says since when, also if the reason changes meanwhile
// and the process ends.
func TestDriftSince(t *testing.T) {
	eachSeed(t, func(t *testing.T, s *scene) {
		s.consolidate(v1.Never, v1.Budget{Nodes: "0"}) // what drifts stays
		s.ready("one")
		ways[2].change(s)
		s.until(drift.Interval+time.Minute, "drifted", func() bool { return s.drifted("one") == ways[2].reason })
		since := v1.GetCondition(s.claim("one").Status.Conditions, v1.ConditionDrifted).LastTransitionTime
		s.pass(10 * time.Minute)
		ways[0].change(s)
		s.restart()
		s.until(drift.Interval+time.Minute, "drifted for another reason", func() bool { return s.drifted("one") == ways[0].reason })
		if got := v1.GetCondition(s.claim("one").Status.Conditions, v1.ConditionDrifted).LastTransitionTime; !got.Equal(&since) {
			t.Errorf("drifted since %v, before it was %v", got, since)
		}
	})
}

// TestDriftSurvivesCrashes: the process ends at each write of a condition in turn,
// before or after it happened.
func TestDriftSurvivesCrashes(t *testing.T) {
	for _, after := range []bool{false, true} {
		t.Run(fmt.Sprintf("after=%v", after), func(t *testing.T) {
			eachSeed(t, func(t *testing.T, s *scene) {
				s.consolidate(v1.Never, v1.Budget{Nodes: "0"}) // what drifts stays
				names := []string{"one", "two", "three"}
				for _, name := range names {
					s.ready(name)
				}
				all := func(want string) func() bool {
					return func() bool {
						return !slices.ContainsFunc(names, func(name string) bool { return s.drifted(name) != want })
					}
				}
				crashes := 0
				crash := func(verb string, obj client.Object) error {
					if _, ok := obj.(*v1.NodeClaim); ok && verb == "patchStatus" && crashes < 2*len(names) {
						crashes++
						return sim.ErrCrash
					}
					return nil
				}
				begin := func() {
					s.proc.Conflicts = 0
					if after {
						s.proc.After = crash
					} else {
						s.proc.Before = crash
					}
				}
				begin()
				sim.Update(s.API, s.pool, redden)
				for !all(drift.NodePoolDrifted)() {
					s.until(drift.Interval+time.Minute, "a crash, or nothing left to do", func() bool { return s.proc.Dead() || all(drift.NodePoolDrifted)() })
					if s.proc.Dead() {
						s.restart()
						begin()
					}
				}
				if crashes < len(names) {
					t.Errorf("%d crashes, want one for each claim", crashes)
				}
				s.restart()
				ways[0].back(s)
				s.until(drift.Interval+time.Minute, "none drifted", all(""))
			})
		})
	}
}

// TestInstanceTypeNotFound: a type that is gone drifts old nodes after half an hour,
// and young ones when they are an hour old; one that is back does not.
func TestInstanceTypeNotFound(t *testing.T) {
	eachSeed(t, func(t *testing.T, s *scene) {
		s.consolidate(v1.Never, v1.Budget{Nodes: "0"}) // what drifts stays
		s.ready("old")
		s.pass(2 * time.Hour)
		s.ready("young")
		whole := s.Cloud.Catalogue.InstanceTypes
		s.Cloud.Catalogue.InstanceTypes = whole[1:]
		gone, born := s.Now, s.claim("young").CreationTimestamp.Time
		s.until(40*time.Minute, "old drifted", func() bool { return s.drifted("old") == drift.InstanceTypeNotFound })
		if after := s.Now.Sub(gone); after < 30*time.Minute {
			t.Errorf("old drifted after %v", after)
		}
		s.until(time.Hour, "young drifted", func() bool { return s.drifted("young") == drift.InstanceTypeNotFound })
		if age := s.Now.Sub(born); age < time.Hour {
			t.Errorf("young drifted at the age of %v", age)
		}
		s.restart() // the condition outlives what the process remembers
		s.pass(2 * drift.Interval)
		if s.drifted("old") == "" {
			t.Error("a restart undid the drift")
		}
		s.Cloud.Catalogue.InstanceTypes = whole
		s.until(drift.Interval+time.Minute, "none drifted", func() bool { return s.drifted("old") == "" && s.drifted("young") == "" })
	})
}

// TestNoDriftOnAGuess: while NodeClass, cloud or NodePool say nothing, nothing drifts,
// whatever they would say, and what has drifted stays so.
func TestNoDriftOnAGuess(t *testing.T) {
	eachSeed(t, func(t *testing.T, s *scene) {
		s.consolidate(v1.Never, v1.Budget{Nodes: "0"}) // what drifts stays
		s.ready("one")
		s.ready("drifted")
		id := s.Cloud.Machines()[1].ID
		s.Cloud.Drifts[id] = cloudprovider.Drift{Reason: "ImageDrift"}
		s.until(drift.Interval+time.Minute, "one drifted", func() bool { return s.drifted("drifted") == "ImageDrift" })
		quiet := func(what string) {
			s.pass(2 * time.Hour)
			if s.drifted("one") != "" || s.drifted("drifted") != "ImageDrift" {
				t.Errorf("%s: drifted are %q and %q", what, s.drifted("one"), s.drifted("drifted"))
			}
		}
		s.Cloud.NotReady = "AMIsReady is False"
		whole := s.Cloud.Catalogue.InstanceTypes
		s.Cloud.Catalogue.InstanceTypes = whole[1:]
		delete(s.Cloud.Drifts, id)
		s.Cloud.Drifts[s.Cloud.Machines()[0].ID] = cloudprovider.Drift{Reason: "ImageDrift"}
		quiet("the NodeClass is not ready")
		s.Cloud.NotReady = ""
		s.Cloud.Catalogue.InstanceTypes = whole
		s.restart() // without a list
		s.Cloud.ListError = errors.New("out of reach")
		quiet("the cloud does not list its machines")
		s.Cloud.ListError = nil
		s.until(drift.Interval+time.Minute, "the other drifted", func() bool { return s.drifted("one") == "ImageDrift" && s.drifted("drifted") == "" })
	})
}

// TestNothingDriftsByItself: nodes that were planned, bought and taken over are what
// their NodePool asks for, at once and later.
func TestNothingDriftsByItself(t *testing.T) {
	eachSeed(t, func(t *testing.T, s *scene) {
		s.consolidate(v1.Never, v1.Budget{Nodes: "0"}) // what drifts stays
		s.Check(noneDrifts)
		s.Cloud.Catalogue.LabelDomains = []string{"karpenter.k8s.aws"}
		s.edit(func(p *v1.NodePool) {
			p.Spec.Template.Metadata.Labels = map[string]string{"team": "blue", corev1.LabelArchStable: "amd64"}
			p.Spec.Template.Spec.Requirements = []v1.Requirement{
				{Key: "tier", Operator: corev1.NodeSelectorOpIn, Values: []string{"web", "batch", "db"}},
				{Key: "tier", Operator: corev1.NodeSelectorOpNotIn, Values: []string{"batch"}},
				{Key: "rank", Operator: corev1.NodeSelectorOpIn, Values: []string{"1", "2", "3"}},
				{Key: "rank", Operator: corev1.NodeSelectorOpGt, Values: []string{"1"}},
				{Key: corev1.LabelFailureDomainBetaZone, Operator: corev1.NodeSelectorOpIn, Values: sim.Zones},
				{Key: "karpenter.k8s.aws/instance-cpu", Operator: v1.OperatorLte, Values: []string{"8"}},
				{Key: v1.LabelCapacityType, Operator: corev1.NodeSelectorOpExists},
				{Key: "other", Operator: corev1.NodeSelectorOpDoesNotExist},
			}
		})
		for i, tier := range []string{"web", "db"} {
			s.pods(3, tier, "1", "1Gi", func(p *corev1.Pod) { p.Spec.NodeSelector = map[string]string{"tier": tier, "rank": fmt.Sprint(i + 2)} })
			s.untilBound(5*time.Minute, tier, 3)
		}
		claims := sim.List[*v1.NodeClaim](s.API)
		for _, claim := range claims { // as if Karpenter had made them
			sim.Update(s.API, claim, func(c *v1.NodeClaim) {
				c.Annotations[v1.AnnotationNodePoolHash], c.Annotations[v1.AnnotationNodePoolHashVersion] = "123", "v3"
			})
		}
		s.restart()
		s.pass(3 * time.Hour)
		if len(claims) < 2 {
			t.Errorf("there are %d claims, want one for each tier", len(claims))
		}
	})
}

// TestDriftOfStaticPools is that of any other.
func TestDriftOfStaticPools(t *testing.T) {
	eachSeed(t, func(t *testing.T, s *scene) {
		s.consolidate(v1.Never, v1.Budget{Nodes: "0"}) // what drifts stays
		s.ready("one")
		s.edit(func(p *v1.NodePool) { p.Spec.Replicas = new(int64(1)) })
		s.pass(2 * drift.Interval)
		if got := s.drifted("one"); got != "" {
			t.Errorf("drifted by itself: %s", got)
		}
		ways[0].change(s)
		s.until(drift.Interval+time.Minute, "drifted", func() bool { return s.drifted("one") == ways[0].reason })
	})
}

// TestWhatIsNotJudged: a claim that is going, one that is not launched, and one of no
// pool.
func TestWhatIsNotJudged(t *testing.T) {
	eachSeed(t, func(t *testing.T, s *scene) {
		s.consolidate(v1.Never, v1.Budget{Nodes: "0"}) // what drifts stays
		s.Check(noneDrifts)
		s.ready("going", func(c *v1.NodeClaim) { c.Finalizers = append(c.Finalizers, "example.com/held") })
		s.ready("alone", func(c *v1.NodeClaim) { delete(c.Labels, v1.LabelNodePool) })
		s.Cloud.LaunchError = errors.New("try again")
		s.create(sim.NodeClaim(s.pool, "waiting", smallSpot))
		s.delete(s.claim("going"))
		s.pass(s.MaxLag)
		ways[0].change(s)
		ways[1].change(s)
		ways[2].change(s)
		s.pass(4 * time.Minute)
		if s.claim("waiting") == nil || s.claim("going") == nil || s.claim("alone") == nil {
			t.Error("not all claims are there any more")
		}
	})
}
