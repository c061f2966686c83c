package pricing

import (
	"cmp"
	"math/bits"
	"slices"

	"github.com/stowage-sh/stowage/cloudprovider"
)

// A Use is machines alike that run on demand for the hour.
type Use struct {
	Offering cloudprovider.Offering
	System   System
	// OnDemand is the price that Savings Plans take their discount off; Price is what an hour
	// counts for where nothing covers it, which NodeOverlays may have changed.
	OnDemand, Price MicroUSD
	Count           int64
}

// A Bill says what commitments leave to pay.
type Bill struct {
	// Cost of an hour of all uses, beyond what is paid already.
	Cost MicroUSD
	// Left of each commitment's Amount, in their order.
	Left []int64
}

// A Biller applies commitments to uses, of which only the counts change. It is made once, since the
// order in which they are applied does not depend on these.
type Biller struct {
	commitments Commitments
	uses        []Use
	cover       []covers // in the order in which they are applied
}

// covers is a commitment, a use that it covers, and how much one machine takes of it.
type covers struct {
	commitment, use int
	units           int64
}

// Biller returns one for some uses, whose counts it does not read. Commitments are applied as AWS documents it ("How
// Reserved Instance discounts are applied", EC2 User Guide; "Understanding how Savings Plans apply to your
// usage", Savings Plans User Guide):
//
//  1. Reserved Instances of a zone, then those of the region; where they are flexible in size,
//     from the smallest size to the largest.
//  2. EC2 Instance Savings Plans, then Compute Savings Plans; of each kind, what is saved the
//     largest part of the on-demand price on goes first, of equal ones that with the lower rate.
//
// A machine may be covered in part: the rest of it costs its part of the price.
func (cs Commitments) Biller(uses []Use) *Biller {
	b := &Biller{commitments: cs, uses: uses}
	for c := range cs {
		for u := range uses {
			if units, ok := cs[c].Draw(uses[u].Offering, uses[u].System, uses[u].OnDemand); ok {
				b.cover = append(b.cover, covers{c, u, units})
			}
		}
	}
	slices.SortFunc(b.cover, b.compare)
	return b
}

// compare is the order in which commitments are applied to uses.
func (b *Biller) compare(x, y covers) int {
	c, d := &b.commitments[x.commitment], &b.commitments[y.commitment]
	saved := 0
	if c.Kind != ReservedInstance {
		saved = compareFractions(x.units, b.uses[x.use].OnDemand, y.units, b.uses[y.use].OnDemand)
	}
	return cmp.Or(cmp.Compare(c.rank(), d.rank()), saved, cmp.Compare(x.units, y.units),
		b.uses[x.use].Offering.Compare(b.uses[y.use].Offering), cmp.Compare(c.Name, d.Name), cmp.Compare(x.use, y.use))
}

// rank is the place of a commitment's kind among others.
func (c *Commitment) rank() int {
	at := slices.Index(commitmentKinds, c.Kind)
	if at == 0 && c.Zone != "" {
		at = -1
	}
	return at
}

// compareFractions compares a/b with c/d; none is negative.
func compareFractions(a int64, b MicroUSD, c int64, d MicroUSD) int {
	hi, lo := bits.Mul64(uint64(a), uint64(d))
	hi2, lo2 := bits.Mul64(uint64(c), uint64(b))
	return cmp.Or(cmp.Compare(hi, hi2), cmp.Compare(lo, lo2))
}

// Bill is that of so many machines of each use. It costs O(commitments × uses).
func (b *Biller) Bill(counts []int64) Bill {
	out := Bill{Left: make([]int64, len(b.commitments))}
	for i := range b.commitments {
		out.Left[i] = b.commitments[i].Amount
	}
	open := make([]int64, len(b.uses)) // millionths of machines that nothing covers
	for i, n := range counts {
		open[i] = n * million
	}
	for _, x := range b.cover {
		left := out.Left[x.commitment]
		parts := min(open[x.use], mulDiv(left, million, x.units))
		open[x.use] -= parts
		out.Left[x.commitment] = left - mulDivUp(parts, x.units, million)
	}
	for i := range open {
		out.Cost += MicroUSD(mulDiv(open[i], int64(b.uses[i].Price), million))
	}
	return out
}
