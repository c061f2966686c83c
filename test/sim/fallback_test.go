package sim_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stowage-sh/stowage/cloudprovider"
	v1 "github.com/stowage-sh/stowage/provisioner/v1"
	"github.com/stowage-sh/stowage/test/sim"
)

// TestSpotUnavailable: what is bought on demand for want of spot capacity is told, and nothing else is.
func TestSpotUnavailable(t *testing.T) {
	eachSeed(t, func(t *testing.T, s *scene) {
		onDemand := smallSpot
		onDemand.CapacityType = cloudprovider.OnDemand
		launched := func(name string, offerings ...cloudprovider.Offering) {
			t.Helper()
			s.create(sim.NodeClaim(s.pool, name, offerings...))
			s.until(time.Minute, "a machine", func() bool { return s.is(name, v1.ConditionLaunched) })
		}
		s.Cloud.Empty[smallSpot] = true
		launched("other-zone", smallSpot, smallB)
		launched("planned", onDemand)
		if told := s.Told("SpotUnavailable"); len(told) > 0 {
			t.Errorf("all is as planned, and said is %v", told)
		}
		launched("dearer", smallSpot, onDemand)
		if told := s.Told("SpotUnavailable"); len(told) == 0 || !strings.Contains(told[0].Message, "of spot offerings 1 were wanted, and none could be had") {
			t.Errorf("what is dearer than planned is told as %v", told)
		}
	})
}
