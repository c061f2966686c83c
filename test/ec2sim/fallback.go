package ec2sim

import (
	"fmt"
	"hash/fnv"

	"github.com/stowage-sh/stowage/cloudprovider"
)

// Catalog is a short list of types, enough for a test: three families of each
// architecture in a few sizes, and a GPU.
func Catalog() []InstanceType {
	var out []InstanceType
	for _, f := range []struct {
		family, arch, maker string
		perVCPU             int64
	}{{"c5", "amd64", "Intel", 2048}, {"m5", "amd64", "Intel", 4096}, {"r5", "amd64", "Intel", 8192}, {"c7g", "arm64", "AWS", 2048}, {"m7g", "arm64", "AWS", 4096}} {
		for i, size := range []string{"large", "xlarge", "2xlarge", "4xlarge", "8xlarge"} {
			vcpu := 2 << i
			enis, ips := []int{3, 4, 4, 8, 8}[i], []int{10, 15, 15, 30, 30}[i]
			out = append(out, InstanceType{Name: f.family + "." + size, Arch: f.arch, VCPU: vcpu, MemoryMiB: f.perVCPU * int64(vcpu), ENIs: enis, IPv4PerENI: ips,
				NetworkMbps: 750 << i, EBSMbps: 650 << i, ClockGHz: 3.1, Manufacturer: f.maker})
		}
	}
	return append(out, InstanceType{Name: "g5.xlarge", Arch: "amd64", VCPU: 4, MemoryMiB: 16384, ENIs: 4, IPv4PerENI: 15, NetworkMbps: 2500, EBSMbps: 700,
		ClockGHz: 3.3, Manufacturer: "AMD", Encrypts: true, GPU: Accelerator{Name: "A10G", Manufacturer: "NVIDIA", Count: 1, MemoryMiB: 24576}, LocalDiskGB: 250, LocalDisks: 1})
}

// EmbeddedPrices are invented from size: 4 ¢ a vCPU and half a cent a GiB on demand, a third
// of it, differing by zone, as spot.
func EmbeddedPrices(region string) func(cloudprovider.Offering) (int64, bool) {
	index := map[string]InstanceType{}
	for _, t := range Catalog() {
		index[t.Name] = t
	}
	return func(o cloudprovider.Offering) (int64, bool) {
		t, ok := index[o.InstanceType]
		if !ok {
			return 0, false
		}
		micro := int64(t.VCPU)*30000 + t.MemoryMiB*4500/1024
		if o.CapacityType == cloudprovider.Spot {
			h := fnv.New32a()
			fmt.Fprint(h, o)
			micro = micro * int64(30+h.Sum32()%10) / 100
		}
		return micro, o.CapacityType != cloudprovider.Reserved
	}
}
