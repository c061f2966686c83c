package pricing

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
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

// OnDemand fetches on-demand prices from the AWS Price List: Linux, shared
// tenancy; dedicated for bare metal that is not sold otherwise. A product that
// cannot be read is left out and listed in Table.Skipped.
type OnDemand struct {
	// Client of the Price List, in PriceListRegion(Region).
	Client awspricing.GetProductsAPIClient
	// Region whose prices are wanted.
	Region string
}

// Name says what is fetched.
func (s OnDemand) Name() string { return "on-demand prices" }

// Fetch asks for all products, page by page.
func (s OnDemand) Fetch(ctx context.Context) (*Table, error) {
	prices := map[cloudprovider.Offering]MicroUSD{}
	var skipped []string
	// Dedicated first: a shared price replaces it.
	for _, tenancy := range []string{tenancyDedicated, tenancyShared} {
		found := map[cloudprovider.Offering]MicroUSD{}
		pages := awspricing.NewGetProductsPaginator(s.Client, s.query(tenancy))
		for pages.HasMorePages() {
			page, err := pages.NextPage(ctx)
			if err != nil {
				return nil, fmt.Errorf("listing products of %s: %w", s.Region, err)
			}
			for _, document := range page.PriceList {
				p, err := parseProduct(document, s.Region)
				if errors.Is(err, errNotWanted) || err == nil && p.tenancy != "" && p.tenancy != tenancy {
					continue
				}
				if err != nil {
					skipped = append(skipped, err.Error())
					continue
				}
				o := cloudprovider.Offering{InstanceType: p.instanceType, CapacityType: cloudprovider.OnDemand}
				found[o] = max(found[o], p.price) // two products of one type: the higher, in any order
			}
		}
		for o, p := range found {
			prices[o] = p
		}
	}
	slices.Sort(skipped)
	t := NewTable(s.Region, "AWS Price List", prices)
	t.skipped = skipped
	return t, nil
}

func (s OnDemand) query(tenancy string) *awspricing.GetProductsInput {
	filters := []pricingtypes.Filter{
		equals("regionCode", s.Region), equals("serviceCode", "AmazonEC2"), equals("operatingSystem", "Linux"),
		equals("preInstalledSw", "NA"), equals("capacitystatus", "Used"), equals("marketoption", "OnDemand"), equals("tenancy", tenancy),
	}
	if tenancy == tenancyDedicated {
		filters = append(filters, equals("productFamily", "Compute Instance (bare metal)"))
	}
	return &awspricing.GetProductsInput{ServiceCode: sdk.String("AmazonEC2"), FormatVersion: sdk.String("aws_v1"), Filters: filters}
}

func equals(field, value string) pricingtypes.Filter {
	return pricingtypes.Filter{Field: sdk.String(field), Type: pricingtypes.FilterTypeTermMatch, Value: sdk.String(value)}
}

// Spot fetches the spot prices of now, by zone, from EC2.
type Spot struct {
	// Client of EC2 in Region.
	Client ec2.DescribeSpotPriceHistoryAPIClient
	// Region whose prices are wanted.
	Region string
	// Now tells the time; the history from now on is the present price.
	Now func() time.Time
}

// Name says what is fetched.
func (s Spot) Name() string { return "spot prices" }

// Fetch asks for the prices of all types and zones, page by page.
func (s Spot) Fetch(ctx context.Context) (*Table, error) {
	pages := ec2.NewDescribeSpotPriceHistoryPaginator(s.Client, &ec2.DescribeSpotPriceHistoryInput{
		StartTime:           sdk.Time(s.Now()),
		ProductDescriptions: []string{"Linux/UNIX", "Linux/UNIX (Amazon VPC)"},
	})
	var history []ec2types.SpotPrice
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, fmt.Errorf("listing spot prices of %s: %w", s.Region, err)
		}
		history = append(history, page.SpotPriceHistory...)
	}
	// Oldest first, so that the newest stays; of two at once, the higher.
	slices.SortFunc(history, func(a, b ec2types.SpotPrice) int {
		return cmp.Or(sdk.ToTime(a.Timestamp).Compare(sdk.ToTime(b.Timestamp)), cmp.Compare(sdk.ToString(a.SpotPrice), sdk.ToString(b.SpotPrice)))
	})
	prices := map[cloudprovider.Offering]MicroUSD{}
	times := map[cloudprovider.Offering]time.Time{}
	var skipped []string
	for _, h := range history {
		o := cloudprovider.Offering{InstanceType: string(h.InstanceType), Zone: sdk.ToString(h.AvailabilityZone), CapacityType: cloudprovider.Spot}
		price, err := ParseMicroUSD(sdk.ToString(h.SpotPrice))
		if err == nil && (o.InstanceType == "" || o.Zone == "") {
			err = errors.New("the instance type or the zone is missing")
		}
		if err != nil {
			skipped = append(skipped, fmt.Sprintf("reading the spot price of %s in %s: %v", o.InstanceType, o.Zone, err))
			continue
		}
		if at := sdk.ToTime(h.Timestamp); times[o].Equal(at) {
			prices[o] = max(prices[o], price)
		} else {
			prices[o], times[o] = price, at
		}
	}
	slices.Sort(skipped)
	t := NewTable(s.Region, "EC2 spot price history", prices)
	t.skipped = skipped
	return t, nil
}
