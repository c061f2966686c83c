package binpack

import (
	"math"
	"math/rand/v2"
	"testing"
)

// TestWorth by hand: of a machine with 4 CPUs and 8 GiB for 80 and one with 4 CPUs and 32 GiB for
// 128, 24 GiB more cost 48, so a GiB is worth 2, and a CPU (80-16)/4 = 16, if both are needed; pods
// that ask for little memory make CPUs worth 20 and memory nothing.
func TestWorth(t *testing.T) {
	for _, test := range []struct {
		cpu, memory int64
		want        [2]float64
	}{
		{2, 8, [2]float64{16, 2}},
		{2, 1, [2]float64{20, 0}},
	} {
		p := &Problem{
			Resources: []string{"cpu", "memory"},
			Offers: []Offer{
				{Price: 80, Capacity: Vector{5, 8}, Overhead: Vector{1, 0}},
				{Price: 128, Capacity: Vector{5, 32}, Overhead: Vector{1}},
				{Price: 1000, Capacity: Vector{5, 32}},
			},
			Groups: []Group{{Count: 3, Requests: Vector{test.cpu, test.memory}}},
		}
		got := Worth(p, nil)
		for r := range got {
			if diff := got[r] - test.want[r]; diff > 1e-9 || diff < -1e-9 {
				t.Errorf("pods of %d CPUs and %d GiB: worth %v, want %v", test.cpu, test.memory, got, test.want)
				break
			}
		}
	}
}

// TestWorthOfKept by hand. The offer sells a CPU for 10. Of what is there, a has ten for 5 each, b for 8
// each, c for 12 each. All is used in that order as far as it is needed, the offer before c; what a CPU is
// worth is what the last of them costs.
func TestWorthOfKept(t *testing.T) {
	offer := []Offer{{Price: 160, Capacity: Vector{16}}}
	a, b, c := Kept{Vector{10}, 50}, Kept{Vector{10}, 80}, Kept{Vector{10}, 120}
	for _, test := range []struct {
		name   string
		offers []Offer
		kept   []Kept
		need   int64
		want   float64
	}{
		{"a holds all", offer, []Kept{a, b, c}, 5, 5},
		{"b as well", offer, []Kept{c, b, a}, 15, 8},
		{"more is bought", offer, []Kept{a, b, c}, 25, 10},
		{"nothing can be bought", nil, []Kept{a, b, c}, 25, 12},
		{"nothing can be bought, and little is needed", nil, []Kept{a, b, c}, 15, 8},
		{"what is free is enough", offer, []Kept{{Vector{10}, 0}, b}, 5, 0},
		{"to keep it earns more than it costs", offer, []Kept{{Vector{10}, -7}, b}, 15, 8},
		{"one without room is of no use", offer, []Kept{a, {nil, 20}}, 15, 10},
		{"nothing is needed", offer, []Kept{a, b, c}, 0, 0},
		{"there is nothing at all", nil, nil, 5, 0},
	} {
		p := &Problem{Resources: []string{"cpu"}, Offers: test.offers, Groups: []Group{{Count: test.need, Requests: Vector{1}}}}
		if got := Worth(p, test.kept)[0]; math.Abs(got-test.want) > 1e-3*max(1, test.want) {
			t.Errorf("%s: a CPU is worth %v, want %v", test.name, got, test.want)
		}
	}
}

// TestWorthOfTwoResources by hand: CPU and memory are sold for 16 and 2 (see TestWorth). One node of 4
// CPUs and 16 GiB is there for 60, where as much would be 96 to buy, so it is kept, and does not change what the rest is worth.
// One of 4 CPUs and 2 GiB for 70 would have to be worth more than 68.
func TestWorthOfTwoResources(t *testing.T) {
	p := &Problem{
		Resources: []string{"cpu", "memory"},
		Offers:    []Offer{{Price: 80, Capacity: Vector{4, 8}}, {Price: 128, Capacity: Vector{4, 32}}},
		Groups:    []Group{{Count: 8, Requests: Vector{2, 8}}},
	}
	got := Worth(p, []Kept{{Vector{4, 16}, 60}, {Vector{4, 2}, 70}})
	if math.Abs(got[0]-16) > 0.01 || math.Abs(got[1]-2) > 0.01 {
		t.Errorf("worth %v, want 16 and 2", got)
	}
}

// TestWorthIsOptimal compares with the obvious way for two resources: what all that is asked for is
// worth, less what the kept nodes earn, is greatest at a point where two lines meet, of prices at which an
// offer or a kept node is worth what it costs, or a resource nothing.
func TestWorthIsOptimal(t *testing.T) {
	earning := 0
	for seed := range uint64(3000) {
		r := rand.New(rand.NewPCG(seed, 0))
		p := &Problem{Resources: []string{"cpu", "memory"}, Groups: []Group{{Count: 1 + r.Int64N(40), Requests: Vector{r.Int64N(4), r.Int64N(4)}}}}
		// One offer with some of all keeps the prices bounded.
		p.Offers = append(p.Offers, Offer{Price: 900, Capacity: Vector{1, 1}})
		for range r.IntN(5) {
			p.Offers = append(p.Offers, Offer{Price: MicroUSD(100 * r.IntN(6)), Capacity: Vector{r.Int64N(5), r.Int64N(5)}})
		}
		kept := make([]Kept, r.IntN(12))
		for i := range kept {
			kept[i] = Kept{Vector{r.Int64N(6), r.Int64N(6)}, float64(r.IntN(8) * 100)}
		}
		var rooms [][]float64
		var prices []float64
		for _, o := range p.Offers {
			rooms, prices = append(rooms, asFloats(o.Capacity)), append(prices, float64(o.Price))
		}
		y := Worth(p, kept)
		if !feasible(y, rooms, prices) {
			t.Fatalf("seed %d: an offer is worth more than it costs at %v", seed, y)
		}
		got, want := valueAt(p, kept, y), bestMeeting(p, kept, rooms, prices)
		if math.Abs(got-want) > 1e-3*max(1, want) {
			t.Errorf("seed %d: value %v, at best %v", seed, got, want)
		}
		if got < dot(y, p.Groups[0])-1e-6 {
			earning++
		}
	}
	if earning == 0 {
		t.Error("no kept node ever earned anything")
	}
}

func asFloats(v Vector) []float64 { return []float64{float64(v[0]), float64(v[1])} }

// dot is what the pods of a group are worth.
func dot(y []float64, g Group) float64 {
	return float64(g.Count) * (y[0]*float64(g.Requests[0]) + y[1]*float64(g.Requests[1]))
}

// valueAt is what all that is asked for is worth at prices y, less what is earned.
func valueAt(p *Problem, kept []Kept, y []float64) float64 {
	sum := dot(y, p.Groups[0])
	for _, k := range kept {
		sum -= max(0, y[0]*float64(k.Room[0])+y[1]*float64(k.Room[1])-k.Price)
	}
	return sum
}

// bestMeeting is the greatest value where two lines meet.
func bestMeeting(p *Problem, kept []Kept, rooms [][]float64, prices []float64) (best float64) {
	lines, limits := append([][]float64{{1, 0}, {0, 1}}, rooms...), append([]float64{0, 0}, prices...)
	for _, k := range kept {
		lines, limits = append(lines, asFloats(k.Room)), append(limits, k.Price)
	}
	for i, a := range lines {
		for j, b := range lines[:i] {
			det := a[0]*b[1] - b[0]*a[1]
			if det == 0 {
				continue
			}
			y := []float64{(limits[i]*b[1] - a[1]*limits[j]) / det, (a[0]*limits[j] - limits[i]*b[0]) / det}
			if feasible(y, rooms, prices) {
				best = max(best, valueAt(p, kept, []float64{max(0, y[0]), max(0, y[1])}))
			}
		}
	}
	return best
}
