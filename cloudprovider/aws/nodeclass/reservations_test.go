package nodeclass

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	v1 "github.com/stowage-sh/stowage/cloudprovider/aws/v1"
)

// reserving returns a spec and an account with reservations: cr-1 to cr-4 are active, the last is a
// capacity block that ends in an hour, and cr-5 is over.
func reserving(t *testing.T, terms ...v1.CapacityReservationSelectorTerm) *world {
	spec := goodSpec()
	spec.CapacityReservationSelectorTerms = terms
	w := newWorld(t, spec)
	w.ReservedCapacity = true
	for i := 5; i > 0; i-- {
		w.account.reserved = append(w.account.reserved, types.CapacityReservation{
			CapacityReservationId: sdk.String(fmt.Sprint("cr-", i)), InstanceType: sdk.String("m5.large"), AvailabilityZone: sdk.String("us-west-2a"),
			OwnerId: sdk.String("111111111111"), InstanceMatchCriteria: types.InstanceMatchCriteriaTargeted, State: types.CapacityReservationStateActive,
			AvailableInstanceCount: sdk.Int32(int32(i)), Tags: []types.Tag{{Key: sdk.String("team"), Value: sdk.String(fmt.Sprint("t", i%2))}},
		})
	}
	all := w.account.reserved
	all[0].State = types.CapacityReservationStateExpired
	all[1].ReservationType, all[1].EndDate = types.CapacityReservationTypeCapacityBlock, sdk.Time(noon.Add(time.Hour))
	all[2].OwnerId, all[2].Interruptible = sdk.String("222222222222"), sdk.Bool(true)
	all[3].InstanceMatchCriteria = types.InstanceMatchCriteriaOpen
	return w
}

// TestReservationsAreSelected: by ID, or by all that a term says besides; of several terms one is enough.
func TestReservationsAreSelected(t *testing.T) {
	type terms = []v1.CapacityReservationSelectorTerm
	tag := func(value string) map[string]string { return map[string]string{"team": value} }
	for _, c := range []struct {
		terms terms
		want  string
	}{
		{terms{{ID: "cr-2"}, {ID: "cr-5"}, {ID: "cr-9"}}, "cr-2"},
		{terms{{Tags: tag("t1")}}, "cr-1 cr-3"},
		{terms{{Tags: tag("*")}}, "cr-1 cr-2 cr-3 cr-4"},
		{terms{{Tags: tag("t1"), OwnerID: "222222222222"}, {ID: "cr-4"}}, "cr-3 cr-4"},
		{terms{{Tags: tag("*"), InstanceMatchCriteria: "open"}}, "cr-2"},
		{terms{{Tags: map[string]string{"team": "*", "tier": "*"}}}, ""},
	} {
		w := reserving(t, c.terms...)
		w.step(0)
		var got []string
		for _, r := range w.class().Status.CapacityReservations {
			got = append(got, r.ID)
		}
		if strings.Join(got, " ") != c.want || !slices.Contains(status(w.class()), "CapacityReservationsReady True") || !w.class().IsReady() {
			t.Errorf("%+v selects %v, want %s; conditions %v", c.terms, got, c.want, status(w.class()))
		}
		if n := w.account.calls["DescribeCapacityReservations"]; n != 3 {
			t.Errorf("%d calls for five reservations in pages of two", n)
		}
	}
}

// TestReservationsInStatus: what is said of them, and that they are counted every minute.
func TestReservationsInStatus(t *testing.T) {
	w := reserving(t, v1.CapacityReservationSelectorTerm{Tags: map[string]string{"team": "*"}})
	w.step(0)
	last := w.class().Status.CapacityReservations[3]
	if last.ReservationType != v1.ReservationBlock || last.State != v1.ReservationActive || last.EndTime == nil || last.InstanceMatchCriteria != "targeted" {
		t.Errorf("the capacity block is %+v", last)
	}
	if third := w.class().Status.CapacityReservations[2]; !third.Interruptible || third.ReservationType != v1.ReservationDefault || third.OwnerID != "222222222222" {
		t.Errorf("the interruptible one is %+v", third)
	}
	writes := w.writes
	w.account.reserved[4].AvailableInstanceCount = sdk.Int32(7)
	if next := w.step(time.Minute); next != time.Minute || w.writes != writes {
		t.Errorf("the next look is in %v, and another count made %d writes", next, w.writes-writes)
	}
	if class, _ := w.Classes.Get("default"); len(class.Reservations) != 4 || class.Reservations[0].Available != 7 {
		t.Errorf("the class has %+v", class.Reservations)
	}
	w.step(20 * time.Minute)
	if last := w.class().Status.CapacityReservations[3]; last.State != v1.ReservationExpiring {
		t.Errorf("40 minutes before its end the capacity block is %s", last.State)
	}
}

// TestReservationsThatAreNotAskedFor: without terms, and with the feature gate off, EC2 is not asked, and
// nobody needs the permission.
func TestReservationsThatAreNotAskedFor(t *testing.T) {
	w := reserving(t)
	w.step(0)
	if !slices.Contains(status(w.class()), "CapacityReservationsReady True") || w.account.calls["DescribeCapacityReservations"] != 0 {
		t.Errorf("without terms: %v, %d calls", status(w.class()), w.account.calls["DescribeCapacityReservations"])
	}
	w.edit(func(s *v1.EC2NodeClassSpec) {
		s.CapacityReservationSelectorTerms = []v1.CapacityReservationSelectorTerm{{ID: "cr-1"}}
	})
	w.step(time.Second)
	if n := len(w.class().Status.CapacityReservations); n != 1 {
		t.Errorf("%d reservations", n)
	}
	calls := w.account.calls["DescribeCapacityReservations"]
	w.restart() // with the gate off
	w.step(time.Minute)
	if class := w.class(); len(class.Status.CapacityReservations) != 0 || strings.Contains(strings.Join(status(class), " "), "CapacityReservationsReady") || !class.IsReady() {
		t.Errorf("with the gate off: %v, %v", class.Status.CapacityReservations, status(class))
	}
	if w.account.calls["DescribeCapacityReservations"] != calls {
		t.Error("with the gate off EC2 is asked")
	}
}

// TestReservationsThatCannotBeCounted: what was found stays; where nothing was yet, the class says why.
func TestReservationsThatCannotBeCounted(t *testing.T) {
	w := reserving(t, v1.CapacityReservationSelectorTerm{ID: "cr-1"})
	w.account.fail["DescribeCapacityReservations"] = "UnauthorizedOperation"
	if _, err := w.Reconcile(t.Context(), w.now, "default"); err == nil {
		t.Error("the failure is not told")
	}
	if got := status(w.class()); !slices.Contains(got, "CapacityReservationsReady Unknown LookupFailed: AWS did not say: UnauthorizedOperation") || w.class().IsReady() {
		t.Errorf("conditions %v", got)
	}
	delete(w.account.fail, "DescribeCapacityReservations")
	w.step(time.Second)
	w.account.fail["DescribeCapacityReservations"] = "RequestLimitExceeded"
	w.now = w.now.Add(2 * time.Minute)
	if _, err := w.Reconcile(t.Context(), w.now, "default"); err == nil || len(w.class().Status.CapacityReservations) != 1 || !w.class().IsReady() {
		t.Errorf("%v, %v", err, w.class().Status)
	}
}
