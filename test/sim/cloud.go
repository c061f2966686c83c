package sim

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/stowage-sh/stowage/cloudprovider"
	"github.com/stowage-sh/stowage/pricing"
	v1 "github.com/stowage-sh/stowage/provisioner/v1"
)

// A Cloud sells machines that join the API as nodes. It is a
// cloudprovider.Provider whose every misbehaviour is a field.
type Cloud struct {
	// Catalogue is what is sold; see the function of that name. Of a reservation it has all
	// machines, also those that are in use; see Reserve.
	Catalogue cloudprovider.Catalog
	// Rate, if set, is what an hour of an offering costs, in place of what Price says.
	Rate func(cloudprovider.InstanceType, cloudprovider.Offering) (micro int64)
	// Empty are the offerings that have run out.
	Empty map[cloudprovider.Offering]bool
	// NotReady, if set, is why no NodeClass can be launched from.
	NotReady string
	// CatalogError, LaunchError and ListError, if set, are returned by those calls.
	CatalogError, LaunchError, ListError error
	// JoinDelay, ReadyDelay and StartupDelay are how long a machine takes to join,
	// a node to become Ready after that, and somebody to take its startup taints
	// off after that.
	JoinDelay, ReadyDelay, StartupDelay time.Duration
	// StopDelay is how long a machine takes to go.
	StopDelay time.Duration
	// ListLag is how long a new machine is missing from List.
	ListLag time.Duration
	// Broken, if set, says which machines never join.
	Broken func(cloudprovider.Instance) bool
	// Devices, if set, says what device plugins report of a node, which the catalogue
	// does not know.
	Devices func(cloudprovider.Offering) cloudprovider.Resources
	// Repairs says which nodes are broken; none at first.
	Repairs []cloudprovider.RepairPolicy
	// Untainted nodes join without the taint that keeps pods away.
	Untainted bool
	// Drifts says of machines, by their ID, that they have drifted.
	Drifts map[string]cloudprovider.Drift
	// Mail is what is said of machines; see Interrupt.
	Mail *Mail

	// Launches counts the machines bought for each NodeClaim's UID.
	Launches map[string]int
	// Ranked are the NodeClaims, by name, whose offerings were asked for in order.
	Ranked map[string]bool
	// Commitments are what Prices says is paid for already.
	Commitments pricing.Commitments
	// Listed counts the calls of List.
	Listed int

	world    *World
	machines []*machine
	byNode   map[string]*machine
}

// A machine is an instance and the node that it became.
type machine struct {
	cloudprovider.Instance
	request cloudprovider.LaunchRequest
	node    string // name of the node; empty until it joined
	ended   time.Time
}

func newCloud(w *World) *Cloud {
	return &Cloud{
		world: w, Mail: &Mail{world: w}, Catalogue: Catalogue(), Empty: map[cloudprovider.Offering]bool{}, Launches: map[string]int{}, Ranked: map[string]bool{}, Drifts: map[string]cloudprovider.Drift{}, byNode: map[string]*machine{},
		JoinDelay: 20 * time.Second, ReadyDelay: 5 * time.Second, StartupDelay: 5 * time.Second, StopDelay: 15 * time.Second,
	}
}

// Zones of the cloud.
var Zones = []string{"zone-a", "zone-b"}

// Catalogue is what a new world's cloud sells: general machines of 2, 4, 8 and 16
// cpus with 4 GiB each, in both zones, as spot and on demand.
func Catalogue() cloudprovider.Catalog {
	c := cloudprovider.Catalog{Region: "region-1", ZoneLabels: map[string]map[string]string{}}
	for _, zone := range Zones {
		c.ZoneLabels[zone] = map[string]string{"topology.k8s.aws/zone-id": zone + "-id"}
	}
	for cpus := int64(2); cpus <= 16; cpus *= 2 {
		t := cloudprovider.InstanceType{
			Name: fmt.Sprintf("general-%02d", cpus),
			Labels: map[string]string{
				corev1.LabelArchStable: "amd64", corev1.LabelOSStable: "linux",
				corev1.LabelInstanceTypeStable:   fmt.Sprintf("general-%02d", cpus),
				"karpenter.k8s.aws/instance-cpu": fmt.Sprint(cpus),
			},
			Capacity:    cloudprovider.Resources{cloudprovider.CPU: cpus * 1000, cloudprovider.Memory: cpus << 32, cloudprovider.Pods: 110, cloudprovider.EphemeralStorage: 20 << 30},
			Allocatable: cloudprovider.Resources{cloudprovider.CPU: cpus*1000 - 100, cloudprovider.Memory: cpus<<32 - 512<<20, cloudprovider.Pods: 110, cloudprovider.EphemeralStorage: 18 << 30},
		}
		for _, zone := range Zones {
			for _, capacityType := range []string{cloudprovider.OnDemand, cloudprovider.Spot} {
				t.Offerings = append(t.Offerings, cloudprovider.Offering{InstanceType: t.Name, Zone: zone, CapacityType: capacityType})
			}
		}
		c.InstanceTypes = append(c.InstanceTypes, t)
	}
	return c
}

// Price is what an hour of an offering costs: 25,000 millionths of a dollar a cpu
// on demand, and 10,000 as spot, a little more in later zones.
func (c *Cloud) Price(o cloudprovider.Offering) (micro int64, ok bool) {
	t, ok := c.Catalogue.InstanceType(o.InstanceType)
	if !ok || !slices.Contains(t.Offerings, o) {
		return 0, false
	}
	if c.Rate != nil {
		return c.Rate(*t, o), true
	}
	perCPU := int64(25_000)
	if o.CapacityType == cloudprovider.Spot {
		perCPU = 10_000
	}
	return t.Capacity[cloudprovider.CPU]/1000*perCPU + int64(slices.Index(Zones, o.Zone)), true
}

// Prices returns a book of all prices. They never change.
func (c *Cloud) Prices() *pricing.Book {
	prices := map[cloudprovider.Offering]pricing.MicroUSD{}
	for _, t := range c.Catalogue.InstanceTypes {
		for _, o := range t.Offerings {
			micro, _ := c.Price(o)
			prices[o] = pricing.MicroUSD(micro)
		}
	}
	return pricing.NewBook(pricing.NewTable(c.Catalogue.Region, "the simulation", prices).WithCommitments(c.Commitments))
}

// Reserve adds a reservation of n machines of an instance type in a zone, and returns the
// offering that takes one of them.
func (c *Cloud) Reserve(name, instanceType, zone string, n int64) cloudprovider.Offering {
	o := cloudprovider.Offering{InstanceType: instanceType, Zone: zone, CapacityType: cloudprovider.Reserved, Reservation: name}
	t, _ := c.Catalogue.InstanceType(instanceType)
	t.Offerings = append(t.Offerings, o)
	slices.SortFunc(t.Offerings, cloudprovider.Offering.Compare)
	if c.Catalogue.Reservations == nil {
		c.Catalogue.Reservations = map[string]cloudprovider.Reservation{}
	}
	c.Catalogue.ReservationLabels = []string{LabelReservation}
	c.Catalogue.Reservations[name] = cloudprovider.Reservation{Offering: o, Left: n, Labels: map[string]string{LabelReservation: name}}
	return o
}

// EndReservation ends a reservation. Its machines run on, on demand.
func (c *Cloud) EndReservation(o cloudprovider.Offering) {
	t, _ := c.Catalogue.InstanceType(o.InstanceType)
	t.Offerings = slices.DeleteFunc(slices.Clone(t.Offerings), func(other cloudprovider.Offering) bool { return other == o })
	delete(c.Catalogue.Reservations, o.Reservation)
	for _, m := range c.machines {
		if m.Offering == o {
			m.Offering.CapacityType, m.Offering.Reservation = cloudprovider.OnDemand, ""
		}
	}
}

// LabelReservation names the reservation that a node is of.
const LabelReservation = "karpenter.k8s.aws/capacity-reservation-id"

// used counts the machines that are taken from a reservation, and not yet given back.
func (c *Cloud) used(reservation string) (n int64) {
	for _, m := range c.machines {
		if m.Offering.Reservation == reservation && m.State != cloudprovider.Terminated {
			n++
		}
	}
	return n
}

// Catalog implements cloudprovider.Provider.
func (c *Cloud) Catalog(_ context.Context, class cloudprovider.NodeClassRef) (*cloudprovider.Catalog, error) {
	if c.CatalogError != nil {
		return nil, c.CatalogError
	}
	if c.NotReady != "" {
		return nil, &cloudprovider.NotReadyError{Class: class, Reason: c.NotReady}
	}
	if len(c.Catalogue.Reservations) == 0 {
		return &c.Catalogue, nil
	}
	now := c.Catalogue
	now.Reservations = map[string]cloudprovider.Reservation{}
	for name, r := range c.Catalogue.Reservations {
		r.Left -= c.used(name)
		now.Reservations[name] = r
	}
	return &now, nil
}

// Launch implements cloudprovider.Provider: it gives the first offering that is
// not empty, and the same machine for the same UID.
func (c *Cloud) Launch(_ context.Context, r cloudprovider.LaunchRequest) (cloudprovider.Instance, error) {
	for _, m := range c.machines {
		if m.request.UID == r.UID && m.State != cloudprovider.Terminated {
			return m.Instance, nil
		}
	}
	if c.LaunchError != nil {
		return cloudprovider.Instance{}, c.LaunchError
	}
	for _, o := range r.Offerings {
		usedUp := o.Reservation != "" && c.used(o.Reservation) >= c.Catalogue.Reservations[o.Reservation].Left
		if !c.Empty[o] && !usedUp {
			return c.launch(r, o), nil
		}
	}
	return cloudprovider.Instance{}, &cloudprovider.InsufficientCapacityError{Offerings: r.Offerings, Err: errors.New("no capacity")}
}

// LaunchAsKarpenter buys a machine for a NodeClaim as Karpenter does: nothing on it
// says which NodeClaim it is for, and launching again gives another.
func (c *Cloud) LaunchAsKarpenter(claim *v1.NodeClaim, o cloudprovider.Offering) cloudprovider.Instance {
	r := cloudprovider.LaunchRequest{
		Claim: claim.Name, NodePool: claim.Labels[v1.LabelNodePool], Labels: claim.Labels,
		Class: cloudprovider.NodeClassRef{Name: claim.Spec.NodeClassRef.Name},
	}
	for _, t := range slices.Concat([]corev1.Taint{v1.UnregisteredTaint()}, claim.Spec.Taints, claim.Spec.StartupTaints) {
		r.Taints = append(r.Taints, cloudprovider.Taint{Key: t.Key, Value: t.Value, Effect: string(t.Effect)})
	}
	m := c.machineOf(c.launch(r, o).ProviderID)
	m.Claim, m.Tags = "", map[string]string{}
	return m.Instance
}

func (c *Cloud) launch(r cloudprovider.LaunchRequest, o cloudprovider.Offering) cloudprovider.Instance {
	m := c.add(r, o)
	c.Launches[r.UID]++
	c.Ranked[r.Claim] = r.Ranked
	c.world.trace("%s launched for %s as %s", m.ID, r.Claim, o)
	if c.Broken == nil || !c.Broken(m.Instance) {
		c.world.After(c.JoinDelay, func() { c.join(m) })
	}
	return m.Instance
}

func (c *Cloud) add(r cloudprovider.LaunchRequest, o cloudprovider.Offering) *machine {
	id := fmt.Sprintf("i-%08d", len(c.machines)+1)
	m := &machine{request: r, Instance: cloudprovider.Instance{
		ID: id, ProviderID: "sim:///" + o.Zone + "/" + id, ImageID: "image-1", Offering: o,
		State: cloudprovider.Running, Launched: c.world.Now, Claim: r.Claim, NodePool: r.NodePool, Class: r.Class.Name,
		Tags: map[string]string{"stowage.sh/nodeclaim-uid": r.UID},
	}}
	c.machines = append(c.machines, m)
	return m
}

// Adopt adds the machine of a NodeClaim that was bought before the world began, and became a node.
func (c *Cloud) Adopt(claim *v1.NodeClaim, o cloudprovider.Offering, node string) cloudprovider.Instance {
	m := c.add(cloudprovider.LaunchRequest{Claim: claim.Name, UID: string(claim.UID), NodePool: claim.Labels[v1.LabelNodePool]}, o)
	m.node = node
	return m.Instance
}

// Terminate implements cloudprovider.Provider.
func (c *Cloud) Terminate(_ context.Context, id string) error {
	for _, m := range c.machines {
		if m.ID != id || m.State != cloudprovider.Running {
			continue
		}
		c.world.kube.checkDrained(m)
		m.State, m.ended = cloudprovider.Stopping, c.world.Now
		c.world.trace("%s is stopping", id)
		c.world.After(c.StopDelay, func() { c.end(m) })
	}
	return nil
}

// Kill ends a machine without being asked to.
func (c *Cloud) Kill(id string) {
	for _, m := range c.machines {
		if m.ID == id {
			c.end(m)
		}
	}
}

func (c *Cloud) end(m *machine) {
	if m.State == cloudprovider.Terminated {
		return
	}
	if m.State == cloudprovider.Running {
		m.ended = c.world.Now
	}
	m.State = cloudprovider.Terminated
	c.world.trace("%s is terminated", m.ID)
	c.world.kube.silence(m.node)
}

// List implements cloudprovider.Provider.
func (c *Cloud) List(context.Context) ([]cloudprovider.Instance, error) {
	c.Listed++
	if c.ListError != nil {
		return nil, c.ListError
	}
	var list []cloudprovider.Instance
	for _, m := range c.machines {
		if m.State != cloudprovider.Terminated && c.world.Now.Sub(m.Launched) >= c.ListLag {
			list = append(list, m.Instance)
		}
	}
	return list, nil
}

// Drift implements cloudprovider.Provider.
func (c *Cloud) Drift(q cloudprovider.DriftQuery) (d cloudprovider.Drift, known bool) {
	if name := q.Instance.Offering.Reservation; name != "" {
		if _, there := c.Catalogue.Reservations[name]; !there {
			return cloudprovider.Drift{Reason: "CapacityReservationDrift"}, c.NotReady == ""
		}
	}
	return c.Drifts[q.Instance.ID], c.NotReady == ""
}

// RepairPolicies says which nodes are broken.
func (c *Cloud) RepairPolicies() []cloudprovider.RepairPolicy { return c.Repairs }

// machineOf finds a machine by its provider ID, nil if there is none.
func (c *Cloud) machineOf(providerID string) *machine {
	for _, m := range c.machines {
		if m.ProviderID == providerID {
			return m
		}
	}
	return nil
}

// Machines returns every machine ever bought, in order.
func (c *Cloud) Machines() []cloudprovider.Instance {
	var all []cloudprovider.Instance
	for _, m := range c.machines {
		all = append(all, m.Instance)
	}
	return all
}

// Alive returns the machines that are paid for.
func (c *Cloud) Alive() []cloudprovider.Instance {
	return slices.DeleteFunc(c.Machines(), func(i cloudprovider.Instance) bool {
		return i.State == cloudprovider.Terminated || i.State == cloudprovider.Stopping
	})
}

// roomOf returns what a node reports that is launched as an offering.
func (c *Cloud) roomOf(o cloudprovider.Offering) (capacity, allocatable cloudprovider.Resources) {
	t, _ := c.Catalogue.InstanceType(o.InstanceType)
	capacity, allocatable = maps.Clone(t.Capacity), maps.Clone(t.Allocatable)
	if c.Devices != nil {
		maps.Copy(capacity, c.Devices(o))
		maps.Copy(allocatable, c.Devices(o))
	}
	return capacity, allocatable
}

// join makes the machine a node: tainted and not ready at first.
func (c *Cloud) join(m *machine) {
	if m.State != cloudprovider.Running {
		return
	}
	capacity, allocatable := c.roomOf(m.Offering)
	node := &corev1.Node{}
	m.node = "node-" + strings.TrimPrefix(m.ID, "i-")
	c.byNode[m.node] = m
	node.Name = m.node
	node.Labels = map[string]string{corev1.LabelHostname: m.node}
	for k, v := range m.request.Labels {
		node.Labels[k] = v
	}
	node.Spec.ProviderID = m.ProviderID
	for _, taint := range m.request.Taints {
		if !c.Untainted || taint.Key != v1.TaintUnregistered {
			node.Spec.Taints = append(node.Spec.Taints, corev1.Taint{Key: taint.Key, Value: taint.Value, Effect: corev1.TaintEffect(taint.Effect)})
		}
	}
	notReady := corev1.Taint{Key: corev1.TaintNodeNotReady, Effect: corev1.TaintEffectNoSchedule}
	node.Spec.Taints = append(node.Spec.Taints, notReady)
	node.Status.Capacity, node.Status.Allocatable = quantities(capacity), quantities(allocatable)
	setReady(node, corev1.ConditionFalse)
	if err := c.world.API.Create(node); err != nil {
		c.world.Fail(fmt.Errorf("joining: %w", err))
	}
	c.world.After(c.ReadyDelay, func() {
		if m.State == cloudprovider.Terminated {
			return
		}
		Update(c.world.API, node, func(n *corev1.Node) {
			setReady(n, corev1.ConditionTrue)
			n.Spec.Taints = dropTaint(n.Spec.Taints, notReady.Key)
		})
	})
	c.world.After(c.ReadyDelay+c.StartupDelay, func() { c.start(m, node) })
}

// start takes the startup taints off, as whoever set the node up would.
func (c *Cloud) start(m *machine, node *corev1.Node) {
	claim, ok := Get[*v1.NodeClaim](c.world.API, "", m.request.Claim)
	if !ok || m.State == cloudprovider.Terminated {
		return
	}
	Update(c.world.API, node, func(n *corev1.Node) {
		for _, t := range claim.Spec.StartupTaints {
			n.Spec.Taints = dropTaint(n.Spec.Taints, t.Key)
		}
	})
}

func dropTaint(taints []corev1.Taint, key string) []corev1.Taint {
	return slices.DeleteFunc(taints, func(t corev1.Taint) bool { return t.Key == key })
}

func setReady(node *corev1.Node, status corev1.ConditionStatus) {
	node.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: status}}
}

func quantities(r cloudprovider.Resources) corev1.ResourceList {
	list := corev1.ResourceList{}
	for name, value := range r {
		if name == cloudprovider.CPU {
			list[corev1.ResourceCPU] = *resource.NewMilliQuantity(value, resource.DecimalSI)
			continue
		}
		list[corev1.ResourceName(name)] = *resource.NewQuantity(value, resource.BinarySI)
	}
	return list
}
