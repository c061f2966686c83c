package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/stowage-sh/stowage/cloudprovider/aws"
	"github.com/stowage-sh/stowage/cloudprovider/aws/region"
)

// An instance is what ec2instances.info says of a type, as far as we use it.
type instance struct {
	InstanceType      string              `json:"instance_type"`
	Arch              []string            `json:"arch"`
	Virtualization    []string            `json:"linux_virtualization_types"`
	VCPU              float64             `json:"vCPU"`
	MemoryGiB         float64             `json:"memory"`
	Generation        string              `json:"generation"`
	Processor         string              `json:"physical_processor"`
	Network           string              `json:"network_performance"`
	EBSMbps           float64             `json:"ebs_max_bandwidth"`
	GPUs              float64             `json:"GPU"`
	GPUModel          string              `json:"GPU_model"`
	AvailabilityZones map[string][]string `json:"availability_zones"`
	VPC               *struct {
		IPsPerENI int64 `json:"ips_per_eni"`
		MaxENIs   int64 `json:"max_enis"`
	} `json:"vpc"`
	Storage *struct {
		Devices float64 `json:"devices"`
		SizeGB  float64 `json:"size"`
		NVMe    bool    `json:"nvme_ssd"`
	} `json:"storage"`
	Pricing map[string]struct {
		Linux *linuxPrices `json:"linux"`
	} `json:"pricing"`
}

type linuxPrices struct {
	OnDemand string `json:"ondemand"`
	// Spot prices of the region's zones, sorted; which zone has which is not said.
	Spot []string `json:"spot"`
	// SpotAverage over a month, where there is one.
	SpotAverage string `json:"spot_avg"`
}

func readInstances() ([]instance, error) {
	const file = "data/instances.json"
	data, err := instancesModule.read(file)
	if err != nil {
		return nil, err
	}
	var instances []instance
	if err := json.Unmarshal(data, &instances); err != nil {
		return nil, fmt.Errorf("parsing %s of %s: %w", file, instancesModule, err)
	}
	return instances, nil
}

// typeInfo puts together what is known of a type; l is zero if the controller's
// table does not have it.
func (i *instance) typeInfo(l limit) (aws.TypeInfo, error) {
	t := aws.TypeInfo{
		Name:              i.InstanceType,
		Arch:              i.arch(),
		VCPUs:             int64(i.VCPU),
		MemoryMiB:         int64(math.Floor(i.MemoryGiB * 1024)),
		EBSMbps:           int64(i.EBSMbps),
		NetworkMbps:       networkMbps(i.Network),
		CurrentGeneration: i.Generation == "current",
		CPUManufacturer:   manufacturer(i.Processor),
		EFAs:              efas[i.InstanceType],
		Regions:           i.regions(),
		ZoneIDs:           i.zoneIDs(),
	}
	t.Burstable = slices.Contains(burstable, t.Family())
	t.BareMetal = l.bareMetal || strings.HasPrefix(t.Size(), "metal")
	encrypts := slices.Contains(encryptsInTransit, t.Family())
	t.EncryptionInTransit = &encrypts
	i.setNetwork(&t, l)
	if s := i.Storage; s != nil {
		t.Disks, t.StorageGB = int64(s.Devices), int64(s.Devices*s.SizeGB)
		t.StorageNVMe = s.NVMe
	}
	return t, i.setDevices(&t)
}

func (i *instance) setNetwork(t *aws.TypeInfo, l limit) {
	t.BranchENIs, t.NetworkCards = l.branchENIs, l.cards
	if l.enis > 0 {
		t.ENIs, t.IPv4PerENI = l.defaultCardENIs, l.ipv4PerENI
	} else if n, ok := interfaces[t.Name]; ok {
		t.ENIs, t.IPv4PerENI = n.enis, n.ipv4PerENI
	} else if i.VPC != nil && !multiCard(i.Network) {
		t.ENIs, t.IPv4PerENI = i.VPC.MaxENIs, i.VPC.IPsPerENI
	}
	switch {
	case t.BareMetal:
	case l.hypervisor != "":
		t.Hypervisor = l.hypervisor
	case slices.Contains(xenFamilies, t.Family()):
		t.Hypervisor = "xen"
	default:
		t.Hypervisor = "nitro"
	}
}

func (i *instance) setDevices(t *aws.TypeInfo) error {
	if d, ok := devices[i.InstanceType]; ok {
		t.GPUs, t.Accelerators = d.gpus, d.accelerators
		return nil
	}
	if i.GPUs == 0 {
		return nil
	}
	model, ok := gpuModels[i.GPUModel]
	if !ok {
		return fmt.Errorf("%s has %v of %q, a model that facts.go does not know", i.InstanceType, i.GPUs, i.GPUModel)
	}
	model.Count = int64(i.GPUs)
	if model.Manufacturer == "aws" {
		t.Accelerators = model
	} else {
		t.GPUs = model
	}
	return nil
}

// arch is the Kubernetes name of the architecture, empty for what cannot be a
// node. Types without a list of virtualization types are newer than the list:
// they are all HVM.
func (i *instance) arch() string {
	if len(i.Virtualization) > 0 && !slices.Contains(i.Virtualization, "HVM") {
		return ""
	}
	switch {
	case slices.Contains(i.Arch, "x86_64"):
		return "amd64"
	case slices.Contains(i.Arch, "arm64"):
		return "arm64"
	}
	return ""
}

// regions lists the regions that have an on-demand price for Linux. Local and
// wavelength zones, which the source lists as if they were regions, are none.
func (i *instance) regions() []string {
	var names []string
	for name, p := range i.Pricing {
		if region.Check(name) == nil && p.Linux != nil && p.Linux.OnDemand != "" {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

func (i *instance) zoneIDs() []string {
	return slices.Sorted(func(yield func(string) bool) {
		for _, name := range slices.Sorted(maps.Keys(i.AvailabilityZones)) {
			for _, id := range i.AvailabilityZones[name] {
				if !yield(id) {
					return
				}
			}
		}
	})
}

// networkMbps reads "12.5 Gigabit" and "4x 100 Gigabit". "Up to 10 Gigabit" is
// a burst, of which the baseline is not said, and "Moderate" is no number.
func networkMbps(s string) int64 {
	number, ok := strings.CutSuffix(s, " Gigabit")
	cards := int64(1)
	if count, each, many := strings.Cut(number, "x "); many {
		n, err := strconv.ParseInt(count, 10, 64)
		if err != nil {
			return 0
		}
		cards, number = n, each
	}
	gbps, err := strconv.ParseFloat(number, 64)
	if !ok || err != nil {
		return 0
	}
	return cards * int64(math.Round(gbps*1000))
}

func multiCard(network string) bool { return strings.Contains(network, "x ") }

// manufacturer reads the processor's name: "AMD EPYC 7571".
func manufacturer(processor string) string {
	for _, m := range []string{"Intel", "AMD", "AWS"} {
		if strings.Contains(processor, m) {
			return strings.ToLower(m)
		}
	}
	return ""
}
