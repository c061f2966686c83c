package problem

import (
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/stowage-sh/stowage/cloudprovider"
	v1 "github.com/stowage-sh/stowage/provisioner/v1"
)

// formsOf returns what the node of a claim may turn out as: what the cloud said
// at the launch, or before that each of the decided offerings that the catalog
// knows. Where there is none of either, it is what the claim was made for.
func formsOf(in *Input, claim *v1.NodeClaim) []form {
	own := claimLabels(claim)
	if len(claim.Status.Allocatable) > 0 {
		return []form{{aliased(own), resources(claim.Status.Allocatable)}}
	}
	var forms []form
	for _, row := range decidedRows(in, claim) {
		forms = append(forms, form{aliased(row.Labels()), row.Type.Allocatable})
	}
	if len(forms) == 0 {
		forms = []form{{aliased(own), resources(claim.Spec.Resources.Requests)}}
	}
	return forms
}

// Extended names the extended resources that a NodeClaim's load asks for, sorted.
func Extended(claim *v1.NodeClaim) (names []string) {
	for name, q := range claim.Spec.Resources.Requests {
		if strings.Contains(string(name), "/") && !q.IsZero() {
			names = append(names, string(name))
		}
	}
	slices.Sort(names)
	return names
}

// decidedRows returns the offerings that were decided on for a claim and that the
// catalog knows, as rows without a price.
func decidedRows(in *Input, claim *v1.NodeClaim) []Row {
	catalog := in.Catalogs[claim.Labels[v1.LabelNodePool]]
	if catalog == nil {
		return nil
	}
	var rows []Row
	own := claimLabels(claim)
	for _, o := range Offerings(claim) {
		if kind, ok := catalog.InstanceType(o.InstanceType); ok {
			row := rowAs(catalog, kind, o, own)
			row.Type, row.capacityOverlaid = in.Overlays.Type(&row, kind)
			row.Type = row.Type.StartedFor(Extended(claim))
			rows = append(rows, row)
		}
	}
	return rows
}

// rowAs returns an offering as a row without a price, with labels that the node gets besides.
func rowAs(catalog *cloudprovider.Catalog, kind *cloudprovider.InstanceType, o cloudprovider.Offering, own map[string]string) Row {
	return Row{Type: kind, Offering: o, chosen: own, zone: catalog.ZoneLabels[o.Zone], bought: catalog.BoughtLabels(o),
		region: catalog.Region, aliases: catalog.LabelAliases}
}

// aliased adds to labels the names that the same had in the past: kubelet still
// writes both.
func aliased(on labels.Set) labels.Set {
	for old, now := range v1.NormalizedLabels {
		if v, ok := on[now]; ok {
			on[old] = v
		}
	}
	return on
}

// common returns the labels that all forms have alike.
func common(forms []form) labels.Set {
	same := maps.Clone(forms[0].labels)
	for _, f := range forms[1:] {
		maps.DeleteFunc(same, func(key, value string) bool { return !f.labels.Has(key) || f.labels[key] != value })
	}
	return same
}

// least returns the smallest allocatable of all forms, in every resource.
func least(forms []form) cloudprovider.Resources {
	smallest := maps.Clone(forms[0].allocatable)
	for _, f := range forms[1:] {
		for name := range smallest {
			smallest[name] = min(smallest[name], f.allocatable[name])
		}
	}
	return smallest
}

// claimLabels returns the labels that the claim itself gives to its node.
func claimLabels(claim *v1.NodeClaim) labels.Set {
	known := labels.Set{}
	for _, r := range claim.Spec.Requirements {
		if r.Operator == corev1.NodeSelectorOpIn && len(r.Values) == 1 {
			known[r.Key] = r.Values[0]
		}
	}
	maps.Copy(known, claim.Labels)
	return known
}

// LaunchedAs returns what a NodeClaim was launched as: its labels say so from then on, but for the
// reservation and the placement, whose labels are the cloud's own.
func LaunchedAs(claim *v1.NodeClaim) cloudprovider.Offering {
	return cloudprovider.Offering{
		InstanceType: claim.Labels[corev1.LabelInstanceTypeStable],
		Zone:         claim.Labels[corev1.LabelTopologyZone],
		CapacityType: claim.Labels[v1.LabelCapacityType],
		Tenancy:      v1.Tenancy(claim.Labels),
	}
}

// Offerings returns the decided offerings of a NodeClaim, in order; none where
// the annotation is absent or says what cannot be read.
func Offerings(claim *v1.NodeClaim) []cloudprovider.Offering {
	var offerings []cloudprovider.Offering
	for word := range strings.SplitSeq(claim.Annotations[v1.AnnotationOfferings], ",") {
		if o, err := cloudprovider.ParseOffering(strings.TrimSpace(word)); err == nil {
			offerings = append(offerings, o)
		}
	}
	return offerings
}
