package binpack

import (
	"cmp"
	"encoding/binary"
	"slices"
	"strings"
)

// A candidate is an offer worth opening.
type candidate struct {
	offer int
	room  Vector
	norm  Vector
	value uint64 // of the whole room
}

// candidates lists the offers of pools of the given weight that some part may
// use and that no other offer beats: one open to the same parts, not dearer, not
// smaller in any resource, and not heavier on limits and stocks. Catalogs
// shrink tenfold or more by it.
func (s *pass) candidates(weight int32) []candidate {
	classes := map[string][]int{}
	var order []string
	for o, name := range s.columns(weight) {
		if name == "" {
			continue
		}
		if classes[name] == nil {
			order = append(order, name)
		}
		classes[name] = append(classes[name], o)
	}
	var out []candidate
	for _, name := range order {
		for _, o := range s.undominated(classes[name]) {
			out = append(out, candidate{offer: o, room: s.room[o], norm: s.norm(s.room[o])})
		}
	}
	return out
}

// columns names for each offer the parts that may use it, with its pool if that
// has limits and its stocks; "" for an offer that is out of the question.
func (s *pass) columns(weight int32) []string {
	var sets []Set // distinct ones among the parts
	seen := map[string]bool{}
	for i := range s.parts {
		if name := s.parts[i].offers.key(); s.parts[i].left > 0 && !seen[name] {
			seen[name] = true
			sets = append(sets, s.parts[i].offers)
		}
	}
	words := (len(sets) + 63) / 64
	columns := make([]Set, len(s.Offers))
	slab := make(Set, words*len(s.Offers))
	for i, set := range sets {
		for o := range set.All {
			if columns[o] == nil {
				columns[o] = slab[o*words : (o+1)*words]
			}
			columns[o][i>>6] |= 1 << (i & 63)
		}
	}
	names := make([]string, len(s.Offers))
	for o := range columns {
		pool := s.Offers[o].Pool
		if columns[o] == nil || s.Pools[pool].Weight != weight || !s.usable(pool) || s.room[o] == nil {
			continue
		}
		var b strings.Builder
		b.WriteString(columns[o].key())
		if s.Pools[pool].Left != nil || s.Pools[pool].NodesLeft != Unlimited {
			b.Write(binary.AppendUvarint([]byte{'p'}, uint64(pool)))
		}
		for _, i := range s.stocks[o] {
			b.Write(binary.AppendUvarint([]byte{'s'}, uint64(i)))
		}
		names[o] = b.String()
	}
	return names
}

// key is the content of a set, to find equal ones by.
func (s Set) key() string {
	b := make([]byte, 0, 8*len(s)+1)
	for _, w := range s.trimmed() {
		b = binary.LittleEndian.AppendUint64(b, w)
	}
	return string(append(b, '.'))
}

// undominated keeps of offers alike in all else those that no other beats.
func (s *pass) undominated(offers []int) []int {
	slices.SortFunc(offers, func(a, b int) int {
		return cmp.Or(cmp.Compare(s.price[a], s.price[b]), slices.Compare(s.room[b], s.room[a]), cmp.Compare(a, b))
	})
	var kept []int
	for _, o := range offers {
		if !slices.ContainsFunc(kept, func(k int) bool {
			return covers(s.room[k], s.room[o]) && covers(s.charge[o], s.charge[k])
		}) {
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
