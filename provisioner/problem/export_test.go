package problem

import (
	"slices"

	"github.com/stowage-sh/stowage/binpack"
	"github.com/stowage-sh/stowage/pricing"
)

// BillOf is what commitments leave to pay of the machines that run on demand and are kept, by NodeClaim, which is nil
// for others' machines, and of launches.
func (in *Input) BillOf(launches []Launch, keep func(claim string, joined bool) bool) binpack.MicroUSD {
	c := committedOf(in)
	uses, counts := slices.Clone(c.uses), make([]int64, len(c.uses))
	for _, m := range c.machines {
		if m.claim == nil || keep(m.claim.Name, m.node != nil) {
			counts[m.use]++
		}
	}
	for i := range launches {
		row := launches[i].Rows[0]
		if system, ok := systemOf(row, row.Offering); ok {
			p := in.priceOf(row.Pool, row, row.Offering)
			uses, counts = append(uses, pricing.Use{Offering: row.Offering, System: system, OnDemand: p.listed, Price: p.machine}), append(counts, 1)
		}
	}
	return binpack.MicroUSD(c.list.Biller(uses).Bill(counts).Cost)
}

// Beyond is what the machine of a NodeClaim costs, surcharges not included, where commitments might cover it.
func (r *Running) Beyond(claim string) (binpack.MicroUSD, bool) {
	price, ok := r.beyond[claim]
	return price, ok
}

// Machine is what a launch costs without its NodePool's surcharge, if nothing covers it.
func (in *Input) Machine(l *Launch) binpack.MicroUSD {
	return binpack.MicroUSD(in.priceOf(l.Rows[0].Pool, l.Rows[0], l.Rows[0].Offering).machine)
}
