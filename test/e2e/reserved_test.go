package e2e

import (
	"slices"
	"testing"

	"github.com/stowage-sh/stowage/cloudprovider"
	awsv1 "github.com/stowage-sh/stowage/cloudprovider/aws/v1"
	v1 "github.com/stowage-sh/stowage/provisioner/v1"
	"github.com/stowage-sh/stowage/test/ec2sim"
)

// reserved: two machines are reserved and three wanted, so one is bought; nodes say where they are
// from, and a pod that accepts nothing else is told that all is used up.
func reserved(t *testing.T) {
	const id, zone = "cr-0e2e", "us-west-2b"
	here.EC2.Reserve(ec2sim.CapacityReservation{ID: id, InstanceType: "c5.2xlarge", Zone: zone, Total: 2, Targeted: true})
	s := newScene(t, "reserved", class{Reservation: id})
	s.pool(pool{Types: "c5.2xlarge", Capacity: "reserved, on-demand"})
	s.poolsReady()
	s.deploy(pods{Name: "web", Count: 3, CPU: "5", Apart: true})
	from := map[string]int{}
	for _, n := range s.hosts(s.running("web", 3)) {
		from[n.Labels[v1.LabelCapacityType]+" "+n.Labels[awsv1.LabelCapacityReservationID]+" "+n.Labels[awsv1.LabelCapacityReservationType]]++
	}
	if from["reserved "+id+" default"] != 2 || from["on-demand  "] != 1 {
		t.Errorf("nodes by capacity type and reservation: %v", from)
	}
	instances := slices.DeleteFunc(s.instances(), func(i ec2sim.Instance) bool { return i.Offering.CapacityType != cloudprovider.Reserved })
	if len(instances) != 2 || instances[0].Offering.Reservation != id || instances[0].Offering.Zone != zone {
		t.Errorf("reserved instances: %v", instances)
	}
	s.deploy(pods{Name: "more", Count: 1, CPU: "5", Select: "karpenter.sh/capacity-type: reserved"})
	s.told("Pod", "more", "FailedScheduling", "reserved capacity "+id+" is used up")
}
