package aws

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/stowage-sh/stowage/cloudprovider"
	v1 "github.com/stowage-sh/stowage/cloudprovider/aws/v1"
)

// A PlacementGroup says how machines stand among EC2's hardware: close together (cluster),
// each on its own (spread), or in partitions that share none.
type PlacementGroup struct {
	ID, Name string
	Strategy types.PlacementStrategy
	// Partitions is how many a partition group has; 0 for other groups.
	Partitions int32
}

// PlacementGroupFromEC2 converts a description.
func PlacementGroupFromEC2(g types.PlacementGroup) *PlacementGroup {
	out := &PlacementGroup{ID: sdk.ToString(g.GroupId), Name: sdk.ToString(g.GroupName), Strategy: g.Strategy}
	if g.Strategy == types.PlacementStrategyPartition {
		out.Partitions = sdk.ToInt32(g.PartitionCount)
	}
	return out
}

// placementLabels are those that (*PlacementGroup).placements gives.
var placementLabels = []string{v1.LabelPlacementGroupID, v1.LabelPlacementGroupPartition}

// placementName is the name of a place in offerings: the group's ID, and after a colon
// the number of the partition, from 1.
func placementName(group string, partition int32) string {
	if group == "" || partition == 0 {
		return group
	}
	return group + ":" + strconv.Itoa(int(partition))
}

// readPlacement splits what placementName made.
func readPlacement(name string) (group string, partition int32) {
	group, number, _ := strings.Cut(name, ":")
	n, err := strconv.ParseInt(number, 10, 32)
	if err != nil {
		return group, 0
	}
	return group, int32(n)
}

// placements are the labels of nodes in the group, by the names of their places.
func (g *PlacementGroup) placements() map[string]map[string]string {
	if g == nil {
		return nil
	}
	all := map[string]map[string]string{g.ID: {v1.LabelPlacementGroupID: g.ID}}
	for n := int32(1); n <= g.Partitions; n++ {
		all[placementName(g.ID, n)] = map[string]string{v1.LabelPlacementGroupID: g.ID, v1.LabelPlacementGroupPartition: strconv.Itoa(int(n))}
	}
	return all
}

// place makes an offering one of the group: of a partition group one for each partition, so
// that pods can say which. The machines of a reservation are one stock: EC2 chooses the
// partition of each, and its node does not say which it is.
func (g *PlacementGroup) place(o cloudprovider.Offering) []cloudprovider.Offering {
	switch {
	case g == nil:
		return []cloudprovider.Offering{o}
	case g.Partitions == 0 || o.CapacityType == cloudprovider.Reserved:
		o.Placement = g.ID
		return []cloudprovider.Offering{o}
	}
	var out []cloudprovider.Offering
	for n := int32(1); n <= g.Partitions; n++ {
		o.Placement = placementName(g.ID, n)
		out = append(out, o)
	}
	return out
}

// tenancyShared is the label's value for machines on hardware that is shared.
const tenancyShared = "default"

// maxDedicatedPartitions is how many partitions a group of dedicated instances may have.
const maxDedicatedPartitions = 2

// tenancies of machines that the group takes, as in Offering.Tenancy. Of dedicated ones EC2's guide says
// that spread groups take none, and partition groups some where there are few partitions. EC2 does not tell
// which types can be dedicated: those that cannot have no price.
func (g *PlacementGroup) tenancies() []string {
	if g != nil && (g.Strategy == types.PlacementStrategySpread || g.Partitions > maxDedicatedPartitions) {
		return []string{""}
	}
	return []string{"", cloudprovider.Dedicated}
}

// holds reports whether an offering is one that place makes of a tenancy that the group takes.
func (g *PlacementGroup) holds(o cloudprovider.Offering) bool {
	was := o
	was.Placement = ""
	return slices.Contains(g.tenancies(), o.Tenancy) && slices.Contains(g.place(was), o)
}

// suits reports whether machines of a type can be in the group. Where EC2 did not say, cluster
// groups take all but those that its guide names: burstable and flex types.
func (g *PlacementGroup) suits(t *TypeInfo) bool {
	switch {
	case g == nil:
		return true
	case t.PlacementStrategies != nil:
		return slices.Contains(t.PlacementStrategies, string(g.Strategy))
	}
	return g.Strategy != types.PlacementStrategyCluster || !t.Burstable && !strings.Contains(t.Family(), "-flex")
}

// placementRequest says in a launch template where an offering's machine stands, and whether alone; nil
// for anywhere.
func placementRequest(o cloudprovider.Offering) *types.LaunchTemplatePlacementRequest {
	if o.Placement == "" && o.Tenancy == "" {
		return nil
	}
	group, partition := readPlacement(o.Placement)
	out := &types.LaunchTemplatePlacementRequest{GroupId: optional(group), Tenancy: types.Tenancy(o.Tenancy)}
	if partition != 0 {
		out.PartitionNumber = sdk.Int32(partition)
	}
	return out
}

// placementOf is the name of the place where an instance stands; "" if it is in no group. Of a
// reservation's the partition was not asked for.
func placementOf(p *types.Placement, capacityType string) string {
	if p == nil {
		return ""
	}
	partition := sdk.ToInt32(p.PartitionNumber)
	if capacityType == cloudprovider.Reserved {
		partition = 0
	}
	return placementName(sdk.ToString(p.GroupId), partition)
}

// spreadIsFull reports whether EC2 refused an instance since its spread group has as many in
// the zone as it may: seven. The code is the one of missing capacity; only the words differ,
// and they concern every type.
func spreadIsFull(e *FleetError) bool {
	return isNoCapacity(e.Code) && strings.Contains(e.Message, "spread placement group")
}

func placementDiffers(c *Class, q *cloudprovider.DriftQuery) (string, bool) {
	is, _ := readPlacement(q.Instance.Offering.Placement)
	wants := ""
	if c.PlacementGroup != nil {
		wants = c.PlacementGroup.ID
	}
	switch {
	case is == wants:
		return "", true
	case is == "":
		return fmt.Sprintf("the instance is in no placement group, and EC2NodeClass %s finds %s", c.Name, wants), true
	case wants == "":
		return fmt.Sprintf("the placement group is %s, and EC2NodeClass %s asks for none", is, c.Name), true
	}
	return fmt.Sprintf("the placement group is %s, and EC2NodeClass %s finds %s", is, c.Name, wants), true
}
