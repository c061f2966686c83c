package ec2sim

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// A World is what an account holds before anything is launched. Start copies it.
type World struct {
	// VPC is the ID of the only one.
	VPC string
	// Zones of the region, and Subnets, each in one of them. The sizes of subnets
	// limit how many instances there can be.
	Zones          []Zone
	Subnets        []Subnet
	SecurityGroups []SecurityGroup
	// Images of the account and of others that it may use.
	Images []Image
	// Reservations of capacity; see Server.Reserve.
	Reservations []CapacityReservation
	// ReservedInstances and SavingsPlans of the account; see Server.Commit.
	ReservedInstances []ReservedInstances
	SavingsPlans      []SavingsPlan
	// PlacementGroups of the account.
	PlacementGroups []PlacementGroup
	// Roles that an instance profile may hold, by name.
	Roles []string
	// Profiles are the instance profiles that exist, by name, with their role.
	Profiles map[string]string
}

// A Zone is an availability zone, by the name that the account uses and by the ID
// that all accounts share.
type Zone struct{ Name, ID string }

// A Subnet is where instances get their addresses.
type Subnet struct {
	ID, Zone string
	// CIDR is IPv4. Five of its addresses are the network's own.
	CIDR netip.Prefix
	// Public subnets map a public address at launch.
	Public bool
	Tags   map[string]string
}

// A SecurityGroup is known to instances by its ID.
type SecurityGroup struct {
	ID, Name string
	Tags     map[string]string
}

// A Bootstrap is how an image reads user data at its first boot.
type Bootstrap string

// The bootstraps that are simulated.
const (
	// NodeADM is that of AL2023: NodeConfig documents, alone or as MIME parts.
	NodeADM Bootstrap = "nodeadm"
	// Script is that of AL2: cloud-init runs user data as a shell script, or the
	// scripts of a MIME archive, and the node joins when one calls
	// /etc/eks/bootstrap.sh.
	Script Bootstrap = "script"
	// Settings is that of Bottlerocket: user data is TOML.
	Settings Bootstrap = "settings"
	// PowerShell is that of Windows: what stands between <powershell> tags is run,
	// and the node joins when it calls Start-EKSBootstrap.ps1.
	PowerShell Bootstrap = "powershell"
)

// An Image is a machine image (AMI).
type Image struct {
	ID, Name string
	// Owner is "amazon", or an account number.
	Owner string
	// Arch as Kubernetes spells it: amd64 or arm64.
	Arch       string
	Created    time.Time
	Deprecated bool
	Tags       map[string]string
	Bootstrap  Bootstrap
	// WindowsBuild is the value of node.kubernetes.io/windows-build; empty for Linux.
	WindowsBuild string
	// Variant is standard, nvidia or neuron; only nvidia and neuron images have
	// the device plugins' drivers.
	Variant string
	// Parameter is the SSM parameter that names the image; empty for none.
	Parameter string
}

// NewWorld returns a VPC with three zones and a private subnet in each, a security
// group, AL2023 images for both architectures and three variants, an older and
// a deprecated one, images of Bottlerocket, of Windows and of AL2 as far as there
// are any for the version, two images of the account's own, a role named
// "<cluster>-node" and an instance profile of the same name. Subnets and group are
// tagged karpenter.sh/discovery=<cluster>; the own images are tagged Name=custom.
func NewWorld(region string, cluster Cluster) *World {
	name := cmp.Or(cluster.Name, "test")
	found := map[string]string{"karpenter.sh/discovery": name, "kubernetes.io/cluster/" + name: "owned"}
	w := &World{
		VPC:            "vpc-0a1b2c3d4e5f60718",
		SecurityGroups: []SecurityGroup{{ID: "sg-0f1e2d3c4b5a69788", Name: name + "-node", Tags: found}},
		Roles:          []string{name + "-node"},
		Profiles:       map[string]string{name + "-node": name + "-node"},
		Images:         images(cmp.Or(cluster.Version, "1.36")),
	}
	for i, letter := range []string{"a", "b", "c"} {
		w.Zones = append(w.Zones, Zone{Name: region + letter, ID: fmt.Sprintf("%s-az%d", zoneIDPrefix(region), i+1)})
		w.Subnets = append(w.Subnets, Subnet{
			ID:   fmt.Sprintf("subnet-0%d1c2d3e4f5061728", i+1),
			Zone: region + letter,
			CIDR: netip.MustParsePrefix(fmt.Sprintf("10.0.%d.0/19", 32*(i+1))),
			Tags: found,
		})
	}
	return w
}

// zoneIDPrefix shortens a region as zone IDs do: us-west-2 is usw2, eu-central-1
// euc1, ap-southeast-2 apse2.
func zoneIDPrefix(region string) string {
	parts := strings.Split(region, "-")
	short := map[string]string{"northeast": "ne", "northwest": "nw", "southeast": "se", "southwest": "sw"}
	out := parts[0]
	for _, p := range parts[1:] {
		if s, ok := short[p]; ok {
			out += s
		} else {
			out += p[:1]
		}
	}
	return out
}

// clone copies w as deep as the server changes it.
func (w *World) clone() *World {
	c := *w
	c.Subnets = slices.Clone(w.Subnets)
	c.Reservations = slices.Clone(w.Reservations)
	c.Images = slices.Clone(w.Images)
	c.SecurityGroups = slices.Clone(w.SecurityGroups)
	return &c
}

// zone finds a zone by name.
func (w *World) zone(name string) (Zone, bool) {
	i := slices.IndexFunc(w.Zones, func(z Zone) bool { return z.Name == name })
	if i < 0 {
		return Zone{}, false
	}
	return w.Zones[i], true
}

// subnet finds a subnet by ID.
func (w *World) subnet(id string) (Subnet, bool) {
	i := slices.IndexFunc(w.Subnets, func(s Subnet) bool { return s.ID == id })
	if i < 0 {
		return Subnet{}, false
	}
	return w.Subnets[i], true
}

// image finds an image by ID.
func (w *World) image(id string) (Image, bool) {
	i := slices.IndexFunc(w.Images, func(m Image) bool { return m.ID == id })
	if i < 0 {
		return Image{}, false
	}
	return w.Images[i], true
}

// group says whether there is a security group of the ID.
func (w *World) group(id string) bool {
	return slices.ContainsFunc(w.SecurityGroups, func(g SecurityGroup) bool { return g.ID == id })
}
