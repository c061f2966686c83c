package aws

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"sync/atomic"

	corev1 "k8s.io/api/core/v1"

	"github.com/stowage-sh/stowage/cloudprovider"
	v1 "github.com/stowage-sh/stowage/cloudprovider/aws/v1"
)

// A Class is an EC2NodeClass with everything that its selectors stand for. It is
// an immutable value: a new one replaces it, and nobody writes to its slices.
type Class struct {
	// Name and UID of the EC2NodeClass.
	Name, UID string
	// Hash of the spec's static half, as in the annotation ec2nodeclass-hash.
	Hash string
	// Spec as it was when the Class was resolved.
	Spec v1.EC2NodeClassSpec
	// Subnets in order of zone and ID.
	Subnets []Subnet
	// SecurityGroups are IDs, sorted.
	SecurityGroups []string
	// Images in order of preference: the first that a type satisfies is used.
	Images []Image
	// Reservations in order of their IDs.
	Reservations []Reservation
	// PlacementGroup that all instances are launched into; nil for none.
	PlacementGroup *PlacementGroup
	// InstanceProfile is a name.
	InstanceProfile string
	// NotReady says why nothing can be launched from the class; "" if it can.
	NotReady string
}

// A Subnet is a place for nodes.
type Subnet struct {
	ID, Zone, ZoneID string
	// FreeAddresses it had when the class was resolved.
	FreeAddresses int64
}

// An Image is an AMI and the instance types it is for.
type Image struct {
	ID, Name string
	// Requirements on the labels of an instance type, all of which must hold.
	Requirements []corev1.NodeSelectorRequirement
}

// zones lists the zones that have a subnet, by name.
func (c *Class) zones() []Zone {
	var zones []Zone
	for _, s := range c.Subnets {
		zones = append(zones, Zone{Name: s.Zone, ID: s.ZoneID})
	}
	slices.SortFunc(zones, func(a, b Zone) int { return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.ID, b.ID)) })
	return slices.Compact(zones)
}

// image returns the image for an instance type with the given labels.
func (c *Class) image(labels map[string]string) (Image, bool) {
	for _, i := range c.Images {
		if i.suits(labels) {
			return i, true
		}
	}
	return Image{}, false
}

// suits reports whether labels satisfy all of i's requirements. An operator
// that it does not know is never satisfied.
func (i Image) suits(labels map[string]string) bool {
	for _, r := range i.Requirements {
		value, has := labels[r.Key]
		in := has && slices.Contains(r.Values, value)
		ok := false
		switch r.Operator {
		case corev1.NodeSelectorOpIn:
			ok = in
		case corev1.NodeSelectorOpNotIn:
			ok = !in
		case corev1.NodeSelectorOpExists:
			ok = has
		case corev1.NodeSelectorOpDoesNotExist:
			ok = !has
		}
		if !ok {
			return false
		}
	}
	return true
}

// Classes holds the resolved classes by name. Readers take no lock: what they
// read is immutable and replaced as a whole.
//
// A class that does not exist and one that this process has not resolved yet are
// different things: the first ends a claim, the second must not, since the claim
// may have its instance already. So a name is waited for until Begin has told
// which classes there are. The zero value is empty and waits for every name.
type Classes struct {
	current atomic.Pointer[registry]
}

type registry struct {
	begun   bool
	awaited map[string]bool // exist, and were not resolved yet
	byName  map[string]*Class
}

// Begin says which classes exist when this process begins to act. Any other
// name stands for nothing, until it is Put.
func (c *Classes) Begin(names ...string) {
	c.edit(func(r *registry) {
		r.begun = true
		for _, name := range names {
			if _, ok := r.byName[name]; !ok {
				r.awaited[name] = true
			}
		}
	})
}

// Put stores a class under its name, in place of what was there.
func (c *Classes) Put(class *Class) {
	c.edit(func(r *registry) {
		r.byName[class.Name] = class
		delete(r.awaited, class.Name)
	})
}

// Delete forgets the class of that name: it does not exist.
func (c *Classes) Delete(name string) {
	c.edit(func(r *registry) {
		delete(r.byName, name)
		delete(r.awaited, name)
	})
}

func (c *Classes) edit(change func(*registry)) {
	for {
		old := c.current.Load()
		next := &registry{awaited: map[string]bool{}, byName: map[string]*Class{}}
		if old != nil {
			*next = registry{old.begun, maps.Clone(old.awaited), maps.Clone(old.byName)}
		}
		change(next)
		if c.current.CompareAndSwap(old, next) {
			return
		}
	}
}

// Get returns the class of that name, ready or not.
func (c *Classes) Get(name string) (*Class, bool) {
	r := c.current.Load()
	if r == nil {
		return nil, false
	}
	class, ok := r.byName[name]
	return class, ok
}

// ready returns the class that ref names, or *cloudprovider.NotReadyError, or
// another error if the class has to be waited for.
func (c *Classes) ready(ref cloudprovider.NodeClassRef) (*Class, error) {
	if ref.Group != v1.Group || ref.Kind != v1.Kind {
		return nil, &cloudprovider.NotReadyError{Class: ref, Reason: "not a NodeClass of this cloud: want " + v1.Kind + "." + v1.Group}
	}
	if class, ok := c.Get(ref.Name); ok {
		if class.NotReady != "" {
			return nil, &cloudprovider.NotReadyError{Class: ref, Reason: class.NotReady}
		}
		return class, nil
	}
	if r := c.current.Load(); r == nil || !r.begun || r.awaited[ref.Name] {
		return nil, fmt.Errorf("%s was not resolved yet since the controller started", ref)
	}
	return nil, &cloudprovider.NotReadyError{Class: ref, Reason: "it does not exist, or was not seen yet"}
}

// SortSubnets puts subnets into the order of Class.Subnets.
func SortSubnets(subnets []Subnet) {
	slices.SortFunc(subnets, func(a, b Subnet) int { return cmp.Or(cmp.Compare(a.Zone, b.Zone), cmp.Compare(a.ID, b.ID)) })
}
