package problem

import (
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/stowage-sh/stowage/binpack"
	"github.com/stowage-sh/stowage/cloudprovider"
	v1 "github.com/stowage-sh/stowage/provisioner/v1"
)

// A Launch is one new node of a solution: the NodeClaim to create, still without
// a name, and what it was decided on.
type Launch struct {
	Claim *v1.NodeClaim
	// Rows that the node may become, the decided one first.
	Rows []*Row
	// Pods planned for it.
	Pods []*corev1.Pod
	// Requests of the pods; Daemons is what DaemonSets take on the decided row.
	Requests, Daemons cloudprovider.Resources
	// Price for an hour of the decided row.
	Price binpack.MicroUSD
}

// Relaxed reports whether the rows show fewer values than the NodePool's minValues ask for.
func (l *Launch) Relaxed() bool {
	return l.Claim.Annotations[v1.AnnotationMinValuesRelaxed] == "true"
}

// A Placement is what a solution puts on a machine that exists or is on its way.
type Placement struct {
	Bin  *Bin
	Pods []*corev1.Pod
}

// Placed splits a solution of t.Problem into nodes to be bought and pods for
// bins. Pods of a group are handed out in order, so that the same solution gives
// the same answer; see deal.
func (t *Translation) Placed(s *binpack.Solution) ([]Launch, []Placement) {
	var machines []dealing
	for _, f := range s.Fills {
		machines = append(machines, dealing{f.Pods, t.Problem.Nodes[f.Node].Domains})
	}
	for _, pattern := range s.New {
		for range pattern.Count {
			machines = append(machines, dealing{pattern.Pods, t.Problem.Offers[pattern.Offers[0]].Domains})
		}
	}
	pods := t.deal(machines)
	var placements []Placement
	for _, f := range s.Fills {
		placements = append(placements, Placement{Bin: &t.Bins[f.Node], Pods: pods[len(placements)]})
	}
	var launches []Launch
	for _, pattern := range s.New {
		for range pattern.Count {
			launches = append(launches, t.Launch(pattern, pods[len(placements)+len(launches)]))
		}
	}
	return launches, placements
}

// Launch is one node of a pattern of t.Problem, with the pods that are to be there.
func (t *Translation) Launch(pattern binpack.Pattern, pods []*corev1.Pod) Launch {
	l := Launch{Pods: pods, Requests: cloudprovider.Resources{}}
	for _, o := range pattern.Offers {
		l.Rows = append(l.Rows, &t.Rows[o])
	}
	for _, share := range pattern.Pods {
		for range share.Count {
			add(l.Requests, t.requests[share.Group])
		}
	}
	decided := t.Problem.Offers[pattern.Offers[0]]
	l.Price = t.Paid(pattern.Offers[0])
	l.Daemons = cloudprovider.Resources{}
	for r, name := range t.Problem.Resources {
		if q := decided.Overhead[r]; q > 0 {
			l.Daemons[name] = q
		}
	}
	l.Claim = newClaim(&l)
	return l
}

// KeepBelow leaves out alternatives that cost more than so much an hour, if the NodePool does not ask
// for many.
func (l *Launch) KeepBelow(most binpack.MicroUSD) {
	if len(minValuesOf(l.Rows[0].Pool)) > 0 {
		return
	}
	kept := slices.DeleteFunc(slices.Clone(l.Rows[1:]), func(r *Row) bool { return r.Price > most })
	if len(kept) < len(l.Rows)-1 {
		l.Rows = append(l.Rows[:1:1], kept...)
		l.Claim = newClaim(l)
	}
}

// newClaim writes a decision down: the smallest requirements around the decided
// offerings, and their order in the annotation.
func newClaim(l *Launch) *v1.NodeClaim {
	claim := l.Rows[0].Pool.NewClaim()
	total := maps.Clone(l.Requests)
	add(total, l.Daemons)
	var relaxed bool
	claim.Spec.Requirements, relaxed = requirementsAround(l.Rows, claim.Spec.Requirements)
	claim.Spec.Resources.Requests = Quantities(total)
	maps.Copy(claim.Labels, l.Rows[0].chosen)
	words := make([]string, len(l.Rows))
	for i, row := range l.Rows {
		words[i] = row.Offering.String()
	}
	claim.Annotations[v1.AnnotationOfferings] = strings.Join(words, ",")
	if relaxed {
		claim.Annotations[v1.AnnotationMinValuesRelaxed] = "true"
	}
	if slices.ContainsFunc(l.Rows, func(r *Row) bool { return r.priceOverlaid }) {
		claim.Annotations[v1.AnnotationPriceOverlay] = "true"
	}
	if slices.ContainsFunc(l.Rows, func(r *Row) bool { return r.capacityOverlaid }) {
		claim.Annotations[v1.AnnotationCapacityOverlay] = "true"
	}
	return claim
}

// decidedKeys are the labels that differ by offering and that all rows have: those of
// reservations and placements where every row is of one.
func decidedKeys(rows []*Row) []string {
	keys := []string{corev1.LabelInstanceTypeStable, corev1.LabelTopologyZone, v1.LabelCapacityType}
	for key := range rows[0].bought {
		if !slices.ContainsFunc(rows, func(r *Row) bool { _, ok := r.bought[key]; return !ok }) {
			keys = append(keys, key)
		}
	}
	return keys
}

// requirementsAround returns a NodePool's own requirements, narrowed to what the
// rows show on the labels that differ by offering, and whether minValues had to be
// lowered to what they show.
func requirementsAround(rows []*Row, own []v1.Requirement) (requirements []v1.Requirement, relaxed bool) {
	values := map[string][]string{}
	for _, key := range decidedKeys(rows) {
		for _, row := range rows {
			if v := row.Get(key); !slices.Contains(values[key], v) {
				values[key] = append(values[key], v)
			}
		}
		slices.Sort(values[key])
	}
	for key, v := range rows[0].chosen {
		// The claim carries the template's labels as labels; as requirements too
		// they might be more than a NodeClaim may have.
		_, fixed := rows[0].Pool.Spec.Template.Metadata.Labels[key]
		if !fixed || slices.ContainsFunc(own, func(r v1.Requirement) bool { return r.Key == key }) {
			values[key] = []string{v}
		}
	}
	require := func(r v1.Requirement) {
		if r.MinValues != nil {
			n := min(*r.MinValues, shown(rows, r.Key))
			relaxed = relaxed || n < *r.MinValues
			r.MinValues = &n
			if n == 0 {
				r.MinValues = nil // a NodeClaim may not ask for none
			}
		}
		requirements = append(requirements, r)
	}
	minValues := minValuesOf(rows[0].Pool)
	for _, key := range slices.Sorted(maps.Keys(values)) {
		r := v1.Requirement{Key: key, Operator: corev1.NodeSelectorOpIn, Values: values[key]}
		if n, ok := minValues[key]; ok {
			r.MinValues = &n
		}
		require(r)
	}
	for _, r := range own {
		if _, ok := values[r.Key]; !ok {
			require(r)
		}
	}
	return requirements, relaxed
}

// Quantities turns integers back into Kubernetes quantities.
func Quantities(r cloudprovider.Resources) corev1.ResourceList {
	list := corev1.ResourceList{}
	for name, q := range r {
		switch name {
		case cloudprovider.CPU:
			list[corev1.ResourceName(name)] = *resource.NewMilliQuantity(q, resource.DecimalSI)
		case cloudprovider.Memory, cloudprovider.EphemeralStorage:
			list[corev1.ResourceName(name)] = *resource.NewQuantity(q, resource.BinarySI)
		default:
			list[corev1.ResourceName(name)] = *resource.NewQuantity(q, resource.DecimalSI)
		}
	}
	return list
}
