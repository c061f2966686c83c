package aws

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/aws-sdk-go-v2/service/eks"
	ekstypes "github.com/aws/aws-sdk-go-v2/service/eks/types"
	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	"github.com/stowage-sh/stowage/cloudprovider"
	v1 "github.com/stowage-sh/stowage/cloudprovider/aws/v1"
)

func TestConfigIsChecked(t *testing.T) {
	whole := newHarness(t).Config
	for _, c := range []struct {
		name string
		edit func(*Config)
	}{
		{"region", func(c *Config) { c.Region = "" }},
		{"client", func(c *Config) { c.EC2 = nil }},
		{"classes", func(c *Config) { c.Classes = nil }},
		{"inventory", func(c *Config) { c.Inventory = nil }},
		{"cluster", func(c *Config) { c.Cluster.CABundle = "" }},
	} {
		config := whole
		c.edit(&config)
		if _, err := New(config); err == nil {
			t.Errorf("a configuration without %s passed", c.name)
		}
	}
}

func TestClassesWaitForWhatExists(t *testing.T) {
	var c Classes
	ref := func(name string) cloudprovider.NodeClassRef {
		return cloudprovider.NodeClassRef{Group: v1.Group, Kind: v1.Kind, Name: name}
	}
	state := func(ref cloudprovider.NodeClassRef) string {
		_, err := c.ready(ref)
		if _, ok := errors.AsType[*cloudprovider.NotReadyError](err); ok {
			return "not ready"
		} else if err != nil {
			return "wait"
		}
		return "ready"
	}
	check := func(when string, want map[string]string) {
		t.Helper()
		for name, w := range want {
			if got := state(ref(name)); got != w {
				t.Errorf("%s: %s is %q, want %q", when, name, got, w)
			}
		}
	}
	check("at first", map[string]string{"a": "wait", "b": "wait"})
	c.Put(&Class{Name: "a"})
	check("one is resolved", map[string]string{"a": "ready", "b": "wait"})
	c.Begin("a", "b")
	check("all names are known", map[string]string{"a": "ready", "b": "wait", "c": "not ready"})
	c.Put(&Class{Name: "b", NotReady: "SubnetsReady=False"})
	c.Put(&Class{Name: "c"})
	check("the others came", map[string]string{"b": "not ready", "c": "ready"})
	c.Delete("a")
	c.Delete("b")
	check("two went", map[string]string{"a": "not ready", "b": "not ready", "c": "ready"})
	if state(cloudprovider.NodeClassRef{Group: "other.example", Kind: v1.Kind, Name: "c"}) != "not ready" {
		t.Error("a class of another group is ready")
	}
}

func TestImageForType(t *testing.T) {
	need := func(key string, op corev1.NodeSelectorOperator, values ...string) corev1.NodeSelectorRequirement {
		return corev1.NodeSelectorRequirement{Key: key, Operator: op, Values: values}
	}
	c := &Class{Images: []Image{
		{ID: "odd", Requirements: []corev1.NodeSelectorRequirement{need("arch", "Near", "amd64")}},
		{ID: "plain", Requirements: []corev1.NodeSelectorRequirement{need("arch", "In", "amd64"), need("gpu", "DoesNotExist")}},
		{ID: "nvidia", Requirements: []corev1.NodeSelectorRequirement{need("arch", "In", "amd64"), need("gpu", "Exists"), need("maker", "NotIn", "amd")}},
		{ID: "rest", Requirements: []corev1.NodeSelectorRequirement{need("arch", "NotIn", "arm64")}},
	}}
	for _, x := range []struct {
		labels map[string]string
		want   string
	}{
		{map[string]string{"arch": "amd64"}, "plain"},
		{map[string]string{"arch": "amd64", "gpu": "1", "maker": "nvidia"}, "nvidia"},
		{map[string]string{"arch": "amd64", "gpu": "1", "maker": "amd"}, "rest"},
		{map[string]string{"arch": "arm64"}, ""},
	} {
		if got, _ := c.image(x.labels); got.ID != x.want {
			t.Errorf("image for %v is %q, want %q", x.labels, got.ID, x.want)
		}
	}
}

func TestCatalogIsKept(t *testing.T) {
	h := newHarness(t)
	get := func() *cloudprovider.Catalog {
		t.Helper()
		c, err := h.Catalog(t.Context(), classRef)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	first := get()
	if len(first.InstanceTypes) != 3 || len(first.InstanceTypes[0].Offerings) != 8 || first.ZoneLabels["us-west-2b"]["topology.k8s.aws/zone-id"] != "usw2-az2" {
		t.Fatalf("the catalog is %+v", first)
	}
	news := testClass()
	news.Subnets[0].FreeAddresses = 1
	h.Classes.Put(news)
	if get() != first {
		t.Error("a catalog was built anew though nothing that it depends on changed")
	}
	onlyARM := testClass()
	onlyARM.Images, onlyARM.Subnets = onlyARM.Images[1:], onlyARM.Subnets[:1]
	h.Classes.Put(onlyARM)
	arm := get()
	if len(arm.InstanceTypes) != 1 || arm.InstanceTypes[0].Name != "c7g.large" || len(arm.InstanceTypes[0].Offerings) != 4 {
		t.Errorf("with an arm64 image and one zone the catalog is %+v", arm.InstanceTypes)
	}
	h.Inventory.current.Store(&stock{types: testTypes()})
	if get() == arm {
		t.Error("a new inventory did not change the catalog")
	}
	if n := len(h.catalogs.entries); n != 1 {
		t.Errorf("%d catalogs are kept of one class", n)
	}
}

// TestMemoryIsObserved: what nodes report replaces the estimate, for their image alone, the least of it, and
// for the launch as for the plan.
func TestMemoryIsObserved(t *testing.T) {
	h := newHarness(t)
	const name = "c7g.large"
	memory := func() (capacity, allocatable int64) {
		t.Helper()
		c, err := h.Catalog(t.Context(), classRef)
		if err != nil {
			t.Fatal(err)
		}
		it, ok := c.InstanceType(name)
		if !ok {
			t.Fatalf("there is no %s", name)
		}
		return it.Capacity[cloudprovider.Memory], it.Allocatable[cloudprovider.Memory]
	}
	image := func() string { return testClass().Images[1].ID }
	estimated, left := memory()
	h.Observe(name, "ami-of-another-time", 1<<30)
	h.Observe("m5.large", image(), 1<<30)
	if is, _ := memory(); is != estimated {
		t.Errorf("memory of another kind of node changes %d to %d", estimated, is)
	}
	h.Observe(name, image(), estimated+200<<20+4096)
	h.Observe(name, image(), estimated+300<<20)
	is, allocatable := memory()
	if is != estimated+200<<20 || allocatable != left+200<<20 {
		t.Errorf("the catalog has %d bytes and %d for pods, want 200 MiB more than %d and %d", is, allocatable, estimated, left)
	}
	news := testClass()
	news.Images[1].ID = "ami-of-another-time"
	h.Classes.Put(news)
	if is, _ := memory(); is != 1<<30 {
		t.Errorf("with another image it is %d", is)
	}
}

func TestCatalogWithoutInventory(t *testing.T) {
	h := newHarness(t)
	h.Inventory.current.Store(nil)
	_, err := h.Catalog(t.Context(), classRef)
	if _, notReady := errors.AsType[*cloudprovider.NotReadyError](err); err == nil || notReady {
		t.Errorf("error is %v, want one that ends no claim", err)
	}
}

func TestListReadsEveryPage(t *testing.T) {
	h := newHarness(t)
	h.fake.pageSize = 2
	states := []types.InstanceStateName{"running", "pending", "shutting-down", "terminated", "stopped"}
	for n, s := range states {
		i := claimed(fmt.Sprint("i-", len(states)-n), time.Time{})
		i.State.Name = s
		i.InstanceLifecycle = types.InstanceLifecycleTypeSpot
		h.fake.there = append(h.fake.there, i)
	}
	got, err := h.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, i := range got {
		lines = append(lines, fmt.Sprintf("%s %s %s %s %s", i.ID, i.State, i.Offering, i.ProviderID, i.Claim))
	}
	if diff := cmp.Diff([]string{
		"i-1 stopping m5.large/us-west-2a/spot aws:///us-west-2a/i-1 web-x7k2p",
		"i-3 stopping m5.large/us-west-2a/spot aws:///us-west-2a/i-3 web-x7k2p",
		"i-4 pending m5.large/us-west-2a/spot aws:///us-west-2a/i-4 web-x7k2p",
		"i-5 running m5.large/us-west-2a/spot aws:///us-west-2a/i-5 web-x7k2p",
	}, lines); diff != "" {
		t.Errorf("List:\n%s", diff)
	}
	if filterOf(h.fake.describes[0], "tag:eks:eks-cluster-name") != "harbour" || filterOf(h.fake.describes[0], "tag-key") != "karpenter.sh/nodepool" {
		t.Errorf("filters are %v", h.fake.describes[0].Filters)
	}
}

func TestTerminateFindsTheOddOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t)
		h.fake.gone = []string{"i-3"}
		run := h.terminations.run
		h.terminations.run = func(ctx context.Context, ids []string) map[string]error {
			slices.Sort(ids)
			time.Sleep(time.Second) // so that the others wait
			return run(ctx, ids)
		}
		var wg sync.WaitGroup
		for n := range 9 {
			wg.Go(func() {
				if err := h.Terminate(t.Context(), fmt.Sprint("i-", n)); err != nil {
					t.Error(err)
				}
			})
			synctest.Wait()
		}
		wg.Wait()
		var got []string
		for _, ids := range h.fake.terminates {
			got = append(got, strings.Join(ids, " "))
		}
		if diff := cmp.Diff([]string{
			"i-0",
			"i-1 i-2 i-3 i-4 i-5 i-6 i-7 i-8",
			"i-1 i-2 i-3 i-4", "i-1 i-2", "i-3 i-4", "i-3", "i-4",
			"i-5 i-6 i-7 i-8",
		}, got); diff != "" {
			t.Errorf("calls:\n%s", diff)
		}
	})
}

func TestTerminateErrors(t *testing.T) {
	h := newHarness(t)
	h.fake.gone = []string{"i-gone"}
	if err := h.Terminate(t.Context(), "i-gone"); err != nil {
		t.Errorf("an instance that is gone: %v", err)
	}
	h.terminations.run = func(_ context.Context, ids []string) map[string]error {
		return map[string]error{ids[0]: refusal("UnauthorizedOperation", 403)}
	}
	if err := h.Terminate(t.Context(), "i-1"); code(err) != "UnauthorizedOperation" || !strings.HasPrefix(err.Error(), "terminating i-1: ") {
		t.Errorf("error is %v", err)
	}
}

// fakeTypes answers with two pages of types; zones are those of every type.
type fakeTypes struct {
	types []types.InstanceTypeInfo
	zones map[string][]string
	err   error
}

func (f *fakeTypes) DescribeInstanceTypes(_ context.Context, in *ec2.DescribeInstanceTypesInput, _ ...func(*ec2.Options)) (*ec2.DescribeInstanceTypesOutput, error) {
	if in.NextToken == nil {
		return &ec2.DescribeInstanceTypesOutput{InstanceTypes: f.types[:1], NextToken: sdk.String("more")}, nil
	}
	return &ec2.DescribeInstanceTypesOutput{InstanceTypes: f.types[1:]}, f.err
}

func (f *fakeTypes) DescribeInstanceTypeOfferings(_ context.Context, in *ec2.DescribeInstanceTypeOfferingsInput, _ ...func(*ec2.Options)) (*ec2.DescribeInstanceTypeOfferingsOutput, error) {
	out := &ec2.DescribeInstanceTypeOfferingsOutput{}
	if in.LocationType != types.LocationTypeAvailabilityZoneId {
		return out, nil
	}
	for name, zones := range f.zones {
		for _, z := range zones {
			out.InstanceTypeOfferings = append(out.InstanceTypeOfferings, types.InstanceTypeOffering{InstanceType: types.InstanceType(name), Location: sdk.String(z)})
		}
	}
	return out, nil
}

func typeInfo(name string) types.InstanceTypeInfo {
	return types.InstanceTypeInfo{
		InstanceType: types.InstanceType(name), VCpuInfo: &types.VCpuInfo{DefaultVCpus: sdk.Int32(2)}, MemoryInfo: &types.MemoryInfo{SizeInMiB: sdk.Int64(8192)},
		ProcessorInfo: &types.ProcessorInfo{SupportedArchitectures: []types.ArchitectureType{types.ArchitectureTypeX8664}},
	}
}

func TestInventoryRefresh(t *testing.T) {
	api := &fakeTypes{types: []types.InstanceTypeInfo{typeInfo("m5.large"), typeInfo("c5.large"), typeInfo("mac1.metal")}, zones: map[string][]string{"m5.large": {"usw2-az2", "usw2-az1"}}}
	api.types[2].ProcessorInfo = nil
	i := &Inventory{Region: "us-west-2", API: api}
	if i.Types() != nil {
		t.Error("an inventory has types before it was refreshed")
	}
	if err := i.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	got := i.Types()
	if len(got) != 2 || got[0].Name != "c5.large" || got[1].Name != "m5.large" {
		t.Fatalf("types are %+v", got)
	}
	for zone, want := range map[Zone][2]bool{{Name: "us-west-2a", ID: "usw2-az1"}: {false, true}, {Name: "us-west-2c", ID: "usw2-az3"}: {false, false}} {
		if c5, m5 := got[0].Offered("us-west-2", zone), got[1].Offered("us-west-2", zone); c5 != want[0] || m5 != want[1] {
			t.Errorf("%s offers c5.large: %v, m5.large: %v; want %v", zone.Name, c5, m5, want)
		}
	}
	if got[1].BranchENIs == 0 {
		t.Error("m5.large has no branch interfaces: EC2 does not say them, the embedded facts do")
	}
	before := i.current.Load()
	if err := i.Refresh(t.Context()); err != nil || i.current.Load() != before {
		t.Errorf("a refresh that found nothing new made a new generation (%v)", err)
	}
	api.err = errors.New("cut")
	api.types = append(api.types, typeInfo("r5.large"))
	if err := i.Refresh(t.Context()); err == nil || i.current.Load() != before {
		t.Errorf("a failed refresh left something (%v)", err)
	}
}

// TestInventoryLeavesOutTheUnreadable: a type without memory stops no other, and
// is named; an answer in which nothing can be read changes nothing.
func TestInventoryLeavesOutTheUnreadable(t *testing.T) {
	api := &fakeTypes{types: []types.InstanceTypeInfo{typeInfo("m5.large"), typeInfo("c5.large"), typeInfo("r5.large")}}
	api.types[1].MemoryInfo = nil
	var told []string
	i := &Inventory{Region: "us-west-2", API: api, Unreadable: func(err error) { told = append(told, err.Error()) }}
	if err := i.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := i.Types(); len(got) != 2 || got[0].Name != "m5.large" || got[1].Name != "r5.large" {
		t.Errorf("types are %+v", got)
	}
	if diff := cmp.Diff([]string{"reading instance type c5.large: MemoryInfo.SizeInMiB is missing"}, told); diff != "" {
		t.Errorf("told -want +got:\n%s", diff)
	}
	before := i.current.Load()
	if !slices.Equal(before.unreadable, []string{"c5.large"}) {
		t.Errorf("left out are %v", before.unreadable)
	}
	for k := range api.types {
		api.types[k].VCpuInfo = nil
	}
	if err := i.Refresh(t.Context()); err == nil || !strings.Contains(err.Error(), "none of 3 can be read") || i.current.Load() != before {
		t.Errorf("nothing could be read, and the error is %v", err)
	}
	silent := &Inventory{Region: "us-west-2", API: &fakeTypes{types: []types.InstanceTypeInfo{typeInfo("m5.large"), {}}}}
	if err := silent.Refresh(t.Context()); err != nil || len(silent.Types()) != 1 {
		t.Errorf("with nobody to tell: %v", err)
	}
}

type fakeEKS struct {
	out   *eks.DescribeClusterOutput
	calls int
}

func (f *fakeEKS) DescribeCluster(context.Context, *eks.DescribeClusterInput, ...func(*eks.Options)) (*eks.DescribeClusterOutput, error) {
	f.calls++
	return f.out, nil
}

func TestDescribeCluster(t *testing.T) {
	api := &fakeEKS{out: &eks.DescribeClusterOutput{Cluster: &ekstypes.Cluster{
		Endpoint: sdk.String("https://eks.example"), Version: sdk.String("1.36"), CertificateAuthority: &ekstypes.Certificate{Data: sdk.String("Q0E=")},
		KubernetesNetworkConfig: &ekstypes.KubernetesNetworkConfigResponse{ServiceIpv4Cidr: sdk.String("10.100.0.0/16")},
	}}}
	got, err := DescribeCluster(t.Context(), api, Cluster{Name: "harbour", Endpoint: "https://flag.example"})
	if diff := cmp.Diff(Cluster{Name: "harbour", Endpoint: "https://flag.example", CABundle: "Q0E=", ServiceCIDR: "10.100.0.0/16"}, got); err != nil || diff != "" {
		t.Errorf("error %v, difference:\n%s", err, diff)
	}
	if _, err := DescribeCluster(t.Context(), api, testCluster); err != nil || api.calls != 1 {
		t.Errorf("%d calls, %v; nothing was missing the second time", api.calls, err)
	}
	api.out.Cluster.KubernetesNetworkConfig = nil
	if _, err := DescribeCluster(t.Context(), api, Cluster{Name: "harbour"}); err == nil || !strings.Contains(err.Error(), "service CIDR is not known") {
		t.Errorf("error is %v, want one about the service CIDR", err)
	}
}

// fakeSweeper holds launch templates by name, with when they were made.
type fakeSweeper struct{ made map[string]time.Time }

func (f *fakeSweeper) DescribeLaunchTemplates(context.Context, *ec2.DescribeLaunchTemplatesInput, ...func(*ec2.Options)) (*ec2.DescribeLaunchTemplatesOutput, error) {
	out := &ec2.DescribeLaunchTemplatesOutput{}
	for name, at := range f.made {
		out.LaunchTemplates = append(out.LaunchTemplates, types.LaunchTemplate{LaunchTemplateName: sdk.String(name), CreateTime: sdk.Time(at)})
	}
	return out, nil
}

func (f *fakeSweeper) DeleteLaunchTemplate(_ context.Context, in *ec2.DeleteLaunchTemplateInput, _ ...func(*ec2.Options)) (*ec2.DeleteLaunchTemplateOutput, error) {
	delete(f.made, *in.LaunchTemplateName)
	return nil, refusal("InvalidLaunchTemplateName.NotFoundException", 400) // another was faster: fine as well
}

func TestSweepTemplates(t *testing.T) {
	h := newHarness(t)
	if _, err := h.Launch(t.Context(), h.request("m5.large/us-west-2a/on-demand")); err != nil {
		t.Fatal(err)
	}
	used := *h.fake.templates[0].LaunchTemplateName
	noon := time.Date(2026, 9, 1, 12, 0, 0, 0, time.UTC)
	api := &fakeSweeper{made: map[string]time.Time{used: noon.Add(-time.Hour), "old": noon.Add(-time.Hour), "young": noon.Add(time.Minute)}}
	left := func() string {
		t.Helper()
		if err := h.SweepTemplates(t.Context(), api, noon); err != nil {
			t.Fatal(err)
		}
		var names []string
		for name := range api.made {
			names = append(names, strings.Replace(name, used, "used", 1))
		}
		slices.Sort(names)
		return strings.Join(names, " ")
	}
	if got := left(); got != "used young" {
		t.Errorf("left is %q, want what was used since the last sweep and what is young", got)
	}
	if got := left(); got != "young" {
		t.Errorf("left is %q after a sweep without use", got)
	}
	r := h.request("m5.large/us-west-2a/on-demand")
	r.UID = "another"
	if _, err := h.Launch(t.Context(), r); err != nil || len(h.fake.templates) != 2 {
		t.Errorf("a launch after the sweep: %v, %d templates made; want the template made again", err, len(h.fake.templates))
	}
}
