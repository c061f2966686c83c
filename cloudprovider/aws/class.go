package aws

import (
	"cmp"
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

// zones lists the zones that have a subnet, sorted.
func (c *Class) zones() []string {
	set := map[string]bool{}
	for _, s := range c.Subnets {
		set[s.Zone] = true
	}
	return slices.Sorted(maps.Keys(set))
}

// zoneIDs maps each zone to its ID, which is the same in every account.
func (c *Class) zoneIDs() map[string]string {
	ids := map[string]string{}
	for _, s := range c.Subnets {
		ids[s.Zone] = s.ZoneID
	}
	return ids
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

// Classes holds the resolved classes by name. Readers take no lock: the map is
// immutable and replaced as a whole. The zero value is empty.
type Classes struct {
	current atomic.Pointer[map[string]*Class]
}

// Put stores c under its name, in place of what was there.
func (r *Classes) Put(c *Class) {
	r.edit(func(m map[string]*Class) { m[c.Name] = c })
}

// Delete forgets the class of that name.
func (r *Classes) Delete(name string) {
	r.edit(func(m map[string]*Class) { delete(m, name) })
}

func (r *Classes) edit(change func(map[string]*Class)) {
	for {
		old := r.current.Load()
		next := map[string]*Class{}
		if old != nil {
			next = maps.Clone(*old)
		}
		change(next)
		if r.current.CompareAndSwap(old, &next) {
			return
		}
	}
}

// Get returns the class of that name, ready or not.
func (r *Classes) Get(name string) (*Class, bool) {
	m := r.current.Load()
	if m == nil {
		return nil, false
	}
	c, ok := (*m)[name]
	return c, ok
}

// ready returns the class that ref names, or *cloudprovider.NotReadyError.
func (r *Classes) ready(ref cloudprovider.NodeClassRef) (*Class, error) {
	if ref.Group != v1.Group || ref.Kind != v1.Kind {
		return nil, &cloudprovider.NotReadyError{Class: ref, Reason: "not a NodeClass of this cloud: want " + v1.Kind + "." + v1.Group}
	}
	c, ok := r.Get(ref.Name)
	if !ok {
		return nil, &cloudprovider.NotReadyError{Class: ref, Reason: "it does not exist, or was not resolved yet"}
	}
	if c.NotReady != "" {
		return nil, &cloudprovider.NotReadyError{Class: ref, Reason: c.NotReady}
	}
	return c, nil
}

// SortSubnets puts subnets into the order of Class.Subnets.
func SortSubnets(subnets []Subnet) {
	slices.SortFunc(subnets, func(a, b Subnet) int { return cmp.Or(cmp.Compare(a.Zone, b.Zone), cmp.Compare(a.ID, b.ID)) })
}
