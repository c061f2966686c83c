package binpack

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// TestMostPodsArePlaced compares the number of placed pods with brute force, on problems
// of up to six pods that have affinities beside all other relations. Solve decides
// domains before it packs, so it may place fewer; how rarely that is so is asserted.
func TestMostPodsArePlaced(t *testing.T) {
	fewer, owners, n := 0, 0, 0
	forSeeds(t, 3000, small, func(t *testing.T, _ *rand.Rand, p *Problem) {
		for i := range p.Groups {
			p.Groups[i].Priority = 0
		}
		for i := range p.Pools {
			p.Pools[i].MinValues = nil
		}
		if len(p.Affinities) == 0 {
			return
		}
		s := mustSolve(t, p)
		if n++; placesOwner(p, s) {
			owners++
		}
		left := int64(0)
		for _, u := range s.Unplaced {
			left += u.Count
		}
		if best := newMost(p).fewestLeft(left); best < left {
			fewer++
		}
	})
	t.Logf("of %d plans %d place owners, %d place fewer pods than could be", n, owners, fewer)
	if owners*3 < n {
		t.Errorf("only %d of %d plans place owners", owners, n)
	}
	if fewer*100 > n*4 {
		t.Errorf("%d of %d plans place fewer pods than could be", fewer, n)
	}
}

// placesOwner reports whether a pod that asks for an affinity found a place.
func placesOwner(p *Problem, s *Solution) bool {
	left := make([]int64, len(p.Groups))
	for _, u := range s.Unplaced {
		left[u.Group] = u.Count
	}
	return slices.ContainsFunc(p.Affinities, func(a Affinity) bool {
		for g := range a.Owners.All {
			if left[g] < p.Groups[g].Count {
				return true
			}
		}
		return false
	})
}

// A most tries every way to put pods somewhere, and keeps the one that leaves fewest.
type most struct {
	p     *Problem
	pods  []int // their groups
	sites []site
	best  int64
}

// newMost has the pods of p, and its nodes without any.
func newMost(p *Problem) *most {
	m := &most{p: p}
	for g := range p.Groups {
		for range p.Groups[g].Count {
			if p.Groups[g].Unsupported == "" {
				m.pods = append(m.pods, g)
			} else {
				m.best++ // left whatever is tried
			}
		}
	}
	for i := range p.Nodes {
		m.sites = append(m.sites, site{p.Nodes[i].ID, 1, i, nil, nil})
	}
	return m
}

// fewestLeft is the least number of pods that a plan leaves, if that is below bound.
func (m *most) fewestLeft(bound int64) int64 {
	left := m.best
	m.best = bound
	m.try(0, 0, left)
	return m.best
}

// try puts pod i on each site from the given one on (pods of a group are alike, so they
// come in the order of sites), on a new one, or nowhere.
func (m *most) try(i, from int, left int64) {
	if left >= m.best {
		return
	}
	if i == len(m.pods) {
		if m.holds() {
			m.best = left
		}
		return
	}
	g := m.pods[i]
	next := func(at int) int {
		if i+1 < len(m.pods) && m.pods[i+1] == g {
			return at
		}
		return 0
	}
	for at := from; at < len(m.sites); at++ {
		old := m.sites[at].pods
		m.sites[at].pods = with(slices.Clone(old), g, 1)
		if m.p.checkSites(nil, m.sites[at:at+1]) == nil {
			m.try(i+1, next(at), left)
		}
		m.sites[at].pods = old
	}
	for o := range m.p.Groups[g].Offers.All {
		m.sites = append(m.sites, site{m.p.Offers[o].ID, 1, -1, []int{o}, []Share{{g, 1}}})
		if at := len(m.sites) - 1; m.p.checkSites(nil, m.sites[at:]) == nil && m.p.checkSlack(nil, m.sites) == nil {
			m.try(i+1, next(at), left)
		}
		m.sites = m.sites[:len(m.sites)-1]
	}
	m.try(i+1, next(len(m.sites)), left+1)
}

// holds reports whether the sites keep every relation, and could come about.
func (m *most) holds() bool {
	var used []site
	for _, at := range m.sites {
		if len(at.pods) > 0 {
			used = append(used, at)
		}
	}
	return m.p.checkExclusions(nil, used) == nil && m.p.checkSpreads(nil, used) == nil &&
		m.p.checkAffinities(nil, used) == nil && m.p.arises(used)
}

// arises reports whether pods that come one by one can end like this: rings of owners
// that wait for each other would not.
func (p *Problem) arises(sites []site) bool {
	type pod struct{ site, group int }
	var here, wait []pod
	for i, at := range sites {
		for _, sh := range at.pods {
			wait = append(wait, pod{i, sh.Group})
		}
	}
	domain := func(a *Affinity, x pod) int { return p.standsIn(a, sites, x.site) }
	comes := func(x pod) bool {
		for i := range p.Affinities {
			a := &p.Affinities[i]
			if !a.Owners.Has(x.group) || a.Present.Has(domain(a, x)) {
				continue
			}
			near := slices.ContainsFunc(here, func(y pod) bool { return a.Targets.Has(y.group) && domain(a, y) == domain(a, x) })
			others := slices.ContainsFunc(slices.Concat(here, wait), func(y pod) bool { return a.Targets.Minus(a.Owners).Has(y.group) && domain(a, y) >= 0 })
			if !near && (others || a.Present.Len() > 0 || !a.Targets.Has(x.group)) {
				return false
			}
		}
		return true
	}
	for len(wait) > 0 {
		i := slices.IndexFunc(wait, comes)
		if i < 0 {
			return false
		}
		here = append(here, wait[i])
		wait = slices.Delete(wait, i, i+1)
	}
	return true
}
