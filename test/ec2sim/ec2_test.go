package ec2sim

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/google/go-cmp/cmp"
)

func TestDescribeInstanceTypes(t *testing.T) {
	h := start(t, Options{Types: FewTypes()})
	var names []string
	pages := ec2.NewDescribeInstanceTypesPaginator(h.ec2, &ec2.DescribeInstanceTypesInput{
		MaxResults: aws.Int32(7),
		Filters:    []types.Filter{{Name: aws.String("processor-info.supported-architecture"), Values: []string{"x86_64"}}},
	})
	n := 0
	for ; pages.HasMorePages(); n++ {
		out, err := pages.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, x := range out.InstanceTypes {
			names = append(names, string(x.InstanceType))
		}
	}
	var want []string
	for _, x := range FewTypes() {
		if x.Arch == "amd64" {
			want = append(want, x.Name)
		}
	}
	slices.Sort(want)
	if diff := cmp.Diff(want, names); diff != "" || n != 2 {
		t.Errorf("%d pages; types (-want +got):\n%s", n, diff)
	}
	out, err := h.ec2.DescribeInstanceTypes(t.Context(), &ec2.DescribeInstanceTypesInput{InstanceTypes: []types.InstanceType{"g5.xlarge"}})
	if err != nil {
		t.Fatal(err)
	}
	g := out.InstanceTypes[0]
	got := fmt.Sprintln(*g.VCpuInfo.DefaultVCpus, *g.MemoryInfo.SizeInMiB, *g.NetworkInfo.MaximumNetworkInterfaces, *g.NetworkInfo.Ipv4AddressesPerInterface,
		*g.GpuInfo.Gpus[0].Name, *g.GpuInfo.Gpus[0].Count, *g.GpuInfo.Gpus[0].MemoryInfo.SizeInMiB, *g.InstanceStorageInfo.TotalSizeInGB,
		g.ProcessorInfo.SupportedArchitectures, g.SupportedUsageClasses, g.Hypervisor, *g.NetworkInfo.NetworkCards[0].MaximumNetworkInterfaces,
		*g.NetworkInfo.EncryptionInTransitSupported, *g.ProcessorInfo.SustainedClockSpeedInGhz, *g.EbsInfo.EbsOptimizedInfo.BaselineBandwidthInMbps)
	if want := "4 16384 4 15 A10G 1 24576 250 [x86_64] [on-demand spot] nitro 4 true 3.3 700\n"; got != want {
		t.Errorf("g5.xlarge is\n%s, want\n%s", got, want)
	}
}

func TestDescribeInstanceTypeOfferings(t *testing.T) {
	types_ := []InstanceType{{Name: "a.large", Arch: "amd64"}, {Name: "b.large", Arch: "amd64", Zones: []string{"us-west-2b"}}}
	h := start(t, Options{Types: types_})
	for _, c := range []struct {
		kind types.LocationType
		want string
	}{
		{types.LocationTypeRegion, "a.large@us-west-2 b.large@us-west-2"},
		{types.LocationTypeAvailabilityZone, "a.large@us-west-2a a.large@us-west-2b a.large@us-west-2c b.large@us-west-2b"},
		{types.LocationTypeAvailabilityZoneId, "a.large@usw2-az1 a.large@usw2-az2 a.large@usw2-az3 b.large@usw2-az2"},
	} {
		out, err := h.ec2.DescribeInstanceTypeOfferings(t.Context(), &ec2.DescribeInstanceTypeOfferingsInput{LocationType: c.kind})
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, o := range out.InstanceTypeOfferings {
			got = append(got, string(o.InstanceType)+"@"+*o.Location)
		}
		if s := strings.Join(got, " "); s != c.want {
			t.Errorf("%s: %s, want %s", c.kind, s, c.want)
		}
	}
}

// TestPages walks pages of the largest list with the least page size.
func TestPages(t *testing.T) {
	h := start(t, Options{Types: FewTypes()})
	var got []string
	pages := ec2.NewDescribeInstanceTypeOfferingsPaginator(h.ec2, &ec2.DescribeInstanceTypeOfferingsInput{
		LocationType: types.LocationTypeAvailabilityZone, MaxResults: aws.Int32(5)})
	for pages.HasMorePages() {
		out, err := pages.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range out.InstanceTypeOfferings {
			got = append(got, string(o.InstanceType)+" "+*o.Location)
		}
	}
	if want := 3 * len(FewTypes()); len(got) != want || len(slices.Compact(got)) != want || !slices.IsSorted(got) {
		t.Errorf("%d rows over all pages, want %d, sorted and each once", len(got), want)
	}
}

func TestDescribeNetwork(t *testing.T) {
	h := start(t, Options{Cluster: Cluster{Name: "demo"}})
	found := types.Filter{Name: aws.String("tag:karpenter.sh/discovery"), Values: []string{"demo"}}
	subnets, err := h.ec2.DescribeSubnets(t.Context(), &ec2.DescribeSubnetsInput{Filters: []types.Filter{found}})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, n := range subnets.Subnets {
		got = append(got, fmt.Sprintf("%s %s %s %d %d", *n.AvailabilityZone, *n.AvailabilityZoneId, *n.CidrBlock, *n.AvailableIpAddressCount, len(n.Tags)))
	}
	want := []string{"us-west-2a usw2-az1 10.0.32.0/19 8187 2", "us-west-2b usw2-az2 10.0.64.0/19 8187 2", "us-west-2c usw2-az3 10.0.96.0/19 8187 2"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	groups, err := h.ec2.DescribeSecurityGroups(t.Context(), &ec2.DescribeSecurityGroupsInput{Filters: []types.Filter{found}})
	if err != nil || len(groups.SecurityGroups) != 1 || *groups.SecurityGroups[0].GroupName != "demo-node" {
		t.Errorf("security groups %+v, %v", groups, err)
	}
	zones, err := h.ec2.DescribeAvailabilityZones(t.Context(), &ec2.DescribeAvailabilityZonesInput{ZoneNames: []string{"us-west-2b"}})
	if err != nil || len(zones.AvailabilityZones) != 1 || *zones.AvailabilityZones[0].ZoneId != "usw2-az2" {
		t.Errorf("zones %+v, %v", zones, err)
	}
	none := types.Filter{Name: aws.String("tag-key"), Values: []string{"no*thing"}}
	subnets, err = h.ec2.DescribeSubnets(t.Context(), &ec2.DescribeSubnetsInput{Filters: []types.Filter{none}})
	if err != nil || len(subnets.Subnets) != 0 {
		t.Errorf("subnets without a match: %+v, %v", subnets.Subnets, err)
	}
}

func TestDescribeImages(t *testing.T) {
	h := start(t, Options{})
	names := func(in *ec2.DescribeImagesInput) string {
		t.Helper()
		out, err := h.ec2.DescribeImages(t.Context(), in)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, m := range out.Images {
			got = append(got, *m.Name)
		}
		slices.Sort(got)
		return strings.Join(got, " ")
	}
	filter := func(name string, values ...string) []types.Filter {
		return []types.Filter{{Name: &name, Values: values}}
	}
	for _, c := range []struct {
		why  string
		in   *ec2.DescribeImagesInput
		want string
	}{
		{"own", &ec2.DescribeImagesInput{Owners: []string{"self"}}, "custom-amd64 custom-arm64"},
		{"by tag", &ec2.DescribeImagesInput{Owners: []string{"self", "amazon"}, Filters: filter("tag:Name", "custom")}, "custom-amd64 custom-arm64"},
		{"by pattern", &ec2.DescribeImagesInput{Filters: filter("name", "*arm64-standard-1.36-v*")},
			"amazon-eks-node-al2023-arm64-standard-1.36-v20260711 amazon-eks-node-al2023-arm64-standard-1.36-v20260811"},
		{"deprecated are left out", &ec2.DescribeImagesInput{Filters: filter("name", "*neuron*")}, "amazon-eks-node-al2023-x86_64-neuron-1.36-v20260811"},
		{"unless asked for", &ec2.DescribeImagesInput{Filters: filter("name", "*neuron*"), IncludeDeprecated: aws.Bool(true)},
			"amazon-eks-node-al2023-x86_64-neuron-1.36-v20260711 amazon-eks-node-al2023-x86_64-neuron-1.36-v20260811"},
	} {
		if got := names(c.in); got != c.want {
			t.Errorf("%s: %q, want %q", c.why, got, c.want)
		}
	}
	out, err := h.ec2.DescribeImages(t.Context(), &ec2.DescribeImagesInput{ImageIds: []string{h.image("arm64")}})
	if err != nil {
		t.Fatal(err)
	}
	m := out.Images[0]
	if m.Architecture != types.ArchitectureValuesArm64 || *m.BlockDeviceMappings[0].Ebs.VolumeSize != 20 || *m.BlockDeviceMappings[0].DeviceName != "/dev/xvda" || *m.ImageOwnerAlias != "amazon" {
		t.Errorf("image %+v", m)
	}
	if _, err := time.Parse(time.RFC3339, *m.CreationDate); err != nil {
		t.Error(err)
	}
}

func TestLaunchTemplates(t *testing.T) {
	h := start(t, Options{})
	for i := range 5 {
		h.template(fmt.Sprintf("karpenter.k8s.aws/%d", i), func(d *types.RequestLaunchTemplateData) {
			d.TagSpecifications = []types.LaunchTemplateTagSpecificationRequest{{ResourceType: types.ResourceTypeVolume, Tags: []types.Tag{{Key: aws.String("a"), Value: aws.String("b")}}}}
		})
	}
	pages := ec2.NewDescribeLaunchTemplatesPaginator(h.ec2, &ec2.DescribeLaunchTemplatesInput{MaxResults: aws.Int32(2)})
	var got []types.LaunchTemplate
	for pages.HasMorePages() {
		out, err := pages.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, out.LaunchTemplates...)
	}
	if len(got) != 5 || *got[4].LaunchTemplateName != "karpenter.k8s.aws/4" || *got[0].LatestVersionNumber != 1 || got[0].CreateTime.IsZero() {
		t.Fatalf("templates %+v", got)
	}
	if _, err := h.ec2.DeleteLaunchTemplate(t.Context(), &ec2.DeleteLaunchTemplateInput{LaunchTemplateId: got[0].LaunchTemplateId}); err != nil {
		t.Fatal(err)
	}
	_, err := h.ec2.DescribeLaunchTemplates(t.Context(), &ec2.DescribeLaunchTemplatesInput{LaunchTemplateNames: []string{"karpenter.k8s.aws/0"}})
	if c := code(t, err); c != "InvalidLaunchTemplateName.NotFoundException" {
		t.Errorf("describing a deleted template: %s", c)
	}
	if n := len(h.Templates()); n != 4 {
		t.Errorf("%d templates left", n)
	}
}

func TestUnsignedRequest(t *testing.T) {
	h := start(t, Options{})
	r, err := http.PostForm(h.URL(), map[string][]string{"Action": {"DescribeSubnets"}})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	if r.StatusCode != http.StatusForbidden {
		t.Errorf("status %d, want 403", r.StatusCode)
	}
}

func TestEmptyLists(t *testing.T) {
	h := start(t, Options{})
	cr, err := h.ec2.DescribeCapacityReservations(t.Context(), &ec2.DescribeCapacityReservationsInput{})
	if err != nil || len(cr.CapacityReservations) != 0 {
		t.Errorf("%+v, %v", cr, err)
	}
	pg, err := h.ec2.DescribePlacementGroups(t.Context(), &ec2.DescribePlacementGroupsInput{})
	if err != nil || len(pg.PlacementGroups) != 0 {
		t.Errorf("%+v, %v", pg, err)
	}
}
