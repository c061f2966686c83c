package main

import (
	"fmt"
	"io"
	"strings"
	"time"
)

// contestHeader names the columns of the table of contests.
const contestHeader = "| cluster | pods | | nodes | $/h | over | evictions | commands | time |\n" +
	"|---|---:|---|---:|---:|---:|---:|---:|---:|"

// lines are the rows of a contest: the cluster before, what the peer made of it, what we
// made of it with as many evictions, and to the end.
func (c *contest) lines() []string {
	row := func(name, pods, side string, at *stage, took string) string {
		return fmt.Sprintf("| %s | %s | %s | %d | %.2f | %s | %d | %s | %s |",
			name, pods, side, at.nodes, dollars(at.cost), over(at.cost, c.bound), at.evictions, at.issued(), took)
	}
	took := func(o *outcome) string {
		note := duration(o.deciding)
		if o.stopped > 0 {
			note += fmt.Sprintf(", %d searches stopped", o.stopped)
		}
		if o.refused > 0 {
			note += fmt.Sprintf("; %d pods refused", o.refused)
		}
		return note
	}
	return []string{
		row(c.name, fmt.Sprint(c.pods), "before", &c.before, ""),
		row("", "", "peer", c.peer.stage(), took(c.peer)),
		row("", "", "Stowage, evictions capped", &c.capped, ""),
		row("", "", "Stowage", c.ours.stage(), took(c.ours)),
		row("", "", "Stowage, payback 30m", c.slow.stage(), took(c.slow)),
		fmt.Sprintf("| | | **ratios** | | %+.1f %% capped, %+.1f %% | | %.2f× | | %.0f× |",
			100*c.against(c.capped.cost), 100*c.against(c.ours.cost),
			float64(c.ours.evictions)/float64(max(1, c.peer.evictions)), float64(c.peer.deciding)/float64(max(1, c.ours.deciding))),
	}
}

// stage is where the outcome left the cluster.
func (o *outcome) stage() *stage {
	return &stage{cost: o.cost, nodes: o.nodes, evictions: o.evictions, commands: o.commands, rounds: o.rounds}
}

// issued is the number of commands, and in how many plans they came where that is more
// than one and not one for each.
func (s *stage) issued() string {
	if s.rounds > 1 && s.rounds < s.commands {
		return fmt.Sprintf("%d in %d plans", s.commands, s.rounds)
	}
	return fmt.Sprint(s.commands)
}

// against is by what part a cost is above what the peer's cluster costs in the end.
func (c *contest) against(cost int64) float64 { return float64(cost)/float64(c.peer.cost) - 1 }

// A contestPage is docs/benchmarks-consolidation.md.
type contestPage struct {
	commit   string // when the first was measured
	contests []*contest
}

// write writes the page, with what it takes to repeat it, and who won where.
func (p *contestPage) write(to io.Writer) {
	fmt.Fprintf(to, contestIntro, origin(p.commit))
	fmt.Fprintf(to, "\n## With no more evictions than the peer\n\n%s\n", p.verdict())
	fmt.Fprintf(to, "\n## All clusters\n\n%s\n", contestHeader)
	var deciding, checking time.Duration
	for _, c := range p.contests {
		fmt.Fprintln(to, strings.Join(c.lines(), "\n"))
		deciding, checking = deciding+c.peer.deciding, checking+c.peer.checking
	}
	fmt.Fprintf(to, "\nThe peer's validation, which is not in its time, took %s beside %s of deciding.\n", duration(checking), duration(deciding))
}

// verdict says of each cluster whether ours costs more than the peer's, where ours stops
// at the peer's number of evictions.
func (p *contestPage) verdict() string {
	lines := []string{"| cluster | $/h of Stowage against the peer | |", "|---|---:|---|"}
	for _, c := range p.contests {
		word := "equal"
		switch {
		case c.capped.cost < c.peer.cost:
			word = "cheaper"
		case c.capped.cost > c.peer.cost:
			word = "**dearer**"
		}
		lines = append(lines, fmt.Sprintf("| %s | %+.2f %% | %s |", c.name, 100*c.against(c.capped.cost), word))
	}
	return strings.Join(lines, "\n")
}

const contestIntro = `# Benchmarks against Karpenter's consolidation

%s
This page alone: ` + "`cd test/peer && go run . -consolidation -out ../../docs/benchmarks-consolidation.md`" + `, and
` + "`-run`" + ` with a regular expression takes some of the clusters.

Both sides get the same standing cluster: bought by Stowage for all pods of a workload, of which a part
is left, each pod by chance of a fixed seed. NodePool, instance types, offerings and prices are the same,
budgets are 100 %%, consolidateAfter is 0s, and there is nothing pending. Policy is WhenEmptyOrUnderutilized
where it does not say Balanced.

The peer is Karpenter's own disruption code, called as its controller calls it: candidates,
budgets, emptiness, then several nodes, then single nodes, each with its validator, until a whole round gives no
command. Its commands are carried out in memory and at once: candidates go,
a replacement comes as the cheapest offering that its NodeClaim allows (which flatters it for
spot), and pods go where its simulation saw them. All that would
hold it up is taken away: it waits for nothing before it validates, nominates nothing, its limit on a search through single
nodes is never reached, and replacing spot by spot is on, which is not its default. Its limit of
a minute on a search for several nodes stands, as it cannot be changed; searches that reach it are counted. What is not driven:
drift, its queue with taints and retries, and the API server, in place of which there is a
cache that copies what it lists. The order of nodes in its
state is that of a Go map, so that runs differ: two of the first cluster ended at 110.42 and 110.50 $/h, after 1112 and 1042 evictions.

Stowage is consolidate.Make with a payback of 0s, again and again until it finds nothing, each command
carried out in order, and once more with a payback of half an hour, which says that less may be disturbed. "Evictions capped" is where Stowage's cluster stood, in the one run or the other,
after the longest prefix of its commands that has at most as many evictions as the peer had in all. After each command kube-scheduler's own plugins are asked
about each move, of either side: a refused one ends the run if it is ours, and is counted if it is the peer's.

"Over" is $/h above a bound that is proven: no nodes that can be bought for these pods cost less. Time is that of deciding, of all rounds
together, without validation, taken once, in one process on a machine that others use too: its ratio (how many times faster) means more than itself. A plan of Stowage
has many commands, each round of the peer one.
`
