package aws

import (
	"cmp"
	"maps"

	"github.com/stowage-sh/stowage/cloudprovider"
)

// The extended resources of EC2 machines, by the names that device plugins and
// the VPC's controllers register.
const (
	resourceNvidiaGPU   = "nvidia.com/gpu"
	resourceAMDGPU      = "amd.com/gpu"
	resourceGaudi       = "habana.ai/gaudi"
	resourceNeuron      = "aws.amazon.com/neuron"
	resourceNeuronCore  = "aws.amazon.com/neuroncore"
	resourcePodENI      = "vpc.amazonaws.com/pod-eni"
	resourcePrivateIPv4 = "vpc.amazonaws.com/PrivateIPv4Address"
	resourceEFA         = "vpc.amazonaws.com/efa"
	// A type has as many as a NodeOverlay says: its machines can have enclaves, and EC2 does not say how many.
	resourceNitroSandbox = "eks.amazonaws.com/nitro-sandbox"
)

const (
	mib = 1 << 20
	gib = 1 << 30
)

// resources returns what a node of the type reports, and what of it is left for
// pods: capacity − kubeReserved − systemReserved − hard eviction thresholds
// (Kubernetes, "Reserve compute resources for system daemons"). The memory is in bytes; 0 if none was seen.
func (m *machine) resources(t *TypeInfo, memory int64) (capacity, allocatable cloudprovider.Resources) {
	pods := m.pods(t)
	capacity = cloudprovider.Resources{
		cloudprovider.CPU:              t.VCPUs * 1000,
		cloudprovider.Memory:           cmp.Or(memory, m.memoryMiB(t)*mib),
		cloudprovider.EphemeralStorage: m.storageBytes(t),
		cloudprovider.Pods:             pods,
	}
	for name, n := range m.extended(t) {
		if n > 0 {
			capacity[name] = n
		}
	}
	allocatable = maps.Clone(capacity)
	reserved := m.kubeReserved(t, pods)
	maps.Copy(reserved, m.kubelet.kubeReserved)
	for _, takes := range []cloudprovider.Resources{reserved, m.kubelet.systemReserved, m.evictions(capacity)} {
		for name, n := range takes {
			allocatable[name] = max(0, allocatable[name]-n)
		}
	}
	return capacity, allocatable
}

// memoryMiB is the memory that the node will see, as Karpenter estimates it
// before the first node of a type has reported: the sold memory, on arm64 less
// the 64 MiB that the kernel sets aside for contiguous allocation (CMA), less
// the VM's overhead rounded up to a MiB.
func (m *machine) memoryMiB(t *TypeInfo) int64 {
	memory := t.MemoryMiB
	if t.Arch == "arm64" {
		memory = max(0, memory-64)
	}
	return memory - portion(memory, m.memoryOverhead)
}

// storageBytes is what pods' ephemeral storage is on: the striped disks of the
// machine where the NodeClass wants them and the type has some, else the volume.
func (m *machine) storageBytes(t *TypeInfo) int64 {
	if m.raid0 && t.StorageGB > 0 {
		return t.StorageGB * 1_000_000_000
	}
	return m.rootBytes
}

// podsWithoutENIs is kubelet's own limit, for families whose pods do not get
// addresses from interfaces and for types whose interfaces are not known.
const podsWithoutENIs = 110

// eniPods is how many pods the VPC CNI has addresses for: of every interface of
// the default card all addresses but the first, and two pods on the host's
// network (amazon-eks-ami, eni-max-pods.txt). Interfaces reserved by a flag, and
// those without IP, give none.
func (m *machine) eniPods(t *TypeInfo) int64 {
	if t.ENIs == 0 || t.IPv4PerENI == 0 {
		return podsWithoutENIs
	}
	usable := t.ENIs - m.reservedENIs - m.efaOnlyDefaultCard
	if usable <= 0 {
		return 0
	}
	return usable*(t.IPv4PerENI-1) + 2
}

// pods is kubelet's maxPods: as the NodeClass has it, else by addresses; never
// more than podsPerCore allows.
func (m *machine) pods(t *TypeInfo) int64 {
	pods := int64(podsWithoutENIs)
	switch {
	case m.kubelet.maxPods > 0:
		pods = m.kubelet.maxPods
	case families[m.family].eniPods:
		pods = m.eniPods(t)
	}
	if per := m.kubelet.podsPerCore; per > 0 {
		pods = min(pods, per*t.VCPUs)
	}
	return pods
}

// kubeReserved is what the images' bootstrap reserves for kubelet and container
// runtime (amazon-eks-ami, bootstrap of AL2 and nodeadm of AL2023): 255 MiB and
// 11 MiB for each pod, 1 GiB of disk, and of the CPU 6 % of the first core, 1 %
// of the second, 0.5 % of the third and fourth and 0.25 % of all others.
func (m *machine) kubeReserved(t *TypeInfo, pods int64) cloudprovider.Resources {
	if families[m.family].eniReserve {
		pods = m.eniPods(t)
	}
	return cloudprovider.Resources{
		cloudprovider.CPU:              reservedMilliCPU(t.VCPUs),
		cloudprovider.Memory:           (11*pods + 255) * mib,
		cloudprovider.EphemeralStorage: gib,
	}
}

// reservedMilliCPU counts in quarters of a thousandth of a core, so that the
// 2.5 m of each core beyond the fourth stay whole until the end.
func reservedMilliCPU(cores int64) int64 {
	quarters := 240*min(cores, 1) + 40*clamp(cores-1, 1) + 20*clamp(cores-2, 2) + 10*max(0, cores-4)
	return quarters / 4
}

// clamp limits n to 0…most.
func clamp(n, most int64) int64 { return max(0, min(n, most)) }

// evictions are the hard thresholds: kubelet's defaults of 100Mi of memory and
// 10 % of the disk, where the NodeClass does not set them. Soft thresholds only
// warn, and do not count.
func (m *machine) evictions(capacity cloudprovider.Resources) cloudprovider.Resources {
	memory, disk := m.kubelet.memoryEviction, m.kubelet.diskEviction
	if memory == nil {
		memory = &threshold{bytes: 100 * mib}
	}
	if disk == nil {
		disk = &threshold{millionths: million / 10}
	}
	return cloudprovider.Resources{
		cloudprovider.Memory:           memory.of(capacity[cloudprovider.Memory]),
		cloudprovider.EphemeralStorage: disk.of(capacity[cloudprovider.EphemeralStorage]),
	}
}

// extended returns the extended resources, zeros among them.
func (m *machine) extended(t *TypeInfo) cloudprovider.Resources {
	r := cloudprovider.Resources{resourcePodENI: t.BranchENIs, resourceEFA: t.EFAs}
	if m.cards > 0 { // the NodeClass names the interfaces: it gets those, and no more
		r[resourceEFA] = m.efaOnly
	}
	switch t.GPUs.Manufacturer {
	case "nvidia":
		r[resourceNvidiaGPU] = t.GPUs.Count
	case "amd":
		r[resourceAMDGPU] = t.GPUs.Count
	case "habana":
		r[resourceGaudi] = t.GPUs.Count
	}
	if t.Accelerators.Manufacturer == "aws" {
		r[resourceNeuron] = t.Accelerators.Count
		r[resourceNeuronCore] = t.Accelerators.Count * t.Accelerators.Cores
	}
	if m.windows() {
		delete(r, resourcePodENI)
		r[resourcePrivateIPv4] = max(0, t.IPv4PerENI-1)
	}
	return r
}

// onRequest names the extended resources for which a machine has to be launched with more than usual. The interfaces
// that the NodeClass names are always there.
func (m *machine) onRequest() []string {
	if m.cards > 0 {
		return []string{resourceNitroSandbox}
	}
	return []string{resourceNitroSandbox, resourceEFA}
}

// impossible names the extended resources that no machine of the type can have.
func impossible(t *TypeInfo) []string {
	if t.NitroEnclaves != nil && !*t.NitroEnclaves {
		return []string{resourceNitroSandbox}
	}
	return nil
}

// driverEBS is the CSI driver of EBS volumes.
const driverEBS = "ebs.csi.aws.com"

// The slots for EBS volumes of a type of which EC2 does not tell, and the network interfaces that
// a node is expected to have by the time that the driver counts them: its own and the spare one
// of the VPC CNI.
const (
	slotsNitro, slotsXen = 28, 39
	earlyENIs            = 2
)

// volumes is how many volumes of pods the EBS CSI driver is expected to say that a node can
// attach: the slots of the type, less the volumes of the machine itself, and less its interfaces
// and NVMe disks where they take of the same slots (Amazon EBS User Guide, "Volume limits for
// Amazon EC2 instances"; aws-ebs-csi-driver, reserved volume attachments).
func (m *machine) volumes(t *TypeInfo) int64 {
	slots, shared := t.EBSVolumes, t.Hypervisor != "xen" && !t.EBSDedicated
	switch {
	case slots == 0 && t.Hypervisor == "xen":
		slots = slotsXen
	case slots == 0:
		slots = slotsNitro
	}
	slots -= 1 + m.extraVolumes
	if shared {
		slots -= earlyENIs
		if t.StorageNVMe {
			slots -= t.Disks
		}
	}
	return max(1, slots)
}
