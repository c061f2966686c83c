package binpack

import (
	"cmp"
	"context"
	"slices"
)

// Repacking: the worst nodes of a plan are taken back, with some others, and their pods
// packed anew.
//
// 	nodes, the dearest for the worth of their loads first
// 	▓▓▓▓▓▓▓▓░░▓░░▓░░▓░░▓░░▓░░▓░░▓░░▓     ▓ taken back
// 	▓▓▓▓▓▓▓▓▓░░▓░░▓░░▓░░▓░░▓░░▓░░▓░░     the next time, if that was of no use
//
// The last nodes of a plan hold what was left over. Together with nodes that are packed
// well there is something to mix them with (large neighbourhood search: Shaw, "Using
// constraint programming and local search methods to solve vehicle routing problems",
// 1998). Pods stay in their cells, so that spreads and the like hold as they did.

// repackings without success end the search, and stride is which of the better nodes
// are taken.
const (
	repackings = 12
	stride     = 12
)

// repack improves a plan as long as that succeeds, steps last and the plan is not proven
// near enough to the bound. It returns the steps that were used as well.
func (t *table) repack(ctx context.Context, best *pass, steps int64, bound MicroUSD) (*pass, int64) {
	used := int64(0)
	for failed := 0; failed < repackings && used < steps && !best.truncated && best.above(bound); failed++ {
		next := best.less(ctx, failed)
		if next == nil {
			break
		}
		next.open()
		used += next.steps
		if next.truncated {
			best.truncated = true
			break
		}
		if next.betters(best) {
			best, failed = next, -1
		}
	}
	return best, used
}

// less is the pass without some of its nodes, ready to open others for their pods. It
// returns nil where there is nothing to take back.
func (s *pass) less(ctx context.Context, round int) *pass {
	out := newPass(ctx, s.table, s.recipe)
	out.recipe.mixed = 0
	out.caps, out.strict, out.homes, out.ledger = s.caps, s.strict, s.homes, s.ledger
	out.bound = s.bound
	for i := range s.free {
		copy(out.free[i], s.free[i])
		out.fills[i] = slices.Clone(s.fills[i])
	}
	for i := range s.left {
		copy(out.left[i], s.left[i])
	}
	copy(out.nodesLeft, s.nodesLeft)
	copy(out.stockLeft, s.stockLeft)
	for g := range s.quota {
		copy(out.quota[g], s.quota[g])
		copy(out.placed[g], s.placed[g])
	}
	out.parts = slices.Clone(s.parts)
	at := map[[2]int]int{}
	for i := range out.parts {
		at[[2]int{out.parts[i].group, out.parts[i].cell}] = i
	}
	order := s.worst()
	seen, taken := int64(0), int64(0)
	nodes := int64(0)
	for _, o := range s.opened {
		nodes += o.count
	}
	for _, i := range order {
		o := s.opened[i]
		k := int64(0)
		for range o.count {
			if seen < nodes/8 || (seen+int64(round))%stride == 0 {
				k++
			}
			seen++
		}
		if k == 0 || !s.movable(&o) {
			out.opened = append(out.opened, o)
			continue
		}
		taken += k
		if o.count -= k; o.count > 0 {
			out.opened = append(out.opened, o)
		}
		out.takeBack(&o, k)
		for j, sh := range o.pods {
			p, ok := at[[2]int{sh.Group, o.cells[j]}]
			if !ok { // again has done without it
				p = len(out.parts)
				at[[2]int{sh.Group, o.cells[j]}] = p
				c := &s.cells[sh.Group][o.cells[j]]
				out.parts = append(out.parts, part{group: sh.Group, cell: o.cells[j], set: s.intern(c.offers), need: s.need[sh.Group]})
			}
			out.parts[p].left += sh.Count * k
			out.placed[sh.Group][o.cells[j]] -= sh.Count * k
		}
	}
	if taken < 2 {
		return nil
	}
	return out
}

// movable reports whether the pods of a node may go elsewhere: none of them has to do
// with an affinity over Hostname.
func (s *pass) movable(o *opened) bool {
	return !slices.ContainsFunc(o.pods, func(sh Share) bool { return len(s.hosts.affinities[sh.Group]) > 0 })
}

// takeBack gives back to limits and stocks what n nodes took.
func (s *pass) takeBack(o *opened, n int64) {
	pool := s.Offers[o.offer].Pool
	if s.nodesLeft[pool] != Unlimited {
		s.nodesLeft[pool] += n
	}
	charge, stocks := slices.Clone(s.charge[o.offer]), slices.Clone(s.stocks[o.offer])
	for _, alt := range o.listed {
		for r, q := range s.charge[alt] {
			charge[r] = max(charge[r], q)
		}
		for _, i := range s.stocks[alt] {
			if !slices.Contains(stocks, i) {
				stocks = append(stocks, i)
			}
		}
	}
	for r, q := range charge {
		if s.left[pool][r] != Unlimited {
			s.left[pool][r] += q * n
		}
	}
	for _, i := range stocks {
		s.stockLeft[i] += n
	}
}

// worst lists the patterns of the pass, those first that cost most for the worth of
// their load.
func (s *pass) worst() []int {
	w := s.worth(func(o int) bool { return true }, func(g int) int64 { return s.Groups[g].Count })
	value := make([]uint64, len(s.opened))
	order := make([]int, len(s.opened))
	for i := range s.opened {
		order[i] = i
		value[i] = max(w.value(s.norm(s.sum(s.opened[i].pods))), 1)
	}
	slices.SortFunc(order, func(i, j int) int {
		a, b := &s.opened[i], &s.opened[j]
		return cmp.Or(compareRatio(s.price[b.offer], value[j], s.price[a.offer], value[i]), cmp.Compare(a.offer, b.offer), cmp.Compare(i, j))
	})
	return order
}
