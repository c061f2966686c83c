package plan

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/stowage-sh/stowage/binpack"
	"github.com/stowage-sh/stowage/cloudprovider"
	"github.com/stowage-sh/stowage/provisioner/headroom"
	"github.com/stowage-sh/stowage/provisioner/problem"
)

// hoursPerMonth is how AWS turns a price by the hour into one by the month.
const hoursPerMonth = 730

// WriteText writes the plan as a page for people: alike nodes and alike pods are
// counted, not listed.
//
//	Plan for 14 pending pods in us-east-1 (a, b, c)
//	Instance types: embedded, of … Prices: embedded prices of …
//
//	3 new nodes:
//	      INSTANCE TYPE  ZONE        CAPACITY   NODEPOOL  $/H EACH  CPU  …
//	  2×  m5.large       us-east-1a  on-demand  default     0.0960  88%  …
//	      shop/web ×5, 1 DaemonSet pod
//	  …
//
// Existing nodes that get pods, pods without a place and the sums follow, each
// where there is something to say.
func (p *Plan) WriteText(w io.Writer) error {
	var b strings.Builder
	what := p.asked()
	fmt.Fprintf(&b, "Plan for %s in %s\n", what, p.where())
	fmt.Fprintf(&b, "Instance types: %s. Prices: %s.", p.market.Source, p.market.Prices.Source())
	if p.overlays > 0 {
		fmt.Fprintf(&b, " Changed by %s.", count(p.overlays, "NodeOverlay"))
	}
	b.WriteString("\n")
	if p.consolidation == nil || p.pods+len(p.headroom) > 0 {
		p.writeNodes(&b)
		p.writeExisting(&b)
		p.writeUnplaced(&b)
		p.writeSums(&b)
	}
	if p.consolidation != nil {
		p.writeConsolidation(&b)
	}
	p.writeVerdict(&b)
	_, err := io.WriteString(w, b.String())
	return err
}

// asked says what the plan is for.
func (p *Plan) asked() string {
	var what []string
	if p.consolidation == nil || p.pods > 0 {
		what = append(what, count(p.pods, "pending pod"))
	}
	if n := len(p.headroom); n > 0 {
		what = append(what, "headroom for "+strconv.Itoa(n))
	}
	if p.consolidation != nil {
		what = append(what, count(p.consolidation.before.nodes, "node"))
	}
	return strings.Join(what, " and ")
}

// where names the region and, shortly, its zones: us-east-1 (a, b, c).
func (p *Plan) where() string {
	if len(p.zones) == 0 {
		return p.market.Region
	}
	short := make([]string, len(p.zones))
	for i, zone := range p.zones {
		short[i] = strings.TrimPrefix(strings.TrimPrefix(zone, p.market.Region), "-")
	}
	return p.market.Region + " (" + strings.Join(short, ", ") + ")"
}

// writeNodes writes a line for each kind of new node, with its load below.
func (p *Plan) writeNodes(b *strings.Builder) {
	if len(p.nodes) == 0 {
		b.WriteString("\nNo new node.\n")
		return
	}
	// Alike nodes become one row, in the place of the first.
	type row struct {
		node  *newNode
		load  string
		count int
	}
	var rows []*row
	known := map[string]*row{}
	for i := range p.nodes {
		n := &p.nodes[i]
		load := loadOf(n)
		key := fmt.Sprint(n.Rows[0].Pool.Name, n.Rows[0].Offering, capacity(n.Rows[0]), len(n.Rows), n.Relaxed(), n.Requests, load)
		if known[key] == nil {
			known[key] = &row{node: n, load: load}
			rows = append(rows, known[key])
		}
		known[key].count++
	}
	fmt.Fprintf(b, "\n%s:\n", count(len(p.nodes), "new node"))
	t := table{{"", "INSTANCE TYPE", "ZONE", "CAPACITY", "NODEPOOL", "$/H EACH", "CPU", "MEMORY", "PODS", "ALTERNATIVES"}}
	for _, r := range rows {
		decided := r.node.Rows[0]
		t = append(t, []string{
			strconv.Itoa(r.count) + "×", decided.Offering.InstanceType, decided.Offering.Zone, capacity(decided), decided.Pool.Name,
			decimal(decided.Price, 4), r.node.share(cloudprovider.CPU), r.node.share(cloudprovider.Memory), r.node.share(cloudprovider.Pods),
			strconv.Itoa(len(r.node.Rows) - 1),
		})
	}
	lines := t.lines()
	fmt.Fprintln(b, "  "+lines[0])
	for i, r := range rows {
		fmt.Fprintf(b, "  %s\n      %s\n", lines[i+1], r.load)
		if r.node.Relaxed() {
			b.WriteString("      fewer values than minValues ask for\n")
		}
	}
}

// capacity names the capacity type, the tenancy if it is not the usual one and, of what is reserved or
// committed, by what.
func capacity(row *problem.Row) string {
	words := row.Offering.CapacityType
	if row.Offering.Tenancy != "" {
		words += " " + row.Offering.Tenancy
	}
	if row.Commitment != nil {
		return words + " (" + row.Commitment.Name + ")"
	}
	if row.Offering.Reservation != "" {
		words += " " + row.Offering.Reservation
	}
	return words
}

// share says how much of a resource is asked for, in percent.
func (n *newNode) share(resource string) string {
	has := n.Rows[0].Type.Allocatable[resource]
	if has == 0 {
		return "-"
	}
	return strconv.FormatInt((n.Requests[resource]+n.Daemons[resource])*100/has, 10) + "%"
}

// loadOf lists the pods of a node by workload.
func loadOf(n *newNode) string {
	load := workloads(n.Pods)
	if d := n.Daemons[cloudprovider.Pods]; d > 0 {
		load += ", " + count(int(d), "DaemonSet pod")
	}
	return load
}

// workloads counts pods by what they belong to: "shop/web ×12, shop/cart ×3".
func workloads(pods []*corev1.Pod) string {
	counts := map[string]int{}
	var order []string
	for _, pod := range pods {
		name := workloadOf(pod)
		if counts[name] == 0 {
			order = append(order, name)
		}
		counts[name]++
	}
	slices.Sort(order)
	for i, name := range order {
		if n := counts[name]; n > 1 {
			order[i] = name + " ×" + strconv.Itoa(n)
		}
	}
	return strings.Join(order, ", ")
}

// workloadOf names what a pod belongs to, a Deployment rather than its ReplicaSet.
func workloadOf(pod *corev1.Pod) string {
	owner := metav1.GetControllerOf(pod)
	if owner == nil {
		return nameOf(pod)
	}
	name := owner.Name
	if headroom.Virtual(pod) {
		name += " (headroom)"
	}
	if hash := pod.Labels["pod-template-hash"]; hash != "" && owner.Kind == "ReplicaSet" {
		name = strings.TrimSuffix(name, "-"+hash)
	}
	return pod.Namespace + "/" + name
}

// writeExisting writes what goes on nodes that exist or are on their way.
func (p *Plan) writeExisting(b *strings.Builder) {
	if len(p.existing) == 0 {
		return
	}
	existing := slices.Clone(p.existing)
	slices.SortFunc(existing, func(x, y problem.Placement) int { return cmp.Compare(x.Bin.Name(), y.Bin.Name()) })
	fmt.Fprintf(b, "\n%s with room:\n", count(len(existing), "existing node"))
	var t table
	for _, e := range existing {
		t = append(t, []string{e.Bin.Name(), workloads(e.Pods)})
	}
	for _, line := range t.lines() {
		fmt.Fprintln(b, "  "+line)
	}
}

// writeUnplaced writes which pods find no place, with every reason: a NodePool
// that was not the first to refuse them may be the easiest to change.
func (p *Plan) writeUnplaced(b *strings.Builder) {
	if len(p.unplaced) == 0 {
		return
	}
	n := 0
	for _, u := range p.unplaced {
		n += len(u.pods)
	}
	fmt.Fprintf(b, "\n%s without a place:\n", count(n, "pod"))
	for _, u := range p.unplaced {
		fmt.Fprintf(b, "  %s\n", workloads(u.pods))
		for _, r := range u.reasons {
			fmt.Fprintf(b, "      %s\n", r.Message)
		}
	}
}

// howNear says what a bound proves of a plan, given cost / bound − 1.
func howNear(what string, gap float64) string {
	if gap > 1 {
		return "this proves little: what is paid for already, and rules of pods, are beyond what the bound knows"
	}
	return what + " at most " + strconv.FormatFloat(gap*100, 'f', 2, 64) + " % above the cheapest"
}

// writeSums writes cost, bound and work. A bound of 0 proves nothing, and is left
// out.
func (p *Plan) writeSums(b *strings.Builder) {
	cost, bound := p.solution.Cost, p.solution.LowerBound
	t := table{{"Cost", p.money(cost, 4) + "/h", p.money(cost*hoursPerMonth, 2) + " a month"}}
	switch gap, ok := gap(cost, bound); {
	case ok && cost == bound:
		t = append(t, []string{"Lower bound", p.money(bound, 4) + "/h", "nothing cheaper holds these pods"})
	case ok:
		t = append(t, []string{"Lower bound", p.money(bound, 4) + "/h", howNear("the plan is", float64(gap))})
	}
	b.WriteString("\n")
	for _, line := range t.lines() {
		fmt.Fprintln(b, line)
	}
	if p.consolidation == nil && len(p.commitments) > 0 {
		p.writeCommitments(b)
		b.WriteString("\n")
	}
	fmt.Fprintf(b, "Solved %s over %s in %s (%s).\n", count(len(p.translation.Problem.Groups), "group"),
		count(p.offers(), "offer"), p.solveTime.Round(time.Millisecond), count(int(p.solution.Steps), "step"))
	if p.solution.Truncated {
		b.WriteString("Solving was interrupted: this is the best plan so far.\n")
	}
}

// money writes an amount in the currency of the region.
func (p *Plan) money(m binpack.MicroUSD, decimals int) string {
	if strings.HasPrefix(p.market.Region, "cn-") {
		return "¥" + decimal(m, decimals)
	}
	return "$" + decimal(m, decimals)
}

// decimal writes an amount with two to six decimals, rounded half up.
func decimal(m binpack.MicroUSD, decimals int) string {
	unit := binpack.MicroUSD(1)
	for range 6 - decimals {
		unit *= 10
	}
	rounded := (m + unit/2) / unit
	per := 1_000_000 / unit
	return fmt.Sprintf("%d.%0*d", rounded/per, decimals, rounded%per)
}

// count writes a number of things: "1 pod", "2 pods".
func count(n int, thing string) string {
	if n != 1 {
		thing += "s"
	}
	return strconv.Itoa(n) + " " + thing
}

// A table is rows of cells. The first column and numbers stand to the right.
type table [][]string

// lines returns the rows with the cells of a column below each other.
func (t table) lines() []string {
	var widths []int
	for _, row := range t {
		for i, cell := range row {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	lines := make([]string, len(t))
	for r, row := range t {
		var b strings.Builder
		for i, cell := range row {
			space := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell))
			if numeric(cell) {
				cell = space + cell
			} else {
				cell += space
			}
			b.WriteString(cell + "  ")
		}
		lines[r] = strings.TrimRight(b.String(), " ")
	}
	return lines
}

// numeric reports whether a cell stands to the right of its column.
func numeric(cell string) bool {
	return cell != "" && strings.Trim(cell, "$¥0123456789.%×/h") == ""
}
