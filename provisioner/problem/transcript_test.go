package problem_test

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
	corev1 "k8s.io/api/core/v1"

	"github.com/stowage-sh/stowage/binpack"
	"github.com/stowage-sh/stowage/provisioner/problem"
	v1 "github.com/stowage-sh/stowage/provisioner/v1"
)

// TestTranscripts runs the scenarios of testdata. After a change of the
// translation or the solver, go test ./provisioner/problem -rewrite writes what
// they say now; read the difference.
//
//	catalog    what can be bought, from now on: see world.defineCatalog
//	apply      manifests to add
//	reset      forget all but the catalog
//	ran-out    offerings that ran out, one a line
//	exclude    NodePool and reason
//	nodes-left NodePool and number
//	ignore-preferences
//	relax-min-values
//	problem    the problem in the text form of binpack
//	plan       where pods go, what is bought, and why some stay
//	claims     the NodeClaims of the plan
//	overlays   which NodeOverlays are applied, and why others are not
func TestTranscripts(t *testing.T) {
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		w := newWorld()
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			if err := w.command(d); err != nil {
				d.Fatalf(t, "%v", err)
			}
			switch d.Cmd {
			case "problem":
				return w.translate().Problem.Text()
			case "plan":
				return describe(t, w.question(), placesOf)
			case "claims":
				return describe(t, w.question(), claimsOf)
			case "overlays":
				w.question()
				return verdictsOf(w.verdicts)
			}
			return ""
		})
	})
}

// command runs one that changes the world.
func (w *world) command(d *datadriven.TestData) error {
	switch d.Cmd {
	case "catalog":
		return w.defineCatalog(d.Input)
	case "apply":
		return w.apply(d.Input)
	case "reset":
		*w = world{catalog: w.catalog, prices: w.prices, ranOut: map[string]bool{}, input: newWorld().input}
	case "ran-out":
		for o := range strings.FieldsSeq(d.Input) {
			w.ranOut[o] = true
		}
	case "exclude":
		pool, reason, _ := strings.Cut(d.Input, " ")
		w.input.Excluded[pool] = reason
	case "nodes-left":
		var pool string
		var n int64
		if _, err := fmt.Sscan(d.Input, &pool, &n); err != nil {
			return err
		}
		w.input.NodesLeft[pool] = n
	case "ignore-preferences":
		w.input.IgnorePreferences = true
	case "relax-min-values":
		w.input.RelaxMinValues = true
	case "problem", "plan", "claims", "overlays":
	default:
		return fmt.Errorf("unknown command %s", d.Cmd)
	}
	return nil
}

// describe decides, has the plan verified, and says what write says.
func describe(t *testing.T, in *problem.Input, write func(*problem.Translation, *binpack.Solution) string) string {
	t.Helper()
	tr, s, err := problem.Decide(t.Context(), in)
	if err != nil {
		return "error: " + err.Error() + "\n"
	}
	if err := binpack.Verify(tr.Problem, s); err != nil {
		return "refused: " + err.Error() + "\n"
	}
	return write(tr, s)
}

// placesOf says where pods go and why some stay.
func placesOf(tr *problem.Translation, s *binpack.Solution) string {
	var b strings.Builder
	launches, placements := tr.Placed(s)
	for _, p := range placements {
		fmt.Fprintf(&b, "= %s: %s\n", p.Bin.Name(), names(p.Pods))
	}
	for _, l := range launches {
		fmt.Fprintf(&b, "+ %s: %s\n", l.Claim.Labels[v1.LabelNodePool], names(l.Pods))
		for _, row := range l.Rows {
			fmt.Fprintf(&b, "    %s\n", row.Offering)
		}
	}
	for i := range s.Unplaced {
		u := &s.Unplaced[i]
		pods := tr.Pods[u.Group]
		fmt.Fprintf(&b, "! %s\n", names(pods[len(pods)-int(u.Count):]))
		for _, r := range tr.Explain(u) {
			fmt.Fprintf(&b, "    %s: %s\n", r.Code, r.Message)
		}
	}
	for _, x := range tr.Excluded {
		fmt.Fprintf(&b, "excluded %s: %s\n", x.Pool, x.Reason)
	}
	if b.Len() == 0 {
		return "nothing to do\n"
	}
	return b.String()
}

// names lists pods; those that differ in their number only as "web-{0,1}".
func names(pods []*corev1.Pod) string {
	var stems []string
	numbers := map[string][]string{}
	for _, p := range pods {
		name := strings.TrimPrefix(p.Namespace+"/"+p.Name, "default/")
		stem, number := name, ""
		if i := strings.LastIndexByte(name, '-'); i > 0 {
			stem, number = name[:i+1], name[i+1:]
		}
		if !slices.Contains(stems, stem) {
			stems = append(stems, stem)
		}
		numbers[stem] = append(numbers[stem], number)
	}
	for i, stem := range stems {
		if list := numbers[stem]; len(list) > 1 {
			stems[i] += "{" + strings.Join(list, ",") + "}"
		} else {
			stems[i] += list[0]
		}
	}
	return strings.Join(stems, " ")
}

// claimsOf shows what is written down for each new node.
func claimsOf(tr *problem.Translation, s *binpack.Solution) string {
	var b strings.Builder
	launches, _ := tr.Placed(s)
	for _, l := range launches {
		c := l.Claim
		fmt.Fprintf(&b, "NodeClaim of %s, finalizers %v\n", c.OwnerReferences[0].Name, c.Finalizers)
		writeMap(&b, "label", c.Labels)
		if c.Annotations[v1.AnnotationNodePoolHash] == l.Rows[0].Pool.Hash() {
			c.Annotations[v1.AnnotationNodePoolHash] = "(right)"
		}
		writeMap(&b, "annotation", c.Annotations)
		for _, r := range c.Spec.Requirements {
			fmt.Fprintf(&b, "  requires %s %s %s", r.Key, r.Operator, strings.Join(r.Values, ","))
			if r.MinValues != nil {
				fmt.Fprintf(&b, ", at least %d", *r.MinValues)
			}
			b.WriteString("\n")
		}
		for _, taint := range c.Spec.Taints {
			fmt.Fprintf(&b, "  taint %s\n", taint.ToString())
		}
		for _, taint := range c.Spec.StartupTaints {
			fmt.Fprintf(&b, "  startup taint %s\n", taint.ToString())
		}
		requests := map[string]string{}
		for name, q := range c.Spec.Resources.Requests {
			requests[string(name)] = q.String()
		}
		writeMap(&b, "requests", requests)
	}
	return b.String()
}

// verdictsOf lists overlays in the order in which they are heard.
func verdictsOf(verdicts []problem.Verdict) string {
	var b strings.Builder
	for _, v := range verdicts {
		fmt.Fprintf(&b, "%s: %s\n", v.Overlay.Name, cmp.Or(strings.TrimSpace(v.Reason+" "+v.Message), "applied"))
	}
	return b.String()
}

func writeMap(b *strings.Builder, what string, m map[string]string) {
	var lines []string
	for k, v := range m {
		lines = append(lines, fmt.Sprintf("  %s %s=%s\n", what, k, v))
	}
	slices.Sort(lines)
	b.WriteString(strings.Join(lines, ""))
}
