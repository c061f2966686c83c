package v1

// Labels that EC2 nodes carry, beside those of Kubernetes and karpenter.sh.
const (
	// LabelNodeClass on a node and a NodeClaim names the EC2NodeClass.
	LabelNodeClass = Group + "/ec2nodeclass"

	// LabelInstanceCategory is the letters that begin the type's name: m, c, r.
	LabelInstanceCategory = Group + "/instance-category"
	// LabelInstanceFamily is the name before the dot: m5a.
	LabelInstanceFamily = Group + "/instance-family"
	// LabelInstanceGeneration is the number in the family: 5.
	LabelInstanceGeneration = Group + "/instance-generation"
	// LabelInstanceSize is the name after the dot: 4xlarge.
	LabelInstanceSize = Group + "/instance-size"
	// LabelInstanceCapabilityFlex is "true" for flex types.
	LabelInstanceCapabilityFlex = Group + "/instance-capability-flex"
	// LabelInstanceHypervisor is nitro or xen, or empty on metal.
	LabelInstanceHypervisor = Group + "/instance-hypervisor"
	// LabelInstanceEncryptionInTransit is "true" where traffic is encrypted.
	LabelInstanceEncryptionInTransit = Group + "/instance-encryption-in-transit-supported"
	// LabelInstanceCPU is the number of vCPUs.
	LabelInstanceCPU = Group + "/instance-cpu"
	// LabelInstanceCPUManufacturer is intel, amd or aws.
	LabelInstanceCPUManufacturer = Group + "/instance-cpu-manufacturer"
	// LabelInstanceCPUClockSpeed is the sustained clock speed in MHz.
	LabelInstanceCPUClockSpeed = Group + "/instance-cpu-sustained-clock-speed-mhz"
	// LabelInstanceMemory is the memory in MiB.
	LabelInstanceMemory = Group + "/instance-memory"
	// LabelInstanceEBSBandwidth is the most that EBS can do, in Mbit/s.
	LabelInstanceEBSBandwidth = Group + "/instance-ebs-bandwidth"
	// LabelInstanceNetworkBandwidth is the baseline, in Mbit/s.
	LabelInstanceNetworkBandwidth = Group + "/instance-network-bandwidth"
	// LabelInstanceGPUName is the model of the GPUs, in lower case: t4.
	LabelInstanceGPUName = Group + "/instance-gpu-name"
	// LabelInstanceGPUManufacturer is nvidia or amd.
	LabelInstanceGPUManufacturer = Group + "/instance-gpu-manufacturer"
	// LabelInstanceGPUCount is the number of GPUs.
	LabelInstanceGPUCount = Group + "/instance-gpu-count"
	// LabelInstanceGPUMemory is the memory of one GPU in MiB.
	LabelInstanceGPUMemory = Group + "/instance-gpu-memory"
	// LabelInstanceAcceleratorName is the model of the accelerators.
	LabelInstanceAcceleratorName = Group + "/instance-accelerator-name"
	// LabelInstanceAcceleratorManufacturer is aws or habana.
	LabelInstanceAcceleratorManufacturer = Group + "/instance-accelerator-manufacturer"
	// LabelInstanceAcceleratorCount is the number of accelerators.
	LabelInstanceAcceleratorCount = Group + "/instance-accelerator-count"
	// LabelInstanceLocalNVME is the size of the machine's own disks in GB.
	LabelInstanceLocalNVME = Group + "/instance-local-nvme"
	// LabelInstanceTenancy is default or dedicated.
	LabelInstanceTenancy = Group + "/instance-tenancy"
	// LabelNitroSandbox is "true" where machines can be run inside a pod.
	LabelNitroSandbox = Group + "/nitro-sandbox"

	// LabelCapacityReservationID is the reservation that the machine came from.
	LabelCapacityReservationID = Group + "/capacity-reservation-id"
	// LabelCapacityReservationType is default or capacity-block.
	LabelCapacityReservationType = Group + "/capacity-reservation-type"
	// LabelCapacityReservationInterruptible is "true" if the owner may take it back.
	LabelCapacityReservationInterruptible = Group + "/capacity-reservation-interruptible"
	// LabelPlacementGroupID is the placement group that the machine is in.
	LabelPlacementGroupID = Group + "/placement-group-id"
	// LabelPlacementGroupPartition is the machine's partition of it.
	LabelPlacementGroupPartition = Group + "/placement-group-partition"

	// LabelZoneID is the zone's name across accounts: use1-az1.
	LabelZoneID = "topology.k8s.aws/zone-id"
	// LabelEBSZone is the zone as the EBS driver spells it; it means the same as
	// topology.kubernetes.io/zone.
	LabelEBSZone = "topology.ebs.csi.aws.com/zone"
)

// WellKnownLabels are the labels of group karpenter.k8s.aws that NodePools and
// pods may ask for; the CRDs refuse every other in that domain.
var WellKnownLabels = []string{
	LabelInstanceTenancy,
	LabelCapacityReservationType,
	LabelCapacityReservationID,
	LabelCapacityReservationInterruptible,
	LabelNodeClass,
	LabelInstanceEncryptionInTransit,
	LabelNitroSandbox,
	LabelInstanceCategory,
	LabelInstanceHypervisor,
	LabelInstanceFamily,
	LabelInstanceGeneration,
	LabelInstanceLocalNVME,
	LabelInstanceSize,
	LabelInstanceCPU,
	LabelInstanceCPUManufacturer,
	LabelInstanceCPUClockSpeed,
	LabelInstanceMemory,
	LabelInstanceEBSBandwidth,
	LabelInstanceNetworkBandwidth,
	LabelInstanceGPUName,
	LabelInstanceGPUManufacturer,
	LabelInstanceGPUCount,
	LabelInstanceGPUMemory,
	LabelInstanceAcceleratorName,
	LabelInstanceAcceleratorManufacturer,
	LabelInstanceAcceleratorCount,
	LabelInstanceCapabilityFlex,
	LabelPlacementGroupID,
	LabelPlacementGroupPartition,
}

// LabelValues are the labels of which not every value means something, with
// those that do. A NodePool that asks for another can never buy a node.
var LabelValues = map[string][]string{
	LabelInstanceTenancy: {"default", "dedicated"},
}

// Annotations of group karpenter.k8s.aws.
const (
	// AnnotationHash is the EC2NodeClass's Hash that a NodeClaim was made from.
	AnnotationHash = Group + "/ec2nodeclass-hash"
	// AnnotationHashVersion says how AnnotationHash was computed; hashes of two
	// versions are never compared.
	AnnotationHashVersion = Group + "/ec2nodeclass-hash-version"
	// AnnotationTagged on a NodeClaim is "true" once its instance has the tags that
	// are known only after it has joined.
	AnnotationTagged = Group + "/tagged"
	// AnnotationClusterNameTagged is the same for eks:eks-cluster-name, which
	// instances of old lack.
	AnnotationClusterNameTagged = Group + "/cluster-name-tagged"
	// AnnotationInstanceProfile on a NodeClaim is the profile it was launched with.
	AnnotationInstanceProfile = Group + "/instance-profile-name"
)

// HashVersion is the version of EC2NodeClass.Hash: Stowage's own, unlike any of
// Karpenter's, so that a cluster that changes hands has its nodes stamped anew
// instead of drifting them all.
const HashVersion = "stowage-v1"

// FinalizerTermination on an EC2NodeClass holds it until no NodeClaim uses it.
const FinalizerTermination = Group + "/termination"

// Keys of tags in EC2.
const (
	// TagNodePool on an instance names its NodePool.
	TagNodePool = "karpenter.sh/nodepool"
	// TagNodeClaim on an instance names its NodeClaim.
	TagNodeClaim = "karpenter.sh/nodeclaim"
	// TagNodeClass on an instance names its EC2NodeClass.
	TagNodeClass = LabelNodeClass
	// TagClusterName on everything in EC2 is the cluster's name.
	TagClusterName = "eks:eks-cluster-name"
	// TagClusterPrefix with the cluster's name after it is "owned" on everything
	// that goes when the cluster goes.
	TagClusterPrefix = "kubernetes.io/cluster/"
	// TagName on an instance is its node's name, once it has one.
	TagName = "Name"
	// LaunchTemplatePrefix begins the names of launch templates.
	LaunchTemplatePrefix = Group + "/"
)

// ConditionReady sums up an EC2NodeClass; see Readiness.
const ConditionReady = "Ready"

// Conditions of an EC2NodeClass.
const (
	// ConditionSubnetsReady: at least one subnet was found.
	ConditionSubnetsReady = "SubnetsReady"
	// ConditionSecurityGroupsReady: at least one security group was found.
	ConditionSecurityGroupsReady = "SecurityGroupsReady"
	// ConditionAMIsReady: at least one image was found.
	ConditionAMIsReady = "AMIsReady"
	// ConditionInstanceProfileReady: the instance profile exists.
	ConditionInstanceProfileReady = "InstanceProfileReady"
	// ConditionValidationSucceeded: nothing speaks against a launch.
	ConditionValidationSucceeded = "ValidationSucceeded"
	// ConditionPlacementGroupReady: the placement group exists, or none is asked for.
	ConditionPlacementGroupReady = "PlacementGroupReady"
	// ConditionCapacityReservationsReady: the reservations were looked up.
	ConditionCapacityReservationsReady = "CapacityReservationsReady"
)

// Readiness lists the conditions that Ready is computed from.
// ConditionCapacityReservationsReady joins them where reserved capacity is used.
var Readiness = []string{
	ConditionSubnetsReady, ConditionSecurityGroupsReady, ConditionAMIsReady,
	ConditionInstanceProfileReady, ConditionValidationSucceeded, ConditionPlacementGroupReady,
}
