package consolidate

import (
	"github.com/stowage-sh/stowage/binpack"
)

// A tally counts pods for spreads over more than hostnames, by domain, as they are on a board and move in
// drafts: a pod of a spread has a place sooner where there are fewest.
type tally struct {
	spreads []binpack.Spread
	counts  []map[int]int64 // by spread and domain
	counted [][]int         // by group: the spreads that count its pods
	owned   [][]int         // by group: those that its pods obey
}

func newTally(b *board) *tally {
	t := &tally{counted: make([][]int, len(b.whole.Groups)), owned: make([][]int, len(b.whole.Groups))}
	for _, s := range b.whole.Spreads {
		if s.Key == binpack.Hostname {
			continue
		}
		i, counts := len(t.spreads), map[int]int64{}
		for _, d := range s.Domains {
			counts[d.Domain] = d.Count
		}
		b.each(s.Counted, s.Key, func(domain, _ int, n int64) { counts[domain] += n })
		t.spreads, t.counts = append(t.spreads, s), append(t.counts, counts)
		for g := range s.Counted.All {
			t.counted[g] = append(t.counted[g], i)
		}
		for g := range s.Owners.All {
			t.owned[g] = append(t.owned[g], i)
		}
	}
	return t
}

// add counts n more pods of a group in a place of the given domains.
func (t *tally) add(group int, domains []int, n int64) {
	for _, i := range t.counted[group] {
		if d := domains[t.spreads[i].Key]; d != binpack.NoDomain {
			t.counts[i][d] += n
		}
	}
}

// crowd is how many pods there are already in the domains of a place, by the spreads that a group obeys.
func (t *tally) crowd(group int, domains []int) (most int64) {
	for _, i := range t.owned[group] {
		most = max(most, t.counts[i][domains[t.spreads[i].Key]])
	}
	return most
}

// minds reports whether it makes a difference where a pod of a group goes.
func (t *tally) minds(group int) bool { return len(t.owned[group]) > 0 }
