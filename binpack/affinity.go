package binpack

import (
	"cmp"
	"slices"
)

// Pods that must share a domain with others, over ordinary keys.
//
// 	             zone a      zone b      zone c
// 	runs           ●                                  present
// 	targets                    ○ ○                    planned
// 	owners        yes          yes         no
//
// The domain of an owner is decided by split, like that of a pod with a spread: an
// owner is admitted where a target runs or has been planned before. So targets are
// split first (order), and chains of affinities come out right link by link. A ring of
// groups of which each waits for the other is never begun, as kube-scheduler would
// never begin it.
//
// What split has planned may find no room. A pass that ends with owners where no target
// came is made again with caps (tightenCaps). Later helpings rely only on what is in
// place already.
//
// Two decisions look ahead, since the first pod binds all others: where owners start a
// domain of their own, and where targets go that owners could not follow to otherwise.
// Both choose the domain that holds most of the pods that depend on it, at the lowest
// price (leads).

// A bond is where a cell stands in an affinity over an ordinary key.
type bond struct {
	affinity, domain int
	owner, target    bool
}

// A vicinity is what the ledger knows about one affinity. Targets that are owners do
// not vouch for each other, so they are counted apart.
type vicinity struct {
	others, both, owners []int64 // by domain: pods of this plan
	any                  bool    // a target that is no owner runs or is planned in some domain
	home                 int     // the domain that owners started, or NoDomain
}

// newVicinities starts with the targets that run.
func (t *table) newVicinities() []vicinity {
	out := make([]vicinity, len(t.Affinities))
	for i := range t.Affinities {
		a := &t.Affinities[i]
		n := 0
		if a.Key != Hostname {
			n = len(t.Domains[a.Key])
		}
		out[i] = vicinity{make([]int64, n), make([]int64, n), make([]int64, n), a.Present.Len() > 0, NoDomain}
	}
	return out
}

// clone is a copy that shares no memory.
func (v *vicinity) clone() vicinity {
	return vicinity{slices.Clone(v.others), slices.Clone(v.both), slices.Clone(v.owners), v.any, v.home}
}

// count adds n pods at a bond.
func (l *ledger) count(b bond, n int64) {
	v := &l.near[b.affinity]
	switch {
	case n == 0:
	case !b.owner:
		v.others[b.domain] += n
		v.any = true
		if v.home == b.domain {
			v.home = NoDomain // targets that need nobody have joined: it is a domain like others
		}
	default:
		v.owners[b.domain] += n
		if b.target {
			v.both[b.domain] += n
		}
		if !l.Affinities[b.affinity].Present.Has(b.domain) && v.others[b.domain] == 0 {
			v.home = b.domain
		}
	}
}

// welcomes reports whether an affinity lets one more pod into the domain of a bond.
func (l *ledger) welcomes(b bond) bool {
	v := &l.near[b.affinity]
	// A target elsewhere would put the owners who have started a domain in the wrong.
	if !b.owner {
		return v.home == NoDomain || v.home == b.domain
	}
	sure := v
	if l.frozen() {
		sure = &l.sure[b.affinity]
	}
	switch {
	case l.Affinities[b.affinity].Present.Has(b.domain) || sure.others[b.domain] > 0:
		return true
	case v.any || (v.home != NoDomain && v.home != b.domain):
		return false
	}
	return b.target || sure.both[b.domain] > 0
}

// isBroken reports whether the counts put owners where no target is.
func (l *ledger) isBroken(i int) bool {
	v, started := &l.near[i], 0
	for d, n := range v.owners {
		if n == 0 || v.others[d] > 0 || l.Affinities[i].Present.Has(d) {
			continue
		}
		if started++; v.any || v.both[d] == 0 || started > 1 {
			return true
		}
	}
	return false
}

// bonds finds where a cell of group g stands in the affinities of g, given its domain
// of a key.
func (t *table) bonds(g int, domain func(key int) int) []bond {
	var out []bond
	for _, i := range t.regions.affinities[g] {
		a := &t.Affinities[i]
		if d := domain(a.Key); d != NoDomain {
			out = append(out, bond{i, d, a.Owners.Has(g), a.Targets.Has(g)})
		}
	}
	return out
}

// isAsked reports whether affinity i has owners with pods: otherwise it asks nothing.
func (t *table) isAsked(i int) bool {
	for g := range t.Affinities[i].Owners.All {
		if t.Groups[g].Count > 0 && t.asks[g] == "" {
			return true
		}
	}
	return false
}

// deepest bounds the length of chains that ranks unravels.
const deepest = 8

// rank moves groups behind those that their affinities and spreads wait for, and
// lends targets the priority of their owners, who could not be placed before them.
// It gives by group the priority and the place in the row; first is the place of
// groups as far as spreads alone say. Where affinities form a ring the order within
// it means nothing.
func (t *table) rank(first []int) (priority []int32, place []int) {
	priority, place = make([]int32, len(t.Groups)), first
	for g := range t.Groups {
		priority[g] = t.Groups[g].Priority
	}
	if len(t.Affinities) == 0 {
		return priority, place
	}
	after := func(waiting, first Set) (moved bool) {
		last := 0
		for g := range first.All {
			last = max(last, place[g]+1)
		}
		for g := range waiting.All {
			moved = moved || place[g] < last
			place[g] = max(place[g], last)
		}
		return moved
	}
	lend := func(from, to Set) (moved bool) {
		most, some := int32(0), false
		for g := range from.All {
			if t.Groups[g].Count > 0 && (!some || priority[g] > most) {
				most, some = priority[g], true
			}
		}
		for g := range to.All {
			if some && priority[g] < most {
				priority[g], moved = most, true
			}
		}
		return moved
	}
	for range deepest {
		moved := false
		for i := range t.Affinities {
			a := &t.Affinities[i]
			if !t.isAsked(i) {
				continue
			}
			// Others first, then targets that are owners, then the rest of the owners.
			others, both, rest := a.Targets.Minus(a.Owners), a.Targets.and(a.Owners), a.Owners.Minus(a.Targets)
			moved = after(both, others) || moved
			moved = after(rest, a.Targets) || moved
			moved = lend(a.Owners, others) || moved
			moved = lend(rest, both) || moved
		}
		for i := range t.Spreads {
			s := &t.Spreads[i]
			moved = after(s.Owners, s.Counted.Minus(s.Owners)) || moved
		}
		if !moved {
			break
		}
	}
	return priority, place
}

// late plans owners that came in the row before their targets: rings of affinities of
// which a domain is there already.
func (s *pass) late(order []int) {
	for moved := true; moved; {
		moved = false
		for _, g := range order {
			if s.isOwner(g) && total(s.quota[g]) == 0 && !s.ended() {
				s.place(g)
				moved = moved || total(s.quota[g]) > 0
			}
		}
	}
}

// isOwner reports whether group g owns an affinity over an ordinary key.
func (t *table) isOwner(g int) bool {
	return slices.ContainsFunc(t.regions.affinities[g], func(i int) bool { return t.Affinities[i].Owners.Has(g) })
}

// leads lists the cells of group g that get a pod before others do, for the sake of
// the pods that must be near it: the domain that g's own kind is to start, or one for
// owners who could follow to none where a target is.
func (s *pass) leads(g int, room cellRoom) []int {
	var out []int
	for _, i := range s.regions.affinities[g] {
		a, v := &s.Affinities[i], &s.ledger.near[i]
		if !a.Targets.Has(g) {
			continue
		}
		if a.Owners.Has(g) {
			if !v.any && v.home == NoDomain {
				if at, _ := s.lead(g, i, a.Owners, room); at >= 0 {
					out = append(out, at)
				}
			}
			continue
		}
		waiting := s.waiting(i)
		for waiting.Len() > 0 {
			at, led := s.lead(g, i, waiting, room)
			if at < 0 {
				break
			}
			out = append(out, at)
			waiting = waiting.Minus(led)
		}
	}
	return out
}

// waiting lists the owners of affinity i that have no cell yet where a target is.
func (s *pass) waiting(i int) Set {
	var out Set
	v := &s.ledger.near[i]
	for g := range s.Affinities[i].Owners.All {
		if s.asks[g] == "" && total(s.placed[g]) < s.Groups[g].Count && !slices.ContainsFunc(s.cells[g], func(c cell) bool {
			d := c.domain(i)
			return d != NoDomain && (s.Affinities[i].Present.Has(d) || v.others[d] > 0 || v.home == d)
		}) {
			out.Add(g)
		}
	}
	return out
}

// domain is that of the cell in the key of affinity i, or NoDomain.
func (c *cell) domain(i int) int {
	for _, b := range c.bonds {
		if b.affinity == i {
			return b.domain
		}
	}
	return NoDomain
}

// A lead is what a domain promises to the pods that would follow there.
type lead struct {
	cell  int     // of the group that leads
	pods  []int64 // by level of priority: those that find room, negated
	heavy int64   // their pools' weights, negated
	price float64 // of all of them
	led   Set
}

// lead chooses among the cells of group g that can take a pod the one in whose domain
// most of the followers find room, by priority; then the heavier pools, the lower
// price. Followers bring their own followers. It returns -1 if there is no cell, or
// none that any of them can follow to.
func (s *pass) lead(g, i int, followers Set, room cellRoom) (at int, led Set) {
	best := lead{cell: -1}
	for at := range s.cells[g] {
		c := &s.cells[g][at]
		d := c.domain(i)
		if d == NoDomain || room.most[at] == 0 || (!room.opens[at] && room.free[at] == 0) || !s.ledger.admits(c) {
			continue
		}
		next := s.promise(g, i, d, followers)
		next.cell = at
		if next.led.Len() > 0 && (best.cell < 0 || cmp.Or(
			slices.Compare(next.pods, best.pods), cmp.Compare(next.heavy, best.heavy), cmp.Compare(next.price, best.price),
			cmp.Compare(s.ledger.level(c), s.ledger.level(&s.cells[g][best.cell]))) < 0) {
			best = next
		}
	}
	return best.cell, best.led
}

// promise adds up which followers of group g find room in domain d of affinity i.
func (s *pass) promise(g, i, d int, followers Set) lead {
	out := lead{pods: make([]int64, len(s.priorities))}
	levels := s.levels(true)
	members := s.retinue(i, d, followers)
	space := s.space(i, d, members)
	for h := range members.All {
		n := s.Groups[h].Count
		if h == g {
			n = max(n, 1)
		}
		c := s.bestCell(h, i, d)
		if c == nil {
			continue
		}
		if s.isStarter(h) {
			n = s.together(h, c, n)
		}
		if n = min(n, space.take(s.need[h], n)); n == 0 {
			continue
		}
		at, _ := slices.BinarySearchFunc(levels, s.Groups[h].Priority, func(a, b int32) int { return cmp.Compare(b, a) })
		out.pods[at] -= n
		out.heavy -= n * int64(c.weight)
		out.price += float64(float64(c.price) * float64(n))
		if followers.Has(h) {
			out.led.Add(h)
		}
	}
	return out
}

// retinue is the followers with those who follow them, as far as they have a cell in
// domain d of the key of affinity i.
func (s *pass) retinue(i, d int, followers Set) Set {
	var out Set
	for h := range followers.All {
		if s.bestCell(h, i, d) != nil {
			out.Add(h)
		}
	}
	for range deepest {
		before := out.Len()
		for j := range s.Affinities {
			if a := &s.Affinities[j]; a.Key == s.Affinities[i].Key && a.Targets.Meets(out) {
				for h := range a.Owners.All {
					if !out.Has(h) && s.bestCell(h, j, d) != nil {
						out.Add(h)
					}
				}
			}
		}
		if out.Len() == before {
			break
		}
	}
	return out
}

// bestCell is the cell of group h in domain d of the key of affinity i that split would
// look at first, among those that can take a pod now; nil if there is none.
func (s *pass) bestCell(h, i, d int) *cell {
	if s.asks[h] != "" || s.Groups[h].Count == 0 || s.caps.group[h] == 0 {
		return nil
	}
	var best *cell
	for at := range s.cells[h] {
		c := &s.cells[h][at]
		if c.domain(i) != d || s.caps.cell[h][at] == 0 || (best != nil && cmp.Or(cmp.Compare(best.weight, c.weight), cmp.Compare(c.price, best.price)) >= 0) {
			continue
		}
		if s.canOpen(c) || s.roomFor(h, c) > 0 {
			best = c
		}
	}
	return best
}

// canOpen reports whether limits and stocks leave a node of some offer of the cell.
func (s *pass) canOpen(c *cell) bool {
	for o := range s.bundlesIn(c.offers).All {
		if s.steps++; s.likely(o, 1) > 0 {
			return true
		}
	}
	return false
}

// A space is room by resource, as if nodes were one.
type space []float64

// space adds up what nodes have left in domain d of the key of affinity i, and what the
// limits of each pool let it open there, for the given groups.
func (s *pass) space(i, d int, members Set) space {
	out := make(space, len(s.Resources))
	var offers, nodes Set
	pods := int64(0)
	for h := range members.All {
		pods += s.Groups[h].Count
		for at := range s.cells[h] {
			if c := &s.cells[h][at]; c.domain(i) == d {
				offers, nodes = offers.or(c.offers), nodes.or(c.nodes)
			}
		}
	}
	for n := range nodes.All {
		for r, q := range s.free[n] {
			out[r] += float64(q)
		}
	}
	most := make([]Vector, len(s.Pools))
	for o := range offers.All {
		n := s.lets(s.Offers[o].Pool, pods, s.charge[o], s.stocks[o])
		s.steps++
		pool := s.Offers[o].Pool
		for r, q := range s.room[o] {
			if most[pool] == nil {
				most[pool] = make(Vector, len(s.Resources))
			}
			if q > 0 && n > most[pool][r]/q {
				most[pool][r] = q * min(n, Unlimited/q)
			}
		}
	}
	for _, v := range most {
		for r, q := range v {
			out[r] += float64(q)
		}
	}
	return out
}

// take takes the room of up to n pods, and returns for how many there was some.
func (sp space) take(need Vector, n int64) int64 {
	for r, q := range need {
		if q > 0 {
			n = int64(min(float64(n), max(sp[r], 0)/float64(q)))
		}
	}
	for r, q := range need {
		sp[r] -= float64(float64(q) * float64(n))
	}
	return n
}
