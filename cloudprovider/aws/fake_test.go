package aws

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"testing"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"
	corev1 "k8s.io/api/core/v1"

	"github.com/stowage-sh/stowage/cloudprovider"
	v1 "github.com/stowage-sh/stowage/cloudprovider/aws/v1"
	"github.com/stowage-sh/stowage/test/ec2sim/apimodel"
)

// fakeEC2 answers each CreateFleet with the next of answers; after the last, with
// an instance of the first override. It does nothing by itself besides, but that what it is
// asked for has the form of EC2's API: what EC2's own rules are, test/ec2sim knows.
type fakeEC2 struct {
	mu        sync.Mutex
	answers   []func(*ec2.CreateFleetInput) (*ec2.CreateFleetOutput, error)
	fleets    []*ec2.CreateFleetInput
	templates []*ec2.CreateLaunchTemplateInput
	// there are the instances that DescribeInstances finds, whatever the filter
	// but for the claim's UID; describes are its inputs.
	there     []types.Instance
	describes []*ec2.DescribeInstancesInput
	// gone are instances that TerminateInstances does not know.
	gone       []string
	terminates [][]string
	tagged     []*ec2.CreateTagsInput
	pageSize   int
}

func (f *fakeEC2) CreateFleet(ctx context.Context, in *ec2.CreateFleetInput, _ ...func(*ec2.Options)) (*ec2.CreateFleetOutput, error) {
	if err := apimodel.CheckEC2(func(c *ec2.Client) error { _, err := c.CreateFleet(ctx, in); return err }); err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fleets = append(f.fleets, in)
	if len(f.answers) > 0 {
		next := f.answers[0]
		f.answers = f.answers[1:]
		return next(in)
	}
	return gives(fmt.Sprintf("i-%d", len(f.fleets)), 0)(in)
}

func (f *fakeEC2) CreateLaunchTemplate(ctx context.Context, in *ec2.CreateLaunchTemplateInput, _ ...func(*ec2.Options)) (*ec2.CreateLaunchTemplateOutput, error) {
	if err := apimodel.CheckEC2(func(c *ec2.Client) error { _, err := c.CreateLaunchTemplate(ctx, in); return err }); err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.templates = append(f.templates, in)
	return &ec2.CreateLaunchTemplateOutput{}, nil
}

func (f *fakeEC2) DescribeInstances(_ context.Context, in *ec2.DescribeInstancesInput, _ ...func(*ec2.Options)) (*ec2.DescribeInstancesOutput, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.describes = append(f.describes, in)
	var found []types.Instance
	for _, i := range f.there {
		if uid := filterOf(in, "tag:"+TagClaimUID); uid == "" || tagOf(i, TagClaimUID) == uid {
			found = append(found, i)
		}
	}
	start := 0
	if in.NextToken != nil {
		_, _ = fmt.Sscan(*in.NextToken, &start)
	}
	out := &ec2.DescribeInstancesOutput{}
	end := len(found)
	if f.pageSize > 0 && start+f.pageSize < end {
		end = start + f.pageSize
		out.NextToken = sdk.String(fmt.Sprint(end))
	}
	out.Reservations = []types.Reservation{{Instances: found[start:end]}}
	return out, nil
}

func (f *fakeEC2) TerminateInstances(_ context.Context, in *ec2.TerminateInstancesInput, _ ...func(*ec2.Options)) (*ec2.TerminateInstancesOutput, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.terminates = append(f.terminates, in.InstanceIds)
	for _, id := range in.InstanceIds {
		if slices.Contains(f.gone, id) {
			return nil, refusal(codeNoInstance, 400)
		}
	}
	return &ec2.TerminateInstancesOutput{}, nil
}

func (f *fakeEC2) CreateTags(ctx context.Context, in *ec2.CreateTagsInput, _ ...func(*ec2.Options)) (*ec2.CreateTagsOutput, error) {
	if err := apimodel.CheckEC2(func(c *ec2.Client) error { _, err := c.CreateTags(ctx, in); return err }); err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.tagged = append(f.tagged, in)
	return &ec2.CreateTagsOutput{}, nil
}

func filterOf(in *ec2.DescribeInstancesInput, name string) string {
	for _, f := range in.Filters {
		if sdk.ToString(f.Name) == name {
			return f.Values[0]
		}
	}
	return ""
}

func tagOf(i types.Instance, key string) string {
	for _, t := range i.Tags {
		if sdk.ToString(t.Key) == key {
			return sdk.ToString(t.Value)
		}
	}
	return ""
}

// refusal is an error as the SDK gives it for an answer of EC2.
func refusal(code string, status int) error {
	return &smithy.OperationError{ServiceID: "EC2", OperationName: "Anything", Err: &smithyhttp.ResponseError{
		Response: &smithyhttp.Response{Response: &http.Response{StatusCode: status}}, Err: &smithy.GenericAPIError{Code: code, Message: "asked for by a test"},
	}}
}

type fleetAnswer = func(*ec2.CreateFleetInput) (*ec2.CreateFleetOutput, error)

// fails is an answer that refuses the request.
func fails(err error) fleetAnswer {
	return func(*ec2.CreateFleetInput) (*ec2.CreateFleetOutput, error) { return nil, err }
}

// overrides lists a request's overrides, over all of its templates.
func overrides(in *ec2.CreateFleetInput) []types.FleetLaunchTemplateOverridesRequest {
	var out []types.FleetLaunchTemplateOverridesRequest
	for _, c := range in.LaunchTemplateConfigs {
		out = append(out, c.Overrides...)
	}
	return out
}

// gives is an answer with an instance of override n, and with an error of
// insufficient capacity for each override before it.
func gives(id string, n int) fleetAnswer {
	return func(in *ec2.CreateFleetInput) (*ec2.CreateFleetOutput, error) {
		all := overrides(in)
		out, _ := errorsOf("InsufficientInstanceCapacity", n)(in)
		o := all[n]
		out.Instances = []types.CreateFleetInstance{{
			InstanceIds: []string{id}, InstanceType: o.InstanceType,
			LaunchTemplateAndOverrides: &types.LaunchTemplateAndOverridesResponse{Overrides: &types.FleetLaunchTemplateOverrides{InstanceType: o.InstanceType, SubnetId: o.SubnetId, AvailabilityZone: o.AvailabilityZone}},
		}}
		return out, nil
	}
}

// errorsOf is an answer with an error for each of the first n overrides, or for
// all if n is negative.
func errorsOf(code string, n int) fleetAnswer {
	return func(in *ec2.CreateFleetInput) (*ec2.CreateFleetOutput, error) {
		out := &ec2.CreateFleetOutput{}
		all := overrides(in)
		if n >= 0 {
			all = all[:n]
		}
		for _, o := range all {
			out.Errors = append(out.Errors, types.CreateFleetError{
				ErrorCode: sdk.String(code), ErrorMessage: sdk.String("asked for by a test"),
				LaunchTemplateAndOverrides: &types.LaunchTemplateAndOverridesResponse{Overrides: &types.FleetLaunchTemplateOverrides{InstanceType: o.InstanceType, SubnetId: o.SubnetId, AvailabilityZone: o.AvailabilityZone}},
			})
		}
		return out, nil
	}
}

// testClass has two subnets in zone a, one in zone b, and an image for each
// architecture.
func testClass() *Class {
	arch := func(name string) []corev1.NodeSelectorRequirement {
		return []corev1.NodeSelectorRequirement{{Key: corev1.LabelArchStable, Operator: corev1.NodeSelectorOpIn, Values: []string{name}}}
	}
	return &Class{
		Name: "default", UID: "class-uid", Hash: "0123", InstanceProfile: "harbour_0123", SecurityGroups: []string{"sg-1", "sg-2"},
		Spec: v1.EC2NodeClassSpec{AMIFamily: v1.AMIFamilyAL2023, Tags: map[string]string{"team": "blue", "karpenter.sh/nodepool": "not-the-user's"}},
		Subnets: []Subnet{
			{ID: "subnet-a1", Zone: "us-west-2a", ZoneID: "usw2-az1", FreeAddresses: 100},
			{ID: "subnet-a2", Zone: "us-west-2a", ZoneID: "usw2-az1", FreeAddresses: 90},
			{ID: "subnet-b1", Zone: "us-west-2b", ZoneID: "usw2-az2", FreeAddresses: 50},
		},
		Images: []Image{{ID: "ami-amd64", Requirements: arch("amd64")}, {ID: "ami-arm64", Requirements: arch("arm64")}},
	}
}

// testTypes are three types that differ in pods and architecture.
func testTypes() []TypeInfo {
	return []TypeInfo{
		{Name: "c7g.large", Arch: "arm64", VCPUs: 2, MemoryMiB: 4096, ENIs: 3, IPv4PerENI: 10},
		{Name: "m5.large", Arch: "amd64", VCPUs: 2, MemoryMiB: 8192, ENIs: 3, IPv4PerENI: 10},
		{Name: "m5.xlarge", Arch: "amd64", VCPUs: 4, MemoryMiB: 16384, ENIs: 4, IPv4PerENI: 15},
	}
}

// harness is a provider with a fake EC2 behind it.
type harness struct {
	*testing.T
	*Provider
	fake    *fakeEC2
	refused []cloudprovider.Offering
}

func newHarness(t *testing.T, answers ...fleetAnswer) *harness {
	h := &harness{T: t, fake: &fakeEC2{answers: answers}}
	classes := &Classes{}
	classes.Put(testClass())
	classes.Begin("default", "late")
	inventory := &Inventory{Region: "us-west-2"}
	inventory.current.Store(&stock{types: testTypes()})
	p, err := New(Config{
		Region: "us-west-2", Cluster: testCluster, EC2: h.fake, Classes: classes, Inventory: inventory,
		Refused: func(o []cloudprovider.Offering) { h.refused = append(h.refused, o...) },
	})
	if err != nil {
		t.Fatal(err)
	}
	h.Provider = p
	return h
}

var classRef = cloudprovider.NodeClassRef{Group: v1.Group, Kind: v1.Kind, Name: "default"}

// want reads offerings as ParseOffering does.
func want(t *testing.T, texts ...string) []cloudprovider.Offering {
	t.Helper()
	var out []cloudprovider.Offering
	for _, s := range texts {
		o, err := cloudprovider.ParseOffering(s)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, o)
	}
	return out
}

func (h *harness) request(offerings ...string) cloudprovider.LaunchRequest {
	return cloudprovider.LaunchRequest{
		Claim: "web-x7k2p", UID: "claim-uid", Class: classRef, NodePool: "web", Offerings: want(h.T, offerings...),
		Labels: map[string]string{"karpenter.sh/nodepool": "web"},
		Taints: []cloudprovider.Taint{{Key: "karpenter.sh/unregistered", Effect: "NoExecute"}},
	}
}
