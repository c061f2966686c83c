package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/ec2"

	"github.com/stowage-sh/stowage/cloudprovider"
	"github.com/stowage-sh/stowage/pricing"
)

// TestSteadierSpotPrice: of two zones with the same mean spot price that is planned for in which the price moved less, once deviations
// count: 0.04 and then 0.02 for twelve hours each deviate by 0.01 from 0.03, and 0.031 and 0.029 by 0.001.
func TestSteadierSpotPrice(t *testing.T) {
	sim := simulate(t)
	now := time.Now()
	jumps := cloudprovider.Offering{InstanceType: "m5.large", Zone: "us-east-1a", CapacityType: cloudprovider.Spot}
	steady := cloudprovider.Offering{InstanceType: "m5.large", Zone: "us-east-1b", CapacityType: cloudprovider.Spot}
	for o, prices := range map[cloudprovider.Offering][2]int64{jumps: {40_000, 20_000}, steady: {31_000, 29_000}} {
		sim.SetPriceAt(o, prices[0], now.Add(-30*time.Hour))
		sim.SetPriceAt(o, prices[1], now.Add(-12*time.Hour))
	}
	cfg, err := config.LoadDefaultConfig(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		deviations    string
		jumps, steady pricing.MicroUSD
		zone          string
	}{{"0", 30_000, 30_000, "us-east-1a"}, {"1", 40_000, 31_000, "us-east-1b"}} {
		s, err := parse(t, nil, "--cluster-name=c", "--isolated-vpc", "--spot-price-window=24h", "--spot-price-deviations="+c.deviations)
		if err != nil {
			t.Fatal(err)
		}
		account := &cloud{region: "us-east-1", ec2: ec2.NewFromConfig(cfg)}
		if err := account.newPrices(t.Context(), cfg, s); err != nil {
			t.Fatal(err)
		}
		if err := account.refreshPrices(t.Context()); err != nil {
			t.Fatal(err)
		}
		table := account.prices.Table()
		for o, want := range map[cloudprovider.Offering]pricing.MicroUSD{jumps: c.jumps, steady: c.steady} {
			// The window moves on with the clock: half an hour after now the mean of the first is 0.0004 dollars lower.
			if got, _ := table.Price(o); got < want-400 || got > want+400 {
				t.Errorf("with %s deviations %s costs %v, want %v", c.deviations, o, got, want)
			}
		}
		if got := planFor(t, table); !strings.Contains(got, c.zone) {
			t.Errorf("with %s deviations it is not %s that is planned for:\n%s", c.deviations, c.zone, got)
		}
	}
}

// planFor is the plan for a few pods at these prices.
func planFor(t *testing.T, prices *pricing.Table) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "prices.csv")
	out, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	if err := pricing.WriteCSV(out, prices); err != nil {
		t.Fatal(err)
	}
	var stdout, stderr bytes.Buffer
	code := run([]string{"stowage", "plan", "-f", "testdata/account", "--zones", "us-east-1a,us-east-1b", "--instance-types", "testdata/market/types.json", "--prices", file},
		streams{in: strings.NewReader(""), out: &stdout, err: &stderr, now: time.Now})
	if code != 0 {
		t.Fatal(stderr.String())
	}
	return stdout.String()
}
