package problem

import (
	"cmp"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/stowage-sh/stowage/binpack"
	"github.com/stowage-sh/stowage/cloudprovider"
	"github.com/stowage-sh/stowage/pricing"
	v1 "github.com/stowage-sh/stowage/provisioner/v1"
)

// Commitments: what runs on demand and is paid for already, in dollars or machines for each hour.
//
//	machines that run on demand, or will ──as AWS applies them──▶ what is left of each commitment
//	                                                                 │ a stock of the problem
//	                                                                 ▼ a new node draws on it
//
// What a commitment covers is there twice: as a row for its price, and as one that costs nothing and
// takes of the stock what AWS would. To the solver the second has a price, a thousandth of what it takes: so
// of what is paid it takes that which holds most for it, and uses up narrower commitments before wider ones. The
// price is paid to nobody, and is taken off when the decision is made (see Decide).
//
// A node is covered whole or not at all here, while AWS covers a part where less is left.

// thousandth is the part of what a node draws that the solver is told as its price, for the commitment of
// least rank; others are told a multiple.
const thousandth = 1000

// A machine is one that runs on demand, or is to.
type machine struct {
	claim *v1.NodeClaim // nil for one that is not ours
	node  *corev1.Node  // nil for one that has not joined
	use   int           // of the committed
}

// committed is how the commitments are used.
type committed struct {
	list     pricing.Commitments
	uses     []pricing.Use
	counts   []int64 // of uses, as things are
	machines []machine
	biller   *pricing.Biller
	left     []int64 // of each commitment
	stocks   []int   // of the problem's, by commitment; -1 for none
	each     []int64 // by commitment: what one unit of the stock is of it
}

// committedOf finds the machines that run on demand, or are to, and what commitments they use. Those that
// are on their way out give theirs back to what replaces them.
func committedOf(in *Input) *committed {
	c := &committed{list: in.Prices.Commitments()}
	if len(c.list) == 0 {
		return c
	}
	known := map[pricing.Use]int{}
	add := func(m machine, o cloudprovider.Offering, on labels.Set) {
		p := in.priceOf(nil, on, o)
		system, ok := systemOf(on, o)
		if o.CapacityType != cloudprovider.OnDemand || !p.known || !ok {
			return
		}
		use := pricing.Use{Offering: o, System: system, OnDemand: p.listed, Price: p.machine}
		if m.use, ok = known[use]; !ok {
			m.use = len(c.uses)
			known[use] = m.use
			c.uses, c.counts = append(c.uses, use), append(c.counts, 0)
		}
		c.counts[m.use]++
		c.machines = append(c.machines, m)
	}
	for _, node := range in.Snapshot.Nodes.All() {
		claim, ours := in.Snapshot.ClaimOf(node)
		switch {
		case ours && !in.Snapshot.Leaving(claim):
			add(machine{claim: claim, node: node}, LaunchedAs(claim), node.Labels)
		case !ours && node.DeletionTimestamp == nil:
			add(machine{node: node}, runsAs(node), node.Labels)
		}
	}
	for _, claim := range in.Snapshot.NodeClaims.All() {
		if _, joined := in.Snapshot.NodeOf(claim); joined || in.Snapshot.Leaving(claim) {
			continue
		}
		o := LaunchedAs(claim)
		if decided := Offerings(claim); claim.Status.ProviderID == "" && len(decided) > 0 {
			o = decided[0]
		}
		on := claimLabels(claim)
		on[corev1.LabelInstanceTypeStable], on[corev1.LabelTopologyZone], on[v1.LabelCapacityType] = o.InstanceType, o.Zone, o.CapacityType
		add(machine{claim: claim}, o, on)
	}
	c.biller = c.list.Biller(c.uses)
	c.left = c.biller.Bill(c.counts).Left
	return c
}

// runsAs is what a node that is not ours was launched as, as far as its labels say. One that does not
// say how it is paid for is taken to run on demand.
func runsAs(node *corev1.Node) cloudprovider.Offering {
	o := cloudprovider.Offering{InstanceType: node.Labels[corev1.LabelInstanceTypeStable], Zone: node.Labels[corev1.LabelTopologyZone],
		CapacityType: cmp.Or(node.Labels[v1.LabelCapacityType], cloudprovider.OnDemand)}
	if node.Labels["eks.amazonaws.com/capacityType"] == "SPOT" {
		o.CapacityType = cloudprovider.Spot
	}
	o.Tenancy = v1.Tenancy(node.Labels)
	return o
}

// covered returns rows once more for each commitment that has enough left for one.
func (b *builder) covered(rows []Row) []Row {
	c := b.t.committed
	var more []Row
	for k := range c.list {
		most := c.left[k]
		if b.in.GiveBack {
			most = c.list[k].Amount
		}
		for _, row := range rows {
			p := b.in.priceOf(row.Pool, &row, row.Offering)
			system, known := systemOf(&row, row.Offering)
			units, ok := c.list[k].Draw(row.Offering, system, p.listed)
			if !ok || !known || units > most {
				continue
			}
			row.Commitment, row.uncovered, row.draw = &c.list[k], row.Price, units
			row.Price, row.told = p.surcharge, told(&c.list[k], units, p.listed)
			row.variant += apart + (k+1)*maxVariants // a node is covered by one, whichever of its offerings it becomes
			more = append(more, row)
		}
	}
	return more
}

// told is the price of a covered node as the solver is told it. AWS's discounts are 72 % at the most, and 66 % for
// Compute Savings Plans: so the ranks keep the order at any of them.
func told(c *pricing.Commitment, units int64, listed pricing.MicroUSD) binpack.MicroUSD {
	rank := binpack.MicroUSD(1)
	switch {
	case c.Kind == pricing.ComputeSavingsPlan:
		rank = 12
	case c.Kind == pricing.EC2InstanceSavingsPlan:
		rank = 4
	default:
		units = int64(listed)
	}
	return (binpack.MicroUSD(units)*rank + thousandth - 1) / thousandth
}

// commit adds what is left of commitments to the problem's stocks.
func (b *builder) commit() {
	c := b.t.committed
	c.stocks, c.each = slices.Repeat([]int{-1}, len(c.list)), make([]int64, len(c.list))
	for k := range c.list {
		stock := binpack.Stock{ID: "commitment " + c.list[k].Name, Units: make([]int64, len(b.t.Rows))}
		each := int64(0)
		for i := range b.t.Rows {
			if row := &b.t.Rows[i]; row.Commitment == &c.list[k] {
				stock.Offers.Add(i)
				stock.Units[i] = row.draw
				each = divisor(each, row.draw)
			}
		}
		if each == 0 {
			continue
		}
		// Counted in the largest unit that all draws are whole numbers of: what no node can use is not there.
		for i := range stock.Offers.All {
			stock.Units[i] /= each
		}
		stock.Count = c.left[k] / each
		c.stocks[k], c.each[k] = len(b.p.Stocks), each
		b.p.Stocks = append(b.p.Stocks, stock)
	}
}

// divisor is the greatest one that both have in common.
func divisor(a, b int64) int64 {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}

// commitmentOf returns the commitment that a stock of the problem is of, or nil.
func (t *Translation) commitmentOf(stock string) *pricing.Commitment {
	for k, i := range t.committed.stocks {
		if i >= 0 && t.Problem.Stocks[i].ID == stock {
			return &t.committed.list[k]
		}
	}
	return nil
}

// Without returns the stocks of t.Problem as they were if the machines of some NodeClaims were gone, by name.
// It is of use where t was built with Input.GiveBack.
func (t *Translation) Without(gone map[string]bool) []binpack.Stock {
	stocks, c := slices.Clone(t.Problem.Stocks), t.committed
	for k, left := range c.leftWithout(gone) {
		if i := c.stocks[k]; i >= 0 {
			stocks[i].Count = left / c.each[k]
		}
	}
	return stocks
}

// leftWithout is what is left of each commitment if the machines of some NodeClaims are gone.
func (c *committed) leftWithout(gone map[string]bool) []int64 {
	if len(c.list) == 0 {
		return nil
	}
	counts := slices.Clone(c.counts)
	for _, m := range c.machines {
		if m.claim != nil && gone[m.claim.Name] {
			counts[m.use]--
		}
	}
	return c.biller.Bill(counts).Left
}

// Uncovered returns those launches for which not enough is left any more of the commitment that is to cover them, when
// the machines of some NodeClaims are gone, by name. What is there goes to the first.
func (t *Translation) Uncovered(launches []Launch, gone map[string]bool) (all []*Launch) {
	left := t.committed.leftWithout(gone)
	for i := range launches {
		l, draw := &launches[i], int64(0)
		c := l.Rows[0].Commitment
		if c == nil {
			continue
		}
		for _, row := range l.Rows {
			draw = max(draw, row.draw)
		}
		k := slices.IndexFunc(t.committed.list, func(has pricing.Commitment) bool { return has.Name == c.Name && has.Kind == c.Kind })
		if k < 0 || draw > left[k] {
			all = append(all, l)
			continue
		}
		left[k] -= draw
	}
	return all
}

// Paid returns what an hour of a node of an offer of t.Problem costs: nothing, where that is paid already.
func (t *Translation) Paid(offer int) binpack.MicroUSD { return t.Rows[offer].Price }

// Bought returns what it would cost if no commitment covered it.
func (t *Translation) Bought(offer int) binpack.MicroUSD {
	return max(t.Rows[offer].Price, t.Rows[offer].uncovered)
}

// MostTold is the most that a plan with these stocks, those of t.Problem or with other counts, can cost only because
// the solver was told a price of covered nodes. What is proven without it is proven.
func (t *Translation) MostTold(stocks []binpack.Stock) (sum binpack.MicroUSD) {
	for k, i := range t.committed.stocks {
		if i < 0 {
			continue
		}
		most := int64(0)
		for o := range stocks[i].Offers.All {
			if t.Rows[o].Commitment == &t.committed.list[k] {
				most = max(most, pricing.Share(int64(t.Rows[o].told), stocks[i].Count, stocks[i].Units[o]))
			}
		}
		sum += binpack.MicroUSD(most)
	}
	return sum
}

// dropTold takes what the solver was told of covered nodes off the plan: it is paid to nobody.
func (d *decision) dropTold() {
	d.s.LowerBound = max(0, d.s.LowerBound-d.t.MostTold(d.t.Problem.Stocks))
	for _, n := range d.s.New {
		if d.t.Rows[n.Offers[0]].Commitment != nil {
			d.s.Cost -= binpack.MicroUSD(n.Count) * d.t.Rows[n.Offers[0]].told
		}
	}
	for i := range d.t.Rows {
		if d.t.Rows[i].Commitment != nil {
			d.t.Problem.Offers[i].Price = d.t.Rows[i].Price
		}
	}
	d.s.LowerBound = min(d.s.LowerBound, d.s.Cost)
}

// Running says what the machines that run cost, beyond what is paid already.
type Running struct {
	in *Input
	// beyond has by NodeClaim what its machine costs, where it is on demand and there are commitments.
	beyond map[string]binpack.MicroUSD
}

// Running prices the machines that run, of which those of some NodeClaims may go, by name. What commitments cover
// costs nothing as long as others cannot use it; so what a machine costs is what the bill falls by when it goes after
// all that go before it: first those that may go, of each the worse used first, and then those that have not joined. So those
// that stay in any case have what is covered, and hide no savings. The sum over all machines is the bill, and
// no machines cost more in sum than is saved without them. It costs O(machines × commitments × kinds of machines).
func (in *Input) Running(mayGo map[string]bool) *Running {
	r := &Running{in: in, beyond: map[string]binpack.MicroUSD{}}
	c := committedOf(in)
	if len(c.list) == 0 {
		return r
	}
	requests, used := newRequestsKnown(), map[string]int64{}
	ours := slices.DeleteFunc(slices.Clone(c.machines), func(m machine) bool { return m.claim == nil })
	for _, m := range ours {
		if m.node != nil {
			used[m.claim.Name] = usedOf(in, m.node, requests)
		}
	}
	turn := func(m machine) int {
		switch {
		case m.node == nil:
			return 2
		case !mayGo[m.claim.Name]:
			return 1
		}
		return 0
	}
	slices.SortFunc(ours, func(a, b machine) int {
		return cmp.Or(cmp.Compare(turn(a), turn(b)), cmp.Compare(used[a.claim.Name], used[b.claim.Name]), cmp.Compare(a.claim.Name, b.claim.Name))
	})
	counts := slices.Clone(c.counts)
	last := c.biller.Bill(counts).Cost
	for _, m := range ours {
		counts[m.use]--
		cost := c.biller.Bill(counts).Cost
		r.beyond[m.claim.Name] = binpack.MicroUSD(max(0, last-cost))
		last = cost
	}
	return r
}

// usedOf is the larger of the parts of cpu and memory that pods on a node ask for, in millionths.
func usedOf(in *Input, node *corev1.Node, requests requestsKnown) (most int64) {
	load, has := cloudprovider.Resources{}, resources(node.Status.Allocatable)
	for _, p := range in.Snapshot.PodsOn(node.Name) {
		if !terminal(p) {
			add(load, requests.of(p))
		}
	}
	for _, name := range []string{cloudprovider.CPU, cloudprovider.Memory} {
		if has[name] > 0 {
			most = max(most, pricing.Share(1_000_000, load[name], has[name]))
		}
	}
	return most
}

// PriceOf returns what an hour of the node of a NodeClaim costs, its NodePool's surcharge and the expected cost
// of interruptions included, and whether that is known.
func (r *Running) PriceOf(claim *v1.NodeClaim, node *corev1.Node) (binpack.MicroUSD, bool) {
	pool, _ := r.in.Snapshot.NodePools.Get(claim.Labels[v1.LabelNodePool])
	p := r.in.priceOf(pool, labels.Set(node.Labels), LaunchedAs(claim))
	if beyond, ok := r.beyond[claim.Name]; ok {
		return beyond + p.surcharge, p.known
	}
	return p.all(), p.known
}

// PriceOfNew is PriceOf for a NodeClaim of this name that a launch decided on.
func (r *Running) PriceOfNew(name string, l *Launch) binpack.MicroUSD {
	if beyond, ok := r.beyond[name]; ok {
		return beyond + r.in.priceOf(l.Rows[0].Pool, l.Rows[0], l.Rows[0].Offering).surcharge
	}
	return l.Price
}

// Use is how much of a commitment is used, in its own unit.
type Use struct {
	Commitment *pricing.Commitment
	Used       int64
}

// Used says how much of each commitment the machines that are there use, and those of the launches as
// well, in the order of the commitments.
func (in *Input) Used(launches []Launch) []Use {
	c := committedOf(in)
	all := make([]Use, len(c.list))
	if len(c.list) == 0 {
		return all
	}
	uses, counts := slices.Clone(c.uses), slices.Clone(c.counts)
	for i := range launches {
		o := launches[i].Rows[0].Offering
		system, ok := systemOf(launches[i].Rows[0], o)
		if p := in.priceOf(nil, launches[i].Rows[0], o); p.known && ok {
			uses, counts = append(uses, pricing.Use{Offering: o, System: system, OnDemand: p.listed, Price: p.machine}), append(counts, 1)
		}
	}
	left := c.list.Biller(uses).Bill(counts).Left
	for k := range c.list {
		all[k] = Use{&c.list[k], c.list[k].Amount - left[k]}
	}
	return all
}
