package cloudprovider

import (
	"slices"
	"testing"
)

// TestOfferingText: what String writes ParseOffering reads, and nothing that is not of its form.
func TestOfferingText(t *testing.T) {
	spot := Offering{InstanceType: "m5.large", Zone: "a", CapacityType: Spot}
	reserved := Offering{InstanceType: "m5.large", Zone: "a", CapacityType: Reserved, Reservation: "cr-1"}
	for text, want := range map[string]Offering{
		"m5.large/a/spot": spot, "m5.large/a/reserved/cr-1": reserved,
		"m5.large/a/spot+dedicated":               {InstanceType: "m5.large", Zone: "a", CapacityType: Spot, Tenancy: Dedicated},
		"m5.large/a/reserved/cr-1+dedicated@pg:2": {InstanceType: "m5.large", Zone: "a", CapacityType: Reserved, Reservation: "cr-1", Tenancy: Dedicated, Placement: "pg:2"},
		"m5.large/a/reserved":                     {InstanceType: "m5.large", Zone: "a", CapacityType: Reserved}, // as it was once written
	} {
		got, err := ParseOffering(text)
		if err != nil || got != want || got.String() != text {
			t.Errorf("%s is read as %q, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "m5.large", "m5.large/a", "m5.large//spot", "m5.large/a/spot/cr-1", "m5.large/a/reserved/", "m5.large/a/reserved/cr-1/x", "m5.large/a/spot+", "m5.large/a/spot+host"} {
		if o, err := ParseOffering(text); err == nil {
			t.Errorf("%q is read as %s", text, o)
		}
	}
	if !slices.IsSortedFunc([]Offering{reserved, {InstanceType: "m5.large", Zone: "a", CapacityType: Reserved, Reservation: "cr-2"}, spot}, Offering.Compare) {
		t.Error("reservations have no order")
	}
}

// TestStartedFor: a machine lacks what it has on request and nobody asked for; the type itself stays whole.
func TestStartedFor(t *testing.T) {
	whole := &InstanceType{Capacity: Resources{"cpu": 1, "efa": 2, "gpu": 3}, Allocatable: Resources{"cpu": 1, "efa": 2, "gpu": 3}, OnRequest: []string{"efa", "none"}}
	if got := whole.StartedFor([]string{"efa"}); got != whole {
		t.Errorf("started with all that it has: %v", got)
	}
	got := whole.StartedFor([]string{"gpu"})
	if len(got.Capacity) != 2 || len(got.Allocatable) != 2 || got.Capacity["gpu"] != 3 || got.Allocatable["cpu"] != 1 {
		t.Errorf("started without: %v", got)
	}
	if len(whole.Capacity) != 3 || len(whole.Allocatable) != 3 {
		t.Errorf("the type has become %v", whole)
	}
}

// TestBoughtLabels: those of reservation, tenancy and placement are there together, and what the catalog has stays as it is.
func TestBoughtLabels(t *testing.T) {
	c := &Catalog{
		Reservations: map[string]Reservation{"cr-1": {Labels: map[string]string{"reservation": "cr-1"}}},
		Tenancies:    map[string]map[string]string{Dedicated: {"tenancy": Dedicated}},
		Placements:   map[string]map[string]string{"pg": {"group": "pg"}},
	}
	for _, o := range []Offering{{}, {Reservation: "cr-1"}, {Tenancy: Dedicated}, {Placement: "pg"}, {Reservation: "cr-1", Tenancy: Dedicated}, {Tenancy: Dedicated, Placement: "pg"},
		{Reservation: "cr-1", Tenancy: Dedicated, Placement: "pg"}} {
		got := c.BoughtLabels(o)
		if got["reservation"] != o.Reservation || got["tenancy"] != o.Tenancy || got["group"] != o.Placement {
			t.Errorf("%+v: %v", o, got)
		}
	}
	if len(c.Reservations["cr-1"].Labels) != 1 || len(c.Tenancies[Dedicated]) != 1 || len(c.Placements["pg"]) != 1 {
		t.Errorf("the catalog has become %+v", c)
	}
}

// TestOfferingLabels: they are of the zone and of the reservation, and the caller's own.
func TestOfferingLabels(t *testing.T) {
	c := &Catalog{
		ZoneLabels:   map[string]map[string]string{"a": {"zone-id": "1"}},
		Reservations: map[string]Reservation{"cr-1": {Labels: map[string]string{"reservation": "cr-1"}}},
	}
	got := c.OfferingLabels(Offering{Zone: "a", Reservation: "cr-1"})
	if len(got) != 2 || got["zone-id"] != "1" || got["reservation"] != "cr-1" {
		t.Errorf("labels %v", got)
	}
	got["zone-id"] = "2"
	if got := c.OfferingLabels(Offering{Zone: "a"}); len(got) != 1 || got["zone-id"] != "1" {
		t.Errorf("labels without a reservation %v", got)
	}
}
