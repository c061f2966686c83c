package binpack

import (
	"cmp"
	"slices"
)

// How a group with a spread is divided over its domains.
//
// 	pods
// 	  5 │ ▒▒                    ██ run already
// 	  4 │ ▒▒          ░░        ░░ placed by this split, evenly
// 	  3 │ ██          ░░   ░░   ▒▒ would be above the lowest + skew
// 	  2 │ ██    ░░    ░░   ░░
// 	  1 │ ██    ░░    ██   ░░
// 	    └─ a ── b ─── c ── d ──
//
// Like water, pods go where the level is lowest; unlike water, they prefer what is
// cheap as far as the skew lets them. The split is decided before nodes are packed:
// from then on each cell is a part of its own with a fixed number of pods, and
// packing need not know about spreads at all.

// A ledger counts the pods that a plan puts into the domains of ordinary keys.
type ledger struct {
	*table
	counted [][]int64    // by spread, by position in its Domains: with those that run
	least   []int64      // by spread: the least of these
	owners  [][]int64    // by spread, by position: of this plan
	sides   [][][3]int64 // by exclusion, by domain: pods of A, of B, of both
	near    []vicinity   // by affinity
	floor   []int64      // by spread: the lowest count to measure from, nil for the one counted
	sure    []vicinity   // by affinity, as they were when floor was measured
}

// newLedger starts with the pods that run.
func newLedger(t *table) *ledger {
	l := &ledger{table: t, near: t.newVicinities()}
	for i := range t.Spreads {
		counts := make([]int64, len(t.Spreads[i].Domains))
		for j, d := range t.Spreads[i].Domains {
			counts[j] = d.Count
		}
		l.counted, l.least = append(l.counted, counts), append(l.least, fewest(counts))
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
			before := l.counted[s.spread][s.at]
			l.counted[s.spread][s.at] += n
			if before == l.least[s.spread] {
				l.least[s.spread] = fewest(l.counted[s.spread])
			}
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
	for _, b := range c.bonds {
		l.count(b, n)
	}
}

// admits reports whether one more pod may go into cell c, as kube-scheduler
// would see it with all pods counted so far in place. A plan grown this way
// keeps every skew at its end, too, if no count falls short.
func (l *ledger) admits(c *cell) bool {
	for _, s := range c.seats {
		// Counted but no owner: as long as no owner is in the domain, nobody there
		// minds how many there are.
		if !s.owner && l.owners[s.spread][s.at] == 0 {
			continue
		}
		// An owner that does not count itself only asks how many others there are.
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
	for _, b := range c.bonds {
		if !l.welcomes(b) {
			return false
		}
	}
	return true
}

// lowest is the least count of a spread, from which its skew is measured.
func (l *ledger) lowest(i int) int64 {
	if l.frozen() {
		return l.floor[i]
	}
	if int64(len(l.counted[i])) < l.Spreads[i].MinDomains {
		return 0
	}
	return l.least[i]
}

// fewest is the smallest count, 0 if there is none.
func fewest(counts []int64) int64 {
	if len(counts) == 0 {
		return 0
	}
	return slices.Min(counts)
}

// freeze measures skews from the counts as they are now, and lets nobody rely on targets
// that are planned later. What is planned from here on keeps every skew and affinity
// even if only some of it comes true.
func (l *ledger) freeze() {
	floor := make([]int64, len(l.counted))
	for i := range floor {
		floor[i] = l.lowest(i)
	}
	l.floor = floor
	l.sure = nil
	for i := range l.near {
		l.sure = append(l.sure, l.near[i].clone())
	}
}

// frozen reports whether skews are measured from a state of the past.
func (l *ledger) frozen() bool { return l.floor != nil }

// level is how full the domains of cell c are, summed over its spreads.
func (l *ledger) level(c *cell) (n int64) {
	for _, s := range c.seats {
		n += l.counted[s.spread][s.at]
	}
	return n
}

// A cellRoom is, by cell of a group, how many pods existing nodes have room for,
// whether a new node can be opened, and the most pods that may go there; and cells that
// get a pod first. See leads.
type cellRoom struct {
	free  []int64
	opens []bool
	most  []int64
	leads []int
}

// split decides how many of the group's pods go into each cell, and counts
// them. It fills like water: each pod goes where the skew allows one more,
// first to room on existing nodes, then to the heaviest pool,
// the lowest price, the emptiest domain. Domains of equal price so fill evenly.
//
// It is the one step whose work grows with pods: a few comparisons for each pod
// of a group that minds a key.
func (l *ledger) split(cells []cell, n int64, room cellRoom) []int64 {
	quota := make([]int64, len(cells))
	// Almost all groups: nothing to decide.
	if len(cells) == 1 && !cells[0].bound() {
		quota[0] = min(n, room.most[0])
		return quota
	}
	free, most := room.free, room.most
	takes := func(i int) bool {
		return quota[i] < most[i] && (room.opens[i] || quota[i] < free[i]) && l.admits(&cells[i])
	}
	for _, i := range room.leads {
		if n > 0 && takes(i) {
			quota[i]++
			l.add(&cells[i], 1)
			n--
		}
	}
	// One pod at a time, as kube-scheduler would: each sees the counts that the
	// ones before it made. A closed formula exists for one spread, not for two.
	for ; n > 0; n-- {
		best := -1
		for i := range cells {
			if !takes(i) {
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
	// Room that exists is worth the same anywhere; a new node has a price.
	order := 0
	if !freeI {
		order = cmp.Or(cmp.Compare(b.weight, a.weight), cmp.Compare(a.price, b.price))
	}
	return cmp.Or(order, cmp.Compare(l.level(a), l.level(b))) < 0
}
