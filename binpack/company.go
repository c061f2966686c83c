package binpack

import (
	"cmp"
	"math"
	"slices"
)

// Pods that must share a node with others: affinities over Hostname.
//
// 	node n        new node       new node            new node
// 	○ target      ○ target       ○ target            (no target: closed to owners)
// 	● owner       ● owner        ● other owner
//
// joins keeps every load legal: an owner joins only where a target is. It cannot see to
// it that targets are where owners have room, so targets go first, and with an eye on
// those who wait for them:
//
//   - on existing nodes, one target at a time goes where most of the owners still fit
//     beside it (usher); as many targets are kept back as new nodes are needed for the
//     other owners;
//   - of new nodes, those with a target and its owners are opened before others, on the
//     candidate that holds most of the owners for each target there is (companies).
//
// Owners that are targets, where no other target is, start one node and all go there:
// an existing one if no new node would hold more of them. Once they have started, a
// target that is no owner is barred: anywhere else it would put them in the wrong.

// isOwned reports whether affinity i asks something of the pods of group g.
func (t *table) isOwned(i, g int) bool { return t.Affinities[i].Owners.Has(g) }

// isGuest reports whether group g owns an affinity over Hostname.
func (t *table) isGuest(g int) bool {
	return slices.ContainsFunc(t.hosts.affinities[g], func(i int) bool { return t.isOwned(i, g) })
}

// hasCompany reports whether the affinities over Hostname let a pod of group g join those
// on a node. Those in start may be started there.
func (t *table) hasCompany(g int, pods []Share, node int, start Set) bool {
	for _, i := range t.hosts.affinities[g] {
		a := &t.Affinities[i]
		if a.Owners.Has(g) && (node < 0 || !a.Present.Has(node)) && of(pods, a.Targets) == 0 && !(start.Has(i) && a.Targets.Has(g)) {
			return false
		}
	}
	return true
}

// mayStart reports whether owners of affinity i may start a node now. While targets that
// are no owners may still come, they wait; last says that none comes any more.
func (s *pass) mayStart(i int, last bool) bool {
	a := &s.Affinities[i]
	if a.Key != Hostname || a.Present.Len() > 0 || s.homes.Has(i) {
		return false
	}
	for g := range a.Targets.minus(a.Owners).All {
		if total(s.placed[g]) > 0 || (!last && total(s.quota[g]) > 0) {
			return false
		}
	}
	return true
}

// starters is the set of affinities of the given groups that may be started now.
func (s *pass) starters(groups Set, last bool) Set {
	var out Set
	for g := range groups.All {
		for _, i := range s.hosts.affinities[g] {
			if !out.Has(i) && s.mayStart(i, last) {
				out.Add(i)
			}
		}
	}
	return out
}

// settled notes which affinities the pods of a node have started.
func (s *pass) settled(pods []Share, start Set) {
	for i := range start.All {
		a := &s.Affinities[i]
		if of(pods, a.Owners) > 0 && of(pods, a.Targets.minus(a.Owners)) == 0 {
			s.homes.Add(i)
		}
	}
}

// barred returns the affinity that keeps group g out because its owners have started a
// node without such targets, or -1.
func (s *pass) barred(g int) int {
	for _, i := range s.hosts.affinities[g] {
		if s.homes.Has(i) && !s.isOwned(i, g) {
			return i
		}
	}
	return -1
}

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

// sweeps is how often kinds are looked at for one load where some may join only after
// others have. It bounds the chains of affinities that one node is filled with.
const sweeps = 3

// guests are the owners of affinities over Hostname that wait for the given groups, or for
// those who wait for them.
func (t *table) guests(first Set) Set {
	out := slices.Clone(first)
	for range sweeps {
		for i := range t.Affinities {
			if a := &t.Affinities[i]; a.Key == Hostname && a.Targets.meets(out) {
				out = out.or(a.Owners)
			}
		}
	}
	return out
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
			s.put(g, at.node, 1)
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

// put puts k pods of group g on an existing node.
func (s *pass) put(g, node int, k int64) {
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
		others := guests.minus(SetOf(g))
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
	s.put(g, at, k)
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

// expects reports whether a new node in cell c may come to hold what group g must be
// with: targets that still wait for a node, or g itself if it may start.
func (s *pass) expects(g int, c *cell) bool {
	for _, i := range s.hosts.affinities[g] {
		a := &s.Affinities[i]
		if !a.Owners.Has(g) || (a.Targets.Has(g) && s.mayStart(i, false)) {
			continue
		}
		if !slices.ContainsFunc(s.parts, func(p part) bool {
			return p.left > 0 && a.Targets.Has(p.group) && s.sets[p.set].meets(c.offers)
		}) {
			return false
		}
	}
	return true
}

// mixed decides nodes by the mixture, if the recipe has one, and returns the opener for
// the rest. The mixture knows nothing of company: it is for all but those who must have some.
func (s *pass) mixed(weight, level int32) *opener {
	s.alone = s.recipe.mixed > 0 && slices.ContainsFunc(s.parts, func(p part) bool { return p.left > 0 && s.isGuest(p.group) })
	o := s.opener(weight, level)
	if s.recipe.mixed > 0 {
		o.mix(s.recipe.mixed)
	}
	if s.alone {
		s.alone = false
		o = s.opener(weight, level)
	}
	return o
}

// joinLate does what can be done once all nodes are opened.
func (s *pass) joinLate() {
	s.rejoin()
	for _, weight := range s.weights {
		s.companies(weight, math.MinInt32, true)
	}
	s.rejoin()
}

// awaits reports whether owners of affinity i are left who must share a node with others.
func (s *pass) awaits(i int) bool {
	a := &s.Affinities[i]
	return a.Key == Hostname && slices.ContainsFunc(s.parts, func(p part) bool { return p.left > 0 && a.Owners.Has(p.group) })
}

// companies opens nodes of one weight for targets with their owners.
func (s *pass) companies(weight, level int32, last bool) {
	var o *opener
	for i := range s.Affinities {
		a := &s.Affinities[i]
		for s.awaits(i) && !s.ended() {
			if o == nil {
				o = s.opener(weight, level)
			}
			o.start = nil
			if s.mayStart(i, last) {
				o.start = s.starters(s.guests(a.Owners), last)
			}
			if !o.openCompany(i) {
				break
			}
			// What has started may bar others.
			if o.start != nil && !last && a.Targets.minus(a.Owners).Len() == 0 {
				continue
			}
			o = nil
		}
	}
}

// A company is pods that are to share nodes by one affinity, for the opener to place.
type company struct {
	*opener
	hosts      []int // kinds of targets that no owner is; -1 where owners start by themselves
	waiting    []int // kinds of owners, and of those who must be with them
	elsewhere  []int // kinds of targets that owners of other affinities wait for
	lead, wait int64 // pods of hosts and of waiting
	share      int64 // of those who wait, for each host
}

// company gathers who takes part in affinity i.
func (o *opener) company(i int) *company {
	a := &o.Affinities[i]
	y := &company{opener: o}
	guests := o.guests(a.Owners)
	var asked Set // affinities with owners that wait
	for _, k := range o.live {
		if g := o.kinds[k].ruled; g >= 0 {
			for _, j := range o.hosts.affinities[g] {
				if o.isOwned(j, g) {
					asked.Add(j)
				}
			}
		}
	}
	for _, k := range o.live {
		g := o.kinds[k].ruled
		if g < 0 {
			continue
		}
		switch {
		case guests.Has(g):
			y.waiting = append(y.waiting, k)
			y.wait += o.kinds[k].left
		case a.Targets.Has(g):
		case slices.ContainsFunc(o.hosts.affinities[g], func(j int) bool { return !o.isOwned(j, g) && asked.Has(j) }):
			y.elsewhere = append(y.elsewhere, k)
		}
		if a.Targets.Has(g) && !a.Owners.Has(g) {
			y.hosts = append(y.hosts, k)
			y.lead += o.kinds[k].left
		}
	}
	// Each target should bring its share of those who wait; who starts brings all.
	y.share = y.wait
	if o.start != nil {
		y.hosts = []int{-1}
	} else if y.lead > 0 {
		y.share = (y.wait + y.lead - 1) / y.lead
	}
	return y
}

// hostsTried is how many kinds of targets are tried at a time as those who lead.
const hostsTried = 4

// openCompany opens nodes for targets of affinity i with their owners, and reports
// whether there was a candidate that holds both.
func (o *opener) openCompany(i int) bool {
	y := o.company(i)
	if y.wait == 0 || len(y.hosts) == 0 {
		return false
	}
	best, most := y.choose()
	if best < 0 {
		return false
	}
	restore := y.spare(most)
	offer := o.downsize(&o.candidates[best])
	restore()
	if o.start != nil {
		ruled := slices.Clone(o.best.ruled)
		o.settle(offer, 1)
		o.settled(ruled, o.start)
		return true
	}
	o.commit(offer)
	return true
}

// choose fills o.best on the candidate that holds most of those who wait, up to their
// share, then at the lowest price for the load. It returns -1 if none holds any.
func (y *company) choose() (best int, most int64) {
	o := y.opener
	best = -1
	for from := 0; from < len(y.hosts) && best < 0; from += hostsTried {
		some := y.hosts[from:min(from+hostsTried, len(y.hosts))]
		for t := range o.candidates {
			c := &o.candidates[t]
			// Candidates are sorted by the price of a full room.
			if most == y.share && compareRatio(o.price[c.offer], c.value, o.price[o.candidates[best].offer], o.best.value) > 0 {
				break
			}
			if o.copies(c.offer, 1) == 0 {
				continue
			}
			for _, host := range some {
				n := min(y.gather(c, host), y.share)
				if n > most || (n == most && n > 0 && o.beats(c, &o.candidates[best])) {
					best, most = t, n
					o.try, o.best = o.best, o.try
				}
			}
		}
	}
	return best, most
}

// spare takes targets out of sight that others need more than a node with room: those of
// other affinities, and as many hosts but one as bring the rest of those who wait, if each
// brings as many as came. It returns how to bring them back.
func (y *company) spare(came int64) (restore func()) {
	came = max(came, 1)
	rest := min((y.wait-came+came-1)/came, y.lead-1)
	taken := map[int]int64{}
	take := func(k int, n int64) {
		taken[k] += n
		y.kinds[k].left -= n
	}
	for _, k := range y.hosts {
		if k >= 0 && rest > 0 {
			n := min(rest, y.kinds[k].left)
			rest -= n
			take(k, n)
		}
	}
	for _, k := range y.elsewhere {
		take(k, y.kinds[k].left)
	}
	return func() {
		for k, n := range taken {
			y.kinds[k].left += n
		}
	}
}

// gather fills candidate c, into o.try, with a pod of a kind unless that is -1, then with
// those who wait, and then with whatever else there is but what is to be spared when so
// many came. It returns how many waited.
func (y *company) gather(c *candidate, host int) (n int64) {
	o := y.opener
	o.empty()
	copy(o.room, c.room)
	if host < 0 || o.fits(c, host, &o.try) > 0 {
		if host >= 0 {
			o.put(host, 1, &o.try)
		}
		for range sweeps {
			for _, k := range y.waiting {
				if came := o.fits(c, k, &o.try); came > 0 {
					o.put(k, came, &o.try)
					n += came
				}
			}
		}
		if n > 0 {
			restore := y.spare(n)
			o.packAll(c, &o.try)
			restore()
		}
	}
	o.close(&o.try)
	return n
}

// packAll packs, and looks again where some kinds may join only after others.
func (o *opener) packAll(c *candidate, l *load) {
	o.pack(c, l)
	for range o.encores {
		o.pack(c, l)
	}
}

// lonely lists the groups with pods on nodes where the targets that they must be with
// are missing, since drop took them out.
func (s *pass) lonely() Set {
	var out Set
	look := func(node int, pods []Share) {
		for _, sh := range pods {
			for _, i := range s.hosts.affinities[sh.Group] {
				a := &s.Affinities[i]
				if a.Owners.Has(sh.Group) && (node < 0 || !a.Present.Has(node)) && of(pods, a.Targets.minus(a.Owners)) == 0 &&
					!(s.homes.Has(i) && of(pods, a.Targets) > 0) {
					out.Add(sh.Group)
				}
			}
		}
	}
	for node, pods := range s.fills {
		look(node, pods)
	}
	for _, o := range s.opened {
		look(-1, o.pods)
	}
	return out
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
