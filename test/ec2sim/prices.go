package ec2sim

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/stowage-sh/stowage/cloudprovider"
)

// price is what an hour of the offering costs now. The caller holds the lock.
func (s *Server) price(o cloudprovider.Offering) (int64, bool) {
	if p, ok := s.prices[o.String()]; ok {
		return p, p >= 0
	}
	if o.Tenancy == cloudprovider.Dedicated {
		return s.dedicatedPrice(o)
	}
	return s.opts.Price(o)
}

// dedicatedPrice follows from that on shared hardware: it is a tenth more, as in the real list, but for
// bare metal, which nobody shares. The caller holds the lock.
func (s *Server) dedicatedPrice(o cloudprovider.Offering) (int64, bool) {
	t, known := s.typeNamed(o.InstanceType)
	o.Tenancy = ""
	price, sold := s.price(o)
	if !t.BareMetal {
		price += price / 10
	}
	return price, known && sold && t.standsAlone()
}

// SetPrice changes the price of an offering, in millionths of a dollar per hour.
// An on-demand price is the region's: it holds for all zones. A negative price
// takes the offering off the market.
func (s *Server) SetPrice(o cloudprovider.Offering, micro int64) { s.SetPriceAt(o, micro, now()) }

// SetPriceAt is SetPrice from a time in the past on, as the history of spot prices tells it. It is not
// before the time of another change of the offering that was made already.
func (s *Server) SetPriceAt(o cloudprovider.Offering, micro int64, at time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	zones := []string{o.Zone}
	if o.CapacityType == cloudprovider.OnDemand {
		zones = nil
		for _, z := range s.world.Zones {
			zones = append(zones, z.Name)
		}
	}
	for _, z := range zones {
		o.Zone = z
		s.prices[o.String()] = micro
		if micro >= 0 {
			s.history[o.String()] = append(s.history[o.String()], priceChange{at, micro})
		}
	}
}

// Price is what an hour of the offering costs now, in millionths of a dollar; false
// if it is not sold.
func (s *Server) Price(o cloudprovider.Offering) (int64, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.price(o)
}

// Hourly is what all living instances cost in an hour, in millionths of a dollar.
func (s *Server) Hourly() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	var sum int64
	for _, i := range s.instances {
		if p, ok := s.price(i.offering); ok && i.alive() {
			sum += p
		}
	}
	return sum
}

// A priceChange is a price and from when on it holds.
type priceChange struct {
	at    time.Time
	micro int64
}

// spotChanges are those of a pool's price since a time, after the last one before it. A price that was never set
// holds since the start. The caller holds the lock.
func (s *Server) spotChanges(o cloudprovider.Offering, since time.Time) []priceChange {
	price, sold := s.price(o)
	changes := s.history[o.String()]
	switch {
	case !sold:
		return nil
	case len(changes) == 0:
		return []priceChange{{s.begun, price}}
	}
	later := slices.IndexFunc(changes, func(c priceChange) bool { return c.at.After(since) })
	if later < 0 {
		later = len(changes)
	}
	return changes[max(0, later-1):]
}

// A wireSpotPrice is a row of the spot price history.
type wireSpotPrice struct {
	Zone    string `xml:"availabilityZone"`
	ZoneID  string `xml:"availabilityZoneId"`
	Type    string `xml:"instanceType"`
	Product string `xml:"productDescription"`
	Price   string `xml:"spotPrice"`
	At      string `xml:"timestamp"`
}

// describeSpotPriceHistory answers with the changes of each pool's price since StartTime, and the last one before
// it. It knows no EndTime.
func (s *Server) describeSpotPriceHistory(p params) (any, error) {
	var all []wireSpotPrice
	since, err := p.time("StartTime")
	if err != nil {
		return nil, err
	}
	types, products, zone := p.list("InstanceType"), p.list("ProductDescription"), p.str("AvailabilityZone")
	// Others have prices of their own, none of which are here: no answer is better than
	// Linux's under their name.
	product := "Linux/UNIX"
	if len(products) > 0 && !matches([]string{"Linux/UNIX", "Linux/UNIX (Amazon VPC)"}, products) {
		if product = "Windows"; !matches([]string{"Windows", "Windows (Amazon VPC)"}, products) {
			return nil, nil
		}
	}
	for _, t := range s.types {
		if t.NoSpot || len(types) > 0 && !slices.Contains(types, t.Name) {
			continue
		}
		for _, z := range s.world.Zones {
			if !t.sells(z.Name) || zone != "" && zone != z.Name || product == "Windows" && t.Arch == "arm64" {
				continue
			}
			for _, c := range s.spotChanges(t.pool(z.Name, cloudprovider.Spot), since) {
				if product == "Windows" {
					c.micro += t.windowsLicence()
				}
				all = append(all, wireSpotPrice{z.Name, z.ID, t.Name, product, dollars(c.micro), stamp(c.at)})
			}
		}
	}
	all, err = filter(p, all, fields[wireSpotPrice]{
		"instance-type":       one(func(w wireSpotPrice) string { return w.Type }),
		"availability-zone":   one(func(w wireSpotPrice) string { return w.Zone }),
		"product-description": one(func(w wireSpotPrice) string { return w.Product }),
	}, nil)
	if err != nil {
		return nil, err
	}
	all, next, err := page(p, all, func(w wireSpotPrice) string { return w.Type + " " + w.Zone + " " + w.At }, bounds{1, 1000, 1000})
	if err != nil {
		return nil, err
	}
	return struct {
		Prices []wireSpotPrice `xml:"spotPriceHistorySet>item"`
		Next   string          `xml:"nextToken"`
	}{all, next}, nil
}

// A productQuery is a request to GetProducts.
type productQuery struct {
	ServiceCode string
	Filters     []productFilter
	NextToken   string
	MaxResults  int
}

type productFilter struct{ Type, Field, Value string }

// keeps reports whether a product with this attribute passes: all filters that are asked for here are TERM_MATCH, equal, or
// CONTAINS, a part of it.
func (f productFilter) keeps(is string) bool {
	return f.Type == "TERM_MATCH" && is == f.Value || f.Type == "CONTAINS" && strings.Contains(is, f.Value)
}

// servePricing answers GetProducts: one product for each type that is sold on
// demand in the region with the tenancy that is asked for; bare metal is under Dedicated alone, as some of it is in the real list.
func (s *Server) servePricing(q request) (any, error) {
	if q.action != "GetProducts" {
		return nil, fail("InvalidAction", "The action %s is not valid for this web service.", q.action)
	}
	var in productQuery
	if err := json.Unmarshal(q.body, &in); err != nil {
		return nil, fail("SerializationException", "reading the request: %v", err)
	}
	if in.ServiceCode != "AmazonEC2" {
		return nil, fail("NotFoundException", "The service %q has no products here", in.ServiceCode)
	}
	// The token is an index: the list of types never changes.
	from := 0
	if in.NextToken != "" {
		raw, err := base64.RawURLEncoding.DecodeString(in.NextToken)
		if err != nil {
			return nil, fail("InvalidNextTokenException", "The token is not one of ours")
		}
		if from, err = strconv.Atoi(string(raw)); err != nil {
			return nil, fail("InvalidNextTokenException", "The token is not one of ours")
		}
	}
	size := in.MaxResults
	if size < 1 || size > 100 {
		size = 100
	}
	var list []string
	for k := from; k < len(s.types); k++ {
		if len(list) == size {
			return map[string]any{"FormatVersion": "aws_v1", "PriceList": list, "NextToken": base64.RawURLEncoding.EncodeToString([]byte(strconv.Itoa(k)))}, nil
		}
		if product, ok := s.product(s.types[k], in); ok {
			list = append(list, product)
		}
	}
	return map[string]any{"FormatVersion": "aws_v1", "PriceList": list}, nil
}

// windowsLicence is what a machine of the type costs more an hour with Windows, in millionths of a dollar: $0.046 for
// each vCPU, as with most types of AWS.
func (t InstanceType) windowsLicence() int64 { return 46_000 * int64(t.VCPU) }

// currency that the region bills in.
func (s *Server) currency() string {
	if strings.HasPrefix(s.opts.Region, "cn-") {
		return "CNY"
	}
	return "USD"
}

// product is the price list's entry of a type, a JSON document in a string.
func (s *Server) product(t InstanceType, in productQuery) (string, bool) {
	// On-demand prices are the region's, so any zone's will do; see SetPrice.
	pool := t.pool(s.world.Zones[0].Name, cloudprovider.OnDemand)
	system, tenancy := "Linux", "Shared"
	if t.BareMetal || slices.ContainsFunc(in.Filters, func(f productFilter) bool { return f.Field == "tenancy" && f.Value == "Dedicated" }) {
		tenancy, pool.Tenancy = "Dedicated", cloudprovider.Dedicated
	}
	micro, ok := s.price(pool)
	if !ok {
		return "", false
	}
	for _, f := range in.Filters {
		if f.Field == "operatingSystem" && f.Value == "Windows" && t.Arch != "arm64" {
			system = f.Value
			micro += t.windowsLicence()
		}
	}
	// These are what a query filters by; a filter on anything else finds nothing.
	attributes := map[string]string{
		"instanceType": t.Name, "regionCode": s.opts.Region, "operatingSystem": system, "preInstalledSw": "NA",
		"tenancy": tenancy, "capacitystatus": "Used", "licenseModel": "No License required", "marketoption": "OnDemand",
		"productFamily": "Compute Instance", "serviceCode": "AmazonEC2", "operation": "RunInstances", "locationType": "AWS Region",
	}
	if t.BareMetal {
		attributes["productFamily"] = "Compute Instance (bare metal)"
	}
	for _, f := range in.Filters {
		if !f.keeps(attributes[f.Field]) {
			return "", false
		}
	}
	sku := fmt.Sprintf("SKU%X", t.Name)
	term := map[string]any{
		"sku": sku, "offerTermCode": "JRTCKXETXF",
		"priceDimensions": map[string]any{sku + ".JRTCKXETXF.6YS6EN2CT7": map[string]any{
			// Ten decimals, as in the real list: a reader that expects six fails here, not there.
			"unit": "Hrs", "beginRange": "0", "endRange": "Inf", "pricePerUnit": map[string]string{s.currency(): strconv.FormatFloat(float64(micro)/1e6, 'f', 10, 64)},
		}},
	}
	out, err := json.Marshal(map[string]any{
		"product":     map[string]any{"sku": sku, "productFamily": attributes["productFamily"], "attributes": attributes},
		"serviceCode": "AmazonEC2",
		"terms":       map[string]any{"OnDemand": map[string]any{sku + ".JRTCKXETXF": term}},
	})
	return string(out), err == nil
}
