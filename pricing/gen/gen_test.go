package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/stowage-sh/stowage/cloudprovider"
	"github.com/stowage-sh/stowage/cloudprovider/aws"
	"github.com/stowage-sh/stowage/pricing"
)

const limitsSource = `package vpc

var Other = map[string]int{"m5.large": 1}

var Limits = map[string]*VPCLimits{
	"p9.24xlarge": {
		Interface: 60, IPv4PerInterface: 50, IsTrunkingCompatible: true, BranchInterface: 62, DefaultNetworkCardIndex: 1,
		NetworkCards: []NetworkCard{
			{MaximumNetworkInterfaces: 30, NetworkCardIndex: 0},
			{MaximumNetworkInterfaces: 15, NetworkCardIndex: 1},
		},
		Hypervisor: "nitro", IsBareMetal: false,
	},
	"m9.metal": {
		Interface: 15, IPv4PerInterface: 50, IsTrunkingCompatible: false, BranchInterface: 7, DefaultNetworkCardIndex: 0,
		NetworkCards: []NetworkCard{{MaximumNetworkInterfaces: 15, NetworkCardIndex: 0}},
		Hypervisor: "", IsBareMetal: true,
	},
}
`

func TestParseLimits(t *testing.T) {
	got, err := parseLimits([]byte(limitsSource))
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]limit{
		"p9.24xlarge": {enis: 60, ipv4PerENI: 50, branchENIs: 62, defaultCardENIs: 15, cards: 2, hypervisor: "nitro"},
		"m9.metal":    {enis: 15, ipv4PerENI: 50, defaultCardENIs: 15, cards: 1, bareMetal: true},
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(limit{})); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for _, broken := range []string{
		"package vpc", "package vpc; var Limits = load()", "not Go",
		`package vpc; var Limits = map[string]*L{"m5.large": {Interface: 3}}`,
		`package vpc; var Limits = map[string]*L{"m5.large": {Interface: n, IPv4PerInterface: 10, NetworkCards: []C{{MaximumNetworkInterfaces: 3}}}}`,
	} {
		if l, err := parseLimits([]byte(broken)); err == nil {
			t.Errorf("parseLimits(%q) = %v, want an error", broken, l)
		}
	}
}

const instanceSource = `[
{"instance_type": "p9.24xlarge", "arch": ["x86_64"], "linux_virtualization_types": [], "vCPU": 96, "memory": 1.7,
 "generation": "current", "physical_processor": "Intel Xeon", "network_performance": "4x 100 Gigabit", "ebs_max_bandwidth": 19000,
 "GPU": 8, "GPU_model": "NVIDIA A100", "availability_zones": {"us-east-1": ["use1-az6", "use1-az1"]},
 "storage": {"devices": 8, "size": 1000, "nvme_ssd": true}, "vpc": {"ips_per_eni": 50, "max_enis": 60},
 "pricing": {
  "us-east-1": {"linux": {"ondemand": "32.7726", "spot": ["9.10", "9.20", "9.50", "9.40"]}},
  "eu-west-1": {"linux": {"ondemand": "35.5", "spot_avg": "10.000001"}},
  "us-west-2": {"dedicated": {"ondemand": "36.05"}},
  "us-east-1-bos-1": {"linux": {"ondemand": "50"}}}},
{"instance_type": "m1.small", "arch": ["i386", "x86_64"], "linux_virtualization_types": ["PV"], "vCPU": 1, "memory": 1.7,
 "pricing": {"us-east-1": {"linux": {"ondemand": "0.044"}}}}]`

func instancesOf(t *testing.T) []instance {
	t.Helper()
	var instances []instance
	if err := json.Unmarshal([]byte(instanceSource), &instances); err != nil {
		t.Fatal(err)
	}
	return instances
}

func TestTypeInfo(t *testing.T) {
	instances := instancesOf(t)
	got, err := instances[0].typeInfo(limit{enis: 60, ipv4PerENI: 50, branchENIs: 62, defaultCardENIs: 15, cards: 4, hypervisor: "nitro"})
	if err != nil {
		t.Fatal(err)
	}
	no := false // p9 is in no list of facts.go
	want := aws.TypeInfo{
		Name: "p9.24xlarge", Arch: "amd64", VCPUs: 96, MemoryMiB: 1740, ENIs: 15, NetworkCards: 4, IPv4PerENI: 50, BranchENIs: 62,
		NetworkMbps: 400_000, EBSMbps: 19_000, EncryptionInTransit: &no, Disks: 8, StorageGB: 8000, StorageNVMe: true, Hypervisor: "nitro",
		GPUs:              aws.Accelerators{Name: "a100", Manufacturer: "nvidia", Count: 8, MemoryMiB: 40960},
		CurrentGeneration: true, CPUManufacturer: "intel", Regions: []string{"eu-west-1", "us-east-1"}, ZoneIDs: []string{"use1-az1", "use1-az6"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	old, err := instances[1].typeInfo(limit{})
	if err != nil || old.Supported() {
		t.Errorf("a type without HVM is %+v, %v; want it unsupported", old, err)
	}
	// Without the table of limits, 60 interfaces on four cards say nothing about the first.
	if unknown, err := instances[0].typeInfo(limit{}); err != nil || unknown.ENIs != 0 {
		t.Errorf("without limits the type has %d ENIs, %v; want none known", unknown.ENIs, err)
	}
	instances[0].GPUModel = "NVIDIA Z1"
	if _, err := instances[0].typeInfo(limit{}); err == nil {
		t.Error("an unknown GPU passes, want an error")
	}
}

func TestNetworkMbps(t *testing.T) {
	for s, want := range map[string]int64{
		"25 Gigabit": 25000, "12.5 Gigabit": 12500, "28.12 Gigabit": 28120, "8x 100 Gigabit": 800_000,
		"Up to 10 Gigabit": 0, "Moderate": 0, "": 0, "x 100 Gigabit": 0,
	} {
		if got := networkMbps(s); got != want {
			t.Errorf("networkMbps(%q) = %d, want %d", s, got, want)
		}
	}
}

// TestTablesAreReproducible writes the same tables twice, the second time with
// the instances in another order, and reads them back.
func TestTablesAreReproducible(t *testing.T) {
	var files [2][]byte
	for run := range files {
		instances := instancesOf(t)
		if run == 1 {
			instances[0], instances[1] = instances[1], instances[0]
		}
		var types []aws.TypeInfo
		for _, i := range instances {
			info, err := i.typeInfo(limit{})
			if err != nil {
				t.Fatal(err)
			}
			if info.Supported() {
				types = append(types, info)
			}
		}
		tables, err := priceTables(instances, types)
		if err != nil || len(tables) != 2 {
			t.Fatalf("%d tables, %v; want those of two regions", len(tables), err)
		}
		var out bytes.Buffer
		if err := aws.WriteTypes(&out, types, "test", "2025-05-28"); err != nil {
			t.Fatal(err)
		}
		for _, table := range tables {
			if err := pricing.WriteCSV(&out, table); err != nil {
				t.Fatal(err)
			}
		}
		path := filepath.Join(t.TempDir(), "table.gz")
		if err := writeCompressed(path, out.Bytes()); err != nil {
			t.Fatal(err)
		}
		if files[run], err = os.ReadFile(path); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(files[0], files[1]) {
		t.Error("two runs give different bytes")
	}
}

func TestSpotIsTheUpperMedian(t *testing.T) {
	for _, c := range []struct {
		prices linuxPrices
		want   pricing.MicroUSD
		ok     bool
	}{
		{linuxPrices{Spot: []string{"0.1"}}, 100_000, true},
		{linuxPrices{Spot: []string{"0.3", "0.1", "0.2"}}, 200_000, true},
		{linuxPrices{Spot: []string{"0.1", "0.2", "0.4", "0.3"}, SpotAverage: "9"}, 300_000, true},
		{linuxPrices{SpotAverage: "0.035006"}, 35_006, true},
		{linuxPrices{}, 0, false},
	} {
		got, ok, err := c.prices.spot()
		if got != c.want || ok != c.ok || err != nil {
			t.Errorf("the spot price of %+v is %v, %v, %v; want %v, %v", c.prices, got, ok, err, c.want, c.ok)
		}
	}
	if _, _, err := (&linuxPrices{Spot: []string{"N/A"}}).spot(); err == nil {
		t.Error("a price that is none passes, want an error")
	}
}

func TestModuleDate(t *testing.T) {
	date := instancesModule.date()
	for where, got := range map[string]string{"the version": "2025-05-28", "pricing": pricing.EmbeddedDate, "aws": aws.EmbeddedDate} {
		if got != date {
			t.Errorf("%s says the data is of %s, want %s", where, got, date)
		}
	}
	if got := limitsModule.date(); got != "" {
		t.Errorf("the date of a release is %q, want none", got)
	}
}

// TestEmbeddedTablesAgree checks that types and prices are of one piece: a type
// is sold in a region if and only if it has an on-demand price there.
func TestEmbeddedTablesAgree(t *testing.T) {
	sold := map[string]map[string]bool{}
	for _, i := range aws.EmbeddedTypes() {
		for _, r := range i.Regions {
			if sold[r] == nil {
				sold[r] = map[string]bool{}
			}
			sold[r][i.Name] = true
		}
	}
	if len(sold) != len(pricing.Regions()) {
		t.Errorf("types are sold in %d regions, prices are of %d", len(sold), len(pricing.Regions()))
	}
	for _, r := range pricing.Regions() {
		table, err := pricing.Embedded(r)
		if err != nil {
			t.Fatal(err)
		}
		priced := map[string]bool{}
		for o := range table.All() {
			if o.CapacityType == cloudprovider.OnDemand {
				priced[o.InstanceType] = true
			}
		}
		if diff := cmp.Diff(sold[r], priced); diff != "" {
			t.Errorf("%s (-sold +priced):\n%s", r, diff)
		}
	}
}
