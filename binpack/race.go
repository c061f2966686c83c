package binpack

import (
	"cmp"
	"container/heap"
)

// Which candidates are filled for the next node.
//
// 	price for worth
// 	  │      ○ ○
// 	  │  ●○ ○      ○ hoped for: a full room, or as full as it got last
// 	  │ ●●         ● filled
// 	  │─────────── the best load so far: who cannot hope to beat it is not filled
// 	  └─────────
//
// What a candidate can hold only shrinks as pods are placed, so what it held last is the
// best that can be hoped for. Where rules keep pods apart, or few are left, a candidate
// stays sparse; then smaller ones hold no more (temper), and of hundreds of sizes a dozen
// are filled to find the right one.

// A race is the candidates in the order of their hopes.
type race struct {
	candidates []candidate
	running    []int // a heap of indices by key
	out        []int // those that were filled for the node under way
}

// patience is how many candidates may be filled in turn that are no better than the best.
const patience = 8

// sparse is the share of a candidate's worth below which what it held last says more
// about it than its size: rules keep pods apart, or they are large against it. Such a
// candidate is filled rounds times in the way that was best for it last before all
// ways are tried again.
const (
	sparse = 0.95
	rounds = 8
)

func (r *race) Len() int { return len(r.running) }
func (r *race) Less(i, j int) bool {
	a, b := &r.candidates[r.running[i]], &r.candidates[r.running[j]]
	return cmp.Or(cmp.Compare(a.key, b.key), cmp.Compare(a.offer, b.offer)) < 0
}
func (r *race) Swap(i, j int) { r.running[i], r.running[j] = r.running[j], r.running[i] }
func (r *race) Push(i any)    { r.running = append(r.running, i.(int)) }
func (r *race) Pop() any {
	last := len(r.running) - 1
	i := r.running[last]
	r.running = r.running[:last]
	return i
}

// begin orders the candidates by what can be hoped for at the prices in force. Those that
// held nothing are out for good.
func (r *race) begin(o *opener) {
	r.running = r.running[:0]
	for i := range r.candidates {
		if c := &r.candidates[i]; c.full > 0 {
			c.key = o.hope(c)
			r.running = append(r.running, i)
		}
	}
	heap.Init(r)
}

// next takes the most hopeful candidate out of the race, or returns nil. Hopes may have
// become less than the order says, never more.
func (r *race) next(o *opener) *candidate {
	for len(r.running) > 0 {
		c := &r.candidates[r.running[0]]
		hope := o.hope(c)
		switch {
		case c.full == 0:
			heap.Pop(r)
		case hope > c.key:
			c.key = hope
			heap.Fix(r, 0)
		default:
			r.out = append(r.out, heap.Pop(r).(int))
			return c
		}
	}
	return nil
}

// restart brings back those that may hold something still.
func (r *race) restart(o *opener) {
	for _, i := range r.out {
		if c := &r.candidates[i]; c.full > 0 {
			c.key = o.hope(c)
			heap.Push(r, i)
		}
	}
	r.out = r.out[:0]
}

// fillAll fills the candidates that may hold the best load, which it leaves in o.best,
// and returns the candidate for it, or nil.
func (o *opener) fillAll() (best *candidate) {
	for misses := 0; misses < patience; {
		c := o.race.next(o)
		// Loads are compared exactly (beats); hopes say where to look, and when to stop.
		if c == nil || (best != nil && float64(c.key*float64(o.counted(&o.best))) > o.relative(best.offer)) {
			break
		}
		o.steps++
		switch {
		case o.copies(c.offer, 1) == 0:
			c.full, c.gone, o.stale = 0, true, true // limits and stocks do not grow
			continue
		case o.fillBest(c) && (best == nil || o.beats(c, best)):
			best, misses = c, 0
			o.try, o.best = o.best, o.try
		case best != nil:
			misses++
		}
		o.temper(c)
	}
	o.race.restart(o)
	return best
}

// hope is the price for its worth that a candidate may come to.
func (o *opener) hope(c *candidate) float64 {
	value := float64(c.value)
	if c.full < sparse {
		value *= c.full
	}
	return o.relative(c.offer) / min(value, float64(o.mostCounted))
}

// temper lowers the hopes in candidates that are no larger than c, which was filled just
// now and stayed sparse: they hold no more than it does.
func (o *opener) temper(c *candidate) {
	if c.full >= sparse {
		return
	}
	held := float64(c.full * float64(c.value))
	o.steps += int64(len(o.candidates) / 16)
	for i := range o.candidates {
		d := &o.candidates[i]
		if d.class == c.class && float64(d.full*float64(d.value)) > held && covers(c.room, d.room) {
			d.full = held / float64(d.value)
		}
	}
}
