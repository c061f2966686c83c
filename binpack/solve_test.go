package binpack

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// mustSolve solves p and lets Verify judge.
func mustSolve(t *testing.T, p *Problem) *Solution {
	t.Helper()
	s, err := Solve(t.Context(), p)
	if err != nil {
		t.Fatalf("solving: %v", err)
	}
	if err := Verify(p, s); err != nil {
		t.Fatalf("refused: %v\n%s", err, s.Text(p))
	}
	return s
}

// TestPlansPassVerify, and leave no pod behind that nothing but a node of its
// own stands in the way of.
func TestPlansPassVerify(t *testing.T) {
	forSeeds(t, 2000, rich, func(t *testing.T, _ *rand.Rand, p *Problem) {
		s := mustSolve(t, p)
		sites, err := p.sites(s)
		if err != nil {
			t.Fatal(err)
		}
		rest, related := p.slack(sites), p.related()
		for _, u := range s.Unplaced {
			if related.Has(u.Group) || p.Groups[u.Group].Unsupported != "" {
				continue
			}
			for o := range p.Groups[u.Group].Offers.All {
				if p.opens(o, u.Group, rest) {
					t.Errorf("group %s is unplaced, and offer %s would hold a pod of it", p.Groups[u.Group].ID, p.Offers[o].ID)
				}
			}
		}
	})
}

// TestReasonsAreComplete: each pool gives at least one reason, and each is of a
// known code and points at something.
func TestReasonsAreComplete(t *testing.T) {
	forSeeds(t, 300, rich, func(t *testing.T, _ *rand.Rand, p *Problem) {
		for _, u := range mustSolve(t, p).Unplaced {
			pools := map[int]bool{}
			for _, r := range u.Reasons {
				pools[r.Pool] = true
				switch r.Code {
				case InsufficientResources:
					if r.Resource >= 0 && r.Wanted <= r.Best {
						t.Errorf("%s: enough of what is short", r.Text(p))
					}
				case SpreadUnsatisfiable, Excluded, StockExhausted, Unsupported:
					if r.Constraint == "" {
						t.Errorf("%s: no constraint named", r.Text(p))
					}
				}
			}
			if !pools[-1] && len(pools) < len(p.Pools) {
				t.Errorf("group %s: reasons for %d of %d pools", p.Groups[u.Group].ID, len(pools), len(p.Pools))
			}
		}
	})
}

// TestOrderDoesNotMatter shuffles every list: not a byte may move.
func TestOrderDoesNotMatter(t *testing.T) {
	forSeeds(t, 300, rich, func(t *testing.T, r *rand.Rand, p *Problem) {
		a := mustSolve(t, p)
		q := shuffled(r, p)
		b := mustSolve(t, q)
		if want, got := a.Text(p), b.Text(q); got != want || a.Steps != b.Steps {
			t.Errorf("shuffled:\n%safter %d steps\nbefore:\n%safter %d steps", got, b.Steps, want, a.Steps)
		}
	})
}

// nodes is the plan without prices.
func nodes(p *Problem, s *Solution) string {
	q := *p
	q.Offers = slices.Clone(p.Offers)
	for i := range q.Offers {
		q.Offers[i].Price = 0
	}
	text := s.Text(&q)
	return text[:strings.LastIndex(text, "cost ")]
}

// TestScaleDoesNotMatter: prices in another currency, quantities in another
// unit, give the same nodes.
func TestScaleDoesNotMatter(t *testing.T) {
	scale := func(v Vector, k int64) Vector {
		out := slices.Clone(v)
		for r := range out {
			if out[r] != Unlimited {
				out[r] *= k
			}
		}
		return out
	}
	forSeeds(t, 300, rich, func(t *testing.T, r *rand.Rand, p *Problem) {
		want := nodes(p, mustSolve(t, p))
		k := 2 + r.Int64N(1000)
		q := *p
		q.Pools, q.Offers = slices.Clone(p.Pools), slices.Clone(p.Offers)
		for i := range q.Offers {
			q.Offers[i].Price *= MicroUSD(k)
		}
		for i := range q.Pools {
			q.Pools[i].NodeFee *= MicroUSD(k)
		}
		if got := nodes(&q, mustSolve(t, &q)); got != want {
			t.Errorf("prices × %d:\n%sbefore:\n%s", k, got, want)
		}
		q = *p
		q.Pools, q.Offers = slices.Clone(p.Pools), slices.Clone(p.Offers)
		q.Nodes, q.Groups = slices.Clone(p.Nodes), slices.Clone(p.Groups)
		for i := range q.Pools {
			q.Pools[i].Left = scale(q.Pools[i].Left, k)
		}
		for i := range q.Offers {
			o := &q.Offers[i]
			o.Capacity, o.Overhead, o.Charge = scale(o.Capacity, k), scale(o.Overhead, k), scale(o.Charge, k)
		}
		for i := range q.Nodes {
			q.Nodes[i].Free = scale(q.Nodes[i].Free, k)
		}
		for i := range q.Groups {
			q.Groups[i].Requests = scale(q.Groups[i].Requests, k)
		}
		s := mustSolve(t, &q)
		for i := range s.Unplaced {
			for j := range s.Unplaced[i].Reasons {
				if x := &s.Unplaced[i].Reasons[j]; x.Resource >= 0 {
					x.Wanted, x.Best = x.Wanted/k, x.Best/k
				}
			}
		}
		if got := nodes(&q, s); got != want {
			t.Errorf("quantities × %d:\n%sbefore:\n%s", k, got, want)
		}
	})
}

// TestUselessOfferDoesNotMatter: an offer that nobody may use changes nothing.
func TestUselessOfferDoesNotMatter(t *testing.T) {
	forSeeds(t, 300, rich, func(t *testing.T, r *rand.Rand, p *Problem) {
		want := mustSolve(t, p).Text(p)
		q := *p
		q.Stocks = slices.Clone(p.Stocks)
		for i := range q.Stocks {
			if units := q.Stocks[i].Units; units != nil {
				q.Stocks[i].Units = append(slices.Clip(units), 0)
			}
		}
		q.Offers = append(slices.Clone(p.Offers), Offer{
			ID: "aaa", Pool: r.IntN(len(p.Pools)), Capacity: Vector{1, 2, 3}, Domains: []int{0, 0}, Values: []int64{0},
		})
		if got := mustSolve(t, &q).Text(&q); got != want {
			t.Errorf("with the offer:\n%swithout:\n%s", got, want)
		}
	})
}

// TestUnplacedPodsDoNotMatter: without the pods that found no place, the rest
// goes where it went. That is so for pods which fit nowhere. Where limits,
// priorities or spreads leave pods out they have had a say before, so there are
// none of those here.
func TestUnplacedPodsDoNotMatter(t *testing.T) {
	forSeeds(t, 500, shape{pods: 30, offers: 8, nodes: 3}, func(t *testing.T, _ *rand.Rand, p *Problem) {
		before := mustSolve(t, p)
		q := *p
		q.Groups = slices.Clone(p.Groups)
		for _, u := range before.Unplaced {
			q.Groups[u.Group].Count -= u.Count
		}
		before.Unplaced = nil
		after := mustSolve(t, &q)
		if got, want := after.Text(&q), before.Text(p); got != want {
			t.Errorf("without them:\n%swith them:\n%s", got, want)
		}
	})
}
