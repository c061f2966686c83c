package binpack

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

// TestPlansComeAbout: of every plan there is an order in which its pods can come one by
// one as kube-scheduler lets them, on problems with several affinities over several keys.
func TestPlansComeAbout(t *testing.T) {
	owners := 0
	forSeeds(t, 8000, small, func(t *testing.T, r *rand.Rand, p *Problem) {
		for len(p.Affinities) < 4 {
			p.Affinities = append(p.Affinities, Affinity{
				ID: fmt.Sprint("extra", len(p.Affinities)), Key: r.IntN(3) - 1,
				Owners: SetOf(r.IntN(len(p.Groups))), Targets: SetOf(r.IntN(len(p.Groups)), r.IntN(len(p.Groups))),
			})
		}
		p.MaxSteps = 500
		s := mustSolve(t, p)
		if placesOwner(p, s) {
			owners++
		}
		if !p.comesAbout(p.each(t, s)) {
			t.Errorf("pods wait for each other:\n%s", s.Text(p))
		}
	})
	if owners < 2000 {
		t.Errorf("only %d plans place owners", owners)
	}
}

// TestVerifyRefusesRings: the first pod of a ring can be any of it.
func TestVerifyRefusesRings(t *testing.T) {
	p, err := Parse(`
resources cpu
pool default
offer x default $0.4 4
group web 1 1
group cache 1 1
affinity w hostname owners web targets cache
affinity c hostname owners cache targets web`)
	if err != nil {
		t.Fatal(err)
	}
	s := &Solution{Cost: 400_000, New: []Pattern{{Count: 1, Offers: []int{0}, Pods: []Share{{0, 1}, {1, 1}}}}}
	const want = "pattern 0 holds pods of group web, which wait for pods that wait for them"
	if err := Verify(p, s); err == nil || err.Error() != want {
		t.Errorf("got %v", err)
	}
	p.Affinities[1].Targets = SetOf(0, 1) // cache may start
	if err := Verify(p, s); err != nil {
		t.Error(err)
	}
}

// each lists the sites of a solution, each node on its own.
func (p *Problem) each(t *testing.T, s *Solution) (out []site) {
	t.Helper()
	sites, err := p.sites(s)
	if err != nil {
		t.Fatal(err)
	}
	for _, at := range sites {
		for range at.copies {
			out = append(out, site{at.name, 1, at.node, at.offers, at.pods})
		}
	}
	return out
}

// comesAbout tries every order in which the pods of sites may come.
func (p *Problem) comesAbout(sites []site) bool {
	type pod struct{ site, group int }
	var pods []pod
	for i, at := range sites {
		for _, sh := range at.pods {
			for range sh.Count {
				pods = append(pods, pod{i, sh.Group})
			}
		}
	}
	domain := func(a *Affinity, x pod) int { return p.standsIn(a, sites, x.site) }
	comes := func(x pod, here uint64) bool {
		for i := range p.Affinities {
			a := &p.Affinities[i]
			d := domain(a, x)
			if !a.Owners.Has(x.group) || (d != NoDomain && a.Present.Has(d)) {
				continue
			}
			near, any := false, a.Present.Len() > 0
			for j, y := range pods {
				if here&(1<<j) != 0 && a.Targets.Has(y.group) && domain(a, y) != NoDomain {
					any = true
					near = near || domain(a, y) == d
				}
			}
			if !near && (any || !a.Targets.Has(x.group)) {
				return false
			}
		}
		return true
	}
	seen := map[uint64]bool{}
	var try func(here uint64) bool
	try = func(here uint64) bool {
		if here == 1<<len(pods)-1 {
			return true
		}
		if seen[here] {
			return false
		}
		seen[here] = true
		return slices.ContainsFunc(pods, func(x pod) bool {
			i := slices.Index(pods, x)
			for i < len(pods) && pods[i] == x && here&(1<<i) != 0 {
				i++ // pods of a group on a site are alike
			}
			return i < len(pods) && pods[i] == x && comes(x, here) && try(here|1<<i)
		})
	}
	return try(0)
}
