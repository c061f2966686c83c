package binpack

import (
	"testing"

	"github.com/cockroachdb/datadriven"
)

// TestTranscripts runs the scenarios of testdata. After a change of the solver,
// go test ./binpack -rewrite writes what it says now; read the difference.
//
//	solve   the plan, which Verify has accepted
//	check   what Validate says
//	format  the problem as Text writes it
//	parse   the error of Parse
func TestTranscripts(t *testing.T) {
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			p, err := Parse(d.Input)
			if d.Cmd == "parse" {
				if err == nil {
					return "no error\n"
				}
				return err.Error() + "\n"
			}
			if err != nil {
				d.Fatalf(t, "parsing: %v", err)
			}
			switch d.Cmd {
			case "solve":
				s, err := Solve(t.Context(), p)
				if err != nil {
					d.Fatalf(t, "solving: %v", err)
				}
				if err := Verify(p, s); err != nil {
					return s.Text(p) + "REFUSED: " + err.Error() + "\n"
				}
				return s.Text(p)
			case "check":
				if err := p.Validate(); err != nil {
					return err.Error() + "\n"
				}
				return "valid\n"
			case "format":
				return p.Text()
			}
			d.Fatalf(t, "unknown command %s", d.Cmd)
			return ""
		})
	})
}
