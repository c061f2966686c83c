// Package cloudprovider says what a cloud is to a provisioner: a catalog of
// offerings, and what can be done with instances and said of them. It decides
// nothing: what to launch was decided by the plan, and comes in order of
// preference.
//
// It holds values and one interface. It knows no Kubernetes client and no
// particular cloud; package aws below it is the one that exists.
package cloudprovider

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// The capacity types, as the label karpenter.sh/capacity-type spells them.
const (
	OnDemand = "on-demand"
	Spot     = "spot"
	Reserved = "reserved"
)

// Dedicated is the tenancy of machines on hardware that no other account's machines are on.
const Dedicated = "dedicated"

// An Offering is one thing that can be bought: an instance type, in a zone, as
// a capacity type. It is comparable, so it is its own map key.
type Offering struct {
	InstanceType, Zone, CapacityType string
	// Reservation names the one that the machine is taken from, where the capacity
	// type is reserved: there may be several for an instance type in a zone.
	Reservation string
	// Tenancy is Dedicated, or empty for hardware that is shared.
	Tenancy string
	// Placement names where among the cloud's hardware the machine stands, where that was
	// asked for: another placement may run out while this one does not.
	Placement string
}

// String returns "type/zone/capacity type", and "/reservation", "+tenancy" and "@placement" if
// there is one: the form of ParseOffering.
func (o Offering) String() string {
	s := o.InstanceType + "/" + o.Zone + "/" + o.CapacityType
	if o.Reservation != "" {
		s += "/" + o.Reservation
	}
	if o.Tenancy != "" {
		s += "+" + o.Tenancy
	}
	if o.Placement != "" {
		s += "@" + o.Placement
	}
	return s
}

// Compare orders offerings by instance type, zone, capacity type, reservation, tenancy and placement.
func (o Offering) Compare(p Offering) int {
	return cmp.Or(cmp.Compare(o.InstanceType, p.InstanceType), cmp.Compare(o.Zone, p.Zone),
		cmp.Compare(o.CapacityType, p.CapacityType), cmp.Compare(o.Reservation, p.Reservation),
		cmp.Compare(o.Tenancy, p.Tenancy), cmp.Compare(o.Placement, p.Placement))
}

// ParseOffering reads what String writes.
func ParseOffering(s string) (Offering, error) {
	what, placement, placed := strings.Cut(s, "@")
	what, tenancy, alone := strings.Cut(what, "+")
	parts := strings.Split(what, "/")
	switch {
	case slices.Contains(parts, "") || placed && placement == "" || alone && tenancy != Dedicated:
	case len(parts) == 3:
		return Offering{InstanceType: parts[0], Zone: parts[1], CapacityType: parts[2], Tenancy: tenancy, Placement: placement}, nil
	case len(parts) == 4 && parts[2] == Reserved:
		return Offering{parts[0], parts[1], parts[2], parts[3], tenancy, placement}, nil
	}
	return Offering{}, fmt.Errorf("offering %q is not of the form type/zone/capacityType, nor type/zone/%s/reservation, either with +%s and @placement after it", s, Reserved, Dedicated)
}

// Resources are quantities by Kubernetes resource name: cpu in millicores,
// memory and ephemeral storage in bytes, everything else counted.
type Resources map[string]int64

// The resource names that every instance type has.
const (
	CPU              = "cpu"
	Memory           = "memory"
	EphemeralStorage = "ephemeral-storage"
	Pods             = "pods"
)

// An InstanceType is what a machine of one type is to Kubernetes under one
// NodeClass. It is immutable and shared.
type InstanceType struct {
	Name string
	// Labels are those that every node of the type carries, with their values:
	// kubernetes.io/arch, karpenter.k8s.aws/instance-cpu and so on. Labels that
	// differ by offering (zone, capacity type) are not here.
	Labels map[string]string
	// Capacity is what the node will report; Allocatable what is left of it for
	// pods after kubelet's and the system's reservations and eviction thresholds.
	Capacity, Allocatable Resources
	// VolumeLimits says how many volumes a node is expected to be able to attach, by CSI
	// driver, if nothing better is known. A driver that is not there has no limit.
	VolumeLimits map[string]int64
	// OnRequest names the extended resources that a machine has only if it is started with them: see
	// LaunchRequest.Extended and StartedFor.
	OnRequest []string
	// Impossible names the extended resources that no machine of the type can have, whatever anybody says of the type.
	Impossible []string
	// Offerings lists where and how the type can be had, in order.
	Offerings []Offering
}

// StartedFor returns what a machine of the type is that is started for a load which asks for some extended
// resources: without those that it has on request and that nobody asks for.
func (t *InstanceType) StartedFor(extended []string) *InstanceType {
	lacks := func(name string, _ int64) bool {
		return slices.Contains(t.OnRequest, name) && !slices.Contains(extended, name)
	}
	without := *t
	without.Capacity, without.Allocatable = maps.Clone(t.Capacity), maps.Clone(t.Allocatable)
	maps.DeleteFunc(without.Capacity, lacks)
	maps.DeleteFunc(without.Allocatable, lacks)
	if len(without.Capacity) == len(t.Capacity) && len(without.Allocatable) == len(t.Allocatable) {
		return t
	}
	return &without
}

// A Catalog is what can be bought under one NodeClass at one time, by name. It
// is an immutable value: a new one replaces it.
type Catalog struct {
	InstanceTypes []InstanceType
	// Region is the value of topology.kubernetes.io/region.
	Region string
	// ZoneLabels maps a zone to the labels that hang on it besides its name, as
	// topology.k8s.aws/zone-id does; nil where the cloud has none.
	ZoneLabels map[string]map[string]string
	// Reservations that offerings of the capacity type reserved are of, by their names;
	// nil where there are none. One that is used up is still there.
	Reservations map[string]Reservation
	// ReservationLabels are the keys of the labels that nodes have from their reservation.
	ReservationLabels []string
	// Placements are the labels that nodes have from their placement, by its name; nil where
	// nobody asked for any. PlacementLabels are their keys, wherever there may be some.
	Placements      map[string]map[string]string
	PlacementLabels []string
	// Tenancies are the labels that nodes have from the tenancy of their machine, by its name, in
	// place of those of the instance type; nil where there is none to choose.
	Tenancies map[string]map[string]string
	// LabelAliases maps the keys of labels that others will write on a node, once it has
	// joined, to those that have the same value: a CSI driver has its own name for the zone.
	LabelAliases map[string]string
	// Unreadable names the instance types, sorted, that the cloud has and that are not
	// listed because what it says of them could not be read.
	Unreadable []string
	// LabelDomains are the domains of labels whose values are the cloud's to
	// say: a NodePool that requires one narrows the offerings, and never puts
	// the label on a node itself.
	LabelDomains []string
}

// A Reservation is a number of machines that are paid for whether they run or not.
type Reservation struct {
	// Offering that takes a machine from it.
	Offering Offering
	// Left is how many machines can still be taken, as far as is known. What was
	// launched is taken off; NodeClaims that are yet to be launched are not.
	Left int64
	// Labels of every node from it.
	Labels map[string]string
}

// OfferingLabels returns the labels, beside the names of zone and capacity type, that
// come with an offering and not with its instance type. It is the caller's own.
func (c *Catalog) OfferingLabels(o Offering) map[string]string {
	labels := map[string]string{}
	maps.Copy(labels, c.ZoneLabels[o.Zone])
	maps.Copy(labels, c.BoughtLabels(o))
	return labels
}

// BoughtLabels returns the labels that come with an offering's reservation, tenancy and placement. It
// is shared: nobody may write to it.
func (c *Catalog) BoughtLabels(o Offering) map[string]string {
	bought, shared := c.Reservations[o.Reservation].Labels, true
	for _, more := range []map[string]string{c.Tenancies[o.Tenancy], c.Placements[o.Placement]} {
		switch {
		case len(more) == 0:
			continue
		case len(bought) == 0:
			bought = more
			continue
		case shared:
			bought, shared = maps.Clone(bought), false
		}
		maps.Copy(bought, more)
	}
	return bought
}

// InstanceType finds an instance type by name in O(log n).
func (c *Catalog) InstanceType(name string) (*InstanceType, bool) {
	i, ok := slices.BinarySearchFunc(c.InstanceTypes, name, func(t InstanceType, n string) int { return cmp.Compare(t.Name, n) })
	if !ok {
		return nil, false
	}
	return &c.InstanceTypes[i], true
}

// A NodeClassRef names a NodeClass: group, kind and name.
type NodeClassRef struct{ Group, Kind, Name string }

// String returns "kind.group/name".
func (r NodeClassRef) String() string { return r.Kind + "." + r.Group + "/" + r.Name }

// A Taint as it is written on a node.
type Taint struct{ Key, Value, Effect string }

// A LaunchRequest carries a decision already made.
type LaunchRequest struct {
	// Claim is the idempotency key, the NodeClaim's name; UID tells it from an
	// earlier NodeClaim of that name. Launching a claim twice gives one instance.
	Claim, UID string
	Class      NodeClassRef
	// NodePool that the claim belongs to; empty for one made by hand.
	NodePool string
	// Offerings that hold the load, cheapest first. The cloud gives one of them.
	Offerings []Offering
	// Ranked tells that their order follows from other prices than the cloud's: of
	// those that can be had the first is wanted, and not what the cloud calls cheap.
	Ranked bool
	// Extended names the extended resources that the load asks for: some are there only if
	// the machine is started with them.
	Extended []string
	// Labels and Taints that the node is to register with, startup taints and
	// karpenter.sh/unregistered included.
	Labels map[string]string
	Taints []Taint
	// Group of claims that the claim is one of, if it is of any: a cloud may buy for all of
	// them at once.
	Group LaunchGroup
}

// A LaunchGroup is a number of claims that were decided on together and are alike in all that
// a launch depends on. Which claim is of which group never changes, so a launch that is repeated
// after a restart is repeated for the same group. The zero value is none.
type LaunchGroup struct {
	// ID is like no other group's, ever. It has no slash.
	ID string
	// Index of the claim, from 0, below Size, which is the number of claims. Some of them may
	// be gone, or never come.
	Index, Size int
}

// An Instance is a machine that was bought.
type Instance struct {
	ID         string // the cloud's own: i-0123…
	ProviderID string // as in Node.spec.providerID
	ImageID    string
	Offering   Offering
	State      InstanceState
	Launched   time.Time
	// Claim and NodePool are the names from the instance's tags.
	Claim, NodePool string
	// SubnetID and SecurityGroupIDs, sorted, are as List has them; empty where it does
	// not say, and in what Launch returns.
	SubnetID         string
	SecurityGroupIDs []string
	// Annotations are for the NodeClaim: what Drift has to know later of the NodeClass
	// that the instance was launched from.
	Annotations map[string]string
	// Tags as the cloud has them.
	Tags map[string]string
	// Class is the NodeClass's name from the tags. Karpenter writes it, too; Claim only
	// once the node has joined.
	Class string
}

// An InstanceState is where an instance is in its life.
type InstanceState string

// The states of an instance. Stopped ones are gone to us: nodes never stop.
const (
	Pending    InstanceState = "pending"
	Running    InstanceState = "running"
	Stopping   InstanceState = "stopping"
	Terminated InstanceState = "terminated"
)

// A Provider is a cloud. Every method may be called by many goroutines at once,
// and none holds a lock while it waits for the network.
type Provider interface {
	// Catalog returns what can be bought under a NodeClass, without regard to
	// prices and to offerings that ran out. The error is *NotReadyError when
	// the NodeClass is not resolved yet.
	Catalog(ctx context.Context, class NodeClassRef) (*Catalog, error)
	// Launch buys one of r.Offerings. The error is *InsufficientCapacityError
	// when none of them could be had, *NotReadyError when the NodeClass is gone
	// or not resolved.
	Launch(ctx context.Context, r LaunchRequest) (Instance, error)
	// Terminate gives an instance back. It is not an error if it is gone.
	Terminate(ctx context.Context, id string) error
	// List returns the cluster's instances that are not yet terminated, by ID.
	List(ctx context.Context) ([]Instance, error)
	// Drift says whether an instance is no longer what its NodeClass asks for. It
	// makes no call and compares what is known already. Where known is false, that is
	// not enough, and nothing is to be concluded either way.
	Drift(q DriftQuery) (d Drift, known bool)
}

// A DriftQuery is what Drift looks at.
type DriftQuery struct {
	// Class that the NodeClaim names.
	Class NodeClassRef
	// Instance as List returned it.
	Instance Instance
	// Annotations of the NodeClaim; see Instance.Annotations.
	Annotations map[string]string
	// Type is the instance's type as the catalog of Class has it; nil where it has none.
	Type *InstanceType
}

// A Drift is one thing in which a node is no longer what is asked for. The zero
// value means that it has not drifted, as far as is known.
type Drift struct {
	// Reason is one word, as in the NodeClaim's condition Drifted.
	Reason string
	// Message says what differs, for users.
	Message string
}

// A RepairPolicy says that a node is broken whose condition of a type has had a
// status for longer than the toleration.
type RepairPolicy struct {
	ConditionType, ConditionStatus string
	Toleration                     time.Duration
}

// An InsufficientCapacityError says that a cloud had none of some offerings.
type InsufficientCapacityError struct {
	Offerings []Offering // those that were refused, in order
	Err       error      // what the cloud said
}

// Error lists the first offering and the number of others.
func (e *InsufficientCapacityError) Error() string {
	if len(e.Offerings) == 0 {
		return fmt.Sprintf("insufficient capacity: %v", e.Err)
	}
	return fmt.Sprintf("insufficient capacity for %s and %d other offering(s): %v", e.Offerings[0], len(e.Offerings)-1, e.Err)
}

// Unwrap returns what the cloud said.
func (e *InsufficientCapacityError) Unwrap() error { return e.Err }

// A NotReadyError says that a NodeClass cannot be launched from now.
type NotReadyError struct {
	Class  NodeClassRef
	Reason string // the condition that is not true, and its message
}

// Error names the NodeClass and the reason.
func (e *NotReadyError) Error() string {
	return fmt.Sprintf("%s is not ready: %s", e.Class, e.Reason)
}
