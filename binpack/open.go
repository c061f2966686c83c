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
// 	    until nothing opens:
// 	      price the resources for what is left
// 	      for each candidate, the most promising first
// 	        fill it                             → worth of the load
// 	      take the lowest price / worth
// 	      change to the cheapest offer that holds the load
// 	      open it, as many times as the kinds last
//
// Judging an offer by what it would really hold, not by its size, is what makes the
// plan follow prices: a cheap node that leaves half its memory idle is not cheap.
// Worth weighs the resources by the fluid prices of what is still to be placed, so a
// load that uses what is dear now counts for more than one that uses what is plenty.
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
			s.companies(weight, level, false)
			o := s.mixFirst(weight, level)
			for !s.ended() && o.openNext() {
			}
		}
	}
	s.joinLate()
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

// An opener opens nodes of the pools of one weight until none can be opened.
type opener struct {
	*pass
	race
	weight      int32     // of the pools
	stale       bool      // offers have run out since resources were priced
	apart       [][]int   // by slot: kinds that take one
	cheapest    []float64 // by kind that a rule of one node binds: the least that a node for one pod costs
	nodesFor    []int64   // by such a kind: how many nodes there may be for it
	members     Set       // of the slot by which pods keep apart
	mostCounted uint64    // the most that a load counts for; see counted
	kinds       []kind
	live        []int    // kinds with pods left, in the order of packing
	lineup               // of live
	demand      float64  // worth of all that was left when worth was found
	remaining   float64  // worth of all that is left
	podsLeft    int64    // how many pods that is
	dearest     MicroUSD // price of a candidate; at least 1
	start       Set      // affinities that the node under way may start; see company.go
	crowd       *crowd   // of the node under way
	encores     int      // how often packing is repeated, for kinds that may join only after others
	filling
}

// opener prepares the round of one weight: the candidates, and the kinds that may
// go on them.
func (s *pass) opener(weight, level int32) *opener {
	o := &opener{pass: s, weight: weight, race: race{candidates: s.listCandidates(weight)}, crowd: s.visitors()}
	var offers Set
	for _, c := range o.candidates {
		offers.Add(c.offer)
	}
	may := make([]bool, len(s.sets))
	for i, set := range s.sets {
		may[i] = set.Meets(offers)
	}
	o.kinds = s.kinds(func(p *part) bool {
		return may[p.set] && !(s.strict && s.opensHeavier(p, weight)) && s.barred(p.group) < 0 && !(s.alone && s.isGuest(p.group))
	}, level)
	for i := range o.kinds {
		o.live = append(o.live, i)
		if r := o.kinds[i].ruled; r >= 0 && s.isGuest(r) {
			o.encores = sweeps
		}
	}
	s.widest = max(s.widest, len(o.kinds))
	o.filling = newFilling(o.kinds, len(s.Resources))
	o.dearest = 1
	for _, c := range o.candidates {
		o.dearest = max(o.dearest, o.price[c.offer])
	}
	if len(o.slots) > 0 {
		o.findApart()
	}
	o.appraise()
	return o
}

// opensHeavier reports whether a pool heavier than weight would still open a
// node for the part. Such a part may not even fill a node of this one.
func (s *pass) opensHeavier(p *part, weight int32) bool {
	for o := range s.sets[p.set].All {
		if s.weightOf(o) > weight && s.holds(o, p) && s.serves(o, p.set) && s.copies(o, 1) > 0 {
			return true
		}
	}
	return false
}

// holds reports whether Solve may put a pod of p on an empty node of offer o.
func (s *pass) holds(o int, p *part) bool {
	return s.room[o] != nil && covers(s.room[o], p.need)
}

// appraise prices the resources for what is left, and puts candidates and kinds in
// the orders that follow. Fillers have no say: nothing is opened for them.
func (o *opener) appraise() {
	rooms, prices := o.rooms[:0], o.prices[:0]
	for i := range o.candidates {
		// What has run out has no say any more.
		if c := &o.candidates[i]; !c.gone {
			rooms, prices = append(rooms, c.size), append(prices, o.relative(c.offer))
		}
	}
	o.rooms, o.prices = rooms, prices
	demand := make([]float64, len(o.Resources))
	for i := range o.kinds {
		if k := &o.kinds[i]; !k.filler {
			for r, q := range k.size {
				demand[r] += float64(q * float64(k.left))
			}
		}
	}
	w := o.tableau.worth(rooms, prices, demand)
	for i := range o.candidates {
		c := &o.candidates[i]
		c.value = max(w.value(c.norm), 1)
		for r, y := range w {
			c.guess[r] = float64(y)
		}
	}
	// A pod that asks for nothing measurable is still worth placing.
	for i := range o.kinds {
		o.kinds[i].value = max(w.value(o.kinds[i].norm), 1)
	}
	slices.SortFunc(o.live, func(a, b int) int {
		x, y := &o.kinds[a], &o.kinds[b]
		return cmp.Or(cmp.Compare(y.priority, x.priority), cmp.Compare(y.value, x.value), cmp.Compare(a, b))
	})
	o.prune()
	if o.stale && len(o.slots) > 0 {
		o.findApart()
	}
	o.demand, o.stale = o.worthLeft(), false
	o.mostCounted = math.MaxUint64
	if members, n := o.keepApart(); n > 1 && o.recipe.shares > 0 {
		o.members, o.mostCounted = members, max(uint64(float64(o.recipe.shares*o.demand)/float64(n)), lonely)
	}
	o.race.begin(o)
	o.steps += int64(2 * (len(o.candidates) + len(o.live)))
}

// relative is an offer's price in parts of the highest, as quantities are: another
// currency gives the same floats.
func (o *opener) relative(offer int) float64 { return float64(o.price[offer]) / float64(o.dearest) }

// worthLeft is what all pods that may open nodes are worth.
func (o *opener) worthLeft() float64 {
	sum := 0.0
	o.podsLeft = 0
	for _, i := range o.live {
		if k := &o.kinds[i]; !k.filler {
			sum += float64(float64(k.value) * float64(k.left))
			o.podsLeft += k.left
		}
	}
	return sum
}

// fluidCost is what all that is left would cost, in parts of the highest price, if
// pods and nodes could be cut.
func (o *opener) fluidCost() float64 { return o.worthLeft() / worthScale / unit }

// prune drops the kinds that are used up.
func (o *opener) prune() {
	o.live = slices.DeleteFunc(o.live, func(i int) bool { return o.kinds[i].left == 0 })
	o.draw(o.live, o.kinds)
}

// reappraise is the share of the worth, one in so many, that is placed before the
// resources are priced anew.
const reappraise = 32

// openNext opens nodes of the offer that a full load costs least on, for the
// worth of the load, and reports whether there was one. Candidates are filled in the
// order of hope (race.go), few for each node.
func (o *opener) openNext() bool {
	o.remaining = o.worthLeft()
	if o.stale || o.remaining < o.demand-float64(o.demand/reappraise) {
		o.appraise()
		o.remaining = o.demand
	}
	best := o.fillAll()
	if best == nil {
		return false
	}
	o.commit(o.downsize(best))
	return true
}

// fillBest fills a candidate in the best way, into o.try, and notes how full it got. It
// reports whether anything is on it.
func (o *opener) fillBest(c *candidate) bool {
	c.rounds++
	if c.rounds%rounds == 1 || c.full > sparse {
		c.way = -1
	}
	if c.way >= 0 {
		o.fill(c, c.way)
	} else {
		o.second.value, o.second.kinds = 0, o.second.kinds[:0]
		for way := range ways {
			if way != relaxed && len(o.live) > 2*mostRelaxed {
				continue // so many kinds are small against a node, or the node holds few
			}
			if o.fill(c, way); o.counted(&o.try) > o.counted(&o.second) {
				c.way = way
				o.try, o.second = o.second, o.try
			}
		}
		o.try, o.second = o.second, o.try
	}
	c.full = float64(o.try.value) / float64(c.value)
	return o.try.value > 0
}

// beats reports whether the load just tried on c is better than the best: the
// lower price for its worth, the more of it, the offer's ID.
func (o *opener) beats(c, best *candidate) bool {
	return cmp.Or(
		compareRatio(o.price[c.offer], o.counted(&o.try), o.price[best.offer], o.counted(&o.best)),
		cmp.Compare(o.best.value, o.try.value),
		cmp.Compare(c.offer, best.offer)) < 0
}

// compareRatio compares p/v with q/w exactly.
func compareRatio(p MicroUSD, v uint64, q MicroUSD, w uint64) int {
	hi1, lo1 := bits.Mul64(uint64(p), w)
	hi2, lo2 := bits.Mul64(uint64(q), v)
	return cmp.Or(cmp.Compare(hi1, hi2), cmp.Compare(lo1, lo2))
}

// downsize finds the cheapest offer that holds the best load as well, the
// smallest of equal price, and fills what room is left there.
func (o *opener) downsize(c *candidate) int {
	// The load was packed on the offer that is cheapest when full. The last nodes
	// of a batch are not, and a smaller or an odder one will do.
	need := make(Vector, len(o.Resources))
	for j, i := range o.best.kinds {
		for r, q := range o.kinds[i].need {
			need[r] += q * o.best.counts[j]
		}
	}
	best := c
	for i := range o.candidates {
		d := &o.candidates[i]
		o.steps++
		if cmp.Or(cmp.Compare(o.price[d.offer], o.price[best.offer]),
			cmp.Compare(d.value, best.value), cmp.Compare(d.offer, best.offer)) >= 0 {
			continue
		}
		if covers(d.room, need) && o.copies(d.offer, 1) > 0 && o.isOpen(d, o.best.kinds) {
			best = d
		}
	}
	// The other offer may have more room in some resource.
	if best != c {
		o.refill(best, &o.best, need)
	}
	return best.offer
}

// isOpen reports whether the candidate is open to every kind. Rules among the pods
// need no second look: they do not depend on the offer.
func (o *opener) isOpen(c *candidate, kinds []int) bool {
	for _, i := range kinds {
		if !c.open[o.kinds[i].set] {
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
	allowed := s.allowed(offer, n)
	s.bound = s.bound || allowed < n
	return allowed
}

// allowed is copies for whoever only wants to know.
func (s *pass) allowed(offer int, n int64) int64 {
	charge, stocks, ok := s.dues(offer)
	if !ok {
		return 0
	}
	return s.lets(s.Offers[offer].Pool, n, charge, stocks)
}

// lets returns how many nodes of a pool, at most n, limits and stocks allow that charge
// so much and draw on these.
func (s *pass) lets(pool int, n int64, charge Vector, stocks draws) int64 {
	n = min(n, s.nodesLeft[pool])
	for r, q := range charge {
		if q > 0 {
			n = min(n, s.left[pool][r]/q)
		}
	}
	for _, d := range stocks {
		n = min(n, s.stockLeft[d.stock]/d.units)
	}
	return n
}

// take charges n nodes of the offer to limits and stocks.
func (s *pass) take(offer int, n int64) {
	pool := s.Offers[offer].Pool
	// What has no limit must not be counted down: it would have one then.
	if s.nodesLeft[pool] != Unlimited {
		s.nodesLeft[pool] -= n
	}
	charge, stocks, _ := s.dues(offer)
	for r, q := range charge {
		if s.left[pool][r] != Unlimited {
			s.left[pool][r] -= q * n
		}
	}
	for _, d := range stocks {
		s.stockLeft[d.stock] -= d.units * n
	}
}

// commit opens as many nodes of the offer with the best load as its kinds,
// limits and stocks allow.
func (o *opener) commit(offer int) {
	// Packing the same kinds again gives the same load as long as each of them has
	// enough pods left, so all those nodes are opened at once.
	n := int64(math.MaxInt64)
	for j, i := range o.best.kinds {
		n = min(n, o.kinds[i].left/o.best.counts[j])
	}
	o.settle(offer, o.copies(offer, n))
}

// settle opens n nodes of the offer with the best load.
func (o *opener) settle(offer int, n int64) {
	o.take(offer, n)
	used := false
	for j, i := range o.best.kinds {
		o.kinds[i].left -= n * o.best.counts[j]
		used = used || o.kinds[i].left == 0
	}
	o.deal(offer, n, o.kinds, &o.best)
	// A kind that is used up shifts what packing may skip.
	if used {
		o.prune()
	}
}

// deal settles whose pods n nodes of a load hold: the parts of each kind in turn.
func (s *pass) deal(offer int, n int64, kinds []kind, l *load) {
	for n > 0 {
		// As many nodes alike as the parts at the head last.
		alike := n
		for j, i := range l.kinds {
			alike = min(alike, s.parts[s.head(&kinds[i])].left/l.counts[j])
		}
		alike = max(alike, 1) // or one node, where several parts must serve a kind
		done := opened{offer: offer, listed: s.listed(offer), count: alike}
		for j, i := range l.kinds {
			for rest := l.counts[j]; rest > 0; {
				p := &s.parts[s.head(&kinds[i])]
				k := min(rest, p.left/alike)
				p.left -= k * alike
				s.placed[p.group][p.cell] += k * alike
				done.pods = append(done.pods, Share{p.group, k})
				done.cells = append(done.cells, p.cell)
				rest -= k
			}
		}
		s.opened = append(s.opened, done)
		n -= alike
	}
}

// head returns the first part of a kind that has pods left.
func (s *pass) head(k *kind) int {
	for s.parts[k.parts[0]].left == 0 {
		k.parts = k.parts[1:]
	}
	return k.parts[0]
}
