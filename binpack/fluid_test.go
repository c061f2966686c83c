package binpack

import (
	"math"
	"math/rand/v2"
	"testing"
)

// TestFluidIsOptimal compares the simplex method with the obvious way, which
// looks at every corner: with two resources, the points where two constraints
// meet.
func TestFluidIsOptimal(t *testing.T) {
	for seed := range uint64(2000) {
		r := rand.New(rand.NewPCG(seed, 0))
		var rooms [][]float64
		var prices []float64
		for range 1 + r.IntN(8) {
			rooms = append(rooms, []float64{float64(r.IntN(5)), float64(r.IntN(5))})
			prices = append(prices, float64(r.IntN(6)))
		}
		// One offer with some of all keeps the prices bounded.
		rooms, prices = append(rooms, []float64{1, 1}), append(prices, 9)
		demand := []float64{float64(r.IntN(4)), float64(r.IntN(4))}
		y := new(tableau).fluid(rooms, prices, demand)
		if !feasible(y, rooms, prices) {
			t.Fatalf("seed %d: %v is not feasible", seed, y)
		}
		got := y[0]*demand[0] + y[1]*demand[1]
		if want := bestCorner(rooms, prices, demand); math.Abs(got-want) > 1e-6 {
			t.Errorf("seed %d: value %v, best corner %v", seed, got, want)
		}
	}
}

func feasible(y []float64, rooms [][]float64, prices []float64) bool {
	for i, room := range rooms {
		if room[0]*y[0]+room[1]*y[1] > prices[i]+1e-6 {
			return false
		}
	}
	return y[0] >= -1e-9 && y[1] >= -1e-9
}

func bestCorner(rooms [][]float64, prices []float64, demand []float64) float64 {
	rows := append([][]float64{{1, 0}, {0, 1}}, rooms...)
	limits := append([]float64{0, 0}, prices...)
	best := 0.0
	for i := range rows {
		for j := range i {
			det := rows[i][0]*rows[j][1] - rows[i][1]*rows[j][0]
			if det == 0 {
				continue
			}
			y := []float64{
				(limits[i]*rows[j][1] - rows[i][1]*limits[j]) / det,
				(rows[i][0]*limits[j] - limits[i]*rows[j][0]) / det,
			}
			if feasible(y, rooms, prices) {
				best = max(best, y[0]*demand[0]+y[1]*demand[1])
			}
		}
	}
	return best
}

// TestExactPricesFit: whatever prices the floats suggest, after fit no room is
// worth more than it costs, in integers.
func TestExactPricesFit(t *testing.T) {
	for seed := range uint64(2000) {
		r := rand.New(rand.NewPCG(seed, 0))
		e := exactly([][]float64{{r.Float64() * math.Pow(10, float64(r.IntN(12)-9)), r.Float64()}})
		for range 5 {
			room, price := Vector{r.Int64N(1 << 45), r.Int64N(1 << 20)}, MicroUSD(r.Int64N(1<<40))
			e.fit(e.y[0], room, price)
			worth := worthExactly(e.y[0], room)
			if worth.Rsh(worth, e.shift); worth.IsInt64() && worth.Int64() > int64(price) || !e.fits(e.y[0], room, price) {
				t.Fatalf("seed %d: room %v is worth %v, more than %d", seed, room, worth, price)
			}
		}
	}
}
