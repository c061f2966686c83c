package aws

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/stowage-sh/stowage/cloudprovider"
)

// architectures maps EC2's names of the architectures that a node can have to
// those of Kubernetes.
var architectures = map[ec2types.ArchitectureType]string{
	ec2types.ArchitectureTypeX8664: "amd64",
	ec2types.ArchitectureTypeArm64: "arm64",
}

// TypeInfoFromEC2 reads what DescribeInstanceTypes answers of one type. A type
// that cannot be a node comes back without Arch; an answer that lacks what
// every type has is an error. BranchENIs, which EC2 does not tell, are those of
// the embedded type of that name; where the type is offered is another question
// to EC2, so Regions and ZoneIDs stay nil.
func TypeInfoFromEC2(info ec2types.InstanceTypeInfo) (TypeInfo, error) {
	t := TypeInfo{
		Name:              string(info.InstanceType),
		BareMetal:         sdk.ToBool(info.BareMetal),
		Burstable:         sdk.ToBool(info.BurstablePerformanceSupported),
		CurrentGeneration: sdk.ToBool(info.CurrentGeneration),
		Hypervisor:        string(info.Hypervisor),
		CapacityTypes:     capacityTypes(info.SupportedUsageClasses),
	}
	if t.Name == "" {
		return TypeInfo{}, errors.New("reading an instance type: InstanceType is missing")
	}
	if info.VCpuInfo == nil || info.VCpuInfo.DefaultVCpus == nil {
		return TypeInfo{}, fmt.Errorf("reading instance type %s: VCpuInfo.DefaultVCpus is missing", t.Name)
	}
	if info.MemoryInfo == nil || info.MemoryInfo.SizeInMiB == nil {
		return TypeInfo{}, fmt.Errorf("reading instance type %s: MemoryInfo.SizeInMiB is missing", t.Name)
	}
	t.VCPUs, t.MemoryMiB = int64(*info.VCpuInfo.DefaultVCpus), *info.MemoryInfo.SizeInMiB
	if known, ok := embeddedType(t.Name); ok {
		t.BranchENIs = known.BranchENIs
	}
	t.setProcessor(info)
	t.setNetwork(info.NetworkInfo)
	t.setDevices(info)
	if p := info.PlacementGroupInfo; p != nil {
		t.PlacementStrategies = []string{}
		for _, s := range p.SupportedStrategies {
			t.PlacementStrategies = append(t.PlacementStrategies, string(s))
		}
	}
	if s := info.NitroEnclavesSupport; s != "" {
		t.NitroEnclaves = sdk.Bool(s == ec2types.NitroEnclavesSupportSupported)
	}
	if e := info.EbsInfo; e != nil && e.EbsOptimizedInfo != nil && e.EbsOptimizedSupport == ec2types.EbsOptimizedSupportDefault {
		t.EBSMbps = int64(sdk.ToInt32(e.EbsOptimizedInfo.MaximumBandwidthInMbps))
	}
	if e := info.EbsInfo; e != nil {
		t.EBSVolumes = int64(sdk.ToInt32(e.MaximumEbsAttachments))
		t.EBSDedicated = e.AttachmentLimitType == ec2types.AttachmentLimitTypeDedicated
	}
	if s := info.InstanceStorageInfo; s != nil {
		for _, d := range s.Disks {
			t.Disks += int64(sdk.ToInt32(d.Count))
		}
		t.StorageGB = sdk.ToInt64(s.TotalSizeInGB)
		t.StorageNVMe = s.NvmeSupport == ec2types.EphemeralNvmeSupportSupported || s.NvmeSupport == ec2types.EphemeralNvmeSupportRequired
	}
	return t, nil
}

func (t *TypeInfo) setProcessor(info ec2types.InstanceTypeInfo) {
	p := info.ProcessorInfo
	if p == nil {
		return
	}
	hvm := len(info.SupportedVirtualizationTypes) == 0 || slices.Contains(info.SupportedVirtualizationTypes, ec2types.VirtualizationTypeHvm)
	for _, a := range p.SupportedArchitectures {
		if arch := architectures[a]; hvm && arch != "" {
			t.Arch = arch
		}
	}
	t.NestedVirtualization = slices.Contains(p.SupportedFeatures, ec2types.SupportedAdditionalProcessorFeatureNestedVirtualization)
	t.CPUManufacturer = kebab(sdk.ToString(p.Manufacturer))
	t.ClockMHz = int64(math.Round(sdk.ToFloat64(p.SustainedClockSpeedInGhz) * 1000))
}

func (t *TypeInfo) setNetwork(n *ec2types.NetworkInfo) {
	if n == nil {
		return
	}
	t.EncryptionInTransit = n.EncryptionInTransitSupported
	t.IPv4PerENI = int64(sdk.ToInt32(n.Ipv4AddressesPerInterface))
	t.ENIs = int64(sdk.ToInt32(n.MaximumNetworkInterfaces))
	t.NetworkCards = int64(sdk.ToInt32(n.MaximumNetworkCards))
	baseline := 0.0
	for _, card := range n.NetworkCards {
		if sdk.ToInt32(card.NetworkCardIndex) == sdk.ToInt32(n.DefaultNetworkCardIndex) && card.MaximumNetworkInterfaces != nil {
			t.ENIs = int64(*card.MaximumNetworkInterfaces)
		}
		baseline += sdk.ToFloat64(card.BaselineBandwidthInGbps)
	}
	t.NetworkMbps = int64(math.Round(baseline * 1000))
	if sdk.ToBool(n.EfaSupported) && n.EfaInfo != nil {
		t.EFAs = int64(sdk.ToInt32(n.EfaInfo.MaximumEfaInterfaces))
	}
}

// setDevices reads GPUs and other accelerators. A machine with two kinds of one
// of them does not exist; if it did, the labels could not say it, so that it
// would be taken for one with none.
func (t *TypeInfo) setDevices(info ec2types.InstanceTypeInfo) {
	if g := info.GpuInfo; g != nil && len(g.Gpus) == 1 {
		d := g.Gpus[0]
		t.GPUs = Accelerators{Name: kebab(sdk.ToString(d.Name)), Manufacturer: kebab(sdk.ToString(d.Manufacturer)), Count: int64(sdk.ToInt32(d.Count))}
		if d.MemoryInfo != nil {
			t.GPUs.MemoryMiB = int64(sdk.ToInt32(d.MemoryInfo.SizeInMiB))
		}
	}
	if n := info.NeuronInfo; n != nil && len(n.NeuronDevices) == 1 {
		d := n.NeuronDevices[0]
		t.Accelerators = Accelerators{Name: kebab(sdk.ToString(d.Name)), Manufacturer: "aws", Count: int64(sdk.ToInt32(d.Count))}
		if d.CoreInfo != nil {
			t.Accelerators.Cores = int64(sdk.ToInt32(d.CoreInfo.Count))
		}
		if d.MemoryInfo != nil {
			t.Accelerators.MemoryMiB = int64(sdk.ToInt32(d.MemoryInfo.SizeInMiB))
		}
		return
	}
	if i := info.InferenceAcceleratorInfo; i != nil && len(i.Accelerators) == 1 {
		d := i.Accelerators[0]
		t.Accelerators = Accelerators{Name: kebab(sdk.ToString(d.Name)), Manufacturer: kebab(sdk.ToString(d.Manufacturer)), Count: int64(sdk.ToInt32(d.Count))}
	}
}

// capacityTypes translates usage classes, leaving out those of reservations.
func capacityTypes(classes []ec2types.UsageClassType) []string {
	var types []string
	for _, c := range classes {
		switch c {
		case ec2types.UsageClassTypeOnDemand:
			types = append(types, cloudprovider.OnDemand)
		case ec2types.UsageClassTypeSpot:
			types = append(types, cloudprovider.Spot)
		}
	}
	if len(classes) > 0 && types == nil {
		return []string{} // known: neither of them
	}
	return types
}

// kebab writes a name of EC2 as a label's value: "Radeon Pro V520" becomes
// radeon-pro-v520.
func kebab(s string) string {
	return strings.ToLower(strings.ReplaceAll(s, " ", "-"))
}
