package binpack

import "math"

// How one node is filled.
//
// Three ways, since no one is best for all: pack takes the kinds in order, the
// dearest pods first, which is best where few pods fit on a node; blend mixes kinds
// that ask for much of one thing with those that ask for much of another; relaxed
// solves the packing with pods that may be cut, which is best where many pods fit.

// A load is pods that would share a node.
type load struct {
	kinds  []int
	counts []int64 // by kinds
	value  uint64  // without fillers
}

// A filling is the memory that loads are tried in, kept from node to node.
type filling struct {
	room, whole Vector
	heads       []int   // by resource: position in live from where blend looks
	held        []int64 // by kind: pods in the load under way; all 0 between loads
	try, best   load
	second      load // see fillBest
	relaxation  *relaxation
	ratio       []float64 // by kind; see rank
	ranked      []int
	rooms       [][]float64 // of the candidates; see appraise
	prices      []float64   // likewise
}

// newFilling has memory for the kinds and a number of resources.
func newFilling(kinds []kind, resources int) filling {
	return filling{
		room: make(Vector, resources), whole: make(Vector, resources), heads: make([]int, resources),
		held: make([]int64, len(kinds)), relaxation: newRelaxation(kinds, resources), ratio: make([]float64, len(kinds)),
	}
}

// The ways to fill a node.
const (
	pack = iota
	blend
	relaxed
	ways
)

// fill puts a load on candidate c in the given way, into o.try.
func (o *opener) fill(c *candidate, way int) {
	o.empty()
	copy(o.room, c.room)
	switch way {
	case blend:
		o.blend(c, &o.try)
	case relaxed:
		o.relax(c, &o.try)
	}
	o.packAll(c, &o.try)
	o.close(&o.try)
}

// empty makes o.try a load of no pods, and keeps its memory.
func (o *opener) empty() {
	o.try.kinds, o.try.counts, o.try.value = o.try.kinds[:0], o.try.counts[:0], 0
}

// refill fills what a load leaves of candidate c; need is what the load asks for.
func (o *opener) refill(c *candidate, l *load, need Vector) {
	copy(o.room, c.room)
	for r, q := range need {
		o.room[r] -= q
	}
	for j, i := range l.kinds {
		o.held[i] = l.counts[j]
		if g := o.kinds[i].ruled; g >= 0 {
			o.crowd.add(g, l.counts[j])
		}
	}
	o.pack(c, l)
	o.close(l)
}

// close writes the counts of the load down and leaves held and the crowd empty.
func (o *opener) close(l *load) {
	l.counts = l.counts[:0]
	for _, i := range l.kinds {
		l.counts = append(l.counts, o.held[i])
		if g := o.kinds[i].ruled; g >= 0 {
			o.crowd.add(g, -o.held[i])
		}
		o.held[i] = 0
	}
	o.crowd.next()
}

// pack fills o.room on a node of candidate c: as many pods as fit of each kind
// in order.
func (o *opener) pack(c *candidate, l *load) {
	for j := o.skip(0, o.room); j < len(o.live); j = o.skip(j+1, o.room) {
		o.steps++
		if !covers(o.room, o.need(j)) {
			continue
		}
		i := o.live[j]
		if n := o.fits(c, i, l); n > 0 {
			o.put(i, n, l)
		}
	}
}

// blend fills o.room like pack, but turns to whichever resource the node has
// most of, relative to what it began with, and takes the next kind that asks
// for that one before all. It takes a quarter of the pods that fit at a time.
// So kinds that ask for much of one thing are mixed with those that ask for much
// of another, and neither is left over.
func (o *opener) blend(c *candidate, l *load) {
	copy(o.whole, o.room)
	clear(o.heads)
	for {
		r := o.richest()
		if r < 0 {
			return
		}
		j := o.heads[r]
		for j = o.skip(j, o.room); j < len(o.live); j = o.skip(j+1, o.room) {
			o.steps++
			// A kind is looked for under one resource only, so that each kind is
			// passed over once for a node, not once for each resource.
			i := o.live[j]
			if !covers(o.room, o.need(j)) || o.dominant(&o.kinds[i]) != r {
				continue
			}
			if n := o.fits(c, i, l); n > 0 {
				o.put(i, (n+3)/4, l)
				break
			}
		}
		o.heads[r] = j
	}
}

// richest is the resource of which the node has kept the largest part, among
// those for which kinds may be left, or -1.
func (o *opener) richest() int {
	best := -1
	for r, room := range o.room {
		if o.heads[r] < len(o.live) && (best < 0 || compareRatio(MicroUSD(room), uint64(o.whole[r]), MicroUSD(o.room[best]), uint64(o.whole[best])) > 0) {
			best = r
		}
	}
	return best
}

// dominant is the resource of which k asks for the largest part of the node.
func (o *opener) dominant(k *kind) int {
	best := 0
	for r := range k.need {
		if compareRatio(MicroUSD(k.need[r]), uint64(o.whole[r]), MicroUSD(k.need[best]), uint64(o.whole[best])) > 0 {
			best = r
		}
	}
	return best
}

// How many kinds are looked at to fill a node; see relaxes. Of more kinds, those are taken
// that are evenly far apart in the order of packing, large and small ones, and others for
// the next node.
const (
	perPod       = 50
	leastRelaxed = 200
	mostRelaxed  = 2000
)

// relax takes the whole pods of the packing in which pods may be cut. Of each kind it
// takes at most the recipe's number of fair shares, a fair share being what the node
// would get if all that is left were dealt out evenly: so pods of odd shape, which
// fit well only beside their opposites, are not left over, and many nodes are alike.
func (o *opener) relax(c *candidate, l *load) {
	x := o.relaxation
	share := 1.0
	if o.recipe.fair > 0 {
		share = min(1, o.recipe.fair*float64(c.value)/o.remaining)
	}
	x.order = x.order[:0]
	stride := 1 + len(o.live)/o.relaxes(c)
	for j := len(o.opened) % stride; j < len(o.live); j += stride {
		i := o.live[j]
		o.steps++
		if k := &o.kinds[i]; !k.filler && c.open[k.set] && covers(c.room, k.need) {
			x.value[i], x.left[i] = float64(k.value), math.Ceil(float64(min(k.left, k.most))*share)
			x.order = append(x.order, i)
		}
	}
	before := x.looks
	x.solve(c.size)
	o.steps += x.looks - before
	for _, i := range x.order {
		if n := min(x.whole(i), o.fits(c, i, l)); n > 0 {
			o.put(i, n, l)
		}
	}
}

// relaxes is how many kinds are looked at to fill a candidate: perPod for each average
// pod that it has room for, within bounds.
func (o *opener) relaxes(c *candidate) int {
	if o.podsLeft == 0 { // fillers alone
		return leastRelaxed
	}
	pods := float64(c.value) / o.remaining * float64(o.podsLeft)
	return int(min(max(pods*perPod, leastRelaxed), mostRelaxed))
}

// fits returns how many more pods of kind i may join the load on the candidate.
func (o *opener) fits(c *candidate, i int, l *load) int64 {
	k := &o.kinds[i]
	if !c.open[k.set] || (k.ruled >= 0 && o.crowd.isShut(k.ruled)) {
		return 0
	}
	n := fit(o.room, k.need, k.left-o.held[i])
	if n > 0 && k.ruled >= 0 {
		n = o.crowd.admits(k.ruled, -1, n, o.start)
	}
	return n
}

// put adds n pods of kind i. The worth of fillers does not count.
func (o *opener) put(i int, n int64, l *load) {
	k := &o.kinds[i]
	for r, q := range k.need {
		o.room[r] -= q * n
	}
	if !k.filler {
		l.value += k.value * uint64(n)
	}
	if o.held[i] == 0 {
		l.kinds = append(l.kinds, i)
	}
	o.held[i] += n
	if k.ruled >= 0 {
		o.crowd.add(k.ruled, n)
	}
}

// ruledPods are the pods of a load that rules of one node bind, as if they all were of
// the first groups that are bound so.
func (o *opener) ruledPods(l *load) (pods []Share) {
	for j, i := range l.kinds {
		if g := o.kinds[i].ruled; g >= 0 {
			pods = with(pods, g, l.counts[j])
		}
	}
	return pods
}
