package plan

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/stowage-sh/stowage/provisioner/consolidate"
	"github.com/stowage-sh/stowage/provisioner/problem"
)

// writeConsolidation writes the commands in order, what they come to, and why the other nodes stay.
//
//	2 commands, in order, each whole by itself:
//	      REASON         SAVES $/H  PODS  PAYBACK  NODES
//	  1.  Empty             0.0960     0  0s       ip-10-0-1-5 (m5.large us-east-1a on-demand)
//	  2.  Underutilized     0.3840    12  25m      ip-10-0-1-7 (m5.2xlarge us-east-1a on-demand), …
//	      → default-1 (m6a.large us-east-1b on-demand 0.0864 $/h)
func (p *Plan) writeConsolidation(b *strings.Builder) {
	c := p.consolidation
	switch n := len(c.commands); n {
	case 0:
		b.WriteString("\nNo node would go.\n")
	case 1:
		b.WriteString("\n1 command:\n")
	default:
		fmt.Fprintf(b, "\n%d commands, in order, each whole by itself:\n", n)
	}
	if len(c.commands) > 0 {
		c.writeCommands(b)
	}
	p.writeTotals(b)
	c.writeLeft(b)
}

func (c *consolidation) writeCommands(b *strings.Builder) {
	byName := map[string]*newNode{}
	for i := range c.opened {
		byName[c.opened[i].name] = &c.opened[i]
	}
	t := table{{"", "REASON", "SAVES $/H", "PODS", "PAYBACK", "NODES"}}
	for i := range c.commands {
		one := &c.commands[i]
		var nodes []string
		for _, n := range one.nodes {
			nodes = append(nodes, described(n))
		}
		slices.Sort(nodes)
		t = append(t, []string{strconv.Itoa(i+1) + ".", string(one.reason), decimal(one.savings, 4), strconv.Itoa(one.evictions), span(one.payback), strings.Join(nodes, ", ")})
	}
	lines := t.lines()
	fmt.Fprintln(b, "  "+lines[0])
	indent := strings.Repeat(" ", len(t[len(t)-1][0])+4)
	for i := range c.commands {
		fmt.Fprintln(b, "  "+lines[i+1])
		var opens []string
		for _, name := range c.commands[i].opens {
			row := byName[name].Rows[0]
			opens = append(opens, fmt.Sprintf("%s (%s %s %s %s $/h)", name, row.Offering.InstanceType, row.Offering.Zone, capacity(row), decimal(row.Price, 4)))
		}
		if len(opens) > 0 {
			fmt.Fprintln(b, indent+"→ "+strings.Join(opens, ", "))
		}
	}
}

// described names a node and what it is.
func described(n consolidate.Node) string {
	is := problem.LaunchedAs(n.Claim)
	return fmt.Sprintf("%s (%s %s %s)", n.Node.Name, is.InstanceType, is.Zone, is.CapacityType)
}

// span writes a duration shortly: 45s, 25m, 3h20m.
func span(d time.Duration) string {
	switch {
	case d < time.Minute:
		return strconv.Itoa(int(d.Seconds())) + "s"
	case d < time.Hour:
		return strconv.Itoa(int(d.Minutes())) + "m"
	}
	return fmt.Sprintf("%dh%02dm", int(d.Hours()), int(d.Minutes())%60)
}

// writeTotals writes what the nodes cost before and after, and what can be had at best.
func (p *Plan) writeTotals(b *strings.Builder) {
	c := p.consolidation
	saved, bought := c.with.cost-c.after.cost, c.with.cost-c.before.cost
	t := table{{"Before", count(c.before.nodes, "node"), p.money(c.before.cost, 4) + "/h", p.money(c.before.cost*hoursPerMonth, 2) + " a month"}}
	if n := len(p.nodes); n > 0 {
		t = append(t, []string{"New, for pods", count(n, "node"), p.money(bought, 4) + "/h", p.money(bought*hoursPerMonth, 2) + " a month"})
	}
	t = append(t, []string{"After", count(c.after.nodes, "node"), p.money(c.after.cost, 4) + "/h", p.money(c.after.cost*hoursPerMonth, 2) + " a month"})
	t = append(t, []string{"Saved", "", p.money(saved, 4) + "/h", p.money(saved*hoursPerMonth, 2) + " a month"})
	if gap, ok := gap(c.after.cost, c.bound); ok {
		says := "nothing cheaper could be bought for the pods that may move"
		if gap > 0 {
			says = howNear("the nodes after are", float64(gap))
		}
		t = append(t, []string{"Lower bound", "", p.money(c.bound, 4) + "/h", says})
	}
	b.WriteString("\n")
	for _, line := range t.lines() {
		fmt.Fprintln(b, line)
	}
	p.writeCommitments(b)
}

// Of a reason that holds for more than few nodes, only names are listed, and some of them at most.
const few, some = 5, 10

// writeLeft writes which nodes stay, by reason.
func (c *consolidation) writeLeft(b *strings.Builder) {
	if len(c.left) == 0 {
		return
	}
	byCode := map[string][]Left{}
	for _, l := range c.left {
		byCode[l.Code] = append(byCode[l.Code], l)
	}
	fmt.Fprintf(b, "\n%s left alone:\n", count(len(c.left), "node"))
	for _, code := range slices.Sorted(maps.Keys(byCode)) {
		left := byCode[code]
		fmt.Fprintf(b, "  %d× %s\n", len(left), code)
		if len(left) <= few {
			for _, l := range left {
				fmt.Fprintf(b, "      %s: %s\n", l.Node, l.Message)
			}
			continue
		}
		var names []string
		for _, l := range left[:min(len(left), some)] {
			names = append(names, l.Node)
		}
		if more := len(left) - len(names); more > 0 {
			names = append(names, fmt.Sprintf("and %d more", more))
		}
		fmt.Fprintf(b, "      %s\n", strings.Join(names, ", "))
	}
}
