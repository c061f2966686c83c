package aws

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/stowage-sh/stowage/cloudprovider"
)

// A catalogKey identifies what a catalog is made of.
type catalogKey struct {
	stock *stock
	class string // name
	// least is what is known of the memory of nodes.
	least *map[kind]int64
	// content is everything of the class that a catalog depends on.
	content string
}

// Catalog returns what can be bought under a class: its types in the zones that
// it has subnets in. The same catalog comes back until inventory or class say
// something else; of one with reservations all but what is left of them.
func (p *Provider) Catalog(ctx context.Context, ref cloudprovider.NodeClassRef) (*cloudprovider.Catalog, error) {
	class, err := p.Classes.ready(ref)
	if err != nil {
		return nil, err
	}
	return p.catalog(ctx, class)
}

func (p *Provider) catalog(ctx context.Context, c *Class) (*cloudprovider.Catalog, error) {
	stock := p.Inventory.current.Load()
	if stock == nil {
		return nil, errors.New("building a catalog: the instance types of EC2 are not known yet")
	}
	key := catalogKey{stock: stock, class: c.Name, least: p.sightings.least.Load(), content: c.content()}
	catalog, err := p.catalogs.get(ctx, key, func(context.Context) (*cloudprovider.Catalog, error) {
		p.catalogs.keep(func(k catalogKey) bool { return k == key || k.stock == stock && k.class != c.Name })
		return p.build(stock, c, key.least)
	})
	if err != nil {
		return nil, err
	}
	return p.reserved.counted(catalog, c), nil
}

// build makes a catalog of the types that the class has an image for.
func (p *Provider) build(stock *stock, c *Class, least *map[kind]int64) (*cloudprovider.Catalog, error) {
	o := p.Config.Catalog
	o.Region, o.NodeClass, o.Zones, o.Reservations = p.Region, &c.Spec, c.zones(), c.Reservations
	o.PlacementGroup, o.Memory = c.PlacementGroup, c.memoryOf(least)
	catalog, err := BuildCatalog(stock.types, o)
	if err != nil {
		return nil, fmt.Errorf("EC2NodeClass %s: %w", c.Name, err)
	}
	catalog.InstanceTypes = slices.DeleteFunc(catalog.InstanceTypes, func(t cloudprovider.InstanceType) bool {
		_, ok := c.image(t.Labels)
		return !ok
	})
	catalog.Unreadable = stock.unreadable
	return catalog, nil
}

// content writes down what of a class a catalog depends on. The hash covers the
// spec but for the selectors, of which zones and images are what is left.
func (c *Class) content() string {
	out := fmt.Sprint(c.Hash, c.zones())
	for _, i := range c.Images {
		out += fmt.Sprint(i.ID, i.Requirements)
	}
	for i := range c.Reservations {
		r := &c.Reservations[i]
		out += fmt.Sprint(r.offering(), r.ReservationType, r.Interruptible)
	}
	if c.PlacementGroup != nil {
		out += fmt.Sprint(*c.PlacementGroup)
	}
	return out
}
