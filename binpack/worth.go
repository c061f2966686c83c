package binpack

// Worth returns what a unit of each resource is worth, in MicroUSD for an hour: the dual prices
// of the fluid problem (see fluid.go) in which the offers, at their prices, are to cover what all
// groups ask for in sum. Of a resource that does not decide what is bought it is 0, and so it is
// where no pod asks for anything.
func Worth(p *Problem) []float64 {
	n := len(p.Resources)
	demand, scale := make([]float64, n), make([]float64, n)
	for _, g := range p.Groups {
		for r, q := range g.Requests {
			demand[r] += float64(q) * float64(g.Count)
		}
	}
	rooms, prices, most := make([][]float64, 0, len(p.Offers)), make([]float64, 0, len(p.Offers)), 1.0
	for _, o := range p.Offers {
		room := make([]float64, n)
		for r, q := range o.Capacity {
			room[r] = float64(q)
			if r < len(o.Overhead) {
				room[r] = max(0, room[r]-float64(o.Overhead[r]))
			}
			scale[r] = max(scale[r], room[r])
		}
		rooms, prices = append(rooms, room), append(prices, float64(o.Price))
		most = max(most, float64(o.Price))
	}
	for r := range n {
		scale[r] = max(scale[r], 1)
		demand[r] /= scale[r]
		for _, room := range rooms {
			room[r] /= scale[r]
		}
	}
	for i := range prices {
		prices[i] /= most
	}
	y := new(tableau).fluid(rooms, prices, demand)
	for r := range y {
		y[r] *= most / scale[r]
	}
	return y
}
