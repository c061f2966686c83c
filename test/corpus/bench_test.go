package corpus

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/stowage-sh/stowage/binpack"
	"github.com/stowage-sh/stowage/cloudprovider"
	"github.com/stowage-sh/stowage/provisioner/problem"
)

// A bench is a list of pods on a market.
type bench struct {
	name   string
	market *Market
	pods   []*corev1.Pod
}

func benches(tb testing.TB) []bench {
	tb.Helper()
	market := func(o Options) *Market {
		m, err := Embedded("", o)
		if err != nil {
			tb.Fatal(err)
		}
		return m
	}
	plain, generated := market(Options{MaxCPU: 64}), Generated(400)
	both := Options{CapacityTypes: []string{cloudprovider.OnDemand, cloudprovider.Spot}, Architectures: []string{"amd64", "arm64"}}
	all := []bench{
		{"mix-1000", generated, Diverse(1000)},
		{"mix-5000", generated, Diverse(5000)},
		{"mix-20000", generated, Diverse(20000)},
		{"preferences-4000", generated, Preferring(4000)},
		{"menus-10000", plain, Menus(10000)},
		{"odd-20000", plain, OddRequests(20000)},
		{"different-20000", plain, AllDifferent(20000)},
		{"large-5000", market(Options{}), LargePods(5000)},
		{"gpu-5000", market(Options{Categories: []string{"c", "m", "r", "g", "p"}}), GPUs(5000)},
		{"mixed-10000", market(both), MixedConstraints(10000)},
	}
	// Pod lists of a folder, small nodes and any.
	names, _ := filepath.Glob(filepath.Join(os.Getenv("STOWAGE_WORKLOADS"), "*.csv"))
	for _, name := range names {
		f, err := os.Open(name)
		if err != nil {
			tb.Fatal(err)
		}
		pods, err := ReadPods(f, false)
		if err != nil {
			tb.Fatal(err)
		}
		short := strings.TrimSuffix(filepath.Base(name), ".csv")
		spot := Options{CapacityTypes: []string{cloudprovider.Spot}, Architectures: []string{"amd64", "arm64"}}
		for what, o := range map[string]Options{"od": {}, "spot": spot} {
			if strings.Contains(short, "gpu") || strings.Contains(short, "openb") {
				o.Categories, o.Architectures = []string{"c", "m", "r", "g", "p"}, nil
			}
			all = append(all, bench{short + "-" + what, market(o), pods})
			o.MaxCPU = 64
			all = append(all, bench{short + "-" + what + "-64", market(o), pods})
		}
	}
	slices.SortStableFunc(all[10:], func(a, b bench) int { return cmp.Compare(a.name, b.name) })
	return all
}

// BenchmarkBuild measures the translation alone.
func BenchmarkBuild(b *testing.B) {
	for _, x := range benches(b) {
		b.Run(x.name, func(b *testing.B) {
			b.ReportAllocs()
			groups := 0
			for b.Loop() {
				groups = len(problem.Build(x.market.Input(x.pods, 0)).Problem.Groups)
			}
			b.ReportMetric(float64(groups), "groups")
			b.ReportMetric(float64(len(x.pods)*b.N)/b.Elapsed().Seconds(), "pods/s")
		})
	}
}

// BenchmarkPlan measures all that stands between pods and NodeClaims, with the
// first plan alone and with the default budget.
func BenchmarkPlan(b *testing.B) {
	for _, x := range benches(b) {
		for maxSteps, name := range []string{"default", "first"} {
			b.Run(x.name+"/"+name, func(b *testing.B) {
				b.ReportAllocs()
				var s *binpack.Solution
				for b.Loop() {
					s = planned(b, x.market.Input(x.pods, int64(maxSteps)))
				}
				b.ReportMetric(float64(len(x.pods)*b.N)/b.Elapsed().Seconds(), "pods/s")
				nodes := int64(0)
				for _, n := range s.New {
					nodes += n.Count
				}
				b.ReportMetric(float64(nodes), "nodes")
				b.ReportMetric(float64(s.Cost)/1e6, "$/h")
				b.ReportMetric(100*(float64(s.Cost)/float64(max(1, s.LowerBound))-1), "gap%")
			})
		}
	}
}

// planned makes a plan as the controller does.
func planned(tb testing.TB, in *problem.Input) *binpack.Solution {
	tb.Helper()
	t, s, err := problem.Decide(context.Background(), in)
	if err != nil {
		tb.Fatal(err)
	}
	if err := binpack.Verify(t.Problem, s); err != nil {
		tb.Fatal(err)
	}
	t.Placed(s)
	return s
}

// TestListsAreAFunctionOfTheirSize makes each list twice; and a list has as many
// pods as it was asked for, each with a UID of its own.
func TestListsAreAFunctionOfTheirSize(t *testing.T) {
	for name, list := range map[string]func(int) []*corev1.Pod{
		"diverse": Diverse, "preferring": Preferring, "menus": Menus, "odd": OddRequests, "different": AllDifferent,
		"large": LargePods, "gpu": GPUs, "mixed": MixedConstraints,
	} {
		a, b := list(503), list(503)
		if len(a) != 503 {
			t.Errorf("%s: %d pods of 503", name, len(a))
		}
		seen := map[string]bool{}
		for i, p := range a {
			if seen[string(p.UID)] {
				t.Errorf("%s: two pods with UID %s", name, p.UID)
			}
			seen[string(p.UID)] = true
			if p.String() != b[i].String() {
				t.Errorf("%s: pod %d differs between two runs", name, i)
			}
		}
	}
}

// TestEveryPodFindsAPlace solves small lists: what is generated can be placed.
func TestEveryPodFindsAPlace(t *testing.T) {
	for _, x := range benches(t) {
		pods := x.pods[:min(len(x.pods), 300)]
		if s := planned(t, x.market.Input(pods, 1)); len(s.Unplaced) > 0 {
			t.Errorf("%s: %d groups find no place: %s", x.name, len(s.Unplaced), fmt.Sprint(s.Unplaced[0].Reasons))
		}
	}
}
