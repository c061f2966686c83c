package lifecycle

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/stowage-sh/stowage/binpack"
	"github.com/stowage-sh/stowage/cloudprovider"
	"github.com/stowage-sh/stowage/provisioner/problem"
	v1 "github.com/stowage-sh/stowage/provisioner/v1"
)

// offerings returns what may be bought for a claim, cheapest first: the list that
// the plan wrote down, or, for a claim made by hand or by another controller,
// what the requirements leave. An annotation that cannot be read is an error:
// guessing would buy something that nobody decided on.
func (c *Controller) offerings(now time.Time, claim *v1.NodeClaim, catalog *cloudprovider.Catalog) ([]cloudprovider.Offering, error) {
	list, ok := claim.Annotations[v1.AnnotationOfferings]
	if !ok {
		return c.derive(now, claim, catalog), nil
	}
	var offerings []cloudprovider.Offering
	for s := range strings.SplitSeq(list, ",") {
		o, err := cloudprovider.ParseOffering(strings.TrimSpace(s))
		if err != nil {
			return nil, fmt.Errorf("reading annotation %s: %w", v1.AnnotationOfferings, err)
		}
		offerings = append(offerings, o)
	}
	return offerings, nil
}

// derive lists the offerings, on shared hardware if that may be, that meet a claim's requirements and labels, hold its requests,
// did not just run out, are promised to no other claim and have a price: one of unknown
// price is never bought on a guess.
func (c *Controller) derive(now time.Time, claim *v1.NodeClaim, catalog *cloudprovider.Catalog) []cloudprovider.Offering {
	type priced struct {
		offering cloudprovider.Offering
		price    binpack.MicroUSD
	}
	var found []priced
	known, prices := knownLabels(catalog), c.Prices.Table()
	snapshot := c.Cluster.Snapshot()
	pool, _ := snapshot.NodePools.Get(claim.Labels[v1.LabelNodePool])
	dedicated := v1.RefusesShared(claim.Spec.Requirements, claim.Labels)
	own, overlays, promised := ownLabels(claim, known), problem.OverlaysOf(snapshot), map[string]int64{}
	if len(catalog.Reservations) > 0 {
		promised = problem.Promised(snapshot)
	}
	in := &problem.Input{Prices: prices, Overlays: overlays}
	for i := range catalog.InstanceTypes {
		t := &catalog.InstanceTypes[i]
		if len(overlays) == 0 && !holds(t.Allocatable, claim.Spec.Resources.Requests) {
			continue
		}
		for _, o := range t.Offerings {
			if (o.Tenancy != "") != dedicated {
				continue
			}
			on := offeringLabels(catalog, o)
			usedUp := o.Reservation != "" && catalog.Reservations[o.Reservation].Left <= promised[o.Reservation]
			if usedUp || c.Availability.Unavailable(now, o) || !meets(claim.Spec.Requirements, on, known) || !bears(claim.Labels, on, known) {
				continue
			}
			node := labels.Merge(own, on) // the machine has the last word
			price, ok := in.PriceOf(pool, node, o)
			kind, _ := overlays.Type(node, t)
			if ok && holds(kind.Allocatable, claim.Spec.Resources.Requests) {
				found = append(found, priced{o, price})
			}
		}
	}
	slices.SortFunc(found, func(a, b priced) int {
		return cmp.Or(cmp.Compare(a.price, b.price), a.offering.Compare(b.offering))
	})
	var offerings []cloudprovider.Offering
	for _, p := range found[:min(len(found), v1.MaxOfferings)] {
		offerings = append(offerings, p.offering)
	}
	return offerings
}

// offeringLabels are the labels of every node that an offering becomes.
func offeringLabels(catalog *cloudprovider.Catalog, o cloudprovider.Offering) map[string]string {
	labels := map[string]string{}
	if t, ok := catalog.InstanceType(o.InstanceType); ok {
		maps.Copy(labels, t.Labels)
	}
	maps.Copy(labels, catalog.OfferingLabels(o))
	labels[corev1.LabelInstanceTypeStable] = o.InstanceType
	labels[corev1.LabelTopologyZone] = o.Zone
	labels[v1.LabelCapacityType] = o.CapacityType
	if catalog.Region != "" {
		labels[corev1.LabelTopologyRegion] = catalog.Region
	}
	return labels
}

// knownLabels are the keys that speak of the machine. A requirement on one of
// them has to be met by the offering; one on any other key is met by the label
// that the claim gives to its node.
func knownLabels(catalog *cloudprovider.Catalog) map[string]bool {
	known := map[string]bool{}
	for _, t := range catalog.InstanceTypes {
		for k := range t.Labels {
			known[k] = true
		}
	}
	for _, labels := range catalog.ZoneLabels {
		for k := range labels {
			known[k] = true
		}
	}
	for _, k := range v1.WellKnownLabels {
		known[k] = k != v1.LabelNodePool
	}
	for _, k := range slices.Concat(catalog.ReservationLabels, catalog.PlacementLabels) { // also where there is none any more
		known[k] = true
	}
	return known
}

func meets(requirements []v1.Requirement, labels map[string]string, known map[string]bool) bool {
	for _, r := range requirements {
		key := r.Key
		if now, ok := v1.NormalizedLabels[key]; ok {
			key = now
		}
		value, present := labels[key]
		if known[key] && !r.Allows(value, present) {
			return false
		}
	}
	return true
}

// bears reports whether what a claim's own labels say of the machine is true of an
// offering: a NodePool's template may name a zone there.
func bears(own, labels map[string]string, known map[string]bool) bool {
	for key, value := range own {
		if known[key] && labels[key] != value {
			return false
		}
	}
	return true
}

// ownLabels are the labels that a claim gives to its node whatever machine it
// becomes: its own, and those that its requirements pin on keys which no machine
// has. Where a requirement leaves several values, it is the smallest that all of
// them allow.
func ownLabels(claim *v1.NodeClaim, known map[string]bool) map[string]string {
	labels := map[string]string{}
	for _, r := range claim.Spec.Requirements {
		if r.Operator != corev1.NodeSelectorOpIn || known[r.Key] || v1.NormalizedLabels[r.Key] != "" {
			continue
		}
		values := slices.DeleteFunc(slices.Clone(r.Values), func(value string) bool {
			return slices.ContainsFunc(claim.Spec.Requirements, func(other v1.Requirement) bool {
				return other.Key == r.Key && !other.Allows(value, true)
			})
		})
		if len(values) > 0 {
			labels[r.Key] = slices.Min(values)
		}
	}
	for k, v := range claim.Labels {
		labels[k] = v
	}
	return labels
}

func holds(have cloudprovider.Resources, want corev1.ResourceList) bool {
	for name, quantity := range want {
		need := quantity.Value()
		if name == corev1.ResourceCPU {
			need = quantity.MilliValue()
		}
		if need > have[string(name)] {
			return false
		}
	}
	return true
}

// resourceList converts to Kubernetes' form; what is 0 is left out.
func resourceList(r cloudprovider.Resources) corev1.ResourceList {
	list := corev1.ResourceList{}
	for name, value := range r {
		switch {
		case value == 0:
		case name == cloudprovider.CPU:
			list[corev1.ResourceCPU] = *resource.NewMilliQuantity(value, resource.DecimalSI)
		case name == cloudprovider.Memory || name == cloudprovider.EphemeralStorage:
			list[corev1.ResourceName(name)] = *resource.NewQuantity(value, resource.BinarySI)
		default:
			list[corev1.ResourceName(name)] = *resource.NewQuantity(value, resource.DecimalSI)
		}
	}
	return list
}
