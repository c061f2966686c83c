package binpack

import (
	"fmt"
	"math/rand/v2"
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

// corpus is the fixed set of problems for benchmarks.
var corpus = []struct {
	name        string
	pods        int64
	groups      int
	generations int
	related     bool
}{
	{"500pods-40groups-related", 500, 40, 8, true},
	{"1kpods-40groups-5koffers", 1000, 40, 28, false},
	{"1kpods-40groups-5koffers-related", 1000, 40, 28, true},
	{"10kpods-1kgroups-5koffers", 10000, 1000, 28, false},
	{"10kpods-1kgroups-5koffers-related", 10000, 1000, 28, true},
}

func corpusProblem(i int) *Problem {
	c := corpus[i]
	r := rand.New(rand.NewPCG(1, uint64(c.generations)))
	p := &Problem{}
	catalog(r, p, c.generations)
	workload(r, p, c.pods, c.groups, c.related)
	return p
}

// BenchmarkSolve shows time beside money: $/h, and percent above the bound.
func BenchmarkSolve(b *testing.B) {
	for i, c := range corpus {
		b.Run(c.name, func(b *testing.B) {
			p := corpusProblem(i)
			var s *Solution
			b.ReportAllocs()
			for b.Loop() {
				var err error
				if s, err = Solve(b.Context(), p); err != nil {
					b.Fatal(err)
				}
			}
			if err := Verify(p, s); err != nil {
				b.Fatal(err)
			}
			nodes := int64(0)
			for _, n := range s.New {
				nodes += n.Count
			}
			b.ReportMetric(float64(s.Cost)/1e6, "$/h")
			b.ReportMetric(100*(float64(s.Cost)/float64(s.LowerBound)-1), "gap%")
			b.ReportMetric(float64(nodes), "nodes")
		})
	}
}
