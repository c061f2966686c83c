package sim_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stowage-sh/stowage/cloudprovider"
	"github.com/stowage-sh/stowage/pricing"
	v1 "github.com/stowage-sh/stowage/provisioner/v1"
	"github.com/stowage-sh/stowage/test/sim"
)

// TestCommitted: a Savings Plan of 0.08 dollars an hour at 20 % off covers one machine of four cpus, at 0.1. The controller buys that
// one on demand and the rest on spot, at 0.04 for four cpus, and does not trade it for one on spot.
func TestCommitted(t *testing.T) {
	eachSeed(t, func(t *testing.T, s *scene) {
		read, err := pricing.ReadCommitments(strings.NewReader(
			"commitments: [{name: plan, kind: ComputeSavingsPlan, dollarsPerHour: 0.08, discount: 20%}]"), "the test", "region-1", time.Time{})
		if err != nil {
			t.Fatal(err)
		}
		s.Cloud.Commitments = read.Commitments
		s.restart()
		web := s.AddReplicaSet(3, sim.Pod("web", "3", "1Gi"))
		s.until(10*time.Minute, "all pods run", func() bool { return s.running(web) == 3 })
		onDemand := func() (names []string) {
			for _, claim := range sim.List[*v1.NodeClaim](s.API) {
				if claim.Labels[v1.LabelCapacityType] == cloudprovider.OnDemand {
					names = append(names, claim.Name)
				}
			}
			return names
		}
		before := onDemand()
		if len(before) != 1 {
			t.Fatalf("%d machines on demand: %v", len(before), before)
		}
		evicted := s.evicted()
		s.consolidate("0s")
		s.edit(func(p *v1.NodePool) {
			underutilized(p)
			p.Annotations = map[string]string{v1.AnnotationConsolidationPayback: "0s"}
		})
		s.pass(30 * time.Minute)
		if after := onDemand(); len(after) != 1 || after[0] != before[0] || len(evicted) > 0 {
			t.Errorf("on demand were %v, and are %v; %d evictions", before, after, len(evicted))
		}
	})
}
