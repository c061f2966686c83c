package binpack

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

// A shape says how rich the problems are that random makes.
type shape struct {
	pods, offers, nodes int64
	relations           bool // spreads, exclusions, affinities, stocks, limits, priorities
}

var (
	rich  = shape{pods: 30, offers: 12, nodes: 4, relations: true}
	plain = shape{pods: 200, offers: 20, nodes: 0}
	small = shape{pods: 6, offers: 4, nodes: 1, relations: true}
)

// forSeeds runs check on n problems. A failure prints the command that repeats
// it alone, through -run.
func forSeeds(t *testing.T, n uint64, s shape, check func(t *testing.T, r *rand.Rand, p *Problem)) {
	t.Helper()
	for seed := range n {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 0))
			p := random(r, s)
			defer func() {
				if t.Failed() {
					t.Logf("repeat with: go test ./binpack -run '^%s$'\n%s", t.Name(), p.Text())
				}
			}()
			if err := p.Validate(); err != nil {
				t.Fatal(err)
			}
			check(t, r, p)
		})
	}
}

// random makes a valid problem. Quantities and prices come from short menus, so
// that ties are the rule.
func random(r *rand.Rand, s shape) *Problem {
	p := &Problem{
		Resources: []string{"cpu", "memory", "pods"},
		Keys:      []string{"zone", "type"},
		Domains:   [][]string{{"a", "b", "c"}, {"spot", "demand"}},
	}
	some := func(odds int) bool { return s.relations && r.IntN(odds) == 0 }
	for i := range 1 + r.IntN(3) {
		pool := Pool{ID: fmt.Sprint("pool", i), NodesLeft: Unlimited}
		if s.relations {
			pool.Weight = int32(r.IntN(2))
		}
		if some(3) {
			pool.Left = Vector{int64(r.IntN(20)), Unlimited, Unlimited}
		}
		if some(5) {
			pool.NodesLeft = r.Int64N(4)
		}
		if some(4) {
			pool.NodeFee = 5
		}
		if some(5) {
			pool.MinValues = []MinValues{{0, 1 + r.Int64N(3)}}
		}
		p.Pools = append(p.Pools, pool)
	}
	for i := range 1 + r.Int64N(s.offers) {
		size := []int64{1, 2, 4, 8}[r.IntN(4)]
		o := Offer{
			ID: fmt.Sprint("offer", i), Pool: r.IntN(len(p.Pools)),
			Price:    MicroUSD(size * []int64{100, 100, 90, 120}[r.IntN(4)]),
			Capacity: Vector{size, size * []int64{2, 4, 8}[r.IntN(3)], 8},
			Domains:  []int{r.IntN(4) - 1, r.IntN(3) - 1},
			Values:   []int64{r.Int64N(3)}, Relaxed: some(4),
		}
		if r.IntN(3) == 0 {
			o.Overhead = Vector{r.Int64N(2), 1, 1}
		}
		if some(6) {
			o.Charge = Vector{size, 0, 0}
		}
		if some(10) {
			o.Price = 0
		}
		if some(4) {
			o.Variant = 1
		}
		p.Offers = append(p.Offers, o)
	}
	if s.nodes > 0 {
		for i := range r.Int64N(s.nodes + 1) {
			p.Nodes = append(p.Nodes, Node{
				ID: fmt.Sprint("node", i), Free: Vector{r.Int64N(5), r.Int64N(9), 5},
				Domains: []int{r.IntN(4) - 1, r.IntN(3) - 1},
			})
		}
	}
	randomGroups(r, p, s)
	if s.relations {
		randomRelations(r, p)
	}
	return p
}

func randomGroups(r *rand.Rand, p *Problem, s shape) {
	for left := s.pods; left > 0; {
		n := 1 + r.Int64N(min(left, 9))
		left -= n
		g := Group{
			ID: fmt.Sprint("group", len(p.Groups)), Count: n,
			Requests: Vector{r.Int64N(4), r.Int64N(6), 1},
			Offers:   randomSet(r, len(p.Offers), 4), Nodes: randomSet(r, len(p.Nodes), 4),
		}
		if s.relations && r.IntN(3) == 0 {
			g.Priority = int32(r.IntN(2))
		}
		if s.relations && r.IntN(6) == 0 {
			g.MaxPerNode = 1 + r.Int64N(2)
		}
		if s.relations && r.IntN(20) == 0 {
			g.Unsupported = "spec.resourceClaims"
		}
		p.Groups = append(p.Groups, g)
		if r.IntN(4) == 0 {
			return
		}
	}
}

// randomSet leaves out one in odds of n things.
func randomSet(r *rand.Rand, n, odds int) Set {
	var s Set
	for i := range n {
		if r.IntN(odds) > 0 {
			s.Add(i)
		}
	}
	return s
}

func randomRelations(r *rand.Rand, p *Problem) {
	few := func(n int) Set {
		s := SetOf(r.IntN(n))
		if r.IntN(2) == 0 {
			s.Add(r.IntN(n))
		}
		return s
	}
	key := func() int { return r.IntN(3) - 1 }
	for i := range r.IntN(3) {
		s := Spread{ID: fmt.Sprint("spread", i), Key: key(), MaxSkew: 1 + r.Int64N(2), MinDomains: r.Int64N(4)}
		s.Owners = few(len(p.Groups))
		if s.Counted = s.Owners; r.IntN(3) == 0 {
			s.Counted = few(len(p.Groups))
		}
		for d := range p.domainCount(s.Key) {
			if r.IntN(4) > 0 {
				s.Domains = append(s.Domains, DomainCount{d, r.Int64N(3)})
			}
		}
		p.Spreads = append(p.Spreads, s)
	}
	for i := range r.IntN(3) {
		x := Exclusion{ID: fmt.Sprint("exclusion", i), Key: key(), A: few(len(p.Groups))}
		if x.B = x.A; r.IntN(2) == 0 {
			x.B = few(len(p.Groups))
		}
		p.Exclusions = append(p.Exclusions, x)
	}
	for i := range r.IntN(4) - 1 {
		a := Affinity{ID: fmt.Sprint("affinity", i), Key: key(), Owners: few(len(p.Groups))}
		// A third are near their own kind, as most are in practice.
		if a.Targets = a.Owners; r.IntN(3) > 0 {
			a.Targets = few(len(p.Groups))
		}
		for d := range p.domainCount(a.Key) {
			if r.IntN(6) == 0 {
				a.Present.Add(d)
			}
		}
		p.Affinities = append(p.Affinities, a)
	}
	if r.IntN(3) == 0 {
		s := Stock{ID: "stock", Offers: few(len(p.Offers)), Count: r.Int64N(3)}
		if r.IntN(2) == 0 {
			s.Count *= 5
			for range p.Offers {
				s.Units = append(s.Units, 1+r.Int64N(8))
			}
		}
		p.Stocks = append(p.Stocks, s)
	}
}

// shuffled returns p with every list in another order.
func shuffled(r *rand.Rand, p *Problem) *Problem {
	rank := func(n int) (order []int) { return r.Perm(n) }
	c := &canon{Problem: &Problem{MaxSteps: p.MaxSteps, Blend: p.Blend}}
	c.resources, c.pools, c.offers = rank(len(p.Resources)), rank(len(p.Pools)), rank(len(p.Offers))
	c.nodes, c.groups = rank(len(p.Nodes)), rank(len(p.Groups))
	keys := rank(len(p.Keys))
	c.Resources, c.Keys = pick(p.Resources, c.resources), pick(p.Keys, keys)
	m := &mover{
		vector: c.resources, keys: keys, key: ranks(keys), pool: ranks(c.pools), offer: ranks(c.offers),
		node: ranks(c.nodes), group: ranks(c.groups), sets: map[memo]Set{},
	}
	for _, old := range keys {
		order := rank(len(p.Domains[old]))
		c.Domains = append(c.Domains, pick(p.Domains[old], order))
		m.domain = append(m.domain, ranks(order))
	}
	m.places(c, p)
	m.relations(c, p)
	r.Shuffle(len(c.Exclusions), func(i, j int) { c.Exclusions[i], c.Exclusions[j] = c.Exclusions[j], c.Exclusions[i] })
	r.Shuffle(len(c.Spreads), func(i, j int) { c.Spreads[i], c.Spreads[j] = c.Spreads[j], c.Spreads[i] })
	r.Shuffle(len(c.Affinities), func(i, j int) { c.Affinities[i], c.Affinities[j] = c.Affinities[j], c.Affinities[i] })
	r.Shuffle(len(c.Stocks), func(i, j int) { c.Stocks[i], c.Stocks[j] = c.Stocks[j], c.Stocks[i] })
	for i := range c.Spreads {
		d := c.Spreads[i].Domains
		r.Shuffle(len(d), func(i, j int) { d[i], d[j] = d[j], d[i] })
	}
	return c.Problem
}
