package conformance_test

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/stowage-sh/stowage/cloudprovider"
	v1 "github.com/stowage-sh/stowage/cloudprovider/aws/v1"
	"github.com/stowage-sh/stowage/test/ec2sim"
)

// bigTypes have several network cards with EFAs; one of them runs machines, and one is not on Nitro.
var bigTypes = []ec2sim.InstanceType{
	{Name: "p4d.24xlarge", Arch: "amd64", VCPU: 96, MemoryMiB: 1179648, ENIs: 15, IPv4PerENI: 50, MoreCards: []int{15, 15, 15}, EFAs: 4, NetworkMbps: 400000, EBSMbps: 19000, Manufacturer: "Intel"},
	{Name: "m8i.4xlarge", Arch: "amd64", VCPU: 16, MemoryMiB: 65536, ENIs: 8, IPv4PerENI: 30, NetworkMbps: 7500, EBSMbps: 5000, Manufacturer: "Intel", Nested: true},
	{Name: "p6-b300.48xlarge", Arch: "amd64", VCPU: 192, MemoryMiB: 4194304, ENIs: 8, IPv4PerENI: 50, MoreCards: []int{1, 1}, EFAs: 2, NetworkMbps: 400000, EBSMbps: 19000, Manufacturer: "Intel", Enclaves: true},
	{Name: "m4.large", Arch: "amd64", VCPU: 2, MemoryMiB: 8192, ENIs: 2, IPv4PerENI: 10, NetworkMbps: 450, EBSMbps: 450, Manufacturer: "Intel", Xen: true},
}

// machined launches an offering of a class, and returns what its launch template asks for below a
// prefix of the request, and the types that the class is offered.
func machined(t *testing.T, kind string, extended []string, edit func(*v1.EC2NodeClassSpec)) (asked map[string]string, offered []string) {
	t.Helper()
	b := &booking{account: newAccount(t, bigTypes...)}
	for _, big := range bigTypes {
		b.sim.SetPrice(cloudprovider.Offering{InstanceType: big.Name, Zone: region + "a", CapacityType: cloudprovider.OnDemand}, 1_000_000)
	}
	edit(&b.account.class.Spec)
	b.account.class.Generation++
	b.resolve()
	b.Provider, b.class = b.provider(), b.cloud().Class
	b.sim.Record(true)
	c, err := b.Catalog(t.Context(), b.class)
	if err != nil {
		t.Fatal(err)
	}
	for i := range c.InstanceTypes {
		offered = append(offered, c.InstanceTypes[i].Name)
	}
	o := cloudprovider.Offering{InstanceType: kind, Zone: region + "a", CapacityType: cloudprovider.OnDemand}
	i, err := b.Launch(t.Context(), cloudprovider.LaunchRequest{Claim: "claim", UID: "claim", Class: b.class, NodePool: "web", Offerings: []cloudprovider.Offering{o}, Extended: extended})
	if err != nil || i.Offering != o {
		t.Fatalf("launched %s, %v", i.Offering, err)
	}
	asked = map[string]string{}
	for key, values := range b.sim.Requests("CreateLaunchTemplate")[0].Form {
		key, ours := strings.CutPrefix(key, "LaunchTemplateData.")
		if ours && (strings.HasPrefix(key, "NetworkInterface.") || strings.HasPrefix(key, "CpuOptions.") || strings.HasPrefix(key, "EnclaveOptions.")) && !strings.Contains(key, "SecurityGroupId") {
			asked[key] = values[0]
		}
	}
	return asked, offered
}

// TestMachinesAreAskedFor: what an EC2NodeClass, and pods, ask of the machine is what the launch template says,
// EC2 takes it, and types that cannot have it are not offered.
func TestMachinesAreAskedFor(t *testing.T) {
	two, sixty := int32(2), int32(60)
	for name, c := range map[string]struct {
		kind     string
		extended []string
		edit     func(*v1.EC2NodeClassSpec)
		want     map[string]string
		without  string // a type that is not offered
	}{
		"EFAs for pods": {"p4d.24xlarge", []string{"vpc.amazonaws.com/efa"}, func(*v1.EC2NodeClassSpec) {}, map[string]string{
			"NetworkInterface.1.NetworkCardIndex": "0", "NetworkInterface.1.DeviceIndex": "0", "NetworkInterface.1.InterfaceType": "efa",
			"NetworkInterface.2.NetworkCardIndex": "1", "NetworkInterface.2.DeviceIndex": "1", "NetworkInterface.2.InterfaceType": "efa",
			"NetworkInterface.3.NetworkCardIndex": "2", "NetworkInterface.3.DeviceIndex": "1", "NetworkInterface.3.InterfaceType": "efa",
			"NetworkInterface.4.NetworkCardIndex": "3", "NetworkInterface.4.DeviceIndex": "1", "NetworkInterface.4.InterfaceType": "efa",
		}, ""},
		"EFAs where the first card has none": {"p6-b300.48xlarge", []string{"vpc.amazonaws.com/efa"}, func(*v1.EC2NodeClassSpec) {}, map[string]string{
			"NetworkInterface.1.NetworkCardIndex": "0", "NetworkInterface.1.DeviceIndex": "0",
			"NetworkInterface.2.NetworkCardIndex": "1", "NetworkInterface.2.DeviceIndex": "0", "NetworkInterface.2.InterfaceType": "efa-only",
			"NetworkInterface.3.NetworkCardIndex": "2", "NetworkInterface.3.DeviceIndex": "0", "NetworkInterface.3.InterfaceType": "efa-only",
		}, ""},
		"enclaves for pods": {"p6-b300.48xlarge", []string{"eks.amazonaws.com/nitro-sandbox"}, func(*v1.EC2NodeClassSpec) {}, map[string]string{"EnclaveOptions.Enabled": "true"}, ""},
		"no EFA asked for":  {"p4d.24xlarge", nil, func(*v1.EC2NodeClassSpec) {}, map[string]string{}, ""},
		"named interfaces": {"p4d.24xlarge", nil, func(s *v1.EC2NodeClassSpec) {
			s.NetworkInterfaces = []v1.NetworkInterface{{InterfaceType: "interface"}, {NetworkCardIndex: 1, DeviceIndex: 1, InterfaceType: "efa-only"}}
		}, map[string]string{
			"NetworkInterface.1.NetworkCardIndex": "0", "NetworkInterface.1.DeviceIndex": "0",
			"NetworkInterface.2.NetworkCardIndex": "1", "NetworkInterface.2.DeviceIndex": "1", "NetworkInterface.2.InterfaceType": "efa-only",
		}, "m5.large"},
		"prefixes and tracking": {"m5.large", nil, func(s *v1.EC2NodeClassSpec) {
			s.IPPrefixCount, s.ConnectionTracking = &two, &v1.ConnectionTracking{UDPTimeout: &sixty}
		}, map[string]string{
			"NetworkInterface.1.DeviceIndex": "0", "NetworkInterface.1.Ipv4PrefixCount": "2", "NetworkInterface.1.ConnectionTrackingSpecification.UdpTimeout": "60",
		}, "m4.large"},
		"machines in machines": {"m8i.4xlarge", nil, func(s *v1.EC2NodeClassSpec) {
			s.CPUOptions = &v1.CPUOptions{NestedVirtualization: "enabled"}
		}, map[string]string{"CpuOptions.NestedVirtualization": "enabled"}, "m5.large"},
	} {
		t.Run(name, func(t *testing.T) {
			asked, offered := machined(t, c.kind, c.extended, c.edit)
			if diff := cmp.Diff(c.want, asked); diff != "" {
				t.Errorf("the launch template (%v):\n%s", slices.Sorted(maps.Keys(asked)), diff)
			}
			if c.without != "" && slices.Contains(offered, c.without) {
				t.Errorf("%s is offered", c.without)
			}
		})
	}
}

// TestEnclavesArePossible: a type that EC2 says cannot have enclaves has none, whatever a NodeOverlay says.
func TestEnclavesArePossible(t *testing.T) {
	a := newAccount(t, bigTypes...)
	catalog := a.catalog(a.provider())
	for name, want := range map[string][]string{"p6-b300.48xlarge": nil, "m4.large": {"eks.amazonaws.com/nitro-sandbox"}} {
		it, ok := catalog.InstanceType(name)
		if diff := cmp.Diff(want, it.Impossible); !ok || diff != "" {
			t.Errorf("%s cannot have:\n%s", name, diff)
		}
	}
}
