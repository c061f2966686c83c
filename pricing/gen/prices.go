package main

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"github.com/stowage-sh/stowage/cloudprovider"
	"github.com/stowage-sh/stowage/cloudprovider/aws"
	"github.com/stowage-sh/stowage/pricing"
)

// priceTables returns the prices of the given types, a table for each region.
func priceTables(instances []instance, types []aws.TypeInfo) ([]*pricing.Table, error) {
	byRegion := map[string]map[cloudprovider.Offering]pricing.MicroUSD{}
	for _, i := range instances {
		at := slices.IndexFunc(types, func(t aws.TypeInfo) bool { return t.Name == i.InstanceType })
		if at < 0 {
			continue
		}
		for _, region := range types[at].Regions {
			if byRegion[region] == nil {
				byRegion[region] = map[cloudprovider.Offering]pricing.MicroUSD{}
			}
			if err := addPrices(byRegion[region], i.InstanceType, i.Pricing[region].Linux); err != nil {
				return nil, fmt.Errorf("%s in %s: %w", i.InstanceType, region, err)
			}
		}
	}
	var tables []*pricing.Table
	for _, region := range slices.Sorted(maps.Keys(byRegion)) {
		tables = append(tables, pricing.NewTable(region, instancesModule.String(), byRegion[region]))
	}
	return tables, nil
}

func addPrices(prices map[cloudprovider.Offering]pricing.MicroUSD, name string, p *linuxPrices) error {
	onDemand, err := pricing.ParseMicroUSD(p.OnDemand)
	if err != nil {
		return fmt.Errorf("on-demand price: %w", err)
	}
	prices[cloudprovider.Offering{InstanceType: name, CapacityType: cloudprovider.OnDemand}] = onDemand
	spot, ok, err := p.spot()
	if err != nil {
		return fmt.Errorf("spot price: %w", err)
	}
	if ok {
		prices[cloudprovider.Offering{InstanceType: name, CapacityType: cloudprovider.Spot}] = spot
	}
	return nil
}

// spot is the one price that stands for all zones of the region: the upper
// median of the zones' prices, else the average that the source has, else none.
func (p *linuxPrices) spot() (price pricing.MicroUSD, ok bool, err error) {
	texts := p.Spot
	if len(texts) == 0 && p.SpotAverage != "" {
		texts = []string{p.SpotAverage}
	}
	if len(texts) == 0 {
		return 0, false, nil
	}
	prices := make([]pricing.MicroUSD, len(texts))
	for i, s := range texts {
		if prices[i], err = pricing.ParseMicroUSD(s); err != nil {
			return 0, false, err
		}
	}
	slices.SortFunc(prices, cmp.Compare[pricing.MicroUSD])
	return prices[len(prices)/2], true, nil
}
