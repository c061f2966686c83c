package problem

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/sets"
	corev1helpers "k8s.io/component-helpers/scheduling/corev1"

	"github.com/stowage-sh/stowage/binpack"
	"github.com/stowage-sh/stowage/cloudprovider"
	v1 "github.com/stowage-sh/stowage/provisioner/v1"
)

// Build translates a batch. It cannot fail: what is not understood becomes a
// group that stays unplaced, or an excluded NodePool, each with its reason. It
// costs O(pods + bound pods + distinct selectors and constraints × (rows + nodes)).
func Build(in *Input) *Translation {
	if len(in.Spreads) > 0 {
		own := *in
		own.Pods = in.Spreads.Apply(&in.Snapshot.Selecting, in.Pods)
		in = &own
	}
	ns := namespacesOf(in.Snapshot)
	t := &Translation{
		Bins: binsOf(in, ns), daemons: daemonsOf(in.Snapshot, ns), namespaces: ns,
		capped: map[string]bool{}, keptOut: map[int][]string{}, ruledOut: map[int][]string{}, waits: map[int]string{},
		incompatible: map[[2]string]string{}, committed: committedOf(in),
	}
	b := &builder{in: in, t: t}
	t.volumes = &volumes{Storage: in.Snapshot.Storage, nodes: in.Snapshot.Nodes, batch: in.Pods, bins: t.Bins, standBack: in.standBack, lost: in.Lost}
	b.groups, b.terms = groupsOf(in, t)
	overlaid := in.Overlays.mentioned()
	overlaid.Delete(v1.LabelTenancy) // it may change the price of what nobody asks for
	b.pools(mentioned(b.groups).Union(overlaid))
	b.learnLimits()
	b.p = &binpack.Problem{Resources: b.dimensions(), MaxSteps: in.MaxSteps}
	b.t.Problem = b.p
	b.topology()
	b.offers()
	b.stocks()
	b.commit()
	b.flexibility()
	b.nodes()
	b.addGroups()
	b.slack()
	b.anyOffer = b.offersOfAny()
	b.eligibleKnown, b.admittedKnown = map[string]places{}, map[string]binpack.Set{}
	b.runningKnown, b.reachKnown = map[string]binpack.Set{}, map[[2]int]binpack.Set{}
	b.counted = b.tallies()
	b.hear()
	b.rules()
	return b.t
}

// A builder holds what the steps of Build hand on to one another.
type builder struct {
	in     *Input
	groups []*group
	terms  []podTerm
	// counted has for each of the terms the pods in bins that it matches, by bin.
	counted [][]tally
	t       *Translation
	p       *binpack.Problem
	// keys is how many of the problem's topology keys are those of labels; the
	// rest are narrowed.
	keys int
	// domainIndex maps the values of each topology key to domains.
	domainIndex map[string]map[string]int
	// placesKnown keeps what places found, by its key.
	placesKnown map[string]places
	// eligibleKnown keeps what eligible found, and admittedKnown the offers that a
	// wish is for, by its text.
	eligibleKnown map[string]places
	admittedKnown map[string]binpack.Set
	// runningKnown keeps what running found, by the rule, and reachKnown what reach did, by
	// group and key.
	runningKnown map[string]binpack.Set
	reachKnown   map[[2]int]binpack.Set
	// preferencePrices of the pools.
	preferencePrices []float64
	// anyOffer holds the offers that any group of the batch may open.
	anyOffer binpack.Set
}

// pools lists the NodePools, heaviest first, with their rows, and those that
// offer nothing, with the reason.
func (b *builder) pools(mentioned sets.Set[string]) {
	pools := slices.Clone(b.in.Snapshot.NodePools.All())
	slices.SortFunc(pools, func(x, y *v1.NodePool) int {
		return cmp.Or(cmp.Compare(weight(y), weight(x)), cmp.Compare(x.Name, y.Name))
	})
	var each [][]Row
	for _, pool := range pools {
		rows, reason := b.rowsOrReason(pool, mentioned)
		if reason != "" {
			b.t.Excluded = append(b.t.Excluded, Exclusion{pool.Name, reason})
			continue
		}
		rows = append(rows, b.covered(rows)...)
		if len(b.in.relaxed) > 0 && len(b.shownBy(pool)) > 0 {
			rows = append(rows, relaxed(rows)...)
		}
		b.t.Pools = append(b.t.Pools, pool)
		each = append(each, rows)
	}
	if len(each) == 1 {
		b.t.Rows = each[0] // the usual case: thousands of rows, and no copy of them
	} else {
		b.t.Rows = slices.Concat(each...)
	}
	slices.SortFunc(b.t.Excluded, func(x, y Exclusion) int { return cmp.Compare(x.Pool, y.Pool) })
}

func (b *builder) rowsOrReason(pool *v1.NodePool, mentioned sets.Set[string]) ([]Row, string) {
	if pool.DeletionTimestamp != nil {
		return nil, "is being deleted"
	}
	if reason := b.in.Excluded[pool.Name]; reason != "" {
		return nil, reason
	}
	if b.in.Catalogs[pool.Name] == nil {
		return nil, "its NodeClass has no instance types yet"
	}
	rows, err := rowsOf(pool, b.in, mentioned)
	if err != nil {
		return nil, err.Error()
	}
	if len(rows) == 0 {
		return nil, noRows(pool, b.in)
	}
	return rows, ""
}

func weight(pool *v1.NodePool) int32 {
	if pool.Spec.Weight == nil {
		return 0
	}
	return *pool.Spec.Weight
}

// topology numbers the topology keys that rules speak of, and their domains.
func (b *builder) topology() {
	keys := sets.New[string]()
	for _, g := range b.groups {
		for _, r := range g.rules {
			keys.Insert(r.key)
		}
		for _, w := range g.wishes {
			if w.rule != nil {
				keys.Insert(w.rule.key)
			}
		}
	}
	for i := range b.t.Bins {
		for _, r := range b.t.Bins[i].keepsOut {
			keys.Insert(r.key)
		}
	}
	for i := range b.t.daemons {
		for _, r := range b.t.daemons[i].keepsOut {
			keys.Insert(r.key)
		}
	}
	if slices.ContainsFunc(b.groups, func(g *group) bool { return len(g.storage.near) > 0 }) {
		keys.Insert(corev1.LabelTopologyZone)
	}
	keys.Delete(corev1.LabelHostname)
	b.p.Keys, b.keys = sets.List(keys), keys.Len()
	b.domainIndex = map[string]map[string]int{}
	for _, key := range b.p.Keys {
		values := sets.New[string]()
		for i := range b.t.Rows {
			if v, ok := b.t.Rows[i].Lookup(key); ok {
				values.Insert(v)
			}
		}
		for i := range b.t.Bins {
			if bin := &b.t.Bins[i]; bin.carries(key) {
				values.Insert(bin.labels[key])
			}
		}
		index := map[string]int{}
		for i, v := range sets.List(values) {
			index[v] = i
		}
		b.domainIndex[key] = index
		b.p.Domains = append(b.p.Domains, sets.List(values))
	}
}

// domains returns the domain of each key for what carries these labels.
func (b *builder) domains(on labels.Labels) []int {
	of := make([]int, len(b.p.Keys))
	for k, key := range b.p.Keys {
		of[k] = binpack.NoDomain
		if on.Has(key) {
			of[k] = b.domainIndex[key][on.Get(key)]
		}
	}
	return of
}

// offers turns rows into offers, and NodePools into pools.
func (b *builder) offers() {
	poolIndex := map[string]int{}
	for i, pool := range b.t.Pools {
		poolIndex[pool.Name] = i
		price, _ := pool.PreferencePrice() // or it would be excluded
		b.preferencePrices = append(b.preferencePrices, price)
		b.p.Pools = append(b.p.Pools, b.pool(pool))
	}
	type shared struct {
		capacity, charge binpack.Vector
	}
	vectors, none := map[*cloudprovider.InstanceType]shared{}, b.vector(nil)
	b.p.Offers = make([]binpack.Offer, 0, len(b.t.Rows))
	for i := range b.t.Rows {
		row := &b.t.Rows[i]
		v, ok := vectors[row.Type]
		if !ok {
			v = shared{b.vector(row.Type.Allocatable), b.vector(row.Type.Capacity)}
			b.attachable(v.capacity, row.Type.Name)
			vectors[row.Type] = v
		}
		overhead := none
		if taken := b.overhead(row, "", row.Pool.Spec.Template.Spec.Taints, nil); len(taken) > 0 {
			overhead = b.vector(taken)
		}
		b.p.Offers = append(b.p.Offers, binpack.Offer{
			ID:       row.id(),
			Pool:     poolIndex[row.Pool.Name],
			Price:    row.Price + row.told,
			Capacity: v.capacity,
			Overhead: overhead,
			Charge:   v.charge,
			Domains:  b.domains(row),
			Variant:  int64(row.variant),
			Relaxed:  row.relaxed,
		})
	}
}

// id names a row: its pool, its offering, the labels that tell its variants
// apart, what covers it, and whether it is relaxed.
func (r *Row) id() string {
	id := r.Pool.Name + "/" + r.Offering.String()
	class := r.Pool.Spec.Template.Spec.NodeClassRef.Label()
	var free []string
	for key := range r.chosen {
		if _, fixed := r.Pool.Spec.Template.Metadata.Labels[key]; !fixed && key != v1.LabelNodePool && key != class {
			free = append(free, key)
		}
	}
	slices.Sort(free)
	for _, key := range free {
		id += "/" + key + "=" + r.chosen[key]
	}
	if r.Commitment != nil {
		id += "/covered by " + r.Commitment.Name
	}
	if r.relaxed {
		id += "/relaxed"
	}
	return id
}

// nodes turns bins into existing nodes with what is left on each, whichever form
// the machine takes.
func (b *builder) nodes() {
	// What a node says of itself may be any number. The sum over all pods must not overflow.
	requests := newRequestsKnown()
	most := int64(math.MaxInt64 / 2 / max(1, len(b.in.Pods)))
	for i := range b.t.Bins {
		bin := &b.t.Bins[i]
		var free binpack.Vector
		for _, f := range bin.forms {
			taken := cloudprovider.Resources{}
			if !bin.initialized() {
				add(taken, b.overhead(f.labels, bin.Name(), bin.taints, bin.pods))
			}
			for _, p := range bin.pods {
				add(taken, requests.of(p))
			}
			left, load := b.vector(f.allocatable), b.vector(taken)
			b.attachableTo(bin, f, left, load)
			for r := range left {
				left[r] = min(most, max(0, left[r]-load[r]))
				if free != nil {
					left[r] = min(left[r], free[r])
				}
			}
			free = left
		}
		b.p.Nodes = append(b.p.Nodes, binpack.Node{ID: bin.id(), Free: free, Domains: b.domains(bin.labels)})
	}
}

// addGroups adds the groups, with where each may go as far as its own spec says.
func (b *builder) addGroups() {
	b.placesKnown = map[string]places{}
	largest := b.largest()
	b.p.Groups = make([]binpack.Group, 0, len(b.groups))
	for i, g := range b.groups {
		where := b.places(g)
		b.t.Pods, b.t.requests = append(b.t.Pods, g.pods), append(b.t.requests, g.requests)
		b.p.Groups = append(b.p.Groups, binpack.Group{
			ID:          fmt.Sprintf("%s/%s#%d", g.pods[0].Namespace, g.pods[0].Name, i),
			Count:       int64(len(g.pods)),
			Requests:    b.asking(g, largest),
			Priority:    corev1helpers.PodPriority(g.pods[0]),
			Offers:      where.offers,
			Nodes:       where.nodes,
			Unsupported: cmp.Or(g.unsupported, g.storage.waits),
		})
		if g.unsupported == "" && g.storage.waits != "" {
			b.t.waits[i] = g.storage.waits
		}
	}
}
