package pricing

import (
	"math/bits"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/stowage-sh/stowage/cloudprovider"
)

// A CommitmentKind is what was bought in advance.
type CommitmentKind string

// The kinds of commitments, in the order in which AWS applies them.
const (
	ReservedInstance       CommitmentKind = "ReservedInstance"
	EC2InstanceSavingsPlan CommitmentKind = "EC2InstanceSavingsPlan"
	ComputeSavingsPlan     CommitmentKind = "ComputeSavingsPlan"
)

// commitmentKinds in that order.
var commitmentKinds = []CommitmentKind{ReservedInstance, EC2InstanceSavingsPlan, ComputeSavingsPlan}

// A Commitment is on-demand use that is paid for already, whether it is used or not. Up to Amount
// an hour of machines that it covers costs nothing more.
type Commitment struct {
	Name string
	Kind CommitmentKind
	// Amount for each hour, in the commitment's own unit: MicroUSD of a Savings Plan; machines of
	// Reserved Instances, or quarters of normalized units where these are flexible in size.
	Amount int64
	// Family of instance types that are covered; "" for all of them, or for InstanceType alone.
	Family string
	// InstanceType and Zone that Reserved Instances are for; no zone means any of the region.
	InstanceType, Zone string

	// system that Reserved Instances are for.
	system System
	// discount is what a Savings Plan takes off the on-demand price with Linux, in millionths; -1 for a
	// plan that covers only what is in rates.
	discount int64
	// rates of a Savings Plan by system and instance type; they go before the discount.
	rates map[System]map[string]MicroUSD
	// terms say how Amount is made up, where it ends; they do not change.
	terms []term
}

// A term is what was bought at once: so much of an Amount, until end; zero for no end.
type term struct {
	amount int64
	end    time.Time
}

// over reports whether the term has ended.
func (t term) over(now time.Time) bool { return !t.end.IsZero() && !now.Before(t.end) }

// Commitments of a region, in any order; names are unique. They are not changed.
type Commitments []Commitment

// ended reports whether any of the commitment has ended by a time.
func (c *Commitment) ended(now time.Time) bool {
	return slices.ContainsFunc(c.terms, func(t term) bool { return t.over(now) })
}

// ended reports whether any of them has.
func (cs Commitments) ended(now time.Time) bool {
	return slices.ContainsFunc(cs, func(c Commitment) bool { return c.ended(now) })
}

// at returns what is left of them at a time.
func (cs Commitments) at(now time.Time) (left Commitments) {
	for _, c := range cs {
		if c.ended(now) {
			c.terms = slices.DeleteFunc(slices.Clone(c.terms), func(t term) bool { return t.over(now) })
			if len(c.terms) == 0 {
				continue
			}
			c.Amount = 0
			for _, t := range c.terms {
				c.Amount += t.amount
			}
		}
		left = append(left, c)
	}
	return left
}

// million is the whole of a discount, and the parts of a machine.
const million = 1_000_000

// Draw returns how much of the commitment's Amount one machine with a system takes, all of the hour, given
// what it costs on demand; not ok if the commitment does not cover it. Only what runs on demand is covered.
func (c *Commitment) Draw(o cloudprovider.Offering, system System, onDemand MicroUSD) (units int64, ok bool) {
	family, size, _ := strings.Cut(o.InstanceType, ".")
	switch {
	case o.CapacityType != cloudprovider.OnDemand || onDemand <= 0:
		return 0, false
	case c.Kind == ReservedInstance && c.system != system:
		return 0, false
	case c.Kind == ReservedInstance && c.Family != "":
		if c.Family == family {
			units = quarters(size)
		}
		return units, units > 0
	case c.Kind == ReservedInstance:
		return 1, c.InstanceType == o.InstanceType && (c.Zone == "" || c.Zone == o.Zone)
	case c.Family != "" && c.Family != family:
		return 0, false
	}
	rate, ok := c.rates[system][o.InstanceType]
	if !ok && (c.discount < 0 || system != Linux) { // of a licence nothing is taken off
		return 0, false
	}
	if !ok {
		rate = MicroUSD(mulDiv(int64(onDemand), million-c.discount, million))
	}
	return max(1, int64(rate)), rate <= onDemand
}

// Unmatched says of each that covers nothing with a known price on demand in t, a line that begins with its name: of
// an instance type or family that is misspelled, say, or not sold here.
func (cs Commitments) Unmatched(t *Table) (lines []string) {
	for i := range cs {
		if known, matched := cs[i].matches(t); known && !matched {
			lines = append(lines, cs[i].Name+": it covers no machine that has a price on demand in "+t.region)
		}
	}
	return lines
}

// matches reports whether c covers anything that has a price on demand in t, if prices are known of machines
// with its system. It costs O(prices).
func (c *Commitment) matches(t *Table) (known, matched bool) {
	for _, system := range Systems {
		prices := t.For(system.label())
		if c.Kind == ReservedInstance && c.system != system || !slices.Contains(prices.capacityTypes, cloudprovider.OnDemand) {
			continue
		}
		known = true
		for o, price := range prices.prices {
			if c.Zone != "" { // the price is the region's
				o.Zone = c.Zone
			}
			if _, ok := c.Draw(o, system, price); ok {
				return true, true
			}
		}
	}
	return known, false
}

// Quantity is an amount in dollars, machines, or normalized units: for output only.
func (c *Commitment) Quantity(amount int64) float64 {
	switch {
	case c.Kind != ReservedInstance:
		return float64(amount) / million
	case c.Family != "":
		return float64(amount) / 4
	}
	return float64(amount)
}

// quarters of a normalized unit that an instance size counts for; 0 if that is not known. A nano
// is a quarter of a unit, a large 4 units, an xlarge 8, and n times an xlarge n times as much ("Instance
// size flexibility", Amazon EC2 User Guide). Of bare metal only sizes such as metal-24xl say it.
func quarters(size string) int64 {
	switch size {
	case "nano":
		return 1
	case "micro":
		return 2
	case "small":
		return 4
	case "medium":
		return 8
	case "large":
		return 16
	case "xlarge":
		return 32
	}
	times, ok := strings.CutSuffix(size, "xlarge")
	if !ok {
		if times, ok = strings.CutPrefix(size, "metal-"); ok {
			times, ok = strings.CutSuffix(times, "xl")
		}
	}
	n, err := strconv.ParseInt(times, 10, 32)
	if !ok || err != nil || n < 1 {
		return 0
	}
	return 32 * n
}

// rigid are families whose Reserved Instances are not flexible in size. A file can say so of others.
var rigid = []string{"g4ad", "g4dn", "g5", "g5g", "g6", "g6e", "g6f", "gr6", "gr6f", "hpc7a", "inf1", "inf2", "p5", "p5e", "p5en"}

// flexible reports whether regional Reserved Instances of a type are usually flexible in size.
func flexible(instanceType string) bool {
	family, size, _ := strings.Cut(instanceType, ".")
	return quarters(size) > 0 && !slices.Contains(rigid, family) && !strings.HasPrefix(family, "u-")
}

// Share is a×b/c rounded up, without overflow on the way. None is negative, and the result fits.
func Share(a, b, c int64) int64 { return mulDivUp(a, b, c) }

// mulDiv is a×b/c, rounded down, without overflow on the way. None is negative, and the result fits.
func mulDiv(a, b, c int64) int64 {
	hi, lo := bits.Mul64(uint64(a), uint64(b))
	q, _ := bits.Div64(hi, lo, uint64(c))
	return int64(q)
}

// mulDivUp is mulDiv rounded up.
func mulDivUp(a, b, c int64) int64 {
	hi, lo := bits.Mul64(uint64(a), uint64(b))
	lo, carry := bits.Add64(lo, uint64(c-1), 0)
	q, _ := bits.Div64(hi+carry, lo, uint64(c))
	return int64(q)
}
