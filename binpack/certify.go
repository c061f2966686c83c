package binpack

import (
	"cmp"
	"math/bits"
	"slices"
)

// What no plan can beat, where pods are large against nodes.
//
// The fluid bound (bound.go) lets pods be cut, so it is far from the truth where few
// pods fit on a node. Here a pod of each group has a price π of its own, taken from the
// mixture. If U(o) is the most that whole pods on one node of offer o can be worth
// (knapsack.go), then a node of a plan costs at least price(o)/U(o) of what its pods
// are worth, and
//
//	cost  ≥  Σ π·count  ×  min over o of price(o)/U(o)
//
// whatever the prices (Farley, "A note on bounding a class of linear programming
// problems, including cutting stock problems", 1990). Prices are rounded to whole
// numbers first, and all that follows is exact, so rounding in the mixture cannot make
// the bound untrue. Rules other than the room of a node and the most of a group on it
// are ignored, which can only lower the bound.

// An item is groups of one claimant that are alike on a node.
type item struct {
	claimant    int
	need        Vector
	count, most int64  // in all; on one node
	price       uint64 // of one pod, in MicroUSD / 2^shift of the certificate
}

// A certificate is a proof under way.
type certificate struct {
	*pass
	list  []claimant
	items []item
	shift uint
}

// certify proves what the pods of the claimants cost at least, by prices of pods of
// each group. It returns 0 where it cannot tell.
func (s *pass) certify(list []claimant, price map[int]float64) MicroUSD {
	c := &certificate{pass: s, list: list}
	if len(s.Stocks) > 0 || !c.begin(price) {
		return 0
	}
	k := newKnapsack(s.table, c.needs())
	for i, it := range c.items {
		k.price[i], k.most[i] = it.price, it.most
	}
	// The least ratio of price to worth, as a fraction.
	num, den := uint64(1), uint64(1)
	var items []int
	for _, o := range c.decisive(c.list) {
		items = items[:0]
		for i := range c.items {
			if list[c.items[i].claimant].offers.Has(o) && covers(s.room[o], c.items[i].need) {
				items = append(items, i)
			}
		}
		p := uint64(s.price[o]) << c.shift
		worth, ok := k.solve(s.room[o], items, p)
		if !ok {
			return 0
		}
		s.steps += k.steps()
		hi1, lo1 := bits.Mul64(p, den)
		hi2, lo2 := bits.Mul64(num, worth)
		if hi1 < hi2 || (hi1 == hi2 && lo1 < lo2) {
			num, den = p, worth
		}
	}
	return c.scaled(num, den)
}

// needs are those of the items.
func (c *certificate) needs() []Vector {
	out := make([]Vector, len(c.items))
	for i := range out {
		out[i] = c.items[i].need
	}
	return out
}

// begin makes the items and the scale of their prices. Groups that are alike are one
// item, so that the search does not try each way to tell them apart; but not those
// that a rule holds to a number on a node.
func (c *certificate) begin(price map[int]float64) bool {
	dearest := MicroUSD(1)
	for i := range c.list {
		for o := range c.list[i].offers.All {
			dearest = max(dearest, c.price[o])
		}
	}
	c.shift = uint(max(0, 56-bits.Len64(uint64(dearest)))) // a node's worth stays well below 2^61
	for i := range c.list {
		for _, sh := range c.list[i].groups {
			if p := price[sh.Group] * float64(uint64(1)<<c.shift); p > 0 && p < 1<<58 {
				most := c.abides(sh.Group, nil, -1, sh.Count)
				c.items = append(c.items, item{i, c.need[sh.Group], sh.Count, most, uint64(p)})
			}
		}
	}
	order := func(x, y item) int {
		return cmp.Or(cmp.Compare(x.claimant, y.claimant), cmp.Compare(y.price, x.price), slices.Compare(x.need, y.need))
	}
	slices.SortStableFunc(c.items, order)
	merged := c.items[:0]
	for _, it := range c.items {
		if last := len(merged) - 1; last >= 0 && order(merged[last], it) == 0 && it.most == it.count && merged[last].most == merged[last].count {
			merged[last].count += it.count
			merged[last].most += it.count
			continue
		}
		merged = append(merged, it)
	}
	c.items = merged
	return len(merged) > 0
}

// scaled is the worth of all pods times num/den, rounded up to a whole MicroUSD, since
// costs are whole.
func (c *certificate) scaled(num, den uint64) MicroUSD {
	total := uint64(0)
	for i := range c.items {
		hi, lo := bits.Mul64(c.items[i].price, uint64(c.items[i].count))
		if hi>>c.shift != 0 {
			return 0
		}
		sum, carry := bits.Add64(total, lo>>c.shift+hi<<(64-c.shift), 0)
		if carry != 0 {
			return 0
		}
		total = sum
	}
	hi, lo := bits.Mul64(total, num)
	if hi >= den {
		return 0
	}
	q, rest := bits.Div64(hi, lo, den)
	if rest > 0 {
		q++
	}
	return MicroUSD(q)
}
