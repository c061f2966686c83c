package binpack

import "testing"

// TestInnerLoopDoesNotAllocate: trying an offer, which happens for every
// candidate and every node opened, works in place.
func TestInnerLoopDoesNotAllocate(t *testing.T) {
	table := newTable(canonical(corpusProblem(2)))
	s := newPass(t.Context(), table, packAndBlend)
	s.caps = table.caps()
	for _, g := range s.order() {
		s.place(g)
	}
	o := s.opener(s.weights[0], s.levels(false)[0])
	if len(o.live) == 0 || len(o.ways) != 2 {
		t.Fatal("nothing to try")
	}
	try := func() {
		for i := range o.candidates {
			for _, fill := range o.ways {
				o.try.reset()
				copy(o.room, o.candidates[i].room)
				fill(o.candidates[i].offer, &o.try)
			}
		}
	}
	try() // once to grow the buffers
	if n := testing.AllocsPerRun(10, try); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
