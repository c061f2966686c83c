package ec2sim

import "fmt"

// The wire forms of DescribeInstanceTypes. Only what a provisioner reads is here.
type (
	wireType struct {
		Name           string        `xml:"instanceType"`
		Current        bool          `xml:"currentGeneration"`
		Usage          []string      `xml:"supportedUsageClasses>item"`
		Roots          []string      `xml:"supportedRootDeviceTypes>item"`
		Virtualization []string      `xml:"supportedVirtualizationTypes>item"`
		BareMetal      bool          `xml:"bareMetal"`
		Hypervisor     string        `xml:"hypervisor,omitempty"`
		Processor      wireProcessor `xml:"processorInfo"`
		VCPU           wireVCPU      `xml:"vCpuInfo"`
		Memory         wireMemory    `xml:"memoryInfo"`
		HasStorage     bool          `xml:"instanceStorageSupported"`
		Storage        *wireStorage  `xml:"instanceStorageInfo"`
		EBS            wireEBS       `xml:"ebsInfo"`
		Network        wireNetwork   `xml:"networkInfo"`
		GPUs           *wireGPUs     `xml:"gpuInfo"`
		Inference      *wireInfer    `xml:"inferenceAcceleratorInfo"`
		// Neuron is beside Inference: EC2 tells of Inferentia twice.
		Neuron         *wireNeurons `xml:"neuronInfo"`
		Placement      []string     `xml:"placementGroupInfo>supportedStrategies>item"`
		Burstable      bool         `xml:"burstablePerformanceSupported"`
		DedicatedHosts bool         `xml:"dedicatedHostsSupported"`
		AutoRecovery   bool         `xml:"autoRecoverySupported"`
		Enclaves       string       `xml:"nitroEnclavesSupport"`
	}
	wireProcessor struct {
		Archs        []string `xml:"supportedArchitectures>item"`
		Features     []string `xml:"supportedFeatures>item"`
		Clock        float64  `xml:"sustainedClockSpeedInGhz,omitempty"`
		Manufacturer string   `xml:"manufacturer,omitempty"`
	}
	wireVCPU struct {
		Count   int `xml:"defaultVCpus"`
		Cores   int `xml:"defaultCores"`
		Threads int `xml:"defaultThreadsPerCore"`
	}
	wireMemory struct {
		MiB int64 `xml:"sizeInMiB"`
	}
	wireStorage struct {
		TotalGB int64      `xml:"totalSizeInGB"`
		Disks   []wireDisk `xml:"disks>item"`
		NVMe    string     `xml:"nvmeSupport"`
	}
	wireDisk struct {
		GB    int64  `xml:"sizeInGB"`
		Count int    `xml:"count"`
		Kind  string `xml:"type"`
	}
	wireEBS struct {
		Optimized  string           `xml:"ebsOptimizedSupport"`
		Encryption string           `xml:"encryptionSupport"`
		Info       wireEBSBandwidth `xml:"ebsOptimizedInfo"`
		NVMe       string           `xml:"nvmeSupport"`
	}
	wireEBSBandwidth struct {
		Base int `xml:"baselineBandwidthInMbps"`
		Max  int `xml:"maximumBandwidthInMbps"`
	}
	wireNetwork struct {
		Performance string     `xml:"networkPerformance"`
		ENIs        int        `xml:"maximumNetworkInterfaces"`
		CardCount   int        `xml:"maximumNetworkCards"`
		Default     int        `xml:"defaultNetworkCardIndex"`
		Cards       []wireCard `xml:"networkCards>item"`
		IPv4        int        `xml:"ipv4AddressesPerInterface"`
		IPv6        int        `xml:"ipv6AddressesPerInterface"`
		HasIPv6     bool       `xml:"ipv6Supported"`
		ENA         string     `xml:"enaSupport"`
		HasEFA      bool       `xml:"efaSupported"`
		EFA         *wireEFA   `xml:"efaInfo"`
		Encrypts    bool       `xml:"encryptionInTransitSupported"`
	}
	wireCard struct {
		Index       int     `xml:"networkCardIndex"`
		Performance string  `xml:"networkPerformance"`
		ENIs        int     `xml:"maximumNetworkInterfaces"`
		Base        float64 `xml:"baselineBandwidthInGbps"`
		Peak        float64 `xml:"peakBandwidthInGbps"`
	}
	wireEFA struct {
		Interfaces int `xml:"maximumEfaInterfaces"`
	}
	wireDevice struct {
		Name         string     `xml:"name"`
		Manufacturer string     `xml:"manufacturer,omitempty"`
		Count        int        `xml:"count"`
		Memory       wireMemory `xml:"memoryInfo"`
	}
	wireGPUs struct {
		GPUs  []wireDevice `xml:"gpus>item"`
		Total int64        `xml:"totalGpuMemoryInMiB"`
	}
	wireInfer struct {
		Accelerators []wireDevice `xml:"accelerators>item"`
	}
	wireNeurons struct {
		Devices []wireNeuron `xml:"neuronDevices>item"`
	}
	wireNeuron struct {
		Name   string     `xml:"name"`
		Count  int        `xml:"count"`
		Cores  int        `xml:"coreInfo>count"`
		Memory wireMemory `xml:"memoryInfo"`
	}
)

// wire spells t as DescribeInstanceTypes does.
func (t InstanceType) wire() wireType {
	// Graviton has no hyperthreads, and neither has a machine of one processor.
	threads := 2
	if t.Arch == "arm64" || t.VCPU == 1 {
		threads = 1
	}
	// Fields that are not varied here have the value of nearly all types, so that what
	// readers get is whole.
	w := wireType{
		Name: t.Name, Current: !t.Old, Usage: t.usageClasses(), Roots: []string{"ebs"}, Virtualization: []string{"hvm"},
		BareMetal: t.BareMetal, Hypervisor: t.hypervisor(),
		Processor:  wireProcessor{[]string{wireArch(t.Arch)}, t.features(), t.ClockGHz, t.Manufacturer},
		VCPU:       wireVCPU{t.VCPU, t.VCPU / threads, threads},
		Memory:     wireMemory{t.MemoryMiB},
		HasStorage: t.LocalDisks > 0,
		EBS:        wireEBS{"default", "supported", wireEBSBandwidth{t.EBSMbps, t.EBSMbps}, "required"},
		Network:    t.network(),
		Placement:  placementStrategies(t),
		Burstable:  t.Burstable, DedicatedHosts: !t.Burstable, AutoRecovery: true, Enclaves: "unsupported",
	}
	if t.Enclaves {
		w.Enclaves = "supported"
	}
	if t.LocalDisks > 0 {
		// Rounded down: the disks need not add up to the total, which is what counts.
		w.Storage = &wireStorage{t.LocalDiskGB, []wireDisk{{t.LocalDiskGB / int64(t.LocalDisks), t.LocalDisks, "ssd"}}, "required"}
	}
	if g := t.GPU; g.Count > 0 {
		w.GPUs = &wireGPUs{[]wireDevice{g.device()}, g.MemoryMiB * int64(g.Count)}
	}
	// Neuron's devices are told of twice: the older list has no field for their cores.
	if a := t.Accelerator; a.Count > 0 {
		w.Inference = &wireInfer{[]wireDevice{a.device()}}
		if a.Cores > 0 {
			w.Neuron = &wireNeurons{[]wireNeuron{{a.Name, a.Count, a.Cores, wireMemory{a.MemoryMiB}}}}
		}
	}
	return w
}

// device spells an accelerator as both GPUs and inference accelerators are spelled.
func (a Accelerator) device() wireDevice {
	return wireDevice{a.Name, a.Manufacturer, a.Count, wireMemory{a.MemoryMiB}}
}

// features are what the processor can do besides.
func (t InstanceType) features() []string {
	if t.Nested {
		return []string{"nested-virtualization"}
	}
	return nil
}

// network spells the network cards.
func (t InstanceType) network() wireNetwork {
	gbps := float64(t.NetworkMbps) / 1000
	performance := fmt.Sprintf("%g Gigabit", gbps)
	// Pods get addresses of the first card's interfaces only, which is why the
	// total below is not what their number follows from.
	cards := []wireCard{{0, performance, t.ENIs, gbps, gbps}}
	total := t.ENIs
	for i, n := range t.MoreCards {
		cards = append(cards, wireCard{i + 1, performance, n, gbps, gbps})
		total += n
	}
	w := wireNetwork{
		Performance: performance, ENIs: total, CardCount: len(cards), Cards: cards, IPv4: t.IPv4PerENI, IPv6: t.IPv4PerENI,
		HasIPv6: true, ENA: "required", HasEFA: t.EFAs > 0, Encrypts: t.Encrypts,
	}
	if t.EFAs > 0 {
		w.EFA = &wireEFA{t.EFAs}
	}
	return w
}
