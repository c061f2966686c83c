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
	read, err := ReadCommitments(strings.NewReader(text), "c.yaml", "us-east-1", noon)
	if err != nil {
		t.Fatal(err)
	}
	return read.Commitments
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
		if got, ok := cs[c.commitment].Draw(o, Linux, 100_000); got != c.want || ok != c.ok {
			t.Errorf("%s takes %d of %s (%v), want %d (%v)", o, got, cs[c.commitment].Name, ok, c.want, c.ok)
		}
		o.CapacityType = "spot"
		if _, ok := cs[c.commitment].Draw(o, Linux, 100_000); ok {
			t.Errorf("%s is covered by %s", o, cs[c.commitment].Name)
		}
	}
}

// TestReadCommitments: those of other regions, platforms and times are left out, which is said, and what is used
// elsewhere is taken off.
func TestReadCommitments(t *testing.T) {
	read, err := ReadCommitments(strings.NewReader(`
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
- {name: j, kind: EC2InstanceSavingsPlan, region: us-esat-1, family: m5, dollarsPerHour: 1, discount: 20%}
- {name: k, kind: ReservedInstance, region: us-east-1, instanceType: m5.large, count: 1, platform: SUSE Linux}
`), "c.yaml", "us-east-1", noon)
	if err != nil {
		t.Fatal(err)
	}
	want := Reading{Commitments{
		{Name: "b", Kind: ReservedInstance, Amount: 1, InstanceType: "m5.large", system: Windows, terms: []term{{1, time.Time{}}}},
		{Name: "e", Kind: ComputeSavingsPlan, Amount: 600_000, discount: 125_000, rates: map[System]map[string]MicroUSD{Linux: {}, Windows: {}},
			terms: []term{{600_000, noon.Add(time.Second)}}},
		{Name: "f", Kind: ReservedInstance, Amount: 24, Family: "m5", InstanceType: "m5.large", terms: []term{{24, time.Time{}}}},
		{Name: "g", Kind: ReservedInstance, Amount: 1, InstanceType: "g5.xlarge", terms: []term{{1, time.Time{}}}},
		{Name: "i", Kind: ReservedInstance, Amount: 1, InstanceType: "g5.2xlarge", terms: []term{{1, noon.Add(12 * time.Hour)}}},
	}, []string{
		"a: it is for region eu-west-1, and this is us-east-1",
		"c: it is for dedicated machines, for which none is counted",
		"d: it has ended 2026-12-01T12:00:00Z",
		"h: it has ended 2026-12-01T00:00:00Z",
		"j: it is for region us-esat-1, and this is us-east-1",
		"k: it is for SUSE Linux, which no node has",
	}}
	if diff := cmp.Diff(want, *read, cmp.AllowUnexported(Commitment{}, term{})); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// TestEndsAtUse: what ends counts no more from then on, though nothing is read anew, and prices that are
// planned with change once for it.
func TestEndsAtUse(t *testing.T) {
	b := NewBook(tableOf(1, 1, "", "on-demand"))
	b.Commit(mustCommit(t, `
commitments:
- {name: a, kind: ComputeSavingsPlan, dollarsPerHour: 1, discount: 20%, end: 2026-12-01T13:00:00Z}
- {name: b, kind: ComputeSavingsPlan, dollarsPerHour: 2, discount: 20%}
`), noon)
	first := b.At(noon.Add(time.Hour - 1))
	if len(first.Commitments()) != 2 || first != b.Table() {
		t.Errorf("before the end %v count", first.Commitments())
	}
	second := b.At(noon.Add(time.Hour))
	if cs := second.Commitments(); len(cs) != 1 || cs[0].Name != "b" || cs[0].Amount != 2_000_000 {
		t.Errorf("at the end %v count", cs)
	}
	if third := b.At(noon.Add(2 * time.Hour)); third != second || second == first {
		t.Error("the table is not another once, and then the same")
	}
	if at, ok := b.Committed(); !ok || !at.Equal(noon) {
		t.Errorf("read at %v", at)
	}
	b.Commit(second.Commitments(), noon.Add(time.Hour))
	if at, _ := b.Committed(); b.Table() != second || !at.Equal(noon.Add(time.Hour)) {
		t.Error("the same, read again, makes another table, or has the old age")
	}
}

// TestUnited: plans that cover the same at the same rates are one, of which each part ends in its time: 1 + 2 dollars until
// one o'clock, and then 2. 4 m5.large and 1 m5.2xlarge of a family are 4 × 4 + 16 units, as 128 quarters.
func TestUnited(t *testing.T) {
	cs := mustCommit(t, `
commitments:
- {name: c, kind: ReservedInstance, region: us-east-1, instanceType: m5.2xlarge, count: 1}
- {name: b, kind: ReservedInstance, region: us-east-1, instanceType: m5.large, count: 4}
- {name: d, kind: ReservedInstance, region: us-east-1, instanceType: m5.large, count: 4, zone: us-east-1a}
- {name: e, kind: ReservedInstance, region: us-east-1, instanceType: m5.large, count: 4, platform: Windows}
- {name: q, kind: ComputeSavingsPlan, dollarsPerHour: 2, rates: {m5.large: 0.07}}
- {name: p, kind: ComputeSavingsPlan, dollarsPerHour: 1, rates: {m5.large: 0.07}, end: 2026-12-01T13:00:00Z}
- {name: r, kind: ComputeSavingsPlan, dollarsPerHour: 1, rates: {m5.large: 0.07}, windowsRates: {m5.large: 0.16}}
`).united()
	amounts := func(cs Commitments) map[string]int64 {
		all := map[string]int64{}
		for _, c := range cs {
			all[c.Name] = c.Amount
		}
		return all
	}
	want := map[string]int64{"b and 1 more": 128, "d": 4, "e": 4, "p and 1 more": 3_000_000, "r": 1_000_000}
	if diff := cmp.Diff(want, amounts(cs)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	want["p and 1 more"] = 2_000_000
	if diff := cmp.Diff(want, amounts(cs.at(noon.Add(time.Hour)))); diff != "" {
		t.Errorf("after one o'clock (-want +got)\n%s", diff)
	}
}

// TestCommittedWindows: a plan covers machines with Windows at their own rates, Reserved Instances for Windows those alone.
// The plan's 0.20 dollars are 0.05 for each of two with Linux, at 0.05/0.10 first, since half of the price is saved; the 0.10 that are left
// cover 0.10/0.16 = 62.5 % of the one with Windows, at 0.16/0.20. Of another the Reserved Instance pays all. Left: 37.5 % of 0.20.
func TestCommittedWindows(t *testing.T) {
	cs := mustCommit(t, `
commitments:
- {name: a, kind: ComputeSavingsPlan, dollarsPerHour: 0.20, discount: 50%, windowsRates: {m5.large: 0.16}}
- {name: b, kind: ReservedInstance, region: us-east-1, instanceType: c5.large, count: 1, platform: Windows}
`)
	windows := func(name string) Use {
		u := use(name, 200_000, 1)
		u.System = Windows
		return u
	}
	uses := []Use{windows("m5.large"), use("m5.large", 100_000, 2), windows("c5.large")}
	if diff := cmp.Diff(Bill{75_000, []int64{0, 0}}, cs.Biller(uses).Bill(counts(uses))); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	for _, u := range []Use{windows("r5.large"), use("c5.large", 85_000, 1)} { // no rate; and no Windows
		i := 0
		if u.System == Linux {
			i = 1
		}
		if _, ok := cs[i].Draw(u.Offering, u.System, u.OnDemand); ok {
			t.Errorf("%s is covered by %s", u.Offering, cs[i].Name)
		}
	}
}

// TestUnmatched: what covers nothing that is sold is told, if prices are known of such machines.
func TestUnmatched(t *testing.T) {
	cs := mustCommit(t, `
commitments:
- {name: good, kind: ReservedInstance, region: us-east-1, instanceType: a1.2xlarge, count: 1}
- {name: zonal, kind: ReservedInstance, region: us-east-1, zone: us-east-1a, instanceType: a1.large, count: 1}
- {name: all, kind: ComputeSavingsPlan, dollarsPerHour: 1, discount: 20%}
- {name: typo, kind: ReservedInstance, region: us-east-1, instanceType: a1.lrage, count: 1}
- {name: family, kind: EC2InstanceSavingsPlan, region: us-east-1, family: a11, dollarsPerHour: 1, discount: 20%}
- {name: windows, kind: ReservedInstance, region: us-east-1, instanceType: a2.large, count: 1, platform: Windows}
`)
	linux := tableOf(100, 1, "", "on-demand")
	want := []string{"typo: it covers no machine that has a price on demand in us-east-1", "family: it covers no machine that has a price on demand in us-east-1"}
	if diff := cmp.Diff(want, cs.Unmatched(linux)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	windows := tableOf(190, 1, "", "on-demand")
	windows.os = "windows"
	want = append(want, "windows: it covers no machine that has a price on demand in us-east-1")
	if diff := cmp.Diff(want, cs.Unmatched(linux.with(windows))); diff != "" {
		t.Errorf("where prices with Windows are known (-want +got)\n%s", diff)
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
	b.Commit(mustCommit(t, three), noon)
	if err := b.Refresh(t.Context(), noon); err != nil {
		t.Fatal(err)
	}
	if got, _ := b.Table().Price(offering("a1.large", "", "spot")); got != 2 || len(b.Table().Commitments()) != 3 {
		t.Errorf("a price of %v and %d commitments, want 2 and 3", got, len(b.Table().Commitments()))
	}
}
