package problem

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"

	"github.com/stowage-sh/stowage/binpack"
	v1 "github.com/stowage-sh/stowage/provisioner/v1"
)

// places are the offers and nodes that a pod's own spec lets it go to.
type places struct{ offers, nodes binpack.Set }

// places finds them, once for each distinct selector, tolerations and demand of volumes.
func (b *builder) places(g *group) places {
	spec := &g.pods[0].Spec
	key := fmt.Sprint(g.places, g.storage.key(), g.relaxed)
	known, ok := b.placesKnown[key]
	if ok {
		return known
	}
	tolerated := map[*v1.NodePool]bool{}
	for _, pool := range b.t.Pools {
		tolerated[pool] = tolerates(spec.Tolerations, pool.Spec.Template.Spec.Taints)
	}
	for i := range b.t.Rows {
		asked := len(b.p.Pools[b.p.Offers[i].Pool].MinValues) > 0
		if b.t.Rows[i].relaxed == (asked && g.relaxed) && tolerated[b.t.Rows[i].Pool] && g.selector.matches(&b.t.Rows[i], "") && g.storage.meets(&b.t.Rows[i], "") {
			known.offers.Add(i)
		}
	}
	for i := range b.t.Bins {
		bin := &b.t.Bins[i]
		if bin.usable && tolerates(spec.Tolerations, bin.taints) && g.selector.matches(bin.labels, bin.Name()) &&
			g.storage.meets(bin.labels, bin.Name()) && !(g.storage.untried && bin.initialized()) {
			known.nodes.Add(i)
		}
	}
	b.placesKnown[key] = known
	return known
}

// placesKey is equal for pods that may go to the same places.
func placesKey(spec *corev1.PodSpec) string {
	s := shape{NodeSelector: spec.NodeSelector, Tolerations: spec.Tolerations, NodeAffinity: required(spec)}
	return s.text()
}
