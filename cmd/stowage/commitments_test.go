package main

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr/funcr"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/stowage-sh/stowage/cloudprovider"
	"github.com/stowage-sh/stowage/pricing"
	"github.com/stowage-sh/stowage/test/ec2sim"
)

// reading reads a file of entries, as of now.
func reading(t *testing.T, entries string) *pricing.Reading {
	t.Helper()
	read, err := pricing.ReadCommitments(strings.NewReader("commitments: ["+entries+"]"), "file", "us-east-1", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return read
}

// TestCommitmentsStay: when the source fails what was read stays, with its age, and what does not count is said once.
func TestCommitmentsStay(t *testing.T) {
	table, err := pricing.Embedded("us-east-1")
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	ctx := log.IntoContext(t.Context(), funcr.New(func(_, args string) { lines = append(lines, args) }, funcr.Options{}))
	read := reading(t, `{name: p, kind: ComputeSavingsPlan, dollarsPerHour: 1, discount: 20%},
		{name: away, kind: ReservedInstance, region: eu-west-1, instanceType: m5.large, count: 1},
		{name: typo, kind: ReservedInstance, region: us-east-1, instanceType: m55.large, count: 1}`)
	var failure error
	c := &cloud{prices: pricing.NewBook(table), told: map[string]bool{}, commitments: func(context.Context, time.Time) (*pricing.Reading, error) {
		if failure != nil {
			return nil, failure
		}
		return read, nil
	}}
	for range 2 {
		if err := c.readCommitments(ctx); err != nil {
			t.Fatal(err)
		}
	}
	said := strings.Join(lines, "\n")
	for _, want := range []string{"away: it is for region eu-west-1", "typo: it covers no machine"} {
		if strings.Count(said, want) != 1 {
			t.Errorf("%q is not said once:\n%s", want, said)
		}
	}
	before, committed := c.prices.Table(), len(c.prices.Table().Commitments())
	at, _ := c.prices.Committed()
	failure = errors.New("no answer")
	if err := c.readCommitments(ctx); !errors.Is(err, failure) || c.prices.Table() != before || committed != 2 {
		t.Errorf("after %v there are %v", err, c.prices.Table().Commitments())
	}
	if later, ok := c.prices.Committed(); !ok || !later.Equal(at) {
		t.Errorf("it is as of %v, want %v", later, at)
	}
}

// TestPlanOfAccount: a plan covers nodes by what the account has. The Savings Plan of 0.12 dollars has m5.large, at 0.096 less
// 40 %, for 0.0576: it covers two, 2 × 0.0576 = 0.1152, and the third is on spot, at 0.031.
func TestPlanOfAccount(t *testing.T) {
	sim := simulate(t)
	sim.SetPrice(cloudprovider.Offering{InstanceType: "m5.large", CapacityType: cloudprovider.OnDemand}, 96_000)
	sim.Commit([]ec2sim.ReservedInstances{{ID: "ri-typo", InstanceType: "m55.large", Count: 1}}, []ec2sim.SavingsPlan{
		{ID: "sp-m5", Type: "EC2Instance", Region: "us-east-1", Family: "m5", Commitment: "0.12", Percent: 40},
		{ID: "sp-away", Type: "EC2Instance", Region: "eu-west-1", Family: "m5", Commitment: "1", Percent: 40},
	})
	plan := func() (code int, out, notes string) {
		var stdout, stderr bytes.Buffer
		code = run([]string{"stowage", "plan", "-f", "testdata/account", "--zones", "us-east-1b", "--instance-types", "testdata/market/types.json",
			"--prices", "testdata/market/prices.csv", "--commitments", "account"}, streams{in: strings.NewReader(""), out: &stdout, err: &stderr, now: time.Now})
		return code, stdout.String(), stderr.String()
	}
	code, out, notes := plan()
	for _, want := range []string{"on-demand (sp-m5)", "0.1152", "0.1200 $/h", "$0.0310/h"} {
		if code != 0 || !strings.Contains(out, want) {
			t.Errorf("%d: no %q in\n%s%s", code, want, out, notes)
		}
	}
	for _, want := range []string{"sp-away: it is for region eu-west-1, and this is us-east-1", "ri-typo: it covers no machine that has a price on demand in us-east-1"} {
		if !strings.Contains(notes, "note: a commitment does not count: "+want) {
			t.Errorf("no %q in\n%s", want, notes)
		}
	}
	sim.Deny("DescribeSavingsPlans")
	if code, _, said := plan(); code == 0 || !strings.Contains(said, "describing Savings Plans") {
		t.Errorf("without the right: %d, %s", code, said)
	}
}

// simulate starts an EC2, in which the SDK finds itself by the environment.
func simulate(t *testing.T) *ec2sim.Server {
	t.Helper()
	sim, err := ec2sim.Start(ec2sim.Options{Region: "us-east-1", Types: ec2sim.FewTypes()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(sim.Close)
	for _, kv := range sim.Env() {
		k, v, _ := strings.Cut(kv, "=")
		t.Setenv(k, v)
	}
	return sim
}
