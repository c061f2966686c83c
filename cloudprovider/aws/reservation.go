package aws

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"
	"sync"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/stowage-sh/stowage/cloudprovider"
	v1 "github.com/stowage-sh/stowage/cloudprovider/aws/v1"
)

// reclaimed is how long before the end of a capacity block nothing is launched into it:
// EC2 ends its instances half an hour before.
const reclaimed = 40 * time.Minute

// A Reservation is a capacity reservation of the account, or one that is shared with it.
type Reservation struct {
	// What it is, as in the status of an EC2NodeClass. The state is "expiring" if nothing
	// is to be launched into it any more.
	v1.CapacityReservation
	// Tags of it, by which selectors find it.
	Tags map[string]string
	// Available is how many machines were left at Counted, by EC2's clock.
	Available int64
	Counted   time.Time
	// Tenancy of its machines, as in Offering.Tenancy.
	Tenancy string
}

// ReservationFromEC2 converts a description that EC2 gave at counted. Now is the time by which
// a capacity block is about to end.
func ReservationFromEC2(r types.CapacityReservation, counted, now time.Time) Reservation {
	out := Reservation{
		CapacityReservation: v1.CapacityReservation{
			ID: sdk.ToString(r.CapacityReservationId), InstanceType: sdk.ToString(r.InstanceType), AvailabilityZone: sdk.ToString(r.AvailabilityZone),
			OwnerID: sdk.ToString(r.OwnerId), InstanceMatchCriteria: v1.InstanceMatchCriteria(r.InstanceMatchCriteria), ReservationType: string(r.ReservationType),
			Interruptible: sdk.ToBool(r.Interruptible), State: v1.ReservationActive,
		},
		Tags: map[string]string{}, Available: int64(sdk.ToInt32(r.AvailableInstanceCount)), Counted: counted,
	}
	out.ReservationType = cmp.Or(out.ReservationType, v1.ReservationDefault)
	if r.Tenancy == types.CapacityReservationTenancyDedicated {
		out.Tenancy = cloudprovider.Dedicated
	}
	for _, t := range r.Tags {
		out.Tags[sdk.ToString(t.Key)] = sdk.ToString(t.Value)
	}
	if r.EndDate != nil {
		end := metav1.NewTime(*r.EndDate)
		out.EndTime = &end
		if out.ReservationType == v1.ReservationBlock && !now.Before(r.EndDate.Add(-reclaimed)) {
			out.State = v1.ReservationExpiring
		}
	}
	return out
}

// ReadReservations reads what `aws ec2 describe-capacity-reservations` prints, without those that
// are not active. Errors begin with name, which is the file's. Now is as in ReservationFromEC2.
func ReadReservations(r io.Reader, name string, now time.Time) ([]Reservation, error) {
	data, err := io.ReadAll(r)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", name, err)
	}
	var file struct{ CapacityReservations []types.CapacityReservation }
	if err := json.Unmarshal(data, &file); err != nil {
		return nil, jsonError(name, data, err)
	}
	if file.CapacityReservations == nil {
		return nil, fmt.Errorf("%s: there is no {\"CapacityReservations\": …}", name)
	}
	all := []Reservation{}
	for i, r := range file.CapacityReservations {
		if sdk.ToString(r.CapacityReservationId) == "" || sdk.ToString(r.InstanceType) == "" || sdk.ToString(r.AvailabilityZone) == "" || r.AvailableInstanceCount == nil {
			return nil, fmt.Errorf("%s: CapacityReservations[%d]: CapacityReservationId, InstanceType, AvailabilityZone and AvailableInstanceCount are needed", name, i)
		}
		if r.State == types.CapacityReservationStateActive {
			all = append(all, ReservationFromEC2(r, now, now))
		}
	}
	SortReservations(all)
	return all, nil
}

// SortReservations puts reservations into the order of Class.Reservations.
func SortReservations(all []Reservation) {
	slices.SortFunc(all, func(a, b Reservation) int { return cmp.Compare(a.ID, b.ID) })
}

// Selected reports whether one of a NodeClass's terms is for the reservation.
func (r *Reservation) Selected(terms []v1.CapacityReservationSelectorTerm) bool {
	return slices.ContainsFunc(terms, func(t v1.CapacityReservationSelectorTerm) bool {
		if t.ID != "" {
			return t.ID == r.ID
		}
		for key, want := range t.Tags {
			if has, ok := r.Tags[key]; !ok || want != "*" && want != has {
				return false
			}
		}
		return (t.OwnerID == "" || t.OwnerID == r.OwnerID) &&
			(t.InstanceMatchCriteria == "" || t.InstanceMatchCriteria == r.InstanceMatchCriteria)
	})
}

// offering takes a machine from the reservation.
func (r *Reservation) offering() cloudprovider.Offering {
	return cloudprovider.Offering{InstanceType: r.InstanceType, Zone: r.AvailabilityZone, CapacityType: cloudprovider.Reserved, Reservation: r.ID, Tenancy: r.Tenancy}
}

// labels of every node from the reservation.
func (r *Reservation) labels() map[string]string {
	return map[string]string{
		v1.LabelCapacityReservationID: r.ID, v1.LabelCapacityReservationType: r.ReservationType,
		v1.LabelCapacityReservationInterruptible: strconv.FormatBool(r.Interruptible),
	}
}

// left is what can be launched of it, by EC2's count alone.
func (r *Reservation) left() int64 {
	if r.State == v1.ReservationExpiring {
		return 0
	}
	return r.Available
}

// reservation finds one of the class's by ID.
func (c *Class) reservation(id string) (*Reservation, bool) {
	i := slices.IndexFunc(c.Reservations, func(r Reservation) bool { return r.ID == id })
	if i < 0 {
		return nil, false
	}
	return &c.Reservations[i], true
}

// A reservationLog remembers when machines were taken from reservations, by EC2's clock, so
// that a count which is older than a launch does not count its machine once more. The zero
// value is empty; the lock covers map operations only.
type reservationLog struct {
	mu    sync.Mutex
	taken map[string][]time.Time // by reservation
}

// forgotten is how long a launch is remembered: by then every count has it.
const forgotten = 10 * time.Minute

// take notes a launch.
func (l *reservationLog) take(id string, at time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.taken == nil {
		l.taken = map[string][]time.Time{}
	}
	l.taken[id] = append(slices.DeleteFunc(l.taken[id], func(t time.Time) bool { return at.Sub(t) > forgotten }), at)
}

// left is what can be launched of a reservation now. EC2's clock has whole seconds: a launch
// in the second of the count is not in it.
func (l *reservationLog) left(r *Reservation) int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := r.left()
	for _, at := range l.taken[r.ID] {
		if !at.Before(r.Counted) {
			n--
		}
	}
	return max(0, n)
}

// counted is a catalog with what is left of a class's reservations now.
func (l *reservationLog) counted(catalog *cloudprovider.Catalog, c *Class) *cloudprovider.Catalog {
	if len(catalog.Reservations) == 0 {
		return catalog
	}
	now := *catalog
	now.Reservations = map[string]cloudprovider.Reservation{}
	for id, known := range catalog.Reservations {
		if r, ok := c.reservation(id); ok {
			known.Left = l.left(r)
		}
		now.Reservations[id] = known
	}
	return &now
}
