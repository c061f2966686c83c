package binpack

import (
	"encoding/binary"
)

// Rules of one node: who may share it with whom.
//
// 	               exclusion   exclusion   spread over   affinity over
// 	               of web      of ports    hostnames     hostnames
// 	group web 1    in A, B     –           owner         –              ┐ alike: one kind
// 	group web 2    in A, B     –           owner         –              ┘ to who packs a node
// 	group cache    in B        in A        –             target
//
// Where a group stands in a rule is looked up once (stance). A node under way counts
// its pods by these (crowd), so that to ask whether one more may join takes a few
// looks, however many pods are there.

// ruleIndex lists by group the constraints that it is part of.
type ruleIndex struct{ exclusions, spreads, affinities [][]int }

// newRuleIndex is empty.
func newRuleIndex(groups int) ruleIndex {
	return ruleIndex{make([][]int, groups), make([][]int, groups), make([][]int, groups)}
}

// A stance is where a group stands in one rule: whether it is in A and in B of an
// exclusion, an owner and counted of a spread, an owner and a target of an affinity.
type stance struct {
	rule int
	a, b bool
}

// stances are those of one group in the constraints over Hostname.
type stances struct{ exclusions, spreads, affinities []stance }

// addRules looks up for each group the relations that it is part of.
func (t *table) addRules() {
	n := len(t.Groups)
	t.hosts, t.regions = newRuleIndex(n), newRuleIndex(n)
	t.stands = make([]stances, n)
	for i := range t.Exclusions {
		x := &t.Exclusions[i]
		for g := range x.A.or(x.B).All {
			if x.Key == Hostname {
				t.hosts.exclusions[g] = append(t.hosts.exclusions[g], i)
				t.stands[g].exclusions = append(t.stands[g].exclusions, stance{i, x.A.Has(g), x.B.Has(g)})
			} else {
				t.regions.exclusions[g] = append(t.regions.exclusions[g], i)
			}
		}
	}
	for i := range t.Affinities {
		if !t.isAsked(i) {
			continue
		}
		a := &t.Affinities[i]
		for g := range a.Owners.or(a.Targets).All {
			if a.Key == Hostname {
				t.hosts.affinities[g] = append(t.hosts.affinities[g], i)
				t.stands[g].affinities = append(t.stands[g].affinities, stance{i, a.Owners.Has(g), a.Targets.Has(g)})
			} else {
				t.regions.affinities[g] = append(t.regions.affinities[g], i)
			}
		}
	}
	t.rings, t.slots = t.ringed(), t.findSlots()
	t.running = make([]map[int]int64, len(t.Spreads))
	for i := range t.Spreads {
		s := &t.Spreads[i]
		for g := range s.Owners.or(s.Counted).All {
			if s.Key == Hostname {
				t.hosts.spreads[g] = append(t.hosts.spreads[g], i)
				t.stands[g].spreads = append(t.stands[g].spreads, stance{i, s.Owners.Has(g), s.Counted.Has(g)})
			} else {
				t.regions.spreads[g] = append(t.regions.spreads[g], i)
			}
		}
		if s.Key == Hostname {
			t.running[i] = map[int]int64{}
			for _, d := range s.Domains {
				t.running[i][d.Domain] = d.Count
			}
		}
	}
	t.matchAlike()
}

// matchAlike finds the groups that rules of one node bind in the same way. One with a
// MaxPerNode is like no other.
func (t *table) matchAlike() {
	t.alike = make([]int, len(t.Groups))
	first := map[string]int{}
	var key []byte
	for g := range t.alike {
		t.alike[g] = -1
		s := &t.stands[g]
		if t.Groups[g].MaxPerNode > 0 {
			t.alike[g] = g
			continue
		}
		if len(s.exclusions)+len(s.spreads)+len(s.affinities) == 0 {
			continue
		}
		key = key[:0]
		for _, list := range [][]stance{s.exclusions, s.spreads, s.affinities} {
			for _, at := range list {
				key = binary.AppendUvarint(key, uint64(at.rule+1))
				key = append(key, bit(at.a)|bit(at.b)<<1)
			}
			key = append(key, 0)
		}
		if _, ok := first[string(key)]; !ok {
			first[string(key)] = g
		}
		t.alike[g] = first[string(key)]
	}
}

func bit(b bool) byte {
	if b {
		return 1
	}
	return 0
}

// isRuled reports whether a rule of one node binds the pods of group g.
func (t *table) isRuled(g int) bool { return t.alike[g] >= 0 }

// A crowd counts the pods on one node as the rules of one node see them.
type crowd struct {
	*table
	apart [][2]int64 // by exclusion: pods of A, of B
	even  [][2]int64 // by spread: pods of owners, pods that are counted
	near  []int64    // by affinity: pods of targets
	same  []int64    // by group, of those with a MaxPerNode
	shut  []uint64   // by group, if alike others the first of them: the node on which no more may join
	node  uint64     // how many nodes there have been, from 1
}

// newCrowd is that of an empty node.
func newCrowd(t *table) *crowd {
	return &crowd{
		table: t, apart: make([][2]int64, len(t.Exclusions)), even: make([][2]int64, len(t.Spreads)),
		near: make([]int64, len(t.Affinities)), same: make([]int64, len(t.Groups)), shut: make([]uint64, len(t.Groups)), node: 1,
	}
}

// visitors is a crowd for one node after the other, empty between them, and the same for all
// openers: there is one at a time.
func (t *table) visitors() *crowd {
	if t.visiting == nil {
		t.visiting = newCrowd(t)
	}
	return t.visiting
}

// add counts n more pods of group g; n may be negative.
func (w *crowd) add(g int, n int64) {
	s := &w.stands[g]
	for _, at := range s.exclusions {
		if at.a {
			w.apart[at.rule][0] += n
		}
		if at.b {
			w.apart[at.rule][1] += n
		}
	}
	for _, at := range s.spreads {
		if at.a {
			w.even[at.rule][0] += n
		}
		if at.b {
			w.even[at.rule][1] += n
		}
	}
	for _, at := range s.affinities {
		if at.b {
			w.near[at.rule] += n
		}
	}
	w.same[g] += n
}

// next turns to another node, once all pods of the last are taken off.
func (w *crowd) next() { w.node++ }

// isShut reports whether it is known that no more pods like those of group g may join
// the node. Once that holds it holds for all others that come, too.
func (w *crowd) isShut(g int) bool { return w.shut[w.alike[g]] == w.node }

// admits returns how many more pods of group g, at most n, may join the node by the
// rules that no resource states: existing node at, or -1 for a new one. Owners of the
// affinities in start may be the first.
func (w *crowd) admits(g, at int, n int64, start Set) int64 {
	if !w.hasCompany(g, at, start) {
		return 0
	}
	n = w.abides(g, at, n)
	if n == 0 {
		w.shut[w.alike[g]] = w.node
	}
	return n
}

// hasCompany reports whether the affinities over Hostname let a pod of group g join.
func (w *crowd) hasCompany(g, at int, start Set) bool {
	for _, s := range w.stands[g].affinities {
		if s.a && (at < 0 || !w.Affinities[s.rule].Present.Has(at)) && w.near[s.rule] == 0 && !(s.b && start.Has(s.rule)) {
			return false
		}
	}
	return true
}

// abides is admits by all rules but those that ask for company. As more pods join it
// only falls.
func (w *crowd) abides(g, at int, n int64) int64 {
	if most := w.Groups[g].MaxPerNode; most > 0 && at < 0 {
		n = min(n, most-w.same[g])
	}
	s := &w.stands[g]
	for _, x := range s.exclusions {
		// A pod of A minds every other pod of B, and the other way round. In both,
		// it minds its own kind.
		there := &w.apart[x.rule]
		if (x.a && there[1] > 0) || (x.b && there[0] > 0) {
			return 0
		}
		if x.a && x.b {
			n = min(n, 1)
		}
	}
	for _, sp := range s.spreads {
		// Without an owner on the node nobody there minds the count.
		there := &w.even[sp.rule]
		if !sp.a && there[0] == 0 {
			continue
		}
		rest := w.Spreads[sp.rule].MaxSkew - there[1]
		if at >= 0 {
			rest -= w.running[sp.rule][at]
		}
		if sp.b {
			n = min(n, rest)
		} else if rest < 0 {
			return 0
		}
	}
	return max(n, 0)
}

// joins returns how many more pods of group g, at most n, may join those on one
// node (index of an existing one, or -1) by the rules that no resource states.
func (s *pass) joins(g int, pods []Share, node int, n int64) int64 {
	return s.joinsFrom(g, pods, node, n, nil)
}

// joinsFrom is joins where owners of the affinities in start may be the first.
func (s *pass) joinsFrom(g int, pods []Share, node int, n int64, start Set) int64 {
	if !s.isRuled(g) {
		return n
	}
	s.count(pods, 1)
	defer s.count(pods, -1)
	return s.residents.admits(g, node, n, start)
}

// abides is joins by all rules but those that ask for company.
func (s *pass) abides(g int, pods []Share, node int, n int64) int64 {
	s.count(pods, 1)
	defer s.count(pods, -1)
	return s.residents.abides(g, node, n)
}

// count counts pods in the pass's crowd, or takes them off if times is -1.
func (s *pass) count(pods []Share, times int64) {
	for _, sh := range pods {
		s.residents.add(sh.Group, times*sh.Count)
	}
	if times < 0 {
		s.residents.next()
	}
}
