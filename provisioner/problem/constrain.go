package problem

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/stowage-sh/stowage/binpack"
)

// A constraint is a rule with the groups that state it.
type constraint struct {
	rule
	owners binpack.Set
	// among are the places whose domains a spread looks at.
	among places
}

// rules turns the groups' rules into constraints of the problem.
func (b *builder) rules() {
	byID := map[string]*constraint{}
	b.anyOffer = b.offersOfAny()
	for i, g := range b.groups {
		for _, r := range g.rules {
			id := r.id()
			if r.kind == spread {
				// Which domains are eligible depends on the owner's own selector and
				// on the keys of its other spreads.
				id += " " + placesKey(&g.pods[0].Spec) + " " + strings.Join(g.spreadKeys(), " ")
			}
			c, ok := byID[id]
			if !ok {
				c = &constraint{rule: r}
				if r.kind == spread {
					c.among = b.eligible(i, &r)
				}
				byID[id] = c
			}
			c.owners.Add(i)
			b.keepToNamed(i, &r)
		}
	}
	names := map[string]int{}
	for _, id := range slices.Sorted(maps.Keys(byID)) {
		c := byID[id]
		name := c.field + " " + c.id()
		if names[name]++; names[name] > 1 {
			name += fmt.Sprintf(" #%d", names[name])
		}
		switch c.kind {
		case spread:
			b.addSpread(name, c)
		case antiAffinity:
			b.addExclusion(name, c)
		case affinity:
			b.addAffinity(name, c)
		}
	}
	b.keepOutOfStanding()
}

// keepToNamed takes nodes without a host name from a group with a spread or an
// affinity over host names: kube-scheduler lets its pods onto none of them. (Over
// other keys it is the domain that is missing.)
func (b *builder) keepToNamed(group int, r *rule) {
	if r.key != corev1.LabelHostname || r.kind == antiAffinity {
		return
	}
	g := &b.p.Groups[group]
	g.Nodes = without(g.Nodes, func(i int) bool { return !b.t.Bins[i].carries(corev1.LabelHostname) })
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

// offersOfAny returns the offers that any group of the batch may open.
func (b *builder) offersOfAny() map[int]bool {
	any := map[int]bool{}
	for i := range b.p.Groups {
		for o := range b.p.Groups[i].Offers.All {
			any[o] = true
		}
	}
	return any
}

// eligible returns the places whose domains a spread of a group looks at: as
// kube-scheduler has it those that the owner's node selector admits, if it says so
// those whose taints it tolerates, and of these those with all the keys that its
// spreads are over. New nodes count as soon as they are there, so offers count
// that any group of the batch may open.
func (b *builder) eligible(owner int, r *rule) places {
	g := b.groups[owner]
	spec, keys := &g.pods[0].Spec, g.spreadKeys()
	var among places
	for i := range b.t.Bins {
		bin := &b.t.Bins[i]
		if (r.ignoreAffinity || g.selector.matches(bin.labels, bin.Name())) && (!r.honourTaints || tolerates(spec.Tolerations, bin.taints)) &&
			!slices.ContainsFunc(keys, func(key string) bool { return !bin.carries(key) }) {
			among.nodes.Add(i)
		}
	}
	for i := range b.t.Rows {
		row := &b.t.Rows[i]
		if b.anyOffer[i] && (r.ignoreAffinity || g.selector.matches(row, "")) && (!r.honourTaints || tolerates(spec.Tolerations, row.Pool.Spec.Template.Spec.Taints)) &&
			!slices.ContainsFunc(keys, func(key string) bool { return key != corev1.LabelHostname && !row.Has(key) }) {
			among.offers.Add(i)
		}
	}
	return among
}

// spreadKeys returns the topology keys of a group's spreads, in order.
func (g *group) spreadKeys() []string {
	var keys []string
	for i := range g.rules {
		if g.rules[i].kind == spread {
			keys = append(keys, g.rules[i].key)
		}
	}
	slices.Sort(keys)
	return slices.Compact(keys)
}

// addSpread adds a spread with its eligible domains, those of the places that it
// looks at, and the pods that run there.
func (b *builder) addSpread(id string, c *constraint) {
	key := b.key(c.key)
	s := binpack.Spread{ID: id, Key: key, Owners: c.owners, Counted: b.targets(&c.rule), MaxSkew: c.maxSkew, MinDomains: c.minDomains}
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
		b.p.Exclusions = append(b.p.Exclusions, binpack.Exclusion{ID: id, Key: key, A: c.owners, B: targets})
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
	a := binpack.Affinity{ID: id, Key: key, Owners: c.owners, Targets: b.targets(&c.rule)}
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
		for _, r := range b.t.Bins[i].keepsOut {
			b.forbid(b.targets(&r), b.key(r.key), i)
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
		b.t.keptOut[g] = append(b.t.keptOut[g], b.p.Keys[key]+" "+b.p.Domains[key][d])
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
