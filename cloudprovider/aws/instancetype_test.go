package aws

import (
	"bytes"
	"strings"
	"testing"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/google/go-cmp/cmp"
)

// described is what `aws ec2 describe-instance-types` prints: a GPU type, a
// machine with Neuron devices on two cards, a Mac and a type without HVM.
const described = `{
  "InstanceTypes": [
    {
      "InstanceType": "g5.12xlarge", "CurrentGeneration": true, "SupportedUsageClasses": ["on-demand", "spot"],
      "SupportedVirtualizationTypes": ["hvm"], "BareMetal": false, "Hypervisor": "nitro",
      "ProcessorInfo": {"SupportedArchitectures": ["x86_64"], "SustainedClockSpeedInGhz": 3.3, "Manufacturer": "AMD"},
      "VCpuInfo": {"DefaultVCpus": 48, "DefaultCores": 24}, "MemoryInfo": {"SizeInMiB": 196608},
      "InstanceStorageInfo": {"TotalSizeInGB": 3800, "Disks": [{"SizeInGB": 3800, "Count": 1}], "NvmeSupport": "required"},
      "EbsInfo": {"EbsOptimizedSupport": "default", "EbsOptimizedInfo": {"BaselineBandwidthInMbps": 16000, "MaximumBandwidthInMbps": 16000}},
      "NetworkInfo": {"MaximumNetworkInterfaces": 15, "MaximumNetworkCards": 1, "DefaultNetworkCardIndex": 0,
        "NetworkCards": [{"NetworkCardIndex": 0, "MaximumNetworkInterfaces": 15, "BaselineBandwidthInGbps": 40.0}],
        "Ipv4AddressesPerInterface": 50, "EfaSupported": true, "EfaInfo": {"MaximumEfaInterfaces": 1}, "EncryptionInTransitSupported": true},
      "GpuInfo": {"Gpus": [{"Name": "A10G", "Manufacturer": "NVIDIA", "Count": 4, "MemoryInfo": {"SizeInMiB": 22888}}]},
      "BurstablePerformanceSupported": false
    },
    {
      "InstanceType": "zz9.32xlarge", "NitroEnclavesSupport": "unsupported", "SupportedUsageClasses": ["capacity-block"], "Hypervisor": "nitro",
      "ProcessorInfo": {"SupportedArchitectures": ["arm64"], "SupportedFeatures": ["nested-virtualization"]},
      "VCpuInfo": {"DefaultVCpus": 128}, "MemoryInfo": {"SizeInMiB": 524288},
      "InstanceStorageInfo": {"TotalSizeInGB": 7600, "NvmeSupport": "unsupported"},
      "EbsInfo": {"EbsOptimizedSupport": "supported", "EbsOptimizedInfo": {"MaximumBandwidthInMbps": 16000}, "MaximumEbsAttachments": 64, "AttachmentLimitType": "dedicated"},
      "NetworkInfo": {"MaximumNetworkInterfaces": 15, "MaximumNetworkCards": 2, "DefaultNetworkCardIndex": 1, "NetworkCards": [
          {"NetworkCardIndex": 0, "MaximumNetworkInterfaces": 8, "BaselineBandwidthInGbps": 12.5},
          {"NetworkCardIndex": 1, "MaximumNetworkInterfaces": 7, "BaselineBandwidthInGbps": 12.5}],
        "Ipv4AddressesPerInterface": 50, "EfaSupported": false},
      "InferenceAcceleratorInfo": {"Accelerators": [{"Name": "Other", "Manufacturer": "AWS", "Count": 99}]},
      "NeuronInfo": {"NeuronDevices": [{"Name": "Trainium", "Count": 16, "CoreInfo": {"Count": 2}, "MemoryInfo": {"SizeInMiB": 32768}}]}
    },
    {"InstanceType": "mac2.metal", "ProcessorInfo": {"SupportedArchitectures": ["arm64_mac"]}, "VCpuInfo": {"DefaultVCpus": 8}, "MemoryInfo": {"SizeInMiB": 16384}},
    {"InstanceType": "m1.small", "SupportedVirtualizationTypes": ["paravirtual"], "ProcessorInfo": {"SupportedArchitectures": ["i386", "x86_64"]},
     "VCpuInfo": {"DefaultVCpus": 1}, "MemoryInfo": {"SizeInMiB": 1740}}
  ]
}`

func TestReadTypesOfTheCLI(t *testing.T) {
	got, err := ReadTypes(strings.NewReader(described), "types.json")
	if err != nil {
		t.Fatal(err)
	}
	yes := true
	g5, ok := embeddedType("g5.12xlarge")
	if !ok {
		t.Fatal("g5.12xlarge is not embedded")
	}
	want := []TypeInfo{
		{
			Name: "g5.12xlarge", Arch: "amd64", VCPUs: 48, MemoryMiB: 196608, ENIs: 15, NetworkCards: 1, IPv4PerENI: 50, EFAs: 1,
			BranchENIs: g5.BranchENIs, NetworkMbps: 40000, EBSMbps: 16000, EncryptionInTransit: &yes,
			GPUs:  Accelerators{Name: "a10g", Manufacturer: "nvidia", Count: 4, MemoryMiB: 22888},
			Disks: 1, StorageGB: 3800, StorageNVMe: true, Hypervisor: "nitro", CurrentGeneration: true, ClockMHz: 3300, CPUManufacturer: "amd",
			CapacityTypes: []string{"on-demand", "spot"},
		},
		{
			Name: "zz9.32xlarge", Arch: "arm64", VCPUs: 128, MemoryMiB: 524288, ENIs: 7, NetworkCards: 2, IPv4PerENI: 50, NetworkMbps: 25000,
			Accelerators: Accelerators{Name: "trainium", Manufacturer: "aws", Count: 16, MemoryMiB: 32768, Cores: 2},
			EBSVolumes:   64, EBSDedicated: true, StorageGB: 7600, Hypervisor: "nitro", NestedVirtualization: true, NitroEnclaves: sdk.Bool(false), CapacityTypes: []string{},
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	// What EC2 says of a type and what is embedded agree, where both know.
	live := got[0]
	live.CapacityTypes, live.ClockMHz, live.Regions, live.ZoneIDs = nil, 0, g5.Regions, g5.ZoneIDs
	if diff := cmp.Diff(g5, live); diff != "" {
		t.Errorf("g5.12xlarge, embedded and described (-embedded +described):\n%s", diff)
	}
}

func TestTypesRoundTrip(t *testing.T) {
	var out bytes.Buffer
	if err := WriteTypes(&out, EmbeddedTypes(), "somewhere", EmbeddedDate); err != nil {
		t.Fatal(err)
	}
	got, err := ReadTypes(&out, "types.json")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(EmbeddedTypes(), got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestReadTypesErrors(t *testing.T) {
	const own = `{"apiVersion": "stowage.sh/v1alpha1", "kind": "InstanceTypeList", "items": [`
	for _, c := range []struct{ in, want string }{
		{"", "types.json:1: unexpected end of JSON input"},
		{"{\n\n]", "types.json:3: invalid character"},
		{`[]`, "types.json:1: the document: a JSON array cannot be that"},
		{`{}`, `types.json: neither {"InstanceTypes": …} nor kind InstanceTypeList`},
		{`{"InstanceTypes": [{"InstanceType": "m5.large"}]}`, "types.json: InstanceTypes[0]: reading instance type m5.large: VCpuInfo.DefaultVCpus is missing"},
		{`{"InstanceTypes": [{}]}`, "types.json: InstanceTypes[0]: reading an instance type: InstanceType is missing"},
		{"{\"InstanceTypes\": [\n{\"InstanceType\": \"m5.large\", \"VCpuInfo\": {\"DefaultVCpus\": \"two\"}}]}", "types.json:2: InstanceTypes.VCpuInfo.DefaultVCpus: a JSON string"},
		{`{"kind": "Pod", "apiVersion": "v1"}`, `types.json: apiVersion "v1", kind "Pod"; want stowage.sh/v1alpha1, InstanceTypeList`},
		{own + `{"name": "m5.large", "arch": "x86_64", "vcpus": 2, "memoryMiB": 8192}]}`, `types.json: items[0]: m5.large: arch: "x86_64" is neither amd64 nor arm64`},
		{own + `{"name": "m5.large", "arch": "amd64", "vcpus": -2, "memoryMiB": 8192}]}`, "types.json: items[0]: m5.large: vcpus: must be more than 0"},
		{own + `{"name": "m5.large", "arch": "amd64", "vcpus": 2, "memoryMiB": 8192, "enis": -3}]}`, "types.json: items[0]: m5.large: a quantity is negative"},
		{own + `{"name": "m5.large", "arch": "amd64", "vcpus": 2, "memory": 8192}]}`, `types.json: json: unknown field "memory"`},
		{own + `{"name": "a1.x", "arch": "amd64", "vcpus": 2, "memoryMiB": 1}, {"name": "a1.x", "arch": "amd64", "vcpus": 2, "memoryMiB": 1}]}`, "types.json: instance type a1.x stands twice"},
	} {
		_, err := ReadTypes(strings.NewReader(c.in), "types.json")
		if err == nil || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("reading %s\ngives %v\nwant  %s…", c.in, err, c.want)
		}
	}
}

func TestCategory(t *testing.T) {
	for family, want := range map[string][2]string{
		"m5": {"m", "5"}, "m5a": {"m", "5"}, "m7i-flex": {"m", "7"}, "is4gen": {"is", "4"}, "hpc7g": {"hpc", "7"}, "u-12tb1": {"u", "1"},
		"u7in-16tb": {"u", "7"}, "x2iedn": {"x", "2"}, "p6-b200": {"p", "6"}, "odd": {"", ""}, "": {"", ""}, "5m": {"", ""},
	} {
		letters, generation := category(family)
		if letters != want[0] || generation != want[1] {
			t.Errorf("category(%q) = %q, %q; want %q, %q", family, letters, generation, want[0], want[1])
		}
	}
}
