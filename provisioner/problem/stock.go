package problem

import (
	"maps"
	"slices"

	"github.com/stowage-sh/stowage/binpack"
	"github.com/stowage-sh/stowage/provisioner/state"
	v1 "github.com/stowage-sh/stowage/provisioner/v1"
)

// Reserved capacity is paid for already, and there is so much of it:
//
//	left by the cloud's count ─ NodeClaims that are yet to be launched ─▶ stock of the problem
//	                                                                        │ a new node takes one
//	                                                                        ▼ from each it lists
//
// A NodeClaim takes from a reservation from the moment that it is written: what two plans
// in a row count on are different machines. From its launch on the cloud's own count has it.

// stocks adds the reservations that rows are of, by their names. Several NodePools may draw
// on one.
func (b *builder) stocks() {
	offers, left := map[string]*binpack.Set{}, map[string]int64{}
	for i := range b.t.Rows {
		row := &b.t.Rows[i]
		name := row.Offering.Reservation
		if name == "" {
			continue
		}
		n := b.in.Catalogs[row.Pool.Name].Reservations[name].Left
		if b.in.Unavailable != nil && b.in.Unavailable(row.Offering) {
			n = 0
		}
		if offers[name] == nil {
			offers[name], left[name] = &binpack.Set{}, n
		}
		offers[name].Add(i)
		left[name] = min(left[name], n) // two NodeClasses may have been looked at a moment apart
	}
	if len(offers) == 0 {
		return
	}
	taken := awaited(b.in)
	for _, name := range slices.Sorted(maps.Keys(offers)) {
		b.p.Stocks = append(b.p.Stocks, binpack.Stock{ID: name, Offers: *offers[name], Count: max(0, left[name]-taken[name])})
	}
}

// awaited counts by reservation the NodeClaims that are yet to be launched and may be
// launched from it: those that were promised it and those whose requirements allow it.
func awaited(in *Input) map[string]int64 {
	taken := Promised(in.Snapshot)
	for _, claim := range in.Snapshot.NodeClaims.All() {
		if _, decided := claim.Annotations[v1.AnnotationOfferings]; decided || claim.Status.ProviderID != "" {
			continue
		}
		for _, name := range allowed(in, claim) {
			taken[name]++
		}
	}
	return taken
}

// Promised counts by reservation the NodeClaims that are yet to be launched and for which it
// was decided on.
func Promised(s *state.Snapshot) map[string]int64 {
	promised := map[string]int64{}
	for _, claim := range s.NodeClaims.All() {
		if claim.Status.ProviderID != "" {
			continue
		}
		for _, o := range Offerings(claim) { // a reservation is of one offering
			if o.Reservation != "" {
				promised[o.Reservation]++
			}
		}
	}
	return promised
}

// allowed names the reservations that the requirements of a claim allow.
func allowed(in *Input, claim *v1.NodeClaim) []string {
	catalog := in.Catalogs[claim.Labels[v1.LabelNodePool]]
	if catalog == nil {
		return nil
	}
	var names []string
	for name, r := range catalog.Reservations {
		kind, ok := catalog.InstanceType(r.Offering.InstanceType)
		if !ok {
			continue
		}
		row := rowAs(catalog, kind, r.Offering, claim.Labels)
		if !slices.ContainsFunc(claim.Spec.Requirements, func(r v1.Requirement) bool {
			value, present := row.Lookup(r.Key)
			return !custom(r.Key, catalog) && !r.Allows(value, present)
		}) {
			names = append(names, name)
		}
	}
	return names
}
