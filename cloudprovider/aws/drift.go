package aws

import (
	"fmt"
	"slices"
	"strings"

	"github.com/stowage-sh/stowage/cloudprovider"
	v1 "github.com/stowage-sh/stowage/cloudprovider/aws/v1"
)

// The reasons for which Drift says that an instance has drifted.
const (
	// NodeClassDrift: the spec of the EC2NodeClass, but for its selectors, has changed.
	NodeClassDrift = "NodeClassDrift"
	// AMIDrift: the image is none of those that the class finds for the instance type.
	AMIDrift = "AMIDrift"
	// SecurityGroupDrift: the security groups are others than those that the class finds.
	SecurityGroupDrift = "SecurityGroupDrift"
	// CapacityReservationDrift: the capacity reservation is none of those that the class
	// finds, or its machines are about to be taken back.
	CapacityReservationDrift = "CapacityReservationDrift"
	// PlacementGroupDrift: the instance is not in the placement group that the class finds.
	PlacementGroupDrift = "PlacementGroupDrift"
	// SubnetDrift: the subnet is none of those that the class finds.
	SubnetDrift = "SubnetDrift"
)

// A driftRule compares one thing of an instance with its class, and says in words what
// differs, "" if nothing does. known is false if either side lacks it.
type driftRule struct {
	reason string
	differ func(*Class, *cloudprovider.DriftQuery) (message string, known bool)
}

var driftRules = []driftRule{
	{NodeClassDrift, specDiffers},
	{AMIDrift, imageDiffers},
	{SecurityGroupDrift, groupsDiffer},
	{SubnetDrift, subnetDiffers},
	{CapacityReservationDrift, reservationDiffers},
	{PlacementGroupDrift, placementDiffers},
}

// Drift compares an instance with its class as that was resolved last. It says
// nothing of a class that is not ready, of an instance that is going, and of a
// NodeClaim whose hash is of another version: the nodeclass controller stamps it
// anew. What is missing on one side, such as an image for the instance type, is no
// drift: it may be missing for a moment only, and no better node could be launched.
func (p *Provider) Drift(q cloudprovider.DriftQuery) (d cloudprovider.Drift, known bool) {
	class, err := p.Classes.ready(q.Class)
	stays := q.Instance.State == cloudprovider.Pending || q.Instance.State == cloudprovider.Running
	if err != nil || !stays || q.Annotations[v1.AnnotationHashVersion] != v1.HashVersion {
		return cloudprovider.Drift{}, false
	}
	if !p.ReservedCapacity {
		q.Instance.Offering.Reservation = "" // nobody looks for reservations, so none is missing
	}
	known = true
	for _, rule := range driftRules {
		message, said := rule.differ(class, &q)
		if message != "" {
			return cloudprovider.Drift{Reason: rule.reason, Message: message}, true
		}
		known = known && said
	}
	return cloudprovider.Drift{}, known
}

func specDiffers(c *Class, q *cloudprovider.DriftQuery) (string, bool) {
	was := q.Annotations[v1.AnnotationHash]
	switch {
	case was == "" || c.Hash == "":
		return "", false
	case was == c.Hash:
		return "", true
	}
	return fmt.Sprintf("the spec of EC2NodeClass %s has changed since the launch: its hash is %s, and was %s", c.Name, c.Hash, was), true
}

func imageDiffers(c *Class, q *cloudprovider.DriftQuery) (string, bool) {
	if q.Type == nil || q.Instance.ImageID == "" {
		return "", false
	}
	var found []string
	for _, i := range c.Images {
		switch {
		case !i.suits(q.Type.Labels):
		case i.ID == q.Instance.ImageID:
			return "", true
		default:
			found = append(found, i.ID)
		}
	}
	if len(found) == 0 {
		return "", false
	}
	return fmt.Sprintf("the image is %s, and EC2NodeClass %s finds %s for %s", q.Instance.ImageID, c.Name, strings.Join(found, ", "), q.Type.Name), true
}

func groupsDiffer(c *Class, q *cloudprovider.DriftQuery) (string, bool) {
	has, wants := q.Instance.SecurityGroupIDs, c.SecurityGroups
	switch {
	case len(has) == 0 || len(wants) == 0:
		return "", false
	case slices.Equal(has, wants):
		return "", true
	}
	return fmt.Sprintf("the security groups are %s, and EC2NodeClass %s finds %s", strings.Join(has, ", "), c.Name, strings.Join(wants, ", ")), true
}

func reservationDiffers(c *Class, q *cloudprovider.DriftQuery) (string, bool) {
	is := q.Instance.Offering.Reservation
	r, found := c.reservation(is)
	switch {
	case is == "":
		return "", true
	case !found:
		return fmt.Sprintf("the capacity reservation is %s, which EC2NodeClass %s does not find any more", is, c.Name), true
	case r.State == v1.ReservationExpiring:
		return fmt.Sprintf("the capacity block %s is about to end", is), true
	}
	return "", true
}

func subnetDiffers(c *Class, q *cloudprovider.DriftQuery) (string, bool) {
	is := q.Instance.SubnetID
	switch {
	case is == "" || len(c.Subnets) == 0:
		return "", false
	case slices.ContainsFunc(c.Subnets, func(s Subnet) bool { return s.ID == is }):
		return "", true
	}
	var found []string
	for _, s := range c.Subnets {
		found = append(found, s.ID)
	}
	return fmt.Sprintf("the subnet is %s, and EC2NodeClass %s finds %s", is, c.Name, strings.Join(found, ", ")), true
}
