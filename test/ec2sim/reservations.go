package ec2sim

import (
	"cmp"
	"slices"
	"time"

	"github.com/stowage-sh/stowage/cloudprovider"
)

// A CapacityReservation keeps machines of a type in a zone for the account.
type CapacityReservation struct {
	ID, InstanceType, Zone string
	// Total is how many machines it has.
	Total int
	// Targeted ones take only instances that name them; others any that fit and do not
	// say otherwise.
	Targeted bool
	// Block makes it a capacity block, and Interruptible one that its owner may take back.
	Block, Interruptible bool
	// Dedicated ones are of machines on hardware that is not shared.
	Dedicated bool
	// End of it; zero for none.
	End  time.Time
	Tags map[string]string
}

// Reserve adds a reservation, in place of an earlier one with its ID.
func (s *Server) Reserve(r CapacityReservation) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.world.Reservations = append(slices.DeleteFunc(s.world.Reservations, func(old CapacityReservation) bool { return old.ID == r.ID }), r)
}

// CancelReservation ends a reservation: its instances run on, on demand.
func (s *Server) CancelReservation(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.world.Reservations = slices.DeleteFunc(s.world.Reservations, func(r CapacityReservation) bool { return r.ID == id })
	for _, i := range s.instances {
		if i.offering.Reservation == id {
			i.offering.CapacityType, i.offering.Reservation = cloudprovider.OnDemand, ""
		}
		if i.within == id {
			i.within = ""
		}
	}
}

// market is what a launch template, and a fleet, have to call a reservation's machines.
func (r *CapacityReservation) market() (template, fleet string) {
	switch {
	case r.Block:
		return "capacity-block", "capacity-block"
	case r.Interruptible:
		return "interruptible-capacity-reservation", "reserved-capacity"
	}
	return "", cloudprovider.OnDemand
}

// available is how many machines are left of it. One that is shutting down still has its own.
func (s *Server) available(r CapacityReservation) int {
	left := r.Total
	for _, i := range s.instances {
		if i.within == r.ID && i.state != Terminated {
			left--
		}
	}
	return left
}

// within finds the reservation that an on-demand launch of a spec falls into: the one that
// it names, or one that is open to all; "" for none.
func (s *Server) within(sp spec, kind InstanceType, zone, fleet string) (id string, err error) {
	for _, r := range s.world.Reservations {
		fits := r.InstanceType == kind.Name && r.Zone == zone && r.Dedicated == (sp.tenancy != "")
		template, target := r.market()
		switch {
		case sp.target == "" && cmp.Or(sp.preference, "open") == "open" && fits && !r.Targeted && target == cloudprovider.OnDemand && s.available(r) > 0:
			return r.ID, nil
		case sp.target != r.ID || sp.target == "":
		case !fits:
			return "", fail("InvalidParameterValue", "The attributes of the instance do not match those of the Capacity Reservation '%s'.", r.ID)
		case template != sp.market || fleet != "" && target != fleet:
			return "", fail("InvalidParameterCombination", "The market of the instance (%q in a fleet of %q) is not that of the Capacity Reservation '%s'.", sp.market, fleet, r.ID)
		case s.available(r) < 1:
			return "", fail("ReservationCapacityExceeded", "The requested reservation '%s' does not have sufficient compatible and available capacity for this request.", r.ID)
		default:
			return r.ID, nil
		}
	}
	if sp.target != "" {
		return "", fail("InvalidCapacityReservationId.NotFound", "The capacity reservation ID '%s' does not exist", sp.target)
	}
	return "", nil
}

// The wire form of a reservation.
type wireCapacityReservation struct {
	ID            string `xml:"capacityReservationId"`
	Owner         string `xml:"ownerId"`
	Type          string `xml:"instanceType"`
	Platform      string `xml:"instancePlatform"`
	Zone          string `xml:"availabilityZone"`
	Tenancy       string `xml:"tenancy"`
	Total         int    `xml:"totalInstanceCount"`
	Available     int    `xml:"availableInstanceCount"`
	State         string `xml:"state"`
	End           string `xml:"endDate,omitempty"`
	EndType       string `xml:"endDateType"`
	Criteria      string `xml:"instanceMatchCriteria"`
	Kind          string `xml:"reservationType"`
	Interruptible bool   `xml:"interruptible"`
	Tags          []tag  `xml:"tagSet>item"`
}

// describeCapacityReservations tells reservations, with how many machines are left of each.
func (s *Server) describeCapacityReservations(p params) (any, error) {
	chosen, err := choose(p.list("CapacityReservationId"), s.world.Reservations, func(r CapacityReservation) string { return r.ID },
		"InvalidCapacityReservationId.NotFound", "The capacity reservation ID '%s' does not exist")
	if err != nil {
		return nil, err
	}
	state := func(r CapacityReservation) string {
		if !r.End.IsZero() && !now().Before(r.End) {
			return "expired"
		}
		return "active"
	}
	// There is no filter for tags on record.
	chosen, err = filter(p, chosen, fields[CapacityReservation]{
		"state":         one(state),
		"instance-type": one(func(r CapacityReservation) string { return r.InstanceType }),
		"owner-id":      one(func(CapacityReservation) string { return s.opts.Account }),
	}, func(CapacityReservation) map[string]string { return nil })
	if err != nil {
		return nil, err
	}
	chosen, next, err := page(p, chosen, func(r CapacityReservation) string { return r.ID }, bounds{1, 1000, 1000})
	if err != nil {
		return nil, err
	}
	out := struct {
		Reservations []wireCapacityReservation `xml:"capacityReservationSet>item"`
		Next         string                    `xml:"nextToken,omitempty"`
	}{Next: next}
	for _, r := range chosen {
		w := wireCapacityReservation{
			ID: r.ID, Owner: s.opts.Account, Type: r.InstanceType, Platform: "Linux/UNIX", Zone: r.Zone, Tenancy: "default", Total: r.Total,
			Available: s.available(r), State: state(r), EndType: "unlimited", Criteria: "open", Kind: "default", Interruptible: r.Interruptible, Tags: tagSet(r.Tags),
		}
		if r.Targeted {
			w.Criteria = "targeted"
		}
		if r.Dedicated {
			w.Tenancy = cloudprovider.Dedicated
		}
		if r.Block {
			w.Kind = "capacity-block"
		}
		if !r.End.IsZero() {
			w.End, w.EndType = stamp(r.End), "limited"
		}
		out.Reservations = append(out.Reservations, w)
	}
	return out, nil
}
