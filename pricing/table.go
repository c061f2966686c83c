package pricing

import (
	"iter"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/stowage-sh/stowage/cloudprovider"
)

// A Table is an immutable set of prices of one region.
type Table struct {
	region string
	source string
	// prices by offering. The zone may be empty: that price holds in every zone
	// of the region that has none of its own. It may be without its letter: then it is the
	// price of a group of Local Zones.
	prices map[cloudprovider.Offering]MicroUSD
	// local tells that there are prices of Local Zones.
	local bool
	// capacityTypes that the table speaks for: where it has no price for one
	// of their offerings, there is none.
	capacityTypes []string
	skipped       []string
	commitments   Commitments
	// systems has the prices of machines with other operating systems than Linux, by the value of
	// the label kubernetes.io/os.
	systems map[string]*Table
	// os is the operating system that a table to be merged is of; "" for Linux.
	os string
	// interrupted is how many of 10⁹ machines on spot are taken back in an hour, by instance type.
	interrupted map[string]int64
	// deviations of spot prices over Spot.Window, by offering; it is never written to, and tables share it.
	deviations map[cloudprovider.Offering]MicroUSD
	// asOf is when the prices of a capacity type held, as far as that is known.
	asOf map[string]time.Time
}

// NewTable returns a table of the given prices, which it copies. An offering
// with an empty zone stands for every zone of the region. Source says where the
// prices come from and of when they are, for people.
func NewTable(region, source string, prices map[cloudprovider.Offering]MicroUSD) *Table {
	t := &Table{region: region, source: source, prices: maps.Clone(prices)}
	for o := range prices {
		if !slices.Contains(t.capacityTypes, o.CapacityType) {
			t.capacityTypes = append(t.capacityTypes, o.CapacityType)
		}
		t.local = t.local || o.Zone != "" && o.Zone == groupOf(o.Zone)
	}
	slices.Sort(t.capacityTypes)
	return t
}

// groupOf is the zone group of a Local Zone: its name without the letter.
func groupOf(zone string) string { return strings.TrimRight(zone, "abcdefghijklmnopqrstuvwxyz") }

// Price returns what an hour of o costs; not ok when that is not known. The
// zone's own price goes before that of its Local Zones, and this before the region's. Reserved capacity is paid for
// already: an hour of it costs 0, whatever the table holds.
func (t *Table) Price(o cloudprovider.Offering) (price MicroUSD, ok bool) {
	if o.CapacityType == cloudprovider.Reserved {
		return 0, true
	}
	o.Placement = "" // where a machine stands costs nothing
	price, ok = t.prices[o]
	if !ok && t.local {
		o.Zone = groupOf(o.Zone)
		price, ok = t.prices[o]
	}
	if !ok {
		o.Zone = ""
		price, ok = t.prices[o]
	}
	return price, ok
}

// Deviation returns the standard deviation that the spot price of o had over Spot.Window; not ok without a window, and where
// no such price is known.
func (t *Table) Deviation(o cloudprovider.Offering) (deviation MicroUSD, ok bool) {
	o.Placement = ""
	deviation, ok = t.deviations[o]
	return deviation, ok
}

// Region returns the region whose prices these are.
func (t *Table) Region() string { return t.region }

// Source says where the prices come from and of when they are, for people.
func (t *Table) Source() string { return t.source }

// none is a table without prices.
var none = &Table{}

// For returns the prices of machines with an operating system, as the label kubernetes.io/os has it; "" is Linux. Where
// they are not known it is a table without any: Linux machines cost less than others.
func (t *Table) For(os string) *Table {
	if os == "" || os == "linux" {
		return t
	}
	if other := t.systems[os]; other != nil {
		return other
	}
	return none
}

// AsOf returns when the prices of a capacity type held; not ok where nobody knows, as of a file.
func (t *Table) AsOf(capacityType string) (at time.Time, ok bool) {
	at, ok = t.asOf[capacityType]
	return at, ok
}

// heldAt returns a table of the same prices that says of when they are.
func (t *Table) heldAt(at time.Time) *Table {
	next := *t
	next.asOf = map[string]time.Time{}
	for _, capacityType := range t.capacityTypes {
		next.asOf[capacityType] = at
	}
	return &next
}

// Commitments returns what of on-demand use is paid for already. The caller must not modify it.
func (t *Table) Commitments() Commitments { return t.commitments }

// WithCommitments returns a table of the same prices with other commitments.
func (t *Table) WithCommitments(cs Commitments) *Table {
	next := *t
	next.commitments = cs
	return &next
}

// Len returns the number of prices.
func (t *Table) Len() int { return len(t.prices) }

// Skipped lists what a live source could not read, a line each; those
// offerings have no price.
func (t *Table) Skipped() []string { return slices.Clone(t.skipped) }

// All yields every price in the order of the offerings. An empty zone stands
// for every zone of the region without a price of its own.
func (t *Table) All() iter.Seq2[cloudprovider.Offering, MicroUSD] {
	offerings := slices.SortedFunc(maps.Keys(t.prices), cloudprovider.Offering.Compare)
	return func(yield func(cloudprovider.Offering, MicroUSD) bool) {
		for _, o := range offerings {
			if !yield(o, t.prices[o]) {
				return
			}
		}
	}
}

// with returns t with everything that next speaks for taken from next: a
// capacity type is replaced whole, so that no stale price outlives a refresh. Commitments stay.
func (t *Table) with(next *Table) *Table {
	if next.os != "" && t.os == "" {
		return t.withSystem(next)
	}
	prices := maps.Clone(next.prices)
	source := next.source
	for o, p := range t.prices {
		if !slices.Contains(next.capacityTypes, o.CapacityType) {
			prices[o] = p
		}
	}
	if len(prices) > len(next.prices) && t.source != next.source {
		source = t.source + "; " + next.source
	}
	merged := NewTable(t.region, source, prices)
	merged.skipped = slices.Clone(next.skipped)
	merged.commitments, merged.asOf = t.commitments, map[string]time.Time{}
	maps.Copy(merged.asOf, t.asOf)
	for _, capacityType := range next.capacityTypes {
		delete(merged.asOf, capacityType)
	}
	maps.Copy(merged.asOf, next.asOf)
	merged.systems, merged.interrupted, merged.os = t.systems, t.interrupted, t.os
	merged.deviations = t.deviations
	if slices.Contains(next.capacityTypes, cloudprovider.Spot) {
		merged.deviations = next.deviations
	}
	return merged
}

// WithSystem returns a table that has also prices of machines with another operating system than Linux.
func (t *Table) WithSystem(system System, prices *Table) *Table {
	other := *prices
	other.os = system.label()
	return t.with(&other)
}

// withSystem returns t with the prices of another operating system.
func (t *Table) withSystem(next *Table) *Table {
	merged := *t
	merged.systems = maps.Clone(t.systems)
	if merged.systems == nil {
		merged.systems = map[string]*Table{}
	}
	own := &Table{region: t.region, source: next.source, os: next.os, interrupted: t.interrupted}
	if before := t.systems[next.os]; before != nil {
		own = before
	}
	merged.systems[next.os] = own.with(next)
	return &merged
}
