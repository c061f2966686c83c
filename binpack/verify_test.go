package binpack

import (
	"strings"
	"testing"
)

// everyConstraint is a problem in which each kind of constraint binds, and
// wholePlan a solution of it, written by hand since it uses more than Solve does.
const everyConstraint = `
resources cpu memory
key zone a b
pool heavy weight 1 left 1 -
pool main left 20 - nodes 4 minvalues 0 2
offer small-heavy heavy $0.010 2 2
offer small-a main $0.010 4 8 overhead 1 0 at a values 1
offer large-a main $0.012 8 16 overhead 1 0 charge 6 16 at a values 2
offer small-b main $0.010 4 8 at b values 1
offer large-b main $0.012 8 16 at b values 2
offer lone-b main $0.050 4 8 at b values 1
offer both-b main $0.060 4 8 at b values 3
stock reserved 1 offers small-b
node old-a 4 4 at a
node old-b 4 4 at b
group web 4 1 1 max 1 offers all but small-heavy
group db 2 1 1 offers all but small-heavy nodes none
group cache 2 1 1 offers all but small-heavy
group lone 1 1 1 offers all but small-heavy
group big 1 64 1
group odd 1 1 1 unsupported spec.resourceClaims
exclusion apart hostname of db from db
exclusion zones zone of cache from lone
spread even zone owners web counted web skew 1 over a 0 b 0
affinity near zone owners cache targets web
`

func wholePlan(t *testing.T) (*Problem, *Solution) {
	t.Helper()
	p, err := Parse(everyConstraint)
	if err != nil {
		t.Fatal(err)
	}
	groups := func(counts ...int64) (pods []Share) { // web, db, cache, lone
		for g, n := range counts {
			if n > 0 {
				pods = append(pods, Share{g, n})
			}
		}
		return pods
	}
	return p, &Solution{
		New: []Pattern{
			{Count: 1, Offers: []int{1, 2}, Pods: groups(1, 1, 1)},
			{Count: 1, Offers: []int{3, 4}, Pods: groups(1, 1)},
		},
		Fills: []Fill{
			{Node: 0, Pods: groups(1, 0, 1)},
			{Node: 1, Pods: groups(1, 0, 0, 1)},
		},
		Unplaced: []Unplaced{
			{Group: 4, Count: 1, Reasons: []Reason{{Code: InsufficientResources, Resource: 0, Wanted: 64, Best: 8}}},
			{Group: 5, Count: 1, Reasons: []Reason{{Code: Unsupported, Pool: -1, Resource: -1, Constraint: "spec.resourceClaims"}}},
		},
		Cost: 20000, LowerBound: 12000,
	}
}

func TestVerifyAcceptsTheWholePlan(t *testing.T) {
	p, s := wholePlan(t)
	if err := Verify(p, s); err != nil {
		t.Fatal(err)
	}
}

// spoils are the ways to spoil the whole plan, or the problem under it, and what
// Verify says then.
var spoils = []struct {
	want  string
	spoil func(p *Problem, s *Solution)
}{
	{"checking the problem: pool \"main\": nodes left: -1", func(p *Problem, _ *Solution) { p.Pools[1].NodesLeft = -1 }},
	{"lists 0 offers", func(_ *Problem, s *Solution) { s.New[0].Offers = nil }},
	{"lists 61 offers", func(_ *Problem, s *Solution) { s.New[0].Offers = make([]int, 61) }},
	{"offer index 99", func(_ *Problem, s *Solution) { s.New[0].Offers[0] = 99 }},
	{"offer index 1, which is out of range or there twice", func(_ *Problem, s *Solution) { s.New[0].Offers[1] = 1 }},
	{"two pools", func(_ *Problem, s *Solution) { s.New[0].Offers[1] = 0 }},
	{"two variants", func(p *Problem, _ *Solution) { p.Offers[2].Variant = 1 }},
	{"after a dearer alternative", func(_ *Problem, s *Solution) { s.New[1].Offers = []int{3, 5, 4} }},
	{"node index 7", func(_ *Problem, s *Solution) { s.Fills[0].Node = 7 }},
	{"node index 1 is out of range or filled twice", func(_ *Problem, s *Solution) { s.Fills[0].Node = 1 }},
	{"holds no pod", func(_ *Problem, s *Solution) { s.Fills[0].Pods = nil }},
	{"group index -1", func(_ *Problem, s *Solution) { s.Fills[0].Pods[0].Group = -1 }},
	{"1 × 0 pods of group web", func(_ *Problem, s *Solution) { s.Fills[0].Pods[0].Count = 0 }},
	{"0 × 1 pods of group web", func(_ *Problem, s *Solution) { s.New[0].Count = 0 }},
	{"9000000000000000000 × 1 pods", func(_ *Problem, s *Solution) { s.New[0].Count = 9e18 }},
	{"lists group web twice", func(_ *Problem, s *Solution) { s.New[0].Pods[1].Group = 0 }},
	{"spec.resourceClaims is not supported", func(_ *Problem, s *Solution) { s.Fills[0].Pods[1].Group = 5 }},
	{"unplaced without a reason", func(_ *Problem, s *Solution) { s.Unplaced[0].Reasons = nil }},
	{"group big: 0 pods placed or unplaced of 1", func(_ *Problem, s *Solution) { s.Unplaced = s.Unplaced[1:] }},
	{"group web: 5 pods placed or unplaced of 4", func(_ *Problem, s *Solution) {
		s.Unplaced = append(s.Unplaced, Unplaced{0, 1, s.Unplaced[0].Reasons})
	}},
	{"2 pods of group web, at most 1", func(p *Problem, s *Solution) { p.Groups[0].Count++; s.New[0].Pods[0].Count = 2 }},
	{"node old-a is not open to group web", func(p *Problem, _ *Solution) { p.Groups[0].Nodes = SetOf(1) }},
	{"offer large-a is not open to group db", func(p *Problem, _ *Solution) { p.Groups[1].Offers = SetOf(1, 3, 4) }},
	{"node old-a: load of memory is 1 above", func(p *Problem, _ *Solution) { p.Nodes[0].Free[1] = 1 }},
	{"offer large-a: load of cpu is 2 above", func(p *Problem, _ *Solution) { p.Offers[2].Capacity[0] = 2 }},
	{"offer large-a: overhead of cpu is 9 above", func(p *Problem, _ *Solution) { p.Offers[2].Overhead[0] = 17 }},
	{"1 values of label 0, at least 2", func(_ *Problem, s *Solution) { s.New[0].Offers = []int{1} }},
	{"1 values of label 0, at least 2", func(p *Problem, _ *Solution) { p.Offers[2].Relaxed, p.Offers[2].Values[0] = true, 1 }},
	{"pool main: 1 new nodes more", func(p *Problem, _ *Solution) { p.Pools[1].NodesLeft = 1 }},
	{"limit of cpu is exceeded by 1", func(p *Problem, _ *Solution) { p.Pools[1].Left[0] = 13 }},
	{"stock reserved: 1 units more", func(p *Problem, _ *Solution) { p.Stocks[0].Count = 0 }},
	{"exclusion apart: pattern 1 holds 2 pods", func(p *Problem, s *Solution) { p.Groups[1].Count++; s.New[1].Pods[1].Count = 2 }},
	{"exclusion zones: zone a holds 1 pods of one side and 1", func(_ *Problem, s *Solution) {
		s.Fills[0].Pods[1].Group, s.Fills[1].Pods[1].Group = 3, 2
	}},
	{"spread even: pattern 1 lists offers of several domains of zone", func(_ *Problem, s *Solution) { s.New[1].Offers[1] = 2 }},
	{"spread even: zone b holds 3 pods, the lowest 1", func(p *Problem, s *Solution) {
		p.Nodes = append(p.Nodes, Node{"new-b", Vector{4, 4}, []int{1}})
		p.Groups[0].Nodes.Add(2)
		s.Fills = append(s.Fills, Fill{2, []Share{{0, 1}}})
		s.Fills[0].Pods = s.Fills[0].Pods[1:]
	}},
	{"spread even: zone a holds 4 pods, the lowest 2", func(p *Problem, _ *Solution) { p.Spreads[0].Domains[0].Count = 2 }},
	{"spread even: zone a holds 2 pods, the lowest 0", func(p *Problem, _ *Solution) { p.Spreads[0].MinDomains = 3 }},
	{"owners in zone b, which is not eligible", func(p *Problem, _ *Solution) { p.Spreads[0].Domains = p.Spreads[0].Domains[:1] }},
	{"owners in no domain of zone", func(p *Problem, _ *Solution) { p.Nodes[0].Domains[0] = NoDomain }},
	{"affinity near: zone a holds owners and none of their targets", func(p *Problem, _ *Solution) { p.Affinities[0].Targets = SetOf(3) }},
	{"group lone is on a pool of weight 0, and offer small-heavy", func(p *Problem, s *Solution) {
		p.Pools[0].Left = nil
		p.Exclusions = p.Exclusions[:1]
		p.Groups[3].Offers = SetOf(0, 1, 2, 3, 4, 5, 6)
		s.New[1].Pods = append(s.New[1].Pods, s.Fills[1].Pods[1])
		s.Fills[1].Pods = s.Fills[1].Pods[:1]
	}},
	{"cost is given as 1", func(_ *Problem, s *Solution) { s.Cost = 1 }},
	{"lower bound 20001", func(_ *Problem, s *Solution) { s.LowerBound = 20001 }},
	{"lower bound -1", func(_ *Problem, s *Solution) { s.LowerBound = -1 }},
}

// TestVerifyRefuses spoils the whole plan in every way there is, one at a time.
// Each must be told in the words that name it.
func TestVerifyRefuses(t *testing.T) {
	for _, test := range spoils {
		t.Run(test.want, func(t *testing.T) {
			p, s := wholePlan(t)
			test.spoil(p, s)
			if err := Verify(p, s); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("Verify said %v", err)
			}
		})
	}
}

// TestVerifyHostname: the constraints over Hostname, where every node is a
// domain, and each copy of a pattern one more.
func TestVerifyHostname(t *testing.T) {
	const head = `
resources cpu
pool p
offer o p $0.1 8
node n 8
group x 4 1
group y 4 1
`
	one := []Share{{0, 2}, {1, 2}}
	for _, test := range []struct{ rule, want string }{
		{"", ""},
		{"spread s hostname owners x counted x skew 2", ""},
		{"spread s hostname owners x counted x skew 1", "spread s: pattern 0 holds 2 pods, the lowest 0"},
		{"spread s hostname owners x counted x skew 2 over n 1", "spread s: node n holds 3 pods, the lowest 0"},
		{"spread s hostname owners x counted x y skew 3", "spread s: pattern 0 holds 4 pods"},
		{"exclusion e hostname of x from x", "exclusion e: pattern 0 holds 2 pods of one side and 2"},
		{"exclusion e hostname of x from y", "exclusion e: pattern 0 holds"},
		{"affinity a hostname owners x targets y", ""},
		{"affinity a hostname owners x targets x", "affinity a: node n is a second domain"},
		{"affinity a hostname owners x targets x present n", "affinity a: pattern 0 holds owners and none"},
		{"affinity a hostname owners x targets x y", ""},
	} {
		t.Run(test.rule, func(t *testing.T) {
			p, err := Parse(head + test.rule)
			if err != nil {
				t.Fatal(err)
			}
			s := &Solution{
				New: []Pattern{{1, []int{0}, one}}, Fills: []Fill{{0, one}}, Cost: 100000,
			}
			err = Verify(p, s)
			if (test.want == "") != (err == nil) || (err != nil && !strings.Contains(err.Error(), test.want)) {
				t.Errorf("Verify said %v, want %q", err, test.want)
			}
		})
	}
	t.Run("copies are domains", func(t *testing.T) {
		p, err := Parse(strings.ReplaceAll(head, "node n 8\n", "") + "affinity a hostname owners x y targets x y")
		if err != nil {
			t.Fatal(err)
		}
		s := &Solution{New: []Pattern{{2, []int{0}, one}}, Cost: 200000}
		if err := Verify(p, s); err == nil || !strings.Contains(err.Error(), "a second domain") {
			t.Errorf("Verify said %v", err)
		}
	})
}
