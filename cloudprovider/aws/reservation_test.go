package aws

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/google/go-cmp/cmp"

	"github.com/stowage-sh/stowage/cloudprovider"
	v1 "github.com/stowage-sh/stowage/cloudprovider/aws/v1"
)

// reserve gives the class a reservation of each kind: two machines on demand, a capacity block and one that may
// be taken back.
func (h *harness) reserve() {
	c := testClass()
	for i, id := range []string{"cr-0", "cr-1", "cr-2"} {
		r := Reservation{CapacityReservation: v1.CapacityReservation{
			ID: id, InstanceType: "m5.large", AvailabilityZone: "us-west-2a", ReservationType: v1.ReservationDefault, State: v1.ReservationActive,
		}, Available: 2}
		if i == 1 {
			r.ReservationType = v1.ReservationBlock
		}
		r.Interruptible = i == 2
		c.Reservations = append(c.Reservations, r)
	}
	h.Classes.Put(c)
	h.ReservedCapacity = true
}

// TestLaunchFromReservations: each is a fleet of its own, in the words that EC2 has for its kind, and what
// is not reserved keeps out of reservations.
func TestLaunchFromReservations(t *testing.T) {
	none := errorsOf("ReservationCapacityExceeded", -1)
	h := newHarness(t, none, none, none)
	h.reserve()
	i, err := h.Launch(t.Context(), h.request("m5.large/us-west-2a/reserved/cr-0", "m5.large/us-west-2a/reserved/cr-1", "m5.large/us-west-2a/reserved/cr-2", "m5.large/us-west-2a/on-demand"))
	if err != nil || i.Offering.String() != "m5.large/us-west-2a/on-demand" {
		t.Fatalf("launched %s, %v", i.Offering, err)
	}
	var got []string
	for n, f := range h.fake.fleets {
		data := h.fake.templates[n].LaunchTemplateData
		words := []string{string(f.TargetCapacitySpecification.DefaultTargetCapacityType), string(data.CapacityReservationSpecification.CapacityReservationPreference)}
		if target := data.CapacityReservationSpecification.CapacityReservationTarget; target != nil {
			words = append(words, *target.CapacityReservationId)
		}
		if data.InstanceMarketOptions != nil {
			words = append(words, "market "+string(data.InstanceMarketOptions.MarketType))
		}
		if f.OnDemandOptions != nil {
			words = append(words, string(f.OnDemandOptions.AllocationStrategy))
		}
		if f.ReservedCapacityOptions != nil {
			words = append(words, string(f.ReservedCapacityOptions.ReservationTypes[0]))
		}
		got = append(got, strings.Join(words, " "))
	}
	if diff := cmp.Diff([]string{
		"on-demand capacity-reservations-only cr-0 lowest-price",
		"capacity-block capacity-reservations-only cr-1 market capacity-block",
		"reserved-capacity capacity-reservations-only cr-2 market interruptible-capacity-reservation interruptible-capacity-reservation",
		"on-demand none lowest-price",
	}, got); diff != "" {
		t.Errorf("fleets:\n%s", diff)
	}
	if diff := cmp.Diff(want(t, "m5.large/us-west-2a/reserved/cr-0", "m5.large/us-west-2a/reserved/cr-1", "m5.large/us-west-2a/reserved/cr-2"), h.refused); diff != "" {
		t.Errorf("refused:\n%s", diff)
	}
}

// TestReservationsAreCountedDown: the catalog has the reservations with their labels, and a launch is
// taken off at once. Another type or zone than the reservation's is not asked for.
func TestReservationsAreCountedDown(t *testing.T) {
	h := newHarness(t)
	h.reserve()
	left := func() int64 {
		t.Helper()
		c, err := h.Catalog(t.Context(), classRef)
		if err != nil {
			t.Fatal(err)
		}
		o := want(t, "m5.large/us-west-2a/reserved/cr-0")[0]
		kind, _ := c.InstanceType("m5.large")
		r := c.Reservations["cr-0"]
		if !slices.Contains(kind.Offerings, o) || r.Offering != o || r.Labels[v1.LabelCapacityReservationID] != "cr-0" ||
			r.Labels[v1.LabelCapacityReservationType] != "default" || r.Labels[v1.LabelCapacityReservationInterruptible] != "false" {
			t.Fatalf("offerings %v, reservation %+v", kind.Offerings, r)
		}
		return r.Left
	}
	if n := left(); n != 2 {
		t.Errorf("%d are left at first", n)
	}
	r := h.request("m5.large/us-west-2a/reserved/cr-0")
	if i, err := h.Launch(t.Context(), r); err != nil || i.Offering.Reservation != "cr-0" || i.Offering.CapacityType != cloudprovider.Reserved {
		t.Fatalf("launched %+v, %v", i, err)
	}
	if n := left(); n != 1 {
		t.Errorf("%d are left after a launch", n)
	}
	for _, o := range []string{"m5.xlarge/us-west-2a/reserved/cr-0", "m5.large/us-west-2b/reserved/cr-0"} {
		r := h.request(o)
		r.UID = o
		if _, err := h.Launch(t.Context(), r); err == nil {
			t.Errorf("%s was launched", o)
		} else if _, ok := errors.AsType[*cloudprovider.InsufficientCapacityError](err); !ok {
			t.Errorf("%s: %v", o, err)
		}
	}
}

// TestReservationLog: a count that is older than a launch does not have it, one of the same second may not.
func TestReservationLog(t *testing.T) {
	var l reservationLog
	noon := time.Date(2026, 8, 20, 12, 0, 0, 0, time.UTC)
	r := &Reservation{CapacityReservation: v1.CapacityReservation{ID: "cr-0"}, Available: 3, Counted: noon}
	l.take("cr-0", noon.Add(-time.Second))
	l.take("cr-0", noon)
	l.take("cr-0", noon.Add(time.Second))
	l.take("cr-1", noon.Add(time.Second))
	if n := l.left(r); n != 1 {
		t.Errorf("%d are left of 3, with two launched since", n)
	}
	r.Counted = noon.Add(time.Minute)
	if n := l.left(r); n != 3 {
		t.Errorf("%d are left of 3 by a newer count", n)
	}
	r.State = v1.ReservationExpiring
	if n := l.left(r); n != 0 {
		t.Errorf("%d are left of a block that ends", n)
	}
	l.take("cr-0", noon.Add(time.Hour))
	if n := len(l.taken["cr-0"]); n != 1 {
		t.Errorf("%d launches are remembered", n)
	}
}

// TestInstancesFromReservations: an instance is reserved if it asked to be.
func TestInstancesFromReservations(t *testing.T) {
	for preference, want := range map[types.CapacityReservationPreference]string{
		types.CapacityReservationPreferenceCapacityReservationsOnly: "//reserved/cr-0", types.CapacityReservationPreferenceOpen: "//on-demand",
	} {
		i := types.Instance{CapacityReservationId: sdk.String("cr-0"), CapacityReservationSpecification: &types.CapacityReservationSpecificationResponse{CapacityReservationPreference: preference}}
		if got := instance(i).Offering.String(); got != want {
			t.Errorf("%s: %s, want %s", preference, got, want)
		}
		if i.CapacityReservationId = nil; instance(i).Offering.String() != "//on-demand" {
			t.Errorf("%s: reserved without a reservation", preference)
		}
	}
}

// TestFoundMachinesAreCountedDown: the answer to a launch was lost, and its machine is found by the next.
func TestFoundMachinesAreCountedDown(t *testing.T) {
	h := newHarness(t, fails(errors.New("connection reset by peer")))
	h.reserve()
	r := h.request("m5.large/us-west-2a/reserved/cr-0")
	if _, err := h.Launch(t.Context(), r); err == nil {
		t.Fatal("the first launch succeeded")
	}
	found := claimed("i-found", time.Date(2026, 8, 20, 12, 0, 0, 0, time.UTC))
	found.CapacityReservationId = sdk.String("cr-0")
	found.CapacityReservationSpecification = &types.CapacityReservationSpecificationResponse{CapacityReservationPreference: types.CapacityReservationPreferenceCapacityReservationsOnly}
	h.fake.there = append(h.fake.there, found)
	for range 2 { // the second time it is known
		if i, err := h.Launch(t.Context(), r); err != nil || i.ID != "i-found" {
			t.Fatalf("launched %+v, %v", i, err)
		}
	}
	if c, err := h.Catalog(t.Context(), classRef); err != nil || c.Reservations["cr-0"].Left != 1 {
		t.Errorf("%+v, %v: want one of two left", c.Reservations["cr-0"], err)
	}
}
