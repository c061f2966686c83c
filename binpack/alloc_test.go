package binpack

import "testing"

// TestInnerLoopDoesNotAllocate: trying an offer, which happens for every
// candidate and every node opened, works in place.
func TestInnerLoopDoesNotAllocate(t *testing.T) {
	table := newTable(canonical(corpus[2].problem()))
	s := newPass(t.Context(), table, recipes[0])
	s.caps = table.caps()
	for _, g := range s.order() {
		s.place(g)
	}
	o := s.opener(s.weights[0], s.levels(false)[0])
	if len(o.live) == 0 || len(o.candidates) == 0 {
		t.Fatal("nothing to try")
	}
	prices := make([]float64, len(o.kinds))
	for i := range prices {
		prices[i] = float64(o.kinds[i].value)
	}
	try := func() {
		for i := range o.candidates {
			for way := range ways {
				o.fill(&o.candidates[i], way)
			}
			o.fillFor(&o.candidates[i], prices)
		}
	}
	try() // once to grow the buffers
	if n := testing.AllocsPerRun(10, try); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
