package aws

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/stowage-sh/stowage/cloudprovider"
)

// member is a request of a group of claims.
func (h *harness) member(index, size int, offerings ...string) cloudprovider.LaunchRequest {
	r := h.request(offerings...)
	r.Claim, r.UID = fmt.Sprint("web-", index), fmt.Sprint("uid-", index)
	r.Group = cloudprovider.LaunchGroup{ID: "group", Index: index, Size: size}
	return r
}

// launches returns the IDs of what members of a group get, "" for an error.
func (h *harness) launches(members ...cloudprovider.LaunchRequest) (got []string) {
	for _, r := range members {
		i, _ := h.Launch(h.Context(), r)
		got = append(got, i.ID)
	}
	return got
}

// givesAll is an answer with an instance of override n for each ID, and with an error of
// insufficient capacity for each override before it.
func givesAll(n int, ids ...string) fleetAnswer {
	return func(in *ec2.CreateFleetInput) (*ec2.CreateFleetOutput, error) {
		out, err := gives("", n)(in)
		out.Instances[0].InstanceIds = ids
		return out, err
	}
}

// sizes are how many instances each fleet was asked for.
func (h *harness) sizes() (all []int) {
	for _, f := range h.fake.fleets {
		all = append(all, int(*f.TargetCapacitySpecification.TotalTargetCapacity))
	}
	return all
}

const onDemand, spot = "m5.large/us-west-2a/on-demand", "m5.large/us-west-2a/spot"

func TestGroupSharesAFleet(t *testing.T) {
	h := newHarness(t, givesAll(0, "i-c", "i-a", "i-b"))
	got := make([]cloudprovider.Instance, 3)
	var wg sync.WaitGroup
	for n := range got {
		wg.Go(func() {
			var err error
			if got[n], err = h.Launch(t.Context(), h.member(n, 3, onDemand)); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for n, id := range []string{"i-a", "i-b", "i-c"} {
		if got[n].ID != id || got[n].Claim != fmt.Sprint("web-", n) {
			t.Errorf("member %d has got %s of %s, want %s", n, got[n].ID, got[n].Claim, id)
		}
	}
	if !slices.Equal(h.sizes(), []int{3}) || len(h.fake.describes) != 1 {
		t.Errorf("fleets of %v, %d lists", h.sizes(), len(h.fake.describes))
	}
	tags := tagMap(h.fake.fleets[0].TagSpecifications[0].Tags)
	if tags[TagLaunchGroup] != "group/0/3" || tags[TagClassHash] == "" || tags[TagClaimUID]+tags["karpenter.sh/nodeclaim"] != "" {
		t.Errorf("instances are tagged %v", tags)
	}
	if free := h.addresses.free(testClass().Subnets[0]); free != 100-3*29 {
		t.Errorf("%d addresses are left, want those of three nodes less", free)
	}
}

// TestGroupGoesOnTogether: for what one fleet lacks the next is asked, and what was refused is told once.
func TestGroupGoesOnTogether(t *testing.T) {
	partly := func(in *ec2.CreateFleetInput) (*ec2.CreateFleetOutput, error) {
		out, _ := givesAll(0, "i-9")(in)
		short, _ := errorsOf("InsufficientInstanceCapacity", 1)(in)
		out.Errors = short.Errors
		return out, nil
	}
	h := newHarness(t, partly, errorsOf("UnfulfillableCapacity", -1), givesAll(0, "i-1"))
	got := h.launches(h.member(0, 3, spot, onDemand, "m5.xlarge/us-west-2b/spot"), h.member(1, 3, spot, onDemand, "m5.xlarge/us-west-2b/spot"))
	if !slices.Equal(got, []string{"i-9", "i-1"}) || !slices.Equal(h.sizes(), []int{3, 2, 2}) {
		t.Errorf("got %v of fleets of %v", got, h.sizes())
	}
	if !slices.Equal(h.refused, want(t, spot, onDemand)) {
		t.Errorf("told of %v", h.refused)
	}
	// The third has one offering left that was not refused.
	if i, err := h.Launch(t.Context(), h.member(2, 3, spot, onDemand, "m5.xlarge/us-west-2b/spot")); err != nil || i.Offering.InstanceType != "m5.xlarge" {
		t.Errorf("the third got %v, %v", i.Offering, err)
	}
	if !slices.Equal(h.sizes(), []int{3, 2, 2, 1}) || len(h.tokens()) != 4 {
		t.Errorf("fleets of %v, %d tokens", h.sizes(), len(h.tokens()))
	}
}

// TestGroupWithoutAnAnswer: the same is asked again, word for word, though addresses are counted otherwise by then.
func TestGroupWithoutAnAnswer(t *testing.T) {
	h := newHarness(t, errorsOf("UnfulfillableCapacity", -1), fails(errors.New("connection reset by peer")), givesAll(0, "i-a", "i-b"))
	members := []cloudprovider.LaunchRequest{h.member(0, 2, spot, onDemand), h.member(1, 2, spot, onDemand)}
	if _, err := h.Launch(t.Context(), members[0]); err == nil {
		t.Fatal("a launch without an answer succeeded")
	}
	h.addresses.take(testClass().Subnets[0], 60)
	if got := h.launches(members...); !slices.Equal(got, []string{"i-a", "i-b"}) {
		t.Errorf("got %v", got)
	}
	fleets := h.fake.fleets
	if len(fleets) != 3 || *fleets[1].ClientToken != *fleets[2].ClientToken || !slices.Equal(said(fleets[1]), said(fleets[2])) {
		t.Errorf("%d fleets, the last %v and %v", len(fleets), said(fleets[1]), said(fleets[2]))
	}
}

// ofGroup is an instance of a group's first fleet.
func ofGroup(id string, launched time.Time, asked int, state types.InstanceStateName) types.Instance {
	i := claimed(id, launched)
	i.State.Name = state
	i.Tags = []types.Tag{{Key: sdk.String(TagLaunchGroup), Value: sdk.String(fmt.Sprintf("group/0/%d", asked))}}
	return i
}

// TestGroupAfterARestart: the token is of another request, so the instances are looked for.
func TestGroupAfterARestart(t *testing.T) {
	day := time.Date(2026, 9, 1, 0, 0, 0, 0, time.UTC)
	running, terminated := types.InstanceStateNameRunning, types.InstanceStateNameTerminated
	for _, c := range []struct {
		name    string
		there   []types.Instance
		answers []time.Duration // after day: mismatches
		got     []string        // of three members, one after the other
		alone   int             // fleets for one
	}{
		{"all are there", []types.Instance{ofGroup("i-z", day, 3, running), ofGroup("i-y", day, 3, running), ofGroup("i-x", day, 3, running)},
			[]time.Duration{0}, []string{"i-x", "i-y", "i-z"}, 0},
		{"one has ended", []types.Instance{ofGroup("i-z", day, 3, running), ofGroup("i-y", day, 3, terminated), ofGroup("i-x", day, 3, running)},
			[]time.Duration{0}, []string{"i-x", "i-2", "i-z"}, 1},
		{"one may come", []types.Instance{ofGroup("i-z", day, 3, running), ofGroup("i-y", day, 3, running)},
			[]time.Duration{0, visibleAfter - time.Second, visibleAfter - time.Second}, []string{"", "", ""}, 0},
		{"one does not come", []types.Instance{ofGroup("i-z", day, 3, running), ofGroup("i-y", day, 3, running)},
			[]time.Duration{visibleAfter}, []string{"", "i-2", "i-3"}, 2},
		{"none comes", nil, []time.Duration{0, visibleAfter}, []string{"", "", "i-3"}, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := newHarness(t)
			for _, after := range c.answers {
				h.fake.answers = append(h.fake.answers, mismatchAt(day.Add(after)))
			}
			h.fake.there = c.there
			if got := h.launches(h.member(0, 3, onDemand), h.member(1, 3, onDemand), h.member(2, 3, onDemand)); !slices.Equal(got, c.got) {
				t.Errorf("got %v, want %v", got, c.got)
			}
			alone := 0
			for _, size := range h.sizes() {
				if size == 1 {
					alone++
				}
			}
			if alone != c.alone {
				t.Errorf("%d claims went by themselves, want %d", alone, c.alone)
			}
		})
	}
}

// TestGroupsLaterFleets: what holds of the first fleet after a restart holds of the next, and no more is asked for than
// the earlier process wanted. One that EC2 refuses for its words is not asked for in them again.
func TestGroupsLaterFleets(t *testing.T) {
	day := time.Date(2026, 9, 1, 0, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		name    string
		answers []fleetAnswer
		there   []types.Instance
		got     []string
		sizes   []int
	}{
		{"may come", []fleetAnswer{errorsOf("UnfulfillableCapacity", -1), mismatchAt(day), mismatchAt(day.Add(visibleAfter - time.Second))}, nil,
			[]string{"", ""}, []int{2, 2, 2}},
		{"fewer were wanted", []fleetAnswer{mismatchAt(day)}, []types.Instance{ofGroup("i-x", day, 1, types.InstanceStateNameRunning)},
			[]string{"i-x", "i-2", "i-3"}, []int{3, 1, 1}},
		{"wrong words", []fleetAnswer{errorsOf("UnfulfillableCapacity", -1), fails(refusal("InvalidSubnetID.NotFound", 400))}, nil,
			[]string{"", "i-3"}, []int{2, 2, 1}},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := newHarness(t, c.answers...)
			h.fake.there = c.there
			var members []cloudprovider.LaunchRequest
			for n := range c.got {
				members = append(members, h.member(n, len(c.got), spot, onDemand))
			}
			if got := h.launches(members...); !slices.Equal(got, c.got) || !slices.Equal(h.sizes(), c.sizes) {
				t.Errorf("got %q of fleets of %v, want %q of %v", got, h.sizes(), c.got, c.sizes)
			}
		})
	}
}

// TestMemberThatGoesByItself: what it was given is another's, or nothing that it asked for.
func TestMemberThatGoesByItself(t *testing.T) {
	t.Run("other offerings", func(t *testing.T) {
		h := newHarness(t, givesAll(0, "i-a", "i-b"), givesAll(0, "i-own"))
		other := h.member(1, 2, "m5.xlarge/us-west-2b/on-demand")
		if got := h.launches(h.member(0, 2, onDemand), other, other); !slices.Equal(got, []string{"i-a", "i-own", "i-own"}) {
			t.Errorf("got %v", got)
		}
		if tags := tagMap(h.fake.fleets[1].TagSpecifications[0].Tags); tags[TagClaimUID] != "uid-1" || tags[TagLaunchGroup] != "" {
			t.Errorf("its own instance is tagged %v", tags)
		}
	})
	t.Run("a claim that was copied", func(t *testing.T) {
		h := newHarness(t, givesAll(0, "i-a", "i-b"), givesAll(0, "i-own"))
		copied := h.member(0, 2, onDemand)
		copied.Claim, copied.UID = "copy", "uid-of-copy"
		if got := h.launches(h.member(0, 2, onDemand), copied); !slices.Equal(got, []string{"i-a", "i-own"}) {
			t.Errorf("got %v", got)
		}
	})
	t.Run("a claim that was copied, before a restart", func(t *testing.T) {
		h := newHarness(t, givesAll(0, "i-a", "i-b"), givesAll(0, "i-own"))
		had := claimed("i-a", time.Time{})
		had.Tags = had.Tags[1:] // the claim's name
		h.fake.there = []types.Instance{had}
		if got := h.launches(h.member(0, 2, onDemand), h.member(1, 2, onDemand)); !slices.Equal(got, []string{"i-own", "i-b"}) {
			t.Errorf("got %v", got)
		}
	})
	t.Run("an error of the fleet", func(t *testing.T) {
		h := newHarness(t, errorsOf("InvalidParameterValue", -1))
		if got := h.launches(h.member(0, 2, onDemand), h.member(1, 2, onDemand), h.member(0, 2, onDemand)); !slices.Equal(got, []string{"", "i-2", "i-3"}) {
			t.Errorf("got %v", got)
		}
	})
}

// TestGroupInAFullSubnet: no more are asked for together than the subnet has addresses for, while another has some.
func TestGroupInAFullSubnet(t *testing.T) {
	h := newHarness(t, givesAll(0, "i-a", "i-b", "i-c"))
	got := h.launches(h.member(0, 5, onDemand), h.member(1, 5, onDemand), h.member(2, 5, onDemand), h.member(3, 5, onDemand), h.member(4, 5, onDemand))
	if !slices.Equal(got, []string{"i-a", "i-b", "i-c", "i-2", "i-3"}) {
		t.Errorf("got %v", got)
	}
	if subnet := sdk.ToString(overrides(h.fake.fleets[1])[0].SubnetId); !slices.Equal(h.sizes(), []int{3, 1, 1}) || subnet != "subnet-a2" {
		t.Errorf("fleets of %v, the second in %s", h.sizes(), subnet)
	}
}

func TestJointsAreBounded(t *testing.T) {
	var a joints
	first := a.of("first")
	for n := range maxJoints {
		a.of(fmt.Sprint(n))
	}
	if len(a.byID) != maxJoints || len(a.order) != maxJoints || a.of("first") == first {
		t.Errorf("%d groups are remembered, want %d and not the first", len(a.byID), maxJoints)
	}
}

func TestTag(t *testing.T) {
	h := newHarness(t)
	if err := h.Tag(t.Context(), "i-1", "web-1"); err != nil {
		t.Fatal(err)
	}
	if in := h.fake.tagged[0]; !slices.Equal(in.Resources, []string{"i-1"}) || len(in.Tags) != 1 || tagMap(in.Tags)["karpenter.sh/nodeclaim"] != "web-1" {
		t.Errorf("%v is tagged %v", in.Resources, tagMap(in.Tags))
	}
}
