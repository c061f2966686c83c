package ec2sim

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/savingsplans"
	"github.com/google/go-cmp/cmp"

	"github.com/stowage-sh/stowage/cloudprovider"
	stowage "github.com/stowage-sh/stowage/pricing"
)

// commit has an account pay in advance for some things that count from now on, and for some that do not.
func commit(h *harness, now time.Time) {
	later := now.Add(24 * time.Hour)
	h.Commit([]ReservedInstances{
		{ID: "ri-region", InstanceType: "m5.large", Count: 2, End: later},
		{ID: "ri-size", InstanceType: "m5.xlarge", Count: 1, End: later.Add(time.Hour)},
		{ID: "ri-zone", InstanceType: "m5.large", Zone: "us-west-2b", Count: 3, Platform: "Linux/UNIX (Amazon VPC)"},
		{ID: "ri-windows", InstanceType: "m5.large", Count: 1, Platform: "Windows"},
		{ID: "ri-dedicated", InstanceType: "m5.large", Count: 1, Tenancy: "dedicated"},
		{ID: "ri-retired", InstanceType: "m5.large", Count: 9, State: "retired"},
	}, []SavingsPlan{
		{ID: "sp-2025", Type: "Compute", Commitment: "1.50000000", Percent: 20, End: later},
		{ID: "sp-2026", Type: "Compute", Commitment: "0.50000000", Percent: 20, End: later.Add(time.Hour)},
		{ID: "sp-m5", Type: "EC2Instance", Region: "us-west-2", Family: "m5", Commitment: "1", Percent: 40},
		{ID: "sp-ended", Type: "Compute", Commitment: "1", Percent: 20, End: now},
		{ID: "sp-elsewhere", Type: "EC2Instance", Region: "eu-west-1", Family: "m5", Commitment: "1", Percent: 40},
		{ID: "sp-ml", Type: "SageMaker", Commitment: "1", Percent: 40},
		{ID: "sp-none", Type: "EC2Instance", Region: "us-west-2", Family: "z9", Commitment: "1", Percent: 40},
		{ID: "sp-queued", Type: "Compute", Commitment: "1", Percent: 20, State: "queued"},
	})
}

// TestCommitments: what an account has paid for in advance becomes what an entry of a file would. There are
// three plans that count, more than fit on a page.
func TestCommitments(t *testing.T) {
	h := start(t, Options{Types: FewTypes(), Region: "us-west-2"})
	now := time.Date(2026, 12, 1, 12, 0, 0, 0, time.UTC)
	h.SetPrice(cloudprovider.Offering{InstanceType: "m5.large", CapacityType: cloudprovider.OnDemand}, 96_000)
	commit(h, now)
	account := stowage.Account{EC2: h.ec2, SavingsPlans: savingsplans.NewFromConfig(h.aws), Region: "us-west-2"}
	read, err := account.Read(t.Context(), now)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	amounts := map[string]float64{}
	for i := range read.Commitments {
		c := &read.Commitments[i]
		got = append(got, strings.Join([]string{c.Name, string(c.Kind), c.Family, c.Zone}, " "))
		amounts[c.Name] = c.Quantity(c.Amount)
	}
	if diff := cmp.Diff([]string{
		"ri-region and 1 more ReservedInstance m5 ", "ri-windows ReservedInstance  ", "ri-zone ReservedInstance  us-west-2b",
		"sp-2025 and 1 more ComputeSavingsPlan  ", "sp-m5 EC2InstanceSavingsPlan m5 ",
	}, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	// 2 m5.large are 2 × 4 units and an m5.xlarge 8, both of the family; 1.5 + 0.5 dollars are as one plan.
	if diff := cmp.Diff(map[string]float64{"ri-region and 1 more": 16, "ri-windows": 1, "ri-zone": 3, "sp-2025 and 1 more": 2, "sp-m5": 1}, amounts); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if diff := cmp.Diff([]string{
		"ri-dedicated: it is for dedicated machines, for which none is counted",
		"sp-elsewhere: it is for region eu-west-1, and this is us-west-2",
		"sp-ended: it has ended 2026-12-01T12:00:00Z",
		"sp-ml: it is for SageMaker, and covers no machines",
		"sp-none: it has no rates for machines in us-west-2",
	}, read.LeftOut); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	for _, c := range []struct {
		system    stowage.System
		plan      string
		price     stowage.MicroUSD
		microUSD  int64
		isCovered bool
	}{
		// 20 % off 0.096 are 0.0768. With Windows 2 × 0.046 for its 2 vCPUs are added, of which nothing is taken off.
		{stowage.Linux, "sp-2025 and 1 more", 96_000, 76_800, true},
		{stowage.Windows, "sp-2025 and 1 more", 188_000, 168_800, true},
		// 40 % off are 0.0576, and 0.1496.
		{stowage.Linux, "sp-m5", 96_000, 57_600, true},
		{stowage.Windows, "sp-m5", 188_000, 149_600, true},
		{stowage.Windows, "ri-region and 1 more", 188_000, 0, false},
		{stowage.Windows, "ri-windows", 188_000, 1, true},
	} {
		i := slices.IndexFunc(read.Commitments, func(has stowage.Commitment) bool { return has.Name == c.plan })
		units, ok := read.Commitments[i].Draw(cloudprovider.Offering{InstanceType: "m5.large", Zone: "us-west-2a", CapacityType: cloudprovider.OnDemand}, c.system, c.price)
		if units != c.microUSD || ok != c.isCovered {
			t.Errorf("%s takes %d for %v (%v), want %d (%v)", c.plan, units, c.system, ok, c.microUSD, c.isCovered)
		}
	}
	for _, action := range []string{"DescribeReservedInstances", "DescribeSavingsPlans", "DescribeSavingsPlanRates"} {
		h.Deny(action)
		if read, err := account.Read(t.Context(), now); err == nil || read != nil {
			t.Errorf("without the right to call %s: %v, %v", action, read, err)
		}
		h.Allow(action)
	}
}
