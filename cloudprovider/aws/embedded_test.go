package aws

import (
	"slices"
	"strings"
	"testing"

	"github.com/stowage-sh/stowage/cloudprovider/aws/region"
	v1 "github.com/stowage-sh/stowage/cloudprovider/aws/v1"
)

// TestEmbeddedInvariants checks every embedded type against what holds of all.
func TestEmbeddedInvariants(t *testing.T) {
	types := EmbeddedTypes()
	if len(types) < 900 {
		t.Fatalf("%d embedded types, want at least 900", len(types))
	}
	if !slices.IsSortedFunc(types, func(a, b TypeInfo) int { return strings.Compare(a.Name, b.Name) }) {
		t.Error("the types are not sorted by name")
	}
	for _, i := range types {
		if err := i.check(); err != nil {
			t.Error(err)
		}
		letters, generation := category(i.Family())
		metal := strings.HasPrefix(i.Size(), "metal")
		for problem, holds := range map[string]bool{
			"is not supported":                  i.Supported(),
			"has no category or generation":     letters != "" && generation != "" && strings.HasPrefix(i.Name, letters),
			"has less than 256 MiB for a vCPU":  i.MemoryMiB >= 256*i.VCPUs,
			"has more than 66 GiB for a vCPU":   i.MemoryMiB <= 66*1024*i.VCPUs,
			"has no ENIs or no addresses":       i.ENIs > 0 && i.IPv4PerENI > 0,
			"has more than 16 ENIs on a card":   i.ENIs <= 16,
			"has a hypervisor, or is metal":     (i.Hypervisor == "") == i.BareMetal,
			"is metal by name only, or reverse": i.BareMetal == metal,
			"has an odd hypervisor":             slices.Contains([]string{"", "nitro", "xen"}, i.Hypervisor),
			"has an odd CPU manufacturer":       slices.Contains([]string{"", "intel", "amd", "aws"}, i.CPUManufacturer),
			"is arm64 of another manufacturer":  (i.Arch == "arm64") == (i.CPUManufacturer == "aws"),
			"has no region":                     len(i.Regions) > 0,
			"has regions that are none":         !slices.ContainsFunc(i.Regions, func(r string) bool { return region.Check(r) != nil }),
			"has unsorted regions or zones":     slices.IsSorted(i.Regions) && slices.IsSorted(i.ZoneIDs),
			"has devices without name":          (i.GPUs.Count > 0) == (i.GPUs.Name != "") && (i.Accelerators.Count > 0) == (i.Accelerators.Name != ""),
			"has GPUs without memory":           i.GPUs.Count == 0 || i.GPUs.MemoryMiB > 0,
			"has accelerators without cores":    i.Accelerators.Count == 0 || i.Accelerators.Cores > 0,
			"has NVMe disks of no size":         !i.StorageNVMe || i.StorageGB > 0,
			"is burstable and metal":            !i.Burstable || !i.BareMetal,
		} {
			if !holds {
				t.Errorf("%s %s: %+v", i.Name, problem, i)
			}
		}
	}
}

// TestEmbeddedCatalogs builds a catalog of every region and family: nothing may
// be negative, allocatable never exceeds capacity, and all zones are the region's.
func TestEmbeddedCatalogs(t *testing.T) {
	types := EmbeddedTypes()
	for _, name := range region.All() {
		names, err := region.Zones(name)
		if err != nil {
			t.Fatal(err)
		}
		var zones []Zone
		for _, n := range names {
			zones = append(zones, Zone{Name: n})
		}
		family := []v1.AMIFamily{v1.AMIFamilyAL2023, v1.AMIFamilyBottlerocket, v1.AMIFamilyAL2}[len(name)%3]
		c, err := BuildCatalog(types, CatalogOptions{
			Region: name, Zones: zones, NodeClass: &v1.EC2NodeClassSpec{AMIFamily: family}, VMMemoryOverheadPercent: UsualMemoryOverhead,
		})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		for _, it := range c.InstanceTypes {
			if len(it.Offerings) != 2*2*len(zones) { // capacity types and tenancies
				t.Errorf("%s: %s has %d offerings in %d zones", name, it.Name, len(it.Offerings), len(zones))
			}
			for r, n := range it.Capacity {
				if left := it.Allocatable[r]; left < 0 || left > n || n <= 0 {
					t.Errorf("%s: %s has %d of %d %s", name, it.Name, left, n, r)
				}
			}
			for key, value := range it.Labels {
				if len(value) > 63 || strings.ContainsAny(value, " /") {
					t.Errorf("%s: %s has the label %s=%q", name, it.Name, key, value)
				}
			}
		}
	}
}

// TestEmbeddedTypesAreShared checks that a caller may sort and cut its slice.
func TestEmbeddedTypesAreShared(t *testing.T) {
	first := EmbeddedTypes()
	want := first[0].Name
	first[0].Name = "changed"
	if got := EmbeddedTypes()[0].Name; got != want {
		t.Errorf("the first type is %q after a caller changed its own, want %q", got, want)
	}
	if _, ok := embeddedType("m5.large"); !ok {
		t.Error("m5.large is not found")
	}
	if _, ok := embeddedType("m5.nano"); ok {
		t.Error("m5.nano is found")
	}
}
