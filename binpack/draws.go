package binpack

import (
	"cmp"
	"slices"
)

// A draw is what a node takes of a stock.
type draw struct {
	stock int
	units int64
}

// Draws are those of a node, in the order of stocks.
type draws []draw

// of returns the units of a stock; 0 where nothing is drawn on it.
func (d draws) of(stock int) int64 {
	for _, x := range d {
		if x.stock == stock {
			return x.units
		}
	}
	return 0
}

// most returns the draws of a node that may turn out as one of two: of each stock the larger.
func (d draws) most(other draws) draws {
	out := slices.Clone(d)
	for _, x := range other {
		if at := slices.IndexFunc(out, func(y draw) bool { return y.stock == x.stock }); at >= 0 {
			out[at].units = max(out[at].units, x.units)
		} else {
			out = append(out, x)
		}
	}
	slices.SortFunc(out, func(a, b draw) int { return cmp.Compare(a.stock, b.stock) })
	return out
}

// within reports whether d takes no more of any stock than other does.
func (d draws) within(other draws) bool {
	return !slices.ContainsFunc(d, func(x draw) bool { return x.units > other.of(x.stock) })
}

// Takes is how many units of the stock a node of the offer takes; 0 if that does not draw on it.
func (s *Stock) Takes(offer int) int64 {
	switch {
	case !s.Offers.Has(offer):
		return 0
	case s.Units == nil:
		return 1
	}
	return s.Units[offer]
}
