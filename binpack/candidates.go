package binpack

import (
	"encoding/binary"
	"slices"
	"strings"
)

// Which offers are worth a look.
//
// A region sells hundreds of instance types in several zones and capacity types,
// under several NodePools: thousands of offers. Most are beaten:
//
// 	price
// 	  │        ×            × beaten: something to the lower right has
// 	  │   ×        ●        as much room for less
// 	  │       ●    ×
// 	  │  ●                  ● kept
// 	  └──────────────── room   (one axis for each resource)
//
// An offer may only be beaten by one that can stand in for it in all else: that is
// open to the same parts, and as easy on limits and stocks. Parts know their cell,
// so an offer in another zone stands in for it only as long as nobody minds zones.
// An offer that draws on a stock is only compared with others of the same stocks,
// since it may run out; likewise for pools with limits.
//
// Beaten offers are not lost: they come back as alternatives.

// A candidate is an offer worth opening.
type candidate struct {
	offer int
	class int // of those that are open to the same parts
	room  Vector
	norm  Vector    // the room in parts of unit
	size  []float64 // the same in parts of 1
	open  []bool    // by set of table.sets: whether the offer is in it
	value uint64    // of the whole room
	guess []float64 // by resource: its price in the last packing of the candidate

	// What the race remembers: the share of its worth that it held last, 1 at first; the way
	// that was best, and how often it was filled; and its key in the race.
	full   float64
	gone   bool // limits or stocks have run out
	way    int
	rounds int
	key    float64
}

// listCandidates lists the offers of pools of the given weight that some part may
// use and that no other offer beats: one open to the same parts, not dearer, not
// smaller in any resource, and not heavier on limits and stocks. Catalogs
// shrink tenfold or more by it.
func (s *pass) listCandidates(weight int32) []candidate {
	// The order of first appearance keeps the map's own order out of the result.
	classes := map[string][]int{}
	var order []string
	names, columns := s.columns(weight)
	for o, name := range names {
		if name == "" {
			continue
		}
		if classes[name] == nil {
			order = append(order, name)
		}
		classes[name] = append(classes[name], o)
	}
	demand := s.demand()
	most := 0
	offers := make([][]int, len(order))
	for class, name := range order {
		offers[class] = s.clipped(s.undominated(classes[name]), demand)
		most += len(offers[class])
	}
	out := make([]candidate, 0, most)
	for class, offers := range offers {
		open := make([]bool, len(s.sets))
		for i := range columns[offers[0]].All { // and so all of them
			open[i] = true
		}
		guesses := make([]float64, len(offers)*len(s.Resources))
		for i, o := range offers {
			out = append(out, candidate{
				offer: o, class: class, room: s.room[o], norm: s.normed[o], size: s.size[o], open: open,
				guess: guesses[i*len(s.Resources) : (i+1)*len(s.Resources)], full: 1,
			})
		}
	}
	s.steps += int64(len(s.Offers) / 4)
	return out
}

// columns lists for each offer which of the sets of offers that parts with pods left have
// it, and names that, with its pool if that has limits and its stocks; "" for an offer
// that is out of the question.
//
// Parts share sets of offers, so there are few distinct ones: each is one bit of an
// offer's column, written for all its offers in a run through its words. Columns
// are cut from one slab. A name is the column's bytes: as keys of a map they find
// equal ones, and the map is only asked, never walked.
func (s *pass) columns(weight int32) (names []string, columns []Set) {
	words := (len(s.sets) + 63) / 64
	columns = make([]Set, len(s.Offers))
	slab := make(Set, words*len(s.Offers))
	seen := make([]bool, len(s.sets))
	for i := range s.parts {
		p := &s.parts[i]
		if p.left == 0 || seen[p.set] {
			continue
		}
		seen[p.set] = true
		for o := range s.sets[p.set].All {
			if columns[o] == nil {
				columns[o] = slab[o*words : (o+1)*words]
			}
			columns[o].Add(p.set)
		}
	}
	s.bundleUp(weight, columns)
	names = make([]string, len(s.Offers))
	last := -1 // the offer that got a name last
	for o := range columns {
		pool := s.Offers[o].Pool
		if columns[o] == nil || s.Pools[pool].Weight != weight || s.room[o] == nil {
			continue
		}
		_, stocks, ok := s.dues(o)
		if !ok || s.copies(o, 1) == 0 {
			continue
		}
		// Offers that are listed together mostly have a name in common.
		if last >= 0 && pool == s.Offers[last].Pool && len(stocks)+len(s.stocks[last]) == 0 && slices.Equal(columns[o], columns[last]) && !s.isFlexible(o) && !s.isFlexible(last) {
			names[o] = names[last]
			continue
		}
		last = o
		var b strings.Builder
		b.WriteString(columns[o].key())
		// What may run out is only compared with what runs out together with it.
		if s.Pools[pool].Left != nil || s.Pools[pool].NodesLeft != Unlimited {
			b.Write(binary.AppendUvarint([]byte{'p'}, uint64(pool)))
		}
		for _, d := range stocks {
			b.Write(binary.AppendUvarint([]byte{'s'}, uint64(d.stock)))
		}
		names[o] = b.String()
	}
	return names, columns
}

// key is the content of a set, to find equal ones by.
func (s Set) key() string {
	b := make([]byte, 0, 8*len(s)+1)
	for _, w := range s.trimmed() {
		b = binary.LittleEndian.AppendUint64(b, w)
	}
	return string(append(b, '.'))
}

// undominated keeps of offers alike in all else those that no other beats. Rounds ask for
// the same offers again and again.
func (s *pass) undominated(offers []int) []int {
	name := SetOf(offers...).key()
	if known, ok := s.frontiers[name]; ok {
		return known
	}
	kept := s.frontier(offers, func(k, o int) bool { return s.owesLess(k, o) })
	// What a bundle owes depends on more than the offers.
	if !slices.ContainsFunc(offers, func(o int) bool { return s.isFlexible(o) }) {
		s.frontiers[name] = kept
	}
	return kept
}

// demand is what all pods that are left ask for.
func (s *pass) demand() Vector {
	sum := make(Vector, len(s.Resources))
	for i := range s.parts {
		for r, q := range s.parts[i].need {
			sum[r] += q * s.parts[i].left
		}
	}
	return sum
}

// clipped keeps of a frontier the offers that no cheaper one beats as far as demand goes:
// of those that could hold all that is left, one is enough.
func (s *pass) clipped(frontier []int, demand Vector) []int {
	kept := make([]int, 0, len(frontier))
	for _, o := range frontier {
		if covers(demand, s.room[o]) || !slices.ContainsFunc(kept, func(k int) bool {
			for r, q := range s.room[k] {
				if q < min(s.room[o][r], demand[r]) {
					return false
				}
			}
			return s.owesLess(k, o)
		}) {
			kept = append(kept, o)
		}
	}
	return kept
}

// frontier keeps the offers that no other beats: none that is kept has as much room in
// every resource for no more, and may stand in for it. By rising price an offer can only
// be beaten by one that is kept already. Of two that are equal in everything the first by
// ID stays. It sorts offers.
func (t *table) frontier(offers []int, mayStand func(k, o int) bool) []int {
	slices.SortFunc(offers, func(a, b int) int { return t.turn[a] - t.turn[b] })
	var kept []int
	for _, o := range offers {
		// What beats an offer is mostly little cheaper: the same type in another zone, say.
		i := len(kept) - 1
		for i >= 0 && !(covers(t.room[kept[i]], t.room[o]) && mayStand(kept[i], o)) {
			i--
		}
		if i < 0 {
			kept = append(kept, o)
		}
	}
	return kept
}

// covers reports whether a is at least b in every resource.
func covers(a, b Vector) bool {
	for r := range a {
		if a[r] < b[r] {
			return false
		}
	}
	return true
}
