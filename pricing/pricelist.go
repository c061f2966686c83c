package pricing

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/stowage-sh/stowage/cloudprovider"
)

// A product is a document of the AWS Price List, as far as we use it. The API
// returns each as a string of JSON.
type product struct {
	Product struct {
		Attributes attributes `json:"attributes"`
	} `json:"product"`
	Terms struct {
		OnDemand map[string]struct {
			PriceDimensions map[string]dimension `json:"priceDimensions"`
		} `json:"OnDemand"`
	} `json:"terms"`
}

type attributes struct {
	InstanceType    string `json:"instanceType"`
	RegionCode      string `json:"regionCode"`
	OperatingSystem string `json:"operatingSystem"`
	Tenancy         string `json:"tenancy"`
	PreInstalledSw  string `json:"preInstalledSw"`
	CapacityStatus  string `json:"capacitystatus"`
	LicenseModel    string `json:"licenseModel"`
}

type dimension struct {
	Unit         string            `json:"unit"`
	BeginRange   string            `json:"beginRange"`
	PricePerUnit map[string]string `json:"pricePerUnit"`
}

// errNotWanted marks a product that is none of a plain machine with the system that was asked
// for: the filters of the request should have kept it back.
var errNotWanted = errors.New("not the price of such a machine by the hour")

// An onDemandPrice is what a product says.
type onDemandPrice struct {
	instanceType string
	// zones is the group of Local or Wavelength Zones that it holds in, "us-east-1-bos-1"; "" for the region.
	zones   string
	tenancy string
	price   MicroUSD
}

// parseProduct reads a document of the Price List for a region and a system. The error is
// errNotWanted for a product that is not such a machine's, and says what is
// wrong with one that ought to be.
func parseProduct(document, region string, system System) (onDemandPrice, error) {
	var p product
	if err := json.Unmarshal([]byte(document), &p); err != nil {
		return onDemandPrice{}, fmt.Errorf("reading a product: %w", err)
	}
	a := p.Product.Attributes
	if !a.wanted(region, system) {
		return onDemandPrice{}, errNotWanted
	}
	found := onDemandPrice{instanceType: a.InstanceType, tenancy: a.Tenancy}
	if isLocal(a.RegionCode, region) {
		found.zones = a.RegionCode
	}
	for _, offer := range slices.Sorted(maps.Keys(p.Terms.OnDemand)) {
		dimensions := p.Terms.OnDemand[offer].PriceDimensions
		for _, code := range slices.Sorted(maps.Keys(dimensions)) {
			d := dimensions[code]
			if !strings.EqualFold(d.Unit, "Hrs") || d.BeginRange != "0" && d.BeginRange != "" {
				continue
			}
			price, err := ParseMicroUSD(d.PricePerUnit[currency(region)])
			if err != nil {
				return onDemandPrice{}, fmt.Errorf("reading the price of %s: %w", a.InstanceType, err)
			}
			// A product has one price. If it had two, the higher is the safer.
			found.price = max(found.price, price)
		}
	}
	if found.price == 0 {
		return onDemandPrice{}, fmt.Errorf("reading the price of %s: no on-demand price by the hour in %s", a.InstanceType, currency(region))
	}
	return found, nil
}

// wanted checks what the request filters by already: a field that the document
// lacks was not asked about, one with another value is another product.
func (a attributes) wanted(region string, system System) bool {
	is := func(value, want string) bool { return value == "" || strings.EqualFold(value, want) }
	return a.InstanceType != "" && (is(a.RegionCode, region) || isLocal(a.RegionCode, region)) && is(a.OperatingSystem, system.String()) && (system == Linux || is(a.LicenseModel, licensed)) &&
		is(a.PreInstalledSw, "NA") && is(a.CapacityStatus, "Used") && (is(a.Tenancy, tenancyShared) || is(a.Tenancy, tenancyDedicated))
}

// isLocal reports whether the Price List's region code is that of Local or Wavelength Zones of a region, which have
// prices of their own: "us-east-1-bos-1", with the zone us-east-1-bos-1a.
func isLocal(code, region string) bool { return strings.HasPrefix(code, region+"-") }

// offerings that the price is of. Bare metal is sold to one customer whole, and some of it is not
// listed as shared.
func (p onDemandPrice) offerings() []cloudprovider.Offering {
	shared := cloudprovider.Offering{InstanceType: p.instanceType, Zone: p.zones, CapacityType: cloudprovider.OnDemand}
	if !strings.EqualFold(p.tenancy, tenancyDedicated) {
		return []cloudprovider.Offering{shared}
	}
	dedicated := shared
	dedicated.Tenancy = cloudprovider.Dedicated
	if strings.Contains(p.instanceType, ".metal") {
		return []cloudprovider.Offering{shared, dedicated}
	}
	return []cloudprovider.Offering{dedicated}
}

// currency that prices of a region are in.
func currency(region string) string {
	if strings.HasPrefix(region, "cn-") {
		return "CNY"
	}
	return "USD"
}

const (
	licensed         = "No License required" // of the customer: it is in the price
	tenancyShared    = "Shared"
	tenancyDedicated = "Dedicated"
)
