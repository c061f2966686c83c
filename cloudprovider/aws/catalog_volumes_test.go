package aws

import (
	"testing"

	v1 "github.com/stowage-sh/stowage/cloudprovider/aws/v1"
)

// TestVolumes works out how many volumes of pods a node can attach.
func TestVolumes(t *testing.T) {
	second := []v1.BlockDeviceMapping{{DeviceName: "/dev/xvda"}, {DeviceName: "/dev/xvdb"}}
	for name, test := range map[string]struct {
		info TypeInfo
		spec v1.EC2NodeClassSpec
		want int64
	}{
		"28 slots, the root and two interfaces":     {TypeInfo{Hypervisor: "nitro"}, v1.EC2NodeClassSpec{AMIFamily: v1.AMIFamilyAL2023}, 25},
		"two NVMe disks":                            {TypeInfo{Hypervisor: "nitro", StorageNVMe: true, Disks: 2}, v1.EC2NodeClassSpec{AMIFamily: v1.AMIFamilyAL2023}, 23},
		"disks of old":                              {TypeInfo{Hypervisor: "nitro", Disks: 24}, v1.EC2NodeClassSpec{AMIFamily: v1.AMIFamilyAL2023}, 25},
		"an image with two volumes":                 {TypeInfo{Hypervisor: "nitro"}, v1.EC2NodeClassSpec{AMIFamily: v1.AMIFamilyBottlerocket}, 24},
		"a NodeClass with two":                      {TypeInfo{Hypervisor: "nitro"}, v1.EC2NodeClassSpec{AMIFamily: v1.AMIFamilyAL2023, BlockDeviceMappings: second}, 24},
		"39 slots on Xen, for volumes alone":        {TypeInfo{Hypervisor: "xen"}, v1.EC2NodeClassSpec{AMIFamily: v1.AMIFamilyAL2023}, 38},
		"as EC2 says":                               {TypeInfo{Hypervisor: "nitro", EBSVolumes: 20}, v1.EC2NodeClassSpec{AMIFamily: v1.AMIFamilyAL2023}, 17},
		"as EC2 says, and for volumes alone":        {TypeInfo{Hypervisor: "nitro", EBSVolumes: 64, EBSDedicated: true, StorageNVMe: true, Disks: 2}, v1.EC2NodeClassSpec{AMIFamily: v1.AMIFamilyAL2023}, 63},
		"more disks than slots: the driver has one": {TypeInfo{Hypervisor: "nitro", StorageNVMe: true, Disks: 24, EBSVolumes: 26}, v1.EC2NodeClassSpec{AMIFamily: v1.AMIFamilyAL2023}, 1},
	} {
		m, err := newMachine(&test.spec)
		if err != nil {
			t.Fatal(err)
		}
		if got := m.volumes(&test.info); got != test.want {
			t.Errorf("%s: %d volumes, want %d", name, got, test.want)
		}
	}
}
