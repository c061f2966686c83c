package binpack

import (
	"math/rand/v2"
	"testing"
)

// crowded has more existing nodes than rich, for there is little to blend on four.
var crowded = shape{pods: 60, offers: 6, nodes: 12, relations: true}

// TestBlendedPlansHold: plans with Blend pass Verify, do not depend on the order of the lists, and
// are those of the problem read back from its text. On some problems they save nodes.
func TestBlendedPlansHold(t *testing.T) {
	differ, better := 0, 0
	for name, s := range map[string]shape{"bound": crowded, "free": {pods: 60, offers: 6, nodes: 12}} {
		t.Run(name, func(t *testing.T) {
			forSeeds(t, 400, s, func(t *testing.T, r *rand.Rand, p *Problem) {
				usual := mustSolve(t, p)
				p.Blend = true
				blended := mustSolve(t, p)
				q := shuffled(r, p)
				if want, got := blended.Text(p), mustSolve(t, q).Text(q); got != want {
					t.Errorf("shuffled:\n%sbefore:\n%s", got, want)
				}
				q, err := Parse(p.Text())
				if err != nil {
					t.Fatal(err)
				}
				if want, got := blended.Text(p), mustSolve(t, q).Text(q); got != want || !q.Blend {
					t.Errorf("read back:\n%sbefore:\n%s", got, want)
				}
				if usual.Text(p) != blended.Text(p) {
					differ++
				}
				if left(blended) <= left(usual) && blended.Cost < usual.Cost {
					better++
				}
			})
		})
	}
	t.Logf("%d plans are others than without, %d cost less and place as much", differ, better)
	if differ == 0 || better == 0 {
		t.Error("to blend never made a difference")
	}
}

// left counts the pods without a place.
func left(s *Solution) (n int64) {
	for _, u := range s.Unplaced {
		n += u.Count
	}
	return n
}
