package binpack

import (
	"cmp"
	"slices"
)

// A ledger counts the pods that a plan puts into the domains of ordinary keys.
type ledger struct {
	*table
	counted [][]int64    // by spread, by position in its Domains: with those that run
	owners  [][]int64    // by spread, by position: of this plan
	sides   [][][3]int64 // by exclusion, by domain: pods of A, of B, of both
}

func newLedger(t *table) *ledger {
	l := &ledger{table: t}
	for i := range t.Spreads {
		counts := make([]int64, len(t.Spreads[i].Domains))
		for j, d := range t.Spreads[i].Domains {
			counts[j] = d.Count
		}
		l.counted = append(l.counted, counts)
		l.owners = append(l.owners, make([]int64, len(counts)))
	}
	for i := range t.Exclusions {
		n := 0
		if k := t.Exclusions[i].Key; k != Hostname {
			n = len(t.Domains[k])
		}
		l.sides = append(l.sides, make([][3]int64, n))
	}
	return l
}

// add counts n more pods in cell c.
func (l *ledger) add(c *cell, n int64) {
	for _, s := range c.seats {
		if s.counted {
			l.counted[s.spread][s.at] += n
		}
		if s.owner {
			l.owners[s.spread][s.at] += n
		}
	}
	for _, x := range c.corners {
		side := &l.sides[x.exclusion][x.domain]
		if x.a {
			side[0] += n
		}
		if x.b {
			side[1] += n
		}
		if x.a && x.b {
			side[2] += n
		}
	}
}

// admits reports whether one more pod may go into cell c, as kube-scheduler
// would see it with all pods counted so far in place. A plan grown this way
// keeps every skew at its end, too, if no count falls short.
func (l *ledger) admits(c *cell) bool {
	for _, s := range c.seats {
		if !s.owner && l.owners[s.spread][s.at] == 0 {
			continue
		}
		n := l.counted[s.spread][s.at]
		if s.counted {
			n++
		}
		if n > l.lowest(s.spread)+l.Spreads[s.spread].MaxSkew {
			return false
		}
	}
	for _, x := range c.corners {
		side := l.sides[x.exclusion][x.domain]
		if (x.a && side[1] > 0) || (x.b && side[0] > 0) {
			return false
		}
	}
	return true
}

// lowest is the least count of a spread, from which its skew is measured.
func (l *ledger) lowest(i int) int64 {
	if n := len(l.counted[i]); n == 0 || int64(n) < l.Spreads[i].MinDomains {
		return 0
	}
	return slices.Min(l.counted[i])
}

// level is how full the domains of cell c are, summed over its spreads.
func (l *ledger) level(c *cell) (n int64) {
	for _, s := range c.seats {
		n += l.counted[s.spread][s.at]
	}
	return n
}

// split decides how many of the group's pods go into each cell, and counts
// them. It fills like water: each pod goes where the skew allows one more,
// first to room on existing nodes (free, by cell), then to the heaviest pool,
// the lowest price, the emptiest domain. Domains of equal price so fill evenly.
// most caps what a cell may take.
//
// It is the one step whose work grows with pods: a few comparisons for each pod
// of a group that minds a key.
func (l *ledger) split(cells []cell, n int64, free, most []int64) []int64 {
	quota := make([]int64, len(cells))
	if len(cells) == 1 && !cells[0].bound() {
		quota[0] = min(n, most[0])
		return quota
	}
	for ; n > 0; n-- {
		best := -1
		for i := range cells {
			if quota[i] >= most[i] || (!cells[i].opens && quota[i] >= free[i]) || !l.admits(&cells[i]) {
				continue
			}
			if best < 0 || l.prefers(cells, i, best, quota[i] < free[i], quota[best] < free[best]) {
				best = i
			}
		}
		if best < 0 {
			break
		}
		quota[best]++
		l.add(&cells[best], 1)
	}
	return quota
}

// prefers reports whether cell i comes before cell j, which is before it in
// order, given whether each still has room on existing nodes.
func (l *ledger) prefers(cells []cell, i, j int, freeI, freeJ bool) bool {
	a, b := &cells[i], &cells[j]
	if freeI != freeJ {
		return freeI
	}
	order := 0
	if !freeI {
		order = cmp.Or(cmp.Compare(b.weight, a.weight), cmp.Compare(a.price, b.price))
	}
	return cmp.Or(order, cmp.Compare(l.level(a), l.level(b))) < 0
}
