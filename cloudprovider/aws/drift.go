package aws

import (
	"errors"
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
	// SubnetDrift: the subnet is none of those that the class finds.
	SubnetDrift = "SubnetDrift"
)

// Drift compares an instance with its class as that was resolved last. It says
// nothing of a class that is not ready, of an instance that is going, and of a
// NodeClaim whose hash is of another version: the nodeclass controller stamps it
// anew. What is missing on one side, such as an image for the instance type, is no
// drift: it may be missing for a moment only, and no better node could be launched.
func (p *Provider) Drift(q cloudprovider.DriftQuery) (cloudprovider.Drift, error) {
	class, err := p.Classes.ready(q.Class)
	if err != nil {
		return cloudprovider.Drift{}, err
	}
	if q.Annotations[v1.AnnotationHashVersion] != v1.HashVersion {
		return cloudprovider.Drift{}, errors.New("the NodeClaim's hash is of another version and not stamped anew yet")
	}
	if q.Instance.State != cloudprovider.Pending && q.Instance.State != cloudprovider.Running {
		return cloudprovider.Drift{}, fmt.Errorf("instance %s is %s", q.Instance.ID, q.Instance.State)
	}
	for _, rule := range []struct {
		reason string
		differ func(*Class, *cloudprovider.DriftQuery) string
	}{
		{NodeClassDrift, specDiffers}, {AMIDrift, imageDiffers}, {SecurityGroupDrift, groupsDiffer}, {SubnetDrift, subnetDiffers},
	} {
		if message := rule.differ(class, &q); message != "" {
			return cloudprovider.Drift{Reason: rule.reason, Message: message}, nil
		}
	}
	return cloudprovider.Drift{}, nil
}

// specDiffers, like those that follow, says in words what differs; "" is nothing.
func specDiffers(c *Class, q *cloudprovider.DriftQuery) string {
	was := q.Annotations[v1.AnnotationHash]
	if was == "" || c.Hash == "" || was == c.Hash {
		return ""
	}
	return fmt.Sprintf("the spec of EC2NodeClass %s has changed since the launch: its hash is %s, and was %s", c.Name, c.Hash, was)
}

func imageDiffers(c *Class, q *cloudprovider.DriftQuery) string {
	if q.Type == nil || q.Instance.ImageID == "" {
		return ""
	}
	var found []string
	for _, i := range c.Images {
		switch {
		case !i.suits(q.Type.Labels):
		case i.ID == q.Instance.ImageID:
			return ""
		default:
			found = append(found, i.ID)
		}
	}
	if len(found) == 0 {
		return ""
	}
	return fmt.Sprintf("the image is %s, and EC2NodeClass %s finds %s for %s", q.Instance.ImageID, c.Name, strings.Join(found, ", "), q.Type.Name)
}

func groupsDiffer(c *Class, q *cloudprovider.DriftQuery) string {
	has, wants := q.Instance.SecurityGroupIDs, c.SecurityGroups
	if len(has) == 0 || len(wants) == 0 || slices.Equal(has, wants) {
		return ""
	}
	return fmt.Sprintf("the security groups are %s, and EC2NodeClass %s finds %s", strings.Join(has, ", "), c.Name, strings.Join(wants, ", "))
}

func subnetDiffers(c *Class, q *cloudprovider.DriftQuery) string {
	is := q.Instance.SubnetID
	if is == "" || len(c.Subnets) == 0 || slices.ContainsFunc(c.Subnets, func(s Subnet) bool { return s.ID == is }) {
		return ""
	}
	var found []string
	for _, s := range c.Subnets {
		found = append(found, s.ID)
	}
	return fmt.Sprintf("the subnet is %s, and EC2NodeClass %s finds %s", is, c.Name, strings.Join(found, ", "))
}
