package binpack

import (
	"cmp"
	"context"
	"math"
	"slices"
)

// The order of things: passes until one holds, recipes until the budget ends.
//
// A pass never undoes a step. Where a step turns out wrong because of something that
// came later (a limit that ran out in one zone), the remedy is not to repair the
// plan but to say so in the caps, and make the plan again. Passes are cheap, and a
// plan made in one go has the properties that its steps have; a repaired one would
// have to be shown to have them.

// The budget for improving the first plan if the problem names none:
//
//	min(mostPerKind × kinds, max(usualSteps, min(stepsPerKind × kinds, stepsPerPod × pods, mostSteps)))
//
// Few kinds of pods are soon as good as they get; many pods of many kinds need longer than
// usual. A step takes some 30 ns.
const (
	mostPerKind  = 200_000
	usualSteps   = 6_000_000
	stepsPerKind = 12_000
	stepsPerPod  = 1_000
	mostSteps    = 24_000_000
)

// proven is the gap to the lower bound, as a factor, at which no better plan is looked for.
const proven = 1.0005

// Solve places every pod that fits somewhere, pods of higher priority first
// where not all do, at little cost. Pods that find no place are data in
// [Solution.Unplaced], not an error. When ctx ends, the best plan so far comes
// back with Truncated set; the error is for an invalid problem.
func Solve(ctx context.Context, p *Problem) (*Solution, error) {
	if err := p.Validate(); err != nil {
		return nil, err
	}
	c := canonical(p)
	t := newTable(c)
	best, steps := t.search(ctx)
	others := steps - best.steps // before solution adds to best's own
	s := best.solution()
	s.LowerBound = best.lowerBound(steps / partOfSearch)
	s.Steps = others + best.steps
	c.restore(s)
	return s, nil
}

// search makes a plan by each recipe while the budget lasts, repacks the best and unites its
// nodes, and returns it with the steps of all.
func (t *table) search(ctx context.Context) (best *pass, steps int64) {
	best = t.plan(ctx, recipes[0], nil, 0)
	budget := t.MaxSteps
	if budget == 0 {
		kinds := int64(t.widest)
		budget = min(mostPerKind*kinds, max(usualSteps, min(stepsPerKind*kinds, stepsPerPod*t.pods(), mostSteps)))
	}
	steps = best.steps
	budget = min(budget, math.MaxInt64-steps) + steps // the first plan is made whole, whatever it takes
	last := steps
	bound := best.fluidBound()
	others := recipes[1:]
	if t.widest > maxRows {
		others = nil // no mixture of so many kinds; to repack is better than other recipes
	}
	for _, r := range others {
		// Another recipe is tried only if, going by the last, the budget lasts to its end:
		// half a plan is no plan.
		if best.truncated || steps+last > budget || !best.above(bound) {
			break
		}
		next := t.plan(ctx, r, best.opened, (budget-steps)*3/4)
		steps += next.steps
		last = next.steps
		if next.truncated {
			best.truncated = true
		} else if next.betters(best) {
			best = next
		}
	}
	forUnion := (budget - steps) / partOfUnion
	best, used := t.repack(best, budget-steps-forUnion, bound)
	steps += used
	if !best.truncated {
		steps += best.unite(budget - steps)
	}
	return best, steps
}

// pods counts the pods of the problem.
func (t *table) pods() (n int64) {
	for g := range t.Groups {
		n += t.Groups[g].Count
	}
	return n
}

// above reports whether the plan is so far above a bound that a better one is worth a look.
func (s *pass) above(bound MicroUSD) bool { return float64(s.cost()) > float64(bound)*proven }

// cost is that of the new nodes.
func (s *pass) cost() (sum MicroUSD) {
	for _, o := range s.opened {
		sum += s.price[o.offer] * MicroUSD(o.count)
	}
	return sum
}

// betters compares two plans by the objective: pods placed by priority, then on
// the heaviest pools, then cost, then nodes. Of equal plans the earlier recipe's
// stays.
func (s *pass) betters(t *pass) bool {
	a, b := s.score(), t.score()
	return slices.Compare(a, b) < 0
}

// score is what a plan is judged by, most important first, less is better. Its
// length is the same for all plans of a problem. It is asked of a plan that is whole.
func (s *pass) score() []int64 {
	if s.scored != nil {
		return s.scored
	}
	// Layout: unplaced pods by priority │ placed pods by weight, negated │ cost │ nodes.
	levels := s.levels(true)
	out := make([]int64, len(levels)+len(s.weights)+2)
	for g := range s.Groups {
		if !s.mayPlace(g) {
			continue // as many are left in any plan
		}
		if i, ok := slices.BinarySearchFunc(levels, s.Groups[g].Priority, func(a, b int32) int { return cmp.Compare(b, a) }); ok {
			out[i] += s.Groups[g].Count - total(s.placed[g])
		}
	}
	for _, o := range s.opened {
		weight := s.Pools[s.Offers[o.offer].Pool].Weight
		i, _ := slices.BinarySearchFunc(s.weights, weight, func(a, b int32) int { return cmp.Compare(b, a) })
		for _, sh := range o.pods {
			out[len(levels)+i] -= sh.Count * o.count
		}
		out[len(out)-2] += int64(s.price[o.offer]) * o.count
		out[len(out)-1] += o.count
	}
	s.scored = out
	return out
}

// mayPlace reports whether pods of group g could have a place in some plan.
func (t *table) mayPlace(g int) bool {
	return t.asks[g] == "" && t.Groups[g].Count > 0 && (t.opens[g] || t.Groups[g].Nodes.Len() > 0)
}

// plan makes passes until one keeps every spread and affinity. A pass fills the quotas that
// split decided, and limits may leave one of them short, so that another domain
// ends too far above it. Then the quotas are capped by what was possible, and
// the plan is made anew: pods that may not stay must not have taken the room of
// others.
func (t *table) plan(ctx context.Context, r recipe, incumbent []opened, until int64) *pass {
	// What passes learn from each other. Steps add up over all of them.
	caps := t.caps()
	strict := false
	steps := int64(0)
	for attempt := 0; ; attempt++ {
		s := newPass(ctx, t, r)
		s.caps, s.strict, s.steps, s.incumbent, s.until = caps, strict, steps, incumbent, until
		s.run()
		steps = s.steps
		// A pass that ctx ended has not seen all groups. A pass in which a limit
		// stood in the way may have given the room to the wrong pods.
		switch {
		case s.truncated:
			s.dropBroken()
			return s
		case s.bound && !strict && len(t.priorities) > 1:
			strict = true // pods of low priority may have taken what was short
		case !s.tightenCaps(attempt):
			return s
		}
	}
}

// caps that cap nothing.
func (t *table) caps() *caps {
	c := &caps{cell: t.perCell()}
	for g := range t.Groups {
		c.group = append(c.group, t.Groups[g].Count)
		for i := range c.cell[g] {
			c.cell[g][i] = t.Groups[g].Count
		}
	}
	return c
}

// real counts what found a place.
func (s *pass) real() *ledger {
	l := newLedger(s.table)
	for g := range s.Groups {
		for i := range s.cells[g] {
			if s.placed[g][i] > 0 {
				l.add(&s.cells[g][i], s.placed[g][i])
			}
		}
	}
	return l
}

// faults are what a plan does not keep: spreads over ordinary keys, and affinities.
type faults struct{ spreads, affinities []int }

// none reports whether the plan keeps everything.
func (f *faults) none() bool { return len(f.spreads)+len(f.affinities) == 0 }

// broken lists what the plan does not keep.
func (s *pass) broken() *faults {
	l := s.real()
	out := &faults{}
	for i := range s.Spreads {
		for at, n := range l.counted[i] {
			if l.owners[i][at] > 0 && n > l.lowest(i)+s.Spreads[i].MaxSkew {
				out.spreads = append(out.spreads, i)
				break
			}
		}
	}
	for i := range s.Affinities {
		if l.isBroken(i) {
			out.affinities = append(out.affinities, i)
		}
	}
	if out.none() { // pods that are in the wrong place may seem to wait for each other
		out.affinities = s.stuck()
	}
	return out
}

// tightenCaps lowers the caps of groups that broken spreads and affinities are about,
// and reports whether there are any.
//
// The first remedy is to plan no more pods of a group than found room, evenly:
// a limit that is shared by all domains then fits. If it comes short again, its
// domains differ, and each is capped by what it took. The two alternate a few
// times; what is still broken then is given up, one group at a time, or the owners of
// an affinity all at once: their targets may be well without them.
func (s *pass) tightenCaps(attempt int) bool {
	broken := s.broken()
	if broken.none() {
		return false
	}
	const rounds = 6
	changed := false
	for _, g := range s.about(broken) {
		planned, found := total(s.quota[g]), total(s.placed[g])
		switch {
		case planned == found:
		// Caps have not settled: the group waits for the next batch. One at a
		// time, since the others may be well without it.
		case attempt >= rounds:
			if len(broken.affinities) == 0 {
				s.caps.giveUp(g)
				return true
			}
		case attempt%2 == 0:
			s.caps.group[g] = found
			changed = true
		default:
			s.caps.group[g] = s.Groups[g].Count
			copy(s.caps.cell[g], minEach(s.caps.cell[g], s.quota[g], s.placed[g]))
			changed = true
		}
	}
	if changed {
		return true
	}
	// Nobody fell short, and still a spread is broken: pods that are counted
	// without asking have come later. The owners make room for them.
	give := s.about(broken)
	if len(broken.affinities) > 0 {
		give = s.owners(broken)
	}
	for _, g := range give {
		if total(s.placed[g]) > 0 {
			s.caps.giveUp(g)
			if len(broken.affinities) == 0 {
				break
			}
		}
	}
	return true
}

// minEach caps the cells that took less than was planned at what they took.
func minEach(caps, planned, found []int64) []int64 {
	for i := range caps {
		if found[i] < planned[i] {
			caps[i] = found[i]
		}
	}
	return caps
}

// about lists the groups that are owners of what is broken, counted by it or its
// targets, in the order of their IDs. Any of them may have left a domain too high or
// another too low.
func (s *pass) about(broken *faults) []int {
	var groups Set
	for _, i := range broken.spreads {
		groups = groups.or(s.Spreads[i].Owners.or(s.Spreads[i].Counted))
	}
	for _, i := range broken.affinities {
		groups = groups.or(s.Affinities[i].Owners.or(s.Affinities[i].Targets))
	}
	return slices.Collect(groups.All)
}

// owners lists the owners of broken affinities, in the order of their IDs.
func (s *pass) owners(broken *faults) []int {
	var groups Set
	for _, i := range broken.affinities {
		groups = groups.or(s.Affinities[i].Owners)
	}
	return slices.Collect(groups.All)
}

// total sums the cells of a group.
func total(list []int64) (n int64) {
	for _, k := range list {
		n += k
	}
	return n
}

// dropBroken takes the groups of broken spreads and the owners of broken affinities
// out of a plan that ctx ended before it was whole, until none is broken.
func (s *pass) dropBroken() {
	for broken := s.broken(); !broken.none(); broken = s.broken() {
		if len(broken.affinities) > 0 {
			for _, g := range s.owners(broken) {
				s.drop(g)
			}
			continue
		}
		for _, g := range s.about(broken) {
			s.drop(g)
		}
	}
	for lonely := s.lonely(); lonely.Len() > 0; lonely = s.lonely() {
		for g := range lonely.All {
			s.drop(g)
		}
		s.dropBroken()
	}
}

// drop takes all pods of group g out of the plan.
func (s *pass) drop(g int) {
	for i := range s.placed[g] {
		s.placed[g][i] = 0
	}
	for i := range s.fills {
		s.fills[i] = without(s.fills[i], g)
	}
	rest := s.opened[:0]
	for _, o := range s.opened {
		kept := opened{offer: o.offer, listed: o.listed, count: o.count}
		for i, sh := range o.pods {
			if sh.Group != g {
				kept.pods, kept.cells = append(kept.pods, sh), append(kept.cells, o.cells[i])
			}
		}
		if len(kept.pods) > 0 {
			rest = append(rest, kept)
		}
	}
	s.opened = rest
}

// without returns pods but those of group g, in memory of its own.
func without(pods []Share, g int) []Share {
	var out []Share
	for _, sh := range pods {
		if sh.Group != g {
			out = append(out, sh)
		}
	}
	return out
}
