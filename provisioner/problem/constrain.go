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
	for i, g := range b.groups {
		for _, r := range g.rules {
			id := r.id()
			if r.kind == spread {
				// Which domains are eligible depends on the owner's own selector and
				// on the keys of its other spreads.
				id += " " + g.places + " " + strings.Join(g.spreadKeys(r.soft), " ")
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
	b.keepFromDaemons()
	b.ports()
	b.nearClaims()
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

// term returns the index of a rule's term.
func (b *builder) term(r *rule) int {
	at, ok := slices.BinarySearchFunc(b.terms, r.term.text, func(t podTerm, text string) int { return cmp.Compare(t.text, text) })
	if !ok {
		panic("the pods of " + r.term.text + " were not looked for")
	}
	return at
}

// targets returns the groups that a rule's term matches.
func (b *builder) targets(r *rule) binpack.Set {
	at := b.term(r)
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
	k, ok := slices.BinarySearch(b.p.Keys[:b.keys], name)
	if !ok {
		panic("topology key " + name + " was not numbered")
	}
	return k
}

// A tally says how many of the pods in a bin a term matches. Spreads do not count pods that are
// being deleted, affinities do: as kube-scheduler has it.
type tally struct {
	bin     int
	staying int64 // without those that are being deleted
}

// tallies counts the pods in bins for each term of the batch, each pod once: those that no pod
// in a bin matches have none.
func (b *builder) tallies() [][]tally {
	counted, matches := make([][]tally, len(b.terms)), newMatcher(b.terms)
	for i := range b.t.Bins {
		for _, p := range b.t.Bins[i].pods {
			for _, at := range matches.of(p) {
				of := counted[at]
				if len(of) == 0 || of[len(of)-1].bin != i {
					of = append(of, tally{bin: i})
				}
				if p.DeletionTimestamp == nil {
					of[len(of)-1].staying++
				}
				counted[at] = of
			}
		}
	}
	return counted
}

// holding returns the bins with pods that a rule's term matches, in order.
func (b *builder) holding(r *rule) []tally {
	return b.counted[b.term(r)]
}

// addExclusion adds an anti-affinity. Pods that are placed already keep the
// owners out of their domains; new pods do so through the exclusion.
func (b *builder) addExclusion(id string, c *constraint) {
	key := b.key(c.key)
	if targets := b.targets(&c.rule); targets.Len() > 0 {
		b.p.Exclusions = append(b.p.Exclusions, binpack.Exclusion{ID: id, Key: key, A: c.owners, B: targets})
	}
	var holding binpack.Set
	for _, n := range b.holding(&c.rule) {
		holding.Add(n.bin)
	}
	b.forbid(c.owners, key, holding)
}

// keepOutOfStanding keeps new pods out of the domains of pods that are placed
// already and whose anti-affinity is against them.
func (b *builder) keepOutOfStanding() {
	type standing struct {
		rule
		bins binpack.Set
	}
	byID := map[string]*standing{}
	for i := range b.t.Bins {
		for _, r := range b.t.Bins[i].keepsOut {
			id := r.id()
			if byID[id] == nil {
				byID[id] = &standing{rule: r}
			}
			byID[id].bins.Add(i)
		}
	}
	for _, id := range slices.Sorted(maps.Keys(byID)) {
		s := byID[id]
		b.forbid(b.targets(&s.rule), b.key(s.key), s.bins)
	}
}

// forbid takes the domains of bins away from groups. A caller says all bins at
// once: the cost is that of going through each group's nodes and offers.
func (b *builder) forbid(groups binpack.Set, key int, bins binpack.Set) {
	if key == binpack.Hostname {
		for g := range groups.All {
			group := &b.p.Groups[g]
			group.Nodes = without(group.Nodes, bins.Has)
		}
		return
	}
	var domains binpack.Set
	for i := range bins.All {
		if d := b.p.Nodes[i].Domains[key]; d != binpack.NoDomain {
			domains.Add(d)
		}
	}
	b.forbidDomains(groups, key, domains)
}

// forbidDomains takes domains of a key away from groups.
func (b *builder) forbidDomains(groups binpack.Set, key int, domains binpack.Set) {
	if domains.Len() == 0 { // always so over the host name
		return
	}
	var names []string
	for d := range domains.All {
		names = append(names, b.p.Keys[key]+" "+b.p.Domains[key][d])
	}
	within := func(d int) bool { return d != binpack.NoDomain && domains.Has(d) }
	for g := range groups.All {
		group := &b.p.Groups[g]
		group.Nodes = without(group.Nodes, func(i int) bool { return within(b.p.Nodes[i].Domains[key]) })
		group.Offers = without(group.Offers, func(i int) bool { return within(b.p.Offers[i].Domains[key]) })
		b.t.keptOut[g] = append(b.t.keptOut[g], names...)
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
