package binpack

import (
	"math/big"
	"math/bits"
	"slices"
)

// Prices that differ from offer to offer.
//
// One price for a unit of a resource, wherever it is (bound.go), lets the memory that one
// node leaves idle serve pods whose cores are on another. If each offer o has prices y(o)
// of its own, under which its room is worth at most what it costs, then a pod of group g
// is worth at least
//
//	π(g)  =  min over offers o that g may use of  y(o)·need(g)
//
// on whatever node it is, and Σ π·count is a bound. It is the dual of buying nodes for
// pods that may be cut, each piece with its share of all resources.
//
// The bound is concave in the prices. Each pod goes where it is cheapest; where an offer
// then has more of one resource asked of it than of another, for its money, that resource
// becomes dearer there, and the others cheaper:
//
//	shares of an offer's price   cores ▓▓▓▓▓▓░░░░ memory      asked  ▓▓▓▓▓▓▓▓░░
//	                                  ──▶                      (Polyak, "Minimization of unsmooth functionals", 1969)
type ascent struct {
	*component
	rooms  [][]float64 // by offer, in parts of the largest quantities
	prices []float64   // by offer
	share  [][]float64 // by offer: how its price is divided among the resources; sums to 1
	y      [][]float64 // by offer: the prices of resources that follow
	asked  [][]float64 // by offer: what it would cost to have as much of each resource as is asked of it
	kinds  []fluidKind
}

// A fluidKind is pods of one claimant that ask for the same.
type fluidKind struct {
	need   Vector
	size   []float64 // the need in parts of the largest quantities
	count  int64
	offers []int // that hold one: positions in component.offers
}

// Bounds of an ascent. A step is one look at so many pairs of a kind and an offer;
// impatience is how many looks without success make strides shorter, by shorten, and
// shortest is where they end.
const (
	mostLooks    = 500
	pairsPerStep = 8
	impatience   = 10
	shorten      = 0.7
	shortest     = 0.02
)

// ascend raises the bound of a component towards the cost of the plan's nodes for its
// pods, with prices that differ from offer to offer, in at most so many steps. What it
// proves may be less than what is known.
func (c *component) ascend(steps int64) MicroUSD {
	a := c.ascent()
	target := float64(c.cost)
	for i, rent := range c.rents {
		target += float64(float64(rent) * (float64(c.atFirst(&c.scarce[i])) / float64(c.scarce[i].unit)))
	}
	best, stride, failed := 0.0, 1.0, 0
	kept := make([][]float64, len(a.offers))
	for i := range kept {
		kept[i] = make([]float64, len(c.Resources))
	}
	each := int64(len(a.kinds)*len(a.offers)/pairsPerStep + 1)
	for looks := int64(0); looks < mostLooks && looks*each <= steps && stride > shortest; looks++ {
		c.steps += each
		value := a.look()
		if value > best {
			best, failed = value, 0
			for i := range kept {
				copy(kept[i], a.y[i])
			}
		} else if failed++; failed == impatience {
			stride, failed = stride*shorten, 0
		}
		if target < float64(value*proven) || !a.move(float64(stride*(target-value))) {
			break
		}
	}
	return a.prove(kept)
}

// ascent begins with prices that are the same everywhere.
func (c *component) ascent() *ascent {
	a := &ascent{component: c}
	y := c.fluidPrices(nil)
	for _, o := range a.offers {
		share := make([]float64, len(y))
		for r, q := range c.room[o] {
			share[r] = float64(y[r]*float64(q)) + tiny
		}
		normalise(share)
		a.rooms, a.prices, a.share = append(a.rooms, c.fractions(c.room[o])), append(a.prices, float64(c.dear[o])), append(a.share, share)
		a.y, a.asked = append(a.y, make([]float64, len(y))), append(a.asked, make([]float64, len(y)))
	}
	for i := range c.list {
		a.addKinds(&c.list[i])
	}
	return a
}

// addKinds adds what a claimant's pods are of.
func (a *ascent) addKinds(of *claimant) {
	groups := slices.Clone(of.groups)
	slices.SortStableFunc(groups, func(x, y Share) int { return slices.Compare(a.need[x.Group], a.need[y.Group]) })
	var open []int
	for i, sh := range groups {
		need := a.need[sh.Group]
		if last := len(a.kinds) - 1; i > 0 && slices.Equal(a.kinds[last].need, need) {
			a.kinds[last].count += sh.Count
			continue
		}
		k := fluidKind{need: need, size: a.fractions(need), count: sh.Count}
		open = open[:0]
		for at, o := range a.offers {
			if of.offers.Has(o) && covers(a.room[o], need) {
				open = append(open, at)
			}
		}
		// Most kinds may use the same offers as the one before.
		if last := len(a.kinds) - 1; i > 0 && slices.Equal(a.kinds[last].offers, open) {
			k.offers = a.kinds[last].offers
		} else {
			k.offers = slices.Clone(open)
		}
		a.kinds = append(a.kinds, k)
	}
}

// look returns the bound by the shares in force, and notes what is asked of each offer.
func (a *ascent) look() (bound float64) {
	for i, y := range a.y {
		clear(a.asked[i])
		for r, room := range a.rooms[i] {
			if y[r] = 0; room > 0 {
				y[r] = float64(a.share[i][r]*a.prices[i]) / room
			}
		}
	}
	for i := range a.kinds {
		k := &a.kinds[i]
		best, least := -1, 0.0
		for _, o := range k.offers {
			worth := 0.0
			for r, q := range k.size {
				worth += float64(a.y[o][r] * q)
			}
			if best < 0 || worth < least {
				best, least = o, worth
			}
		}
		if best < 0 {
			continue
		}
		bound += float64(least * float64(k.count))
		for r, q := range k.size {
			if room := a.rooms[best][r]; room > 0 {
				a.asked[best][r] += float64(a.prices[best]*float64(q*float64(k.count))) / room
			}
		}
	}
	return bound
}

// move shifts shares of prices to what is asked for more than the rest, in all by so much
// of the bound. It reports false where nothing is.
func (a *ascent) move(gain float64) bool {
	norm := 0.0
	for i, asked := range a.asked {
		mean, n := 0.0, 0.0
		for r, v := range asked {
			if a.rooms[i][r] > 0 {
				mean, n = mean+v, n+1
			}
		}
		for r := range asked {
			if a.rooms[i][r] > 0 {
				asked[r] -= mean / n
				norm += float64(asked[r] * asked[r])
			}
		}
	}
	if norm == 0 {
		return false
	}
	stride := gain / norm
	for i, share := range a.share {
		for r := range share {
			share[r] = max(share[r]+float64(stride*a.asked[i][r]), 0)
		}
		normalise(share)
	}
	return true
}

// normalise makes shares sum to 1.
func normalise(share []float64) {
	sum := 0.0
	for _, v := range share {
		sum += v
	}
	for r := range share {
		share[r] /= sum
	}
}

// prove works out the bound of given prices exactly.
func (a *ascent) prove(y [][]float64) MicroUSD {
	for i := range y {
		for r := range y[i] {
			y[i][r] /= float64(a.scale[r])
		}
	}
	e := exactly(y)
	for i, o := range a.offers {
		e.fit(e.y[i], a.room[o], a.dear[o])
	}
	total := new(big.Int)
	for i := range a.kinds {
		k := &a.kinds[i]
		hi, lo := uint64(0), uint64(0)
		for j, o := range k.offers {
			if h, l := product(e.y[o], k.need); j == 0 || h < hi || (h == hi && l < lo) {
				hi, lo = h, l
			}
		}
		each := new(big.Int).SetUint64(hi)
		each.Lsh(each, 64).Add(each, new(big.Int).SetUint64(lo))
		total.Add(total, each.Mul(each, big.NewInt(k.count)))
	}
	return e.ceil(total.Sub(total, a.owed(e)))
}

// product is y·v, in 128 bits: enough for 64 terms of 56 by 63 bits.
func product(y []uint64, v Vector) (hi, lo uint64) {
	for r, q := range v {
		h, l := bits.Mul64(y[r], uint64(q))
		var carry uint64
		lo, carry = bits.Add64(lo, l, 0)
		hi += h + carry
	}
	return hi, lo
}
