package binpack

import (
	"cmp"
	"math"
	"math/bits"
	"slices"
)

// New nodes.
//
// 	for each level of priority (one level, unless limits bind)
// 	  for each weight of pools, heaviest first
// 	    price the resources
// 	    until nothing opens:
// 	      for each candidate, the most promising first
// 	        pack it full                         → worth of the load
// 	      take the lowest price / worth
// 	      change to the cheapest offer that holds the load
// 	      open it, as many times as the parts last
//
// Judging an offer by what it would really hold, not by its size, is what makes the
// plan follow prices: a cheap node that leaves half its memory idle is not cheap.
// Worth weighs the resources by the fluid prices, so a load that uses what is dear
// here counts for more than one that uses what is plenty.
//
// The rule of weights is strict, and holds for free: a weight is left only when no
// candidate of it can be opened for anything that remains. Only in a strict pass,
// where pods of low priority ride along on nodes opened for others, must they be
// kept off pools that are too light for them; see opensHeavier.

// open puts the parts on new nodes. Heavier pools come first, strictly: a
// lighter one is looked at when no node of a heavier can be opened for anything
// that is left. In a strict pass that is done for each priority in turn.
func (s *pass) open() {
	for _, level := range s.levels(s.strict) {
		for _, weight := range s.weights {
			o := s.opener(weight, level)
			for !s.ended() && o.openNext() {
			}
		}
	}
}

// levels lists the lowest priority that may open nodes, for each round.
func (s *pass) levels(strict bool) []int32 {
	if !strict {
		return []int32{math.MinInt32}
	}
	var out []int32
	for p := range s.priorities {
		out = append(out, p)
	}
	slices.SortFunc(out, func(a, b int32) int { return cmp.Compare(b, a) })
	return out
}

// A load is pods of parts that would share a node.
type load struct {
	parts []int // by pods: index into pass.parts
	pods  []Share
	value uint64
}

// reset empties the load and keeps its memory.
func (l *load) reset() { l.parts, l.pods, l.value = l.parts[:0], l.pods[:0], 0 }

// An opener opens nodes of the pools of one weight until none can be opened.
type opener struct {
	*pass
	candidates []candidate // those of the lowest price for a full room first
	live       []int       // parts with pods left, in the order of packing
	least      []Vector    // by position in live: the least need from there on
	room       Vector
	whole      Vector // what room was at first
	heads      []int  // by resource: position in live from where blend looks
	try, best  load
	ways       []func(int, *load)
}

// opener prepares the round of one weight: the candidates, the parts that may go
// on them, and what a unit of each resource is worth here. Worth is found anew
// for each weight, since another pool has other prices, and other pods are left.
func (s *pass) opener(weight, level int32) *opener {
	o := &opener{pass: s, candidates: s.candidates(weight), room: make(Vector, len(s.Resources)),
		whole: make(Vector, len(s.Resources)), heads: make([]int, len(s.Resources))}
	o.ways = []func(int, *load){o.blend}
	if s.recipe == packAndBlend {
		o.ways = append(o.ways, o.pack)
	}
	var offers Set
	for _, c := range o.candidates {
		offers.Add(c.offer)
	}
	pods := make([]int64, len(s.Groups))
	for i := range s.parts {
		p := &s.parts[i]
		p.filler = s.Groups[p.group].Priority < level
		if p.left == 0 || !p.offers.meets(offers) || (s.strict && s.opensHeavier(p, weight)) {
			continue
		}
		o.live = append(o.live, i)
		if !p.filler {
			pods[p.group] += p.left
		}
	}
	// Fillers have no say in the prices: nothing is opened for them.
	w := s.worth(offers.Has, func(g int) int64 { return pods[g] })
	for i := range o.candidates {
		o.candidates[i].value = w.value(o.candidates[i].norm)
	}
	// By the price of a full room, the best case of each candidate: openNext can
	// stop where even that is too dear.
	slices.SortFunc(o.candidates, func(a, b candidate) int {
		return cmp.Or(compareRatio(s.price[a.offer], a.value, s.price[b.offer], b.value), cmp.Compare(a.offer, b.offer))
	})
	// A pod that asks for nothing measurable is still worth placing.
	for _, i := range o.live {
		s.parts[i].value = max(w.value(s.parts[i].norm), 1)
	}
	slices.SortFunc(o.live, func(a, b int) int {
		x, y := &s.parts[a], &s.parts[b]
		return cmp.Or(cmp.Compare(s.Groups[y.group].Priority, s.Groups[x.group].Priority),
			cmp.Compare(y.value, x.value), cmp.Compare(x.group, y.group), cmp.Compare(x.cell, y.cell))
	})
	o.prune()
	return o
}

// opensHeavier reports whether a pool heavier than weight would still open a
// node for the part. Such a part may not even fill a node of this one.
func (s *pass) opensHeavier(p *part, weight int32) bool {
	for o := range p.offers.All {
		if s.Pools[s.Offers[o].Pool].Weight > weight && s.holds(o, p) && s.copies(o, 1) > 0 {
			return true
		}
	}
	return false
}

// holds reports whether Solve may put a pod of p on an empty node of offer o.
func (s *pass) holds(o int, p *part) bool {
	return s.room[o] != nil && s.usable(s.Offers[o].Pool) && covers(s.room[o], p.need)
}

// prune drops the parts that are used up, and works out from where on no part can
// fit any more: least[j] asks in each resource for what the most modest of live[j:]
// asks. Packing stops where the room does not cover it.
func (o *opener) prune() {
	o.live = slices.DeleteFunc(o.live, func(i int) bool { return o.parts[i].left == 0 })
	o.least = make([]Vector, len(o.live))
	slab := make(Vector, len(o.live)*len(o.room))
	for j := len(o.live) - 1; j >= 0; j-- {
		o.least[j] = slab[j*len(o.room) : (j+1)*len(o.room)]
		copy(o.least[j], o.parts[o.live[j]].need)
		if j+1 < len(o.live) {
			for r, q := range o.least[j+1] {
				o.least[j][r] = min(o.least[j][r], q)
			}
		}
	}
}

// openNext opens nodes of the offer that a full load costs least on, for the
// worth of the load, and reports whether there was one.
func (o *opener) openNext() bool {
	best := -1
	o.best.reset()
	for i := range o.candidates {
		c := &o.candidates[i]
		price := o.price[c.offer]
		// Candidates are sorted by this ratio, so no later one can do better.
		if best >= 0 && compareRatio(price, c.value, o.price[o.candidates[best].offer], o.best.value) > 0 {
			break // not even a full room would be cheap enough, here and further on
		}
		if o.copies(c.offer, 1) == 0 {
			continue
		}
		for _, fill := range o.ways {
			o.try.reset()
			copy(o.room, c.room)
			fill(c.offer, &o.try)
			if o.try.value > 0 && (best < 0 || o.beats(c, &o.candidates[best])) {
				best = i
				o.try, o.best = o.best, o.try
			}
		}
	}
	if best < 0 {
		return false
	}
	o.commit(o.downsize(&o.candidates[best]))
	return true
}

// beats reports whether the load just tried on c is better than the best: the
// lower price for its worth, the more of it, the offer's ID.
func (o *opener) beats(c, best *candidate) bool {
	return cmp.Or(
		compareRatio(o.price[c.offer], o.try.value, o.price[best.offer], o.best.value),
		cmp.Compare(o.best.value, o.try.value),
		cmp.Compare(c.offer, best.offer)) < 0
}

// compareRatio compares p/v with q/w exactly.
func compareRatio(p MicroUSD, v uint64, q MicroUSD, w uint64) int {
	hi1, lo1 := bits.Mul64(uint64(p), w)
	hi2, lo2 := bits.Mul64(uint64(q), v)
	return cmp.Or(cmp.Compare(hi1, hi2), cmp.Compare(lo1, lo2))
}

// pack fills o.room on a node of the given offer: as many pods as fit of each
// part in order. The worth of fillers does not count.
func (o *opener) pack(offer int, l *load) {
	had := l.parts // those that the node holds already
	for j, i := range o.live {
		o.steps++
		if !covers(o.room, o.least[j]) {
			return
		}
		if n := o.fits(offer, i, l); n > 0 {
			o.put(i, n, slices.Index(had, i), l)
		}
	}
}

// blend fills o.room like pack, but turns to whichever resource the node has
// most of, relative to what it began with, and takes the next part that asks
// for that one before all. It takes a quarter of the pods that fit at a time.
// So parts that ask for much of one thing are mixed with those that ask for much
// of another, and neither is left over.
func (o *opener) blend(offer int, l *load) {
	// Shares are of the room at the start: for a node that holds pods already,
	// of what it has left.
	copy(o.whole, o.room)
	clear(o.heads)
	for {
		r := o.richest()
		if r < 0 {
			return
		}
		j := o.heads[r]
		for ; j < len(o.live); j++ {
			o.steps++
			if !covers(o.room, o.least[j]) {
				j = len(o.live)
				break
			}
			// A part is looked for under one resource only, so that each part is
			// passed over once for a node, not once for each resource.
			if o.dominant(&o.parts[o.live[j]]) != r {
				continue
			}
			if n := o.fits(offer, o.live[j], l); n > 0 {
				o.put(o.live[j], (n+3)/4, slices.Index(l.parts, o.live[j]), l)
				break
			}
		}
		o.heads[r] = j
	}
}

// richest is the resource of which the node has kept the largest part, among
// those for which parts may be left, or -1.
func (o *opener) richest() int {
	best := -1
	for r, room := range o.room {
		if o.heads[r] < len(o.live) && (best < 0 || compareRatio(MicroUSD(room), uint64(o.whole[r]), MicroUSD(o.room[best]), uint64(o.whole[best])) > 0) {
			best = r
		}
	}
	return best
}

// dominant is the resource of which p asks for the largest part of the node.
func (o *opener) dominant(p *part) int {
	best := 0
	for r := range p.need {
		if compareRatio(MicroUSD(p.need[r]), uint64(o.whole[r]), MicroUSD(p.need[best]), uint64(o.whole[best])) > 0 {
			best = r
		}
	}
	return best
}

// fits returns how many more pods of part i may join the load on the offer.
func (o *opener) fits(offer, i int, l *load) int64 {
	p := &o.parts[i]
	if !p.offers.Has(offer) {
		return 0
	}
	rest := p.left
	if k := slices.Index(l.parts, i); k >= 0 {
		rest -= l.pods[k].Count
	}
	n := fit(o.room, p.need, rest)
	if n > 0 {
		n = o.joins(p.group, l.pods, -1, n)
	}
	return n
}

// put adds n pods of part i, which is at position k of the load or, if that is
// negative, not in it yet.
func (o *opener) put(i int, n int64, k int, l *load) {
	p := &o.parts[i]
	for r, q := range p.need {
		o.room[r] -= q * n
	}
	if !p.filler {
		l.value += p.value * uint64(n)
	}
	if k >= 0 {
		l.pods[k].Count += n
		return
	}
	l.parts = append(l.parts, i)
	l.pods = append(l.pods, Share{p.group, n})
}

// downsize finds the cheapest offer that holds the best load as well, the
// smallest of equal price, and fills what room is left there.
func (o *opener) downsize(c *candidate) int {
	// The load was packed on the offer that is cheapest when full. The last nodes
	// of a batch are not, and a smaller or an odder one will do.
	need := o.sum(o.best.pods)
	best := c
	for i := range o.candidates {
		d := &o.candidates[i]
		o.steps++
		if cmp.Or(cmp.Compare(o.price[d.offer], o.price[best.offer]),
			cmp.Compare(d.value, best.value), cmp.Compare(d.offer, best.offer)) >= 0 {
			continue
		}
		if covers(d.room, need) && o.copies(d.offer, 1) > 0 && o.isOpen(d.offer, o.best.parts) {
			best = d
		}
	}
	// The other offer may have more room in some resource.
	if best != c {
		copy(o.room, best.room)
		for r, q := range need {
			o.room[r] -= q
		}
		o.pack(best.offer, &o.best)
	}
	return best.offer
}

// isOpen reports whether the offer is open to every part. Rules among the pods need
// no second look: they do not depend on the offer.
func (o *opener) isOpen(offer int, parts []int) bool {
	for _, i := range parts {
		if !o.parts[i].offers.Has(offer) {
			return false
		}
	}
	return true
}

// sum adds up what pods ask for.
func (t *table) sum(pods []Share) Vector {
	out := make(Vector, len(t.Resources))
	for _, sh := range pods {
		for r, q := range t.need[sh.Group] {
			out[r] += q * sh.Count
		}
	}
	return out
}

// copies returns how many nodes of the offer limits and stocks allow, at most n. If
// that is fewer, it notes that something was bound: then priorities must be heard.
func (s *pass) copies(offer int, n int64) int64 {
	pool := s.Offers[offer].Pool
	wanted := n
	n = min(n, s.nodesLeft[pool])
	for r, q := range s.charge[offer] {
		if q > 0 {
			n = min(n, s.left[pool][r]/q)
		}
	}
	for _, i := range s.stocks[offer] {
		n = min(n, s.stockLeft[i])
	}
	s.bound = s.bound || n < wanted
	return n
}

// take charges n nodes of the offer to limits and stocks.
func (s *pass) take(offer int, n int64) {
	pool := s.Offers[offer].Pool
	// What has no limit must not be counted down: it would have one then.
	if s.nodesLeft[pool] != Unlimited {
		s.nodesLeft[pool] -= n
	}
	for r, q := range s.charge[offer] {
		if s.left[pool][r] != Unlimited {
			s.left[pool][r] -= q * n
		}
	}
	for _, i := range s.stocks[offer] {
		s.stockLeft[i] -= n
	}
}

// commit opens as many nodes of the offer with the best load as its parts,
// limits and stocks allow.
func (o *opener) commit(offer int) {
	// Packing the same parts again gives the same load as long as each of them has
	// enough pods left, so all those nodes are opened at once.
	n := int64(math.MaxInt64)
	for k, i := range o.best.parts {
		n = min(n, o.parts[i].left/o.best.pods[k].Count)
	}
	n = o.copies(offer, n)
	o.take(offer, n)
	done := opened{offer: offer, count: n}
	used := false
	for k, i := range o.best.parts {
		p := &o.parts[i]
		p.left -= n * o.best.pods[k].Count
		o.placed[p.group][p.cell] += n * o.best.pods[k].Count
		used = used || p.left == 0
		done.pods = append(done.pods, o.best.pods[k])
		done.cells = append(done.cells, p.cell)
	}
	o.opened = append(o.opened, done)
	// A part that is used up shifts what packing may skip.
	if used {
		o.prune()
	}
}
