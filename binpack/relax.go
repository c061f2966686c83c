package binpack

import "math"

// A relaxation is the packing of one node with pods that may be cut:
//
//	maximise    Σ value·a
//	subject to  Σ size·a ≤ room,   0 ≤ a ≤ left
//
// Its optimum cuts at most as many kinds as there are resources; rounded down it is
// most of a good load, full in every resource that is worth anything. It is solved by
// the simplex method for bounded variables (Dantzig 1955), whose basis here is as
// small as the number of resources:
//
//	basis    resources × resources     the kinds that are cut, or slack of a resource
//	others   at none or at all         most kinds
//
// The solution is only a proposal: what is put on a node is checked in whole pods.
type relaxation struct {
	kinds []kind
	value []float64 // by kind, of one pod
	left  []float64 // by kind

	order   []int     // the kinds that take part
	state   []int8    // by kind: none, all, or cut
	inverse []float64 // of the basis, row-major
	basis   []int     // by row: a kind, or ^resource for its slack
	amount  []float64 // by row
	price   []float64 // by resource
	along   []float64 // of the step under way
	next    int       // position in order from where to look for what enters
	looks   int64     // at a kind, in all solutions so far: its share of the step budget
}

// States of a kind.
const (
	none int8 = iota
	all
	cut
)

// cutPivots bounds the steps of one relaxation. Few are needed, since the start is
// nearly full; where rounding makes it circle, any point is as good a proposal.
const cutPivots = 100

// newRelaxation has memory for the kinds and a number of resources.
func newRelaxation(kinds []kind, resources int) *relaxation {
	n := len(kinds)
	return &relaxation{
		kinds: kinds, value: make([]float64, n), left: make([]float64, n), state: make([]int8, n),
		inverse: make([]float64, resources*resources), basis: make([]int, resources),
		amount: make([]float64, resources), price: make([]float64, resources), along: make([]float64, resources),
	}
}

// solve finds the optimum for a room, among the kinds of x.order, which it begins
// with in that order. value, left and order are the caller's to set.
func (x *relaxation) solve(room []float64) {
	m := len(room)
	clear(x.inverse)
	clear(x.price)
	copy(x.amount, room)
	x.next = 0
	for r := range m {
		x.inverse[r*m+r] = 1
		x.basis[r] = ^r
	}
	x.crash()
	for range cutPivots {
		enter, ok := x.entering(room)
		if !ok {
			return
		}
		x.step(enter)
	}
}

// crash takes kinds whole as long as they fit: most of the way, without a pivot.
func (x *relaxation) crash() {
	for _, i := range x.order {
		x.state[i] = none
		if !x.holds(i) {
			continue
		}
		x.state[i] = all
		for r, q := range x.kinds[i].size {
			x.amount[r] -= float64(q * x.left[i])
		}
	}
}

// holds reports whether what is left of the room holds all pods of a kind.
func (x *relaxation) holds(i int) bool {
	for r, q := range x.kinds[i].size {
		if float64(q*x.left[i]) > x.amount[r] {
			return false
		}
	}
	return true
}

// gain is what one pod of a kind is worth above the prices of what it takes.
func (x *relaxation) gain(i int) float64 {
	g := x.value[i]
	for r, q := range x.kinds[i].size {
		g -= float64(x.price[r] * q)
	}
	return g
}

// block is how many kinds are looked at for one that enters, before the best of them is
// taken: with thousands, to look at all for each pivot would be most of the work.
const block = 200

// entering picks a variable whose move to its other bound would gain much: the best of
// a block of kinds, and of the resources.
func (x *relaxation) entering(room []float64) (enter int, ok bool) {
	most := 0.0
	for seen := 0; seen < len(x.order); {
		if x.next >= len(x.order) {
			x.next = 0
		}
		end := min(x.next+block, len(x.order))
		for _, i := range x.order[x.next:end] {
			if x.state[i] == cut {
				continue
			}
			g := x.gain(i)
			if x.state[i] == all {
				g = -g
			}
			if g > tiny*x.value[i] && float64(g*x.left[i]) > most {
				enter, most, ok = i, float64(g*x.left[i]), true
			}
		}
		seen += end - x.next
		x.looks += int64(end - x.next)
		if ok {
			break // the block may have more
		}
		x.next = end
	}
	for r, y := range x.price {
		if g := float64(-y * room[r]); y < -tiny && g > most && !x.isBasic(^r) {
			enter, most, ok = ^r, g, true
		}
	}
	return enter, ok
}

// isBasic reports whether a variable is in the basis.
func (x *relaxation) isBasic(v int) bool {
	for _, b := range x.basis {
		if b == v {
			return true
		}
	}
	return false
}

// step moves a variable from its bound as far as all stay within theirs.
func (x *relaxation) step(enter int) {
	m := len(x.basis)
	sign, limit, gain := 1.0, math.Inf(1), 0.0
	if enter >= 0 {
		for r := range m {
			sum := 0.0
			for k, q := range x.kinds[enter].size {
				sum += float64(x.inverse[r*m+k] * q)
			}
			x.along[r] = sum
		}
		limit, gain = x.left[enter], x.gain(enter)
		if x.state[enter] == all {
			sign = -1
		}
	} else {
		for r := range m {
			x.along[r] = x.inverse[r*m+^enter]
		}
		gain = -x.price[^enter]
	}
	leave, full := -1, false
	for r, d := range x.along {
		d *= sign
		if d > tiny {
			if l := math.Max(x.amount[r], 0) / d; l < limit {
				limit, leave, full = l, r, false
			}
		} else if b := x.basis[r]; d < -tiny && b >= 0 {
			if l := math.Max(x.left[b]-x.amount[r], 0) / -d; l < limit {
				limit, leave, full = l, r, true
			}
		}
	}
	for r, d := range x.along {
		x.amount[r] -= float64(d * float64(sign*limit))
	}
	if leave < 0 { // it reached its own other bound
		x.state[enter] = none + all - x.state[enter]
		return
	}
	x.exchange(enter, leave, full, limit, gain)
}

// exchange puts a variable into the basis for that of row leave, which goes to all of
// its pods if full, else to none.
func (x *relaxation) exchange(enter, leave int, full bool, limit, gain float64) {
	m := len(x.basis)
	if b := x.basis[leave]; b >= 0 {
		x.state[b] = none
		if full {
			x.state[b] = all
		}
	}
	if enter >= 0 {
		if x.state[enter] == all {
			limit = x.left[enter] - limit
		}
		x.state[enter] = cut
	}
	x.basis[leave], x.amount[leave] = enter, limit
	row := x.inverse[leave*m : (leave+1)*m]
	inv := 1 / x.along[leave]
	for k := range row {
		row[k] = float64(row[k] * inv)
		x.price[k] += float64(gain * row[k])
	}
	for r, d := range x.along {
		if r == leave {
			continue
		}
		for k := range row {
			x.inverse[r*m+k] -= float64(d * row[k])
		}
	}
}

// bound is what no load for the room can be worth more than: by the prices of the
// resources, and what kinds gain above them.
func (x *relaxation) bound(room []float64) float64 {
	sum := 0.0
	for r, y := range x.price {
		sum += float64(math.Max(y, 0) * room[r])
	}
	for _, i := range x.order {
		if g := x.gain(i); g > 0 {
			sum += float64(g * x.left[i])
		}
	}
	return sum
}

// whole is how many whole pods of a kind the solution takes.
func (x *relaxation) whole(i int) int64 {
	switch x.state[i] {
	case all:
		return int64(x.left[i])
	case cut:
		for r, b := range x.basis {
			if b == i {
				return int64(max(0, min(x.amount[r], x.left[i])) + 1e-6)
			}
		}
	}
	return 0
}
