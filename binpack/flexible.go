package binpack

import (
	"cmp"
	"encoding/binary"
	"slices"
	"strings"
)

// Nodes that must leave the cloud a choice: pools with MinValues.
//
// 	offer    price   family
// 	m5       0.10    m      the offer that is opened
// 	m5a      0.11    m      adds no value: an alternative like any other
// 	c5       0.12    c      ┐ the bundle: with these, three families
// 	r5       0.14    r      ┘ hold whatever m5 holds
//
// A node of such a pool is opened as a bundle: the offer decided on and the cheapest
// others that bring the values of each label up to Min. Each of them has at least the
// room of the first and is open to the same pods, so that it holds whatever is loaded.
// Verify charges limits and stocks as if the worst of a pattern's offers came; so the
// bundle is charged as a whole when the node is opened, and what its offers need is never
// missing at the end. Other alternatives join as far as there is room (assemble.go).

// A bundle is an offer that MinValues hold for and those listed with it.
type bundle struct {
	open   Set    // which sets of offers the parts have that may use all of it
	others []int  // by price
	charge Vector // the most that any of them charges; nil if the pool has no limits
	stocks draws  // the most that any of them takes
}

// isFlexible reports whether a node decided on an offer must list others for MinValues.
func (t *table) isFlexible(offer int) bool { return len(t.wants(offer)) > 0 }

// bundle finds the bundle of an offer among those that may be listed with it, or nil.
// Offers without stocks of their own come first, then the cheaper ones.
func (t *table) bundle(offer int, among func(o int) bool) *bundle {
	pool := t.Offers[offer].Pool
	short := t.newShortage(offer)
	short.add(&t.Offers[offer])
	out := &bundle{charge: slices.Clone(t.charge[offer]), stocks: slices.Clone(t.stocks[offer])}
	for _, stocked := range [2]bool{false, true} {
		for _, o := range t.byPrice()[pool] {
			if short.none() {
				break
			}
			own := t.stocks[o].within(t.stocks[offer])
			if o == offer || own == stocked || t.Offers[o].Variant != t.Offers[offer].Variant || t.room[o] == nil || !short.helps(&t.Offers[o]) || !covers(t.room[o], t.room[offer]) || !among(o) {
				continue
			}
			short.add(&t.Offers[o])
			out.others = append(out.others, o)
			for r, q := range t.charge[o] {
				out.charge[r] = max(out.charge[r], q)
			}
			out.stocks = out.stocks.most(t.stocks[o])
		}
	}
	if !short.none() || len(out.others) >= MaxOffers {
		return nil
	}
	slices.SortFunc(out.others, func(a, b int) int { return cmp.Or(cmp.Compare(t.price[a], t.price[b]), cmp.Compare(a, b)) })
	return out
}

// A shortOf is how many values of each label a list of offers still lacks.
type shortOf struct {
	wants []MinValues
	seen  []map[int64]bool
}

// newShortage is that of an empty list for a node decided on an offer.
func (t *table) newShortage(offer int) *shortOf {
	s := &shortOf{wants: t.wants(offer)}
	for range s.wants {
		s.seen = append(s.seen, map[int64]bool{})
	}
	return s
}

// add puts an offer on the list.
func (s *shortOf) add(o *Offer) {
	for i, w := range s.wants {
		s.seen[i][o.Values[w.Label]] = true
	}
}

// helps reports whether an offer has a value that is lacking.
func (s *shortOf) helps(o *Offer) bool {
	for i, w := range s.wants {
		if int64(len(s.seen[i])) < w.Min && !s.seen[i][o.Values[w.Label]] {
			return true
		}
	}
	return false
}

// none reports whether nothing is lacking.
func (s *shortOf) none() bool {
	for i, w := range s.wants {
		if int64(len(s.seen[i])) < w.Min {
			return false
		}
	}
	return true
}

// bundleUp works out the bundles of a round of candidates: columns says by offer which
// sets of offers have it, and an offer may be listed with another if all sets that have
// that one have it too. It takes out of an offer's column those that its bundle is not for.
func (s *pass) bundleUp(weight int32, columns []Set) {
	for pool := range s.Pools {
		if len(s.Pools[pool].MinValues) == 0 || s.Pools[pool].Weight != weight {
			continue
		}
		// Most rounds are alike: the same parts, the same bundles.
		var name strings.Builder
		for _, o := range s.byPrice()[pool] {
			name.Write(binary.AppendUvarint(nil, uint64(o)))
			name.WriteString(columns[o].key())
		}
		known, ok := s.bundled[name.String()]
		if !ok {
			known = map[int]*bundle{}
			for _, o := range s.byPrice()[pool] {
				if columns[o] == nil || s.room[o] == nil || !s.isFlexible(o) {
					continue
				}
				known[o] = s.bundleFor(o, columns)
			}
			s.bundled[name.String()] = known
		}
		for _, o := range s.byPrice()[pool] {
			if s.bundles[o] = known[o]; known[o] != nil {
				columns[o] = known[o].open
			}
		}
	}
}

// bundleFor finds the bundle of an offer for all sets of its column, or, where they share
// too few values, for some: each in turn that still leaves one. Parts with the other sets
// may use another offer, or this one in a later round, when those are placed.
func (s *pass) bundleFor(offer int, columns []Set) (found *bundle) {
	try := func(open Set) bool {
		s.steps++
		b := s.bundle(offer, func(alt int) bool { return open.Minus(columns[alt]).Len() == 0 })
		if b != nil {
			b.open, found = open, b
		}
		return b != nil
	}
	if try(slices.Clone(columns[offer])) {
		return found
	}
	var open Set
	for i := range columns[offer].All {
		wider := slices.Clone(open)
		wider.Add(i)
		if try(wider) {
			open = wider
		}
	}
	return found
}

// dues are what a node of the offer charges to limits and the stocks that it draws on,
// and whether it can be opened at all: where MinValues hold it needs a bundle.
func (s *pass) dues(offer int) (charge Vector, stocks draws, ok bool) {
	if !s.isFlexible(offer) {
		return s.charge[offer], s.stocks[offer], true
	}
	if b := s.bundles[offer]; b != nil {
		return b.charge, b.stocks, true
	}
	return nil, nil, false
}

// owesLess reports whether an offer that can be opened is not heavier on limits and stocks than
// another.
func (s *pass) owesLess(offer, other int) bool {
	charge, stocks, _ := s.dues(offer)
	mostCharge, mostStocks, _ := s.dues(other)
	return covers(mostCharge, charge) && stocks.within(mostStocks)
}

// likely is copies before it is known what a node would be bundled with: as if it came
// alone.
func (s *pass) likely(offer int, n int64) int64 {
	allowed := s.lets(s.Offers[offer].Pool, n, s.charge[offer], s.stocks[offer])
	s.bound = s.bound || allowed < n
	return allowed
}

// listed are the offers that a node must list beside the one decided on.
func (s *pass) listed(offer int) []int {
	if b := s.bundles[offer]; b != nil {
		return b.others
	}
	return nil
}

// serves reports whether the bundle of an offer, if it has one, is for parts with the set
// of offers of that index.
func (s *pass) serves(offer, set int) bool {
	b := s.bundles[offer]
	return b == nil || b.open.Has(set)
}

// bundlesIn lists the offers of a set that can be opened for pods that may use the whole
// set: all but those that MinValues hold for and that find no bundle in it.
func (t *table) bundlesIn(set Set) Set {
	if !slices.ContainsFunc(t.Pools, func(p Pool) bool { return len(p.MinValues) > 0 }) {
		return set
	}
	at := t.intern(set)
	if known, ok := t.openable[at]; ok {
		return known
	}
	var out Set
	for o := range set.All {
		if !t.isFlexible(o) || (t.room[o] != nil && t.bundle(o, set.Has) != nil) {
			out.Add(o)
		}
	}
	t.openable[at] = out
	return out
}
