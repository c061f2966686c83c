package v1

import (
	"slices"

	"github.com/stowage-sh/stowage/cloudprovider"
)

// LabelTenancy says on which hardware a machine is: shared, or cloudprovider.Dedicated. It is EC2's own,
// and here since it is a part of the price.
const LabelTenancy = "karpenter.k8s.aws/instance-tenancy"

// tenancyShared is the value of LabelTenancy for hardware that is shared.
const tenancyShared = "default"

// Tenancy is that of the machine with the labels, as in cloudprovider.Offering.
func Tenancy(labels map[string]string) string {
	if labels[LabelTenancy] == cloudprovider.Dedicated {
		return cloudprovider.Dedicated
	}
	return ""
}

// RefusesShared reports whether requirements and labels leave no machine on shared hardware. Where they leave
// both, that on shared hardware is meant.
func RefusesShared(requirements []Requirement, labels map[string]string) bool {
	if value, ok := labels[LabelTenancy]; ok && value != tenancyShared {
		return true
	}
	return slices.ContainsFunc(requirements, func(r Requirement) bool { return r.Key == LabelTenancy && !r.Allows(tenancyShared, true) })
}
