package binpack

import (
	"cmp"
	"math"
	"slices"
)

// Patterns for the mixture.
//
// The master prices a pod of each kind; a pattern joins it if its pods are worth more
// than its node costs. To find the best one is a knapsack problem for each candidate.
//
// Most rounds only fill nodes well (fillFor): the knapsack is solved with pods that may
// be cut, rounded down, and filled up in the order of what pods are worth for their size
// at the prices of that solution. That is nearly exact where many pods fit on a
// node, and quick. The same solution bounds what any load is worth, so each round also
// proves a lower bound on the mixture, and the prices that prove the best one are the
// ones to hold on to (recenter in mix.go).
//
// Where few pods fit, and filling finds nothing any more, branch and bound takes
// over (exact): it finds what filling misses, or shows that there is nothing.

// mostFound is how many patterns join the master at a time.
const mostFound = 20

// search fills each candidate for the given prices, keeps the patterns that improve
// the mixture most, and returns their number.
func (m *mixture) search(o *opener, prices []float64) int {
	type find struct {
		pattern
		ratio float64 // of price to worth
	}
	var found []find
	m.excess = 0
	for t := range o.candidates {
		c := &o.candidates[t]
		price := o.relative(c.offer) + m.rent(o, c.offer)
		o.fillFor(c, prices)
		m.excess = math.Max(m.excess, o.relaxation.bound(c.size)/math.Max(price, idle))
		if worth := o.best.worth(m.master.y); improves(worth, price) {
			l := load{kinds: slices.Clone(o.best.kinds), counts: slices.Clone(o.best.counts)}
			found = append(found, find{pattern{c.offer, l}, price / worth})
		}
	}
	slices.SortFunc(found, func(a, b find) int { return cmp.Or(cmp.Compare(a.ratio, b.ratio), cmp.Compare(a.offer, b.offer)) })
	found = found[:min(len(found), mostFound)]
	for _, f := range found {
		m.master.columns = append(m.master.columns, m.add(o, f.pattern))
	}
	return len(found)
}

// fillFor fills candidate c for the given prices of pods, into o.best: the packing with
// pods that may be cut, rounded down and filled up, or the kinds in order of price for
// their size, whichever is worth more.
func (o *opener) fillFor(c *candidate, prices []float64) {
	x := o.relaxation
	x.order = x.order[:0]
	for i := range o.kinds {
		if k := &o.kinds[i]; prices[i] > 0 && c.open[k.set] && covers(c.room, k.need) {
			x.value[i], x.left[i] = prices[i], float64(k.left)
			x.order = append(x.order, i)
		}
	}
	before := x.looks
	o.rank(x.order, prices, c.guess)
	x.solve(c.size)
	o.steps += (x.looks - before + 4*int64(len(x.order))) / 2
	for r, y := range x.price {
		c.guess[r] = max(y, c.guess[r]/1024)
	}
	order := o.rank(append(o.ranked[:0], x.order...), prices, c.guess)
	o.ranked = order
	o.empty()
	copy(o.room, c.room)
	for _, i := range x.order {
		if n := min(x.whole(i), o.fits(c, i, &o.try)); n > 0 {
			o.put(i, n, &o.try)
		}
	}
	o.topUp(c, order)
	o.try, o.best = o.best, o.try
	o.empty()
	copy(o.room, c.room)
	o.topUp(c, order)
	if o.try.worth(prices) > o.best.worth(prices) {
		o.try, o.best = o.best, o.try
	}
}

// topUp fills up o.try with kinds in the given order, and closes it.
func (o *opener) topUp(c *candidate, order []int) {
	for _, i := range order {
		if n := o.fits(c, i, &o.try); n > 0 {
			o.put(i, n, &o.try)
		}
	}
	o.close(&o.try)
}

// rank sorts kinds by price for their size, size measured by weights of the
// resources.
func (o *opener) rank(kinds []int, prices, weights []float64) []int {
	for _, i := range kinds {
		size := tiny
		for r, q := range o.kinds[i].size {
			size += float64(weights[r] * q)
		}
		o.ratio[i] = prices[i] / size
	}
	slices.SortFunc(kinds, func(a, b int) int { return cmp.Or(cmp.Compare(o.ratio[b], o.ratio[a]), cmp.Compare(a, b)) })
	return kinds
}

// worth is what the pods of a load are worth at the given prices by kind.
func (l *load) worth(prices []float64) float64 {
	sum := 0.0
	for j, i := range l.kinds {
		sum += float64(prices[i] * float64(l.counts[j]))
	}
	return sum
}

// improves reports whether a load is worth more than its node costs, beyond what rounding
// may make of nothing: where nodes are free that would go on for ever.
func improves(worth, price float64) bool { return worth-price > math.Max(float64(price*1e-7), idle) }

// exact looks for patterns by branch and bound, where filling finds none any more,
// keeps those that improve the mixture, and returns their number.
func (m *mixture) exact(o *opener) (found int) {
	need := make([]Vector, len(o.kinds))
	for i := range need {
		need[i] = o.kinds[i].need
	}
	const unit, tooDear = 1 << 56, 8 // of worth, for the dearest node; what no load is searched for
	k := newKnapsack(o.table, need)
	for i := range need {
		k.price[i] = uint64(math.Max(min(m.master.y[i], 4), 0) * unit)
	}
	var items []int
	for t := range o.candidates {
		c := &o.candidates[t]
		items = items[:0]
		copy(o.room, c.room)
		o.empty()
		for i := range o.kinds {
			if k.price[i] > 0 {
				if k.most[i] = o.fits(c, i, &o.try); k.most[i] > 0 {
					items = append(items, i)
				}
			}
		}
		price := o.relative(c.offer) + m.rent(o, c.offer)
		if price > tooDear {
			continue
		}
		k.solve(c.room, items, uint64(price*unit))
		o.steps += k.steps()
		if l, ok := o.legal(c, k.found); ok && improves(l.worth(m.master.y), price) {
			m.master.columns = append(m.master.columns, m.add(o, pattern{c.offer, l}))
			found++
		}
	}
	return found
}

// legal makes a load of counts by kind, as far as the rules of one node let them
// join each other.
func (o *opener) legal(c *candidate, counts []int64) (load, bool) {
	o.empty()
	copy(o.room, c.room)
	for i, n := range counts {
		if n > 0 {
			if n = min(n, o.fits(c, i, &o.try)); n > 0 {
				o.put(i, n, &o.try)
			}
		}
	}
	o.close(&o.try)
	return load{kinds: slices.Clone(o.try.kinds), counts: slices.Clone(o.try.counts)}, len(o.try.kinds) > 0
}
