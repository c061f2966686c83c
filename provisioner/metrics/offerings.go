package metrics

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"

	"github.com/stowage-sh/stowage/cloudprovider"
	"github.com/stowage-sh/stowage/pricing"
	"github.com/stowage-sh/stowage/provisioner/state"
)

// OfferingSources are what Offerings shows. All fields are needed.
type OfferingSources struct {
	// State says which NodeClasses there are.
	State *state.Cluster
	// Catalog of a NodeClass, as the provider holds it: it must not wait for a cloud.
	Catalog      func(context.Context, cloudprovider.NodeClassRef) (*cloudprovider.Catalog, error)
	Availability *cloudprovider.Availability
	Prices       *pricing.Book
	// Memory of an instance type in bytes, as it is sold.
	Memory func(*cloudprovider.InstanceType) int64
	Now    func() time.Time
	// Leading as in Sources.
	Leading func() bool
}

// Offerings is a prometheus.Collector that shows what the NodeClasses together
// can buy.
type Offerings struct {
	from                                 OfferingSources
	available, price, windows, deviation family
	age, committed, cores, memory        family
}

// NewOfferings returns a collector that is to be registered.
func NewOfferings(from OfferingSources) *Offerings {
	const prefix = "karpenter_cloudprovider_instance_type_"
	offering := []string{"instance_type", "capacity_type", "zone"}
	return &Offerings{
		from:      from,
		available: newFamily(prefix+"offering_available", "1 for an offering that can be bought now, 0 for one that ran out a while ago, is reserved and used up, or has no known price.", offering...),
		price:     newFamily(prefix+"offering_price_estimate", "Dollars for an hour of an offering; one without a known price has none.", offering...),
		windows:   newFamily("stowage_windows_offering_price_estimate", "Dollars for an hour of an offering with Windows, where an EC2NodeClass has that; karpenter_cloudprovider_instance_type_offering_price_estimate is Linux's.", offering...),
		deviation: newFamily("stowage_spot_price_deviation", "Dollars by which the spot price of an offering deviated from its mean in --spot-price-window, as a standard deviation; there is none without a window.", offering...),
		age:       newFamily("stowage_prices_age_seconds", "Age of the prices that decisions go by, by capacity type and operating system; those of a file have none.", "capacity_type", "os"),
		committed: newFamily("stowage_commitments_age_seconds", "How long ago it was read what is committed, from a file or of the account; there is none without commitments."),
		cores:     newFamily(prefix+"cpu_cores", "CPUs of an instance type.", "instance_type"),
		memory:    newFamily(prefix+"memory_bytes", "Memory of an instance type as it is sold: its nodes see less.", "instance_type"),
	}
}

// Describe implements prometheus.Collector.
func (o *Offerings) Describe(out chan<- *prometheus.Desc) {
	for _, f := range []family{o.available, o.price, o.windows, o.deviation, o.age, o.committed, o.cores, o.memory} {
		out <- f.desc
	}
}

// Collect implements prometheus.Collector.
func (o *Offerings) Collect(out chan<- prometheus.Metric) {
	if !o.from.Leading() {
		return
	}
	s := &scrape{out: out}
	now, types := o.from.Now(), map[string]*cloudprovider.InstanceType{}
	offerings := map[cloudprovider.Offering]bool{} // and whether they can be had
	windows := map[cloudprovider.Offering]bool{}   // those with Windows
	seen := map[*cloudprovider.Catalog]bool{}      // classes that differ in nothing may share one
	for _, class := range o.from.State.Snapshot().NodeClasses.All() {
		catalog, err := o.from.Catalog(context.Background(), class.Ref())
		if err != nil || seen[catalog] { // one that is not ready has nothing to buy; its conditions say so
			continue
		}
		seen[catalog] = true
		for i := range catalog.InstanceTypes {
			t := &catalog.InstanceTypes[i]
			types[t.Name] = t
			for _, offering := range t.Offerings {
				if offering.Tenancy != "" {
					continue // no label tells it from that on shared hardware
				}
				r, reserved := catalog.Reservations[offering.Reservation]
				has := !o.from.Availability.Unavailable(now, offering) && (!reserved || r.Left > 0)
				offering.Reservation, offering.Placement = "", "" // several of one kind are one to the reader
				offerings[offering] = offerings[offering] || has
				windows[offering] = windows[offering] || t.Labels[corev1.LabelOSStable] == "windows"
			}
		}
	}
	prices := o.from.Prices.Table()
	for offering, has := range offerings {
		labels := o.available.labels.with(offering.InstanceType, offering.CapacityType, offering.Zone)
		price, known := prices.Price(offering)
		available := 0.0
		if known && has {
			available = 1
		}
		s.add(o.available, available, labels)
		if known {
			s.add(o.price, float64(price)/1e6, labels)
		}
		if deviation, known := prices.Deviation(offering); known {
			s.add(o.deviation, float64(deviation)/1e6, labels)
		}
		if price, known := prices.For("windows").Price(offering); known && windows[offering] {
			s.add(o.windows, float64(price)/1e6, o.windows.labels.with(offering.InstanceType, offering.CapacityType, offering.Zone))
		}
	}
	o.ages(s, now)
	for name, t := range types {
		labels := o.cores.labels.with(name)
		s.add(o.cores, float64(t.Capacity[cloudprovider.CPU])/1000, labels)
		s.add(o.memory, float64(o.from.Memory(t)), labels)
	}
}

// ages shows how old the prices are, and what is known to be committed.
func (o *Offerings) ages(s *scrape, now time.Time) {
	for _, os := range []string{"linux", "windows"} {
		prices := o.from.Prices.Table().For(os)
		for _, capacityType := range []string{cloudprovider.OnDemand, cloudprovider.Spot} {
			if at, known := prices.AsOf(capacityType); known {
				s.add(o.age, now.Sub(at).Seconds(), o.age.labels.with(capacityType, os))
			}
		}
	}
	if at, known := o.from.Prices.Committed(); known {
		s.add(o.committed, now.Sub(at).Seconds(), o.committed.labels.with())
	}
}
