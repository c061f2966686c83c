package problem

import (
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/stowage-sh/stowage/binpack"
)

// addAffinity adds an affinity with the domains that hold a target already.
func (b *builder) addAffinity(id string, c *constraint) {
	key := b.key(c.key)
	a := binpack.Affinity{ID: id, Key: key, Owners: c.owners, Targets: b.targets(&c.rule)}
	for _, n := range b.holding(&c.rule) {
		if key == binpack.Hostname {
			a.Present.Add(n.bin)
		} else if d := b.p.Nodes[n.bin].Domains[key]; d != binpack.NoDomain {
			a.Present.Add(d)
		}
	}
	if b.keepToDaemons(&a, c) {
		return
	}
	b.p.Affinities = append(b.p.Affinities, a)
}

// keepToDaemons keeps the owners of an affinity that pods of a DaemonSet meet to where
// such pods are, will be, or another target runs, and reports whether there is such a
// DaemonSet. Nodes that are bought bring its pods along, so no other pod of the plan is
// needed to be near to, and none may start a domain.
func (b *builder) keepToDaemons(a *binpack.Affinity, c *constraint) bool {
	var offers, nodes binpack.Set
	for i := range b.t.daemons {
		d := &b.t.daemons[i]
		if !c.term.matches(d.pod) {
			continue
		}
		for o := range b.t.Rows {
			row := &b.t.Rows[o]
			if (c.key == corev1.LabelHostname || row.Has(c.key)) && d.runsOn(row, "", row.Pool.Spec.Template.Spec.Taints) {
				offers.Add(o)
			}
		}
		for n := range b.t.Bins {
			if d.surelyReaches(&b.t.Bins[n]) && (c.key == corev1.LabelHostname || b.t.Bins[n].carries(c.key)) {
				nodes.Add(n)
			}
		}
	}
	if offers.Len()+nodes.Len() == 0 {
		return false
	}
	present := func(domains []int) bool {
		return a.Key != binpack.Hostname && domains[a.Key] != binpack.NoDomain && a.Present.Has(domains[a.Key])
	}
	for g := range a.Owners.All {
		group := &b.p.Groups[g]
		b.t.ruledOut[g] = append(b.t.ruledOut[g], c.field+" is met only where pods of a DaemonSet are")
		group.Offers = without(group.Offers, func(o int) bool { return !offers.Has(o) && !present(b.p.Offers[o].Domains) })
		group.Nodes = without(group.Nodes, func(n int) bool {
			return !nodes.Has(n) && !(a.Key == binpack.Hostname && a.Present.Has(n)) && !present(b.p.Nodes[n].Domains)
		})
	}
	return true
}

// surelyReaches is reaches for whoever relies on the pod: whatever the machine turns
// out as.
func (d *daemon) surelyReaches(bin *Bin) bool {
	return d.reaches(bin) && !slices.ContainsFunc(bin.forms, func(f form) bool { return !d.runsOn(f.labels, bin.Name(), bin.taints) })
}
