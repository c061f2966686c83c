package provision

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// TestLargeBatchesAreNotAnnounced pod by pod: only the first few are, and the
// solve is timed by the clock that it is given.
func TestLargeBatchesAreNotAnnounced(t *testing.T) {
	objects := []client.Object{nodePool("general")}
	for i := range maxNominated + 5 {
		objects = append(objects, waiting(fmt.Sprintf("p%02d", i), "1"))
	}
	r := newRig(t, objects...)
	registry := prometheus.NewRegistry()
	var err error
	if r.Metrics, err = NewMetrics(registry); err != nil {
		t.Fatal(err)
	}
	ticks := 0
	r.Clock = func() time.Time { ticks++; return time.Unix(int64(3*ticks), 0) }
	r.step(0)
	r.step(time.Second)
	if n := strings.Count(r.events.take(), "Nominated"); n != maxNominated {
		t.Errorf("%d pods were told their place, want %d", n, maxNominated)
	}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == "karpenter_scheduler_scheduling_duration_seconds" {
			if h := f.Metric[0].Histogram; h.GetSampleCount() != 1 || h.GetSampleSum() != 3 {
				t.Errorf("timed %d solves, %v s in all", h.GetSampleCount(), h.GetSampleSum())
			}
			return
		}
	}
	t.Error("the solve is not timed")
}
