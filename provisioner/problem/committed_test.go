package problem_test

import (
	"errors"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/stowage-sh/stowage/binpack"
	"github.com/stowage-sh/stowage/cloudprovider"
	"github.com/stowage-sh/stowage/pricing"
	"github.com/stowage-sh/stowage/provisioner/problem"
)

// TestCommitted: what a plan calls covered the commitment does cover, as AWS applies it to all that runs on demand
// then; and what a plan costs is the sum of its nodes.
func TestCommitted(t *testing.T) {
	covered, worlds := 0, 0
	forSeeds(t, 600, func(t *testing.T, _ *rand.Rand, w *world) {
		if len(w.commitments) == 0 {
			return
		}
		worlds++
		tr, s := decide(t, w)
		in := w.question()
		launches, _ := tr.Placed(s)
		sum, paid, most := binpack.MicroUSD(0), binpack.MicroUSD(0), map[string]int64{}
		var bought []problem.Launch // that run on demand
		for i := range launches {
			row := launches[i].Rows[0]
			sum += launches[i].Price
			if row.Offering.CapacityType == cloudprovider.OnDemand {
				bought = append(bought, launches[i])
			}
			if row.Commitment == nil {
				if row.Offering.CapacityType == cloudprovider.OnDemand {
					paid += in.Machine(&launches[i])
				}
				continue
			}
			covered++
			if launches[i].Price != 0 {
				t.Errorf("%s costs %v, and is covered", row.Offering, launches[i].Price)
			}
			units := int64(0)
			for _, row := range launches[i].Rows { // with minValues some take more
				listed, _ := in.Prices.Price(row.Offering)
				more, ok := row.Commitment.Draw(row.Offering, pricing.Linux, listed)
				if units = max(units, more); !ok || row.Commitment != launches[i].Rows[0].Commitment {
					t.Errorf("%s may be bought, and is not covered", row.Offering)
				}
			}
			most[row.Commitment.Name] += units
		}
		if sum != s.Cost {
			t.Errorf("nodes cost %v together, and the plan %v", sum, s.Cost)
		}
		for _, before := range in.Used(nil) {
			if c := before.Commitment; before.Used+most[c.Name] > c.Amount {
				t.Errorf("%d of %d of %s were used, and %d are to be taken", before.Used, c.Amount, c.Name, most[c.Name])
			}
		}
		all := func(string, bool) bool { return true }
		if before, after := in.BillOf(nil, all), in.BillOf(bought, all); after > before+paid+10 { // each may be rounded
			t.Errorf("the bill was %v and is %v, and only %v are bought beyond what is paid", before, after, paid)
		}
	})
	if covered < worlds/4 {
		t.Errorf("%d nodes were covered in %d worlds", covered, worlds)
	}
}

// TestRunningAddsUp: machines cost together what the bill is, and those that may not go what it is without the others. None
// costs more than without commitments.
func TestRunningAddsUp(t *testing.T) {
	several := 0
	forSeeds(t, 600, func(t *testing.T, r *rand.Rand, w *world) {
		in := w.question()
		if len(w.commitments) == 0 {
			return
		}
		mayGo := map[string]bool{}
		for _, claim := range in.Snapshot.NodeClaims.All() {
			mayGo[claim.Name] = r.IntN(2) == 0
		}
		plain := *in
		plain.Prices = in.Prices.WithCommitments(nil)
		running, list := in.Running(mayGo), plain.Running(mayGo)
		sum, stays, n := binpack.MicroUSD(0), binpack.MicroUSD(0), binpack.MicroUSD(0)
		for _, claim := range in.Snapshot.NodeClaims.All() {
			node, ok := in.Snapshot.NodeOf(claim)
			if !ok {
				continue
			}
			price, known := running.PriceOf(claim, node)
			full, knownToo := list.PriceOf(claim, node)
			if known != knownToo || price < 0 || price > full+1 {
				t.Errorf("%s costs %v (%v), and %v (%v) without the commitment", claim.Name, price, known, full, knownToo)
			}
			beyond, ok := running.Beyond(claim.Name)
			if !ok {
				continue
			}
			n++
			if sum += beyond; !mayGo[claim.Name] {
				stays += beyond
			}
		}
		bill := func(keep func(string, bool) bool) binpack.MicroUSD { return in.BillOf(nil, keep) }
		others := bill(func(_ string, joined bool) bool { return !joined })
		all := bill(func(string, bool) bool { return true })
		left := bill(func(name string, joined bool) bool { return !joined || !mayGo[name] })
		if off(sum, all-others) > n || off(stays, left-others) > n { // each may be rounded
			t.Errorf("%d machines cost %v, and the bill is %v; those that stay %v, and %v", n, sum, all-others, stays, left-others)
		}
		if n > 1 && len(w.commitments) > 1 {
			several++
		}
	})
	if several < 10 {
		t.Errorf("%d worlds have several machines and several commitments", several)
	}
}

// off is how far two amounts are apart.
func off(a, b binpack.MicroUSD) binpack.MicroUSD { return max(a-b, b-a) }

// TestCommittedWindows: a node with Windows is bought on demand where a Savings Plan has a rate for it, and on spot where it has
// not. Of the plan's 0.30 dollars the one that runs takes 0.15, and the new one as much. On spot it would be 0.035.
func TestCommittedWindows(t *testing.T) {
	w := newWorld()
	if err := errors.Join(w.defineCatalog("m5.large cpu=4 memory=8Gi zones=a spot=35 on-demand=200 label:kubernetes.io/os=windows"), w.apply(`
kind: NodePool
metadata: {name: default}
---
kind: Node
metadata:
  name: runs
  labels: {kubernetes.io/os: windows, kubernetes.io/hostname: runs, node.kubernetes.io/instance-type: m5.large, topology.kubernetes.io/zone: a, karpenter.sh/capacity-type: on-demand}
---
kind: Pod
metadata: {name: web}
spec:
  nodeSelector: {kubernetes.io/os: windows}
  containers: [{name: c, image: c, resources: {requests: {cpu: "3"}}}]
`)); err != nil {
		t.Fatal(err)
	}
	for rates, want := range map[string]struct {
		capacityType string
		price        binpack.MicroUSD
		used         int64
	}{
		"windowsRates: {m5.large: 0.15}": {cloudprovider.OnDemand, 0, 300_000},
		"discount: 25%":                  {cloudprovider.Spot, 35_000, 0}, // Linux's
	} {
		read, err := pricing.ReadCommitments(strings.NewReader("commitments: [{name: plan, kind: ComputeSavingsPlan, dollarsPerHour: 0.30, "+rates+"}]"), "file", "r1", time.Time{})
		if err != nil {
			t.Fatal(err)
		}
		in := w.question()
		linux := pricing.NewTable("r1", "the test", nil)
		in.Prices = linux.WithSystem(pricing.Windows, in.Prices).WithCommitments(read.Commitments)
		tr, s, err := problem.Decide(t.Context(), in)
		if err != nil {
			t.Fatal(err)
		}
		launches, _ := tr.Placed(s)
		if len(launches) != 1 || launches[0].Rows[0].Offering.CapacityType != want.capacityType || launches[0].Price != want.price {
			t.Errorf("%s: bought %v", rates, launches)
		}
		if used := in.Used(launches)[0].Used; used != want.used {
			t.Errorf("%s: %d are used, want %d", rates, used, want.used)
		}
	}
}
