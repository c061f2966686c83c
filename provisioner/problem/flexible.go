package problem

import (
	"maps"
	"slices"

	"k8s.io/apimachinery/pkg/util/sets"

	"github.com/stowage-sh/stowage/binpack"
	v1 "github.com/stowage-sh/stowage/provisioner/v1"
)

// A NodePool's minValues: each new node's offerings must show so many values of a label, so
// that the cloud keeps a choice. Only labels that come with the offering can differ within
// one NodeClaim; one that the NodePool puts on the node has the one value that was chosen.
//
// Relaxed, the rows of a pool with minValues are there twice: pods that find a place as it
// asks are for the first ones, those that do not for the second, which it asks nothing of.
// So the nodes of the first keep their choice.

// labels numbers the label keys that minValues speak of, in order, for all NodePools.
func (b *builder) labels() []string {
	var keys []string
	for _, pool := range b.t.Pools {
		for key := range b.shownBy(pool) {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	return slices.Compact(keys)
}

// minValuesOf returns by label key how many values a NodePool's nodes must show.
func minValuesOf(pool *v1.NodePool) map[string]int {
	least := map[string]int{}
	for _, r := range pool.Spec.Template.Spec.Requirements {
		if r.MinValues != nil {
			key := r.Key
			if canonical, ok := v1.NormalizedLabels[key]; ok {
				key = canonical
			}
			least[key] = max(least[key], *r.MinValues)
		}
	}
	return least
}

// shownBy returns by label key how many values the offerings of a NodePool's nodes must show.
func (b *builder) shownBy(pool *v1.NodePool) map[string]int {
	least := minValuesOf(pool)
	maps.DeleteFunc(least, func(key string, _ int) bool { return custom(key, b.in.Catalogs[pool.Name]) })
	return least
}

// relaxed returns the rows once more, relaxed.
func relaxed(rows []Row) []Row {
	out := slices.Clone(rows)
	for i := range out {
		out[i].relaxed = true
	}
	return out
}

// shown counts the values that rows show of a label.
func shown(rows []*Row, key string) int {
	values := sets.New[string]()
	for _, row := range rows {
		if v, ok := row.Lookup(key); ok {
			values.Insert(v)
		}
	}
	return len(values)
}

// flexibility adds minValues to the pools, and to every offer its values of the labels
// that they speak of.
func (b *builder) flexibility() {
	keys := b.labels()
	if len(keys) == 0 {
		return
	}
	absent := make([]map[int]bool, len(keys)) // by label: pools with offers that do not carry it
	for l, key := range keys {
		absent[l] = map[int]bool{}
		numbers := map[string]int64{}
		for i := range b.t.Rows {
			o := &b.p.Offers[i]
			value, ok := b.t.Rows[i].Lookup(key)
			if !ok {
				absent[l][o.Pool] = true
				o.Values = append(o.Values, -1)
				continue
			}
			if _, ok := numbers[value]; !ok {
				numbers[value] = int64(len(numbers))
			}
			o.Values = append(o.Values, numbers[value])
		}
	}
	for i, pool := range b.t.Pools {
		least := b.shownBy(pool)
		for l, key := range keys {
			if n, ok := least[key]; ok {
				// No value is none: where an offer may lack the label, one more is asked for.
				if absent[l][i] {
					n++
				}
				b.p.Pools[i].MinValues = append(b.p.Pools[i].MinValues, binpack.MinValues{Label: l, Min: int64(n)})
			}
		}
	}
}
