package binpack

// Pods that keep apart.
//
// Where at most k of some pods may be on one node, n of them need n/k nodes, whatever
// these hold else:
//
//	n/k nodes that are bought anyway   □ □ □ □ □ □ □ □ □ □
//	what else there is to place        ▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒
//
// Large nodes hold much of the rest well, and leave nothing to fill the others with. So
// while such pods are left, no load counts for more than a fair share of the worth that
// is left, a few times over: then small nodes are opened, one after the other, that hold
// one of those pods and some of the rest.

// A slot is a rule of one node that lets at most so many of some pods share it.
type slot struct {
	members Set // groups
	most    int64
}

// slots lists the rules by which pods keep apart.
func (t *table) slots() (out []slot) {
	for i := range t.Exclusions {
		if x := &t.Exclusions[i]; x.Key == Hostname && x.A.meets(x.B) {
			out = append(out, slot{x.A.and(x.B), 1})
		}
	}
	for i := range t.Spreads {
		if s := &t.Spreads[i]; s.Key == Hostname && s.Owners.meets(s.Counted) {
			out = append(out, slot{s.Owners.and(s.Counted), s.MaxSkew})
		}
	}
	return out
}

// nodesNeeded is how many nodes the kinds need that are left, by the rule that asks for
// most; at least 1.
func (o *opener) nodesNeeded() int64 {
	most := int64(1)
	for _, slot := range o.slots {
		n := int64(0)
		for _, i := range o.live {
			if g := o.kinds[i].ruled; g >= 0 && slot.members.Has(g) {
				n += o.kinds[i].left
			}
		}
		most = max(most, n/slot.most)
	}
	return most
}
