package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"time"
)

// header names the columns of the table.
const header = "| workload | pods | | placed | time | in Solve | pods/s | allocated | nodes | $/h | bound | over |\n" +
	"|---|---:|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|"

// lines are the rows of a comparison: the peer, our first plan, our plan with the
// default budget, and, where the peer was stopped, ours for the pods it had placed.
func (c *comparison) lines() []string {
	bound := c.whole.bound
	if len(c.peer.placed) != len(c.whole.placed) {
		bound = 0 // it speaks of other pods
	}
	if c.same != nil {
		bound = c.same.bound
	}
	row := func(name, pods, side string, m *measure, bound int64) string {
		took := duration(m.took)
		if m.stopped {
			took += ", stopped"
		}
		return fmt.Sprintf("| %s | %s | %s | %d | %s | %s | %.0f | %s | %d | %.2f | %s | %s |", name, pods, side,
			len(m.placed), took, duration(m.solving), float64(len(m.placed))/m.took.Seconds(), size(m.allocated), m.nodes, dollars(m.cost), orDash(bound), over(m.cost, bound))
	}
	lines := []string{
		row(c.name, fmt.Sprint(c.pods), "peer", c.peer, bound),
		row("", "", "Stowage, first plan", c.first, c.first.bound),
		row("", "", "Stowage", c.whole, c.whole.bound),
	}
	if c.same != nil {
		lines = append(lines, row("", "", "Stowage, pods placed by the peer", c.same, c.same.bound))
	}
	return append(lines, "| | | **ratios** | | "+strings.Join(c.ratios(), " | ")+" | | |")
}

// ratios compare Stowage with the peer: time of the first plan and of the default
// budget, bytes, nodes and cost. Of a peer that was stopped they take the pods per
// second, and the rest on the pods that it had placed.
func (c *comparison) ratios() []string {
	rate := func(m *measure) float64 { return float64(len(m.placed)) / m.took.Seconds() }
	alone := func(m *measure) float64 { return float64(len(m.placed)) / m.solving.Seconds() }
	times := fmt.Sprintf("%.0f× first, %.0f×", rate(c.first)/rate(c.peer), rate(c.whole)/rate(c.peer))
	solves := fmt.Sprintf("%.0f× first, %.0f×", alone(c.first)/alone(c.peer), alone(c.whole)/alone(c.peer))
	ours := c.whole
	if c.same != nil {
		ours = c.same
	}
	nodes, cost := "–", "–"
	if maps.Equal(ours.placed, c.peer.placed) && c.peer.cost > 0 {
		nodes = fmt.Sprintf("%+.1f %%", 100*float64(ours.nodes-c.peer.nodes)/float64(c.peer.nodes))
		cost = fmt.Sprintf("%+.1f %%", 100*float64(ours.cost-c.peer.cost)/float64(c.peer.cost))
	}
	bytes := fmt.Sprintf("%.0f× less", float64(c.peer.allocated)/float64(ours.allocated))
	return []string{times, solves, "", bytes, nodes, cost}
}

func duration(d time.Duration) string {
	switch {
	case d >= 10*time.Second:
		return fmt.Sprintf("%.1f s", d.Seconds())
	case d >= time.Second:
		return fmt.Sprintf("%.2f s", d.Seconds())
	}
	return fmt.Sprintf("%.1f ms", d.Seconds()*1000)
}

func size(bytes uint64) string {
	if bytes >= 1e9 {
		return fmt.Sprintf("%.2f GB", float64(bytes)/1e9)
	}
	return fmt.Sprintf("%.1f MB", float64(bytes)/1e6)
}

func dollars(micro int64) float64 { return float64(micro) / 1e6 }

func orDash(micro int64) string {
	if micro == 0 {
		return "–"
	}
	return fmt.Sprintf("%.2f", dollars(micro))
}

func over(cost, bound int64) string {
	if bound == 0 {
		return "–"
	}
	return fmt.Sprintf("%.2f %%", 100*(float64(cost)/float64(bound)-1))
}

// A page is docs/benchmarks.md.
type page struct {
	commit   string // when the first was measured
	sections []string
	rows     map[string][]string
}

func newPage() *page { return &page{commit: commit(), rows: map[string][]string{}} }

func (p *page) add(section string, c *comparison) {
	if !slices.Contains(p.sections, section) {
		p.sections = append(p.sections, section)
	}
	p.rows[section] = append(p.rows[section], c.lines()...)
}

// save writes a page to a file; "" stands for none.
func save(name string, write func(io.Writer)) error {
	if name == "" {
		return nil
	}
	var text bytes.Buffer
	write(&text)
	return os.WriteFile(name, text.Bytes(), 0o644)
}

// write writes the page, with what it takes to repeat it.
func (p *page) write(to io.Writer) {
	fmt.Fprintf(to, intro, origin(p.commit), workers)
	for _, s := range p.sections {
		fmt.Fprintf(to, "\n## %s\n\n%s\n%s\n", s, header, strings.Join(p.rows[s], "\n"))
	}
}

const intro = `# Benchmarks against Karpenter's scheduler

%s
Both schedulers run in one process on the same pods, instance types, offerings and
prices, one after the other, each time from the beginning; of up to five runs the one in the
middle is shown. The clock runs from pods as API objects to NodeClaims, translation and
verification included, and the plan that was timed is the plan that was priced. The peer
has %d workers, as in its own benchmark. Either side is stopped after a minute, as the peer stops itself in
production; "Stowage, pods placed by the peer" is then our plan for what it had placed by
then. "First plan" is Stowage with a budget of one step. "In Solve"
is the part of the time that either solver itself takes: the peer's other part is mostly the sorting of instance types
by price for each claim. "Bound" is proven by Stowage: no
plan for the placed pods costs less. "Over" is $/h above it, and the ratios are
Stowage's to the peer: pods/s, bytes, nodes, $/h. Nodes and $/h are compared only where both placed the
same pods. One batch in an empty cluster; what consolidation mends later is [another page](benchmarks-consolidation.md).
`

// origin says what it takes to repeat a page.
func origin(commit string) string {
	return fmt.Sprintf(`Written by `+"`make bench-peer`"+`; do not edit. What is compared, and how, stands in
[test/peer](../test/peer/doc.go) and [test/corpus](../test/corpus/doc.go).

| | |
|---|---|
| command | %s |
| commit | %s |
| machine | %s, GOMAXPROCS %d |
| compiled with | %s; %s |
`, command(), commit, machine(), runtime.GOMAXPROCS(0), runtime.Version(), strings.Join(libraries(), ", "))
}

func command() string {
	if os.Getenv(folderVariable) == "" {
		return "`make bench-peer`"
	}
	return "`" + folderVariable + "=… make bench-peer`"
}

func commit() string {
	out, err := exec.Command("git", "describe", "--always", "--dirty", "--abbrev=12").Output()
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(out))
}

// machine names the processor and how many of it there are.
func machine() string {
	model := runtime.GOARCH
	if f, err := os.Open("/proc/cpuinfo"); err == nil {
		defer f.Close()
		for s := bufio.NewScanner(f); s.Scan(); {
			if key, value, ok := strings.Cut(s.Text(), ":"); ok && strings.TrimSpace(key) == "model name" {
				model = strings.TrimSpace(value)
				break
			}
		}
	}
	return fmt.Sprintf("%s, %d cores", model, runtime.NumCPU())
}

// libraries lists the versions that decide what was compared.
func libraries() []string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return nil
	}
	var found []string
	for _, d := range info.Deps {
		if slices.Contains([]string{"sigs.k8s.io/karpenter", "k8s.io/api", "sigs.k8s.io/controller-runtime"}, d.Path) {
			found = append(found, d.Path+" "+d.Version)
		}
	}
	return found
}
