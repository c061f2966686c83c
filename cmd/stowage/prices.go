package main

import (
	"context"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	awspricing "github.com/aws/aws-sdk-go-v2/service/pricing"

	"github.com/stowage-sh/stowage/pricing"
)

// newPrices opens the price book: with what is in the binary and in files. It is refreshed from the cloud.
func (c *cloud) newPrices(ctx context.Context, cfg sdk.Config, s *settings) error {
	table, err := pricing.Embedded(c.region)
	if err != nil {
		return err
	}
	var sources []pricing.Source
	list := awspricing.NewFromConfig(cfg, func(o *awspricing.Options) { o.Region = pricing.PriceListRegion(c.region) })
	for _, system := range []pricing.System{pricing.Linux, pricing.Windows} {
		sources = append(sources, pricing.Spot{Client: c.ec2, Region: c.region, System: system, Window: s.spotPriceWindow, Deviations: s.spotPriceDeviations, Now: time.Now})
		if !s.isolatedVPC {
			sources = append(sources, pricing.OnDemand{Client: list, Region: c.region, System: system})
		}
	}
	c.prices = pricing.NewBook(table, sources...)
	if s.spotInterruptions != "" {
		rates, err := readInterruptions(s.spotInterruptions, c.region)
		if err != nil {
			return usageError(err)
		}
		c.prices.Interruptions(rates)
	}
	return c.openCommitments(ctx, cfg, s.commitments)
}

// refreshPrices fetches prices anew.
func (c *cloud) refreshPrices(ctx context.Context) error { return c.prices.Refresh(ctx, time.Now()) }
