package problem

import (
	"cmp"
	"maps"
	"slices"
	"strconv"

	"k8s.io/apimachinery/pkg/util/sets"

	"github.com/stowage-sh/stowage/binpack"
	"github.com/stowage-sh/stowage/cloudprovider"
)

// maxDimensions is the most resources that a problem may have.
const maxDimensions = 64

// dimensions lists the resources that anybody asks for or that a limit binds.
// Pods may ask for any number of resources that no machine has; one pod that does
// so must not spoil the whole batch, so that what is beyond maxDimensions is left
// out, and the groups that ask for it are left unplaced.
func (b *builder) dimensions() []string {
	names := sets.New(cloudprovider.CPU, cloudprovider.Memory, cloudprovider.Pods)
	for _, pool := range b.t.Pools {
		for name := range pool.Spec.Limits {
			if string(name) != limitNodes {
				names.Insert(string(name))
			}
		}
	}
	asked := sets.New[string]()
	for _, g := range b.groups {
		asked.Insert(slices.Collect(maps.Keys(b.asks(g)))...)
	}
	for _, name := range sets.List(asked) {
		if len(names) < maxDimensions {
			names.Insert(name)
		}
	}
	for _, g := range b.groups {
		for _, name := range slices.Sorted(maps.Keys(b.asks(g))) {
			if !names.Has(name) {
				g.unsupported = cmp.Or(g.unsupported, "spec.containers[].resources.requests["+name+"], one of more than "+strconv.Itoa(maxDimensions)+" resources,")
			}
		}
	}
	return sets.List(names)
}

func (b *builder) vector(r cloudprovider.Resources) binpack.Vector {
	v := make(binpack.Vector, len(b.p.Resources))
	for i, name := range b.p.Resources {
		v[i] = max(0, r[name])
	}
	return v
}

// largest returns for each resource the most that any offer or node has.
func (b *builder) largest() binpack.Vector {
	most := make(binpack.Vector, len(b.p.Resources))
	for r := range most {
		for i := range b.p.Offers {
			most[r] = max(most[r], b.p.Offers[i].Capacity[r])
		}
		for i := range b.p.Nodes {
			most[r] = max(most[r], b.p.Nodes[i].Free[r])
		}
	}
	return most
}

// asking returns a group's requests, cut to one more than anything has: the
// answer is the same, and no sum over many pods overflows.
func (b *builder) asking(g *group, largest binpack.Vector) binpack.Vector {
	v := b.vector(b.asks(g))
	for r := range v {
		if v[r] > largest[r] {
			v[r] = largest[r] + 1
		}
	}
	return v
}
