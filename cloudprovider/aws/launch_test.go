package aws

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	smithyhttp "github.com/aws/smithy-go/transport/http"
	"github.com/google/go-cmp/cmp"

	"github.com/stowage-sh/stowage/cloudprovider"
	v1 "github.com/stowage-sh/stowage/cloudprovider/aws/v1"
)

// said writes a CreateFleet request on one line per template.
func said(in *ec2.CreateFleetInput) []string {
	var out []string
	for _, c := range in.LaunchTemplateConfigs {
		line := string(in.TargetCapacitySpecification.DefaultTargetCapacityType) + ":"
		for _, o := range c.Overrides {
			line += fmt.Sprintf(" %s@%s:%s", o.InstanceType, sdk.ToString(o.SubnetId), sdk.ToString(o.ImageId))
		}
		out = append(out, line)
	}
	return out
}

func TestLaunchKeepsTheOrderOfThePlan(t *testing.T) {
	h := newHarness(t, errorsOf("InsufficientInstanceCapacity", -1), errorsOf("UnfulfillableCapacity", -1))
	_, err := h.Launch(t.Context(), h.request(
		"m5.large/us-west-2a/spot", "c7g.large/us-west-2b/spot", "m5.large/us-west-2b/spot",
		"m5.xlarge/us-west-2a/on-demand", "m5.xlarge/us-west-2a/on-demand",
		"m5.xlarge/us-west-2a/spot", "m5.large/us-west-2a/spot",
	))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range h.fake.fleets {
		got = append(got, said(f)...)
	}
	if diff := cmp.Diff([]string{
		"spot: m5.large@subnet-a1:ami-amd64 m5.large@subnet-b1:ami-amd64",
		"spot: c7g.large@subnet-b1:ami-arm64",
		"on-demand: m5.xlarge@subnet-a1:ami-amd64",
		"spot: m5.xlarge@subnet-a1:ami-amd64",
	}, got); diff != "" {
		t.Errorf("fleets:\n%s", diff)
	}
}

// TestLaunchRanked: where the order does not follow from EC2's prices, EC2 is told
// the order.
func TestLaunchRanked(t *testing.T) {
	h := newHarness(t, errorsOf("InsufficientInstanceCapacity", -1))
	r := h.request("m5.large/us-west-2a/spot", "c7g.large/us-west-2b/spot", "m5.xlarge/us-west-2a/spot", "m5.xlarge/us-west-2a/on-demand", "m5.large/us-west-2a/on-demand")
	r.Ranked = true
	if _, err := h.Launch(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range h.fake.fleets {
		if f.SpotOptions != nil {
			got = append(got, string(f.SpotOptions.AllocationStrategy))
		} else {
			got = append(got, string(f.OnDemandOptions.AllocationStrategy))
		}
		for _, c := range f.LaunchTemplateConfigs {
			for _, o := range c.Overrides {
				got = append(got, fmt.Sprintf("%s %v", o.InstanceType, sdk.ToFloat64(o.Priority)))
			}
		}
	}
	want := "capacity-optimized-prioritized, m5.large 0, c7g.large 1, m5.xlarge 2, prioritized, m5.xlarge 0, m5.large 1"
	if diff := cmp.Diff(want, strings.Join(got, ", ")); diff != "" {
		t.Errorf("fleets:\n%s", diff)
	}
}

func TestLaunchSaysEverythingToEC2(t *testing.T) {
	h := newHarness(t)
	i, err := h.Launch(t.Context(), h.request("m5.large/us-west-2a/spot", "m5.large/us-west-2a/on-demand"))
	if err != nil {
		t.Fatal(err)
	}
	f := h.fake.fleets[0]
	if f.Type != types.FleetTypeInstant || *f.TargetCapacitySpecification.TotalTargetCapacity != 1 {
		t.Errorf("the fleet is of type %s for %d", f.Type, *f.TargetCapacitySpecification.TotalTargetCapacity)
	}
	if f.SpotOptions.AllocationStrategy != types.SpotAllocationStrategyPriceCapacityOptimized {
		t.Errorf("spot strategy is %s", f.SpotOptions.AllocationStrategy)
	}
	if n := len(*f.ClientToken); n == 0 || n > 64 {
		t.Errorf("the client token has %d characters", n)
	}
	wantTags := map[string]string{
		"team": "blue", "eks:eks-cluster-name": "harbour", "kubernetes.io/cluster/harbour": "owned", "karpenter.k8s.aws/ec2nodeclass": "default",
		"karpenter.sh/nodepool": "web", "karpenter.sh/nodeclaim": "web-x7k2p", "stowage.sh/nodeclaim-uid": "claim-uid",
		"stowage.sh/ec2nodeclass-hash": "stowage-v1/0123",
	}
	var kinds []string
	for _, s := range f.TagSpecifications {
		kinds = append(kinds, string(s.ResourceType))
		if diff := cmp.Diff(wantTags, tagMap(s.Tags)); diff != "" {
			t.Errorf("tags of %s:\n%s", s.ResourceType, diff)
		}
	}
	if !slices.Equal(kinds, []string{"instance", "volume", "fleet"}) {
		t.Errorf("tagged are %v", kinds)
	}
	wantInstance := cloudprovider.Instance{
		ID: "i-1", ProviderID: "aws:///us-west-2a/i-1", ImageID: "ami-amd64", Offering: want(t, "m5.large/us-west-2a/spot")[0],
		State: cloudprovider.Pending, Claim: "web-x7k2p", NodePool: "web", Tags: wantTags,
		Annotations: map[string]string{v1.AnnotationHash: "0123", v1.AnnotationHashVersion: v1.HashVersion, v1.AnnotationInstanceProfile: "harbour_0123"},
		Class:       "default",
	}
	if diff := cmp.Diff(wantInstance, i); diff != "" {
		t.Errorf("instance:\n%s", diff)
	}
	tpl := h.fake.templates[0]
	if !strings.HasPrefix(*tpl.LaunchTemplateName, "karpenter.k8s.aws/") || *f.LaunchTemplateConfigs[0].LaunchTemplateSpecification.LaunchTemplateName != *tpl.LaunchTemplateName {
		t.Errorf("the template is %s, the fleet names %s", *tpl.LaunchTemplateName, *f.LaunchTemplateConfigs[0].LaunchTemplateSpecification.LaunchTemplateName)
	}
	delete(wantTags, "karpenter.sh/nodeclaim")
	delete(wantTags, "stowage.sh/nodeclaim-uid")
	delete(wantTags, "stowage.sh/ec2nodeclass-hash")
	if diff := cmp.Diff(wantTags, tagMap(tpl.TagSpecifications[0].Tags)); diff != "" {
		t.Errorf("tags of the template:\n%s", diff)
	}
}

func tagMap(tags []types.Tag) map[string]string {
	out := map[string]string{}
	for _, t := range tags {
		out[*t.Key] = *t.Value
	}
	return out
}

func TestOneTemplateForManyLaunches(t *testing.T) {
	h := newHarness(t)
	var wg sync.WaitGroup
	for n := range 20 {
		wg.Go(func() {
			r := h.request("m5.large/us-west-2a/on-demand", "m5.large/us-west-2b/on-demand")
			r.Claim, r.UID = fmt.Sprint("web-", n), fmt.Sprint("uid-", n)
			if _, err := h.Launch(t.Context(), r); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if len(h.fake.templates) != 1 || len(h.fake.fleets) != 20 {
		t.Errorf("%d templates and %d fleets for 20 launches alike, want 1 and 20", len(h.fake.templates), len(h.fake.fleets))
	}
	if len(h.fake.describes) != 1 {
		t.Errorf("%d DescribeInstances, want 1 for the whole process", len(h.fake.describes))
	}
}

func TestRefusedOfferingsAreTold(t *testing.T) {
	h := newHarness(t, gives("i-9", 2))
	i, err := h.Launch(t.Context(), h.request("m5.large/us-west-2a/spot", "m5.large/us-west-2b/spot", "m5.xlarge/us-west-2b/spot"))
	if err != nil || i.Offering.String() != "m5.xlarge/us-west-2b/spot" {
		t.Fatalf("Launch gave %s, %v", i.Offering, err)
	}
	if diff := cmp.Diff(want(t, "m5.large/us-west-2a/spot", "m5.large/us-west-2b/spot"), h.refused); diff != "" {
		t.Errorf("Refused was told:\n%s", diff)
	}
}

func TestOfferingsThatTheClassLost(t *testing.T) {
	h := newHarness(t)
	_, err := h.Launch(t.Context(), h.request("m5.large/us-west-2c/spot", "m4.large/us-west-2a/spot", "m5.large/us-west-2a/reserved"))
	ice, ok := errors.AsType[*cloudprovider.InsufficientCapacityError](err)
	if !ok || len(ice.Offerings) != 3 {
		t.Fatalf("error is %v, want insufficient capacity of all three", err)
	}
	for _, part := range []string{"no subnet in the zone", "does not have the instance type", "does not have the capacity reservation"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%q is not in %v", part, err)
		}
	}
	if len(h.fake.fleets) != 0 {
		t.Error("EC2 was asked for what the class does not have")
	}
}

func TestErrorsOfFleets(t *testing.T) {
	for _, c := range []struct {
		name   string
		answer fleetAnswer
		ice    bool
		code   string
	}{
		{"no capacity", errorsOf("InsufficientInstanceCapacity", -1), true, ""},
		{"no capacity, as the answer to all", fails(refusal("VcpuLimitExceeded", 400)), true, ""},
		{"no spot role", errorsOf("AuthFailure.ServiceLinkedRoleCreationNotPermitted", -1), true, ""},
		{"denied", fails(refusal("UnauthorizedOperation", 403)), false, "UnauthorizedOperation"},
		{"denied inside", errorsOf("UnauthorizedOperation", -1), false, "UnauthorizedOperation"},
		{"throttled", fails(refusal("RequestLimitExceeded", 503)), false, "RequestLimitExceeded"},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := newHarness(t, c.answer)
			_, err := h.Launch(t.Context(), h.request("m5.large/us-west-2a/spot"))
			if _, ice := errors.AsType[*cloudprovider.InsufficientCapacityError](err); ice != c.ice {
				t.Errorf("error is %v; insufficient capacity: %v, want %v", err, ice, c.ice)
			}
			if !c.ice && code(err) != c.code {
				t.Errorf("the code in %v is %q, want %q", err, code(err), c.code)
			}
			if !strings.HasPrefix(err.Error(), "launching web-x7k2p: ") {
				t.Errorf("the error does not name the claim: %v", err)
			}
		})
	}
}

func TestAnEmptyFleetIsAnError(t *testing.T) {
	h := newHarness(t, errorsOf("", 0))
	if _, err := h.Launch(t.Context(), h.request("m5.large/us-west-2a/spot")); err == nil {
		t.Error("a fleet without instance and error passed for a launch")
	}
}

func TestTemplateThatIsGone(t *testing.T) {
	for _, c := range []struct {
		name   string
		answer fleetAnswer
		tokens int // different ones
	}{
		{"refused", fails(refusal("InvalidLaunchTemplateName.NotFoundException", 400)), 1},
		{"accepted", errorsOf("InvalidLaunchTemplateName.NotFoundException", -1), 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := newHarness(t, c.answer)
			if _, err := h.Launch(t.Context(), h.request("m5.large/us-west-2a/spot")); err != nil {
				t.Fatal(err)
			}
			if len(h.fake.templates) != 2 || len(h.fake.fleets) != 2 {
				t.Errorf("%d templates made and %d fleets, want 2 and 2", len(h.fake.templates), len(h.fake.fleets))
			}
			if n := len(h.tokens()); n != c.tokens {
				t.Errorf("%d different tokens, want %d", n, c.tokens)
			}
		})
	}
	h := newHarness(t, errorsOf("InvalidLaunchTemplateName.NotFoundException", -1), errorsOf("InvalidLaunchTemplateName.NotFoundException", -1))
	if _, err := h.Launch(t.Context(), h.request("m5.large/us-west-2a/spot")); !isTemplateGone(code(err)) || len(h.fake.fleets) != 2 {
		t.Errorf("error is %v after %d fleets, want it after 2", err, len(h.fake.fleets))
	}
}

// tokens are the different client tokens of all fleets, in order.
func (h *harness) tokens() []string {
	var out []string
	for _, f := range h.fake.fleets {
		if !slices.Contains(out, *f.ClientToken) {
			out = append(out, *f.ClientToken)
		}
	}
	return out
}

func TestTokens(t *testing.T) {
	lost := fails(errors.New("connection reset by peer"))
	for _, c := range []struct {
		name             string
		first            fleetAnswer
		tokens, searches int // in two launches of one claim, beside the first list
	}{
		{"refused by all: asked anew", errorsOf("InsufficientInstanceCapacity", -1), 2, 0},
		{"accepted with another error: asked anew", errorsOf("InvalidParameterValue", -1), 2, 0},
		{"no answer: the same request, after a search", lost, 1, 1},
		{"fault of the server: the same request, after a search", fails(refusal("InternalError", 500)), 1, 1},
		{"throttled: the same request", fails(refusal("RequestLimitExceeded", 503)), 1, 0},
		{"denied: the same request", fails(refusal("UnauthorizedOperation", 403)), 1, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := newHarness(t, c.first)
			r := h.request("m5.large/us-west-2a/on-demand")
			if _, err := h.Launch(t.Context(), r); err == nil {
				t.Fatal("the first launch succeeded")
			}
			if _, err := h.Launch(t.Context(), r); err != nil {
				t.Fatal(err)
			}
			if n := len(h.tokens()); n != c.tokens {
				t.Errorf("%d different tokens, want %d", n, c.tokens)
			}
			if n := len(h.fake.describes) - 1; n != c.searches {
				t.Errorf("%d searches by tag, want %d", n, c.searches)
			}
		})
	}
}

// TestTokenHoldsNothingThatMayChange is the crash between CreateFleet and the
// status write: another process, with other subnets and images, sends the token
// of the first.
func TestTokenHoldsNothingThatMayChange(t *testing.T) {
	first, second := newHarness(t), newHarness(t)
	changed := testClass()
	changed.Images[0].ID, changed.Subnets = "ami-newer", changed.Subnets[1:]
	second.Classes.Put(changed)
	for _, h := range []*harness{first, second} {
		if _, err := h.Launch(t.Context(), h.request("m5.large/us-west-2a/on-demand")); err != nil {
			t.Fatal(err)
		}
	}
	if a, b := first.tokens(), second.tokens(); !slices.Equal(a, b) {
		t.Errorf("tokens are %v and %v", a, b)
	}
}

// claimed is an instance that an earlier launch of the test's claim made.
func claimed(id string, launched time.Time) types.Instance {
	return types.Instance{
		InstanceId: sdk.String(id), InstanceType: "m5.large", LaunchTime: sdk.Time(launched), Placement: &types.Placement{AvailabilityZone: sdk.String("us-west-2a")},
		State: &types.InstanceState{Name: types.InstanceStateNameRunning}, ImageId: sdk.String("ami-amd64"),
		Tags: []types.Tag{{Key: sdk.String(TagClaimUID), Value: sdk.String("claim-uid")}, {Key: sdk.String("karpenter.sh/nodeclaim"), Value: sdk.String("web-x7k2p")}},
	}
}

func TestTokenOfAnotherRequest(t *testing.T) {
	mismatch := fails(refusal(codeTokenMismatch, 400))
	t.Run("the instance is found", func(t *testing.T) {
		h := newHarness(t)
		h.fake.answers = []fleetAnswer{func(in *ec2.CreateFleetInput) (*ec2.CreateFleetOutput, error) {
			// It becomes visible only now; two of them, which must never be.
			day := time.Date(2026, 9, 1, 0, 0, 0, 0, time.UTC)
			h.fake.there = []types.Instance{claimed("i-younger", day.Add(time.Second)), claimed("i-older", day)}
			return mismatch(in)
		}}
		i, err := h.Launch(t.Context(), h.request("m5.large/us-west-2a/on-demand"))
		if err != nil || i.ID != "i-older" {
			t.Errorf("Launch gave %q, %v; want the older instance", i.ID, err)
		}
	})
	t.Run("it is never found", func(t *testing.T) {
		day := time.Date(2026, 9, 1, 0, 0, 0, 0, time.UTC)
		h := newHarness(t, mismatchAt(day), mismatchAt(day.Add(visibleAfter-time.Second)), mismatchAt(day.Add(visibleAfter)))
		r := h.request("m5.large/us-west-2a/on-demand")
		for n := range 3 {
			if _, err := h.Launch(t.Context(), r); code(err) != codeTokenMismatch {
				t.Fatalf("launch %d: %v, want a mismatch", n+1, err)
			}
			if n := len(h.tokens()); n != 1 {
				t.Fatalf("%d tokens were used while the instance might become visible", n)
			}
		}
		if _, err := h.Launch(t.Context(), r); err != nil {
			t.Fatal(err)
		}
		if n := len(h.tokens()); n != 2 {
			t.Errorf("%d tokens after all, want 2", n)
		}
	})
	t.Run("it is not known how long ago that was", func(t *testing.T) {
		h := newHarness(t, mismatch, mismatch, mismatch)
		for range 3 {
			if _, err := h.Launch(t.Context(), h.request("m5.large/us-west-2a/on-demand")); code(err) != codeTokenMismatch {
				t.Fatalf("error is %v, want a mismatch", err)
			}
		}
		if n := len(h.tokens()); n != 1 {
			t.Errorf("%d tokens were used, want the first again and again", n)
		}
	})
}

// mismatchAt is EC2's refusal of a token, said at a time of its clock.
func mismatchAt(at time.Time) fleetAnswer {
	err := refusal(codeTokenMismatch, 400)
	response, _ := errors.AsType[*smithyhttp.ResponseError](err)
	response.Response.Header = http.Header{"Date": {at.Format(http.TimeFormat)}}
	return fails(err)
}

func TestInstancesOfEarlierProcesses(t *testing.T) {
	h := newHarness(t)
	h.fake.there = []types.Instance{claimed("i-before", time.Date(2026, 9, 1, 0, 0, 0, 0, time.UTC))}
	h.Classes.Put(&Class{Name: "default", NotReady: "SubnetsReady=False"}) // not needed to find it
	i, err := h.Launch(t.Context(), h.request("m5.large/us-west-2a/on-demand"))
	if err != nil || i.ID != "i-before" || i.Offering.String() != "m5.large/us-west-2a/on-demand" {
		t.Errorf("Launch gave %q as %s, %v", i.ID, i.Offering, err)
	}
	if len(h.fake.fleets) != 0 {
		t.Error("a second instance was asked for")
	}
}

// TestAnInstanceNobodyAskedFor is a rule of EC2's that is broken: the instance
// must not be lost for that.
func TestAnInstanceNobodyAskedFor(t *testing.T) {
	h := newHarness(t, func(in *ec2.CreateFleetInput) (*ec2.CreateFleetOutput, error) {
		return &ec2.CreateFleetOutput{Instances: []types.CreateFleetInstance{{InstanceIds: []string{"i-odd"}, InstanceType: "x1.large"}}}, nil
	})
	r := h.request("m5.large/us-west-2a/on-demand")
	if _, err := h.Launch(t.Context(), r); err == nil || !strings.Contains(err.Error(), "i-odd") {
		t.Fatalf("error is %v, want one that names the instance", err)
	}
	h.fake.there = []types.Instance{claimed("i-odd", time.Time{})}
	if i, err := h.Launch(t.Context(), r); err != nil || i.ID != "i-odd" {
		t.Errorf("the next launch gave %q, %v", i.ID, err)
	}
}

func TestSubnetsFillEvenly(t *testing.T) {
	h := newHarness(t)
	var got []string
	for n := range 4 { // m5.large holds 29 pods
		r := h.request("m5.large/us-west-2a/on-demand")
		r.UID = fmt.Sprint("uid-", n)
		if _, err := h.Launch(t.Context(), r); err != nil {
			t.Fatal(err)
		}
		got = append(got, sdk.ToString(overrides(h.fake.fleets[n])[0].SubnetId))
	}
	if want := []string{"subnet-a1", "subnet-a2", "subnet-a1", "subnet-a2"}; !slices.Equal(got, want) {
		t.Errorf("subnets are %v, want %v", got, want)
	}
}

func TestFullSubnetIsLeftAlone(t *testing.T) {
	h := newHarness(t, errorsOf(codeNoAddresses, -1))
	r := h.request("m5.large/us-west-2a/on-demand")
	if _, err := h.Launch(t.Context(), r); err == nil {
		t.Fatal("the first launch succeeded")
	}
	if _, err := h.Launch(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	if got := sdk.ToString(overrides(h.fake.fleets[1])[0].SubnetId); got != "subnet-a2" {
		t.Errorf("the second launch went to %s, want subnet-a2", got)
	}
	news := testClass()
	news.Subnets[0].FreeAddresses = 101
	if got := h.addresses.subnetOf(news)["us-west-2a"].ID; got != "subnet-a1" {
		t.Errorf("after EC2 said that subnet-a1 has addresses, %s is chosen", got)
	}
}

func TestManyTemplatesAreManyFleets(t *testing.T) {
	var l launchPlan
	for n := range maxTemplates + 5 {
		l.add(template{name: fmt.Sprint(n)}, placement{offering: cloudprovider.Offering{InstanceType: fmt.Sprint(n), CapacityType: cloudprovider.Spot}})
	}
	if len(l.groups) != 2 || len(l.groups[0].templates) != maxTemplates || len(l.groups[1].placements) != 5 {
		t.Errorf("%d groups", len(l.groups))
	}
}

func TestLaunchWithoutUID(t *testing.T) {
	h := newHarness(t)
	r := h.request("m5.large/us-west-2a/on-demand")
	r.UID = ""
	if _, err := h.Launch(t.Context(), r); err == nil {
		t.Error("a claim without UID was launched: it could not be found again")
	}
}

func TestAttemptsAreBounded(t *testing.T) {
	var a attempts
	for n := range maxAttempts + 10 {
		a.over(fmt.Sprint(n), 0)
	}
	if len(a.byUID) != maxAttempts || len(a.order) != maxAttempts {
		t.Errorf("%d claims are remembered, want %d", len(a.byUID), maxAttempts)
	}
	if a.of("0").number != 0 || a.of(fmt.Sprint(maxAttempts)).number != 1 {
		t.Error("the oldest claim is remembered, or the newest is not")
	}
}

// TestTwoCallersEndOneAttempt has both of two callers with one claim told that
// attempt 0 is over: attempt 1 must not be over for that.
func TestTwoCallersEndOneAttempt(t *testing.T) {
	var a attempts
	a.over("uid", 0)
	a.doubtful("uid")
	a.over("uid", 0)
	a.mismatch("uid", 0, time.Date(2026, 9, 1, 0, 0, 0, 0, time.UTC))
	if got := a.of("uid"); got.number != 1 || !got.doubt || !got.mismatched.IsZero() {
		t.Errorf("the claim is at %+v, want attempt 1 in doubt", got)
	}
}
