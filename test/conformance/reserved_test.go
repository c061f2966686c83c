package conformance_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stowage-sh/stowage/cloudprovider"
	"github.com/stowage-sh/stowage/cloudprovider/aws"
	v1 "github.com/stowage-sh/stowage/cloudprovider/aws/v1"
	"github.com/stowage-sh/stowage/test/ec2sim"
)

// A booking is an account with reservations that its class selects, and a provider of it.
type booking struct {
	*account
	*aws.Provider
	class cloudprovider.NodeClassRef
	count int // of launches
}

func book(t *testing.T, reservations ...ec2sim.CapacityReservation) *booking {
	b := &booking{account: newAccount(t)}
	for _, r := range reservations {
		r.Zone, r.Tags = region+"a", map[string]string{"team": "blue"}
		b.sim.Reserve(r)
	}
	b.sim.Reserve(ec2sim.CapacityReservation{ID: "cr-99", InstanceType: "c5.large", Zone: region + "a", Total: 1})
	b.account.class.Spec.CapacityReservationSelectorTerms = []v1.CapacityReservationSelectorTerm{{Tags: map[string]string{"team": "blue"}}}
	b.resolve()
	b.Provider, b.class = b.provider(), b.cloud().Class
	return b
}

// launch buys one of the offerings for a claim of its own.
func (b *booking) launch(offerings ...cloudprovider.Offering) (cloudprovider.Instance, error) {
	b.count++
	name := fmt.Sprint("claim-", b.count)
	return b.Launch(b.Context(), cloudprovider.LaunchRequest{Claim: name, UID: name, Class: b.class, NodePool: "web", Offerings: offerings})
}

// reserved returns the offering and what is left of a reservation, as the catalog says.
func (b *booking) reserved(id string) (cloudprovider.Offering, int64) {
	b.Helper()
	c, err := b.Catalog(b.Context(), b.class)
	if err != nil {
		b.Fatal(err)
	}
	return c.Reservations[id].Offering, c.Reservations[id].Left
}

// TestReservedCapacity: of two reserved machines two are launched, whether EC2's count is new or older
// than the launches, and the third is refused as insufficient capacity. The instances say where they are
// from, also to a new process; what is given back can be launched again; and when the reservation ends
// they are on demand.
func TestReservedCapacity(t *testing.T) {
	b := book(t, ec2sim.CapacityReservation{ID: "cr-1", InstanceType: "m5.large", Total: 2, Targeted: true})
	o, left := b.reserved("cr-1")
	if left != 2 || o.String() != "m5.large/us-west-2a/reserved/cr-1" {
		t.Fatalf("%d of %s", left, o)
	}
	first, err := b.launch(o)
	if err != nil || first.Offering != o {
		t.Fatalf("launched %s, %v", first.Offering, err)
	}
	if _, left := b.reserved("cr-1"); left != 1 {
		t.Errorf("%d left after a launch that no count has", left)
	}
	if _, err := b.launch(o); err != nil {
		t.Fatal(err)
	}
	_, err = b.launch(o)
	if ice, ok := errors.AsType[*cloudprovider.InsufficientCapacityError](err); !ok || len(ice.Offerings) != 1 || ice.Offerings[0] != o {
		t.Fatalf("the third launch: %v", err)
	}
	on := o
	on.CapacityType, on.Reservation = cloudprovider.OnDemand, ""
	if i, err := b.launch(o, on); err != nil || i.Offering != on {
		t.Errorf("launched %s, %v, want what the plan listed next", i.Offering, err)
	}
	list, err := b.provider().List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	count := map[cloudprovider.Offering]int{}
	for _, i := range list {
		count[i.Offering]++
	}
	if count[o] != 2 || count[on] != 1 || len(count) != 2 {
		t.Errorf("listed: %v", count)
	}
	if err := b.Terminate(t.Context(), first.ID); err != nil {
		t.Fatal(err)
	}
	for !b.gone(first.ID) {
		time.Sleep(10 * time.Millisecond)
	}
	b.resolve()
	b.Provider = b.provider() // which has launched nothing, so that the count alone speaks
	if _, left := b.reserved("cr-1"); left != 1 {
		t.Errorf("%d left after one was given back", left)
	}
	b.sim.CancelReservation("cr-1")
	b.resolve()
	if list, err = b.List(t.Context()); err != nil || len(list) != 2 || list[0].Offering != on || list[1].Offering != on {
		t.Errorf("after the reservation has ended: %v, %v", list, err)
	}
	if _, err := b.launch(o); err == nil {
		t.Error("a machine is launched from a reservation that has ended")
	}
}

// gone reports whether an instance is terminated.
func (b *booking) gone(id string) bool {
	for _, i := range b.sim.Instances() {
		if i.ID == id {
			return i.State == ec2sim.Terminated
		}
	}
	return false
}

// TestOpenReservationsAreLeftAlone: a machine on demand does not use up what is reserved, though EC2 would
// let it; and with the feature gate off it does, and is on demand all the same.
func TestOpenReservationsAreLeftAlone(t *testing.T) {
	b := book(t, ec2sim.CapacityReservation{ID: "cr-1", InstanceType: "m5.large", Total: 2})
	o, _ := b.reserved("cr-1")
	on := o
	on.CapacityType, on.Reservation = cloudprovider.OnDemand, ""
	for _, c := range []struct {
		gate bool
		left int64
	}{{true, 2}, {false, 1}} {
		b.Provider = b.provider()
		b.ReservedCapacity = c.gate
		i, err := b.launch(on)
		if err != nil || i.Offering != on {
			t.Fatalf("launched %s, %v", i.Offering, err)
		}
		b.resolve()
		if _, left := b.reserved("cr-1"); left != c.left {
			t.Errorf("with the gate %v, %d are left", c.gate, left)
		}
		if list, err := b.List(t.Context()); err != nil || list[len(list)-1].Offering != on {
			t.Errorf("listed %v, %v", list, err)
		}
	}
}

// TestMarketsOfReservations: capacity blocks and reservations that may be taken back are launched in the
// market that is theirs, and a block that is about to end is used up.
func TestMarketsOfReservations(t *testing.T) {
	b := book(t,
		ec2sim.CapacityReservation{ID: "cr-1", InstanceType: "m5.large", Total: 1, Block: true, End: time.Now().Add(24 * time.Hour)},
		ec2sim.CapacityReservation{ID: "cr-2", InstanceType: "m5.large", Total: 1, Interruptible: true},
		ec2sim.CapacityReservation{ID: "cr-3", InstanceType: "m5.large", Total: 1, Block: true, End: time.Now().Add(30 * time.Minute)})
	for _, id := range []string{"cr-1", "cr-2"} {
		o, left := b.reserved(id)
		if i, err := b.launch(o); err != nil || i.Offering != o || left != 1 {
			t.Errorf("%s, of which there were %d: launched %s, %v", id, left, i.Offering, err)
		}
	}
	if _, left := b.reserved("cr-3"); left != 0 {
		t.Errorf("%d left of a block that is about to end", left)
	}
	if _, left := b.reserved("cr-99"); left != 0 {
		t.Errorf("%d left of a reservation that nobody selects", left)
	}
}
