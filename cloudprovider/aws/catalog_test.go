package aws

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"

	"github.com/stowage-sh/stowage/cloudprovider"
	v1 "github.com/stowage-sh/stowage/cloudprovider/aws/v1"
)

// catalogOf builds a catalog of the embedded types in two zones of us-east-1.
func catalogOf(t *testing.T, spec *v1.EC2NodeClassSpec) *cloudprovider.Catalog {
	t.Helper()
	c, err := BuildCatalog(EmbeddedTypes(), CatalogOptions{
		Region: "us-east-1", Zones: []Zone{{Name: "us-east-1a"}, {Name: "us-east-1b"}},
		NodeClass: spec, VMMemoryOverheadPercent: UsualMemoryOverhead,
	})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func find(t *testing.T, c *cloudprovider.Catalog, name string) *cloudprovider.InstanceType {
	t.Helper()
	it, ok := c.InstanceType(name)
	if !ok {
		t.Fatalf("the catalog has no %s", name)
	}
	return it
}

// TestResourcesByHand checks capacity and allocatable of one type of each kind
// against the formulas, worked out in the comments.
func TestResourcesByHand(t *testing.T) {
	c := catalogOf(t, nil)
	for _, want := range []struct {
		name                 string
		cpu, cpuLeft         int64 // m
		memory, memoryLeft   int64 // MiB
		pods                 int64
		storage, storageLeft int64 // bytes
		resource             string
		count                int64
	}{
		{
			// 3 ENIs × (10−1) + 2 = 29 pods. 8192 − ⌈8192 × 0.075 = 614.4⌉ = 8192 − 615 = 7577 MiB.
			// Reserved: 60 m + 10 m = 70 m; 11 × 29 + 255 = 574 MiB; evicted at 100 MiB: 7577 − 674 = 6903.
			// 20 GiB − 1 GiB − 10 % = 17 GiB.
			name: "m5.large", cpu: 2000, cpuLeft: 1930, memory: 7577, memoryLeft: 6903, pods: 29,
			storage: 20 * gib, storageLeft: 17 * gib, resource: resourcePodENI, count: 9,
		},
		{
			// arm64: 8192 − 64 = 8128; ⌈8128 × 0.075 = 609.6⌉ = 610; 8128 − 610 = 7518; 7518 − 674 = 6844.
			name: "m7g.large", cpu: 2000, cpuLeft: 1930, memory: 7518, memoryLeft: 6844, pods: 29,
			storage: 20 * gib, storageLeft: 17 * gib, resource: resourcePodENI, count: 9,
		},
		{
			// 2 ENIs × (2−1) + 2 = 4 pods. 512 − ⌈38.4⌉ = 473; 11 × 4 + 255 = 299; 473 − 299 − 100 = 74.
			name: "t3.nano", cpu: 2000, cpuLeft: 1930, memory: 473, memoryLeft: 74, pods: 4,
			storage: 20 * gib, storageLeft: 17 * gib,
		},
		{
			// 60 ENIs on 4 cards, 15 on the default one: 15 × (50−1) + 2 = 737 pods.
			// 60 + 10 + 2 × 5 + 92 × 2.5 = 310 m. 1152 × 1024 = 1179648; × 0.075 = 88473.6; 1179648 − 88474 = 1091174.
			// 11 × 737 + 255 = 8362; 1091174 − 8362 − 100 = 1082712.
			name: "p4d.24xlarge", cpu: 96000, cpuLeft: 95690, memory: 1091174, memoryLeft: 1082712, pods: 737,
			storage: 20 * gib, storageLeft: 17 * gib, resource: resourceNvidiaGPU, count: 8,
		},
		{
			// 15 ENIs on 2 cards, 8 on the default one: 8 × 49 + 2 = 394 pods.
			// 60 + 10 + 10 + 188 × 2.5 = 550 m. 1536 × 1024 = 1572864; × 0.075 = 117964.8; 1572864 − 117965 = 1454899.
			// 11 × 394 + 255 = 4589; 1454899 − 4589 − 100 = 1450210.
			name: "i7ie.48xlarge", cpu: 192000, cpuLeft: 191450, memory: 1454899, memoryLeft: 1450210, pods: 394,
			storage: 20 * gib, storageLeft: 17 * gib,
		},
		{
			// 40 ENIs on 8 cards, 5 on the default one: 5 × 49 + 2 = 247 pods. 16 devices of 2 cores.
			// 60 + 10 + 10 + 124 × 2.5 = 390 m. 524288 × 0.075 = 39321.6; 524288 − 39322 = 484966.
			// 11 × 247 + 255 = 2972; 484966 − 2972 − 100 = 481894.
			name: "trn1.32xlarge", cpu: 128000, cpuLeft: 127610, memory: 484966, memoryLeft: 481894, pods: 247,
			storage: 20 * gib, storageLeft: 17 * gib, resource: resourceNeuronCore, count: 32,
		},
	} {
		it := find(t, c, want.name)
		got := []int64{
			it.Capacity["cpu"], it.Allocatable["cpu"], it.Capacity["memory"] / mib, it.Allocatable["memory"] / mib,
			it.Capacity["pods"], it.Allocatable["pods"], it.Capacity["ephemeral-storage"], it.Allocatable["ephemeral-storage"],
		}
		expected := []int64{
			want.cpu, want.cpuLeft, want.memory, want.memoryLeft, want.pods, want.pods, want.storage, want.storageLeft,
		}
		if !slices.Equal(got, expected) {
			t.Errorf("%s: cpu, memory, pods, storage %d; want %d", want.name, got, expected)
		}
		if want.resource != "" && (it.Capacity[want.resource] != want.count || it.Allocatable[want.resource] != want.count) {
			t.Errorf("%s: %s is %d of %d, want %d", want.name, want.resource, it.Allocatable[want.resource], it.Capacity[want.resource], want.count)
		}
	}
}

func TestReservedMilliCPU(t *testing.T) {
	for cores, want := range map[int64]int64{0: 0, 1: 60, 2: 70, 3: 75, 4: 80, 5: 82, 6: 85, 8: 90, 16: 110, 32: 150, 48: 190, 64: 230, 96: 310, 192: 550, 448: 1190} {
		if got := reservedMilliCPU(cores); got != want {
			t.Errorf("reservedMilliCPU(%d) = %d, want %d", cores, got, want)
		}
	}
}

// A classCase edits a NodeClass of AL2023 and says what an m5d.large (2 vCPUs,
// 8 GiB, 3 × 10 addresses, 75 GB of NVMe) then has for pods, by the keys of want.
type classCase struct {
	name string
	edit func(*v1.EC2NodeClassSpec)
	want cloudprovider.Resources
}

func runClassCases(t *testing.T, cases []classCase) {
	t.Helper()
	for _, c := range cases {
		spec := &v1.EC2NodeClassSpec{AMIFamily: v1.AMIFamilyAL2023}
		c.edit(spec)
		it := find(t, catalogOf(t, spec), "m5d.large")
		for name, want := range c.want {
			if got := it.Allocatable[name]; got != want {
				t.Errorf("%s: %s is %d, want %d", c.name, name, got, want)
			}
		}
	}
}

// kubeletOf sets keys of the kubelet map to JSON values.
func kubeletOf(pairs ...string) func(*v1.EC2NodeClassSpec) {
	return func(s *v1.EC2NodeClassSpec) {
		s.Kubelet = map[string]apiextensionsv1.JSON{}
		for i := 0; i < len(pairs); i += 2 {
			s.Kubelet[pairs[i]] = apiextensionsv1.JSON{Raw: []byte(pairs[i+1])}
		}
	}
}

func TestKubeletOfNodeClass(t *testing.T) {
	runClassCases(t, []classCase{
		{"nothing", func(*v1.EC2NodeClassSpec) {}, cloudprovider.Resources{"cpu": 1930, "memory": 6903 * mib, "pods": 29, "ephemeral-storage": 17 * gib}},
		// AL2023 reserves memory for the 29 pods of its interfaces, whatever maxPods says.
		{"maxPods", kubeletOf("maxPods", "110"), cloudprovider.Resources{"pods": 110, "memory": 6903 * mib}},
		{"podsPerCore", kubeletOf("podsPerCore", "10"), cloudprovider.Resources{"pods": 20, "memory": 6903 * mib}},
		{"podsPerCore above", kubeletOf("podsPerCore", "40"), cloudprovider.Resources{"pods": 29}},
		// 7577 − 500 − 100 and 2000 − 70 − 100: a key that is set replaces that key only.
		{"kubeReserved", kubeletOf("kubeReserved", `{"memory":"500Mi"}`, "systemReserved", `{"cpu":"100m","pid":"100"}`),
			cloudprovider.Resources{"memory": 6977 * mib, "cpu": 1830}},
		// 7577 − 574 − ⌈5 % of 7577 Mi = 378.85 Mi⌉ in bytes; 20 Gi − 1 Gi − 2 Gi as before.
		{"evictionHard in percent", kubeletOf("evictionHard", `{"memory.available":"5%"}`),
			cloudprovider.Resources{"memory": 7003*mib - (7577*mib*5+99)/100, "ephemeral-storage": 17 * gib}},
		{"evictionHard turned off", kubeletOf("evictionHard", `{"memory.available":"100%","nodefs.available":"1Gi","pid.available":"5%"}`),
			cloudprovider.Resources{"memory": 7003 * mib, "ephemeral-storage": 18 * gib}},
		{"keys that do not matter", kubeletOf("clusterDNS", `["10.0.0.10"]`, "cpuCFSQuota", "false", "evictionSoft", `{"memory.available":"50%"}`),
			cloudprovider.Resources{"memory": 6903 * mib}},
	})
}

func TestDisksOfNodeClass(t *testing.T) {
	runClassCases(t, []classCase{
		// 75e9 bytes − 1 GiB − 10 %.
		{"RAID0", func(s *v1.EC2NodeClassSpec) { s.InstanceStorePolicy = v1.InstanceStoreRAID0 },
			cloudprovider.Resources{"ephemeral-storage": 67_500_000_000 - gib}},
		{"root volume", func(s *v1.EC2NodeClassSpec) {
			s.BlockDeviceMappings = []v1.BlockDeviceMapping{
				{DeviceName: "/dev/xvda", EBS: &v1.BlockDevice{VolumeSize: "30Gi"}},
				{DeviceName: "/dev/xvdb", EBS: &v1.BlockDevice{VolumeSize: "100Gi"}, RootVolume: true},
			}
		}, cloudprovider.Resources{"ephemeral-storage": 89 * gib}},
		{"the family's device", func(s *v1.EC2NodeClassSpec) {
			s.BlockDeviceMappings = []v1.BlockDeviceMapping{
				{DeviceName: "/dev/xvdb", EBS: &v1.BlockDevice{VolumeSize: "100Gi"}},
				{DeviceName: "/dev/xvda", EBS: &v1.BlockDevice{VolumeSize: "30Gi"}},
			}
		}, cloudprovider.Resources{"ephemeral-storage": 26 * gib}},
		{"another device", func(s *v1.EC2NodeClassSpec) {
			s.BlockDeviceMappings = []v1.BlockDeviceMapping{{DeviceName: "/dev/xvdz", EBS: &v1.BlockDevice{VolumeSize: "30Gi"}}}
		}, cloudprovider.Resources{"ephemeral-storage": 17 * gib}},
		{"a snapshot of unknown size", func(s *v1.EC2NodeClassSpec) {
			s.BlockDeviceMappings = []v1.BlockDeviceMapping{{DeviceName: "/dev/xvda", EBS: &v1.BlockDevice{SnapshotID: "snap-1"}}}
		}, cloudprovider.Resources{"ephemeral-storage": 17 * gib}},
		{"Custom takes the last device", func(s *v1.EC2NodeClassSpec) {
			s.AMIFamily = v1.AMIFamilyCustom
			s.BlockDeviceMappings = []v1.BlockDeviceMapping{
				{DeviceName: "/dev/xvda", EBS: &v1.BlockDevice{VolumeSize: "10Gi"}}, {DeviceName: "/dev/xvdz", EBS: &v1.BlockDevice{VolumeSize: "40Gi"}},
			}
		}, cloudprovider.Resources{"ephemeral-storage": 35 * gib}},
	})
}

func TestFamilyOfNodeClass(t *testing.T) {
	runClassCases(t, []classCase{
		// Bottlerocket reserves for the pods that kubelet allows: 11 × 110 + 255 = 1465.
		{"Bottlerocket", func(s *v1.EC2NodeClassSpec) {
			s.AMIFamily = v1.AMIFamilyBottlerocket
			kubeletOf("maxPods", "110")(s)
		}, cloudprovider.Resources{"pods": 110, "memory": (7577 - 1465 - 100) * mib}},
		// Windows has kubelet's 110 pods and a volume of 50 GiB: 50 − 1 − 5.
		{"Windows", func(s *v1.EC2NodeClassSpec) { s.AMIFamily = v1.AMIFamilyWindows2022 },
			cloudprovider.Resources{"pods": 110, "memory": (7577 - 1465 - 100) * mib, "ephemeral-storage": 44 * gib, resourcePrivateIPv4: 9}},
	})
}

func TestReservedENIs(t *testing.T) {
	for reserved, want := range map[int64]int64{0: 29, 1: 20, 2: 11, 3: 0, 4: 0} {
		c, err := BuildCatalog(EmbeddedTypes(), CatalogOptions{Region: "us-east-1", Zones: []Zone{{Name: "us-east-1a"}}, ReservedENIs: reserved})
		if err != nil {
			t.Fatal(err)
		}
		if got := find(t, c, "m5.large").Capacity["pods"]; got != want {
			t.Errorf("with %d ENIs reserved an m5.large has %d pods, want %d", reserved, got, want)
		}
	}
}

func TestLabels(t *testing.T) {
	c := catalogOf(t, nil)
	want := map[string]string{
		"kubernetes.io/arch": "amd64", "kubernetes.io/os": "linux", "node.kubernetes.io/instance-type": "g5.12xlarge",
		"topology.kubernetes.io/region": "us-east-1",
		v1.LabelInstanceCategory:        "g", v1.LabelInstanceFamily: "g5", v1.LabelInstanceGeneration: "5", v1.LabelInstanceSize: "12xlarge",
		v1.LabelInstanceCapabilityFlex: "false", v1.LabelInstanceHypervisor: "nitro", v1.LabelInstanceEncryptionInTransit: "true",
		v1.LabelInstanceCPU: "48", v1.LabelInstanceCPUManufacturer: "amd",
		v1.LabelInstanceMemory: "196608", v1.LabelInstanceEBSBandwidth: "16000", v1.LabelInstanceNetworkBandwidth: "40000",
		v1.LabelInstanceLocalNVME: "3800", v1.LabelInstanceTenancy: "default",
		v1.LabelInstanceGPUName: "a10g", v1.LabelInstanceGPUManufacturer: "nvidia", v1.LabelInstanceGPUCount: "4", v1.LabelInstanceGPUMemory: "22888",
	}
	if diff := cmp.Diff(want, find(t, c, "g5.12xlarge").Labels); diff != "" {
		t.Errorf("labels of g5.12xlarge (-want +got):\n%s", diff)
	}
	for _, c2 := range []struct{ name, label, want string }{
		{"m5.metal", v1.LabelInstanceHypervisor, ""}, {"m4.large", v1.LabelInstanceHypervisor, "xen"},
		{"m7i-flex.large", v1.LabelInstanceCapabilityFlex, "true"}, {"m7i-flex.large", v1.LabelInstanceGeneration, "7"},
		{"u-6tb1.56xlarge", v1.LabelInstanceCategory, "u"}, {"u-6tb1.56xlarge", v1.LabelInstanceGeneration, "1"},
		{"inf2.48xlarge", v1.LabelInstanceAcceleratorName, "inferentia2"}, {"inf2.48xlarge", v1.LabelInstanceAcceleratorCount, "12"},
		{"dl1.24xlarge", v1.LabelInstanceGPUName, "gaudi-hl-205"}, {"g4ad.xlarge", v1.LabelInstanceGPUName, "radeon-pro-v520"},
	} {
		got, ok := find(t, c, c2.name).Labels[c2.label]
		if !ok || got != c2.want {
			t.Errorf("%s: %s is %q (there: %v), want %q", c2.name, c2.label, got, ok, c2.want)
		}
	}
	for _, absent := range []struct{ name, label string }{
		{"m5.large", v1.LabelInstanceGPUName}, {"m5.large", v1.LabelInstanceLocalNVME}, {"m5.large", v1.LabelInstanceAcceleratorName},
		{"m5.large", v1.LabelInstanceNetworkBandwidth}, // "Up to 10 Gigabit" is no baseline
		{"inf2.48xlarge", v1.LabelInstanceGPUName},
	} {
		if v, ok := find(t, c, absent.name).Labels[absent.label]; ok {
			t.Errorf("%s has %s=%q, want it absent", absent.name, absent.label, v)
		}
	}
}

func TestSuits(t *testing.T) {
	nested := &v1.CPUOptions{NestedVirtualization: "enabled"}
	timeout := int32(60)
	for _, c := range []struct {
		name      string
		spec      v1.EC2NodeClassSpec
		have, not []string
	}{
		{"AL2023", v1.EC2NodeClassSpec{AMIFamily: v1.AMIFamilyAL2023}, []string{"m5.large", "m6g.large", "m4.large"}, []string{"a1.large", "mac1.metal", "m1.small"}},
		{"AL2", v1.EC2NodeClassSpec{AMIFamily: v1.AMIFamilyAL2}, []string{"a1.large"}, nil},
		{"Windows", v1.EC2NodeClassSpec{AMIFamily: v1.AMIFamilyWindows2022}, []string{"m5.large"}, []string{"m6g.large"}},
		{"connection tracking", v1.EC2NodeClassSpec{AMIFamily: v1.AMIFamilyAL2023, ConnectionTracking: &v1.ConnectionTracking{UDPTimeout: &timeout}},
			[]string{"m5.large"}, []string{"m4.large"}},
		{"nested virtualization", v1.EC2NodeClassSpec{AMIFamily: v1.AMIFamilyAL2023, CPUOptions: nested}, nil, []string{"m5.large"}},
		{"four network cards", v1.EC2NodeClassSpec{AMIFamily: v1.AMIFamilyAL2023, NetworkInterfaces: []v1.NetworkInterface{
			{InterfaceType: v1.InterfaceTypeInterface}, {NetworkCardIndex: 3, DeviceIndex: 1, InterfaceType: v1.InterfaceTypeEFAOnly},
		}}, []string{"p4d.24xlarge"}, []string{"m5.large", "c6in.32xlarge"}},
	} {
		catalog := catalogOf(t, &c.spec)
		for _, n := range c.have {
			if _, ok := catalog.InstanceType(n); !ok {
				t.Errorf("%s: %s is missing", c.name, n)
			}
		}
		for _, n := range c.not {
			if _, ok := catalog.InstanceType(n); ok {
				t.Errorf("%s: %s is there", c.name, n)
			}
		}
	}
}

func TestOfferings(t *testing.T) {
	types := EmbeddedTypes()
	c, err := BuildCatalog(types, CatalogOptions{
		Region: "us-east-1", Zones: []Zone{{"us-east-1b", "use1-az3"}, {"us-east-1a", "use1-az1"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	// use1-az3 is an old zone without newer types.
	want := []cloudprovider.Offering{
		{InstanceType: "m7g.large", Zone: "us-east-1a", CapacityType: "on-demand"},
		{InstanceType: "m7g.large", Zone: "us-east-1a", CapacityType: "on-demand", Tenancy: "dedicated"},
		{InstanceType: "m7g.large", Zone: "us-east-1a", CapacityType: "spot"},
		{InstanceType: "m7g.large", Zone: "us-east-1a", CapacityType: "spot", Tenancy: "dedicated"},
	}
	if diff := cmp.Diff(want, find(t, c, "m7g.large").Offerings); diff != "" {
		t.Errorf("offerings of m7g.large (-want +got):\n%s", diff)
	}
	if got := c.ZoneLabels["us-east-1b"][v1.LabelZoneID]; got != "use1-az3" {
		t.Errorf("the zone ID of us-east-1b is %q", got)
	}
	c, err = BuildCatalog(types, CatalogOptions{
		Region: "us-east-1", Zones: []Zone{{Name: "us-east-1a"}, {Name: "us-east-1b"}}, CapacityTypes: []string{cloudprovider.Spot},
		Offered: func(instanceType, zone string) bool { return instanceType == "m5.large" && zone == "us-east-1b" },
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(c.InstanceTypes) != 1 || len(c.InstanceTypes[0].Offerings) != 2 || c.InstanceTypes[0].Offerings[0].String() != "m5.large/us-east-1b/spot" {
		t.Errorf("the catalog is %+v, want m5.large/us-east-1b/spot only, of each tenancy", c.InstanceTypes)
	}
	if c.ZoneLabels != nil {
		t.Errorf("labels of zones without ID: %v", c.ZoneLabels)
	}
}

func TestOptionsAreChecked(t *testing.T) {
	zones := []Zone{{Name: "us-east-1a"}}
	for name, o := range map[string]CatalogOptions{
		"no region": {Zones: zones}, "no zones": {Region: "us-east-1"}, "a zone without name": {Region: "us-east-1", Zones: []Zone{{ID: "use1-az1"}}},
		"overhead": {Region: "us-east-1", Zones: zones, VMMemoryOverheadPercent: 7.5}, "ENIs": {Region: "us-east-1", Zones: zones, ReservedENIs: -1},
		"family": {Region: "us-east-1", Zones: zones, NodeClass: &v1.EC2NodeClassSpec{}},
	} {
		if c, err := BuildCatalog(EmbeddedTypes(), o); err == nil {
			t.Errorf("%s: a catalog of %d types, want an error", name, len(c.InstanceTypes))
		}
	}
}

// TestOrderOfTypesAndZonesDoesNotMatter shuffles both.
func TestOrderOfTypesAndZonesDoesNotMatter(t *testing.T) {
	want := catalogOf(t, nil)
	for seed := range uint64(5) {
		r := rand.New(rand.NewPCG(seed, 0))
		types := EmbeddedTypes()
		r.Shuffle(len(types), func(i, j int) { types[i], types[j] = types[j], types[i] })
		zones := []Zone{{Name: "us-east-1a"}, {Name: "us-east-1b"}}
		r.Shuffle(len(zones), func(i, j int) { zones[i], zones[j] = zones[j], zones[i] })
		got, err := BuildCatalog(types, CatalogOptions{Region: "us-east-1", Zones: zones, VMMemoryOverheadPercent: UsualMemoryOverhead})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("seed %d (go test ./cloudprovider/aws -run TestOrderOfTypesAndZonesDoesNotMatter): %s", seed, diff)
		}
	}
}
