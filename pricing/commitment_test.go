package pricing

import (
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

var noon = time.Date(2026, 12, 1, 12, 0, 0, 0, time.UTC)

func mustCommit(t *testing.T, text string) Commitments {
	t.Helper()
	cs, err := ReadCommitments(strings.NewReader(text), "c.yaml", "us-east-1", noon)
	if err != nil {
		t.Fatal(err)
	}
	return cs
}

const three = `
commitments:
- {name: compute, kind: ComputeSavingsPlan, dollarsPerHour: 0.05, discount: 20%}
- {name: m5, kind: EC2InstanceSavingsPlan, region: us-east-1, family: m5, dollarsPerHour: "0.06", discount: 40%}
- {name: ri, kind: ReservedInstance, region: us-east-1, instanceType: m5.large, count: 1}
`

// use is a number of machines at their price on demand.
func use(name string, price MicroUSD, n int64) Use {
	return Use{Offering: offering(name, "us-east-1a", "on-demand"), OnDemand: price, Price: price, Count: n}
}

func counts(uses []Use) (n []int64) {
	for _, u := range uses {
		n = append(n, u.Count)
	}
	return n
}

// TestBill is worked out by hand.
func TestBill(t *testing.T) {
	for _, c := range []struct {
		name, file string
		uses       []Use
		want       Bill
	}{
		// The Reserved Instance covers the smaller size first: 1 of 2 m5.large. The plan of the family
		// saves 40 % on all of it and goes to the lower rate first: m5.large at 0.0576; its last 0.0024
		// cover 0.0024/0.1152 = 2.0833 % of the m5.xlarge. The other plan saves 20 %: c5.large at 0.068 is covered
		// to 0.05/0.068 = 73.5294 %. Left are 97.9167 % of 0.192 and 26.4706 % of 0.085: 0.188 + 0.0225.
		{"in turn", three, []Use{use("m5.large", 96_000, 2), use("m5.xlarge", 192_000, 1), use("c5.large", 85_000, 1)},
			Bill{210_500, []int64{0, 0, 0}}},
		{"nothing runs", three, nil, Bill{0, []int64{50_000, 60_000, 16}}},
		// AWS's own example, with a commitment for one of the two: 50 % off c5.9xlarge goes before 20 %.
		{"largest savings first", `commitments: [{name: p, kind: ComputeSavingsPlan, dollarsPerHour: 2, rates: {c5.9xlarge: 2.00, c5.24xlarge: 8}}]`,
			[]Use{use("c5.24xlarge", 10_000_000, 1), use("c5.9xlarge", 4_000_000, 1)}, Bill{10_000_000, []int64{0}}},
		// A zone's Reserved Instances match whole machines of the zone.
		{"of a zone", `commitments: [{name: a, kind: ReservedInstance, region: us-east-1, zone: us-east-1b, instanceType: m5.large, count: 3}]`,
			[]Use{use("m5.large", 96_000, 2)}, Bill{192_000, []int64{3}}},
		// 2 m5.2xlarge are 32 units: an m5.xlarge (8), and 24 of the 32 of an m5.4xlarge; a quarter of 0.768 is left.
		{"units", `commitments: [{name: a, kind: ReservedInstance, region: us-east-1, instanceType: m5.2xlarge, count: 2}]`,
			[]Use{use("m5.4xlarge", 768_000, 1), use("m5.xlarge", 192_000, 1)}, Bill{192_000, []int64{0}}},
		{"not flexible", `commitments: [{name: a, kind: ReservedInstance, region: us-east-1, instanceType: m5.2xlarge, count: 2, sizeFlexible: false}]`,
			[]Use{use("m5.4xlarge", 768_000, 1), use("m5.xlarge", 192_000, 1)}, Bill{960_000, []int64{2}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := mustCommit(t, c.file).Biller(c.uses).Bill(counts(c.uses))
			if diff := cmp.Diff(c.want, got, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

// TestBillFalls: a machine less saves no more than its price, and the less the more are gone already. So
// what machines save one after the other is not more than what they save together, whichever of them go.
func TestBillFalls(t *testing.T) {
	cs := mustCommit(t, three)
	for seed := range uint64(500) {
		r := rand.New(rand.NewPCG(seed, 0))
		uses := []Use{use("m5.large", 96_000, 1+r.Int64N(4)), use("m5.xlarge", 192_000, 1+r.Int64N(3)), use("c5.large", 85_000, 1+r.Int64N(4)), use("r5.large", 126_000, 1+r.Int64N(3))}
		b := cs.Biller(uses)
		without := func(gone ...int) MicroUSD {
			n := counts(uses)
			for _, i := range gone {
				n[i]--
			}
			return b.Bill(n).Cost
		}
		for i := range uses {
			saved := without() - without(i)
			if saved < -1 || saved > uses[i].Price+1 { // a millionth for rounding
				t.Errorf("seed %d: %s less saves %v", seed, uses[i].Offering, saved)
			}
			for j := range uses {
				if i == j {
					continue
				}
				if later := without(j) - without(j, i); later > saved+2 {
					t.Errorf("seed %d: %s less saves %v, and after %s is gone %v", seed, uses[i].Offering, saved, uses[j].Offering, later)
				}
			}
		}
	}
}

func TestDraw(t *testing.T) {
	cs := mustCommit(t, three)
	for _, c := range []struct {
		commitment int
		offering   string
		want       int64
		ok         bool
	}{
		{0, "c5.large", 80_000, true}, {1, "c5.large", 0, false}, {1, "m5.large", 60_000, true}, {1, "m5d.large", 0, false},
		{2, "m5.4xlarge", 128, true}, {2, "m5.metal", 0, false}, {2, "m5.metal-24xl", 768, true}, {2, "c5.large", 0, false},
	} {
		o := offering(c.offering, "us-east-1a", "on-demand")
		if got, ok := cs[c.commitment].Draw(o, 100_000); got != c.want || ok != c.ok {
			t.Errorf("%s takes %d of %s (%v), want %d (%v)", o, got, cs[c.commitment].Name, ok, c.want, c.ok)
		}
		o.CapacityType = "spot"
		if _, ok := cs[c.commitment].Draw(o, 100_000); ok {
			t.Errorf("%s is covered by %s", o, cs[c.commitment].Name)
		}
	}
}

// TestReadCommitments: those of other regions, platforms and times are left out, and what is used elsewhere
// is taken off.
func TestReadCommitments(t *testing.T) {
	cs := mustCommit(t, `
commitments:
- {name: a, kind: ReservedInstance, region: eu-west-1, instanceType: m5.large, count: 1}
- {name: b, kind: ReservedInstance, region: us-east-1, instanceType: m5.large, count: 1, platform: Windows}
- {name: c, kind: ReservedInstance, region: us-east-1, instanceType: m5.large, count: 1, tenancy: dedicated}
- {name: d, kind: ComputeSavingsPlan, dollarsPerHour: 1, discount: 20%, end: 2026-12-01T12:00:00Z}
- {name: e, kind: ComputeSavingsPlan, dollarsPerHour: 1, discount: 12.5%, usedElsewhere: 0.4, end: 2026-12-01T12:00:01Z}
- {name: f, kind: ReservedInstance, region: us-east-1, instanceType: m5.large, count: 3, usedElsewhere: 1.5, platform: Linux/UNIX (Amazon VPC)}
- {name: g, kind: ReservedInstance, region: us-east-1, instanceType: g5.xlarge, count: 3, usedElsewhere: 1.5}
- {name: h, kind: ComputeSavingsPlan, dollarsPerHour: 1, discount: 20%, end: 2026-12-01}
- {name: i, kind: ReservedInstance, region: us-east-1, instanceType: g5.2xlarge, count: 1, end: 2026-12-02}
`)
	want := Commitments{
		{Name: "e", Kind: ComputeSavingsPlan, Amount: 600_000, discount: 125_000, rates: map[string]MicroUSD{}},
		{Name: "f", Kind: ReservedInstance, Amount: 24, Family: "m5", InstanceType: "m5.large"},
		{Name: "g", Kind: ReservedInstance, Amount: 1, InstanceType: "g5.xlarge"},
		{Name: "i", Kind: ReservedInstance, Amount: 1, InstanceType: "g5.2xlarge"},
	}
	if diff := cmp.Diff(want, cs, cmp.AllowUnexported(Commitment{})); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestReadCommitmentsErrors(t *testing.T) {
	for text, want := range map[string]string{
		"commitment: []":            "c.yaml: unknown field \"commitment\"",
		"{}":                        "c.yaml: commitments: is missing: a list is wanted, which may be []",
		"commitments: 3":            "c.yaml: commitments: number is not expected here",
		"commitments: [{name: a}, ": "c.yaml: yaml: line 1: did not find expected node content",
		plan("dollarsPerHour: 1, discount: 20%, end: next year"): `c.yaml: commitments[0] (a): end: "next year" is neither a day such as 2027-03-01 nor a time such as 2027-03-01T00:00:00Z`,
		"commitments: []\n---\ncommitments: []":                  "c.yaml: it has more than one document: one list is wanted",
		"commitments: [{kind: Compute}]":                         "c.yaml: commitments[0]: name: is missing",
		"commitments: [{name: a, kind: SavingsPlan}]":            `c.yaml: commitments[0] (a): kind: "SavingsPlan" is none of ReservedInstance, EC2InstanceSavingsPlan and ComputeSavingsPlan`,
		"commitments: [{name: a, dollars: 3}]":                   `c.yaml: commitments[0] (a): unknown field "dollars"`,
		plan("dollarsPerHour: 1"):                                "c.yaml: commitments[0] (a): discount: is missing, and there are no rates: one of them says what the plan's hours cost",
		plan("discount: 20%"):                                    "c.yaml: commitments[0] (a): dollarsPerHour: is missing",
		plan("dollarsPerHour: -1, discount: 20%"):                `c.yaml: commitments[0] (a): dollarsPerHour: "-1" is not a price in dollars, such as 0.096`,
		plan("dollarsPerHour: [1], discount: 20%"):               "c.yaml: commitments[0]: dollarsPerHour: array is not expected here",
		plan("dollarsPerHour: 1, discount: 0.2"):                 "c.yaml: commitments[0] (a): discount: number is not expected here",
		plan("dollarsPerHour: 1, discount: 100%"):                `c.yaml: commitments[0] (a): discount: "100%" is not a percentage below 100%, such as 27%`,
		plan("dollarsPerHour: 1, rates: {m5.large: free}"):       `c.yaml: commitments[0] (a): rates[m5.large]: "free" is not a price in dollars, such as 0.096`,
		plan("dollarsPerHour: 1, discount: 1%, family: m5"):      "c.yaml: commitments[0] (a): family: a commitment of kind ComputeSavingsPlan has none",
		ri("count: 1"):                                                                      "c.yaml: commitments[0] (a): instanceType: is missing",
		ri("instanceType: m5.large"):                                                        "c.yaml: commitments[0] (a): count: is missing",
		ri("instanceType: m5, count: 1"):                                                    `c.yaml: commitments[0] (a): instanceType: "m5" is not an instance type, such as m5.large`,
		ri("instanceType: m5.large, count: -1"):                                             "c.yaml: commitments[0] (a): count: -1 is not between 1 and 1000000",
		ri("instanceType: m5.large, count: 1, zone: eu"):                                    `c.yaml: commitments[0] (a): zone: "eu" is not a zone of region us-east-1`,
		ri("instanceType: m5.large, count: 1, tenancy: host"):                               `c.yaml: commitments[0] (a): tenancy: "host" is neither default nor dedicated`,
		ri("instanceType: m5.metal, count: 1, sizeFlexible: true"):                          "c.yaml: commitments[0] (a): sizeFlexible: only Reserved Instances of a region are, for Linux/UNIX on shared hardware, and not those of bare metal",
		ri("instanceType: m5.large, count: 1}, {name: a, kind: ReservedInstance, count: 2"): `c.yaml: commitments[1] (a): name: "a" is there already`,
	} {
		_, err := ReadCommitments(strings.NewReader(text), "c.yaml", "us-east-1", noon)
		if err == nil || err.Error() != want {
			t.Errorf("%s\n got %v\nwant %s", text, err, want)
		}
	}
}

// plan and ri are files with one commitment.
func plan(fields string) string {
	return "commitments: [{name: a, kind: ComputeSavingsPlan, " + fields + "}]"
}

func ri(fields string) string {
	return "commitments: [{name: a, kind: ReservedInstance, region: us-east-1, " + fields + "}]"
}

// TestCommitmentsOutliveARefresh: what is committed stays when prices change.
func TestCommitmentsOutliveARefresh(t *testing.T) {
	b := NewBook(tableOf(1, 1, "", "spot"), sourceFunc(func() (*Table, error) { return tableOf(2, 1, "", "spot"), nil }))
	b.Commit(mustCommit(t, three))
	if err := b.Refresh(t.Context(), noon); err != nil {
		t.Fatal(err)
	}
	if got, _ := b.Table().Price(offering("a1.large", "", "spot")); got != 2 || len(b.Table().Commitments()) != 3 {
		t.Errorf("a price of %v and %d commitments, want 2 and 3", got, len(b.Table().Commitments()))
	}
}
