package binpack

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

// near reports whether two amounts are equal but for rounding.
func near(a, b float64) bool { return math.Abs(a-b) <= 1e-6*max(1, math.Abs(a), math.Abs(b)) }

// TestRelaxationIsOptimal checks random relaxations by duality: the loads are feasible,
// and worth what the prices say that no load can exceed.
func TestRelaxationIsOptimal(t *testing.T) {
	for seed := range uint64(500) {
		r := rand.New(rand.NewPCG(seed, 1))
		n, m := 1+r.IntN(20), 1+r.IntN(4)
		kinds := make([]kind, n)
		x := newRelaxation(kinds, m)
		for i := range kinds {
			for range m {
				kinds[i].size = append(kinds[i].size, float64(r.IntN(5))/16)
			}
			x.value[i], x.left[i] = float64(r.IntN(6)), float64(r.IntN(8))
			x.order = append(x.order, i)
		}
		room := make([]float64, m)
		for k := range room {
			room[k] = float64(1+r.IntN(8)) / 4
		}
		x.solve(room)
		worth, used := 0.0, make([]float64, m)
		bound := 0.0
		for i := range kinds {
			a := 0.0
			switch x.state[i] {
			case all:
				a = x.left[i]
			case cut:
				for k, b := range x.basis {
					if b == i {
						a = x.amount[k]
					}
				}
			}
			if a < -1e-9 || a > x.left[i]+1e-9 {
				t.Errorf("seed %d: takes %v of %v pods", seed, a, x.left[i])
			}
			worth += a * x.value[i]
			for k, q := range kinds[i].size {
				used[k] += a * q
			}
			bound += max(0, x.gain(i)) * x.left[i]
		}
		for k := range room {
			if used[k] > room[k]+1e-9 {
				t.Errorf("seed %d: uses %v of %v", seed, used[k], room[k])
			}
			bound += x.price[k] * room[k]
		}
		if !near(worth, bound) {
			t.Errorf("seed %d: worth %v, bound %v; repeat with: go test ./binpack -run TestRelaxationIsOptimal", seed, worth, bound)
		}
	}
}

// TestMasterIsOptimal checks random masters by duality, at first and as demand falls.
func TestMasterIsOptimal(t *testing.T) {
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 2))
		n := 1 + r.IntN(12)
		demand := make([]float64, n)
		var columns []column
		for i := range demand {
			demand[i] = float64(1 + r.IntN(50))
			columns = append(columns, column{float64(1 + r.IntN(9)), []int{i}, []float64{float64(1 + r.IntN(6))}})
		}
		m := newMaster(demand, columns)
		for range r.IntN(60) {
			c := column{price: float64(1 + r.IntN(20))}
			for i := range demand {
				if r.IntN(3) == 0 {
					c.rows, c.count = append(c.rows, i), append(c.count, float64(1+r.IntN(6)))
				}
			}
			m.columns = append(m.columns, c)
		}
		m.primal(1000)
		m.isOptimal(t, fmt.Sprintf("seed %d", seed))
		for range 4 {
			less := make([]float64, n)
			for i, d := range m.demand {
				less[i] = float64(r.IntN(int(d) + 1))
			}
			m.lower(less, 1000)
			m.isOptimal(t, fmt.Sprintf("seed %d, demand lowered", seed))
		}
	}
}

func (m *master) isOptimal(t *testing.T, what string) {
	t.Helper()
	cost, covered := 0.0, make([]float64, len(m.demand))
	for i, b := range m.basis {
		if m.x[i] < -1e-6 {
			t.Errorf("%s: takes %v of a pattern", what, m.x[i])
		}
		if b >= 0 {
			cost += m.x[i] * m.columns[b].price
			for k, row := range m.columns[b].rows {
				covered[row] += m.x[i] * m.columns[b].count[k]
			}
		}
	}
	for i, d := range m.demand {
		if covered[i] < d-1e-6 {
			t.Errorf("%s: covers %v of %v pods", what, covered[i], d)
		}
		if m.y[i] < -1e-6 {
			t.Errorf("%s: price %v", what, m.y[i])
		}
	}
	for c := range m.columns {
		if m.reduced(c) < -1e-6 {
			t.Errorf("%s: a pattern is worth %v more than it costs", what, -m.reduced(c))
		}
	}
	if !near(cost, m.cost()) {
		t.Errorf("%s: costs %v, worth %v", what, cost, m.cost())
	}
}

// TestKnapsack compares with all loads there are.
func TestKnapsack(t *testing.T) {
	exact := 0
	const seeds = 1000
	for seed := range uint64(seeds) {
		r := rand.New(rand.NewPCG(seed, 3))
		n := 1 + r.IntN(5)
		room := Vector{int64(1 + r.IntN(30)), int64(1 + r.IntN(30))}
		table := &table{canon: &canon{Problem: &Problem{Resources: []string{"cpu", "memory"}}}, scale: []int64{30, 30}}
		need := make([]Vector, n)
		for i := range need {
			need[i] = Vector{int64(r.IntN(8)), int64(r.IntN(8))}
		}
		k := newKnapsack(table, need)
		var items []int
		for i := range need {
			k.price[i], k.most[i] = uint64(r.IntN(40))<<20, int64(1+r.IntN(4))
			if covers(room, need[i]) {
				items = append(items, i)
			}
		}
		best := k.brute(items, room)
		bound, ok := k.solve(room, items, 0)
		worth := uint64(0)
		left := append(Vector(nil), room...)
		for i, n := range k.found {
			worth += uint64(n) * k.price[i]
			for q := range left {
				left[q] -= n * need[i][q]
			}
		}
		if !ok || worth > best || best > bound || left[0] < 0 || left[1] < 0 {
			t.Errorf("seed %d: found %d, optimum %d, bound %d, room left %v", seed, worth, best, bound, left)
		}
		if worth == bound {
			exact++
		}
		if floored, _ := k.solve(room, items, bound+1); floored != bound+1 {
			t.Errorf("seed %d: bound %d below the floor %d", seed, floored, bound+1)
		}
	}
	if exact < seeds {
		t.Errorf("only %d of %d loads are proven, though all items are large", exact, seeds)
	}
}

// brute tries every load.
func (k *knapsack) brute(items []int, room Vector) uint64 {
	if len(items) == 0 {
		return 0
	}
	i := items[0]
	best := uint64(0)
	left := append(Vector(nil), room...)
	for n := int64(0); n <= k.most[i] && covers(left, make(Vector, len(left))); n++ {
		best = max(best, uint64(n)*k.price[i]+k.brute(items[1:], left))
		for q := range left {
			left[q] -= k.need[i][q]
		}
	}
	return best
}

// TestFreeNodesEndTheSearch: with a node that costs nothing no mixture is improved for ever by
// what rounding makes of its price.
func TestFreeNodesEndTheSearch(t *testing.T) {
	p, err := Parse(`resources cpu memory pods
key zone a b c
key type spot demand
pool pool0 weight 1
pool pool1 weight 1
pool pool2 minvalues 0 2
offer paid pool0 $0.000720 8 32 8 at b demand values 2
offer free pool0 $0.000000 2 16 8 at - demand values 1
stock "stock" 1 offers free
group group0 7 2 2 1 max 1
group group1 4 0 1 1 max 2
group group2 2 1 5 1 priority 1
group group3 5 2 4 1 priority 1 offers none
group group4 1 2 4 1 offers free
group group5 9 0 0 1
group group6 1 0 2 1 max 1
group group7 1 3 4 1 max 2
spread spread0 zone owners group1 counted group4 skew 1 min 1 over a 2 b 1 c 0
spread spread1 type owners group0 group6 counted group5 skew 2 min 2 over demand 2
affinity affinity0 type owners group0 group1 targets group4 group5
`)
	if err != nil {
		t.Fatal(err)
	}
	if s := mustSolve(t, p); s.Steps > 100_000 {
		t.Errorf("%d steps for a handful of nodes", s.Steps)
	}
}
