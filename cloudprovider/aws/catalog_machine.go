package aws

import (
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/api/resource"

	v1 "github.com/stowage-sh/stowage/cloudprovider/aws/v1"
)

// A machine is what of a NodeClass matters to the capacity of its nodes. It is
// the same for every instance type.
type machine struct {
	family  v1.AMIFamily
	kubelet kubelet

	// rootBytes is the size of the volume that pods' ephemeral storage is on.
	rootBytes int64
	// raid0 puts it on the machine's own disks, where there are any.
	raid0 bool

	// extraVolumes are the EBS volumes of the machine beside its root.
	extraVolumes int64

	// efaOnly counts the interfaces without IP that the NodeClass asks for: all
	// of them, and those on the default card. cards is how many network cards
	// its interfaces need; 0 if it names no interfaces.
	efaOnly, efaOnlyDefaultCard, cards int64
	// enis is how many interfaces its default card needs, and prefixes how many the primary one gets.
	enis, prefixes int64

	// nitro and nested say what the type must be able to do.
	nitro, nested bool

	// From CatalogOptions: the overhead is in millionths.
	reservedENIs, memoryOverhead int64
}

// A NodeClassError says what in an EC2NodeClass is not understood.
type NodeClassError struct {
	// Field below spec: kubelet.maxPods.
	Field string
	// Problem with it, in a few words.
	Problem string
	// Unsupported tells that the field is as it should be, and that the family of
	// images cannot do it.
	Unsupported bool
}

// Error names the field first.
func (e *NodeClassError) Error() string { return "spec." + e.Field + ": " + e.Problem }

// badField is the error of a field that is not as it should be.
func badField(name, format string, args ...any) *NodeClassError {
	return &NodeClassError{Field: name, Problem: fmt.Sprintf(format, args...)}
}

// CheckNodeClass returns a *NodeClassError if BuildCatalog would not understand
// what a NodeClass asks of its nodes.
func CheckNodeClass(spec *v1.EC2NodeClassSpec) error {
	_, err := newMachine(spec)
	return err
}

func newMachine(spec *v1.EC2NodeClassSpec) (*machine, error) {
	if spec == nil {
		spec = &v1.EC2NodeClassSpec{AMIFamily: v1.AMIFamilyAL2023}
	}
	m := &machine{family: spec.Family(), raid0: spec.InstanceStorePolicy == v1.InstanceStoreRAID0, nitro: spec.ConnectionTracking != nil}
	if _, ok := families[m.family]; !ok {
		return nil, badField("amiFamily", "%q is not a family of images", m.family)
	}
	if p := spec.InstanceStorePolicy; p != "" && !m.raid0 {
		return nil, badField("instanceStorePolicy", "%q is not understood", p)
	}
	if m.raid0 && m.windows() {
		return nil, &NodeClassError{Field: "instanceStorePolicy", Problem: fmt.Sprintf("images of family %s cannot do it", m.family), Unsupported: true}
	}
	m.nested = spec.CPUOptions != nil && spec.CPUOptions.NestedVirtualization == "enabled"
	for _, i := range spec.NetworkInterfaces {
		m.cards = max(m.cards, int64(i.NetworkCardIndex)+1)
		if i.NetworkCardIndex == 0 {
			m.enis = max(m.enis, int64(i.DeviceIndex)+1)
		}
		if i.InterfaceType == v1.InterfaceTypeEFAOnly {
			m.efaOnly++
			if i.NetworkCardIndex == 0 {
				m.efaOnlyDefaultCard++
			}
		}
	}
	if n := len(spec.NetworkInterfaces); n > 1 && spec.AssociatePublicIPAddress != nil && *spec.AssociatePublicIPAddress {
		return nil, badField("associatePublicIPAddress", "EC2 gives a public address to a machine with one network interface only, and spec.networkInterfaces has %d", n)
	}
	if spec.IPPrefixCount != nil {
		m.prefixes = int64(*spec.IPPrefixCount)
	}
	m.extraVolumes = int64(max(len(families[m.family].volumes), len(spec.BlockDeviceMappings))) - 1
	var err error
	if m.rootBytes, err = rootBytes(m.family, spec.BlockDeviceMappings); err != nil {
		return nil, err
	}
	if m.kubelet, err = kubeletOfClass(spec); err != nil {
		return nil, err
	}
	return m, checkCarried(m.family, spec.Kubelet)
}

// A family is what of a family of images matters to capacity and disks.
type family struct {
	// volumes are the EBS volumes of a node where the NodeClass says nothing. The
	// last of them is what pods' ephemeral storage is on.
	volumes []familyVolume
	// eniPods: the number of pods is limited by the addresses of interfaces.
	eniPods bool
	// eniReserve: memory is reserved for as many pods as the interfaces allow,
	// even where maxPods allows fewer, because the image's bootstrap does so.
	eniReserve bool
}

// A familyVolume is a volume of a family's own. Without a device it is as the
// image has it, and its size is a guess.
type familyVolume struct {
	device string
	gib    int64
}

// families and their defaults, as Karpenter documents them for each AMI family.
var families = map[v1.AMIFamily]family{
	v1.AMIFamilyAL2:          {volumes: []familyVolume{{"/dev/xvda", 20}}, eniPods: true, eniReserve: true},
	v1.AMIFamilyAL2023:       {volumes: []familyVolume{{"/dev/xvda", 20}}, eniPods: true, eniReserve: true},
	v1.AMIFamilyBottlerocket: {volumes: []familyVolume{{"/dev/xvda", 4}, {"/dev/xvdb", 20}}, eniPods: true},
	v1.AMIFamilyCustom:       {volumes: []familyVolume{{"", 20}}, eniPods: true, eniReserve: true},
	v1.AMIFamilyWindows2019:  {volumes: []familyVolume{{"/dev/sda1", 50}}},
	v1.AMIFamilyWindows2022:  {volumes: []familyVolume{{"/dev/sda1", 50}}},
	v1.AMIFamilyWindows2025:  {volumes: []familyVolume{{"/dev/sda1", 50}}},
}

// podVolume is the volume that pods' ephemeral storage is on.
func (f family) podVolume() familyVolume { return f.volumes[len(f.volumes)-1] }

// rootBytes is the size of the volume for pods: of the mapping marked
// rootVolume, else of the family's device for pods (of the last mapping where
// the image is the user's own), else the family's default. A mapping without
// volumeSize has the size of its snapshot, which is not known here: the default
// stands for it.
func rootBytes(name v1.AMIFamily, mappings []v1.BlockDeviceMapping) (int64, error) {
	pods := families[name].podVolume()
	size := pods.gib << 30
	found := -1
	for i := range mappings {
		switch b := &mappings[i]; {
		case b.RootVolume:
			return volumeBytes(i, b, size)
		case name == v1.AMIFamilyCustom, b.DeviceName == pods.device:
			found = i
		}
	}
	if found < 0 {
		return size, nil
	}
	return volumeBytes(found, &mappings[found], size)
}

func volumeBytes(i int, b *v1.BlockDeviceMapping, otherwise int64) (int64, error) {
	if b.EBS == nil || b.EBS.VolumeSize == "" {
		return otherwise, nil
	}
	q, err := resource.ParseQuantity(b.EBS.VolumeSize)
	if err != nil || q.Sign() <= 0 {
		return 0, badField(fmt.Sprintf("blockDeviceMappings[%d].ebs.volumeSize", i), "%q is not a size", b.EBS.VolumeSize)
	}
	return q.Value(), nil
}

func (m *machine) windows() bool { return m.family.WindowsBuild() != "" }

// suits reports whether a type can be a node of the NodeClass.
func (m *machine) suits(t *TypeInfo) bool {
	switch {
	case !t.Supported():
		return false
	case t.Arch != "amd64" && m.windows():
		return false // there is no Windows for arm64 on EC2
	case strings.HasPrefix(t.Name, "a1.") && m.family == v1.AMIFamilyAL2023:
		return false // AL2023 needs ARMv8.2, which the first Graviton is not
	case m.nitro && t.Hypervisor != "nitro":
		return false // connection tracking is configurable on Nitro only
	case m.nested && !t.NestedVirtualization:
		return false
	case m.cards > max(1, t.NetworkCards), m.efaOnly > t.EFAs, m.enis > 1 && m.enis > t.ENIs:
		return false
	case m.prefixes > 0 && (t.Hypervisor != "nitro" || t.IPv4PerENI > 0 && m.prefixes >= t.IPv4PerENI):
		return false // a prefix takes the place of an address, and is for Nitro only
	case m.efaOnlyDefaultCard > 0 && m.efaOnlyDefaultCard >= t.ENIs:
		return false
	}
	return true
}
