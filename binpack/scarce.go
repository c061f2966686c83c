package binpack

// What may run out.
//
// Limits of pools and stocks let only so many nodes of some offers be opened. To a mixture
// each is one more row, with a price of its own: what a node costs beyond its price because
// others could have used what it takes.
//
//	kinds    1 0 2 0 4 …   ≥  pods that are left
//	         0 3 1 0 0 …
//	scarce  −1 0 0 −1 0 …  ≥  −nodes that are left
type scarcity struct {
	stock    int   // an index, or -1
	pool     int   // if stock is -1
	resource int   // of the pool's limit, or -1 for its number of nodes
	unit     int64 // what is counted as 1
}

// scarce lists what may run out for the given offers before so many nodes are opened. takes
// is how much of it a node of an offer takes, left how much there is.
func (t *table) scarce(offers []int, nodes int64, takes func(o int, x *scarcity) int64, left func(x *scarcity) int64) (out []scarcity) {
	add := func(x scarcity) {
		for _, o := range offers {
			x.unit = max(x.unit, takes(o, &x))
		}
		if x.unit > 0 && left(&x)/x.unit < nodes {
			out = append(out, x)
		}
	}
	for i := range t.Stocks {
		add(scarcity{stock: i})
	}
	for i := range t.Pools {
		if t.Pools[i].NodesLeft != Unlimited {
			add(scarcity{stock: -1, pool: i, resource: -1})
		}
		for r, left := range t.Pools[i].Left {
			if left != Unlimited {
				add(scarcity{stock: -1, pool: i, resource: r})
			}
		}
	}
	return out
}

// of is how much of it a node of a pool takes that charges so much and draws on these
// stocks.
func (x *scarcity) of(pool int, charge Vector, stocks draws) int64 {
	switch {
	case x.stock >= 0:
		return stocks.of(x.stock)
	case pool != x.pool:
		return 0
	case x.resource < 0:
		return 1
	}
	return charge.at(x.resource)
}

// takes is how much a node of an offer takes of what is scarce, with what it is bundled
// with.
func (s *pass) takes(offer int, x *scarcity) int64 {
	charge, stocks, ok := s.dues(offer)
	if !ok {
		return 0
	}
	return x.of(s.Offers[offer].Pool, charge, stocks)
}

// takesAlone is takes for an offer that is bundled with none.
func (t *table) takesAlone(offer int, x *scarcity) int64 {
	return x.of(t.Offers[offer].Pool, t.charge[offer], t.stocks[offer])
}

// leftOf is how much of it is left.
func (s *pass) leftOf(x *scarcity) int64 {
	switch {
	case x.stock >= 0:
		return s.stockLeft[x.stock]
	case x.resource < 0:
		return s.nodesLeft[x.pool]
	default:
		return s.left[x.pool][x.resource]
	}
}

// atFirst is how much of it there was before any node was opened.
func (t *table) atFirst(x *scarcity) int64 {
	switch {
	case x.stock >= 0:
		return t.Stocks[x.stock].Count
	case x.resource < 0:
		return t.Pools[x.pool].NodesLeft
	default:
		return t.Pools[x.pool].Left[x.resource]
	}
}
