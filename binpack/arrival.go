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
// whether some are left when those are taken away, again and again, that wait for none (Kahn,
// "Topological sorting of large networks", 1962).
func (t *table) ringed() bool {
	waits := make([]int, len(t.Affinities))     // for how many others
	waiting := make([][]int, len(t.Affinities)) // who waits for it
	var free []int
	left := 0
	for i := range t.Affinities {
		if !t.isAsked(i) {
			continue
		}
		left++
		for j := range t.Affinities {
			if j != i && t.isAsked(j) && t.Affinities[i].Targets.Meets(t.Affinities[j].Owners) {
				waits[i]++
				waiting[j] = append(waiting[j], i)
			}
		}
		if waits[i] == 0 {
			free = append(free, i)
		}
	}
	for len(free) > 0 {
		i := free[len(free)-1]
		free, left = free[:len(free)-1], left-1
		for _, j := range waiting[i] {
			if waits[j]--; waits[j] == 0 {
				free = append(free, j)
			}
		}
	}
	return left > 0
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
	// Whoever waits is looked at again when what it waits for has come.
	blocked := map[place][]pods{}
	for len(waiting) > 0 {
		w := waiting[len(waiting)-1]
		waiting = waiting[:len(waiting)-1]
		if i := waits(w); i >= 0 {
			at := place{i, s.domainOf(i, w.at, &spots[w.at])}
			blocked[at] = append(blocked[at], w)
			continue
		}
		for i := range s.Affinities {
			at := place{i, s.domainOf(i, w.at, &spots[w.at])}
			if s.Affinities[i].Targets.Has(w.group) && !arrived[at] {
				arrived[at] = true
				waiting = append(waiting, blocked[at]...)
				delete(blocked, at)
			}
		}
	}
	for at := range blocked {
		out = append(out, at.affinity)
	}
	slices.Sort(out)
	return slices.Compact(out)
}
