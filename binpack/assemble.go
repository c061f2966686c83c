package binpack

import (
	"cmp"
	"math"
	"slices"
)

// From a pass to a Solution.
//
// 	opened ──sort──▶ merge equal ──▶ price list of the pool ──▶ Pattern
// 	                                  │ holds the load?
// 	                                  │ same cells?
// 	                                  │ within alternativePercent?
// 	                                  ▼ of the same stocks? room in limits?
//
// Alternatives are chosen last, when every pod has its place, so that what they
// reserve of a limit is never taken from a pod. Unplaced pods get their reasons
// before that, when limits still show what stopped them.

// alternativePercent is the most that an alternative may cost, in percent of
// the decided offer. The cloud may launch any of a pattern's offers, so a dear
// one is a silent cost; but a short list is refused more often, and each refusal
// is another round of solving. Neighbours of one size in three or four families
// and generations lie within this.
const alternativePercent = 130

// solution writes the pass down. It uses up what limits and stocks have left, so it
// is the last thing that is done with a pass, apart from its bound.
func (s *pass) solution() *Solution {
	out := &Solution{Steps: s.steps, Truncated: s.truncated}
	out.Unplaced = s.unplaced() // before alternatives take what limits leave
	for i, pods := range s.fills {
		if len(pods) > 0 {
			out.Fills = append(out.Fills, Fill{i, slices.Clone(pods)})
		}
	}
	byPrice := s.byPrice()
	for _, o := range s.merged() {
		offers := s.alternatives(&o, byPrice[s.Offers[o.offer].Pool])
		out.New = append(out.New, Pattern{o.count, offers, o.pods})
		out.Cost += MicroUSD(o.count) * s.price[o.offer]
	}
	return out
}

// merged sorts the patterns and adds up those that are equal.
func (s *pass) merged() []opened {
	for i := range s.opened {
		sortPods(&s.opened[i])
	}
	order := func(a, b opened) int {
		return cmp.Or(cmp.Compare(a.offer, b.offer), slices.CompareFunc(a.pods, b.pods, func(x, y Share) int {
			return cmp.Or(cmp.Compare(x.Group, y.Group), cmp.Compare(y.Count, x.Count))
		}), slices.Compare(a.cells, b.cells), slices.Compare(a.listed, b.listed))
	}
	slices.SortFunc(s.opened, order)
	var out []opened
	for _, o := range s.opened {
		if last := len(out) - 1; last >= 0 && order(out[last], o) == 0 {
			out[last].count += o.count
			continue
		}
		out = append(out, o)
	}
	return out
}

// sortPods puts the pods of a pattern in the order of groups.
func sortPods(o *opened) {
	index := make([]int, len(o.pods))
	for i := range index {
		index[i] = i
	}
	slices.SortFunc(index, func(a, b int) int { return cmp.Compare(o.pods[a].Group, o.pods[b].Group) })
	o.pods, o.cells = pick(o.pods, index), pick(o.cells, index)
}

// byPrice lists the offers of each pool by price, then ID.
func (t *table) byPrice() [][]int {
	if t.cheapest != nil {
		return t.cheapest
	}
	out := make([][]int, len(t.Pools))
	for o := range t.Offers {
		out[t.Offers[o].Pool] = append(out[t.Offers[o].Pool], o)
	}
	for _, list := range out {
		slices.SortStableFunc(list, func(a, b int) int { return cmp.Compare(t.price[a], t.price[b]) })
	}
	t.cheapest = out
	return out
}

// alternatives lists the decided offer, those that it was opened with for the sake of
// MinValues, and those that could stand in for it: offers of the same pool and variant that
// hold the load, in the same cells, within alternativePercent of the price. They may charge more
// to limits than the decided one only as far as there is still room, which they take. From
// stocks they take nothing more: what is scarce would be kept from the pods that come next.
func (s *pass) alternatives(o *opened, pool []int) []int {
	load := s.sum(o.pods)
	out := []int{o.offer}
	missing := len(o.listed)   // of those that must be listed
	most, stocks := s.taken(o) // what is reserved already
	highest := MicroUSD(-1)
	if len(s.stocks[o.offer]) == 0 {
		highest = percent(s.Offers[o.offer].Price)
	}
	for _, alt := range pool {
		s.steps++
		full := len(out)+missing >= MaxOffers || (highest >= 0 && s.Offers[alt].Price > highest)
		if full && missing == 0 {
			break
		}
		must := slices.Contains(o.listed, alt)
		if alt == o.offer || (!must && (full || !s.stands(alt, o, load))) {
			continue
		}
		if highest < 0 && len(s.stocks[alt]) == 0 {
			// What a stock holds is paid already: the first offer that is
			// bought for money sets the measure.
			highest = percent(s.Offers[alt].Price)
		}
		if must {
			missing--
		} else if !s.reserve(alt, o.count, most, stocks) {
			continue
		}
		out = append(out, alt)
	}
	return out
}

// taken is what a node of a pattern took from limits and stocks when it was opened: the
// decided offer was charged with its bundle.
func (t *table) taken(o *opened) (most Vector, stocks draws) {
	most, stocks = slices.Clone(t.charge[o.offer]), slices.Clone(t.stocks[o.offer])
	for _, alt := range o.listed {
		for r, q := range t.charge[alt] {
			most[r] = max(most[r], q)
		}
		stocks = stocks.most(t.stocks[alt])
	}
	return most, stocks
}

// percent is the price that alternatives to one of price p may not exceed.
func percent(p MicroUSD) MicroUSD {
	const more = alternativePercent - 100
	return p + min(p/100*more+p%100*more/100, math.MaxInt64-p)
}

// stands reports whether offer alt holds the load, and each pod may be on it in the
// cell that the split gave it. That keeps the domain of every key that any of the
// pods minds; other keys are free to differ.
func (s *pass) stands(alt int, o *opened, load Vector) bool {
	if s.room[alt] == nil || !covers(s.room[alt], load) || s.Offers[alt].Variant != s.Offers[o.offer].Variant {
		return false
	}
	for i, sh := range o.pods {
		if !s.cells[sh.Group][o.cells[i]].offers.Has(alt) {
			return false
		}
	}
	return true
}

// reserve takes from limits what n nodes of alt may use beyond the most that is reserved
// for them, or reports that it is not there, or that alt takes more of stocks than they do.
func (s *pass) reserve(alt int, n int64, most Vector, stocks draws) bool {
	pool := s.Offers[alt].Pool
	for r, q := range s.charge[alt] {
		// First look whether all of it is there, then take it: a refused offer must
		// leave no trace.
		if extra := q - most[r]; extra > 0 && s.left[pool][r]/n < extra {
			return false
		}
	}
	if !s.stocks[alt].within(stocks) {
		return false
	}
	for r, q := range s.charge[alt] {
		if extra := q - most[r]; extra > 0 {
			most[r] = q
			if s.left[pool][r] != Unlimited {
				s.left[pool][r] -= extra * n
			}
		}
	}
	return true
}
