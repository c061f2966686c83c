package aws

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"testing"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/google/go-cmp/cmp"

	"github.com/stowage-sh/stowage/cloudprovider"
	v1 "github.com/stowage-sh/stowage/cloudprovider/aws/v1"
)

// grouped gives the class a placement group.
func (h *harness) grouped(g PlacementGroup) {
	c := testClass()
	c.PlacementGroup = &g
	h.Classes.Put(c)
}

var parts = PlacementGroup{ID: "pg-1", Name: "parts", Strategy: types.PlacementStrategyPartition, Partitions: 2}

// TestPartitionsAreOfferings: each partition is an offering with its labels, also for what is of one
// price in all; a reservation is one.
func TestPartitionsAreOfferings(t *testing.T) {
	h := newHarness(t)
	h.reserve()
	class, _ := h.Classes.Get("default")
	with := *class
	with.PlacementGroup = &parts
	h.Classes.Put(&with)
	c, err := h.Catalog(t.Context(), classRef)
	if err != nil {
		t.Fatal(err)
	}
	kind, _ := c.InstanceType("m5.large")
	var got []string
	for _, o := range kind.Offerings {
		if o.Zone == "us-west-2a" && o.Tenancy == "" {
			labels := c.OfferingLabels(o)
			got = append(got, fmt.Sprintf("%s %s/%s", o, labels[v1.LabelPlacementGroupID], labels[v1.LabelPlacementGroupPartition]))
		}
	}
	if diff := cmp.Diff([]string{
		"m5.large/us-west-2a/on-demand@pg-1:1 pg-1/1", "m5.large/us-west-2a/on-demand@pg-1:2 pg-1/2",
		"m5.large/us-west-2a/reserved/cr-0@pg-1 pg-1/", "m5.large/us-west-2a/reserved/cr-1@pg-1 pg-1/", "m5.large/us-west-2a/reserved/cr-2@pg-1 pg-1/",
		"m5.large/us-west-2a/spot@pg-1:1 pg-1/1", "m5.large/us-west-2a/spot@pg-1:2 pg-1/2",
	}, got); diff != "" {
		t.Errorf("offerings:\n%s", diff)
	}
	r := c.Reservations["cr-0"]
	if labels := c.OfferingLabels(r.Offering); labels[v1.LabelPlacementGroupID] != "pg-1" || labels[v1.LabelCapacityReservationID] != "cr-0" {
		t.Errorf("a machine of a reservation has the labels %v", labels)
	}
	for _, o := range kind.Offerings {
		if again, err := cloudprovider.ParseOffering(o.String()); err != nil || again != o {
			t.Errorf("%s is read as %s, %v", o, again, err)
		}
	}
}

// TestCatalogFollowsTheGroup: a class that finds another group has other offerings, though nothing
// else has changed.
func TestCatalogFollowsTheGroup(t *testing.T) {
	h := newHarness(t)
	for _, want := range []string{"pg-1:1", "pg-2"} {
		g := parts
		if want == "pg-2" {
			g = PlacementGroup{ID: "pg-2", Strategy: types.PlacementStrategySpread}
		}
		h.grouped(g)
		c, err := h.Catalog(t.Context(), classRef)
		if err != nil {
			t.Fatal(err)
		}
		if got := c.InstanceTypes[0].Offerings[0].Placement; got != want {
			t.Errorf("offered in %q, want %q", got, want)
		}
	}
}

// TestLaunchIntoPartitions: each partition is a fleet of its own, since EC2 takes one override for a
// type and zone; what it lacks in one says nothing of the others.
func TestLaunchIntoPartitions(t *testing.T) {
	h := newHarness(t, errorsOf("InsufficientInstanceCapacity", -1))
	h.grouped(parts)
	i, err := h.Launch(t.Context(), h.request("m5.large/us-west-2a/on-demand@pg-1:1", "m5.large/us-west-2a/on-demand@pg-1:2", "m5.large/us-west-2b/on-demand@pg-1:1", "m5.large/us-west-2b/on-demand@pg-1:2"))
	if err != nil || i.Offering.String() != "m5.large/us-west-2a/on-demand@pg-1:2" {
		t.Fatalf("launched %s, %v", i.Offering, err)
	}
	var got []string
	for n, f := range h.fake.fleets {
		place := h.fake.templates[n].LaunchTemplateData.Placement
		got = append(got, fmt.Sprintf("%s:%d %v", *place.GroupId, *place.PartitionNumber, said(f)))
		data, err := base64.StdEncoding.DecodeString(*h.fake.templates[n].LaunchTemplateData.UserData)
		if label := fmt.Sprintf("%s=%d", v1.LabelPlacementGroupPartition, *place.PartitionNumber); err != nil || !strings.Contains(string(data), label) {
			t.Errorf("the user data of fleet %d lacks %s", n, label)
		}
	}
	if diff := cmp.Diff([]string{
		"pg-1:1 [on-demand: m5.large@subnet-a1:ami-amd64 m5.large@subnet-b1:ami-amd64]",
		"pg-1:2 [on-demand: m5.large@subnet-a1:ami-amd64 m5.large@subnet-b1:ami-amd64]",
	}, got); diff != "" {
		t.Errorf("fleets:\n%s", diff)
	}
	if diff := cmp.Diff(want(t, "m5.large/us-west-2a/on-demand@pg-1:1", "m5.large/us-west-2b/on-demand@pg-1:1"), h.refused); diff != "" {
		t.Errorf("refused:\n%s", diff)
	}
	// Another group than the class's, and none at all, are nothing that it has.
	for _, o := range []string{"m5.large/us-west-2a/on-demand@pg-2", "m5.large/us-west-2a/on-demand", "m5.large/us-west-2a/on-demand@pg-1:3"} {
		r := h.request(o)
		r.UID = o
		if _, err := h.Launch(t.Context(), r); err == nil || !strings.Contains(err.Error(), "does not have the placement group") {
			t.Errorf("%s: %v", o, err)
		}
	}
}

// TestSpreadGroupIsFull: seven instances are all that a spread group has in a zone, so no type can be had
// there, whether it was asked for or not; other zones are as they were.
func TestSpreadGroupIsFull(t *testing.T) {
	h := newHarness(t, func(in *ec2.CreateFleetInput) (*ec2.CreateFleetOutput, error) {
		out, err := errorsOf("UnfulfillableCapacity", 1)(in)
		out.Errors[0].ErrorMessage = sdk.String("You've reached the limit of instances in this spread placement group.")
		return out, err
	})
	h.grouped(PlacementGroup{ID: "pg-1", Strategy: types.PlacementStrategySpread})
	_, err := h.Launch(t.Context(), h.request("m5.large/us-west-2a/on-demand@pg-1"))
	ice, ok := errors.AsType[*cloudprovider.InsufficientCapacityError](err)
	if !ok {
		t.Fatal(err)
	}
	got := map[cloudprovider.Offering]bool{}
	for _, o := range ice.Offerings {
		got[o] = true
	}
	for _, o := range want(t, "m5.large/us-west-2a/on-demand@pg-1", "m5.large/us-west-2a/spot@pg-1", "m5.xlarge/us-west-2a/on-demand@pg-1", "c7g.large/us-west-2a/spot@pg-1") {
		if !got[o] {
			t.Errorf("%s is not refused", o)
		}
	}
	if got[want(t, "m5.large/us-west-2b/on-demand@pg-1")[0]] || len(ice.Offerings) != 6 || ice.Offerings[0].String() != "m5.large/us-west-2a/on-demand@pg-1" {
		t.Errorf("refused: %v", ice.Offerings)
	}
}

func TestTypesOfPlacementGroups(t *testing.T) {
	cluster, spread := &PlacementGroup{Strategy: types.PlacementStrategyCluster}, &PlacementGroup{Strategy: types.PlacementStrategySpread}
	for _, c := range []struct {
		kind            TypeInfo
		cluster, spread bool
	}{
		{TypeInfo{Name: "m5.large"}, true, true},
		{TypeInfo{Name: "t3.large", Burstable: true}, false, true},
		{TypeInfo{Name: "m7i-flex.large"}, false, true},
		{TypeInfo{Name: "t3.large", Burstable: true, PlacementStrategies: []string{"cluster"}}, true, false},
		{TypeInfo{Name: "m5.large", PlacementStrategies: []string{}}, false, false},
	} {
		if cluster.suits(&c.kind) != c.cluster || spread.suits(&c.kind) != c.spread || !(*PlacementGroup)(nil).suits(&c.kind) {
			t.Errorf("%+v: cluster %v, spread %v", c.kind, cluster.suits(&c.kind), spread.suits(&c.kind))
		}
	}
}

// TestPlacementOfInstances: what EC2 says of an instance is the offering that it was bought as.
func TestPlacementOfInstances(t *testing.T) {
	at := func(group string, partition int32) *types.Placement {
		p := &types.Placement{AvailabilityZone: sdk.String("us-west-2a")}
		if group != "" {
			p.GroupId = sdk.String(group)
		}
		if partition > 0 {
			p.PartitionNumber = sdk.Int32(partition)
		}
		return p
	}
	for _, c := range []struct {
		at   *types.Placement
		want string
	}{
		{at("", 0), "m5.large/us-west-2a/on-demand"}, {at("pg-1", 0), "m5.large/us-west-2a/on-demand@pg-1"}, {at("pg-1", 2), "m5.large/us-west-2a/on-demand@pg-1:2"},
	} {
		if got := instance(types.Instance{InstanceType: "m5.large", Placement: c.at}).Offering.String(); got != c.want {
			t.Errorf("%s, want %s", got, c.want)
		}
	}
}

func TestPlacementGroupDrift(t *testing.T) {
	for _, c := range []struct {
		class *PlacementGroup
		is    string
		says  string
	}{
		{nil, "", ""}, {&parts, "pg-1:2", ""}, {&parts, "pg-1", ""},
		{&parts, "", "the instance is in no placement group"}, {nil, "pg-1", "asks for none"}, {&parts, "pg-2:1", "finds pg-1"},
	} {
		message, known := placementDiffers(&Class{Name: "default", PlacementGroup: c.class},
			&cloudprovider.DriftQuery{Instance: cloudprovider.Instance{Offering: cloudprovider.Offering{Placement: c.is}}})
		if !known || (message == "") != (c.says == "") || !strings.Contains(message, c.says) {
			t.Errorf("in %q under %+v: %q", c.is, c.class, message)
		}
	}
}
