package binpack

import (
	"math/bits"
	"slices"
)

// A Set is a bitset over the indices of one of a Problem's lists. The nil Set
// is empty. Sets may be shared between groups: nothing here modifies one.
type Set []uint64

// SetOf returns the set of the given indices.
func SetOf(indices ...int) Set {
	var s Set
	for _, i := range indices {
		s.Add(i)
	}
	return s
}

// Add puts i into s. Only a caller that built s may use it.
func (s *Set) Add(i int) {
	for len(*s) <= i>>6 {
		*s = append(*s, 0)
	}
	(*s)[i>>6] |= 1 << (i & 63)
}

// Has reports whether i is in s.
func (s Set) Has(i int) bool {
	return i>>6 < len(s) && s[i>>6]&(1<<(i&63)) != 0
}

// Len returns the number of elements.
func (s Set) Len() int {
	n := 0
	for _, w := range s {
		n += bits.OnesCount64(w)
	}
	return n
}

// All yields the elements in increasing order.
func (s Set) All(yield func(int) bool) {
	for i, w := range s {
		for w != 0 {
			if !yield(i<<6 + bits.TrailingZeros64(w)) {
				return
			}
			w &= w - 1
		}
	}
}

// and returns the elements of both, as a set of its own.
func (s Set) and(t Set) Set {
	out := make(Set, min(len(s), len(t)))
	for i := range out {
		out[i] = s[i] & t[i]
	}
	return out
}

// or returns the elements of either, as a set of its own.
func (s Set) or(t Set) Set {
	if len(s) < len(t) {
		s, t = t, s
	}
	out := append(Set(nil), s...)
	for i, w := range t {
		out[i] |= w
	}
	return out
}

// trimmed returns s without trailing zero words, so that equal sets have equal
// words. It shares s's memory.
func (s Set) trimmed() Set {
	for len(s) > 0 && s[len(s)-1] == 0 {
		s = s[:len(s)-1]
	}
	return s
}

// Minus returns the elements of s that are not in t, as a set of its own.
func (s Set) Minus(t Set) Set {
	out := slices.Clone(s)
	for i := range min(len(s), len(t)) {
		out[i] &^= t[i]
	}
	return out
}

// Meets reports whether the sets have an element in common.
func (s Set) Meets(t Set) bool {
	for i := range min(len(s), len(t)) {
		if s[i]&t[i] != 0 {
			return true
		}
	}
	return false
}
