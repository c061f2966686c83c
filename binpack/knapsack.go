package binpack

import (
	"cmp"
	"math"
	"slices"
)

// The best load of one node, by branch and bound:
//
//	how many of the first item? ── n ── how many of the second? ── …
//	                            ├─ n−1
//	                            └─ …      a branch is cut when
//	worth so far + y·room left + Σ over items to come of max(0, price − y·need)·most ≤ best
//
// for any prices y of the resources: those of the packing with pods that may be cut
// are good ones. Small pods, of which many fit or which are worth next to nothing, are not
// searched: once the large ones are placed, the packing in which small ones may be cut bounds them well, and rounded
// down it is a good load. Where the search is too long, what was not searched counts
// with its own bound. All worth is in whole numbers, so the bound holds exactly.
//
// Rules among pods of different groups are ignored: a load that was found may break
// them, and the bound only gets higher.
type knapsack struct {
	scale []int64 // by resource; see table
	// By item, the caller's to set: what one pod needs, what it is worth, and the most
	// on the node.
	need  []Vector
	price []uint64
	most  []int64

	relaxation *relaxation
	y          []uint64 // by resource: price of a unit
	chosen     []int    // items that take part: large ones, then small
	large      int      // how many are large
	fine       grid     // what all small ones ask for is a multiple of; see grid
	later      []uint64 // by position in chosen: what items from there on can add at most
	best       uint64   // bound on the worth of a load
	branches   int      // that are left

	path       []int64 // by item: pods in the branch under way
	found      []int64 // by item: pods of the best load found
	foundWorth uint64
}

// mostBranches bounds the search for one node. largest is the most pods of a large
// item that an empty node holds. A pod worth less than that part of the floor is slight: to
// cut one costs the bound no more. tooMuch is a worth that could overflow sums.
const (
	mostBranches = 5_000
	largest      = 16
	slight       = 10_000
	tooMuch      = 1 << 61
)

// newKnapsack has memory for items of the given needs.
func newKnapsack(t *table, need []Vector) *knapsack {
	kinds := make([]kind, len(need))
	for i := range kinds {
		kinds[i].size = floats(t.norm(need[i]))
	}
	return &knapsack{
		scale: t.scale, need: need, price: make([]uint64, len(need)), most: make([]int64, len(need)),
		relaxation: newRelaxation(kinds, len(t.Resources)), y: make([]uint64, len(t.Resources)),
		path: make([]int64, len(need)), found: make([]int64, len(need)),
	}
}

// solve bounds the worth of whole pods of the given items in a room, but never below
// floor: more is not asked. The best load it met is in k.found. It reports false where
// numbers grow too large; then it says nothing.
func (k *knapsack) solve(room Vector, items []int, floor uint64) (bound uint64, ok bool) {
	k.chosen = append(k.chosen[:0], items...)
	clear(k.found)
	k.foundWorth = 0
	room = k.grid(k.chosen).floor(room)
	if !k.appraise(k.chosen, room) {
		return 0, false
	}
	// Large items first, and of these the ones that are worth most for their size: they
	// are in every good load.
	small := func(i int) int {
		if fit(room, k.need[i], k.most[i]) > largest || k.price[i] < floor/slight {
			return 1
		}
		return 0
	}
	slices.SortFunc(k.chosen, func(a, b int) int {
		return cmp.Or(cmp.Compare(small(a), small(b)),
			compareRatio(MicroUSD(k.price[b]), k.takes(b), MicroUSD(k.price[a]), k.takes(a)), cmp.Compare(a, b))
	})
	k.large = 0
	for k.large < len(k.chosen) && small(k.chosen[k.large]) == 0 {
		k.large++
	}
	k.fine = k.grid(k.chosen[k.large:])
	k.later = append(k.later[:0], make([]uint64, len(k.chosen)+1)...)
	for j := len(k.chosen) - 1; j >= 0; j-- {
		i := k.chosen[j]
		k.later[j] = k.later[j+1] + k.gain(i)*uint64(k.most[i])
	}
	k.best, k.branches = floor, mostBranches
	k.branch(0, room, 0)
	return k.best, true
}

// grid is that of what items ask for.
func (k *knapsack) grid(items []int) grid {
	g := make(grid, len(k.y))
	for _, i := range items {
		g.add(k.need[i])
	}
	return g
}

// steps is the work of the last solve.
func (k *knapsack) steps() int64 {
	n := k.relaxation.looks + int64(mostBranches-k.branches)
	k.relaxation.looks = 0
	return n
}

// appraise prices the resources of a room for the given items, and reports whether
// the bound that follows is small enough to be summed.
func (k *knapsack) appraise(items []int, room Vector) bool {
	x := k.relaxation
	x.order = append(x.order[:0], items...)
	for _, i := range items {
		x.value[i], x.left[i] = float64(k.price[i]), float64(k.most[i])
	}
	size := make([]float64, len(room))
	for r, q := range room {
		size[r] = float64(q) / float64(k.scale[r])
	}
	x.solve(size)
	total := 0.0
	for r := range k.y {
		k.y[r] = uint64(min(math.Max(x.price[r], 0)/float64(k.scale[r])+0.5, tooMuch))
		total += float64(float64(k.y[r]) * float64(room[r]))
	}
	for _, i := range items {
		total += float64(float64(k.gain(i)) * float64(k.most[i]))
	}
	return total < tooMuch
}

// takes is what one pod takes, in the prices y; at least 1.
func (k *knapsack) takes(i int) uint64 {
	sum := uint64(0)
	for r, q := range k.need[i] {
		sum += k.y[r] * uint64(q)
	}
	return max(sum, 1)
}

// gain is what one pod is worth above what it takes.
func (k *knapsack) gain(i int) uint64 {
	if takes := k.takes(i); k.price[i] > takes {
		return k.price[i] - takes
	}
	return 0
}

// bound is what items can add in a room at most, by the prices y.
func (k *knapsack) bound(room Vector, later uint64) uint64 {
	for r, q := range room {
		later += k.y[r] * uint64(q)
	}
	return later
}

// branch tries all numbers of the items from position j on, in the room that is left.
func (k *knapsack) branch(j int, room Vector, worth uint64) {
	bound := worth + k.bound(room, k.later[j])
	switch {
	case bound <= k.best:
		return
	case k.branches == 0:
		k.best = bound // not searched: it may be worth that much
		return
	case j == k.large:
		k.best = max(k.best, min(bound, worth+k.small(room, worth)))
		return
	}
	k.branches--
	i := k.chosen[j]
	n := fit(room, k.need[i], k.most[i])
	for r, q := range k.need[i] {
		room[r] -= q * n
	}
	for ; ; n-- {
		k.path[i] = n
		k.branch(j+1, room, worth+uint64(n)*k.price[i])
		if n == 0 {
			return
		}
		for r, q := range k.need[i] {
			room[r] += q
		}
	}
}

// small bounds what the small items can add in a room, by prices of its own, and notes
// the load of which they are the rest if it is the best so far.
func (k *knapsack) small(room Vector, worth uint64) uint64 {
	items := k.chosen[k.large:]
	if len(items) == 0 {
		k.note(worth)
		return 0
	}
	whole := slices.Clone(k.y)
	defer copy(k.y, whole)
	room = k.fine.floor(room)
	if !k.appraise(items, room) {
		return tooMuch
	}
	later := uint64(0)
	for _, i := range items {
		later += k.gain(i) * uint64(k.most[i])
	}
	bound := k.bound(room, later)
	// Rounded down, and filled up by what is worth most for its size.
	left := slices.Clone(room)
	for _, i := range items {
		k.path[i] = 0
		worth += k.put(i, min(k.relaxation.whole(i), fit(left, k.need[i], k.most[i])), left)
	}
	for _, i := range items {
		worth += k.put(i, fit(left, k.need[i], k.most[i]-k.path[i]), left)
	}
	k.note(worth)
	return bound
}

// put adds n pods of an item to the branch under way, and returns their worth.
func (k *knapsack) put(i int, n int64, left Vector) uint64 {
	for r, q := range k.need[i] {
		left[r] -= q * n
	}
	k.path[i] += n
	return uint64(n) * k.price[i]
}

// note keeps the load of the branch under way if it is the best so far.
func (k *knapsack) note(worth uint64) {
	if worth > k.foundWorth {
		k.foundWorth = worth
		copy(k.found, k.path)
	}
}
