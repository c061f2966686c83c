package binpack

import (
	"cmp"
	"slices"
)

// Company on existing nodes (company.go says what it is about): who waits for whom in the
// row of groups, where targets go for the sake of their owners, and where owners start.

// A party is pods that would share a node, under trial.
type party struct {
	*pass
	room  Vector
	pods  []Share
	node  int
	start Set
}

// newParty begins with what is on an existing node, or with an empty node of an offer.
func (s *pass) newParty(node, offer int, start Set) *party {
	if node >= 0 {
		return &party{s, slices.Clone(s.free[node]), slices.Clone(s.fills[node]), node, start}
	}
	return &party{s, slices.Clone(s.room[offer]), nil, -1, start}
}

// invite adds up to n pods of group g, and returns how many came.
func (y *party) invite(g int, n int64) int64 {
	y.steps++
	if n = fit(y.room, y.need[g], n); n > 0 {
		n = y.joinsFrom(g, y.pods, y.node, n, y.start)
	}
	if n > 0 {
		for r, q := range y.need[g] {
			y.room[r] -= q * n
		}
		y.pods = with(y.pods, g, n)
	}
	return n
}

// inviteAll adds what is left of the given groups, as far as they may be on the node,
// and returns how many pods came.
func (y *party) inviteAll(groups Set, offer int) (n int64) {
	came := map[int]int64{}
	for range sweeps {
		for g := range groups.All {
			open := y.node >= 0 && y.Groups[g].Nodes.Has(y.node) || y.node < 0 && y.Groups[g].Offers.Has(offer)
			if rest := y.Groups[g].Count - total(y.placed[g]) - came[g]; open && rest > 0 && y.asks[g] == "" {
				k := y.invite(g, rest)
				came[g] += k
				n += k
			}
		}
	}
	return n
}

// guestsNext moves owners of affinities over Hostname up in a row of groups, right
// behind the last of their targets: what is left on a node beside a target must not go
// to others first. Nobody passes groups of higher priority.
func (s *pass) guestsNext(row []int, priority []int32) []int {
	missing := make([]int, len(s.Affinities)) // targets that are no owners, still to come
	place := make([]int, len(s.Groups))       // in the row, from 1; 0 for groups that are not in it
	for i, g := range row {
		place[g] = i + 1
		for _, j := range s.hosts.affinities[g] {
			if !s.isOwned(j, g) {
				missing[j]++
			}
		}
	}
	out := make([]int, 0, len(row))
	var emit func(g int)
	emit = func(g int) {
		if place[g] == 0 {
			return
		}
		place[g] = 0
		out = append(out, g)
		for _, j := range s.hosts.affinities[g] {
			if s.isOwned(j, g) {
				continue
			}
			if missing[j]--; missing[j] > 0 {
				continue
			}
			var next []int
			for h := range s.Affinities[j].Owners.All {
				ready := !slices.ContainsFunc(s.hosts.affinities[h], func(k int) bool { return s.isOwned(k, h) && missing[k] > 0 })
				if place[h] > 0 && ready && priority[h] >= priority[g] {
					next = append(next, h)
				}
			}
			slices.SortFunc(next, func(a, b int) int { return cmp.Compare(place[a], place[b]) })
			for _, h := range next {
				emit(h)
			}
		}
	}
	for _, g := range row {
		emit(g)
	}
	return out
}

// usher puts targets on existing nodes of cell c where their owners find room too, one
// at a time as long as owners need them, and says how many of the n pods went and how
// many are better kept for new nodes.
func (s *pass) usher(g int, c *cell, n int64) (went, kept int64) {
	for _, i := range s.hosts.affinities[g] {
		a := &s.Affinities[i]
		if a.Owners.Has(g) {
			continue
		}
		guests := s.guests(a.Owners)
		waiting := int64(0)
		for h := range guests.All {
			waiting += s.Groups[h].Count - total(s.placed[h])
		}
		for node := range s.Nodes {
			if a.Present.Has(node) || of(s.fills[node], a.Targets) > 0 {
				waiting -= s.newParty(node, -1, nil).inviteAll(guests, -1)
			}
		}
		most := int64(0)
		for o := range s.bundlesIn(c.offers).All {
			if s.room[o] != nil && waiting > 0 && s.likely(o, 1) > 0 {
				if y := s.newParty(-1, o, nil); y.invite(g, 1) > 0 {
					most = max(most, y.inviteAll(guests, o))
				}
			}
		}
		for _, at := range s.beside(g, c, guests) {
			left := n - went - kept
			// A target that is spent on less than its share is missing elsewhere.
			if waiting <= 0 || left == 0 || (at.room < (waiting+left-1)/left && at.room < most) {
				break
			}
			s.putOn(g, at.node, 1)
			went++
			waiting -= at.room
		}
		if waiting > 0 && most > 0 {
			kept = max(kept, min(n-went, (waiting+most-1)/most))
		}
	}
	if went > 0 {
		s.tighten()
	}
	return went, kept
}

// A seating is an existing node and how many guests find room there.
type seating struct {
	node int
	room int64
}

// beside lists the existing nodes of cell c where a pod of group g and some of its guests
// find room, most guests first, then the fullest node.
func (s *pass) beside(g int, c *cell, guests Set) []seating {
	var out []seating
	for _, at := range s.tight {
		if !c.nodes.Has(at) {
			continue
		}
		if y := s.newParty(at, -1, nil); y.invite(g, 1) > 0 {
			if k := y.inviteAll(guests, -1); k > 0 {
				out = append(out, seating{at, k})
			}
		}
	}
	slices.SortStableFunc(out, func(a, b seating) int { return cmp.Compare(b.room, a.room) })
	return out
}

// first puts pods of group g on existing nodes of cell c for the sake of those who must
// be with them, before fill does for their own.
func (s *pass) first(g int, c *cell, n int64) (went, kept int64) {
	if len(s.hosts.affinities[g]) == 0 {
		return 0, 0
	}
	if went = s.startHere(g, c, n); went > 0 {
		return went, 0
	}
	return s.usher(g, c, n)
}

// putOn puts k pods of group g on an existing node.
func (s *pass) putOn(g, node int, k int64) {
	for r, q := range s.need[g] {
		s.free[node][r] -= q * k
	}
	s.fills[node] = with(s.fills[node], g, k)
}

// startHere starts the affinities of group g on an existing node of cell c, if no new
// node would hold more of those who must all go to one. It returns how many of the n
// pods went.
func (s *pass) startHere(g int, c *cell, n int64) int64 {
	var own Set
	for _, i := range s.hosts.affinities[g] {
		if s.mayStart(i, false) && s.isOwned(i, g) && s.Affinities[i].Targets.Has(g) {
			own = own.or(s.Affinities[i].Owners)
		}
	}
	if own.Len() == 0 {
		return 0
	}
	guests := s.guests(own)
	start := s.starters(guests, false)
	try := func(node, offer int) int64 {
		y := s.newParty(node, offer, start)
		k := y.invite(g, n)
		if k == 0 {
			return 0
		}
		others := guests.Minus(SetOf(g))
		return k + y.inviteAll(others, offer)
	}
	at, most := -1, int64(0)
	for _, node := range s.tight {
		if c.nodes.Has(node) {
			if k := try(node, -1); k > most {
				at, most = node, k
			}
		}
	}
	if at < 0 {
		return 0
	}
	for o := range s.bundlesIn(c.offers).All {
		if s.room[o] != nil && s.likely(o, 1) > 0 && try(-1, o) > most {
			return 0
		}
	}
	k := s.newParty(at, -1, start).invite(g, n)
	s.putOn(g, at, k)
	s.tighten()
	s.settled(s.fills[at], start)
	return k
}

// rejoin gives pods that wait for others on their node, or were kept for new nodes, a
// second look at existing ones.
func (s *pass) rejoin() {
	for moved := true; moved; {
		moved = false
		for i := range s.parts {
			p := &s.parts[i]
			if p.left == 0 || len(s.hosts.affinities[p.group]) == 0 || s.barred(p.group) >= 0 {
				continue
			}
			if k := s.fill(p.group, &s.cells[p.group][p.cell], p.left); k > 0 {
				p.left -= k
				s.placed[p.group][p.cell] += k
				moved = true
			}
		}
	}
}

// together is the most pods of group g, at most n, that one node of cell c holds now.
func (s *pass) together(g int, c *cell, n int64) (most int64) {
	for node := range c.nodes.All {
		s.steps++
		most = max(most, s.abides(g, s.fills[node], node, fit(s.free[node], s.need[g], n)))
	}
	for o := range s.bundlesIn(c.offers).All {
		if s.steps++; most < n && s.room[o] != nil && s.lets(s.Offers[o].Pool, 1, s.charge[o], s.stocks[o]) > 0 {
			most = max(most, s.abides(g, nil, -1, fit(s.room[o], s.need[g], n)))
		}
	}
	return most
}

// isStarter reports whether all pods of group g must go to one node, which they start.
func (s *pass) isStarter(g int) bool {
	return slices.ContainsFunc(s.hosts.affinities[g], func(i int) bool {
		return s.isOwned(i, g) && s.Affinities[i].Targets.Has(g) && s.mayStart(i, false)
	})
}

// keepTogether closes all cells of a group that starts a node but the one where a node
// holds most of its pods.
func (s *pass) keepTogether(g int, room *cellRoom) {
	best, most := -1, int64(0)
	cells := s.cells[g]
	for i := range cells {
		if room.most[i] == 0 || (!room.opens[i] && cells[i].nodes.Len() == 0) || !s.ledger.admits(&cells[i]) {
			continue
		}
		n := s.together(g, &cells[i], min(room.most[i], s.Groups[g].Count))
		if n > most || (n == most && n > 0 && s.ledger.prefers(cells, i, best, false, false)) {
			best, most = i, n
		}
	}
	for i := range cells {
		if i != best {
			room.most[i] = 0
		} else {
			room.free[i] = max(room.free[i], most)
		}
	}
}
