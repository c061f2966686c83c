package binpack

import (
	"cmp"
	"math"
	"slices"
)

// Existing nodes, one by one (Problem.Blend).
//
// Group by group, the dearest pods take what is plenty on nodes where others would have used up
// what is scarce. Here each node gets the mix that uses up all that it has: the packing in which
// pods may be cut, with at most a fair share of each kind, as for new nodes (fill.go). Groups that
// rules bind are left to the usual way.

// A furnisher is the memory that nodes are furnished in.
type furnisher struct {
	*pass
	kinds     []kind // each of one group, in parts; the dearest pods first
	least     Vector // that some kind asks for at least
	remaining float64
	mix       *relaxation
}

// furnish puts pods of the given groups on existing nodes, the fullest first.
func (s *pass) furnish(groups []int) {
	f := &furnisher{pass: s}
	f.gather(groups)
	if len(f.kinds) < 2 {
		return // there is nothing to mix
	}
	f.mix = newRelaxation(f.kinds, len(s.Resources))
	w := s.overall()
	for _, n := range s.tight {
		if f.remaining <= 0 || s.ended() {
			break
		}
		if s.steps++; covers(s.free[n], f.least) {
			f.node(n, w)
		}
	}
	s.tighten()
}

// gather lists the groups as kinds.
func (f *furnisher) gather(groups []int) {
	w := f.overall()
	for _, g := range groups {
		left := f.Groups[g].Count - total(f.placed[g])
		bound := f.isRuled(g) || len(f.cells[g]) != 1 || f.cells[g][0].bound() || len(f.hosts.affinities[g]) > 0
		if bound || left <= 0 || f.asks[g] != "" || f.barred(g) >= 0 || f.caps.out.Has(g) {
			continue
		}
		norm := f.norm(f.need[g])
		k := kind{need: f.need[g], norm: norm, size: floats(norm), left: left, value: max(w.value(norm), 1), parts: []int{g}}
		f.kinds = append(f.kinds, k)
		f.remaining += float64(float64(k.value) * float64(left))
		if f.least == nil {
			f.least = slices.Clone(k.need)
		}
		for r, q := range k.need {
			f.least[r] = min(f.least[r], q)
		}
	}
	slices.SortStableFunc(f.kinds, func(a, b kind) int { return cmp.Compare(b.value, a.value) })
}

// node fills one node.
func (f *furnisher) node(n int, w worth) {
	x := f.mix
	norm := f.norm(f.free[n])
	share := min(1, float64(w.value(norm))/f.remaining)
	x.order = x.order[:0]
	for i := range f.kinds {
		k := &f.kinds[i]
		if k.left > 0 && covers(f.free[n], k.need) && f.Groups[k.parts[0]].Nodes.Has(n) {
			x.value[i], x.left[i] = float64(k.value), math.Ceil(float64(float64(k.left)*share))
			x.order = append(x.order, i)
		}
	}
	before := x.looks
	x.solve(floats(norm))
	f.steps += x.looks - before + int64(len(f.kinds))
	for _, i := range x.order {
		f.put(i, n, x.whole(i))
	}
	for _, i := range x.order { // what is left of the room
		f.put(i, n, f.kinds[i].left)
	}
}

// put puts up to so many pods of a kind on a node.
func (f *furnisher) put(i, n int, count int64) {
	k := &f.kinds[i]
	g := k.parts[0]
	if count = fit(f.free[n], k.need, min(count, k.left)); count == 0 {
		return
	}
	f.putOn(g, n, count)
	f.quota[g][0] += count
	f.placed[g][0] += count
	k.left -= count
	f.remaining -= float64(float64(k.value) * float64(count))
}
