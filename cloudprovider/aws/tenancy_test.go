package aws

import (
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"testing"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/google/go-cmp/cmp"

	"github.com/stowage-sh/stowage/cloudprovider"
	v1 "github.com/stowage-sh/stowage/cloudprovider/aws/v1"
)

// TestDedicatedOfferings: each offering is there on hardware of its own too, with the label; groups that take no
// such machines have none.
func TestDedicatedOfferings(t *testing.T) {
	h := newHarness(t)
	dedicated := func() (found []string) {
		c, err := h.Catalog(t.Context(), classRef)
		if err != nil {
			t.Fatal(err)
		}
		kind, _ := c.InstanceType("m5.large")
		for _, o := range kind.Offerings {
			value := kind.Labels[v1.LabelInstanceTenancy]
			if l, ok := c.OfferingLabels(o)[v1.LabelInstanceTenancy]; ok {
				value = l
			}
			if want := map[string]string{"": "default", cloudprovider.Dedicated: "dedicated"}[o.Tenancy]; value != want {
				t.Errorf("a node of %s has the tenancy %q", o, value)
			}
			if o.Tenancy != "" && o.Zone == "us-west-2a" {
				found = append(found, o.String())
			}
		}
		return found
	}
	if diff := cmp.Diff([]string{"m5.large/us-west-2a/on-demand+dedicated", "m5.large/us-west-2a/spot+dedicated"}, dedicated()); diff != "" {
		t.Errorf("offerings:\n%s", diff)
	}
	for _, c := range []struct {
		group PlacementGroup
		want  int
	}{
		{PlacementGroup{ID: "pg", Strategy: types.PlacementStrategyCluster}, 2},
		{PlacementGroup{ID: "pg", Strategy: types.PlacementStrategySpread}, 0},
		{PlacementGroup{ID: "pg", Strategy: types.PlacementStrategyPartition, Partitions: 2}, 4},
		{PlacementGroup{ID: "pg", Strategy: types.PlacementStrategyPartition, Partitions: 3}, 0},
	} {
		h.grouped(c.group)
		if got := dedicated(); len(got) != c.want {
			t.Errorf("%+v takes %v", c.group, got)
		}
	}
}

// TestLaunchDedicated: it has a launch template and a fleet of its own, since EC2's answer does not say on which
// hardware the machine is, and the node is told.
func TestLaunchDedicated(t *testing.T) {
	h := newHarness(t, errorsOf("InsufficientInstanceCapacity", -1))
	i, err := h.Launch(t.Context(), h.request("m5.large/us-west-2a/on-demand", "m5.large/us-west-2a/on-demand+dedicated"))
	if err != nil || i.Offering.String() != "m5.large/us-west-2a/on-demand+dedicated" {
		t.Fatalf("launched %s, %v", i.Offering, err)
	}
	if len(h.fake.templates) != 2 || len(h.fake.fleets) != 2 || *h.fake.templates[0].LaunchTemplateName == *h.fake.templates[1].LaunchTemplateName {
		t.Fatalf("%d templates, %d fleets", len(h.fake.templates), len(h.fake.fleets))
	}
	for n, want := range []types.Tenancy{"", types.TenancyDedicated} {
		got := types.Tenancy("")
		data := h.fake.templates[n].LaunchTemplateData
		if data.Placement != nil {
			got = data.Placement.Tenancy
		}
		user, err := base64.StdEncoding.DecodeString(*data.UserData)
		label := fmt.Sprintf("%s=%s", v1.LabelInstanceTenancy, want)
		if got != want || err != nil || want != "" && (!strings.Contains(string(user), label) || data.Placement.GroupId != nil) {
			t.Errorf("template %d: tenancy %q, want %q, and %s in the user data", n, got, want, label)
		}
	}
	if diff := cmp.Diff(want(t, "m5.large/us-west-2a/on-demand"), h.refused); diff != "" {
		t.Errorf("refused:\n%s", diff)
	}
}

// TestTenancyOfInstances: what EC2 says of an instance, and of a reservation, is the offering that it is of.
func TestTenancyOfInstances(t *testing.T) {
	for tenancy, want := range map[types.Tenancy]string{
		"": "m5.large/us-west-2a/on-demand", types.TenancyDefault: "m5.large/us-west-2a/on-demand", types.TenancyDedicated: "m5.large/us-west-2a/on-demand+dedicated",
	} {
		is := instance(types.Instance{InstanceType: "m5.large", Placement: &types.Placement{AvailabilityZone: sdk.String("us-west-2a"), Tenancy: tenancy}})
		if got := is.Offering.String(); got != want {
			t.Errorf("%q: %s, want %s", tenancy, got, want)
		}
	}
	r := ReservationFromEC2(types.CapacityReservation{CapacityReservationId: sdk.String("cr-1"), InstanceType: sdk.String("m5.large"), AvailabilityZone: sdk.String("us-west-2a"),
		Tenancy: types.CapacityReservationTenancyDedicated}, noon, noon)
	if got := r.offering().String(); got != "m5.large/us-west-2a/reserved/cr-1+dedicated" {
		t.Errorf("a reservation of dedicated machines offers %s", got)
	}
	if !slices.Contains((*PlacementGroup)(nil).tenancies(), cloudprovider.Dedicated) {
		t.Error("without a group there are none")
	}
}
