package corpus

import (
	"context"
	"fmt"
	"testing"

	"github.com/stowage-sh/stowage/provisioner/consolidate"
)

// BenchmarkConsolidate plans for clusters of which two thirds of the pods have gone, on the
// embedded prices.
func BenchmarkConsolidate(b *testing.B) {
	for _, size := range []struct{ nodes, pods int }{{200, 4_000}, {2000, 40_000}, {5000, 100_000}} {
		b.Run(fmt.Sprintf("nodes-%d", size.nodes), func(b *testing.B) {
			m, err := Embedded("", Options{MaxCPU: 32})
			if err != nil {
				b.Fatal(err)
			}
			standing, err := m.Thinned(Menus(size.pods*100/35), 0.35, 1)
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			var plan *consolidate.Plan
			for b.Loop() {
				if plan, err = consolidate.Make(context.Background(), standing.Input, standing.Nodes); err != nil {
					b.Fatal(err)
				}
			}
			cost, moved := standing.emptied()
			b.ReportMetric(float64(cost)/1e6, "emptied-$/h")
			b.ReportMetric(float64(moved), "emptied-evictions")
			evictions, gone, largest, launched := 0, 0, 0, 0
			for _, c := range plan.Commands {
				evictions += c.Evictions
				gone += len(c.Nodes)
				largest = max(largest, len(c.Nodes))
				launched += len(c.New)
			}
			b.ReportMetric(float64(len(standing.Nodes)), "nodes")
			b.ReportMetric(float64(plan.Before)/1e6, "before-$/h")
			b.ReportMetric(float64(plan.After)/1e6, "after-$/h")
			b.ReportMetric(100*(float64(plan.After)/float64(max(1, plan.LowerBound))-1), "gap%")
			b.ReportMetric(float64(evictions), "evictions")
			b.ReportMetric(float64(gone), "gone")
			b.ReportMetric(float64(launched), "launched")
			b.ReportMetric(float64(len(plan.Commands)), "commands")
			b.ReportMetric(float64(largest), "largest")
		})
	}
}

// BenchmarkConsolidateChanged plans for a few nodes of a large cluster, as the controller does where a pod has
// come or gone on ten of them.
func BenchmarkConsolidateChanged(b *testing.B) {
	const nodes = 10 + 4*10 + 32
	m, err := Embedded("", Options{MaxCPU: 32})
	if err != nil {
		b.Fatal(err)
	}
	standing, err := m.Thinned(Menus(40_000*100/35), 0.35, 1)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err = consolidate.Make(context.Background(), standing.Input, standing.Nodes[:nodes]); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(len(standing.Nodes)), "nodes")
}
