package pricing

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	awspricing "github.com/aws/aws-sdk-go-v2/service/pricing"
	pricingtypes "github.com/aws/aws-sdk-go-v2/service/pricing/types"

	"github.com/stowage-sh/stowage/cloudprovider"
)

// PriceListRegion returns the region whose endpoint serves the Price List to a
// region: there are four endpoints, and the nearest answers about all regions of
// its partition.
func PriceListRegion(region string) string {
	switch {
	case strings.HasPrefix(region, "cn-"):
		return "cn-northwest-1"
	case strings.HasPrefix(region, "ap-"):
		return "ap-south-1"
	case strings.HasPrefix(region, "eu-"), strings.HasPrefix(region, "me-"), strings.HasPrefix(region, "il-"), strings.HasPrefix(region, "af-"):
		return "eu-central-1"
	}
	return "us-east-1"
}

// OnDemand fetches on-demand prices from the AWS Price List: of machines with one
// operating system, its licence included, on hardware that is shared and on such that is dedicated. Bare metal that is
// listed as dedicated alone costs the same either way: nobody shares it. A
// product that cannot be read is left out and listed in Table.Skipped.
type OnDemand struct {
	// Client of the Price List, in PriceListRegion(Region).
	Client awspricing.GetProductsAPIClient
	// Region whose prices are wanted.
	Region string
	// System is Linux or Windows.
	System System
}

// A System is an operating system that machines are sold with.
type System int

// The systems that have prices of their own.
const (
	Linux System = iota
	Windows
)

// Systems lists them.
var Systems = []System{Linux, Windows}

// String names it as the Price List does.
func (s System) String() string {
	if s == Windows {
		return "Windows"
	}
	return "Linux"
}

// SystemOf returns the system that a value of the label kubernetes.io/os names, of which "" is Linux; not ok for
// one that has no prices.
func SystemOf(label string) (System, bool) {
	switch label {
	case "", "linux":
		return Linux, true
	case Windows.label():
		return Windows, true
	}
	return 0, false
}

// label is the value of the label kubernetes.io/os that Table.os holds.
func (s System) label() string {
	if s == Windows {
		return "windows"
	}
	return ""
}

// products are the names that the spot price history has for it.
func (s System) products() []string {
	if s == Windows {
		return []string{"Windows", "Windows (Amazon VPC)"}
	}
	return []string{"Linux/UNIX", "Linux/UNIX (Amazon VPC)"}
}

// Name says what is fetched.
func (s OnDemand) Name() string { return s.System.named("on-demand prices") }

// named adds the system to what is fetched, if it is not the usual one.
func (s System) named(what string) string {
	if s == Linux {
		return what
	}
	return what + " with " + s.String()
}

// Fetch asks for all products, page by page. Where the Price List cannot be asked for those of Local Zones, the region's
// prices are there all the same.
func (s OnDemand) Fetch(ctx context.Context) (*Table, error) {
	prices := map[cloudprovider.Offering]MicroUSD{}
	var skipped []string
	// Dedicated first: of bare metal, a shared price replaces it.
	for _, tenancy := range []string{tenancyDedicated, tenancyShared} {
		for _, where := range []pricingtypes.Filter{equals("regionCode", s.Region), contains("regionCode", s.Region+"-")} {
			found, wrong, err := s.list(ctx, tenancy, where)
			if _, refused := errors.AsType[*pricingtypes.InvalidParameterException](err); refused && where.Type == pricingtypes.FilterTypeContains {
				wrong, err = []string{err.Error()}, nil
			}
			if err != nil {
				return nil, err
			}
			skipped = append(skipped, wrong...)
			maps.Copy(prices, found)
		}
	}
	slices.Sort(skipped)
	t := NewTable(s.Region, "AWS Price List", prices)
	t.skipped, t.os = skipped, s.System.label()
	return t, nil
}

// list asks for the products of one tenancy somewhere, and says what of them could not be read.
func (s OnDemand) list(ctx context.Context, tenancy string, where pricingtypes.Filter) (prices map[cloudprovider.Offering]MicroUSD, skipped []string, err error) {
	prices = map[cloudprovider.Offering]MicroUSD{}
	pages := awspricing.NewGetProductsPaginator(s.Client, s.query(tenancy, where))
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, nil, fmt.Errorf("listing products of %s: %w", sdk.ToString(where.Value), err)
		}
		for _, document := range page.PriceList {
			p, err := parseProduct(document, s.Region, s.System)
			if errors.Is(err, errNotWanted) || err == nil && p.tenancy != "" && p.tenancy != tenancy {
				continue
			}
			if err != nil {
				skipped = append(skipped, err.Error())
				continue
			}
			p.tenancy = tenancy
			for _, o := range p.offerings() {
				prices[o] = max(prices[o], p.price) // two products of one type: the higher, in any order
			}
		}
	}
	return prices, skipped, nil
}

func (s OnDemand) query(tenancy string, where pricingtypes.Filter) *awspricing.GetProductsInput {
	filters := []pricingtypes.Filter{
		where, equals("serviceCode", "AmazonEC2"), equals("operatingSystem", s.System.String()),
		equals("preInstalledSw", "NA"), equals("capacitystatus", "Used"), equals("marketoption", "OnDemand"), equals("tenancy", tenancy),
	}
	if s.System == Windows { // without those for whoever brings a licence, which have Linux's price
		filters = append(filters, equals("licenseModel", licensed))
	}
	return &awspricing.GetProductsInput{ServiceCode: sdk.String("AmazonEC2"), FormatVersion: sdk.String("aws_v1"), Filters: filters}
}

func contains(field, part string) pricingtypes.Filter {
	return pricingtypes.Filter{Field: sdk.String(field), Type: pricingtypes.FilterTypeContains, Value: sdk.String(part)}
}

func equals(field, value string) pricingtypes.Filter {
	return pricingtypes.Filter{Field: sdk.String(field), Type: pricingtypes.FilterTypeTermMatch, Value: sdk.String(value)}
}
