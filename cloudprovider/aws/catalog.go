package aws

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/stowage-sh/stowage/cloudprovider"
	v1 "github.com/stowage-sh/stowage/cloudprovider/aws/v1"
)

// UsualMemoryOverhead is Karpenter's default of --vm-memory-overhead-percent:
// the part of the sold memory that hypervisor, firmware and kernel keep.
const UsualMemoryOverhead = 0.075

// labelAliases are the labels that the EBS CSI driver writes on its nodes.
var labelAliases = map[string]string{v1.LabelEBSZone: corev1.LabelTopologyZone}

// reservationLabels are those that (*Reservation).labels gives.
var reservationLabels = []string{v1.LabelCapacityReservationID, v1.LabelCapacityReservationType, v1.LabelCapacityReservationInterruptible}

// labelDomains are the domains of labels that EC2 decides on.
var labelDomains = []string{v1.Group, "topology.k8s.aws", "topology.ebs.csi.aws.com"}

// CatalogOptions say under which circumstances a catalog holds. The zero value
// of each field means what its comment says.
type CatalogOptions struct {
	// Region of the zones; needed.
	Region string
	// Zones that nodes can be in; needed.
	Zones []Zone
	// CapacityTypes that are offered; nil means on-demand and spot.
	CapacityTypes []string
	// Offered says whether a zone has a type, as DescribeInstanceTypeOfferings
	// knows; nil means as far as the TypeInfo knows.
	Offered func(instanceType, zone string) bool
	// Reservations that machines may be taken from.
	Reservations []Reservation
	// PlacementGroup that machines are launched into; nil means none.
	PlacementGroup *PlacementGroup
	// NodeClass that nodes are made from; nil means AL2023 with what it has.
	NodeClass *v1.EC2NodeClassSpec
	// Images that nodes can start from; nil means that every type has one.
	Images []Image
	// VMMemoryOverheadPercent is the part of the memory that nodes do not see,
	// of 1; 0 means nothing. UsualMemoryOverhead is the usual value.
	VMMemoryOverheadPercent float64
	// Memory is how many bytes of memory nodes of a type were seen to have, by its name and labels; 0
	// for one that was not. nil means that none was.
	Memory func(instanceType string, labels map[string]string) int64
	// ReservedENIs are interfaces that the CNI does not give to pods.
	ReservedENIs int64
}

// Validate names the first option that cannot be.
func (o *CatalogOptions) Validate() error {
	switch {
	case o.Region == "":
		return errors.New("building a catalog: region is missing")
	case len(o.Zones) == 0:
		return errors.New("building a catalog: no zones")
	case !(o.VMMemoryOverheadPercent >= 0 && o.VMMemoryOverheadPercent < 1):
		return fmt.Errorf("building a catalog: VM memory overhead %v is not in [0, 1)", o.VMMemoryOverheadPercent)
	case o.ReservedENIs < 0:
		return fmt.Errorf("building a catalog: reserved ENIs %d is negative", o.ReservedENIs)
	}
	for i, z := range o.Zones {
		if z.Name == "" {
			return fmt.Errorf("building a catalog: zones[%d] has no name", i)
		}
	}
	return nil
}

// BuildCatalog says what can be bought under a NodeClass: the types that can be
// its nodes, with labels and resources, in the zones that have them. The result
// depends on the values only, not on the order of types and zones. What the
// NodeClass asks for and is not understood is a *NodeClassError.
func BuildCatalog(types []TypeInfo, o CatalogOptions) (*cloudprovider.Catalog, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	m, err := newMachine(o.NodeClass)
	if err != nil {
		return nil, err
	}
	m.reservedENIs = o.ReservedENIs
	m.memoryOverhead = int64(math.Round(o.VMMemoryOverheadPercent * million))

	c := &cloudprovider.Catalog{Region: o.Region, LabelDomains: slices.Clone(labelDomains), LabelAliases: maps.Clone(labelAliases), ReservationLabels: slices.Clone(reservationLabels),
		Placements: o.PlacementGroup.placements(), PlacementLabels: slices.Clone(placementLabels),
		Tenancies: map[string]map[string]string{cloudprovider.Dedicated: {v1.LabelInstanceTenancy: cloudprovider.Dedicated}}}
	for _, z := range o.Zones {
		if z.ID != "" {
			if c.ZoneLabels == nil {
				c.ZoneLabels = map[string]map[string]string{}
			}
			c.ZoneLabels[z.Name] = map[string]string{v1.LabelZoneID: z.ID}
		}
	}
	for i := range o.Reservations {
		if c.Reservations == nil {
			c.Reservations = map[string]cloudprovider.Reservation{}
		}
		r := &o.Reservations[i]
		c.Reservations[r.ID] = cloudprovider.Reservation{Offering: o.PlacementGroup.place(r.offering())[0], Left: r.left(), Labels: r.labels()}
	}
	for i := range types {
		t := &types[i]
		if !m.suits(t) || !o.PlacementGroup.suits(t) {
			continue
		}
		offerings := o.offerings(t)
		if len(offerings) == 0 {
			continue
		}
		labels := m.labels(t, o.Region)
		if o.Images != nil && !slices.ContainsFunc(o.Images, func(i Image) bool { return i.suits(labels) }) {
			continue
		}
		memory := int64(0)
		if o.Memory != nil {
			memory = o.Memory(t.Name, labels)
		}
		capacity, allocatable := m.resources(t, memory)
		c.InstanceTypes = append(c.InstanceTypes, cloudprovider.InstanceType{
			Name: t.Name, Labels: labels, Capacity: capacity, Allocatable: allocatable, Offerings: offerings,
			VolumeLimits: map[string]int64{driverEBS: m.volumes(t)}, OnRequest: m.onRequest(), Impossible: impossible(t),
		})
	}
	slices.SortFunc(c.InstanceTypes, func(a, b cloudprovider.InstanceType) int { return cmp.Compare(a.Name, b.Name) })
	return c, nil
}

// offerings lists where and how t can be had, in order.
func (o *CatalogOptions) offerings(t *TypeInfo) []cloudprovider.Offering {
	capacityTypes := o.CapacityTypes
	if capacityTypes == nil {
		capacityTypes = []string{cloudprovider.OnDemand, cloudprovider.Spot}
	}
	var offerings []cloudprovider.Offering
	for _, z := range o.Zones {
		if !o.offered(t, z) {
			continue
		}
		for _, c := range capacityTypes {
			if t.CapacityTypes != nil && !slices.Contains(t.CapacityTypes, c) {
				continue
			}
			for _, tenancy := range o.PlacementGroup.tenancies() {
				offering := cloudprovider.Offering{InstanceType: t.Name, Zone: z.Name, CapacityType: c, Tenancy: tenancy}
				offerings = append(offerings, o.PlacementGroup.place(offering)...)
			}
		}
	}
	for i := range o.Reservations {
		r := &o.Reservations[i]
		if r.InstanceType == t.Name && slices.ContainsFunc(o.Zones, func(z Zone) bool { return z.Name == r.AvailabilityZone }) {
			offerings = append(offerings, o.PlacementGroup.place(r.offering())...)
		}
	}
	slices.SortFunc(offerings, cloudprovider.Offering.Compare)
	return slices.Compact(offerings)
}

func (o *CatalogOptions) offered(t *TypeInfo, z Zone) bool {
	if o.Offered != nil {
		return o.Offered(t.Name, z.Name)
	}
	return t.Offered(o.Region, z)
}
