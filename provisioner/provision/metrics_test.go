package provision

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
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

// A witness writes down what it hears.
type witness struct {
	begin time.Time
	heard []string
}

func (w *witness) Waits(now time.Time, pods []*corev1.Pod)    { w.note("waits", now, pods) }
func (w *witness) Placed(now time.Time, pods []*corev1.Pod)   { w.note("placed", now, pods) }
func (w *witness) Unplaced(now time.Time, pods []*corev1.Pod) { w.note("unplaced", now, pods) }

func (w *witness) note(what string, now time.Time, pods []*corev1.Pod) {
	for _, p := range pods {
		w.heard = append(w.heard, fmt.Sprintf("%s %s %s", now.Sub(w.begin), what, p.Name))
	}
}

// TestDecisionsAreTold: a witness hears of pods when they wait, and of what was
// decided, on new nodes and on those that are there.
func TestDecisionsAreTold(t *testing.T) {
	r := newRig(t, nodePool("general"), waiting("fits", "1"), waiting("huge", "100"))
	var err error
	if r.Metrics, err = NewMetrics(prometheus.NewRegistry()); err != nil {
		t.Fatal(err)
	}
	w := &witness{begin: r.now}
	r.Metrics.Witness = w
	r.step(0)
	if got := strings.Join(w.heard, ", "); got != "0s waits fits, 0s waits huge" {
		t.Errorf("before the window closes: %s", got)
	}
	w.heard = nil
	r.step(time.Second)
	slices.Sort(w.heard)
	if got := strings.Join(w.heard, ", "); got != "1s placed fits, 1s unplaced huge, 1s waits fits, 1s waits huge" {
		t.Errorf("as it closes: %s", got)
	}
	// Another fits beside the first, on the machine that is on its way.
	r.Cluster.Observe(waiting("second", "1"))
	w.heard = nil
	r.step(0)
	r.step(time.Second)
	if !slices.Contains(w.heard, "2s placed second") {
		t.Errorf("of a pod that an earlier machine holds: %v", w.heard)
	}
}
