package plan

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/stowage-sh/stowage/cloudprovider"
	"github.com/stowage-sh/stowage/cloudprovider/aws"
	"github.com/stowage-sh/stowage/cloudprovider/aws/nodeclass"
	"github.com/stowage-sh/stowage/cloudprovider/aws/region"
	awsv1 "github.com/stowage-sh/stowage/cloudprovider/aws/v1"
	"github.com/stowage-sh/stowage/pricing"
)

// A Market is what can be bought, where, and for how much.
type Market struct {
	// Region of everything.
	Region string
	// Zones that nodes may be in; nil means those of a NodeClass's subnets, or the
	// first three of the region where the subnets are not known.
	Zones []string
	// Types that EC2 has, and where that is known from.
	Types  []aws.TypeInfo
	Source string
	// Reservations of capacity, in order; nil if it is not known which there are.
	Reservations []aws.Reservation
	// Prices of the region.
	Prices *pricing.Table
	// Version of Kubernetes that nodes are for, as 1.36; empty if it is not known.
	Version string
}

// Validate checks that the region is one, and that the zones are in it.
func (m *Market) Validate() error {
	known, err := region.Zones(m.Region)
	if err != nil {
		return err
	}
	for _, zone := range m.Zones {
		// Local and wavelength zones are not listed: us-east-1-bos-1a.
		if !slices.Contains(known, zone) && !strings.HasPrefix(zone, m.Region+"-") {
			return fmt.Errorf("there is no zone %q in region %s: it has %s", zone, m.Region, strings.Join(known, ", "))
		}
	}
	return nil
}

// zones returns the zones of a NodeClass; nil is one of which nothing is known.
func (m *Market) zones(class *awsv1.EC2NodeClass) ([]aws.Zone, error) {
	if class != nil && len(class.Status.Subnets) > 0 {
		var zones []aws.Zone
		for _, s := range class.Status.Subnets {
			if !strings.HasPrefix(s.Zone, m.Region) {
				return nil, fmt.Errorf("EC2NodeClass %s: status.subnets: zone %s is not in region %s: give --region", class.Name, s.Zone, m.Region)
			}
			if m.Zones == nil || slices.Contains(m.Zones, s.Zone) {
				zones = append(zones, aws.Zone{Name: s.Zone, ID: s.ZoneID})
			}
		}
		return sortedZones(zones), nil
	}
	names := m.Zones
	if names == nil {
		var err error
		if names, err = region.FirstZones(m.Region); err != nil {
			return nil, err
		}
	}
	var zones []aws.Zone
	for _, name := range names {
		zones = append(zones, aws.Zone{Name: name})
	}
	return sortedZones(zones), nil
}

// sortedZones drops what several subnets in one zone repeat.
func sortedZones(zones []aws.Zone) []aws.Zone {
	slices.SortFunc(zones, func(a, b aws.Zone) int { return strings.Compare(a.Name+" "+a.ID, b.Name+" "+b.ID) })
	return slices.CompactFunc(zones, func(a, b aws.Zone) bool { return a.Name == b.Name })
}

// catalog returns what can be bought under a NodeClass, or the reason why nothing
// can. The default NodeClass is nil.
func (m *Market) catalog(class *awsv1.EC2NodeClass) (catalog *cloudprovider.Catalog, reason string, err error) {
	options := aws.CatalogOptions{Region: m.Region, VMMemoryOverheadPercent: aws.UsualMemoryOverhead}
	if options.Zones, err = m.zones(class); err != nil {
		return nil, "", err
	}
	if len(options.Zones) == 0 {
		return nil, fmt.Sprintf("EC2NodeClass %s has no subnet in the zones of the plan", class.Name), nil
	}
	if class != nil {
		options.NodeClass = &class.Spec
		for _, r := range m.Reservations {
			if r.Selected(class.Spec.CapacityReservationSelectorTerms) {
				options.Reservations = append(options.Reservations, r)
			}
		}
		for _, ami := range class.Status.AMIs {
			options.Images = append(options.Images, aws.Image{ID: ami.ID, Name: ami.Name, Requirements: ami.Requirements})
		}
		for _, c := range class.Status.Conditions {
			if c.Type == awsv1.ConditionReady && c.Status == "False" {
				return nil, fmt.Sprintf("EC2NodeClass %s is not ready: %s", class.Name, c.Message), nil
			}
		}
		if why, _ := nodeclass.UnsupportedAlias(&class.Spec, m.Version); why != "" {
			return nil, fmt.Sprintf("EC2NodeClass %s is not ready: UnsupportedAlias: %s", class.Name, why), nil
		}
	}
	catalog, err = aws.BuildCatalog(m.Types, options)
	if err != nil {
		return nil, fmt.Sprintf("EC2NodeClass %s: %v", class.Name, err), nil
	}
	return catalog, "", nil
}

// holds refuses a node of another region: its zones would mean nothing here.
func (m *Market) holds(n *corev1.Node) error {
	if r := n.Labels[corev1.LabelTopologyRegion]; r != "" && r != m.Region {
		return fmt.Errorf("Node %s is in region %s, the plan is for %s: give --region", n.Name, r, m.Region)
	}
	return nil
}
