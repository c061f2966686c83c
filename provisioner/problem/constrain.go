package problem

import (
	"cmp"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/stowage-sh/stowage/binpack"
)

// standingRules are the rules by which a pod that is placed already bears on
// others: its anti-affinity holds against new pods too.
func standingRules(p *corev1.Pod) []rule {
	if p.Spec.Affinity == nil || p.Spec.Affinity.PodAntiAffinity == nil {
		return nil
	}
	rules, _ := rulesOf(p)
	return slices.DeleteFunc(rules, func(r rule) bool { return r.kind != antiAffinity })
}

// A constraint is a rule with the groups that state it.
type constraint struct {
	rule
	owners binpack.Set
	// among are the places that count where the owners may go to several: see
	// spreads.
	among places
}

// rules turns the groups' rules into constraints of the problem.
func (b *builder) rules() {
	byID := map[string]*constraint{}
	for i, g := range b.groups {
		for _, r := range g.rules {
			id := r.id()
			if r.kind == spread {
				// Which domains are eligible depends on the owner's own selector.
				id += " " + placesKey(&g.pods[0].Spec)
			}
			c, ok := byID[id]
			if !ok {
				c = &constraint{rule: r, among: places{b.p.Groups[i].Offers, b.eligible(g, &r)}}
				byID[id] = c
			}
			c.owners.Add(i)
		}
	}
	for _, id := range slices.Sorted(maps.Keys(byID)) {
		c := byID[id]
		switch c.kind {
		case spread:
			b.addSpread(id, c)
		case antiAffinity:
			b.addExclusion(id, c)
		case affinity:
			b.addAffinity(id, c)
		}
	}
	b.keepOutOfStanding()
}

// targets returns the groups that a rule's term matches.
func (b *builder) targets(r *rule) binpack.Set {
	at, _ := slices.BinarySearchFunc(b.terms, r.term.text, func(t podTerm, text string) int { return cmp.Compare(t.text, text) })
	var s binpack.Set
	for i, g := range b.groups {
		if slices.Contains(g.matched, at) {
			s.Add(i)
		}
	}
	return s
}

// key returns the index of a topology key.
func (b *builder) key(name string) int {
	if name == corev1.LabelHostname {
		return binpack.Hostname
	}
	return slices.Index(b.p.Keys, name)
}

// eligible returns the existing nodes whose domains a spread looks at: those
// that the owner's node selector admits and, if it says so, whose taints it
// tolerates.
func (b *builder) eligible(g *group, r *rule) binpack.Set {
	var s binpack.Set
	for i := range b.t.Bins {
		bin := &b.t.Bins[i]
		if (r.ignoreAffinity || g.selector.matches(bin.labels, bin.Name())) &&
			(!r.honourTaints || tolerates(g.pods[0].Spec.Tolerations, bin.taints)) {
			s.Add(i)
		}
	}
	return s
}

// addSpread adds a spread with its eligible domains: those of the offers that
// the owners can go to, and those of the nodes that count.
func (b *builder) addSpread(id string, c *constraint) {
	key := b.key(c.key)
	s := binpack.Spread{ID: c.field + " " + id, Key: key, Owners: c.owners, Counted: b.targets(&c.rule), MaxSkew: c.maxSkew, MinDomains: c.minDomains}
	counts := map[int]int64{}
	if key != binpack.Hostname {
		for i := range c.among.offers.All {
			if d := b.p.Offers[i].Domains[key]; d != binpack.NoDomain {
				counts[d] += 0
			}
		}
	}
	for i := range c.among.nodes.All {
		d := i
		if key != binpack.Hostname {
			d = b.p.Nodes[i].Domains[key]
		}
		if d == binpack.NoDomain {
			continue
		}
		n := b.t.Bins[i].count(&c.term, false)
		if n > 0 || key != binpack.Hostname {
			counts[d] += n
		}
	}
	for _, d := range slices.Sorted(maps.Keys(counts)) {
		s.Domains = append(s.Domains, binpack.DomainCount{Domain: d, Count: counts[d]})
	}
	b.p.Spreads = append(b.p.Spreads, s)
}

// count returns how many pods in a bin a term matches. Spreads do not count
// pods that are being deleted, affinities do: as kube-scheduler has it.
func (b *Bin) count(t *podTerm, deleting bool) int64 {
	var n int64
	for _, p := range b.pods {
		if (deleting || p.DeletionTimestamp == nil) && t.matches(p) {
			n++
		}
	}
	return n
}

// addExclusion adds an anti-affinity. Pods that are placed already keep the
// owners out of their domains; new pods do so through the exclusion.
func (b *builder) addExclusion(id string, c *constraint) {
	key := b.key(c.key)
	if targets := b.targets(&c.rule); targets.Len() > 0 {
		b.p.Exclusions = append(b.p.Exclusions, binpack.Exclusion{ID: c.field + " " + id, Key: key, A: c.owners, B: targets})
	}
	for i := range b.t.Bins {
		if b.t.Bins[i].count(&c.term, true) > 0 {
			b.forbid(c.owners, key, i)
		}
	}
}

// addAffinity adds an affinity with the domains that hold a target already.
func (b *builder) addAffinity(id string, c *constraint) {
	key := b.key(c.key)
	a := binpack.Affinity{ID: c.field + " " + id, Key: key, Owners: c.owners, Targets: b.targets(&c.rule)}
	for i := range b.t.Bins {
		if b.t.Bins[i].count(&c.term, true) == 0 {
			continue
		}
		if key == binpack.Hostname {
			a.Present.Add(i)
		} else if d := b.p.Nodes[i].Domains[key]; d != binpack.NoDomain {
			a.Present.Add(d)
		}
	}
	b.p.Affinities = append(b.p.Affinities, a)
}

// keepOutOfStanding keeps new pods out of the domains of pods that are placed
// already and whose anti-affinity is against them.
func (b *builder) keepOutOfStanding() {
	for i := range b.t.Bins {
		for _, p := range b.t.Bins[i].pods {
			for _, r := range standingRules(p) {
				b.forbid(b.targets(&r), b.key(r.key), i)
			}
		}
	}
}

// forbid takes the domain of a bin away from groups.
func (b *builder) forbid(groups binpack.Set, key, bin int) {
	for g := range groups.All {
		group := &b.p.Groups[g]
		if key == binpack.Hostname {
			group.Nodes = without(group.Nodes, func(i int) bool { return i == bin })
			continue
		}
		d := b.p.Nodes[bin].Domains[key]
		if d == binpack.NoDomain {
			continue
		}
		group.Nodes = without(group.Nodes, func(i int) bool { return b.p.Nodes[i].Domains[key] == d })
		group.Offers = without(group.Offers, func(i int) bool { return b.p.Offers[i].Domains[key] == d })
	}
}

// without returns a copy of s less the elements that drop names; s may be shared.
func without(s binpack.Set, drop func(int) bool) binpack.Set {
	var kept binpack.Set
	for i := range s.All {
		if !drop(i) {
			kept.Add(i)
		}
	}
	return kept
}
