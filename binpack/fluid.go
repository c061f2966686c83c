package binpack

import "slices"

// The fluid problem forgets that pods and nodes come whole: buy amounts of each
// offer so that their capacities cover the demand. Its dual puts a price y on a
// unit of each resource:
//
//	maximise   y·demand
//	subject to y·room(o) ≤ price(o)  for every offer o,   y ≥ 0
//
// The dual has a feasible start, y = 0, so the simplex method needs no first
// phase, and any point it stops at is feasible. Its columns are the resources,
// so a pivot costs one look at each number of each offer.

// maxPivots bounds the work. Programs of this shape take a few pivots for each
// resource; degenerate ones (offers that cost nothing) may cycle.
const maxPivots = 200

// tiny is below every meaningful coefficient of normalised quantities, 1/unit.
const tiny = 1e-12

// A tableau is the memory that fluid problems are solved in, one after the other.
type tableau struct {
	rows    [][]float64 // room | price, then the objective
	slab    []float64
	basic   []int // by row: the variable it states; n+i is the slack of row i
	outside []int // by column: the variable that is 0
}

// begin writes a problem down.
func (t *tableau) begin(rooms [][]float64, prices []float64, demand []float64) {
	n := len(demand)
	t.rows, t.slab, t.basic, t.outside = t.rows[:0], t.slab[:0], t.basic[:0], t.outside[:0]
	t.slab = slices.Grow(t.slab, (len(rooms)+1)*(n+1))
	add := func(row []float64, last float64) {
		at := len(t.slab)
		t.slab = append(append(t.slab, row...), last)
		t.rows = append(t.rows, t.slab[at:])
	}
	for i, room := range rooms {
		add(room, prices[i])
		t.basic = append(t.basic, n+i)
	}
	add(demand, 0)
	for j := range n {
		t.outside = append(t.outside, j)
	}
}

// fluid returns y for the given rooms and prices, or a feasible point near it.
// Every product is rounded on its own, so that the answer has the same bits on
// machines that would otherwise fuse multiplication and addition.
func (t *tableau) fluid(rooms [][]float64, prices []float64, demand []float64) []float64 {
	n := len(demand)
	t.begin(rooms, prices, demand)
	rows, basic, outside := t.rows, t.basic, t.outside
	for range maxPivots {
		j := entering(rows[len(rooms)][:n])
		if j < 0 {
			break
		}
		i := leaving(rows[:len(rooms)], j, n)
		if i < 0 {
			rows[len(rooms)][j] = 0 // no offer has any of the resource: leave it out
			continue
		}
		pivot(rows, i, j)
		basic[i], outside[j] = outside[j], basic[i]
	}
	y := make([]float64, n)
	for i, v := range basic {
		if v < n {
			y[v] = max(rows[i][n], 0)
		}
	}
	return y
}

// entering picks the column that promises most, the first among equals. Steps of
// this rule are long, and the program is small; Bland's rule would never cycle but
// takes many more.
func entering(objective []float64) int {
	best := -1
	for j, c := range objective {
		if c > tiny && (best < 0 || c > objective[best]) {
			best = j
		}
	}
	return best
}

// leaving picks the row that binds first, the first among equals.
func leaving(rows [][]float64, j, n int) int {
	best, least := -1, 0.0
	for i, row := range rows {
		if row[j] > tiny {
			if ratio := row[n] / row[j]; best < 0 || ratio < least {
				best, least = i, ratio
			}
		}
	}
	return best
}

// pivot exchanges the variable of row i with that of column j, in place. The
// condensed tableau has no columns for basic variables: what leaves takes the place
// of what enters.
func pivot(rows [][]float64, i, j int) {
	p := rows[i]
	inverse := 1 / p[j]
	for k := range p {
		p[k] = float64(p[k] * inverse)
	}
	p[j] = inverse
	for r, row := range rows {
		if r == i || row[j] == 0 {
			continue
		}
		f := row[j]
		for k := range row {
			row[k] -= float64(f * p[k])
		}
		row[j] = -float64(f * inverse)
	}
}

// worth is a price on each resource in integers: what the solver orders and
// compares loads by. Values are of normalised quantities.
type worth []int64

// Bounds of worth: 2^36 × unit × maxResources stays below 2^62.
const (
	worthScale = 1 << 24
	worthMost  = 1 << 36
)

// worth turns fluid prices into worth. A resource that the fluid plan has in
// excess is priced 0 there, and would let the packing waste it: it gets a part
// of the least that any offer charges for it alone.
func (t *tableau) worth(rooms [][]float64, prices []float64, demand []float64) worth {
	const part = 1.0 / 4096
	y := t.fluid(rooms, prices, demand)
	w := make(worth, len(y))
	for r := range w {
		floor := -1.0
		for i, room := range rooms {
			if room[r] > 0 {
				if p := prices[i] / room[r]; floor < 0 || p < floor {
					floor = p
				}
			}
		}
		w[r] = int64(min(float64((y[r]+float64(max(floor, 0)*part))*worthScale), worthMost))
		w[r] = max(w[r], 1)
	}
	return w
}

// value is the worth of a normalised load.
func (w worth) value(v Vector) uint64 {
	sum := uint64(0)
	for r, q := range v {
		sum += uint64(w[r]) * uint64(q)
	}
	return sum
}
