package ec2sim

import (
	"slices"
	"strconv"
	"strings"

	"github.com/stowage-sh/stowage/cloudprovider"
)

// An InstanceType is what DescribeInstanceTypes tells of a type, and what kubelet
// would find on a machine of it.
type InstanceType struct {
	Name string
	// Arch as Kubernetes spells it: amd64 or arm64.
	Arch string
	// VCPU is the number of processors, MemoryMiB the memory that is sold.
	VCPU      int
	MemoryMiB int64
	// SeenMemoryMiB is what the operating system reports of MemoryMiB; 0 means
	// what it usually does.
	SeenMemoryMiB int64
	// ENIs that the default network card takes, and addresses on each.
	ENIs, IPv4PerENI int
	// MoreCards lists the ENIs of network cards beyond the default one.
	MoreCards []int
	// EFAs is the number of interfaces that can be EFA; 0 for none.
	EFAs int
	// GPU and Accelerator (Inferentia, Trainium, Gaudi) are of one kind each; a
	// Count of 0 is none. A node shows them if its image has their drivers.
	GPU         Accelerator
	Accelerator Accelerator
	LocalDiskGB int64 // of all local disks together
	LocalDisks  int
	// Bandwidths are baselines: what lasts.
	NetworkMbps  int
	EBSMbps      int
	ClockGHz     float64
	Manufacturer string // of the processor: Intel, AMD, AWS
	Xen          bool   // the hypervisor; Nitro otherwise
	BareMetal    bool
	Burstable    bool
	Old          bool // not the current generation
	Encrypts     bool // encryption in transit
	NoSpot       bool // not sold as spot
	Nested       bool // can run machines in the machine
	Enclaves     bool // of Nitro
	// Zones that sell it, by name; all when nil.
	Zones []string
}

// An Accelerator is a kind of device and how many of it a type has.
type Accelerator struct {
	Name, Manufacturer string
	Count              int
	MemoryMiB          int64 // of one
	Cores              int   // of one; Neuron's only
}

// wireArch is the architecture as EC2 spells it.
func wireArch(arch string) string {
	if arch == "amd64" {
		return "x86_64"
	}
	return arch
}

// usageClasses are the capacity types that the type is sold as, in EC2's words.
func (t InstanceType) usageClasses() []string {
	if t.NoSpot {
		return []string{"on-demand"}
	}
	return []string{"on-demand", "spot"}
}

// hypervisor is nitro or xen. Bare metal has none, and EC2 leaves the field out.
func (t InstanceType) hypervisor() string {
	switch {
	case t.BareMetal:
		return ""
	case t.Xen:
		return "xen"
	}
	return "nitro"
}

// sells says whether the zone has the type at all.
func (t InstanceType) sells(zone string) bool {
	return t.Zones == nil || slices.Contains(t.Zones, zone)
}

// pool is one place a fleet may launch from.
func (t InstanceType) pool(zone, capacityType string) cloudprovider.Offering {
	return cloudprovider.Offering{InstanceType: t.Name, Zone: zone, CapacityType: capacityType}
}

// standsAlone says whether EC2 has the type with dedicated tenancy: it has no T2.
func (t InstanceType) standsAlone() bool { return !strings.HasPrefix(t.Name, "t2.") }

// typeFields are the filters of DescribeInstanceTypes that are understood. EC2 has
// some sixty; these are the ones that tell nodes apart.
var typeFields = fields[InstanceType]{
	"instance-type":                         one(func(t InstanceType) string { return t.Name }),
	"processor-info.supported-architecture": one(func(t InstanceType) string { return wireArch(t.Arch) }),
	"supported-virtualization-type":         one(func(InstanceType) string { return "hvm" }),
	"supported-root-device-type":            one(func(InstanceType) string { return "ebs" }),
	"supported-usage-class":                 InstanceType.usageClasses,
	"hypervisor":                            one(InstanceType.hypervisor),
	"bare-metal":                            flag(func(t InstanceType) bool { return t.BareMetal }),
	"current-generation":                    flag(func(t InstanceType) bool { return !t.Old }),
	"burstable-performance-supported":       flag(func(t InstanceType) bool { return t.Burstable }),
	"instance-storage-supported":            flag(func(t InstanceType) bool { return t.LocalDisks > 0 }),
	"vcpu-info.default-vcpus":               one(func(t InstanceType) string { return strconv.Itoa(t.VCPU) }),
	"memory-info.size-in-mib":               one(func(t InstanceType) string { return strconv.FormatInt(t.MemoryMiB, 10) }),
}

// describeInstanceTypes tells the types, a hundred a page as EC2 does; types that
// are asked for by name come in one answer.
func (s *Server) describeInstanceTypes(p params) (any, error) {
	types := s.types
	if names := p.list("InstanceType"); len(names) > 0 {
		if p.str("MaxResults") != "" {
			return nil, fail("InvalidParameterCombination", "The parameter InstanceTypes cannot be used with the parameter MaxResults")
		}
		// Whoever asks for all types by name has to ask in parts.
		if len(names) > 100 {
			return nil, fail("InvalidParameterValue", "The maximum number of instance types is 100")
		}
		types = nil
		for _, n := range names {
			t, ok := s.typeNamed(n)
			if !ok {
				return nil, fail("InvalidInstanceType", "The following supplied instance types do not exist: [%s]", n)
			}
			types = append(types, t)
		}
	}
	types, err := filter(p, types, typeFields, nil)
	if err != nil {
		return nil, err
	}
	types, next, err := page(p, types, func(t InstanceType) string { return t.Name }, bounds{5, 100, 100})
	if err != nil {
		return nil, err
	}
	out := struct {
		Types []wireType `xml:"instanceTypeSet>item"`
		Next  string     `xml:"nextToken,omitempty"`
	}{Next: next}
	for _, t := range types {
		out.Types = append(out.Types, t.wire())
	}
	return out, nil
}

// typeNamed finds a type.
func (s *Server) typeNamed(name string) (InstanceType, bool) {
	i, ok := s.typeIndex[name]
	if !ok {
		return InstanceType{}, false
	}
	return s.types[i], true
}

// An offered is one row of DescribeInstanceTypeOfferings.
type offered struct {
	Type     string `xml:"instanceType"`
	Kind     string `xml:"locationType"`
	Location string `xml:"location"`
}

// describeInstanceTypeOfferings tells where each type is sold: a row for a type and
// a place. Types that are sold nowhere have no row.
func (s *Server) describeInstanceTypeOfferings(p params) (any, error) {
	kind := p.str("LocationType")
	if kind == "" {
		kind = "region"
	}
	var places []string
	zoneOf := map[string]string{}
	switch kind {
	case "region":
		places = []string{s.opts.Region}
	case "availability-zone":
		for _, z := range s.world.Zones {
			places, zoneOf[z.Name] = append(places, z.Name), z.Name
		}
	// Names of zones differ from account to account, their IDs do not: facts that are
	// shared between accounts are asked for by ID.
	case "availability-zone-id":
		for _, z := range s.world.Zones {
			places, zoneOf[z.ID] = append(places, z.ID), z.Name
		}
	default:
		return nil, fail("InvalidParameterValue", "Value (%s) for parameter locationType is invalid", kind)
	}
	var all []offered
	for _, t := range s.types {
		for _, place := range places {
			if kind == "region" || t.sells(zoneOf[place]) {
				all = append(all, offered{t.Name, kind, place})
			}
		}
	}
	all, err := filter(p, all, fields[offered]{
		"instance-type": one(func(o offered) string { return o.Type }),
		"location":      one(func(o offered) string { return o.Location }),
	}, nil)
	if err != nil {
		return nil, err
	}
	all, next, err := page(p, all, func(o offered) string { return o.Type + " " + o.Location }, bounds{5, 1000, 1000})
	if err != nil {
		return nil, err
	}
	return struct {
		Offerings []offered `xml:"instanceTypeOfferingSet>item"`
		Next      string    `xml:"nextToken,omitempty"`
	}{all, next}, nil
}
