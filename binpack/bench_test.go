package binpack

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

// catalog makes offers as a cloud region has them: families with 2, 4 and 8 GiB
// for each core and generations of different price, ten sizes, three zones,
// spot and on demand. CPU in millicores, memory in MiB.
func catalog(r *rand.Rand, p *Problem, generations int) {
	p.Resources = []string{"cpu", "memory", "pods"}
	p.Keys = []string{"zone", "capacity-type"}
	p.Domains = [][]string{{"a", "b", "c"}, {"on-demand", "spot"}}
	p.Pools = []Pool{{ID: "default", NodesLeft: Unlimited}}
	for _, ratio := range []int64{2, 4, 8} {
		for generation := range generations {
			perCore := float64(17500+2500*ratio) * (0.9 + 0.2*r.Float64())
			for _, cores := range []int64{1, 2, 4, 8, 16, 32, 48, 64, 96, 192} {
				for zone := range 3 {
					discount := 0.3 + 0.2*r.Float64()
					for kind := range 2 {
						price := perCore * float64(cores)
						if kind == 1 {
							price *= discount
						}
						p.Offers = append(p.Offers, Offer{
							ID:       fmt.Sprintf("%d-%d-%dx-%d-%d", ratio, generation, cores, zone, kind),
							Price:    MicroUSD(price),
							Capacity: Vector{cores*1000 - 70 - cores*3, cores*ratio*1024*93/100 - 355 - 100, min(8+cores*8, 250)},
							Overhead: Vector{300, 512, 4},
							Domains:  []int{zone, kind},
						})
					}
				}
			}
		}
	}
	for i := range p.Offers {
		o := &p.Offers[i]
		for k, c := range o.Capacity {
			o.Capacity[k] = max(c, 0)
		}
	}
}

// workload adds groups with requests from the menus that people use, and sizes
// that fall off as they do: many groups of one or two pods, few of hundreds. Of
// ten groups two are spread over zones, one is on demand only, one keeps its
// pods on separate nodes.
func workload(r *rand.Rand, p *Problem, pods int64, groups int, related bool) {
	demand, every := Set(nil), Set(nil)
	for o := range p.Offers {
		every.Add(o)
		if p.Offers[o].Domains[1] == 0 {
			demand.Add(o)
		}
	}
	cpus := []int64{50, 100, 100, 200, 250, 250, 500, 500, 1000, 1000, 2000, 4000}
	weights := make([]float64, groups)
	sum := 0.0
	for i := range weights {
		weights[i] = 1 / float64(i+3)
		sum += weights[i]
	}
	for i := range groups {
		cpu := cpus[r.IntN(len(cpus))]
		g := Group{
			ID: fmt.Sprintf("app-%04d", i), Count: max(1, int64(weights[i]/sum*float64(pods))),
			Requests: Vector{cpu, cpu * []int64{512, 1024, 2048, 2048, 4096, 4096, 8192}[r.IntN(7)] / 1000, 1},
			Offers:   every,
		}
		if related {
			switch i % 10 {
			case 1, 2:
				s := SetOf(i)
				p.Spreads = append(p.Spreads, Spread{ID: g.ID, Key: 0, Owners: s, Counted: s, MaxSkew: 1,
					Domains: []DomainCount{{0, 0}, {1, 0}, {2, 0}}})
			case 3:
				g.Offers = demand
			case 4:
				g.Count = min(g.Count, 5)
				p.Exclusions = append(p.Exclusions, Exclusion{ID: g.ID, Key: Hostname, A: SetOf(i), B: SetOf(i)})
			}
		}
		p.Groups = append(p.Groups, g)
	}
}

// A benchmark problem is made from its numbers alone.
type making struct {
	name        string
	pods        int64
	groups      int
	generations int   // of instance types: each is 180 offers
	related     bool  // some groups mind where their pods go
	misfits     int   // groups of one pod that is larger than any node
	few         int64 // nodes of a pool that sells everything at half the price; 0 for no such pool
}

// corpus is the fixed set of problems for benchmarks and for quality.golden.
var corpus = []making{
	{"500pods-40groups-related", 500, 40, 8, true, 0, 0},
	{"1kpods-40groups-5koffers", 1000, 40, 28, false, 0, 0},
	{"1kpods-40groups-5koffers-related", 1000, 40, 28, true, 0, 0},
	{"1kpods-40groups-2koffers-10few", 1000, 40, 11, false, 0, 10},
	{"10kpods-1kgroups-5koffers", 10_000, 1000, 28, false, 0, 0},
	{"10kpods-1kgroups-5koffers-related", 10_000, 1000, 28, true, 0, 0},
}

// large problems are for benchmarks alone.
var large = []making{
	{"100kpods-1kgroups-5koffers", 100_000, 1000, 28, false, 0, 0},
	{"1Mpods-1kgroups-5koffers", 1_000_000, 1000, 28, false, 0, 0},
	{"1kpods-40groups-2koffers", 1000, 40, 11, false, 0, 0},
	{"1kpods-40groups-2koffers-14800misfits", 1000, 40, 11, false, 14_800, 0},
}

// growth is one problem and what doubles in it.
var growth = []making{
	{"base", 10_000, 500, 14, true, 0, 0},
	{"pods×2", 20_000, 500, 14, true, 0, 0},
	{"groups×2", 10_000, 1000, 14, true, 0, 0},
	{"offers×2", 10_000, 500, 28, true, 0, 0},
}

// problem makes the problem.
func (m *making) problem() *Problem {
	r := rand.New(rand.NewPCG(1, uint64(m.generations)))
	p := &Problem{}
	catalog(r, p, m.generations)
	workload(r, p, m.pods, m.groups, m.related)
	if m.few > 0 {
		m.addFew(p)
	}
	every := Set(nil)
	for o := range p.Offers {
		every.Add(o)
	}
	for i := range m.misfits {
		p.Groups = append(p.Groups, Group{ID: fmt.Sprintf("misfit-%05d", i), Count: 1,
			Requests: Vector{1_000_000 + int64(i), 1024 + int64(i%7), 1}, Offers: every})
	}
	return p
}

// addFew adds the pool of which there are few nodes.
func (m *making) addFew(p *Problem) {
	p.Pools = append(p.Pools, Pool{ID: "few", NodesLeft: m.few})
	n := len(p.Offers)
	for _, o := range p.Offers[:n] {
		o.ID, o.Pool, o.Price = "few-"+o.ID, 1, o.Price/2
		p.Offers = append(p.Offers, o)
	}
	for g := range p.Groups {
		offers := Set(nil)
		for o := range p.Groups[g].Offers.All {
			offers.Add(o)
			offers.Add(o + n)
		}
		p.Groups[g].Offers = offers
	}
}

// BenchmarkSolve shows time beside money: $/h, and percent above the bound. Verify is
// part of it, as it is of every decision.
func BenchmarkSolve(b *testing.B) {
	for _, m := range append(slices.Clone(corpus), large...) {
		bench(b, m)
	}
}

// BenchmarkGrowth doubles one thing at a time.
func BenchmarkGrowth(b *testing.B) {
	for _, m := range growth {
		bench(b, m)
	}
}

// bench solves a problem with the first plan alone and with the default budget.
func bench(b *testing.B, m making) {
	p := m.problem()
	for steps, budget := range []string{"default", "first"} {
		b.Run(m.name+"/"+budget, func(b *testing.B) {
			p.MaxSteps = int64(steps)
			var s *Solution
			b.ReportAllocs()
			for b.Loop() {
				var err error
				if s, err = Solve(b.Context(), p); err != nil {
					b.Fatal(err)
				}
				if err := Verify(p, s); err != nil {
					b.Fatal(err)
				}
			}
			nodes, placed := int64(0), int64(0)
			for _, n := range s.New {
				nodes += n.Count
				for _, sh := range n.Pods {
					placed += n.Count * sh.Count
				}
			}
			b.ReportMetric(float64(s.Cost)/1e6, "$/h")
			b.ReportMetric(100*(float64(s.Cost)/float64(s.LowerBound)-1), "gap%")
			b.ReportMetric(float64(nodes), "nodes")
			b.ReportMetric(float64(placed)*float64(b.N)/b.Elapsed().Seconds(), "pods/s")
		})
	}
}
