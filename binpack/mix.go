package binpack

import (
	"cmp"
	"math"
	"slices"
)

// Mixing patterns: column generation.
//
// 	patterns of the plan so far, and for each kind one that holds it alone
// 	until no better one is found:
// 	  mix them at least cost                     → a price for a pod of each kind
// 	  for each candidate: fill it for those prices
// 	  keep what is worth more than it costs
// 	then decide nodes: those that the mixture takes whole, or else the one it takes
// 	most of, and mix again what is left
//
// Opening nodes one by one looks only at the next; a mixture looks at all of them at
// once, and knows what a pod of odd shape costs in the end. It cannot be bought as it
// is, since it takes parts of nodes. The more of it is decided, the worse fits
// what remains: a recipe says how much is, and the rest is left to open.
//
// Limits and stocks are not part of the mixture. They are heard when it is
// carried out.

// A mixture is the master problem of one weight, solved, and the patterns behind its
// columns.
type mixture struct {
	kinds   []kind  // as they were when it was made
	groups  [][]int // by kind
	dearest MicroUSD
	master  *master
	loads   []mixed // by column
}

// prices are those of one pod of each group, in MicroUSD, as far as mixtures know them.
func (t *table) prices() map[int]float64 {
	out := map[int]float64{}
	for _, m := range t.mixtures {
		for i, groups := range m.groups {
			for _, g := range groups {
				if _, ok := out[g]; !ok {
					out[g] = m.master.y[i] * float64(m.dearest)
				}
			}
		}
	}
	return out
}

// A mixed is a pattern: a load on an offer.
type mixed struct {
	offer int
	load
}

// maxRows bounds the rows of a master problem: a pivot takes their square.
const maxRows = 400

// stability is the weight of the best prices so far against those of the master, in
// the prices that patterns are looked for by. It keeps them from swinging (Wentges,
// "Weighted Dantzig-Wolfe decomposition for linear mixed-integer programming", 1997).
const stability = 0.5

// mixture returns the mixture for the opener's kinds, or nil if there are too many
// or too few for one. It is made once for all passes that ask for the same.
func (o *opener) mixture() *mixture {
	if len(o.kinds) > maxRows || len(o.kinds) == 0 || o.strict {
		return nil
	}
	same := func(a, b kind) bool {
		return a.left == b.left && a.set == b.set && a.ruled == b.ruled && slices.Equal(a.need, b.need)
	}
	for _, m := range o.mixtures {
		if slices.EqualFunc(m.kinds, o.kinds, same) {
			return m
		}
	}
	m := &mixture{kinds: slices.Clone(o.kinds), dearest: o.dearest}
	for i := range o.kinds {
		var groups []int
		for _, p := range o.kinds[i].parts {
			groups = append(groups, o.parts[p].group)
		}
		m.groups = append(m.groups, groups)
	}
	if !m.begin(o) {
		return nil
	}
	m.generate(o)
	o.table.mixtures = append(o.table.mixtures, m)
	return m
}

// begin makes the first columns: each kind alone, and the nodes of the best plan so
// far. It reports whether every kind has a place.
func (m *mixture) begin(o *opener) bool {
	demand := make([]float64, len(o.kinds))
	var diagonal []column
	for i := range o.kinds {
		demand[i] = float64(o.kinds[i].left)
		best, most := -1, int64(0)
		for t := range o.candidates {
			c := &o.candidates[t]
			copy(o.room, c.room)
			o.empty()
			n := o.fits(c, i, &o.try)
			if n > 0 && (best < 0 || compareRatio(o.price[c.offer], uint64(n), o.price[o.candidates[best].offer], uint64(most)) < 0) {
				best, most = t, n
			}
		}
		if best < 0 {
			return false
		}
		l := load{kinds: []int{i}, counts: []int64{most}}
		diagonal = append(diagonal, m.add(o, mixed{o.candidates[best].offer, l}))
	}
	m.master = newMaster(demand, diagonal)
	index := map[[2]int]int{}
	for i := range o.kinds {
		for _, p := range o.kinds[i].parts {
			index[[2]int{o.parts[p].group, o.parts[p].cell}] = i
		}
	}
	for _, done := range o.incumbent {
		if l, ok := loadOf(done, index); ok {
			m.master.columns = append(m.master.columns, m.add(o, mixed{done.offer, l}))
		}
	}
	return true
}

// loadOf reads the load of an opened node, if all its pods are of the kinds that
// index finds by group and cell.
func loadOf(done opened, index map[[2]int]int) (load, bool) {
	var l load
	for j, sh := range done.pods {
		i, ok := index[[2]int{sh.Group, done.cells[j]}]
		if !ok {
			return l, false
		}
		if k := slices.Index(l.kinds, i); k >= 0 {
			l.counts[k] += sh.Count
			continue
		}
		l.kinds, l.counts = append(l.kinds, i), append(l.counts, sh.Count)
	}
	return l, true
}

// add keeps a pattern and returns its column.
func (m *mixture) add(o *opener, p mixed) column {
	m.loads = append(m.loads, p)
	c := column{price: o.relative(p.offer), rows: p.kinds}
	for _, n := range p.counts {
		c.count = append(c.count, float64(n))
	}
	return c
}

// generate finds patterns until none improves the mixture, or the budget ends.
func (m *mixture) generate(o *opener) {
	prices := make([]float64, len(o.kinds))
	// The fluid prices are where the master's end up: they are the first to hold on to.
	center := make([]float64, len(o.kinds))
	whole := 0.0
	for i := range o.kinds {
		whole += float64(float64(o.kinds[i].value) * m.master.demand[i])
	}
	m.pivot(o)
	for i := range center {
		center[i] = float64(o.kinds[i].value) * (m.master.cost() / whole)
	}
	hold := stability
	for o.steps < o.until && !o.ended() {
		for i, y := range m.master.y {
			prices[i] = float64(hold*center[i]) + float64((1-hold)*y)
		}
		found := m.search(o, prices)
		if found == 0 {
			if hold == 0 {
				if m.master.cost() < o.fluidCost()*coarse || m.exact(o) == 0 {
					return
				}
				m.pivot(o)
				continue
			}
			if hold /= 2; hold < stability/4 {
				hold = 0
			}
			continue
		}
		m.pivot(o)
		if m.master.cost() < o.fluidCost()*fine {
			return
		}
	}
}

// How far a mixture may be above what pods would cost that could be cut: fine is so near
// that more patterns cannot matter; beyond coarse pods are large against nodes, and
// branch and bound is worth its steps.
const (
	fine   = 1.0003
	coarse = 1.02
)

// exact looks for patterns by branch and bound, where filling finds none any more,
// keeps those that improve the mixture, and returns their number.
func (m *mixture) exact(o *opener) (found int) {
	need := make([]Vector, len(o.kinds))
	for i := range need {
		need[i] = o.kinds[i].need
	}
	const unit = 1 << 56 // of worth, for the dearest node
	k := newKnapsack(o.table, need)
	for i, y := range m.master.y {
		k.price[i] = uint64(math.Max(min(y, 4), 0) * unit)
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
		price := o.relative(c.offer)
		k.solve(c.room, c.size, items, uint64(price*unit))
		o.steps += k.steps()
		if l, ok := o.legal(c, k.found); ok && l.worth(m.master.y) > price*(1+1e-7) {
			m.master.columns = append(m.master.columns, m.add(o, mixed{c.offer, l}))
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

// pivot brings the master to its optimum.
func (m *mixture) pivot(o *opener) {
	n := len(m.master.demand)
	pivots := m.master.primal(5 * n)
	o.steps += int64(pivots) * int64(n*n/16+len(m.loads))
}

// mostFound is how many patterns join the master at a time.
const mostFound = 20

// search fills each candidate for the given prices, keeps the patterns that improve
// the mixture most, and returns their number.
func (m *mixture) search(o *opener, prices []float64) int {
	type find struct {
		mixed
		ratio float64 // of price to worth
	}
	var found []find
	for t := range o.candidates {
		c := &o.candidates[t]
		price := o.relative(c.offer)
		o.fillFor(c, prices)
		if worth := o.best.worth(m.master.y); worth > price*(1+1e-7) {
			l := load{kinds: slices.Clone(o.best.kinds), counts: slices.Clone(o.best.counts)}
			found = append(found, find{mixed{c.offer, l}, price / worth})
		}
	}
	slices.SortFunc(found, func(a, b find) int { return cmp.Or(cmp.Compare(a.ratio, b.ratio), cmp.Compare(a.offer, b.offer)) })
	found = found[:min(len(found), mostFound)]
	for _, f := range found {
		m.master.columns = append(m.master.columns, m.add(o, f.mixed))
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
	o.steps += x.looks - before + 4*int64(len(x.order))
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
	o.top(c, order)
	o.try, o.best = o.best, o.try
	o.empty()
	copy(o.room, c.room)
	o.top(c, order)
	if o.try.worth(prices) > o.best.worth(prices) {
		o.try, o.best = o.best, o.try
	}
}

// top fills up o.try with kinds in the given order, and closes it.
func (o *opener) top(c *candidate, order []int) {
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

// mix decides nodes of the mixture until the given share of its cost is decided.
func (o *opener) mix(share float64) {
	m := o.mixture()
	if m == nil {
		return
	}
	lp := m.master.clone()
	goal := float64(lp.cost() * (1 - share))
	for lp.cost() > goal && !o.ended() {
		took := false
		for _, b := range o.amounts(lp) {
			n := int64(lp.x[b] + element)
			if n == 0 && took {
				break
			}
			if o.decide(&m.loads[lp.basis[b]], max(n, 1)) {
				took = true
			}
			if n == 0 {
				break
			}
		}
		if !took {
			return
		}
		demand := make([]float64, len(o.kinds))
		for i := range demand {
			demand[i] = float64(o.kinds[i].left)
		}
		lp.lower(demand, 10*len(demand))
		o.steps += int64(len(demand) * len(demand))
	}
}

// amounts lists the rows of the basis that take some of a pattern, most first.
func (o *opener) amounts(lp *master) []int {
	var rows []int
	for i, b := range lp.basis {
		if b >= 0 && lp.x[i] > element {
			rows = append(rows, i)
		}
	}
	slices.SortFunc(rows, func(a, b int) int {
		return cmp.Or(cmp.Compare(lp.x[b], lp.x[a]), cmp.Compare(lp.basis[a], lp.basis[b]))
	})
	return rows
}

// decide opens up to n nodes of a pattern, as far as pods, limits and stocks last. A
// pattern of which not one node can be filled whole is opened with what is left.
func (o *opener) decide(p *mixed, n int64) bool {
	n = o.copies(p.offer, n)
	o.best.kinds, o.best.counts = o.best.kinds[:0], o.best.counts[:0]
	for j, i := range p.kinds {
		if k := min(p.counts[j], o.kinds[i].left); k > 0 {
			o.best.kinds, o.best.counts = append(o.best.kinds, i), append(o.best.counts, k)
			n = min(n, o.kinds[i].left/k)
		}
	}
	if n == 0 || len(o.best.kinds) == 0 {
		return false
	}
	o.settle(p.offer, n)
	return true
}
