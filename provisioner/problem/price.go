package problem

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/stowage-sh/stowage/binpack"
	"github.com/stowage-sh/stowage/cloudprovider"
	"github.com/stowage-sh/stowage/pricing"
	v1 "github.com/stowage-sh/stowage/provisioner/v1"
)

// A price is what an hour of a machine costs, by its parts.
type price struct {
	// listed is the cloud's, machine the same after NodeOverlays. They are 0 where they are not known.
	listed, machine pricing.MicroUSD
	known, overlaid bool
	// surcharge is what the NodePool says that each node costs beside, and risk what interruptions are
	// expected to cost.
	surcharge, risk binpack.MicroUSD
}

// all is the sum of what counts in decisions.
func (p *price) all() binpack.MicroUSD { return binpack.MicroUSD(p.machine) + p.surcharge + p.risk }

// priceOf returns what an hour of an offering costs as a node with these labels of a NodePool, which is nil for
// one of none. A machine's operating system is part of its price. It is not known where the
// NodePool's annotations cannot be read.
func (in *Input) priceOf(pool *v1.NodePool, on labels.Labels, o cloudprovider.Offering) (p price) {
	prices := in.Prices.For(on.Get(corev1.LabelOSStable))
	p.listed, p.known = prices.Price(o)
	p.machine, p.known, p.overlaid = in.Overlays.Price(on, p.listed, p.known)
	if pool == nil {
		return p
	}
	surcharge, err := pool.InstanceSurcharge()
	cost, unreadable := pool.InterruptionCost()
	p.known = p.known && err == nil && unreadable == nil
	p.surcharge = binpack.MicroUSD(surcharge)
	if o.CapacityType == cloudprovider.Spot {
		p.risk = binpack.MicroUSD(prices.Interrupted(o.InstanceType, pricing.MicroUSD(cost)))
	}
	return p
}

// PriceOf returns what an hour of an offering costs as a node with these labels of a NodePool, nil for one of none,
// with its surcharge and the expected cost of interruptions; false where that is not known. Of in, Prices and Overlays
// are needed.
func (in *Input) PriceOf(pool *v1.NodePool, on labels.Labels, o cloudprovider.Offering) (binpack.MicroUSD, bool) {
	p := in.priceOf(pool, on, o)
	return p.all(), p.known
}

// systemOf is the operating system of an offering as a node with these labels; not ok for one that nothing is committed
// for: what is known of commitments is for shared hardware.
func systemOf(on labels.Labels, o cloudprovider.Offering) (pricing.System, bool) {
	system, ok := pricing.SystemOf(on.Get(corev1.LabelOSStable))
	return system, ok && o.Tenancy == ""
}

// unpricedSystem names the operating system of a catalog's machines if no price is known for it; else "".
func unpricedSystem(catalog *cloudprovider.Catalog, in *Input) string {
	if len(catalog.InstanceTypes) == 0 {
		return ""
	}
	os := catalog.InstanceTypes[0].Labels[corev1.LabelOSStable]
	if in.Prices.For(os).Len() > 0 {
		return ""
	}
	return os
}
