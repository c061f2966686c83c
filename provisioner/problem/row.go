package problem

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/sets"

	"github.com/stowage-sh/stowage/binpack"
	"github.com/stowage-sh/stowage/cloudprovider"
	"github.com/stowage-sh/stowage/pricing"
	v1 "github.com/stowage-sh/stowage/provisioner/v1"
)

// apart is what the variants of offerings on dedicated hardware are numbered from: a node is on one
// kind of hardware, whichever of its offerings it becomes.
const apart = maxVariants

// maxVariants bounds the rows made of one offering for the values of a
// NodePool's multi-valued labels.
const maxVariants = 64

// A Row is what an offer was made from: NodePool × offering × the values chosen
// for the labels on which the NodePool allows several.
type Row struct {
	Pool     *v1.NodePool
	Type     *cloudprovider.InstanceType
	Offering cloudprovider.Offering
	// Price of an hour of a node, its NodePool's surcharge and the Risk included.
	Price binpack.MicroUSD
	// Risk is the part of Price that is the expected cost of interruptions.
	Risk binpack.MicroUSD
	// Commitment that a node of the row is covered by; nil for one that is bought.
	Commitment *pricing.Commitment

	// draw is how much of the Commitment a node takes, told the price that the solver is told, and
	// uncovered what it would cost without.
	draw            int64
	told, uncovered binpack.MicroUSD
	// relaxed rows are not asked for minValues, and only for pods that need that.
	relaxed bool
	// chosen are the labels that the NodePool puts on the node; zone and bought those that
	// hang on the zone, and on the reservation and the placement. All are shared between rows.
	chosen, zone, bought map[string]string
	variant              int               // of chosen: equal where it is, within a NodePool
	aliases              map[string]string // of the catalog
	region               string
	// priceOverlaid and capacityOverlaid tell that an overlay decided part of Price
	// and Type.
	priceOverlaid, capacityOverlaid bool
}

// Has reports whether the node will carry a label.
func (r *Row) Has(key string) bool { _, ok := r.Lookup(key); return ok }

// Get returns the value of a label that the node will carry, or "".
func (r *Row) Get(key string) string { v, _ := r.Lookup(key); return v }

// Lookup returns the value of a label that the node will carry. With Has and Get
// it makes a Row a labels.Labels, so that selectors look at it without a map
// being built for each of thousands of rows.
func (r *Row) Lookup(key string) (string, bool) {
	if canonical, ok := v1.NormalizedLabels[key]; ok {
		key = canonical
	} else if other, ok := r.aliases[key]; ok {
		key = other
	}
	switch key {
	case corev1.LabelTopologyZone:
		return r.Offering.Zone, true
	case corev1.LabelTopologyRegion:
		return r.region, r.region != ""
	case corev1.LabelInstanceTypeStable:
		return r.Offering.InstanceType, true
	case v1.LabelCapacityType:
		return r.Offering.CapacityType, true
	case corev1.LabelHostname:
		return "", false // the node has no name yet
	}
	if v, ok := r.chosen[key]; ok {
		return v, true
	}
	if v, ok := r.zone[key]; ok {
		return v, true
	}
	if v, ok := r.bought[key]; ok {
		return v, true
	}
	v, ok := r.Type.Labels[key]
	return v, ok
}

// Labels returns all labels that are known before the node is there.
func (r *Row) Labels() map[string]string {
	all := maps.Clone(r.Type.Labels)
	if all == nil {
		all = map[string]string{}
	}
	maps.Copy(all, r.zone)
	maps.Copy(all, r.bought)
	maps.Copy(all, r.chosen)
	for _, key := range []string{corev1.LabelTopologyZone, corev1.LabelTopologyRegion, corev1.LabelInstanceTypeStable, v1.LabelCapacityType} {
		if v, ok := r.Lookup(key); ok {
			all[key] = v
		}
	}
	for alias := range r.aliases {
		if v, ok := r.Lookup(alias); ok {
			all[alias] = v
		}
	}
	return all
}

// rowsOf lists what a NodePool can buy, with its price, in the order of the
// catalog. mentioned and the error are as in offeredRows.
func rowsOf(pool *v1.NodePool, in *Input, mentioned sets.Set[string]) ([]Row, error) {
	rows, err := offeredRows(pool, in, mentioned)
	priced := rows[:0]
	overlaid := overlaidTypes{}
	for i := range rows {
		row := &rows[i]
		p := in.priceOf(pool, row, row.Offering)
		if row.priceOverlaid = p.overlaid; p.known {
			row.Price, row.Risk = p.all(), p.risk
			row.Type, row.capacityOverlaid = in.Overlays.typeOf(row, row.Type, overlaid)
			priced = append(priced, *row)
		}
	}
	return priced, err
}

// offeredRows lists what a NodePool may buy, without prices, in the order of the
// catalog. mentioned holds the label keys that any pod of the batch, or an
// overlay, speaks of. Dedicated hardware is only there where it is asked for: the NodePool takes
// nothing else, or pods speak of it. A nil slice with an error means that the NodePool asks for
// something that is not understood.
func offeredRows(pool *v1.NodePool, in *Input, mentioned sets.Set[string]) ([]Row, error) {
	catalog := in.Catalogs[pool.Name]
	if reason := notUnderstood(pool, catalog, in); reason != "" {
		return nil, fmt.Errorf("%s", reason)
	}
	required, open, err := requirementsOf(pool, catalog)
	if err != nil {
		return nil, err
	}
	variants, err := variantsOf(pool, catalog, open, mentioned)
	if err != nil {
		return nil, err
	}
	n, dedicated := 0, mentioned.Has(v1.LabelTenancy) || v1.RefusesShared(pool.Spec.Template.Spec.Requirements, pool.Spec.Template.Metadata.Labels)
	for t := range catalog.InstanceTypes {
		n += len(catalog.InstanceTypes[t].Offerings) * len(variants)
	}
	// Thousands are looked at and many fall away: those that stay are counted first.
	every := func(yield func(*Row)) {
		row := Row{Pool: pool, region: catalog.Region, aliases: catalog.LabelAliases}
		for t := range catalog.InstanceTypes {
			kind := &catalog.InstanceTypes[t]
			for _, o := range kind.Offerings {
				// A reservation that is refused is one of which nothing is left; see stocks.
				if in.Unavailable != nil && o.Reservation == "" && in.Unavailable(o) {
					continue
				}
				if o.Tenancy != "" && !dedicated {
					continue
				}
				for i, chosen := range variants {
					row.Type, row.Offering, row.zone = kind, o, catalog.ZoneLabels[o.Zone]
					row.bought = catalog.BoughtLabels(o)
					row.variant, row.chosen = i, chosen
					if o.Tenancy != "" {
						row.variant += apart
					}
					yield(&row)
				}
			}
		}
	}
	stay, count := make([]bool, 0, n), 0
	every(func(row *Row) {
		stay = append(stay, meetsAll(required, row))
		if stay[len(stay)-1] {
			count++
		}
	})
	rows, i := make([]Row, 0, count), 0
	every(func(row *Row) {
		if stay[i] {
			rows = append(rows, *row)
		}
		i++
	})
	return rows, nil
}

// notUnderstood names the first field of a NodePool that asks for what this
// version does not do, or cannot be read.
func notUnderstood(pool *v1.NodePool, catalog *cloudprovider.Catalog, in *Input) string {
	if pool.Spec.Replicas != nil {
		return "spec.replicas: its nodes are there for pods, and none is bought for them"
	}
	wrong := pool.CostAnnotations()
	for _, annotation := range slices.Sorted(maps.Keys(wrong)) {
		return fmt.Sprintf("metadata.annotations[%s]: %v", annotation, wrong[annotation])
	}
	for i, r := range pool.Spec.Template.Spec.Requirements {
		if r.MinValues != nil && *r.MinValues > 1 && custom(r.Key, catalog) && !in.RelaxMinValues {
			return fmt.Sprintf("spec.template.spec.requirements[%d].minValues: a NodeClaim has one value of a label of your own, not %d; --min-values-policy=BestEffort lowers it", i, *r.MinValues)
		}
	}
	return ""
}

// requirementsOf returns what every row of the pool must match, and the
// requirements on labels that only the NodePool itself can put on a node.
func requirementsOf(pool *v1.NodePool, catalog *cloudprovider.Catalog) (required []condition, open []v1.Requirement, err error) {
	for i, r := range pool.Spec.Template.Spec.Requirements {
		if custom(r.Key, catalog) {
			open = append(open, r)
			continue
		}
		parsed, err := requirement(r)
		if err != nil {
			return nil, nil, fmt.Errorf("spec.template.spec.requirements[%d]: %w", i, err)
		}
		required = append(required, parsed)
	}
	// A template label that the cloud decides (a zone, say) narrows the offers.
	for _, key := range slices.Sorted(maps.Keys(pool.Spec.Template.Metadata.Labels)) {
		if !custom(key, catalog) {
			parsed, err := nodeRequirement(key, corev1.NodeSelectorOpIn, []string{pool.Spec.Template.Metadata.Labels[key]})
			if err != nil {
				return nil, nil, fmt.Errorf("spec.template.metadata.labels: %w", err)
			}
			required = append(required, &parsed)
		}
	}
	return required, open, nil
}

// custom reports whether a label is the NodePool's to choose: it is not one that
// Kubernetes, the cloud or Stowage derive from the offering.
func custom(key string, catalog *cloudprovider.Catalog) bool {
	if _, beta := v1.NormalizedLabels[key]; beta || slices.Contains(v1.WellKnownLabels, key) {
		return false
	}
	return !slices.Contains(catalog.LabelDomains, domainOf(key))
}

// domainOf returns the part of a label key before the slash.
func domainOf(key string) string {
	domain, _, ok := strings.Cut(key, "/")
	if !ok {
		return ""
	}
	return domain
}

// variantsOf returns the sets of labels that the pool may put on a node: one for
// each combination of the values that pods may tell apart.
func variantsOf(pool *v1.NodePool, catalog *cloudprovider.Catalog, open []v1.Requirement, mentioned sets.Set[string]) ([]map[string]string, error) {
	base := map[string]string{v1.LabelNodePool: pool.Name}
	class := pool.Spec.Template.Spec.NodeClassRef
	base[class.Label()] = class.Name
	for key, value := range pool.Spec.Template.Metadata.Labels {
		if custom(key, catalog) {
			base[key] = value
		}
	}
	variants := []map[string]string{base}
	for _, key := range slices.Compact(slices.Sorted(keysOf(open))) {
		values, err := valuesOf(pool, key, open)
		if err != nil {
			return nil, err
		}
		if len(values) == 0 {
			continue
		}
		if !mentioned.Has(key) {
			values = values[:1] // nobody can tell, and the node meets the requirement
		}
		if len(variants)*len(values) > maxVariants {
			return nil, fmt.Errorf("spec.template.spec.requirements: more than %d combinations of label values", maxVariants)
		}
		var next []map[string]string
		for _, v := range variants {
			for _, value := range values {
				with := maps.Clone(v)
				with[key] = value
				next = append(next, with)
			}
		}
		variants = next
	}
	return variants, nil
}

func keysOf(requirements []v1.Requirement) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		for _, r := range requirements {
			if !yield(r.Key) {
				return
			}
		}
	}
}

// valuesOf returns the values that the pool may give a label of its own, sorted:
// those that one In lists and every other requirement on the key allows. Without
// an In the label has no value to give.
func valuesOf(pool *v1.NodePool, key string, open []v1.Requirement) ([]string, error) {
	var values []string
	var rules []condition
	if fixed, ok := pool.Spec.Template.Metadata.Labels[key]; ok {
		values = []string{fixed}
	}
	for _, r := range open {
		if r.Key != key {
			continue
		}
		rule, err := requirement(r)
		if err != nil {
			return nil, fmt.Errorf("spec.template.spec.requirements: %w", err)
		}
		rules = append(rules, rule)
		if r.Operator == corev1.NodeSelectorOpIn && values == nil {
			values = slices.Clone(r.Values)
		}
	}
	if values == nil {
		for _, r := range open {
			if r.Key == key && r.Operator != corev1.NodeSelectorOpNotIn && r.Operator != corev1.NodeSelectorOpDoesNotExist {
				return nil, fmt.Errorf("spec.template.spec.requirements: %s %s on a label of your own needs an In that lists its values", key, r.Operator)
			}
		}
		return nil, nil
	}
	slices.Sort(values)
	values = slices.DeleteFunc(slices.Compact(values), func(v string) bool { return !meetsAll(rules, labels.Set{key: v}) })
	if len(values) == 0 {
		return nil, fmt.Errorf("spec.template.spec.requirements: no value of %s satisfies them all", key)
	}
	return values, nil
}
