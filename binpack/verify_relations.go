package binpack

import (
	"cmp"
	"fmt"
	"slices"
)

// Verify, the part about pods that depend on other pods. All three relations look at
// a solution by domains of a key:
//
// 	sites ──districts(key)──▶ pods in zone a, in zone b, in no zone
// 	                          or, over Hostname, on each node
//
// and ask only about the state in the end, not about the order in which pods come; that
// there is one, checkArrival sees to.
// A relation of which one side has no pods in the plan asks nothing.

// A district is what a solution puts into one domain of a key. Over Hostname
// that is one site, and there are copies of it.
type district struct {
	name   string
	domain int // NoDomain for a new node, or if the site has none
	copies int64
	pods   []Share
}

// districts sums the pods that matter by domain of key. Each site that holds some must be
// in one domain whichever offer is launched.
func (p *Problem) districts(key int, all *register, matters Set) ([]district, error) {
	var out []district
	for _, i := range all.holding(matters) {
		at := &all.sites[i]
		// Each node is a domain, so nothing is summed.
		if key == Hostname {
			out = append(out, district{at.name, at.node, at.copies, at.pods})
			continue
		}
		// An existing node is where it is; a new one is where its offers say.
		in := NoDomain
		if at.node >= 0 {
			in = p.Nodes[at.node].Domains[key]
		}
		for i, o := range at.offers {
			if d := p.Offers[o].Domains[key]; i == 0 {
				in = d
			} else if d != in {
				return nil, fmt.Errorf("%s lists offers of several domains of %s", at.name, p.Keys[key])
			}
		}
		// There are few domains, and looking through them keeps their order.
		d := slices.IndexFunc(out, func(d district) bool { return d.domain == in })
		if d < 0 {
			d = len(out)
			out = append(out, district{"no domain of " + p.Keys[key], in, 1, nil})
			if in != NoDomain {
				out[d].name = p.Keys[key] + " " + p.Domains[key][in]
			}
		}
		for _, sh := range at.pods {
			if matters.Has(sh.Group) {
				out[d].pods = append(out[d].pods, Share{sh.Group, sh.Count * at.copies})
			}
		}
	}
	slices.SortStableFunc(out, func(a, b district) int { return cmp.Compare(a.domain, b.domain) })
	return out, nil
}

// A register says where the pods of each group are.
type register struct {
	sites []site
	at    [][]int // by group: positions in sites
	pods  []int64 // by group: how many are anywhere
}

// register looks once at each pod share.
func (p *Problem) register(sites []site) *register {
	x := &register{sites: sites, at: make([][]int, len(p.Groups)), pods: make([]int64, len(p.Groups))}
	for i, at := range sites {
		for _, sh := range at.pods {
			x.at[sh.Group] = append(x.at[sh.Group], i)
			x.pods[sh.Group] += sh.Count * at.copies
		}
	}
	return x
}

// count sums the pods of the groups in s.
func (x *register) count(s Set) (n int64) {
	for g := range s.All {
		n += x.pods[g]
	}
	return n
}

// holding lists the positions of sites that hold pods of the groups in s, in order.
func (x *register) holding(s Set) []int {
	var at []int
	for g := range s.All {
		at = append(at, x.at[g]...)
	}
	slices.Sort(at)
	return slices.Compact(at)
}

// count sums the pods of the groups in s.
func (d *district) count(s Set) (n int64) {
	for _, sh := range d.pods {
		if s.Has(sh.Group) {
			n += sh.Count
		}
	}
	return n
}

// checkExclusions: no pod of A shares a domain with another pod of B.
//
// With a pods of A, b of B and both of either in a domain there are a·b − both
// pairs of one pod of A and another of B: a pod is not another to itself. So one
// pod alone never offends, and of a group that excludes itself a second does. Pods
// outside all domains share none.
func (p *Problem) checkExclusions(_ *Solution, sites []site) error {
	all := p.register(sites)
	for _, x := range p.Exclusions {
		if all.count(x.A) == 0 || all.count(x.B) == 0 {
			continue
		}
		both := x.A.or(x.B)
		in, err := p.districts(x.Key, all, both)
		if err != nil {
			return fmt.Errorf("exclusion %s: %w", x.ID, err)
		}
		for _, d := range in {
			if d.domain == NoDomain && x.Key != Hostname {
				continue
			}
			if a, b := d.count(x.A), d.count(x.B); a*b > d.count(x.A.and(x.B)) {
				return fmt.Errorf("exclusion %s: %s holds %d pods of one side and %d of the other", x.ID, d.name, a, b)
			}
		}
	}
	return nil
}

// checkSpreads: no domain with an owner is more than the skew above the lowest.
//
// Counted are pods that run and pods of this plan, in eligible domains only; an
// owner may be in no other. The lowest is taken over eligible domains even if the
// plan puts nothing there, and is 0 if there are fewer of them than MinDomains. A
// domain without owners may hold any number: nobody there minds. Over Hostname the
// lowest is always 0, and a node that is not listed runs none.
func (p *Problem) checkSpreads(_ *Solution, sites []site) error {
	all := p.register(sites)
	for _, s := range p.Spreads {
		if all.count(s.Owners) == 0 {
			continue
		}
		both := s.Owners.or(s.Counted)
		in, err := p.districts(s.Key, all, both)
		if err != nil {
			return fmt.Errorf("spread %s: %w", s.ID, err)
		}
		total := map[int]int64{} // counted pods in each eligible domain
		for _, e := range s.Domains {
			total[e.Domain] = e.Count
		}
		lowest := int64(0)
		if s.Key != Hostname {
			for _, d := range in {
				if _, ok := total[d.domain]; ok {
					total[d.domain] += d.count(s.Counted)
				} else if d.count(s.Owners) > 0 {
					return fmt.Errorf("spread %s: owners in %s, which is not eligible", s.ID, d.name)
				}
			}
			if int64(len(total)) >= s.MinDomains {
				lowest = least(total)
			}
		}
		for _, d := range in {
			n := total[d.domain]
			if s.Key == Hostname {
				n += d.count(s.Counted)
			}
			if d.count(s.Owners) > 0 && n-lowest > s.MaxSkew {
				return fmt.Errorf("spread %s: %s holds %d pods, the lowest %d, skew at most %d", s.ID, d.name, n, lowest, s.MaxSkew)
			}
		}
	}
	return nil
}

// least is the smallest count, 0 if there is none.
func least(counts map[int]int64) int64 {
	n := int64(-1)
	for _, c := range counts {
		if n < 0 || c < n {
			n = c
		}
	}
	return max(n, 0)
}

// checkAffinities: owners are where targets are. Where none would be without
// them, owners that are targets start one domain.
//
// A target counts if it runs, or if the plan places it for reasons other than this
// affinity: pods that are owners themselves do not vouch for each other. Only if no
// target counts anywhere may they start a domain, and all must then be in it. Over
// Hostname each copy of a pattern is a domain, so a pattern that starts one has one
// copy.
func (p *Problem) checkAffinities(_ *Solution, sites []site) error {
	all := p.register(sites)
	for _, a := range p.Affinities {
		if all.count(a.Owners) == 0 {
			continue
		}
		both := a.Owners.or(a.Targets)
		in, err := p.districts(a.Key, all, both)
		if err != nil {
			return fmt.Errorf("affinity %s: %w", a.ID, err)
		}
		// Targets that owners are not bring a domain in without their help.
		present := a.Present.Len() > 0
		for _, d := range in {
			if d.domain != NoDomain || a.Key == Hostname {
				present = present || d.count(a.Targets) > d.count(a.Targets.and(a.Owners))
			}
		}
		started := int64(0)
		for _, d := range in {
			if d.count(a.Owners) == 0 {
				continue
			}
			if d.domain == NoDomain && a.Key != Hostname {
				return fmt.Errorf("affinity %s: owners in %s", a.ID, d.name)
			}
			mutual := d.count(a.Targets.and(a.Owners))
			switch {
			case d.domain != NoDomain && a.Present.Has(d.domain), d.count(a.Targets) > mutual:
			case mutual == 0 || present:
				return fmt.Errorf("affinity %s: %s holds owners and none of their targets", a.ID, d.name)
			default:
				if started += d.copies; started > 1 {
					return fmt.Errorf("affinity %s: %s is a second domain started by its owners", a.ID, d.name)
				}
			}
		}
	}
	return nil
}

// checkArrival: pods can come one by one, whichever of those that need not wait comes first.
// kube-scheduler places an owner only where a target is, so owners that wait for each other
// never come, though all would be well once they were there.
//
// Whoever need not wait comes first, then those whose targets have come, and so on. An
// owner that is a target itself need not wait if no target runs, and all of the plan are
// in one domain: whichever comes first, nobody is sent elsewhere.
func (p *Problem) checkArrival(_ *Solution, sites []site) error {
	if len(p.Affinities) == 0 {
		return nil
	}
	type place struct{ affinity, domain int }
	type pods struct{ at, group int }
	home := p.homes(sites)
	arrived := map[place]bool{} // where a target has come
	comes := func(w pods) (waits place, ok bool) {
		for i, a := range p.Affinities {
			d := p.standsIn(&a, sites, w.at)
			starts := a.Targets.Has(w.group) && a.Present.Len() == 0 && home[i] == d
			if a.Owners.Has(w.group) && !starts && !arrived[place{i, d}] && (d == NoDomain || !a.Present.Has(d)) {
				return place{i, d}, false
			}
		}
		return place{}, true
	}
	var waiting []pods
	for at := range sites {
		for _, sh := range sites[at].pods {
			waiting = append(waiting, pods{at, sh.Group})
		}
	}
	// Whoever waits is looked at again when what it waits for has come.
	blocked := map[place][]pods{}
	for i := 0; i < len(waiting); i++ {
		w := waiting[i]
		if on, ok := comes(w); !ok {
			blocked[on] = append(blocked[on], w)
			continue
		}
		for i, a := range p.Affinities {
			here := place{i, p.standsIn(&a, sites, w.at)}
			if a.Targets.Has(w.group) && !arrived[here] {
				arrived[here] = true
				waiting = append(waiting, blocked[here]...)
				delete(blocked, here)
			}
		}
	}
	first := pods{at: len(sites)}
	for _, list := range blocked {
		for _, w := range list {
			if w.at < first.at || (w.at == first.at && w.group < first.group) {
				first = w
			}
		}
	}
	if first.at < len(sites) {
		return fmt.Errorf("%s holds pods of group %s, which wait for pods that wait for them", sites[first.at].name, p.Groups[first.group].ID)
	}
	return nil
}

// homes finds by affinity the one domain that all its targets are in. Where there are
// several it is none that a site can be in.
func (p *Problem) homes(sites []site) map[int]int {
	const several = -2
	home := map[int]int{}
	for at := range sites {
		for _, sh := range sites[at].pods {
			for i, a := range p.Affinities {
				d := p.standsIn(&a, sites, at)
				if !a.Targets.Has(sh.Group) || d == NoDomain {
					continue
				}
				if known, ok := home[i]; (ok && known != d) || (a.Key == Hostname && sites[at].copies > 1) {
					d = several
				}
				home[i] = d
			}
		}
	}
	return home
}

// standsIn is the domain of a site by the key of an affinity. Over Hostname new nodes follow
// those that exist.
func (p *Problem) standsIn(a *Affinity, sites []site, at int) int {
	switch s := &sites[at]; {
	case a.Key == Hostname && s.node < 0:
		return len(p.Nodes) + at
	case a.Key == Hostname:
		return s.node
	case s.node >= 0:
		return p.Nodes[s.node].Domains[a.Key]
	default:
		return p.Offers[s.offers[0]].Domains[a.Key]
	}
}
