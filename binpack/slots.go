package binpack

import "math"

// Pods that keep apart.
//
// Where at most k of some pods may be on one node, n of them need n/k nodes, whatever
// these hold else:
//
//	n/k nodes that are bought anyway   □ □ □ □ □ □ □ □ □ □
//	what else there is to place        ▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒
//
// Large nodes hold much of the rest well, and leave nothing to fill the others with. So
// while such pods are left, no load counts for more than a few fair shares of the worth that
// is left, one for each of those nodes, and one without any of the pods for half: then small
// nodes are opened, one after the other, that hold one of the pods and some of the rest.

// A slot is a rule of one node that lets at most so many of some pods share it.
type slot struct {
	members Set // groups
	most    int64
}

// findSlots lists the rules by which pods keep apart.
func (t *table) findSlots() (out []slot) {
	for i := range t.Exclusions {
		if x := &t.Exclusions[i]; x.Key == Hostname && x.A.Meets(x.B) {
			out = append(out, slot{x.A.and(x.B), 1})
		}
	}
	for i := range t.Spreads {
		if s := &t.Spreads[i]; s.Key == Hostname && s.Owners.Meets(s.Counted) {
			out = append(out, slot{s.Owners.and(s.Counted), s.MaxSkew})
		}
	}
	return out
}

// weighty is the share of what all that is left would cost, if pods and nodes could be cut,
// from which on the nodes for pods that keep apart matter.
const weighty = 0.1

// keepApart finds the rule by which pods keep apart whose nodes cost most, and the number of
// these nodes; 0 if that is little beside what else there is to buy.
func (o *opener) keepApart() (members Set, nodes int64) {
	least := float64(weighty * o.fluidCost())
	for at, kinds := range o.apart {
		n, cost := int64(0), 0.0
		for _, i := range kinds {
			if k := &o.kinds[i]; !k.filler && o.cheapest[i] > 0 {
				left := min(k.left, o.nodesFor[i])
				n += left
				cost += float64(o.cheapest[i] * float64(left))
			}
		}
		o.steps += int64(len(kinds) / 4)
		slot := &o.slots[at]
		if cost /= float64(slot.most); cost > least {
			members, nodes, least = slot.members, n/slot.most, cost
		}
	}
	return members, nodes
}

// findApart lists by slot the kinds that take one, and finds for each of these the price of
// the cheapest candidate that holds a pod and has not run out, 0 where there is none; and how
// many nodes limits and stocks allow of those.
func (o *opener) findApart() {
	o.apart, o.cheapest, o.nodesFor = make([][]int, len(o.slots)), make([]float64, len(o.kinds)), make([]int64, len(o.kinds))
	o.worthLeft() // for podsLeft
	prices, lets := make([]float64, len(o.candidates)), make([]int64, len(o.candidates))
	for j := range prices {
		offer := o.candidates[j].offer
		prices[j], lets[j] = o.relative(offer), o.allowed(offer, o.podsLeft)
	}
	for i := range o.kinds {
		k := &o.kinds[i]
		if k.ruled < 0 {
			continue
		}
		for at := range o.slots {
			if o.slots[at].members.Has(k.ruled) {
				o.apart[at] = append(o.apart[at], i)
			}
		}
		for j, price := range prices {
			c := &o.candidates[j]
			if c.full == 0 || !c.open[k.set] || !covers(c.room, k.need) {
				continue
			}
			if o.cheapest[i] == 0 || price < o.cheapest[i] {
				o.cheapest[i] = price
			}
			o.nodesFor[i] = max(o.nodesFor[i], lets[j])
		}
	}
}

// counted is what a load counts for: its worth, up to a fair share while pods are left that
// keep apart, and less if it holds none of them.
func (o *opener) counted(l *load) uint64 {
	if o.mostCounted == math.MaxUint64 {
		return l.value
	}
	for _, i := range l.kinds {
		if g := o.kinds[i].ruled; g >= 0 && o.members.Has(g) {
			return min(l.value, o.mostCounted)
		}
	}
	if l.value == 0 {
		return 0
	}
	return max(min(l.value, o.mostCounted)/lonely, 1)
}

// lonely is the part of its worth, one in so many, that a load counts for if it holds none of
// the pods that keep apart.
const lonely = 2
