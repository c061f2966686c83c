package problem

import (
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/stowage-sh/stowage/binpack"
)

// slack leaves free what NodePools want to be left free of each new node (see NodePool.NodeSlack), but no more than
// lets every pod that would fit there alone do so still.
func (b *builder) slack() {
	if b.in.Full {
		return
	}
	for i := range b.p.Offers {
		o := &b.p.Offers[i]
		share, _ := b.t.Pools[o.Pool].NodeSlack() // or it would be excluded
		if share == 0 {
			continue
		}
		room := o.Room()
		largest := b.largestOn(i, room)
		o.Capacity = slices.Clone(o.Capacity) // other offers of the type share it
		for r, name := range b.p.Resources {
			if name != string(corev1.ResourceCPU) && name != string(corev1.ResourceMemory) {
				continue
			}
			free := int64(share * float64(o.Capacity[r]))
			o.Capacity[r] -= max(0, min(free, room[r]-largest[r]))
		}
	}
}

// largestOn is, of each resource, the most that a pod asks for that may go to an offer with such room.
func (b *builder) largestOn(offer int, room binpack.Vector) binpack.Vector {
	largest := make(binpack.Vector, len(room))
	for i := range b.p.Groups {
		g := &b.p.Groups[i]
		if !g.Offers.Has(offer) {
			continue
		}
		fits := true
		for r, q := range g.Requests {
			fits = fits && q <= room[r]
		}
		if !fits {
			continue
		}
		for r, q := range g.Requests {
			largest[r] = max(largest[r], q)
		}
	}
	return largest
}
