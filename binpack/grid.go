package binpack

import "slices"

// A grid is by resource the greatest common divisor of what some pods ask for; 0 where
// none asks for any.
//
// Of a node of 191.6 cores, pods that all ask for multiples of 4 cores use at most 188: to
// floor its room takes nothing from them, and a bound that lets pods be cut comes so
// much nearer to what whole ones can do (Chvátal, "Edmonds polytopes and a hierarchy of
// combinatorial problems", 1973).
type grid Vector

// add makes the grid as fine as need asks.
func (g grid) add(need Vector) {
	for r, q := range need {
		for a := q; a != 0; {
			g[r], a = a, g[r]%a
		}
	}
}

// floor is the part of a room that pods on the grid can use, as a vector of its own.
func (g grid) floor(room Vector) Vector {
	out := slices.Clone(room)
	for r, d := range g {
		if d > 0 {
			out[r] -= out[r] % d
		}
	}
	return out
}
