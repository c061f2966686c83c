package binpack

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// TestBoundOptimumPlan compares with brute force on problems of up to six pods
// that resources, the sets and spreads over ordinary keys decide: bound ≤ optimum ≤ plan. The optimum is
// that of the pods which the plan puts on new nodes, each in pools of at least
// the weight it got, as LowerBound says.
func TestBoundOptimumPlan(t *testing.T) {
	exact, n := 0, 0
	forSeeds(t, 2000, small, func(t *testing.T, r *rand.Rand, p *Problem) {
		p.Affinities, p.Nodes = nil, nil
		p.Spreads = slices.DeleteFunc(p.Spreads, func(s Spread) bool { return s.Key == Hostname })
		for i := range p.Groups {
			p.Groups[i].Nodes = nil
		}
		keep := p.Exclusions[:0]
		for _, x := range p.Exclusions {
			if x.Key == Hostname {
				keep = append(keep, x)
			}
		}
		p.Exclusions = keep
		s := mustSolve(t, p)
		best := cheapest(p, s)
		if s.LowerBound > best || best > s.Cost {
			t.Errorf("bound %v, optimum %v, plan %v", s.LowerBound, best, s.Cost)
		}
		if n++; best == s.Cost {
			exact++
		}
	})
	t.Logf("%d of %d plans are optimal", exact, n)
	if exact*10 < n*8 {
		t.Errorf("only %d of %d plans are optimal", exact, n)
	}
}

// A pod of the brute force: its group, and the least weight of its pool.
type brutePod struct {
	group  int
	weight int32
}

// cheapest tries every way to put the pods of s that are on new nodes together.
func cheapest(p *Problem, s *Solution) MicroUSD {
	var pods []brutePod
	for _, n := range s.New {
		for _, sh := range n.Pods {
			for range n.Count * sh.Count {
				pods = append(pods, brutePod{sh.Group, p.Pools[p.Offers[n.Offers[0]].Pool].Weight})
			}
		}
	}
	b := &brute{p: p, pods: pods, best: math.MaxInt64}
	b.place(0)
	return b.best
}

type brute struct {
	p    *Problem
	pods []brutePod
	bins [][]brutePod
	best MicroUSD
}

// place puts pod i on each open node and on one of its own.
func (b *brute) place(i int) {
	if i == len(b.pods) {
		b.buy(0, 0, nil)
		return
	}
	for j := range b.bins {
		b.bins[j] = append(b.bins[j], b.pods[i])
		b.place(i + 1)
		b.bins[j] = b.bins[j][:len(b.bins[j])-1]
	}
	b.bins = append(b.bins, []brutePod{b.pods[i]})
	b.place(i + 1)
	b.bins = b.bins[:len(b.bins)-1]
}

// buy tries every offer for bin j and the following.
func (b *brute) buy(j int, cost MicroUSD, taken []int) {
	if cost >= b.best || !b.afford(taken) {
		return
	}
	if j == len(b.bins) {
		if b.spreads(taken) {
			b.best = cost
		}
		return
	}
	for o := range b.p.Offers {
		if b.holds(o, b.bins[j]) {
			price := b.p.Offers[o].Price + b.p.Pools[b.p.Offers[o].Pool].NodeFee
			b.buy(j+1, cost+price, append(taken[:len(taken):len(taken)], o))
		}
	}
}

// afford checks limits and stocks of the offers taken.
func (b *brute) afford(taken []int) bool {
	for i, pool := range b.p.Pools {
		nodes, used := int64(0), make(Vector, len(b.p.Resources))
		for _, o := range taken {
			if b.p.Offers[o].Pool == i {
				nodes++
				for r, q := range b.p.Offers[o].Charged() {
					used[r] += q
				}
			}
		}
		for r, q := range used {
			if pool.Left != nil && q > pool.Left[r] {
				return false
			}
		}
		if nodes > pool.NodesLeft {
			return false
		}
	}
	for _, stock := range b.p.Stocks {
		n := int64(0)
		for _, o := range taken {
			if stock.Offers.Has(o) {
				if n++; stock.Units != nil {
					n += stock.Units[o] - 1
				}
			}
		}
		if n > stock.Count {
			return false
		}
	}
	return true
}

// spreads checks the spreads, with bin j on offer taken[j].
func (b *brute) spreads(taken []int) bool {
	for _, s := range b.p.Spreads {
		counted, owners := map[int]int64{}, map[int]bool{}
		for _, d := range s.Domains {
			counted[d.Domain] = d.Count
		}
		for j, bin := range b.bins {
			at := b.p.Offers[taken[j]].Domains[s.Key]
			for _, pod := range bin {
				if s.Counted.Has(pod.group) {
					counted[at]++
				}
				owners[at] = owners[at] || s.Owners.Has(pod.group)
			}
		}
		lowest := int64(math.MaxInt64)
		for _, d := range s.Domains {
			lowest = min(lowest, counted[d.Domain])
		}
		if int64(len(s.Domains)) < s.MinDomains {
			lowest = 0
		}
		for at, any := range owners {
			if !any {
				continue
			}
			listed := slices.ContainsFunc(s.Domains, func(d DomainCount) bool { return d.Domain == at })
			if !listed || counted[at] > lowest+s.MaxSkew {
				return false
			}
		}
	}
	return true
}

// holds checks one node. MinValues are not looked at: then the optimum may be below what
// any plan costs, and LowerBound still is not above it.
func (b *brute) holds(o int, bin []brutePod) bool {
	offer := &b.p.Offers[o]
	count := map[int]int64{}
	used := make(Vector, len(b.p.Resources))
	copy(used, offer.Overhead)
	for _, pod := range bin {
		g := &b.p.Groups[pod.group]
		if count[pod.group]++; g.MaxPerNode > 0 && count[pod.group] > g.MaxPerNode {
			return false
		}
		if !g.Offers.Has(o) || b.p.Pools[offer.Pool].Weight < pod.weight {
			return false
		}
		for r, q := range g.Requests {
			used[r] += q
		}
	}
	for r, q := range used {
		if q > offer.Capacity[r] {
			return false
		}
	}
	for _, x := range b.p.Exclusions {
		for i := range bin {
			for j := range bin {
				if i != j && x.A.Has(bin[i].group) && x.B.Has(bin[j].group) {
					return false
				}
			}
		}
	}
	return true
}
