package binpack

import (
	"context"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// A countdown is a context that ends when it has been asked n times.
type countdown struct {
	context.Context
	n *int
}

func (c countdown) Err() error {
	if *c.n--; *c.n < 0 {
		return context.Canceled
	}
	return nil
}

// TestTruncatedPlansPassVerify ends ctx at every moment that Solve looks at it.
// What comes back holds, and says that it is cut short.
func TestTruncatedPlansPassVerify(t *testing.T) {
	cut, placed := 0, 0
	forSeeds(t, 60, rich, func(t *testing.T, r *rand.Rand, p *Problem) {
		whole := mustSolve(t, p)
		for n := range 40 {
			s, err := Solve(countdown{t.Context(), &n}, p)
			if err != nil {
				t.Fatal(err)
			}
			if err := Verify(p, s); err != nil {
				t.Fatalf("after %d looks: refused: %v\n%s", n, err, s.Text(p))
			}
			if !s.Truncated && s.Text(p) != whole.Text(p) {
				t.Errorf("after %d looks the plan differs and is not marked truncated", n)
			}
			if s.Truncated {
				cut++
				placed += len(s.New) + len(s.Fills)
			}
		}
	})
	if cut == 0 || placed == 0 {
		t.Errorf("%d plans were truncated, with %d places", cut, placed)
	}
}

// TestStepBudget: with no budget the first plan comes back; with any, the answer
// is no worse, and steps are counted.
func TestStepBudget(t *testing.T) {
	better := 0
	forSeeds(t, 300, plain, func(t *testing.T, _ *rand.Rand, p *Problem) {
		q := *p
		q.MaxSteps = 1
		first, best := mustSolve(t, &q), mustSolve(t, p)
		if best.Cost > first.Cost || best.Steps < first.Steps {
			t.Errorf("cost %v after %d steps, %v after %d", best.Cost, best.Steps, first.Cost, first.Steps)
		}
		if best.Cost < first.Cost {
			better++
		}
	})
	if better == 0 {
		t.Error("the budget never bought anything")
	}
}

// TestHigherPriorityFirst: no plan leaves a pod out while one of lower priority,
// alike in all else, is placed.
func TestHigherPriorityFirst(t *testing.T) {
	forSeeds(t, 300, shape{pods: 30, offers: 6, nodes: 3}, func(t *testing.T, r *rand.Rand, p *Problem) {
		for i := range p.Pools {
			p.Pools[i].NodesLeft = r.Int64N(3)
		}
		n := len(p.Groups)
		for i := range n {
			g := p.Groups[i]
			g.ID += "-urgent"
			g.Priority = 1
			p.Groups = append(p.Groups, g)
		}
		left := make([]int64, len(p.Groups))
		for _, u := range mustSolve(t, p).Unplaced {
			left[u.Group] = u.Count
		}
		for i := range n {
			if left[n+i] > 0 && left[i] < p.Groups[i].Count {
				t.Errorf("%d pods of %s are left, and only %d of %s", left[n+i], p.Groups[n+i].ID, left[i], p.Groups[i].ID)
			}
		}
	})
}

// TestTextRoundTrip: a problem that was written down and read is the same, and
// gets the same plan.
func TestTextRoundTrip(t *testing.T) {
	forSeeds(t, 300, rich, func(t *testing.T, _ *rand.Rand, p *Problem) {
		text := p.Text()
		q, err := Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		if again := q.Text(); again != text {
			t.Errorf("written again:\n%s", again)
		}
		same := slices.EqualFunc(p.Groups, q.Groups, func(a, b Group) bool {
			return slices.Equal(a.Offers.trimmed(), b.Offers.trimmed()) && slices.Equal(a.Nodes.trimmed(), b.Nodes.trimmed()) &&
				slices.Equal(a.Requests, b.Requests) && a.ID == b.ID && a.Count == b.Count && a.Priority == b.Priority &&
				a.MaxPerNode == b.MaxPerNode && a.Unsupported == b.Unsupported
		}) && slices.EqualFunc(p.Offers, q.Offers, func(a, b Offer) bool {
			return a.ID == b.ID && a.Pool == b.Pool && a.Price == b.Price && slices.Equal(a.Capacity, b.Capacity) &&
				slices.Equal(a.Overhead, b.Overhead) && slices.Equal(a.Charge, b.Charge) &&
				slices.Equal(a.Domains, b.Domains) && slices.Equal(a.Values, b.Values)
		})
		if !same {
			t.Error("groups or offers differ after reading")
		}
		if got, want := mustSolve(t, q).Text(q), mustSolve(t, p).Text(p); got != want {
			t.Errorf("plan of what was read:\n%sbefore:\n%s", got, want)
		}
	})
}

// TestValidateIndices: what the text form cannot say. Each index out of range is
// refused, with list, ID and field.
func TestValidateIndices(t *testing.T) {
	const text = `
resources cpu
key zone a
pool p
offer o p $1 1 at a
node n 1 at a
group g 1 1
exclusion e zone of g from g
spread s zone owners g counted g over a 0
affinity f zone owners g targets g present a
stock k 1 offers o
`
	for _, test := range []struct {
		want  string
		spoil func(p *Problem)
	}{
		{`offer "o": pool: index 1`, func(p *Problem) { p.Offers[0].Pool = 1 }},
		{`offer "o": capacity: 2 entries for 1 resources`, func(p *Problem) { p.Offers[0].Capacity = Vector{1, 2} }},
		{`offer "o": domains: index 1 of key "zone"`, func(p *Problem) { p.Offers[0].Domains[0] = 1 }},
		{`offer "o": domains: 0 entries for 1 keys`, func(p *Problem) { p.Offers[0].Domains = nil }},
		{`offer "o": price: -1 is negative`, func(p *Problem) { p.Offers[0].Price = -1 }},
		{`pool "p": node fee: -1 is negative`, func(p *Problem) { p.Pools[0].NodeFee = -1 }},
		{`pool "p": min values: label -1`, func(p *Problem) { p.Pools[0].MinValues = []MinValues{{-1, 1}} }},
		{`node "n": free: 0 entries`, func(p *Problem) { p.Nodes[0].Free = Vector{} }},
		{`node "n": domains: index -2`, func(p *Problem) { p.Nodes[0].Domains[0] = -2 }},
		{`group "g": offers: index 1`, func(p *Problem) { p.Groups[0].Offers = SetOf(0, 1) }},
		{`group "g": nodes: index 64`, func(p *Problem) { p.Groups[0].Nodes = SetOf(64) }},
		{`exclusion "e": key: index 1`, func(p *Problem) { p.Exclusions[0].Key = 1 }},
		{`exclusion "e": groups: index 3`, func(p *Problem) { p.Exclusions[0].B = SetOf(3) }},
		{`spread "s": domains: index 1 out of range`, func(p *Problem) { p.Spreads[0].Domains[0].Domain = 1 }},
		{`spread "s": min domains: -1`, func(p *Problem) { p.Spreads[0].MinDomains = -1 }},
		{`affinity "f": present: index 1`, func(p *Problem) { p.Affinities[0].Present = SetOf(1) }},
		{`affinity "f": key: index -2`, func(p *Problem) { p.Affinities[0].Key = -2 }},
		{`stock "k": offers: index 9`, func(p *Problem) { p.Stocks[0].Offers = SetOf(9) }},
		{`key "zone": duplicate ID`, func(p *Problem) { p.Keys = []string{"zone", "zone"} }},
		{`domains: 0 lists for 1 keys`, func(p *Problem) { p.Domains = nil }},
		{`domain of key zone "a": duplicate ID`, func(p *Problem) { p.Domains[0] = []string{"a", "a"} }},
		{`group 0: empty ID`, func(p *Problem) { p.Groups[0].ID = "" }},
		{`resources: 65 given`, func(p *Problem) { p.Resources = make([]string, 65) }},
	} {
		t.Run(test.want, func(t *testing.T) {
			p, err := Parse(text)
			if err != nil {
				t.Fatal(err)
			}
			test.spoil(p)
			if err := p.Validate(); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("Validate said %v", err)
			}
			if _, err := Solve(t.Context(), p); err == nil {
				t.Error("Solve accepted it")
			}
		})
	}
}

// TestSolveOnlyReads: the caller's problem is as it was.
func TestSolveOnlyReads(t *testing.T) {
	forSeeds(t, 200, rich, func(t *testing.T, r *rand.Rand, p *Problem) {
		q := shuffled(r, p)
		before := q.Text()
		mustSolve(t, q)
		if after := q.Text(); after != before {
			t.Errorf("after solving:\n%sbefore:\n%s", after, before)
		}
	})
}

// TestExhaustedPoolsDoNoHarm: a pool that opens nothing any more leaves the plan and its
// bound as they are without it, whether it is heavier or cheaper than the other.
func TestExhaustedPoolsDoNoHarm(t *testing.T) {
	for name, pool := range map[string]Pool{
		"heavier": {ID: "full", Weight: 10}, "cheaper": {ID: "full"},
	} {
		t.Run(name, func(t *testing.T) {
			r := rand.New(rand.NewPCG(3, 3))
			p := &Problem{}
			catalog(r, p, 1)
			workload(r, p, 300, 30, false)
			want := mustSolve(t, p)
			p.Pools = append(p.Pools, pool)
			n := len(p.Offers)
			for _, o := range p.Offers[:n] {
				o.ID, o.Pool, o.Price = "full-"+o.ID, 1, o.Price/2
				p.Offers = append(p.Offers, o)
			}
			for g := range p.Groups {
				p.Groups[g].Offers = nil
				for o := range p.Offers {
					p.Groups[g].Offers.Add(o)
				}
			}
			got := mustSolve(t, p)
			if got.Cost != want.Cost || got.LowerBound != want.LowerBound {
				t.Errorf("%s, at least %s; without the pool %s, at least %s", got.Cost, got.LowerBound, want.Cost, want.LowerBound)
			}
		})
	}
}

// TestHugeNumbers: sums of what Validate lets through do not overflow.
func TestHugeNumbers(t *testing.T) {
	for _, text := range []string{`
resources cpu
key zone a b c d e f
pool default
offer a default $0.000001 8 at a
offer b default $0.000001 8 at b
group g 3 1
spread s zone owners g counted g skew 2305843009213693951 over a 0 b 0 c 0 d 0 e 0 f 0
at most $0.000003`, `
resources volumes
key zone a b
pool default
offer a default $0.1 4611686018427387903 at a
offer b default $0.9 4611686018427387903 at b
group g 4 1
affinity near zone owners g targets g
at most $0.1`, `
resources cpu
pool default
offer a default $0.1 8
group g 3 1
steps 9223372036854775807
at most $0.1`} {
		text, limit, _ := strings.Cut(text, "at most $")
		p, err := Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		s := mustSolve(t, p)
		if most, err := strconv.ParseFloat(limit, 64); err != nil || len(s.Unplaced) > 0 || float64(s.Cost) > most*1e6+0.5 {
			t.Errorf("%s\n%s\n%v", text, s.Text(p), err)
		}
	}
}

// TestFillersAlone: where nothing is left that may open nodes, there are no average pods to
// count kinds by.
func TestFillersAlone(t *testing.T) {
	o := &opener{}
	if got := o.relaxes(&candidate{value: 1}); got != leastRelaxed {
		t.Errorf("looks at %d kinds, not %d", got, leastRelaxed)
	}
}
