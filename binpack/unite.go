package binpack

import (
	"cmp"
	"slices"
)

// Uniting: two nodes of a plan become one where some offer holds what both hold, for no more
// than both cost.
//
// 	 $0.10        $0.10             $0.20
// 	┌──────┐    ┌──────┐        ┌────────────┐
// 	│▓▓▓▓▓░│ +  │▓▓▓▓░░│   →    │▓▓▓▓▓▓▓▓▓░░░│    one node fewer, and a fee less
// 	└──────┘    └──────┘        └────────────┘
//
// On demand, prices are linear in the size of a node. Then cost does not tell one large
// node from many small ones, and whoever looks for the cheapest plan finds any of them.
// Patterns are looked at by rising price, and what two become takes its place among those
// that are still to come, as a carry does in an addition: eight nodes become four, then
// two, then one. Pods stay in their cells, so that spreads and the like hold as they did.

// partOfUnion is the share, one in so many, of what the recipes leave of the budget that is
// kept for uniting.
const partOfUnion = 32

// A union is a pass whose nodes are united.
type union struct {
	*pass
	queue []lot // by rising price of a node
	menus map[menuKey]*menu
	both  Vector // what two nodes hold: memory for holder
}

// A lot is a pattern, of nodes alike, with what is asked often about it.
type lot struct {
	opened
	price MicroUSD // of a node
	load  Vector
	may   Set // the offers on which all its pods may be, in the cells that they have
	size  int // of that set
	// Two lots may not share a node if bars of one meets shows of the other; see rulesOn.
	bars, shows Set
	counts      bool // a rule of one node counts some of its pods: ask agree
	born        int  // lots before this position had their turn before this one was there
}

// A menuKey is what menus differ in: the offers that may be used, and the weight of their pools.
type menuKey struct {
	offers string
	weight int32
}

// A menu is what nodes may become: offers by rising price that no other offer of the set beats.
type menu struct {
	offers []int
	most   []Vector // by offer of the menu: the most room, by resource, that it or a cheaper one has
}

// unite makes one node of two as long as that is possible and steps last, and returns how
// many were used; the pass's own remain those that it took to make it. The plan must be whole.
// Where ctx ends in between it still is, and is marked truncated.
func (s *pass) unite(steps int64) (used int64) {
	// Where limits keep pods out, whatever frees some of a limit would have to be
	// followed by a look at all of those.
	if s.bound && s.isShort() {
		return 0
	}
	u := &union{pass: s, menus: map[menuKey]*menu{}, both: make(Vector, len(s.Resources))}
	from := s.steps
	until := from + steps
	lightest := s.lightest()
	var kept []opened
	for _, o := range s.opened {
		if s.steps >= until || s.isFlexible(o.offer) || !s.replaceable(&o, lightest) {
			kept = append(kept, o)
			continue
		}
		u.queue = append(u.queue, u.lot(o))
	}
	slices.SortStableFunc(u.queue, func(a, b lot) int { return cmp.Compare(a.price, b.price) })
	for i := 0; i < len(u.queue) && s.steps < until && !s.ended(); i++ {
		u.pair(i, until)
	}
	for i := range u.queue {
		if u.queue[i].count > 0 {
			kept = append(kept, u.queue[i].opened)
		}
	}
	s.opened, s.scored = kept, nil
	used, s.steps = s.steps-from, from
	return used
}

// lot looks at a pattern.
func (u *union) lot(o opened) lot {
	u.steps += int64(8 * len(o.pods))
	out := lot{opened: o, price: u.price[o.offer], load: u.sum(o.pods)}
	for i, sh := range o.pods {
		offers := u.cells[sh.Group][o.cells[i]].offers
		if i == 0 {
			out.may = offers
		} else if !slices.Equal(offers, out.may) {
			out.may = out.may.and(offers)
		}
	}
	out.size = out.may.Len()
	u.rulesOn(&out)
	return out
}

// rulesOn notes which rules of one node bind the pods of a lot. Exclusion r is 2r on the side
// of A and 2r+1 on that of B; spreads by which pods keep apart follow, and a lot bars more of
// them once it has as many as there may be.
func (u *union) rulesOn(l *lot) {
	u.count(l.pods, 1)
	for _, sh := range l.pods {
		for _, at := range u.table.stands[sh.Group].exclusions {
			if at.a {
				l.bars.Add(2 * at.rule)
				l.shows.Add(2*at.rule + 1)
			}
			if at.b {
				l.bars.Add(2*at.rule + 1)
				l.shows.Add(2 * at.rule)
			}
		}
		for _, at := range u.table.stands[sh.Group].spreads {
			if at.a && at.b {
				l.shows.Add(2*len(u.Exclusions) + at.rule)
				if u.residents.even[at.rule][1] >= u.Spreads[at.rule].MaxSkew {
					l.bars.Add(2*len(u.Exclusions) + at.rule)
				}
			}
			l.counts = true
		}
		l.counts = l.counts || u.Groups[sh.Group].MaxPerNode > 0
	}
	u.count(l.pods, -1)
}

// menu is that of what a lot may use, in pools of the weight that it has. A bundle would
// have to be found anew for a larger load, so offers that need one are left out.
func (u *union) menu(l *lot) *menu {
	weight := u.weightOf(l.offer)
	key := menuKey{l.may.key(), weight}
	if known := u.menus[key]; known != nil {
		return known
	}
	out := &menu{}
	for o := range l.may.All {
		if u.room[o] != nil && u.weightOf(o) == weight && !u.isFlexible(o) {
			out.offers = append(out.offers, o)
		}
	}
	u.steps += int64(3 * len(out.offers))
	out.offers = u.frontier(out.offers, func(k, o int) bool {
		return u.Offers[k].Pool == u.Offers[o].Pool && covers(u.charge[o], u.charge[k]) && slices.Equal(u.stocks[k], u.stocks[o])
	})
	most := make(Vector, len(u.Resources))
	for _, o := range out.offers {
		for r, q := range u.room[o] {
			most[r] = max(most[r], q)
		}
		out.most = append(out.most, slices.Clone(most))
	}
	u.menus[key] = out
	return out
}

// add puts a lot where its price belongs, but not before the first next ones.
func (u *union) add(n lot, first int) {
	i, _ := slices.BinarySearchFunc(u.queue[first:], n.price, func(v lot, p MicroUSD) int {
		return cmp.Or(cmp.Compare(v.price, p), -1) // after those that cost as much
	})
	u.queue = slices.Insert(u.queue, first+i, n)
}

// pair unites nodes of the lot at i with those of others: it has its turn with each other, with
// its own, and with what becomes of them.
func (u *union) pair(i int, until int64) {
	if u.queue[i].count == 0 {
		return
	}
	u.steps += int64(len(u.queue)-i) / 8 // for those that are passed over
	for j := 0; j < len(u.queue) && u.queue[i].count > 0 && u.steps < until; j++ {
		if j == u.queue[i].born {
			j = i // those between have met it
		}
		a, b := &u.queue[i], &u.queue[j]
		n := min(a.count, b.count)
		if i == j {
			n = a.count / 2
		}
		if n == 0 || a.bars.Meets(b.shows) || b.bars.Meets(a.shows) || u.weightOf(a.offer) != u.weightOf(b.offer) {
			continue
		}
		u.steps++
		offer, n := u.holder(a, b, n)
		if n == 0 || !u.agree(a, b) {
			continue
		}
		u.giveBack(&a.opened, n)
		u.giveBack(&b.opened, n)
		u.take(offer, n)
		next := u.lot(joined(a, b, offer, n))
		next.born = i + 1
		a.count -= n
		b.count -= n
		u.add(next, i+1) // a and b are void: the queue has moved
		j--              // there may be more of both, for which another offer has to do
	}
}

// holder is the cheapest offer that may hold a node of both lots for no more than they cost, and
// for how many of n such pairs; 0 if there is none. It is one of the menu of the lot that has
// fewer to choose from: an offer that is beaten there by one that the other lot may not use is
// not seen.
func (u *union) holder(a, b *lot, n int64) (offer int, pairs int64) {
	if b.size < a.size {
		a, b = b, a
	}
	m := u.menu(a)
	// None before the first has enough of each resource.
	load := u.both
	for r := range load {
		load[r] = a.load[r] + b.load[r]
	}
	first, _ := slices.BinarySearchFunc(m.most, load, func(most, load Vector) int {
		if covers(most, load) {
			return 1
		}
		return -1
	})
	for _, o := range m.offers[first:] {
		u.steps++
		if u.price[o] > a.price+b.price {
			break
		}
		if covers(u.room[o], load) && b.may.Has(o) {
			if pairs = u.exchangeable(a, b, n, o); pairs > 0 {
				return o, pairs
			}
		}
	}
	return -1, 0
}

// agree reports whether rules of one node that count pods let those of both share one. Company
// they bring along.
func (u *union) agree(a, b *lot) bool {
	if !a.counts || !b.counts {
		return true
	}
	u.steps += int64(len(a.pods) + len(b.pods))
	u.count(a.pods, 1)
	ok, came := true, 0
	for ; ok && came < len(b.pods); came++ {
		sh := b.pods[came]
		ok = !u.isRuled(sh.Group) || u.residents.abides(sh.Group, -1, sh.Count) == sh.Count
		u.residents.add(sh.Group, sh.Count)
	}
	u.count(b.pods[:came], -1)
	u.count(a.pods, -1)
	return ok
}

// exchangeable returns for how many nodes of both lots, at most n, limits and stocks allow one
// of the offer, once they have what those took.
func (u *union) exchangeable(a, b *lot, n int64, offer int) int64 {
	pool := u.Offers[offer].Pool
	more, nodes := slices.Clone(u.charge[offer]), 1
	for _, old := range [2]int{a.offer, b.offer} {
		if u.Offers[old].Pool == pool {
			nodes--
			for r, q := range u.charge[old] {
				more[r] -= q
			}
		}
	}
	if nodes > 0 {
		n = min(n, u.nodesLeft[pool])
	}
	for r, q := range more {
		if q > 0 {
			n = min(n, u.left[pool][r]/q)
		}
	}
	for _, d := range u.stocks[offer] {
		if more := d.units - u.stocks[a.offer].of(d.stock) - u.stocks[b.offer].of(d.stock); more > 0 {
			n = min(n, u.stockLeft[d.stock]/more)
		}
	}
	return n
}

// joined is the pattern of n nodes of an offer with the pods of both lots.
func joined(a, b *lot, offer int, n int64) opened {
	out := opened{offer: offer, count: n, pods: slices.Clone(a.pods), cells: slices.Clone(a.cells)}
	for i, sh := range b.pods {
		at := slices.IndexFunc(out.pods, func(o Share) bool { return o.Group == sh.Group })
		if at < 0 {
			out.pods, out.cells = append(out.pods, sh), append(out.cells, b.cells[i])
			continue
		}
		out.pods[at].Count += sh.Count
	}
	return out
}
