package binpack

// A lineup is what kinds ask for, in the order of packing, laid out so that those too
// large for what is left of a node are passed over together:
//
//	position  0 … 15 │ 16 … 31 │ 32 … 47 │ …
//	needs     ────── │ ─────── │ ─────── │     of each kind
//	run       least  │ least   │ least   │     of the kinds in the run
//	rest      least of all from here on →      where packing stops
type lineup struct {
	count int    // of positions
	width int    // of a Vector
	needs Vector // by position × resource
	run   Vector // by run × resource
	rest  Vector // by run × resource
}

// runLength is how many kinds stand in a run. They are sorted by worth, so those of one
// run are of similar size.
const runLength = 16

// draw lays out the kinds in live.
func (l *lineup) draw(live []int, kinds []kind) {
	if l.count = len(live); l.count == 0 {
		return
	}
	l.width = len(kinds[live[0]].need)
	l.needs, l.run, l.rest = l.needs[:0], l.run[:0], l.rest[:0]
	for j, i := range live {
		need := kinds[i].need
		l.needs = append(l.needs, need...)
		if j%runLength == 0 {
			l.run = append(l.run, need...)
			continue
		}
		least := l.run[len(l.run)-l.width:]
		for r, q := range need {
			least[r] = min(least[r], q)
		}
	}
	l.rest = append(l.rest, l.run...)
	for k := len(l.rest) - l.width - 1; k >= 0; k-- {
		l.rest[k] = min(l.rest[k], l.rest[k+l.width])
	}
}

// need is that of the kind at position j.
func (l *lineup) need(j int) Vector { return l.needs[j*l.width : (j+1)*l.width] }

// skip returns the position from j on at which packing into room goes on: j itself, or
// the head of the next run, or beyond the last where nothing that follows fits. It looks
// only where a run begins.
func (l *lineup) skip(j int, room Vector) int {
	for ; j < l.count && j%runLength == 0; j += runLength {
		at := j / runLength * l.width
		if !covers(room, l.rest[at:at+l.width]) {
			return l.count
		}
		if covers(room, l.run[at:at+l.width]) {
			return j
		}
	}
	return j
}
