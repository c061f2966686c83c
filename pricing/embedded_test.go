package pricing

import (
	"errors"
	"testing"

	"github.com/stowage-sh/stowage/cloudprovider"
	"github.com/stowage-sh/stowage/cloudprovider/aws/region"
)

// TestEmbeddedInvariants reads the table of every region.
func TestEmbeddedInvariants(t *testing.T) {
	regions := Regions()
	if len(regions) < 30 {
		t.Fatalf("embedded prices of %d regions, want at least 30", len(regions))
	}
	for _, name := range regions {
		table, err := Embedded(name)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		onDemand := 0
		for o, p := range table.All() {
			if o.Zone != "" || p <= 0 || p > 500_000_000 {
				t.Errorf("%s: %s costs %v", name, o, p)
			}
			if o.CapacityType == cloudprovider.OnDemand {
				onDemand++
				continue
			}
			if _, ok := table.Price(cloudprovider.Offering{InstanceType: o.InstanceType, Zone: name + "a", CapacityType: cloudprovider.OnDemand}); !ok {
				t.Errorf("%s: %s has a spot price only", name, o.InstanceType)
			}
		}
		if onDemand < 150 {
			t.Errorf("%s: %d on-demand prices, want at least 150", name, onDemand)
		}
	}
}

func TestEmbedded(t *testing.T) {
	table, err := Embedded("us-east-1")
	if err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]MicroUSD{
		"m5.large/us-east-1a/on-demand": 96_000, "p5.48xlarge/us-east-1f/on-demand": 98_320_000, "t3.nano/us-east-1b/on-demand": 5_200,
		// The zones' prices are listed as 0.0315, 0.0323, 0.0324, 0.0360 and 0.0383.
		"m5.large/us-east-1c/spot": 32_400,
	} {
		o, err := cloudprovider.ParseOffering(text)
		if err != nil {
			t.Fatal(err)
		}
		if got, ok := table.Price(o); got != want || !ok {
			t.Errorf("%s costs %v (known: %v), want %v", text, got, ok, want)
		}
	}
	if _, err := Embedded("us-esat-1"); err == nil {
		t.Error("us-esat-1 has prices")
	} else if unknown, ok := errors.AsType[*region.UnknownError](err); !ok || unknown.Near[0] != "us-east-1" {
		t.Errorf("Embedded(us-esat-1): %v, want an UnknownError that names us-east-1", err)
	}
	if _, err := Embedded("cn-north-1"); err == nil || err.Error() != "there are no embedded prices for region cn-north-1: give a price file" {
		t.Errorf("Embedded(cn-north-1): %v", err)
	}
}

// BenchmarkEmbedded is what it costs to read the prices of the largest region.
func BenchmarkEmbedded(b *testing.B) {
	for b.Loop() {
		if _, err := Embedded("us-east-1"); err != nil {
			b.Fatal(err)
		}
	}
}
