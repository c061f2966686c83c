package binpack

import (
	"math"
	"slices"
)

// A master is the linear program that mixes patterns of nodes:
//
//	minimise    Σ price·x
//	subject to  Σ count·x ≥ demand   for every kind of pod,   x ≥ 0
//	            −Σ use·x  ≥ −left    for all that may run out
//
// Its rows are few (kinds of pods, and what may run out); its columns are found on the way (mix.go). The
// revised simplex method needs of a column only the few numbers that are not zero,
// and keeps the inverse of the basis, a dense square of the rows:
//
//	x = inverse · demand        y = prices · inverse
//
// Demand falls when nodes are decided. The prices y of the optimum stay feasible
// then, and the dual method finds the next optimum in a few pivots.
//
// Rounding costs quality and never truth: patterns are of whole pods, and the lower
// bound is proven apart. Each product is rounded on its own, so that the answer has
// the same bits on every machine. See Dantzig and Wolfe, "Decomposition principle for
// linear programs" (1960), Gilmore and Gomory, "A linear programming approach to the
// cutting-stock problem" (1961).
type master struct {
	demand  []float64 // by row
	columns []column
	basis   []int     // by row: a column, or ^row for the surplus of a row
	inverse []float64 // row-major
	x, y    []float64 // by row: amount of the basic column; price of a pod
	along   []float64 // of the pivot under way
	pivots  int       // since the inverse was last made anew
}

// A column is a pattern as the master sees it.
type column struct {
	price float64
	rows  []int
	count []float64 // by rows
}

// Tolerances. Amounts of nodes and counts of pods are of the order of 1 to 1e6.
const (
	idle    = 1e-9 // a gain below this share of a price is none
	element = 1e-7 // a pivot below this is not to be trusted
)

// newMaster starts from one column for each of the first rows, which covers that row alone.
// Of the other rows the surplus is basic.
func newMaster(demand []float64, diagonal []column) *master {
	n := len(demand)
	m := &master{
		demand: demand, columns: diagonal, basis: make([]int, n), inverse: make([]float64, n*n),
		x: make([]float64, n), y: make([]float64, n), along: make([]float64, n),
	}
	for i := range n {
		if i >= len(diagonal) {
			m.basis[i], m.inverse[i*n+i], m.x[i] = ^i, -1, -demand[i]
			continue
		}
		c := diagonal[i].count[0]
		m.basis[i], m.inverse[i*n+i] = i, 1/c
		m.x[i], m.y[i] = demand[i]/c, diagonal[i].price/c
	}
	return m
}

// clone copies what pivots change.
func (m *master) clone() *master {
	c := *m
	c.columns = slices.Clip(m.columns)
	c.basis, c.inverse = slices.Clone(m.basis), slices.Clone(m.inverse)
	c.x, c.y, c.along = slices.Clone(m.x), slices.Clone(m.y), slices.Clone(m.along)
	return &c
}

// reduced is what a column costs beyond what its pods are worth; of a surplus it
// is the price of its row.
func (m *master) reduced(c int) float64 {
	if c < 0 {
		return m.y[^c]
	}
	col := &m.columns[c]
	sum := col.price
	for k, i := range col.rows {
		sum -= float64(col.count[k] * m.y[i])
	}
	return sum
}

// cost is that of the mixture.
func (m *master) cost() float64 {
	sum := 0.0
	for i, d := range m.demand {
		sum += float64(m.y[i] * d)
	}
	return sum
}

// primal pivots until no known column improves the mixture, at most limit times. It
// returns the number of pivots.
func (m *master) primal(limit int) int {
	for n := range limit {
		enter, least := 0, -idle
		for c := range m.columns {
			if r := m.reduced(c) / math.Max(m.columns[c].price, idle); r < least {
				enter, least = c, r
			}
		}
		for i, y := range m.y {
			if y < least {
				enter, least = ^i, y
			}
		}
		if least == -idle {
			return n
		}
		m.follow(enter)
		leave := m.ratio()
		if leave < 0 {
			return n
		}
		m.exchange(enter, leave)
	}
	return limit
}

// follow computes how the basic amounts fall as a column enters.
func (m *master) follow(c int) {
	n := len(m.demand)
	if c < 0 {
		for i := range n {
			m.along[i] = -m.inverse[i*n+^c]
		}
		return
	}
	col := &m.columns[c]
	for i := range n {
		row := m.inverse[i*n : (i+1)*n]
		sum := 0.0
		for k, j := range col.rows {
			sum += float64(row[j] * col.count[k])
		}
		m.along[i] = sum
	}
}

// ratio picks the row whose amount first reaches 0, of equal ones that with the
// safest pivot; -1 if none does.
func (m *master) ratio() int {
	best, least := -1, 0.0
	for i, d := range m.along {
		if d <= element {
			continue
		}
		r := math.Max(m.x[i], 0) / d
		if best < 0 || r < least-idle || (r < least+idle && d > m.along[best]) {
			best, least = i, r
		}
	}
	return best
}

// exchange puts a column, which was followed, into the basis for that of a row.
func (m *master) exchange(enter, leave int) {
	n := len(m.demand)
	gain := m.reduced(enter)
	row := m.inverse[leave*n : (leave+1)*n]
	inv := 1 / m.along[leave]
	for j, v := range row {
		if v != 0 {
			row[j] = float64(v * inv)
			m.y[j] += float64(gain * row[j])
		}
	}
	step := float64(m.x[leave] * inv)
	for i, d := range m.along {
		if i == leave || d == 0 {
			continue
		}
		other := m.inverse[i*n : (i+1)*n]
		for j, v := range row {
			if v != 0 {
				other[j] -= float64(d * v)
			}
		}
		m.x[i] -= float64(d * step)
	}
	m.x[leave], m.basis[leave] = step, enter
	if m.pivots++; m.pivots >= max(n, 30) {
		m.renew()
	}
}

// lower sets new demands, none above the old, and finds the optimum anew by the dual
// method, with at most limit pivots.
func (m *master) lower(demand []float64, limit int) {
	m.demand = demand
	m.amounts()
	for range limit {
		leave, least := -1, -element
		for i, x := range m.x {
			if x < least {
				leave, least = i, x
			}
		}
		if leave < 0 {
			return
		}
		enter, ok := m.dualRatio(leave)
		if !ok {
			return
		}
		m.follow(enter)
		if m.along[leave] > -element/10 {
			return
		}
		m.exchange(enter, leave)
	}
}

// dualRatio picks the column whose price first becomes exact as a row leaves.
func (m *master) dualRatio(leave int) (enter int, ok bool) {
	n := len(m.demand)
	row := m.inverse[leave*n : (leave+1)*n]
	least := 0.0
	try := func(c int, alpha float64) {
		if alpha < -element {
			if r := math.Max(m.reduced(c), 0) / -alpha; !ok || r < least {
				enter, least, ok = c, r, true
			}
		}
	}
	for c := range m.columns {
		col := &m.columns[c]
		alpha := 0.0
		for k, j := range col.rows {
			alpha += float64(row[j] * col.count[k])
		}
		try(c, alpha)
	}
	for j := range n {
		try(^j, -row[j])
	}
	return enter, ok
}

// amounts computes x from the inverse.
func (m *master) amounts() {
	n := len(m.demand)
	for i := range n {
		sum := 0.0
		for j, d := range m.demand {
			sum += float64(m.inverse[i*n+j] * d)
		}
		m.x[i] = sum
	}
}

// renew makes the inverse anew, by Gauss and Jordan with the largest pivots, before
// rounding errors have grown. A basis that has become singular is kept as it is.
func (m *master) renew() {
	m.pivots = 0
	n := len(m.demand)
	w := 2 * n // basis | identity
	a := make([]float64, n*w)
	for i, b := range m.basis {
		if b < 0 {
			a[^b*w+i] = -1
		} else {
			for k, r := range m.columns[b].rows {
				a[r*w+i] = m.columns[b].count[k]
			}
		}
		a[i*w+n+i] = 1
	}
	for j := range n {
		if !eliminate(a, n, w, j) {
			return
		}
	}
	clear(m.y)
	for i, b := range m.basis {
		row := m.inverse[i*n : (i+1)*n]
		copy(row, a[i*w+n:(i+1)*w])
		if b >= 0 {
			for j, v := range row {
				m.y[j] += float64(m.columns[b].price * v)
			}
		}
	}
	m.amounts()
}

// eliminate clears column j of the n rows of a but for a 1 in row j.
func eliminate(a []float64, n, w, j int) bool {
	best := j
	for i := j + 1; i < n; i++ {
		if math.Abs(a[i*w+j]) > math.Abs(a[best*w+j]) {
			best = i
		}
	}
	if math.Abs(a[best*w+j]) < idle {
		return false
	}
	row := a[j*w : (j+1)*w]
	if best != j {
		other := a[best*w : (best+1)*w]
		for k := range row {
			row[k], other[k] = other[k], row[k]
		}
	}
	inv := 1 / row[j]
	for k := j; k < w; k++ {
		row[k] = float64(row[k] * inv)
	}
	for i := range n {
		f := a[i*w+j]
		if i == j || f == 0 {
			continue
		}
		other := a[i*w : (i+1)*w]
		for k := j; k < w; k++ {
			other[k] -= float64(f * row[k])
		}
	}
	return true
}
