package aws

import (
	"time"

	"github.com/stowage-sh/stowage/cloudprovider"
)

// RepairPolicies says which nodes are broken: by the Ready of kubelet, and by what the
// node monitoring agent of EKS says of a node's parts.
func RepairPolicies() []cloudprovider.RepairPolicy {
	return []cloudprovider.RepairPolicy{
		{ConditionType: "Ready", ConditionStatus: "False", Toleration: 30 * time.Minute},
		{ConditionType: "Ready", ConditionStatus: "Unknown", Toleration: 30 * time.Minute},
		{ConditionType: "AcceleratedHardwareReady", ConditionStatus: "False", Toleration: 10 * time.Minute},
		{ConditionType: "StorageReady", ConditionStatus: "False", Toleration: 30 * time.Minute},
		{ConditionType: "NetworkingReady", ConditionStatus: "False", Toleration: 30 * time.Minute},
		{ConditionType: "KernelReady", ConditionStatus: "False", Toleration: 30 * time.Minute},
		{ConditionType: "ContainerRuntimeReady", ConditionStatus: "False", Toleration: 30 * time.Minute},
	}
}
