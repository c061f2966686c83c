package binpack

import (
	"fmt"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
)

// TestQuality holds the solver to what its plans for the corpus cost. The file moves only
// with a sentence about why, in the commit that moves it.
func TestQuality(t *testing.T) {
	datadriven.RunTest(t, "quality.golden", func(t *testing.T, d *datadriven.TestData) string {
		var out strings.Builder
		for _, m := range corpus {
			p := m.problem()
			for steps, budget := range []string{"default", "first"} {
				p.MaxSteps = int64(steps)
				s := mustSolve(t, p)
				nodes := int64(0)
				for _, n := range s.New {
					nodes += n.Count
				}
				gap := 100 * (float64(s.Cost)/float64(s.LowerBound) - 1)
				fmt.Fprintf(&out, "%-34s %-8s $%.6f/h %6.2f %% above the bound, %d nodes\n", m.name, budget, float64(s.Cost)/1e6, gap, nodes)
			}
		}
		return out.String()
	})
}
