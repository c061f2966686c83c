package aws

import (
	"slices"
	"strings"
)

// A TypeInfo is what EC2 says of an instance type, in the units that the labels
// have: the raw facts, before any reservation. It is the same whether it comes
// from DescribeInstanceTypes, from a file or from the binary. A zero means that
// the fact is not known, or that there is none of it; nothing is estimated.
type TypeInfo struct {
	// Name is the instance type: m5.large.
	Name string `json:"name"`
	// Arch as the label kubernetes.io/arch spells it, amd64 or arm64; empty for
	// a type that cannot be a node, such as a Mac or one without HVM.
	Arch string `json:"arch"`
	// VCPUs is the default number of vCPUs.
	VCPUs int64 `json:"vcpus"`
	// MemoryMiB is the memory that is sold, of which the system sees less.
	MemoryMiB int64 `json:"memoryMiB"`

	// ENIs is the number of network interfaces on the default network card, the
	// only one whose addresses pods get.
	ENIs int64 `json:"enis,omitempty"`
	// NetworkCards is the number of network cards.
	NetworkCards int64 `json:"networkCards,omitempty"`
	// IPv4PerENI is the number of IPv4 addresses of one interface.
	IPv4PerENI int64 `json:"ipv4PerENI,omitempty"`
	// BranchENIs is how many pods can have an interface of their own.
	BranchENIs int64 `json:"branchENIs,omitempty"`
	// EFAs is the number of Elastic Fabric Adapters.
	EFAs int64 `json:"efas,omitempty"`
	// NetworkMbps is the baseline bandwidth of the network in Mbit/s.
	NetworkMbps int64 `json:"networkMbps,omitempty"`
	// EBSMbps is the maximum bandwidth to EBS in Mbit/s, where it is there
	// without being asked for.
	EBSMbps int64 `json:"ebsMbps,omitempty"`
	// EncryptionInTransit says whether traffic between machines is encrypted;
	// nil if it is not known.
	EncryptionInTransit *bool `json:"encryptionInTransit,omitempty"`

	// GPUs of the type; the zero value if there are none.
	GPUs Accelerators `json:"gpus,omitzero"`
	// Accelerators other than GPUs: Inferentia and Trainium.
	Accelerators Accelerators `json:"accelerators,omitzero"`

	// EBSVolumes is how many EBS volumes can be attached, the root volume included;
	// EBSDedicated says that nothing else takes of that number.
	EBSVolumes   int64 `json:"ebsVolumes,omitempty"`
	EBSDedicated bool  `json:"ebsDedicated,omitempty"`

	// Disks is the number of disks that are part of the machine.
	Disks int64 `json:"disks,omitempty"`
	// StorageGB is the size of all disks that are part of the machine together,
	// in units of 10⁹ bytes.
	StorageGB int64 `json:"storageGB,omitempty"`
	// StorageNVMe says whether those disks are NVMe devices.
	StorageNVMe bool `json:"storageNVMe,omitempty"`

	// Hypervisor is nitro or xen; empty on bare metal.
	Hypervisor string `json:"hypervisor,omitempty"`
	// BareMetal says that there is no hypervisor.
	BareMetal bool `json:"bareMetal,omitempty"`
	// Burstable types earn and spend CPU credits.
	Burstable bool `json:"burstable,omitempty"`
	// CurrentGeneration is false for types that AWS calls previous.
	CurrentGeneration bool `json:"currentGeneration,omitempty"`
	// NestedVirtualization says that machines can run in the machine.
	NestedVirtualization bool `json:"nestedVirtualization,omitempty"`
	// NitroEnclaves says whether the machine can have enclaves; nil if it is not known.
	NitroEnclaves *bool `json:"nitroEnclaves,omitempty"`
	// PlacementStrategies are the kinds of placement groups that the type can be in:
	// cluster, partition, spread; nil if it is not known.
	PlacementStrategies []string `json:"placementStrategies,omitempty"`
	// ClockMHz is the sustained clock speed of a core.
	ClockMHz int64 `json:"clockMHz,omitempty"`
	// CPUManufacturer is intel, amd or aws.
	CPUManufacturer string `json:"cpuManufacturer,omitempty"`

	// CapacityTypes are on-demand and spot, as far as the type can be bought so;
	// nil if it is not known.
	CapacityTypes []string `json:"capacityTypes,omitempty"`
	// Regions where the type is sold, sorted; nil if it is not known.
	Regions []string `json:"regions,omitempty"`
	// ZoneIDs of zones that have the type, sorted. They say nothing about a
	// region of which no zone is listed.
	ZoneIDs []string `json:"zoneIDs,omitempty"`
}

// Accelerators are the devices of one kind in a machine.
type Accelerators struct {
	// Name and Manufacturer as the labels spell them: a10g, nvidia.
	Name         string `json:"name"`
	Manufacturer string `json:"manufacturer"`
	// Count is how many devices the machine has.
	Count int64 `json:"count"`
	// MemoryMiB of one device.
	MemoryMiB int64 `json:"memoryMiB,omitempty"`
	// Cores of one device; known of Inferentia and Trainium.
	Cores int64 `json:"cores,omitempty"`
}

// Supported reports whether a node can run on the type at all, and whether
// enough is known of it to say what would fit.
func (t *TypeInfo) Supported() bool {
	return t.Name != "" && t.Arch != "" && t.VCPUs > 0 && t.MemoryMiB > 0
}

// Family is the name before the dot: m5a.
func (t *TypeInfo) Family() string {
	family, _, _ := strings.Cut(t.Name, ".")
	return family
}

// Size is the name after the dot: 4xlarge.
func (t *TypeInfo) Size() string {
	_, size, _ := strings.Cut(t.Name, ".")
	return size
}

// Offered reports whether the type is to be had in a zone, as far as is known:
// what no fact speaks against is offered.
func (t *TypeInfo) Offered(region string, zone Zone) bool {
	if t.Regions != nil && !slices.Contains(t.Regions, region) {
		return false
	}
	prefix, _, ok := strings.Cut(zone.ID, "-")
	if !ok || !slices.ContainsFunc(t.ZoneIDs, func(id string) bool { return strings.HasPrefix(id, prefix+"-") }) {
		return true
	}
	return slices.Contains(t.ZoneIDs, zone.ID)
}

// category splits a family into the letters that it begins with and the number
// of its generation: m5a is m and 5, u-12tb1 is u and 1, u7in-16tb is u and 7.
// Both are empty if the family is not of that form.
func category(family string) (letters, generation string) {
	rest := strings.TrimLeft(family, "abcdefghijklmnopqrstuvwxyz")
	letters = family[:len(family)-len(rest)]
	if size, after, ok := strings.Cut(rest, "tb"); ok && strings.HasPrefix(size, "-") {
		rest = after // the size of the memory stands before the generation
	}
	generation = rest[:len(rest)-len(strings.TrimLeft(rest, "0123456789"))]
	if letters == "" || generation == "" {
		return "", ""
	}
	return letters, generation
}

// A Zone is a zone as an account names it, with the ID that is the same in
// every account.
type Zone struct {
	Name string
	// ID such as use1-az1; empty if it is not known.
	ID string
}
