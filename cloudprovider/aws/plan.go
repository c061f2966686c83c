package aws

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/stowage-sh/stowage/cloudprovider"
)

// maxTemplates is how many launch templates one CreateFleet may name.
const maxTemplates = 50

// A launchPlan is a request in EC2's words. The order is the request's.
type launchPlan struct {
	groups []group
	// refused are offerings that the class does not have (any longer): they
	// cannot be asked for. causes says why, one error each.
	refused []cloudprovider.Offering
	causes  []error
}

// A group is one CreateFleet: offerings of one capacity type, or of one reservation, of one tenancy, in
// one placement.
type group struct {
	capacityType string
	// reservation that the instance is to come from; nil unless the capacity type is
	// reserved. EC2's answer does not name it: so a fleet has but one.
	reservation *Reservation
	// tenancy and place as in the Offering: EC2 refuses a fleet with two overrides of one type and
	// zone, and its answer names neither the tenancy nor the partition.
	tenancy    string
	place      string
	ranked     bool // as in cloudprovider.LaunchRequest
	templates  []template
	placements []placement
}

// A placement is an offering with all that EC2 has to be told.
type placement struct {
	offering cloudprovider.Offering
	subnet   Subnet
	image    Image
	// reservation as in the group.
	reservation *Reservation
	// template is an index into the group's templates.
	template int
	// pods the node holds, each of which will want an address.
	pods int64
	// efas that the machine is to have: all of its type, where pods ask for any.
	efas int64
	// efaCard is the first network card that has one.
	efaCard int32
}

// plan translates r's offerings. It sorts nothing.
func (p *Provider) plan(ctx context.Context, c *Class, r cloudprovider.LaunchRequest) (launchPlan, error) {
	if len(r.Offerings) == 0 {
		return launchPlan{}, errors.New("the request has no offerings")
	}
	catalog, err := p.catalog(ctx, c)
	if err != nil {
		return launchPlan{}, err
	}
	var out launchPlan
	type key struct {
		image, capacityType, reservation, tenancy, place string
		pods, efas                                       int64
		efaCard                                          int32
	}
	made := map[key]template{}
	subnets := p.addresses.subnetOf(c)
	seen := map[cloudprovider.Offering]bool{}
	for _, o := range r.Offerings {
		if seen[o] {
			continue // EC2 refuses a fleet that names one pool twice
		}
		seen[o] = true
		pl, cause := place(c, catalog, subnets, r, o)
		if cause != nil {
			out.refused, out.causes = append(out.refused, o), append(out.causes, cause)
			continue
		}
		if pl.efas > 0 {
			pl.efaCard = p.efaCard(o.InstanceType)
		}
		k := key{pl.image.ID, o.CapacityType, o.Reservation, o.Tenancy, o.Placement, pl.pods, pl.efas, pl.efaCard}
		t, ok := made[k]
		if !ok {
			if t, err = p.template(c, r, pl); err != nil {
				return launchPlan{}, err
			}
			made[k] = t
		}
		out.add(t, pl)
	}
	for i := range out.groups {
		out.groups[i].ranked = r.Ranked
	}
	return out, nil
}

// place finds subnet and image for an offering of a request.
func place(c *Class, catalog *cloudprovider.Catalog, subnets map[string]Subnet, r cloudprovider.LaunchRequest, o cloudprovider.Offering) (placement, error) {
	reservation, known := c.reservation(o.Reservation)
	switch {
	case !c.PlacementGroup.holds(o):
		return placement{}, fmt.Errorf("%s: EC2NodeClass %s does not have the placement group, or not with this tenancy", o, c.Name)
	case o.CapacityType == cloudprovider.Reserved && (!known || c.PlacementGroup.place(reservation.offering())[0] != o):
		return placement{}, fmt.Errorf("%s: EC2NodeClass %s does not have the capacity reservation", o, c.Name)
	case !slices.Contains([]string{cloudprovider.OnDemand, cloudprovider.Spot, cloudprovider.Reserved}, o.CapacityType):
		return placement{}, fmt.Errorf("%s: capacity type %s is not understood", o, o.CapacityType)
	}
	it, ok := catalog.InstanceType(o.InstanceType)
	if !ok {
		return placement{}, fmt.Errorf("%s: EC2NodeClass %s does not have the instance type", o, c.Name)
	}
	subnet, ok := subnets[o.Zone]
	if !ok {
		return placement{}, fmt.Errorf("%s: EC2NodeClass %s has no subnet in the zone", o, c.Name)
	}
	image, ok := c.image(it.Labels)
	if !ok {
		return placement{}, fmt.Errorf("%s: EC2NodeClass %s has no image for the instance type", o, c.Name)
	}
	pl := placement{offering: o, subnet: subnet, image: image, reservation: reservation, pods: it.Capacity[cloudprovider.Pods]}
	if slices.Contains(r.Extended, resourceEFA) {
		pl.efas = it.Capacity[resourceEFA]
	}
	return pl, nil
}

// add puts a placement into the last group, or begins another where capacity type, reservation
// or tenancy change or the group is full. The partitions of a placement group take
// turns in the order of a request: each has a group of its own among the last ones.
func (l *launchPlan) add(t template, pl placement) {
	empty := group{capacityType: pl.offering.CapacityType, reservation: pl.reservation, tenancy: pl.offering.Tenancy, place: pl.offering.Placement}
	last := len(l.groups) - 1
	for last >= 0 && l.groups[last].like(&empty) && l.groups[last].place != empty.place {
		last--
	}
	if last < 0 || !l.groups[last].like(&empty) {
		l.groups = append(l.groups, empty)
		last = len(l.groups) - 1
	}
	g := &l.groups[last]
	for i := range g.templates {
		if g.templates[i].name == t.name {
			pl.template = i
			g.placements = append(g.placements, pl)
			return
		}
	}
	if len(g.templates) == maxTemplates {
		l.groups = append(l.groups, empty)
		g = &l.groups[len(l.groups)-1]
	}
	pl.template = len(g.templates)
	g.templates = append(g.templates, t)
	g.placements = append(g.placements, pl)
}

// like reports whether two groups differ in nothing but the placement.
func (g *group) like(other *group) bool {
	return g.capacityType == other.capacityType && g.reservation == other.reservation && g.tenancy == other.tenancy
}

// offerings lists the group's, in order.
func (g group) offerings() []cloudprovider.Offering {
	out := make([]cloudprovider.Offering, 0, len(g.placements))
	for _, pl := range g.placements {
		out = append(out, pl.offering)
	}
	return out
}
