package pricing

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
	awspricing "github.com/aws/aws-sdk-go-v2/service/pricing"
	pricingtypes "github.com/aws/aws-sdk-go-v2/service/pricing/types"

	"github.com/stowage-sh/stowage/cloudprovider"
)

// document is a product as the Price List writes it, with the attributes and
// the price dimension that are given.
func document(attributes, dimension string) string {
	return `{"product":{"productFamily":"Compute Instance","attributes":{` + attributes + `},"sku":"SKU1"},"serviceCode":"AmazonEC2",
"terms":{"OnDemand":{"SKU1.JRTCKXETXF":{"priceDimensions":{"SKU1.JRTCKXETXF.6YS6EN2CT7":{` + dimension + `}},"sku":"SKU1","effectiveDate":"2025-05-01T00:00:00Z","termAttributes":{}}},
"Reserved":{"SKU1.38NPMPTW36":{"priceDimensions":{"x":{"unit":"Hrs","pricePerUnit":{"USD":"0.01"}}}}}},"version":"20250501"}`
}

const (
	plain  = `"instanceType":"m5.large","regionCode":"us-east-1","operatingSystem":"Linux","tenancy":"Shared","preInstalledSw":"NA","capacitystatus":"Used"`
	hourly = `"unit":"Hrs","endRange":"Inf","beginRange":"0","description":"$0.096 per hour","appliesTo":[],"pricePerUnit":{"USD":"0.0960000000"}`
)

func TestParseProduct(t *testing.T) {
	replace := func(old, new string) string { return strings.Replace(plain, old, new, 1) }
	for _, c := range []struct {
		name, document string
		want           MicroUSD
		problem        string // "" if there is a price
	}{
		{"plain", document(plain, hourly), 96_000, ""},
		{"attributes missing", document(`"instanceType":"m5.large"`, hourly), 96_000, ""},
		{"attributes of other kinds", document(plain+`,"vcpu":"2","other":"x"`, hourly), 96_000, ""},
		{"metal", document(replace(`"m5.large"`, `"u-6tb1.metal"`)+`,"tenancy":"Dedicated"`, hourly), 96_000, ""},
		{"dedicated", document(replace("Shared", "Dedicated"), hourly), 96_000, ""},
		{"on a host", document(replace("Shared", "Host"), hourly), 0, errNotWanted.Error()},
		{"Windows", document(replace("Linux", "Windows"), hourly), 0, errNotWanted.Error()},
		{"another region", document(replace("us-east-1", "us-east-2"), hourly), 0, errNotWanted.Error()},
		{"another region's Local Zones", document(replace("us-east-1", "us-east-2-bos-1"), hourly), 0, errNotWanted.Error()},
		{"Local Zones", document(replace("us-east-1", "us-east-1-bos-1"), hourly), 96_000, ""},
		{"with SQL", document(replace("NA", "SQL Std"), hourly), 0, errNotWanted.Error()},
		{"unused reservation", document(replace("Used", "UnusedCapacityReservation"), hourly), 0, errNotWanted.Error()},
		{"no instance type", document(`"regionCode":"us-east-1"`, hourly), 0, errNotWanted.Error()},
		{"not JSON", "<html>", 0, "reading a product: invalid character"},
		{"attributes is a list", `{"product":{"attributes":[]}}`, 0, "reading a product: json"},
		{"no terms", `{"product":{"attributes":{` + plain + `}}}`, 0, "reading the price of m5.large: no on-demand price by the hour in USD"},
		{"per second", document(plain, strings.Replace(hourly, "Hrs", "Quantity", 1)), 0, "reading the price of m5.large: no on-demand price"},
		{"price of 0", document(plain, strings.Replace(hourly, "0.0960000000", "0.0000000000", 1)), 0, `reading the price of m5.large: "0.0000000000" is not more`},
		{"no dollars", document(plain, strings.Replace(hourly, "USD", "CNY", 1)), 0, `reading the price of m5.large: "" is not a price`},
	} {
		got, err := parseProduct(c.document, "us-east-1", Linux)
		if c.problem == "" && (err != nil || got.price != c.want) {
			t.Errorf("%s: %+v, %v; want %v", c.name, got, err, c.want)
		}
		if c.problem != "" && (err == nil || !strings.HasPrefix(err.Error(), c.problem)) {
			t.Errorf("%s: %v, want %s…", c.name, err, c.problem)
		}
	}
	yuan := document(`"instanceType":"m5.large"`, strings.Replace(hourly, "USD", "CNY", 1))
	if got, err := parseProduct(yuan, "cn-north-1", Linux); err != nil || got.price != 96_000 {
		t.Errorf("yuan in China: %+v, %v", got, err)
	}
}

// TestWindows: its products are those whose licence is in the price, and the table that comes is not Linux's.
func TestWindows(t *testing.T) {
	windows := strings.Replace(plain, "Linux", "Windows", 1)
	named := func(name, licence, price string) string {
		return document(strings.Replace(windows, "m5.large", name, 1)+`,"licenseModel":"`+licence+`"`, strings.Replace(hourly, "0.0960000000", price, 1))
	}
	list := &priceList{pages: map[string][][]string{"Shared": {{
		named("m5.large", "No License required", "0.188"), named("m5.large", "Bring your own license", "0.096"), named("m5.xlarge", "Bring your own license", "0.192"), document(plain, hourly),
	}}, "Dedicated": {{}}}}
	history := &spotHistory{prices: []ec2types.SpotPrice{{InstanceType: "m5.large", AvailabilityZone: sdk.String("us-east-1a"), SpotPrice: sdk.String("0.13"), Timestamp: sdk.Time(noon)}}}
	b := NewBook(tableOf(96_000, 1, "", "on-demand"), OnDemand{Client: list, Region: "us-east-1", System: Windows},
		Spot{Client: history, Region: "us-east-1", System: Windows, Now: func() time.Time { return noon }})
	if err := b.Refresh(t.Context(), noon); err != nil {
		t.Fatal(err)
	}
	for o, want := range map[cloudprovider.Offering]MicroUSD{offering("m5.large", "us-east-1a", "on-demand"): 188_000, offering("m5.xlarge", "us-east-1a", "on-demand"): 0, offering("m5.large", "us-east-1a", "spot"): 130_000} {
		if got, ok := b.Table().For("windows").Price(o); got != want || ok != (want > 0) {
			t.Errorf("%s with Windows costs %v (known: %v), want %v", o, got, ok, want)
		}
		if got, ok := b.Table().For("linux").Price(o); ok {
			t.Errorf("%s with Linux costs %v", o, got)
		}
	}
	if !strings.Contains(strings.Join(list.filters, " "), "operatingSystem=Windows") || !slices.Contains(history.products, "Windows") {
		t.Errorf("asked for %q and %q", list.filters, history.products)
	}
}

// A priceList serves pages of documents by tenancy, with " local" after it for those of Local Zones.
type priceList struct {
	pages   map[string][][]string
	failAt  int   // the call that fails, from 1; 0 for none
	failure error // of that; one that may be over soon when nil
	calls   int
	filters []string
}

func (p *priceList) GetProducts(_ context.Context, in *awspricing.GetProductsInput, _ ...func(*awspricing.Options)) (*awspricing.GetProductsOutput, error) {
	p.calls++
	if p.calls == p.failAt {
		return nil, cmp.Or(p.failure, errors.New("throttled"))
	}
	tenancy, local := "", ""
	for _, f := range in.Filters {
		if f.Type == pricingtypes.FilterTypeContains {
			local = " local"
		}
		p.filters = append(p.filters, sdk.ToString(f.Field)+"="+sdk.ToString(f.Value))
		if sdk.ToString(f.Field) == "tenancy" {
			tenancy = sdk.ToString(f.Value)
		}
	}
	page := 0
	if in.NextToken != nil {
		if _, err := fmt.Sscan(*in.NextToken, &page); err != nil {
			return nil, err
		}
	}
	pages := p.pages[tenancy+local]
	if len(pages) == 0 {
		return &awspricing.GetProductsOutput{}, nil
	}
	out := &awspricing.GetProductsOutput{PriceList: pages[page]}
	if page+1 < len(pages) {
		out.NextToken = sdk.String(fmt.Sprint(page + 1))
	}
	return out, nil
}

func TestOnDemand(t *testing.T) {
	named := func(name, tenancy, price string) string {
		return document(`"instanceType":"`+name+`","tenancy":"`+tenancy+`"`, strings.Replace(hourly, "0.0960000000", price, 1))
	}
	list := &priceList{pages: map[string][][]string{
		"Shared": {
			{named("m5.large", "Shared", "0.096"), named("m5.large", "Shared", "0.095")},
			{named("m5.metal", "Shared", "4.608"), "{broken", document(strings.Replace(plain, "Linux", "RHEL", 1), hourly)},
		},
		"Dedicated": {{named("m5.metal", "Dedicated", "5.069"), named("u-6tb1.metal", "Dedicated", "33.652"), named("m5.large", "Dedicated", "0.106"), named("m5.large", "Shared", "0.097")}},
	}}
	table, err := OnDemand{Client: list, Region: "us-east-1"}.Fetch(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if table.Len() != 6 || len(table.Skipped()) != 1 {
		t.Errorf("%d prices, skipped %q; want 3 of each tenancy and the broken one", table.Len(), table.Skipped())
	}
	for name, want := range map[string]MicroUSD{"m5.large": 106_000, "m5.metal": 5_069_000, "u-6tb1.metal": 33_652_000, "t2.micro": 0} {
		o := offering(name, "us-east-1a", "on-demand")
		o.Tenancy = cloudprovider.Dedicated
		if got, ok := table.Price(o); got != want || ok != (want > 0) {
			t.Errorf("%s costs %v (known: %v), want %v", o, got, ok, want)
		}
		o.CapacityType = cloudprovider.Spot
		if got, ok := table.Price(o); ok {
			t.Errorf("%s costs %v, which nobody says", o, got)
		}
	}
	for name, want := range map[string]MicroUSD{"m5.large": 96_000, "m5.metal": 4_608_000, "u-6tb1.metal": 33_652_000} {
		if got, ok := table.Price(offering(name, "us-east-1a", "on-demand")); got != want || !ok {
			t.Errorf("%s costs %v (known: %v), want %v", name, got, ok, want)
		}
	}
	if list.calls != 5 || !strings.Contains(strings.Join(list.filters, " "), "regionCode=us-east-1 serviceCode=AmazonEC2 operatingSystem=Linux") {
		t.Errorf("%d calls with filters %q", list.calls, list.filters)
	}
	for call := 1; call <= 5; call++ {
		failing := &priceList{pages: list.pages, failAt: call}
		if table, err := (OnDemand{Client: failing, Region: "us-east-1"}).Fetch(t.Context()); err == nil || table != nil {
			t.Errorf("with call %d failing: %v, %v; want no table and an error", call, table, err)
		}
	}
}

// TestLocalZones have prices of their own, on shared and on dedicated hardware; what is not listed there costs what
// it does in the region, and so does everything where the Price List does not understand the question.
func TestLocalZones(t *testing.T) {
	listed := func(name, where, price string) string {
		return document(`"instanceType":"`+name+`","regionCode":"`+where+`"`, strings.Replace(hourly, "0.0960000000", price, 1))
	}
	list := &priceList{pages: map[string][][]string{
		"Shared":          {{listed("m5.large", "us-west-2", "0.096"), listed("t3.micro", "us-west-2", "0.0104")}},
		"Shared local":    {{listed("m5.large", "us-west-2-lax-1", "0.115")}, {listed("m5.large", "us-west-2-wl1-las-wlz-1", "0.13"), listed("m5.large", "us-west-20", "1")}},
		"Dedicated local": {{listed("m5.large", "us-west-2-lax-1", "0.122")}},
	}}
	table, err := OnDemand{Client: list, Region: "us-west-2"}.Fetch(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for o, want := range map[cloudprovider.Offering]MicroUSD{
		offering("m5.large", "us-west-2a", "on-demand"):                                                                   96_000,
		offering("m5.large", "us-west-2-lax-1a", "on-demand"):                                                             115_000,
		offering("m5.large", "us-west-2-lax-1b", "on-demand"):                                                             115_000,
		offering("m5.large", "us-west-2-wl1-las-wlz-1", "on-demand"):                                                      130_000,
		offering("t3.micro", "us-west-2-lax-1a", "on-demand"):                                                             10_400,
		{InstanceType: "m5.large", Zone: "us-west-2-lax-1a", CapacityType: "on-demand", Tenancy: cloudprovider.Dedicated}: 122_000,
	} {
		if got, ok := table.Price(o); got != want || !ok {
			t.Errorf("%s costs %v (known: %v), want %v", o, got, ok, want)
		}
	}
	list.calls, list.failAt, list.failure = 0, 2, &pricingtypes.InvalidParameterException{}
	table, err = OnDemand{Client: list, Region: "us-west-2"}.Fetch(t.Context())
	if err != nil || len(table.Skipped()) != 1 {
		t.Errorf("%v, and it is not told that nothing is known of Local Zones", err)
	}
}

// spotHistory serves one price a page.
type spotHistory struct {
	prices []ec2types.SpotPrice
	fail   bool
	start  time.Time

	products []string // asked for
}

func (h *spotHistory) DescribeSpotPriceHistory(_ context.Context, in *ec2.DescribeSpotPriceHistoryInput, _ ...func(*ec2.Options)) (*ec2.DescribeSpotPriceHistoryOutput, error) {
	h.start, h.products = sdk.ToTime(in.StartTime), in.ProductDescriptions
	page := 0
	if in.NextToken != nil {
		if _, err := fmt.Sscan(*in.NextToken, &page); err != nil {
			return nil, err
		}
	}
	if h.fail && page == len(h.prices)-1 {
		return nil, errors.New("throttled")
	}
	out := &ec2.DescribeSpotPriceHistoryOutput{SpotPriceHistory: h.prices[page : page+1]}
	if page+1 < len(h.prices) {
		out.NextToken = sdk.String(fmt.Sprint(page + 1))
	}
	return out, nil
}

func TestSpot(t *testing.T) {
	now := time.Date(2025, 5, 28, 12, 0, 0, 0, time.UTC)
	at := func(name, zone, price string, age time.Duration) ec2types.SpotPrice {
		return ec2types.SpotPrice{
			InstanceType: ec2types.InstanceType(name), AvailabilityZone: sdk.String(zone), SpotPrice: sdk.String(price), Timestamp: sdk.Time(now.Add(-age)),
		}
	}
	history := &spotHistory{prices: []ec2types.SpotPrice{
		at("m5.large", "us-east-1a", "0.031000", time.Minute), // the newest of three
		at("m5.large", "us-east-1a", "0.040000", time.Hour),
		at("m5.large", "us-east-1a", "0.020000", 2*time.Hour),
		at("m5.large", "us-east-1b", "9.000000", time.Minute), // two at once: the higher
		at("m5.large", "us-east-1b", "10.000000", time.Minute),
		at("m5.xlarge", "us-east-1b", "", time.Minute), // skipped
		at("", "us-east-1b", "1", time.Minute),         // skipped
	}}
	source := Spot{Client: history, Region: "us-east-1", Now: func() time.Time { return now }}
	table, err := source.Fetch(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if !history.start.Equal(now) {
		t.Errorf("the history was asked for from %v on, want now", history.start)
	}
	if table.Len() != 2 || len(table.Skipped()) != 2 {
		t.Errorf("%d prices, skipped %q; want 2 and 2", table.Len(), table.Skipped())
	}
	for zone, want := range map[string]MicroUSD{"us-east-1a": 31_000, "us-east-1b": 10_000_000} {
		if got, _ := table.Price(offering("m5.large", zone, "spot")); got != want {
			t.Errorf("m5.large in %s costs %v, want %v", zone, got, want)
		}
	}
	history.fail = true
	if table, err := source.Fetch(t.Context()); err == nil || table != nil {
		t.Errorf("with the last page failing: %v, %v; want no table and an error", table, err)
	}
}

// TestSpotMean: over six hours 0.02 held for 3 (since long before), 0.05 for 1 and 0.03 for 2. The mean is 0.17 / 6 =
// 0.028333, and the deviation √((3 × 0.008333² + 0.021667² + 2 × 0.001667²) / 6) = √0.000113889 = 0.010672. A pool that has
// been there for two hours has the mean of these, and two prices that held for as long deviate by half of what is between them.
func TestSpotMean(t *testing.T) {
	now := time.Date(2025, 5, 28, 12, 0, 0, 0, time.UTC)
	at := func(zone, price string, age time.Duration) ec2types.SpotPrice {
		return ec2types.SpotPrice{InstanceType: "m5.large", AvailabilityZone: sdk.String(zone), SpotPrice: sdk.String(price), Timestamp: sdk.Time(now.Add(-age))}
	}
	history := &spotHistory{prices: []ec2types.SpotPrice{
		at("us-east-1a", "0.03", 2*time.Hour), at("us-east-1a", "0.02", 30*time.Hour), at("us-east-1a", "0.05", 3*time.Hour),
		at("us-east-1b", "0.01", 2*time.Hour), at("us-east-1b", "0.03", time.Hour),
		at("us-east-1c", "0.07", 40*time.Hour),
		at("us-east-1d", "0.08", 0),
		at("us-east-1e", "999999", 9*time.Hour), at("us-east-1e", "0.01", 3*time.Hour),
	}}
	type moments struct{ mean, deviation MicroUSD }
	for zone, want := range map[string]moments{
		"us-east-1a": {28_333, 10_672}, "us-east-1b": {20_000, 10_000}, "us-east-1c": {70_000, 0}, "us-east-1d": {80_000, 0},
		"us-east-1e": {499_999_505_000, 499_999_495_000},
	} {
		o := offering("m5.large", zone, "spot")
		for counted, price := range map[float64]MicroUSD{0: want.mean, 1: want.mean + want.deviation, 0.5: want.mean + want.deviation/2, 10: min(want.mean+10*want.deviation, MaxMicroUSD)} {
			table, err := Spot{Client: history, Region: "us-east-1", Window: 6 * time.Hour, Deviations: counted, Now: func() time.Time { return now }}.Fetch(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if want := now.Add(-6 * time.Hour); !history.start.Equal(want) {
				t.Errorf("the history was asked for from %v on, want %v", history.start, want)
			}
			got, _ := table.Price(o)
			deviation, known := table.Deviation(o)
			if got != price || deviation != want.deviation || !known {
				t.Errorf("with %v deviations m5.large in %s costs %v, deviating by %v (known: %v); want %v and %v", counted, zone, got, deviation, known, price, want.deviation)
			}
		}
	}
}

// TestDeviations: those of the newest spot prices stay when other prices are fetched, are by operating system, and there are none
// without a window.
func TestDeviations(t *testing.T) {
	at := func(price string, age time.Duration) ec2types.SpotPrice {
		return ec2types.SpotPrice{InstanceType: "m5.large", AvailabilityZone: sdk.String("us-east-1a"), SpotPrice: sdk.String(price), Timestamp: sdk.Time(noon.Add(-age))}
	}
	moving := &spotHistory{prices: []ec2types.SpotPrice{at("0.01", 2*time.Hour), at("0.03", time.Hour)}}
	still := &spotHistory{prices: []ec2types.SpotPrice{at("0.13", 9*time.Hour)}}
	spot := func(history *spotHistory, system System, window time.Duration) Spot {
		return Spot{Client: history, Region: "us-east-1", System: system, Window: window, Now: func() time.Time { return noon }}
	}
	onDemand := sourceFunc(func() (*Table, error) { return tableOf(96_000, 1, "", "on-demand"), nil })
	o, none := offering("m5.large", "us-east-1a", "spot"), MicroUSD(-1)
	o.Placement = "group/1"
	for _, c := range []struct {
		sources        []Source
		linux, windows MicroUSD
	}{
		{[]Source{spot(moving, Linux, 6*time.Hour), onDemand}, 10_000, none},
		{[]Source{onDemand, spot(moving, Linux, 6*time.Hour), spot(still, Windows, 6*time.Hour)}, 10_000, 0},
		{[]Source{spot(moving, Linux, 6*time.Hour), spot(still, Linux, 6*time.Hour)}, 0, none},
		{[]Source{spot(moving, Linux, 6*time.Hour), spot(moving, Linux, 0)}, none, none},
	} {
		b := NewBook(tableOf(30_000, 1, "us-east-1a", "spot"), c.sources...)
		if err := b.Refresh(t.Context(), noon); err != nil {
			t.Fatal(err)
		}
		for os, want := range map[string]MicroUSD{"linux": c.linux, "windows": c.windows} {
			if got, ok := b.Table().For(os).Deviation(o); ok != (want >= 0) || got != max(0, want) {
				t.Errorf("%d sources: with %s it deviates by %v (known: %v), want %v", len(c.sources), os, got, ok, want)
			}
		}
	}
}

func TestPriceListRegion(t *testing.T) {
	for region, want := range map[string]string{
		"us-east-2": "us-east-1", "ca-central-1": "us-east-1", "sa-east-1": "us-east-1", "mx-central-1": "us-east-1", "eu-west-3": "eu-central-1",
		"me-south-1": "eu-central-1", "af-south-1": "eu-central-1", "il-central-1": "eu-central-1", "ap-northeast-1": "ap-south-1", "cn-north-1": "cn-northwest-1",
	} {
		if got := PriceListRegion(region); got != want {
			t.Errorf("PriceListRegion(%s) = %s, want %s", region, got, want)
		}
	}
}
