package binpack

import "slices"

// Who could never come.
//
// kube-scheduler places an owner of an affinity where a target is. So a plan in which
// owners wait for each other stays a plan:
//
//	cache ──must be on the node of──▶ web
//	  ▲                                │
//	  └──── must be in the zone of ────┘
//
// Over one key the ledger sees to it that rings do not begin (affinity.go); over several
// each link can lean on a pod that another link brings. A plan is looked through for
// them when it is made: whoever need not wait comes first, then those whose targets have
// come, and who has not come in the end is in a ring.

// A spot is the pods of a plan that share a node, and where that is.
type spot struct {
	node   int // index of the existing node, or -1
	offer  int // of a new one
	copies int64
	pods   []Share
}

// spots lists the nodes of the plan that hold pods.
func (s *pass) spots() []spot {
	var out []spot
	for i, pods := range s.fills {
		if len(pods) > 0 {
			out = append(out, spot{i, -1, 1, pods})
		}
	}
	for _, o := range s.opened {
		out = append(out, spot{-1, o.offer, o.count, o.pods})
	}
	return out
}

// domainOf is where the at-th spot is by the key of affinity i. Over Hostname new nodes
// follow those that exist.
func (s *pass) domainOf(i, at int, x *spot) int {
	switch key := s.Affinities[i].Key; {
	case key == Hostname && x.node < 0:
		return len(s.Nodes) + at
	case key == Hostname:
		return x.node
	case x.node >= 0:
		return s.Nodes[x.node].Domains[key]
	default:
		return s.Offers[x.offer].Domains[key]
	}
}

// ringed reports whether affinities wait for each other, so that a plan may have rings:
// whether some are left when those are taken away, again and again, whose targets own
// none.
func (t *table) ringed() bool {
	left := make([]bool, len(t.Affinities))
	for i := range left {
		left[i] = t.isAsked(i)
	}
	for moved := true; moved; {
		moved = false
		for i := range left {
			waits := func(j int) bool { return left[j] && j != i && t.Affinities[i].Targets.meets(t.Affinities[j].Owners) }
			if left[i] && !slices.ContainsFunc(indices(len(left)), waits) {
				left[i], moved = false, true
			}
		}
	}
	return slices.Contains(left, true)
}

// indices are those of a list of n.
func indices(n int) []int {
	out := make([]int, n)
	for i := range out {
		out[i] = i
	}
	return out
}

// stuck lists the affinities of pods of the plan that could never come.
func (s *pass) stuck() (out []int) {
	if !s.rings {
		return nil
	}
	type place struct{ affinity, domain int }
	const nowhere = -2 // more than one domain
	type pods struct{ at, group int }
	var waiting []pods
	home, arrived := map[int]int{}, map[place]bool{}
	spots := s.spots()
	for at := range spots {
		for _, sh := range spots[at].pods {
			waiting = append(waiting, pods{at, sh.Group})
			for i := range s.Affinities {
				d := s.domainOf(i, at, &spots[at])
				if !s.Affinities[i].Targets.Has(sh.Group) || d == NoDomain {
					continue
				}
				if known, ok := home[i]; (ok && known != d) || (s.Affinities[i].Key == Hostname && spots[at].copies > 1) {
					d = nowhere
				}
				home[i] = d
			}
		}
	}
	// waits returns the affinity that keeps a group from a spot, or -1.
	waits := func(w pods) int {
		for i := range s.Affinities {
			a, d := &s.Affinities[i], s.domainOf(i, w.at, &spots[w.at])
			starts := a.Targets.Has(w.group) && a.Present.Len() == 0 && home[i] == d
			if a.Owners.Has(w.group) && !starts && !arrived[place{i, d}] && (d == NoDomain || !a.Present.Has(d)) {
				return i
			}
		}
		return -1
	}
	for before := -1; before != len(waiting); {
		before = len(waiting)
		waiting = slices.DeleteFunc(waiting, func(w pods) bool {
			if waits(w) >= 0 {
				return false
			}
			for i := range s.Affinities {
				if s.Affinities[i].Targets.Has(w.group) {
					arrived[place{i, s.domainOf(i, w.at, &spots[w.at])}] = true
				}
			}
			return true
		})
	}
	for _, w := range waiting {
		out = append(out, waits(w))
	}
	slices.Sort(out)
	return slices.Compact(out)
}
