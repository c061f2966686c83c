package aws

import (
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"

	v1 "github.com/stowage-sh/stowage/cloudprovider/aws/v1"
)

// labels returns the labels that every node of the type carries. A fact that is
// not known has no label; one that is none (no GPU) has none either.
func (m *machine) labels(t *TypeInfo, region string) map[string]string {
	l := map[string]string{
		corev1.LabelInstanceTypeStable: t.Name,
		corev1.LabelArchStable:         t.Arch,
		corev1.LabelOSStable:           "linux",
		corev1.LabelTopologyRegion:     region,

		v1.LabelInstanceFamily:         t.Family(),
		v1.LabelInstanceSize:           t.Size(),
		v1.LabelInstanceCapabilityFlex: strconv.FormatBool(strings.Contains(t.Family(), "-flex")),
		v1.LabelInstanceCPU:            strconv.FormatInt(t.VCPUs, 10),
		v1.LabelInstanceMemory:         strconv.FormatInt(t.MemoryMiB, 10),
		v1.LabelInstanceTenancy:        tenancyShared, // nodes of dedicated offerings have their own
	}
	if m.windows() {
		l[corev1.LabelOSStable] = "windows"
		l[corev1.LabelWindowsBuild] = m.family.WindowsBuild()
	}
	letters, generation := category(t.Family())
	setText(l, v1.LabelInstanceCategory, letters)
	setText(l, v1.LabelInstanceGeneration, generation)
	setText(l, v1.LabelInstanceCPUManufacturer, t.CPUManufacturer)
	setText(l, v1.LabelInstanceHypervisor, t.Hypervisor)
	if t.BareMetal {
		l[v1.LabelInstanceHypervisor] = "" // bare metal has the label, with no value
	}
	if e := t.EncryptionInTransit; e != nil {
		l[v1.LabelInstanceEncryptionInTransit] = strconv.FormatBool(*e)
	}
	setNumber(l, v1.LabelInstanceCPUClockSpeed, t.ClockMHz)
	setNumber(l, v1.LabelInstanceEBSBandwidth, t.EBSMbps)
	setNumber(l, v1.LabelInstanceNetworkBandwidth, t.NetworkMbps)
	if t.StorageNVMe {
		setNumber(l, v1.LabelInstanceLocalNVME, t.StorageGB)
	}
	setText(l, v1.LabelInstanceGPUName, t.GPUs.Name)
	setText(l, v1.LabelInstanceGPUManufacturer, t.GPUs.Manufacturer)
	setNumber(l, v1.LabelInstanceGPUCount, t.GPUs.Count)
	setNumber(l, v1.LabelInstanceGPUMemory, t.GPUs.MemoryMiB)
	setText(l, v1.LabelInstanceAcceleratorName, t.Accelerators.Name)
	setText(l, v1.LabelInstanceAcceleratorManufacturer, t.Accelerators.Manufacturer)
	setNumber(l, v1.LabelInstanceAcceleratorCount, t.Accelerators.Count)
	return l
}

func setText(labels map[string]string, key, value string) {
	if value != "" {
		labels[key] = value
	}
}

func setNumber(labels map[string]string, key string, n int64) {
	if n > 0 {
		labels[key] = strconv.FormatInt(n, 10)
	}
}
