package disrupt

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// TestDecisionsAreTimed by the clock that is given, and those that fail counted.
func TestDecisionsAreTimed(t *testing.T) {
	r := prometheus.NewRegistry()
	m, err := NewMetrics(r)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Unix(0, 0)
	stop := m.time(func() time.Time { return now }, "Empty")
	now = now.Add(3 * time.Second)
	stop()
	m.time(nil, "Empty")() // no clock, no time
	m.failed("Empty")
	var none *Metrics
	none.time(func() time.Time { return now }, "Empty")()
	none.failed("Empty")
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, f := range families {
		for _, s := range f.Metric {
			fmt.Fprintln(&b, f.GetName(), s.GetCounter().GetValue(), s.GetHistogram().GetSampleCount(), s.GetHistogram().GetSampleSum())
		}
	}
	want := `karpenter_voluntary_disruption_decision_evaluation_duration_seconds 0 1 3
karpenter_voluntary_disruption_queue_failures_total 1 0 0
`
	if b.String() != want {
		t.Errorf("got\n%s\nwant\n%s", &b, want)
	}
}
