package ec2sim

import (
	"fmt"
	"hash/fnv"

	"github.com/stowage-sh/stowage/cloudprovider"
	"github.com/stowage-sh/stowage/cloudprovider/aws"
	"github.com/stowage-sh/stowage/pricing"
)

// EmbeddedTypes are all types that the product knows to be sold in a region and
// to be able to run a node. Zones are those of NewWorld.
func EmbeddedTypes(region string) []InstanceType {
	zones := NewWorld(region, Cluster{}).Zones
	var out []InstanceType
	for _, info := range aws.EmbeddedTypes() {
		if !info.Supported() || info.ENIs == 0 || info.IPv4PerENI == 0 {
			continue
		}
		t := fromInfo(info)
		for _, z := range zones {
			if info.Offered(region, aws.Zone{Name: z.Name, ID: z.ID}) {
				t.Zones = append(t.Zones, z.Name)
			}
		}
		if len(t.Zones) > 0 {
			out = append(out, t)
		}
	}
	return out
}

// fromInfo takes over the facts of a type, and nothing that follows from them.
func fromInfo(i aws.TypeInfo) InstanceType {
	t := InstanceType{
		Name: i.Name, Arch: i.Arch, VCPU: int(i.VCPUs), MemoryMiB: i.MemoryMiB, ENIs: int(i.ENIs), IPv4PerENI: int(i.IPv4PerENI),
		EFAs: int(i.EFAs), GPU: device(i.GPUs), Accelerator: device(i.Accelerators), LocalDiskGB: i.StorageGB,
		NetworkMbps: int(i.NetworkMbps), EBSMbps: int(i.EBSMbps), ClockGHz: float64(i.ClockMHz) / 1000, Manufacturer: makers[i.CPUManufacturer],
		Xen: i.Hypervisor == "xen", BareMetal: i.BareMetal, Burstable: i.Burstable, Old: !i.CurrentGeneration,
		Encrypts: i.EncryptionInTransit != nil && *i.EncryptionInTransit,
		NoSpot:   i.CapacityTypes != nil && !contains(i.CapacityTypes, cloudprovider.Spot),
	}
	// The facts do not say how many disks or how many interfaces on further
	// cards; one and two are what most types have.
	if t.LocalDiskGB > 0 {
		t.LocalDisks = 1
	}
	for range i.NetworkCards - 1 {
		t.MoreCards = append(t.MoreCards, 2)
	}
	return t
}

// makers spells manufacturers as EC2 does.
var makers = map[string]string{"intel": "Intel", "amd": "AMD", "aws": "AWS", "nvidia": "NVIDIA", "habana": "Habana"}

// contains says whether the list holds s.
func contains(list []string, s string) bool { return matches([]string{s}, list) }

// device takes over what is known of a kind of accelerator.
func device(a aws.Accelerators) Accelerator {
	maker, ok := makers[a.Manufacturer]
	if !ok {
		maker = a.Manufacturer
	}
	return Accelerator{Name: a.Name, Manufacturer: maker, Count: int(a.Count), MemoryMiB: a.MemoryMiB, Cores: int(a.Cores)}
}

// EmbeddedPrices are those that are built into the product: on demand as they are,
// spot up to 12 % above them, by zone, since the table has one for all zones.
// The error is for a region that has none.
func EmbeddedPrices(region string) (func(cloudprovider.Offering) (int64, bool), error) {
	table, err := pricing.Embedded(region)
	if err != nil {
		return nil, fmt.Errorf("finding prices to simulate: %w", err)
	}
	return func(o cloudprovider.Offering) (int64, bool) {
		price, ok := table.Price(o)
		if o.CapacityType == cloudprovider.Spot {
			// The share follows from the offering's name and nothing else: prices are the same
			// in every run, whatever its seed, so that plans can be compared.
			h := fnv.New32a()
			fmt.Fprint(h, o)
			price += price * pricing.MicroUSD(h.Sum32()%13) / 100
		}
		return int64(price), ok && o.CapacityType != cloudprovider.Reserved
	}, nil
}

// FewTypes are enough for a test: five families in four sizes, and one with a GPU.
func FewTypes() []InstanceType {
	var out []InstanceType
	for _, f := range []struct {
		family, arch, maker string
		perVCPU             int64
	}{{"c5", "amd64", "Intel", 2048}, {"m5", "amd64", "Intel", 4096}, {"r5", "amd64", "Intel", 8192}, {"c7g", "arm64", "AWS", 2048}, {"m7g", "arm64", "AWS", 4096}} {
		for i, size := range []string{"large", "xlarge", "2xlarge", "4xlarge"} {
			vcpu := 2 << i
			enis, ips := []int{3, 4, 4, 8}[i], []int{10, 15, 15, 30}[i]
			out = append(out, InstanceType{Name: f.family + "." + size, Arch: f.arch, VCPU: vcpu, MemoryMiB: f.perVCPU * int64(vcpu), ENIs: enis, IPv4PerENI: ips,
				NetworkMbps: 750 << i, EBSMbps: 650 << i, ClockGHz: 3.1, Manufacturer: f.maker})
		}
	}
	return append(out, InstanceType{Name: "g5.xlarge", Arch: "amd64", VCPU: 4, MemoryMiB: 16384, ENIs: 4, IPv4PerENI: 15, NetworkMbps: 2500, EBSMbps: 700,
		ClockGHz: 3.3, Manufacturer: "AMD", Encrypts: true, GPU: Accelerator{Name: "A10G", Manufacturer: "NVIDIA", Count: 1, MemoryMiB: 24576}, LocalDiskGB: 250, LocalDisks: 1})
}
