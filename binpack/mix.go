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
// What may run out has a price in the mixture as well (scarce.go), and is heard again when
// it is carried out.

// A mixture is the master problem of one weight, solved, and the patterns behind its
// columns.
type mixture struct {
	weight  int32      // of the pools whose offers it mixes
	kinds   []kind     // as they were when it was made
	groups  [][]int    // by kind
	scarce  []scarcity // rows of the master after those of kinds
	left    []int64    // of these, when it was made
	dearest MicroUSD   // price of a candidate: what prices here are parts of
	master  *master
	loads   []pattern // by column

	// center are the prices by kind that prove the best lower bound so far, and least is
	// that bound. excess is by what factor some candidate was worth more than it costs
	// at the prices looked at last.
	center        []float64
	least, excess float64
}

// prices are two guesses at what a pod of each group costs, in MicroUSD, as far as
// mixtures know: by the best bound on the way, and by the last mixture.
func (t *table) prices() [2]map[int]float64 {
	out := [2]map[int]float64{{}, {}}
	for _, m := range t.mixtures {
		for i, groups := range m.groups {
			for _, g := range groups {
				if _, ok := out[0][g]; !ok {
					out[0][g] = m.center[i] * float64(m.dearest)
					out[1][g] = m.master.y[i] * float64(m.dearest)
				}
			}
		}
	}
	return out
}

// A pattern is a load on an offer, or one pod nowhere: then offer is -1.
type pattern struct {
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
	scarce := o.scarceOffers()
	left := make([]int64, len(scarce))
	for i := range scarce {
		left[i] = o.leftOf(&scarce[i])
	}
	for _, m := range o.mixtures {
		if m.weight == o.weight && slices.EqualFunc(m.kinds, o.kinds, same) && slices.Equal(m.scarce, scarce) && slices.Equal(m.left, left) {
			return m
		}
	}
	m := &mixture{weight: o.weight, kinds: slices.Clone(o.kinds), dearest: o.dearest, scarce: scarce, left: left}
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

// scarceOffers lists what may run out for the candidates.
func (o *opener) scarceOffers() []scarcity {
	offers := make([]int, len(o.candidates))
	for i := range offers {
		offers[i] = o.candidates[i].offer
	}
	o.worthLeft() // for podsLeft
	return o.table.scarce(offers, o.podsLeft, o.takes, o.leftOf)
}

// demands are what is left by row of the master: pods, then what may run out.
func (m *mixture) demands(o *opener) []float64 {
	out := make([]float64, 0, len(o.kinds)+len(m.scarce))
	for i := range o.kinds {
		out = append(out, float64(o.kinds[i].left))
	}
	for i := range m.scarce {
		out = append(out, -float64(o.leftOf(&m.scarce[i]))/float64(m.scarce[i].unit))
	}
	return out
}

// rent is what a node of an offer costs beyond its price for what it takes of that may run
// out.
func (m *mixture) rent(o *opener, offer int) (sum float64) {
	for i := range m.scarce {
		if n := o.takes(offer, &m.scarce[i]); n > 0 {
			sum += float64(m.master.y[len(o.kinds)+i] * (float64(n) / float64(m.scarce[i].unit)))
		}
	}
	return sum
}

// nowhere is the price of a pod without a place, in parts of the dearest node.
const nowhere = 3

// begin makes the first columns: each kind alone, on offers that do not run out or else
// nowhere, and the nodes of the best plan so far. It reports whether every kind has a place.
func (m *mixture) begin(o *opener) bool {
	var diagonal []column
	for i := range o.kinds {
		p, ok := o.alone(i, m.scarce)
		if !ok {
			if _, ok = o.alone(i, nil); !ok {
				return false
			}
			p.offer, p.counts[0] = -1, 1
		}
		diagonal = append(diagonal, m.add(o, p))
	}
	m.master = newMaster(m.demands(o), diagonal)
	index := map[[2]int]int{}
	for i := range o.kinds {
		for _, p := range o.kinds[i].parts {
			index[[2]int{o.parts[p].group, o.parts[p].cell}] = i
		}
	}
	for _, done := range o.incumbent {
		if o.weightOf(done.offer) != o.weight {
			continue // another round's
		}
		if l, ok := loadOf(done, index); ok {
			m.master.columns = append(m.master.columns, m.add(o, pattern{done.offer, l}))
		}
	}
	return true
}

// alone is the pattern that holds kind i alone at the least cost for each pod, on an offer
// that takes nothing of what is scarce.
func (o *opener) alone(i int, scarce []scarcity) (p pattern, ok bool) {
	most := int64(0)
	for t := range o.candidates {
		c := &o.candidates[t]
		if slices.ContainsFunc(scarce, func(x scarcity) bool { return o.takes(c.offer, &x) > 0 }) {
			continue
		}
		copy(o.room, c.room)
		o.empty()
		n := o.fits(c, i, &o.try)
		if n > 0 && (!ok || compareRatio(o.price[c.offer], uint64(n), o.price[p.offer], uint64(most)) < 0) {
			p.offer, most, ok = c.offer, n, true
		}
	}
	p.kinds, p.counts = []int{i}, []int64{most}
	return p, ok
}

// weightOf is that of an offer's pool.
func (t *table) weightOf(offer int) int32 { return t.Pools[t.Offers[offer].Pool].Weight }

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
func (m *mixture) add(o *opener, p pattern) column {
	m.loads = append(m.loads, p)
	c := column{price: nowhere, rows: slices.Clip(p.kinds)}
	for _, n := range p.counts {
		c.count = append(c.count, float64(n))
	}
	if p.offer < 0 {
		return c
	}
	c.price = o.relative(p.offer)
	for i := range m.scarce {
		if n := o.takes(p.offer, &m.scarce[i]); n > 0 {
			c.rows, c.count = append(c.rows, len(o.kinds)+i), append(c.count, -float64(n)/float64(m.scarce[i].unit))
		}
	}
	return c
}

// generate finds patterns until none improves the mixture, or the budget ends.
func (m *mixture) generate(o *opener) {
	prices := make([]float64, len(o.kinds))
	m.pivot(o)
	// The fluid prices are where the master's end up: they are the first to hold on to.
	for i := range o.kinds {
		m.center = append(m.center, float64(o.kinds[i].value)/worthScale/unit)
	}
	hold := stability
	for o.steps < o.until && !o.ended() {
		for i := range prices {
			prices[i] = float64(hold*m.center[i]) + float64((1-hold)*m.master.y[i])
		}
		found := m.search(o, prices)
		m.recenter(prices)
		switch {
		case found == 0 && hold > 0: // the master's own prices may still find some
			if hold /= 2; hold < stability/4 {
				hold = 0
			}
		case found == 0:
			if m.master.cost() < o.fluidCost()*coarse || m.exact(o) == 0 {
				return
			}
			m.pivot(o)
		default:
			m.pivot(o)
			if m.master.cost() < o.fluidCost()*fine {
				return
			}
		}
	}
}

// recenter keeps the prices that were looked at if they prove the best lower bound so
// far: scaled down until no candidate is worth more than it costs (Farley's bound; see
// certify.go, which proves it exactly).
func (m *mixture) recenter(prices []float64) {
	bound := 0.0
	for i, p := range prices {
		bound += float64(p * m.master.demand[i])
	}
	for i := len(prices); i < len(m.master.demand); i++ {
		bound += float64(m.master.y[i] * m.master.demand[i])
	}
	scale := 1 / math.Max(m.excess, 1)
	if bound *= scale; bound <= m.least {
		return
	}
	m.least = bound
	for i, p := range prices {
		m.center[i] = float64(p * scale)
	}
}

// How far a mixture may be above what pods would cost that could be cut: fine is so near
// that more patterns cannot matter; beyond coarse pods are large against nodes, and
// branch and bound is worth its steps.
const (
	fine   = 1.0003
	coarse = 1.005
)

// pivot brings the master to its optimum.
func (m *mixture) pivot(o *opener) {
	n := len(m.master.demand)
	pivots := m.master.primal(5 * n)
	o.steps += int64(pivots+1) * int64(n*n/16+len(m.loads)) / 4
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
			n := int64(min(lp.x[b], mostNodes) + element)
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
		demand := m.demands(o)
		lp.lower(demand, 10*len(demand))
		o.steps += int64(len(demand) * len(demand))
	}
}

// mostNodes is more than any mixture takes of a pattern. Without it, an amount that
// rounding has blown up would become another whole number on another machine.
const mostNodes = 1e15

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
// pattern of which not one node can be filled whole is opened with what is left. A mixture
// may be of an earlier pass, where the offer's bundle was for others.
func (o *opener) decide(p *pattern, n int64) bool {
	if p.offer < 0 {
		return false
	}
	n = o.copies(p.offer, n)
	o.best.kinds, o.best.counts = o.best.kinds[:0], o.best.counts[:0]
	for j, i := range p.kinds {
		if k := min(p.counts[j], o.kinds[i].left); k > 0 && o.serves(p.offer, o.kinds[i].set) {
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
