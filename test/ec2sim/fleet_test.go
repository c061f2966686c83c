package ec2sim

import (
	"fmt"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/google/go-cmp/cmp"

	"github.com/stowage-sh/stowage/cloudprovider"
)

func TestCreateFleet(t *testing.T) {
	h := start(t, Options{Types: FewTypes()})
	h.template("tpl", func(d *types.RequestLaunchTemplateData) {
		d.TagSpecifications = []types.LaunchTemplateTagSpecificationRequest{{ResourceType: types.ResourceTypeInstance, Tags: []types.Tag{{Key: aws.String("Name"), Value: aws.String("n")}}}}
	})
	id := h.launch(h.fleet("tpl", "claim-1", pool("m5.large", "a", "on-demand"), pool("m5.xlarge", "a", "on-demand"), pool("c5.large", "b", "on-demand")))
	out, err := h.ec2.DescribeInstances(t.Context(), &ec2.DescribeInstancesInput{InstanceIds: []string{id}})
	if err != nil {
		t.Fatal(err)
	}
	i := out.Reservations[0].Instances[0]
	if i.InstanceType != "c5.large" || *i.Placement.AvailabilityZone != "us-west-2b" || i.InstanceLifecycle != "" || *i.ImageId != h.image("amd64") {
		t.Errorf("the lowest price is c5.large, got %s in %s", i.InstanceType, *i.Placement.AvailabilityZone)
	}
	if *i.PrivateDnsName != "ip-10-0-64-4.us-west-2.compute.internal" || *i.SubnetId != h.world.Subnets[1].ID || len(i.SecurityGroups) != 1 || i.IamInstanceProfile == nil {
		t.Errorf("instance %+v", i)
	}
	var tags []string
	for _, x := range i.Tags {
		tags = append(tags, *x.Key)
	}
	want := []string{"Name", "aws:ec2:fleet-id", "aws:ec2launchtemplate:id", "aws:ec2launchtemplate:version", "karpenter.sh/nodeclaim"}
	if diff := cmp.Diff(want, tags); diff != "" {
		t.Error(diff)
	}
}

// TestStrategies has one fleet ranked by each strategy.
func TestStrategies(t *testing.T) {
	prices := map[string]int64{"m5.large": 100, "m5.xlarge": 50, "c5.large": 70}
	s := start(t, Options{Types: FewTypes(), Seed: 3, Price: func(o cloudprovider.Offering) (int64, bool) { p, ok := prices[o.InstanceType]; return p, ok }})
	candidates := []candidate{
		{spec: spec{instanceType: "m5.large", zone: "us-west-2a"}, priority: 1, index: 0},
		{spec: spec{instanceType: "m5.xlarge", zone: "us-west-2a"}, priority: 2, index: 1},
		{spec: spec{instanceType: "c5.large", zone: "us-west-2a"}, priority: 3, index: 2},
	}
	depth := func(c candidate) int64 { return s.depth(pool(c.spec.instanceType, "a", "spot")) }
	for _, c := range []struct {
		by   string
		less func(a, b candidate) bool
	}{
		{"lowest-price", func(a, b candidate) bool { return prices[a.spec.instanceType] < prices[b.spec.instanceType] }},
		{"prioritized", func(a, b candidate) bool { return a.priority < b.priority }},
		{"capacity-optimized", func(a, b candidate) bool { return depth(a) >= depth(b) }},
		{"price-capacity-optimized", func(a, b candidate) bool {
			score := func(x candidate) int64 {
				p := prices[x.spec.instanceType]
				return p + p/depth(x)
			}
			return score(a) <= score(b)
		}},
	} {
		got := s.rank(candidates, "spot", c.by)
		for i := 1; i < len(got); i++ {
			if !c.less(got[i-1], got[i]) {
				t.Errorf("%s puts %s before %s", c.by, got[i-1].spec.instanceType, got[i].spec.instanceType)
			}
		}
	}
}

// errorsOf lists what a fleet could not do, a line each.
func errorsOf(out *ec2.CreateFleetOutput) []string {
	var lines []string
	for _, e := range out.Errors {
		o := e.LaunchTemplateAndOverrides.Overrides
		lines = append(lines, fmt.Sprintf("%s/%s/%s %s", o.InstanceType, aws.ToString(o.AvailabilityZone), e.Lifecycle, *e.ErrorCode))
	}
	return lines
}

func TestInsufficientCapacity(t *testing.T) {
	h := start(t, Options{Types: FewTypes()})
	h.template("tpl", nil)
	in := h.fleet("tpl", "c1", pool("c5.large", "a", "on-demand"), pool("m5.large", "b", "on-demand"))
	h.RunShort(Shortage{Pool: cloudprovider.Offering{InstanceType: "c5.large"}})
	out, err := h.ec2.CreateFleet(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"c5.large/us-west-2a/on-demand InsufficientInstanceCapacity"}, errorsOf(out)); diff != "" {
		t.Error(diff)
	}
	if len(out.Instances) != 1 || out.Instances[0].InstanceType != "m5.large" {
		t.Errorf("the other pool was not used: %+v", out.Instances)
	}

	h.RunShort(Shortage{Pool: cloudprovider.Offering{Zone: "us-west-2b", CapacityType: "on-demand"}, Code: "VcpuLimitExceeded"})
	in.ClientToken = aws.String("c2")
	if out, err = h.ec2.CreateFleet(t.Context(), in); err != nil {
		t.Fatal(err)
	}
	want := []string{"c5.large/us-west-2a/on-demand InsufficientInstanceCapacity", "m5.large/us-west-2b/on-demand VcpuLimitExceeded"}
	if diff := cmp.Diff(want, errorsOf(out)); diff != "" || len(out.Instances) != 0 {
		t.Errorf("%d instances, errors:\n%s", len(out.Instances), diff)
	}

	h.Restock(cloudprovider.Offering{InstanceType: "c5.large"})
	in.ClientToken = aws.String("c3")
	h.launch(in)
	if n := len(h.Instances()); n != 2 {
		t.Errorf("%d instances, want 2", n)
	}
}

// TestPartialFleet asks for more than two pools have left.
func TestPartialFleet(t *testing.T) {
	h := start(t, Options{Types: FewTypes()})
	h.template("tpl", nil)
	h.RunShort(Shortage{Pool: pool("c5.large", "a", "spot"), Left: 2})
	h.RunShort(Shortage{Pool: pool("m5.large", "a", "spot"), Left: 1})
	in := h.fleet("tpl", "c", pool("c5.large", "a", "spot"), pool("m5.large", "a", "spot"))
	in.TargetCapacitySpecification.TotalTargetCapacity = aws.Int32(5)
	out, err := h.ec2.CreateFleet(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]int{}
	for _, g := range out.Instances {
		got[string(g.InstanceType)+" "+string(g.Lifecycle)] += len(g.InstanceIds)
	}
	if diff := cmp.Diff(map[string]int{"c5.large spot": 2, "m5.large spot": 1}, got); diff != "" || len(out.Errors) != 2 {
		t.Errorf("%d errors; instances:\n%s", len(out.Errors), diff)
	}
}

// TestOverrideErrors is what is found only when a pool is tried.
func TestOverrideErrors(t *testing.T) {
	h := start(t, Options{Types: append(FewTypes(), InstanceType{Name: "x.one", Arch: "amd64", VCPU: 1, MemoryMiB: 1024, Zones: []string{"us-west-2b"}})})
	h.template("tpl", nil)
	h.template("groups", func(d *types.RequestLaunchTemplateData) { d.SecurityGroupIds = []string{"sg-404"} })
	h.template("profile", func(d *types.RequestLaunchTemplateData) { d.IamInstanceProfile.Name = aws.String("nobody") })
	h.template("image", func(d *types.RequestLaunchTemplateData) { d.ImageId = aws.String("ami-404") })
	h.template("tags", func(d *types.RequestLaunchTemplateData) {
		d.TagSpecifications = []types.LaunchTemplateTagSpecificationRequest{{ResourceType: types.ResourceTypeSpotInstancesRequest, Tags: []types.Tag{{Key: aws.String("a"), Value: aws.String("b")}}}}
	})
	plain := pool("m5.large", "a", "on-demand")
	for n, c := range []struct {
		template, want string
		pool           cloudprovider.Offering
		change         func(*types.FleetLaunchTemplateOverridesRequest)
	}{
		{"tpl", "InvalidParameterValue", pool("m9.huge", "a", "on-demand"), nil},
		{"tpl", "InvalidFleetConfiguration", pool("x.one", "a", "on-demand"), nil},
		{"tpl", "InvalidParameterValue", pool("c7g.large", "a", "on-demand"), nil}, // an amd64 image
		{"tpl", "InvalidSubnetID.NotFound", plain, func(o *types.FleetLaunchTemplateOverridesRequest) { o.SubnetId = aws.String("subnet-404") }},
		{"tpl", "InvalidAMIID.NotFound", plain, func(o *types.FleetLaunchTemplateOverridesRequest) { o.ImageId = aws.String("ami-404") }},
		{"tpl", "VPCIdNotSpecified", plain, func(o *types.FleetLaunchTemplateOverridesRequest) { o.SubnetId = nil }},
		{"tpl", "SpotMaxPriceTooLow", pool("m5.large", "a", "spot"), func(o *types.FleetLaunchTemplateOverridesRequest) { o.MaxPrice = aws.String("0.001") }},
		{"groups", "InvalidGroup.NotFound", plain, nil},
		{"profile", "InvalidParameterValue", plain, nil},
		{"image", "InvalidAMIID.NotFound", plain, nil},
		{"tags", "InvalidParameterValue", plain, nil},
	} {
		in := h.fleet(c.template, fmt.Sprint("t", n), c.pool)
		if c.change != nil {
			c.change(&in.LaunchTemplateConfigs[0].Overrides[0])
		}
		out, err := h.ec2.CreateFleet(t.Context(), in)
		if err != nil {
			t.Errorf("%d: %v", n, err)
			continue
		}
		if len(out.Errors) != 1 || *out.Errors[0].ErrorCode != c.want || len(out.Instances) != 0 {
			t.Errorf("%d: %v, want %s", n, errorsOf(out), c.want)
		}
	}
}

func TestAddressesRunOut(t *testing.T) {
	w := NewWorld("us-west-2", Cluster{})
	w.Subnets[0].CIDR = mustPrefix("10.9.0.0/29") // three addresses
	h := start(t, Options{World: w, Types: FewTypes()})
	h.template("tpl", nil)
	in := h.fleet("tpl", "c", pool("m5.large", "a", "on-demand"))
	in.TargetCapacitySpecification.TotalTargetCapacity = aws.Int32(4)
	out, err := h.ec2.CreateFleet(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	if len(out.Instances[0].InstanceIds) != 3 || *out.Errors[0].ErrorCode != "InsufficientFreeAddressesInSubnet" {
		t.Fatalf("%+v %v", out.Instances, errorsOf(out))
	}
	subnets, err := h.ec2.DescribeSubnets(t.Context(), &ec2.DescribeSubnetsInput{SubnetIds: []string{w.Subnets[0].ID}})
	if err != nil || *subnets.Subnets[0].AvailableIpAddressCount != 0 {
		t.Fatalf("%+v, %v", subnets, err)
	}
	if _, err := h.ec2.TerminateInstances(t.Context(), &ec2.TerminateInstancesInput{InstanceIds: out.Instances[0].InstanceIds[:1]}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the address comes back", func() bool {
		h.mu.Lock()
		defer h.mu.Unlock()
		return h.freeAddresses(w.Subnets[0]) == 1
	})
	in.ClientToken = aws.String("d")
	in.TargetCapacitySpecification.TotalTargetCapacity = aws.Int32(1)
	h.launch(in)
}

func TestIdempotency(t *testing.T) {
	h := start(t, Options{Types: FewTypes()})
	h.template("tpl", nil)
	in := h.fleet("tpl", "same", pool("m5.large", "a", "on-demand"))
	first, second := h.launch(in), h.launch(in)
	if first != second || len(h.Instances()) != 1 {
		t.Errorf("the same token made %s and %s", first, second)
	}
	in.TargetCapacitySpecification.TotalTargetCapacity = aws.Int32(2)
	_, err := h.ec2.CreateFleet(t.Context(), in)
	if c := code(t, err); c != "IdempotentParameterMismatch" {
		t.Errorf("another request under the same token: %q", c)
	}
}

// TestDroppedReply has the SDK repeat a request whose answer was lost: its token
// keeps that from being a second instance.
func TestDroppedReply(t *testing.T) {
	h := start(t, Options{Types: FewTypes()})
	h.template("tpl", nil)
	patient := ec2.NewFromConfig(h.aws, func(o *ec2.Options) { o.Retryer = fastRetry() })
	h.DropReplies("CreateFleet", 1)
	out, err := patient.CreateFleet(t.Context(), h.fleet("tpl", "once", pool("m5.large", "a", "on-demand")))
	if err != nil {
		t.Fatal(err)
	}
	if n := len(h.Instances()); n != 1 || h.Calls("CreateFleet") != 2 || len(out.Instances) != 1 {
		t.Errorf("%d instances after %d calls", n, h.Calls("CreateFleet"))
	}
}

// fastRetry is the SDK's retryer without its waits.
func fastRetry() aws.Retryer {
	return retry.NewStandard(func(o *retry.StandardOptions) { o.MaxBackoff = 1; o.MaxAttempts = 5 })
}

func TestThrottling(t *testing.T) {
	h := start(t, Options{Types: FewTypes()})
	patient := ec2.NewFromConfig(h.aws, func(o *ec2.Options) { o.Retryer = fastRetry() })
	h.Throttle("DescribeSubnets", 3)
	if _, err := patient.DescribeSubnets(t.Context(), &ec2.DescribeSubnetsInput{}); err != nil {
		t.Errorf("the SDK did not ride it out: %v", err)
	}
	if n := h.Calls("DescribeSubnets"); n != 4 {
		t.Errorf("%d calls, want 4", n)
	}
	h.ThrottleOdds("", 1)
	_, err := h.ec2.DescribeSubnets(t.Context(), &ec2.DescribeSubnetsInput{})
	if c := code(t, err); c != "RequestLimitExceeded" {
		t.Error(c)
	}
	h.ThrottleOdds("", 0)
	if _, err := h.ec2.DescribeSubnets(t.Context(), &ec2.DescribeSubnetsInput{}); err != nil {
		t.Error(err)
	}
}

func TestDeny(t *testing.T) {
	h := start(t, Options{Types: FewTypes()})
	h.Deny("DescribeImages")
	_, err := h.ec2.DescribeImages(t.Context(), &ec2.DescribeImagesInput{DryRun: aws.Bool(true)})
	if c := code(t, err); c != "UnauthorizedOperation" {
		t.Error(c)
	}
	h.Allow("DescribeImages")
	_, err = h.ec2.DescribeImages(t.Context(), &ec2.DescribeImagesInput{DryRun: aws.Bool(true)})
	if c := code(t, err); c != "DryRunOperation" {
		t.Error(c)
	}
	h.FailNext("DescribeImages", "InternalError", 1)
	_, err = h.ec2.DescribeImages(t.Context(), &ec2.DescribeImagesInput{})
	if c := code(t, err); c != "InternalError" {
		t.Error(c)
	}
}

func TestRunInstances(t *testing.T) {
	h := start(t, Options{Types: FewTypes()})
	h.template("tpl", nil)
	in := &ec2.RunInstancesInput{MinCount: aws.Int32(1), MaxCount: aws.Int32(2), InstanceType: "m5.large", SubnetId: aws.String(h.world.Subnets[2].ID),
		LaunchTemplate: &types.LaunchTemplateSpecification{LaunchTemplateName: aws.String("tpl")}, DryRun: aws.Bool(true)}
	_, err := h.ec2.RunInstances(t.Context(), in)
	if c := code(t, err); c != "DryRunOperation" || len(h.Instances()) != 0 {
		t.Errorf("dry run: %s, %d instances", c, len(h.Instances()))
	}
	in.DryRun = nil
	out, err := h.ec2.RunInstances(t.Context(), in)
	if err != nil || len(out.Instances) != 2 || *out.Instances[0].Placement.AvailabilityZone != "us-west-2c" {
		t.Errorf("%+v, %v", out, err)
	}
	h.RunShort(Shortage{Left: 1})
	in.MinCount = aws.Int32(2)
	_, err = h.ec2.RunInstances(t.Context(), in)
	if c := code(t, err); c != "InsufficientInstanceCapacity" {
		t.Errorf("two where one is left: %s", c)
	}
	if n := len(h.Alive()); n != 2 {
		t.Errorf("%d instances live on, want 2", n)
	}
}

// TestSeed launches the same fleets twice from one seed.
func TestSeed(t *testing.T) {
	run := func() string {
		h := start(t, Options{Types: FewTypes(), Seed: 42})
		h.template("tpl", nil)
		for n := range 5 {
			h.launch(h.fleet("tpl", fmt.Sprint("c", n), pool("c5.large", "a", "spot"), pool("c5.large", "b", "spot"), pool("c5.large", "c", "spot")))
		}
		var got []string
		for _, i := range h.Instances() {
			got = append(got, i.ID+" "+i.Offering.String())
		}
		return strings.Join(got, "\n")
	}
	if diff := cmp.Diff(run(), run()); diff != "" {
		t.Errorf("seed 42 gave two answers:\n%s", diff)
	}
}
