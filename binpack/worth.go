package binpack

// Kept is a node that is there, with the room it has for pods and what it costs an hour to keep it, in
// MicroUSD; 0 or less is as 0.
type Kept struct {
	Room  Vector
	Price float64
}

// Worth returns what a unit of each resource is worth, in MicroUSD for an hour: the dual prices
// of the fluid problem (see fluid.go) in which the offers, at their prices, are to cover what all
// groups ask for in sum; each of kept may be used as well, once, for its price. Of a resource that does not
// decide what is bought or kept it is 0, and so it is where no pod asks for anything.
//
// In the dual, what is kept earns what its room is worth beyond its price, if anything. These
// sums are learned by cutting planes (Kelley, "The cutting-plane method for solving convex
// programs", 1960): for the nodes that earn something at some prices, what they earn together
// at any others is a row of the next program. The first has that of all of them: it bounds the prices where
// the offers do not, as what is there can hold what is there.
func Worth(p *Problem, kept []Kept) []float64 {
	f := newFlow(p, kept)
	f.learn(kept, nil)
	y := f.solve()
	for range cuts {
		if !f.learn(kept, y) {
			break
		}
		y = f.solve()
	}
	y = y[:len(p.Resources)]
	for r := range y {
		y[r] *= f.most / f.scale[r]
	}
	return y
}

// cuts bounds the work: each resource takes a few.
const cuts = 100

// A flow is a fluid problem in parts of the largest quantities and prices. Behind the resources
// it has one column for what is earned by what is kept.
type flow struct {
	tableau
	scale  []float64 // by resource
	most   float64   // price
	rooms  [][]float64
	prices []float64
	demand []float64
}

func newFlow(p *Problem, kept []Kept) *flow {
	n := len(p.Resources)
	f := &flow{scale: make([]float64, n), most: 1, demand: make([]float64, n+1)}
	for _, k := range kept {
		for r, q := range k.Room {
			f.scale[r] = max(f.scale[r], float64(q))
		}
		f.most = max(f.most, k.Price)
	}
	for _, g := range p.Groups {
		for r, q := range g.Requests {
			f.demand[r] += float64(float64(q) * float64(g.Count))
		}
	}
	for i := range p.Offers {
		o := &p.Offers[i]
		room := make([]float64, n+1)
		for r, q := range o.Room() {
			room[r] = float64(q)
			f.scale[r] = max(f.scale[r], room[r])
		}
		f.rooms, f.prices = append(f.rooms, room), append(f.prices, float64(o.Price))
		f.most = max(f.most, float64(o.Price))
	}
	for r := range n {
		f.scale[r] = max(f.scale[r], 1)
		f.demand[r] /= f.scale[r]
		for _, room := range f.rooms {
			room[r] /= f.scale[r]
		}
	}
	for i := range f.prices {
		f.prices[i] /= f.most
	}
	f.demand[n] = -1
	return f
}

func (f *flow) solve() []float64 {
	return f.fluid(f.rooms, f.prices, f.demand)
}

// enough is how near to what is kept really earns the program has to come, as a part.
const enough = 1e-5

// learn adds the row of the nodes that earn something at prices y, or of all if y is nil, unless the program
// knows already what they do. It reports whether it did.
func (f *flow) learn(kept []Kept, y []float64) bool {
	n := len(f.scale)
	row, price, earned := make([]float64, n+1), 0.0, 0.0
	for _, k := range kept {
		cost := max(0, k.Price/f.most)
		earns := -cost
		if y != nil {
			for r, q := range k.Room {
				earns += float64(y[r] * (float64(q) / f.scale[r]))
			}
			if earns <= 0 {
				continue
			}
		}
		earned += earns
		price += cost
		for r, q := range k.Room {
			row[r] += float64(q) / f.scale[r]
		}
	}
	if len(kept) == 0 || (y != nil && earned <= float64(y[n]*(1+enough))+tiny) {
		return false
	}
	row[n] = -1
	f.rooms, f.prices = append(f.rooms, row), append(f.prices, price)
	return true
}
