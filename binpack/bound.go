package binpack

import (
	"math"
	"math/big"
	"math/bits"
	"slices"
)

// A claimant is a kind of pod for the lower bound: those that may use the same
// offers. Its pods are the ones that the plan put on new nodes of one weight.
type claimant struct {
	offers Set
	groups []Share // pods by group
	demand Vector
}

// lowerBound proves what the pods on the plan's new nodes cost at least. Every
// plan covers the demand for each resource with the room of the nodes it opens,
// so any prices y on resources under which no offer holds more worth than it
// costs make y·demand a bound. The fluid problem finds good prices in floating
// point; they are then rounded to integers, and made smaller until each offer
// passes an exact check. So the bound holds whatever the floats did.
//
// Pods whose offers have nothing in common, directly or through others, are
// bounded apart and added up.
func (s *pass) lowerBound() MicroUSD {
	sum := MicroUSD(0)
	for _, c := range components(s.claimants()) {
		sum += max(s.fluidBound(c), s.countBound(c))
	}
	return sum
}

// claimants sorts the pods on new nodes by what they may use: offers of their
// group in pools of at least the weight they got, that hold a pod of some group
// of the kind.
func (s *pass) claimants() []claimant {
	type kind struct {
		offers string
		weight int32
	}
	index := map[kind]int{}
	var out []claimant
	var weights []int32
	for _, o := range s.opened {
		weight := s.Pools[s.Offers[o.offer].Pool].Weight
		for _, sh := range o.pods {
			offers := s.Groups[sh.Group].Offers
			k := kind{offers.key(), weight}
			i, ok := index[k]
			if !ok {
				i = len(out)
				index[k] = i
				out = append(out, claimant{offers: offers, demand: make(Vector, len(s.Resources))})
				weights = append(weights, weight)
			}
			out[i].groups = with(out[i].groups, sh.Group, sh.Count*o.count)
			for r, q := range s.need[sh.Group] {
				out[i].demand[r] += q * sh.Count * o.count
			}
		}
	}
	for i := range out {
		var offers Set
		for o := range out[i].offers.All {
			if s.Pools[s.Offers[o].Pool].Weight >= weights[i] && s.room[o] != nil &&
				slices.ContainsFunc(out[i].groups, func(sh Share) bool { return covers(s.room[o], s.need[sh.Group]) }) {
				offers.Add(o)
			}
		}
		out[i].offers = offers
	}
	return out
}

// components gathers claimants that share an offer into one, transitively.
func components(list []claimant) []claimant {
	var out []claimant
	for _, c := range list {
		c.groups, c.demand = slices.Clone(c.groups), slices.Clone(c.demand)
		rest := out[:0]
		for _, d := range out {
			if !c.offers.meets(d.offers) {
				rest = append(rest, d)
				continue
			}
			c.offers = c.offers.or(d.offers)
			for _, sh := range d.groups {
				c.groups = with(c.groups, sh.Group, sh.Count)
			}
			for r, q := range d.demand {
				c.demand[r] += q
			}
		}
		out = append(rest, c)
	}
	return out
}

// countBound: a group needs a number of nodes that hold its pods, whatever else
// is on them, and none is cheaper than the cheapest that holds one.
func (s *pass) countBound(c claimant) MicroUSD {
	best := MicroUSD(0)
	for _, sh := range c.groups {
		least, most := MicroUSD(math.MaxInt64), int64(1)
		for o := range c.offers.All {
			if !s.Groups[sh.Group].Offers.Has(o) {
				continue
			}
			if n := fit(s.room[o], s.need[sh.Group], sh.Count); n > 0 {
				least = min(least, s.price[o])
				most = max(most, s.joins(sh.Group, nil, -1, n))
			}
		}
		if least != math.MaxInt64 {
			best = max(best, MicroUSD((sh.Count+most-1)/most)*least)
		}
	}
	return best
}

// fluidBound takes the better of two prices: with the offers of finite stocks
// as if they were not, which charges the gain on each node in stock to the
// bound; and with them as if there were no end to them.
func (s *pass) fluidBound(c claimant) MicroUSD {
	var all, endless []int
	for o := range c.offers.All {
		all = append(all, o)
		if len(s.stocks[o]) == 0 {
			endless = append(endless, o)
		}
	}
	bound := s.priced(c, all, all)
	if len(endless) < len(all) {
		bound = max(bound, s.priced(c, endless, all))
	}
	return bound
}

// priced is the bound by the fluid prices of the offers in basis. Those that
// are not in it draw on a stock.
func (s *pass) priced(c claimant, basis, all []int) MicroUSD {
	most := MicroUSD(1)
	for _, o := range basis {
		most = max(most, s.price[o])
	}
	var rooms [][]float64
	var prices []float64
	for _, o := range basis {
		rooms = append(rooms, s.fractions(s.room[o]))
		prices = append(prices, float64(s.price[o])/float64(most))
	}
	y := fluid(rooms, prices, s.fractions(c.demand))
	for r := range y {
		y[r] = y[r] * float64(most) / float64(s.scale[r])
	}
	e := exactly(y)
	for _, o := range basis {
		e.fit(s.room[o], s.price[o])
	}
	total := e.worth(c.demand)
	in := SetOf(basis...)
	gains := make([]*big.Int, len(s.Stocks))
	for _, o := range all {
		if gain := e.gain(s.room[o], s.price[o]); !in.Has(o) && gain.Sign() > 0 {
			if i := s.stocks[o][0]; gains[i] == nil || gains[i].Cmp(gain) < 0 {
				gains[i] = gain
			}
		}
	}
	for i, gain := range gains {
		if gain != nil {
			total.Sub(total, gain.Mul(gain, big.NewInt(s.Stocks[i].Count)))
		}
	}
	return e.ceil(total)
}

// fractions expresses v in parts of the largest quantity of each resource.
func (t *table) fractions(v Vector) []float64 {
	out := make([]float64, len(v))
	for r, q := range v {
		out[r] = float64(q) / float64(t.scale[r])
	}
	return out
}

// exact is a price on each resource as a whole number of MicroUSD / 2^shift.
type exact struct {
	y     []uint64
	shift uint
}

// exactly rounds prices down. Shift and digits are such that the worth of any
// room, and any price, stay within 127 bits.
func exactly(y []float64) *exact {
	const digits, most = 56, 63
	e := &exact{y: make([]uint64, len(y)), shift: most}
	for _, v := range y {
		if _, exp := math.Frexp(v); v > 0 {
			e.shift = uint(max(min(int(e.shift), digits-exp), 0))
		}
	}
	for r, v := range y {
		if v > 0 && !math.IsInf(v, 0) {
			e.y[r] = uint64(min(math.Ldexp(v, int(e.shift)), 1<<digits-1))
		}
	}
	return e
}

// fit lowers the prices in proportion until the room is worth no more than it
// costs. Prices only fall, so offers that fitted before still do.
func (e *exact) fit(room Vector, price MicroUSD) {
	hi, lo := uint64(0), uint64(0)
	for r, q := range room {
		h, l := bits.Mul64(e.y[r], uint64(q))
		var carry uint64
		lo, carry = bits.Add64(lo, l, 0)
		hi += h + carry
	}
	limitHi, limitLo := uint64(price)>>(64-e.shift), uint64(price)<<e.shift
	if hi < limitHi || (hi == limitHi && lo <= limitLo) {
		return
	}
	worth, limit := e.worth(room), new(big.Int).Lsh(big.NewInt(int64(price)), e.shift)
	for r := range e.y {
		v := new(big.Int).SetUint64(e.y[r])
		e.y[r] = v.Mul(v, limit).Quo(v, worth).Uint64()
	}
}

// worth is y·v, in MicroUSD / 2^shift.
func (e *exact) worth(v Vector) *big.Int {
	sum := new(big.Int)
	for r, q := range v {
		sum.Add(sum, new(big.Int).Mul(new(big.Int).SetUint64(e.y[r]), big.NewInt(q)))
	}
	return sum
}

// gain is what a room is worth above its price.
func (e *exact) gain(room Vector, price MicroUSD) *big.Int {
	w := e.worth(room)
	return w.Sub(w, new(big.Int).Lsh(big.NewInt(int64(price)), e.shift))
}

// ceil rounds up to a whole MicroUSD: costs are whole, so the bound still holds.
func (e *exact) ceil(v *big.Int) MicroUSD {
	if v.Sign() <= 0 {
		return 0
	}
	one := new(big.Int).Lsh(big.NewInt(1), e.shift)
	v.Add(v, one).Sub(v, big.NewInt(1))
	return MicroUSD(v.Rsh(v, e.shift).Int64())
}
