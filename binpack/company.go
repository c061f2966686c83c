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

// mayStart reports whether owners of affinity i may start a node now. While targets that
// are no owners may still come, they wait; last says that none comes any more.
func (s *pass) mayStart(i int, last bool) bool {
	a := &s.Affinities[i]
	if a.Key != Hostname || a.Present.Len() > 0 || s.homes.Has(i) {
		return false
	}
	for g := range a.Targets.Minus(a.Owners).All {
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
		if of(pods, a.Owners) > 0 && of(pods, a.Targets.Minus(a.Owners)) == 0 {
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

// sweeps is how often kinds are looked at for one load where some may join only after
// others have. It bounds the chains of affinities that one node is filled with.
const sweeps = 3

// guests are the owners of affinities over Hostname that wait for the given groups, or for
// those who wait for them.
func (t *table) guests(first Set) Set {
	out := slices.Clone(first)
	for range sweeps {
		for i := range t.Affinities {
			if a := &t.Affinities[i]; a.Key == Hostname && a.Targets.Meets(out) {
				out = out.or(a.Owners)
			}
		}
	}
	return out
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
			return p.left > 0 && a.Targets.Has(p.group) && s.sets[p.set].Meets(c.offers)
		}) {
			return false
		}
	}
	return true
}

// mixFirst decides nodes by the mixture, if the recipe has one, and returns the opener for
// the rest. The mixture knows nothing of company: it is for all but those who must have some.
func (s *pass) mixFirst(weight, level int32) *opener {
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
			if o.start != nil && !last && a.Targets.Minus(a.Owners).Len() == 0 {
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
	order      []int // the candidates by the price of a full room
}

// company gathers who takes part in affinity i.
func (o *opener) company(i int) *company {
	a := &o.Affinities[i]
	y := &company{opener: o, order: o.byRatio()}
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

// byRatio lists the candidates by the price of a full room.
func (o *opener) byRatio() []int {
	order := make([]int, len(o.candidates))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(i, j int) int {
		a, b := &o.candidates[i], &o.candidates[j]
		return cmp.Or(compareRatio(o.price[a.offer], a.value, o.price[b.offer], b.value), cmp.Compare(a.offer, b.offer))
	})
	return order
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
		ruled := o.ruledPods(&o.best)
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
		for _, t := range y.order {
			c := &o.candidates[t]
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
				if a.Owners.Has(sh.Group) && (node < 0 || !a.Present.Has(node)) && of(pods, a.Targets.Minus(a.Owners)) == 0 &&
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
