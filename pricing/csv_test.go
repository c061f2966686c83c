package pricing

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/stowage-sh/stowage/cloudprovider"
)

const csvHeader = "region,type,zone,capacityType,usdPerHour\n"

func mustRead(t *testing.T, text string) *Table {
	t.Helper()
	table, err := ReadCSV(strings.NewReader(text), "prices.csv", "us-east-1")
	if err != nil {
		t.Fatal(err)
	}
	return table
}

func TestReadCSV(t *testing.T) {
	table := mustRead(t, "\ufeff"+csvHeader+"# negotiated\n"+`us-east-1,m5.large,,on-demand,0.096
us-east-1,m5.large,,spot,0.0353
us-east-1,"m5.large",us-east-1a,spot,0.0310
eu-west-1,m5.large,,on-demand,0.107
`)
	if table.Len() != 3 || table.Region() != "us-east-1" {
		t.Errorf("%d prices of %s, want 3 of us-east-1", table.Len(), table.Region())
	}
	for _, c := range []struct {
		offering string
		want     MicroUSD
		ok       bool
	}{
		{"m5.large/us-east-1a/on-demand", 96_000, true},
		{"m5.large/us-east-1a/spot", 31_000, true}, // the zone's own
		{"m5.large/us-east-1b/spot", 35_300, true}, // the region's
		{"m5.xlarge/us-east-1a/spot", 0, false},
		{"m5.large/us-east-1a/reserved", 0, true},
	} {
		o, err := cloudprovider.ParseOffering(c.offering)
		if err != nil {
			t.Fatal(err)
		}
		if got, ok := table.Price(o); got != c.want || ok != c.ok {
			t.Errorf("the price of %s is %v, %v; want %v, %v", o, got, ok, c.want, c.ok)
		}
	}
}

func TestReadCSVErrors(t *testing.T) {
	const good = "us-east-1,m5.large,,on-demand,0.096\n"
	for _, c := range []struct{ in, want string }{
		{"", "prices.csv: is empty; the first line must be region,type,zone,capacityType,usdPerHour"},
		{"region,type,zone,price\n", `prices.csv:1:1: the header is "region,type,zone,price", want "region,type,zone,capacityType,usdPerHour"`},
		{csvHeader, "prices.csv: no price of region us-east-1"},
		{csvHeader + "eu-west-1,m5.large,,on-demand,0.1\n", "prices.csv: no price of region us-east-1"},
		{csvHeader + good + "us-east-1,m5.large,on-demand,0.096\n", "prices.csv:3:1: 4 fields, want 5: region,type,zone,capacityType,usdPerHour"},
		{csvHeader + ",m5.large,,on-demand,0.096\n", "prices.csv:2:1: region: is empty"},
		{csvHeader + "us-east-1,,,on-demand,0.096\n", "prices.csv:2:11: type: is empty"},
		{csvHeader + "us-east-1,m5.large,eu-west-1a,spot,0.096\n", `prices.csv:2:20: zone: "eu-west-1a" is not a zone of region us-east-1`},
		{csvHeader + "us-east-1,m5.large,,ondemand,0.096\n", `prices.csv:2:21: capacityType: "ondemand" is neither on-demand nor spot`},
		{csvHeader + "us-east-1,m5.large,,spot,free\n", `prices.csv:2:26: usdPerHour: "free" is not a price in dollars, such as 0.096`},
		{csvHeader + "us-east-1,m5.large,,spot,-0.1\n", `prices.csv:2:26: usdPerHour: "-0.1" is not a price`},
		{csvHeader + "us-east-1,m5.large,,spot,\n", `prices.csv:2:26: usdPerHour: "" is not a price`},
		{csvHeader + "us-east-1,m5.large,,spot,0\n", `prices.csv:2:26: usdPerHour: "0" is not more than a millionth`},
		// A row of another region is checked all the same.
		{csvHeader + good + "eu-west-1,m5.large,,spot,x\n", `prices.csv:3:26: usdPerHour: "x"`},
		{csvHeader + good + "# comment\n" + good, "prices.csv:4:1: m5.large on-demand in all zones has a price on line 2 already"},
		{csvHeader + good + "us-east-1,\"m5.large,,spot,1\n", `prices.csv:3:29: extraneous or missing " in quoted-field`},
	} {
		_, err := ReadCSV(strings.NewReader(c.in), "prices.csv", "us-east-1")
		if err == nil || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("reading %q\ngives %v\nwant  %s…", c.in, err, c.want)
		}
	}
}

func TestCSVRoundTrip(t *testing.T) {
	want := map[cloudprovider.Offering]MicroUSD{
		{InstanceType: "m5.large", CapacityType: "on-demand"}:                   96_000,
		{InstanceType: "m5.large", Zone: "us-east-1a", CapacityType: "spot"}:    1,
		{InstanceType: "p5.48xlarge", Zone: "us-east-1b", CapacityType: "spot"}: 98_320_000,
	}
	var out bytes.Buffer
	if err := WriteCSV(&out, NewTable("us-east-1", "test", want)); err != nil {
		t.Fatal(err)
	}
	got := map[cloudprovider.Offering]MicroUSD{}
	var order []cloudprovider.Offering
	for o, p := range mustRead(t, out.String()).All() {
		got[o] = p
		order = append(order, o)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for i := 1; i < len(order); i++ {
		if order[i-1].Compare(order[i]) >= 0 {
			t.Errorf("%s comes before %s", order[i-1], order[i])
		}
	}
}

func FuzzReadCSV(f *testing.F) {
	f.Add(csvHeader + "us-east-1,m5.large,,on-demand,0.096\n")
	f.Add(csvHeader + "us-east-1,\"m5\nlarge\",,spot,0.1\n")
	f.Add("\ufeff" + csvHeader + "#x\n")
	f.Fuzz(func(t *testing.T, text string) {
		table, err := ReadCSV(strings.NewReader(text), "prices.csv", "us-east-1")
		if err != nil {
			if !strings.HasPrefix(err.Error(), "prices.csv:") {
				t.Fatalf("the error does not name the file: %v", err)
			}
			return
		}
		for o, p := range table.All() {
			if p <= 0 {
				t.Fatalf("%s costs %v", o, p)
			}
		}
	})
}

// TestDedicatedInFiles: machines on hardware of their own have prices of their own, which a file keeps.
func TestDedicatedInFiles(t *testing.T) {
	const text = csvHeader + "us-east-1,m5.large,,on-demand,0.096\nus-east-1,m5.large,,on-demand+dedicated,0.106\n"
	table, err := ReadCSV(strings.NewReader(text), "prices.csv", "us-east-1")
	if err != nil {
		t.Fatal(err)
	}
	for tenancy, want := range map[string]MicroUSD{"": 96_000, cloudprovider.Dedicated: 106_000} {
		o := offering("m5.large", "us-east-1a", "on-demand")
		o.Tenancy = tenancy
		if got, ok := table.Price(o); !ok || got != want {
			t.Errorf("%s costs %v, %v; want %v", o, got, ok, want)
		}
	}
	var out strings.Builder
	if err := WriteCSV(&out, table); err != nil || out.String() != text {
		t.Errorf("written: %q, %v", out.String(), err)
	}
	for _, bad := range []string{"on-demand+host", "on-demand+"} {
		if _, err := ReadCSV(strings.NewReader(csvHeader+"us-east-1,m5.large,,"+bad+",0.1\n"), "prices.csv", "us-east-1"); err == nil || !strings.Contains(err.Error(), "prices.csv:2:21: capacityType: ") {
			t.Errorf("%s: %v", bad, err)
		}
	}
}
