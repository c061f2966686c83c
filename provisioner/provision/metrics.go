package provision

import (
	"errors"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"

	"github.com/stowage-sh/stowage/binpack"
	"github.com/stowage-sh/stowage/provisioner/lifecycle"
	"github.com/stowage-sh/stowage/provisioner/problem"
)

// A Witness hears what was decided of pods, and when. Its methods must not wait.
type Witness interface {
	// Waits: the pods have no place and wait for a decision.
	Waits(now time.Time, pods []*corev1.Pod)
	// Placed: a place was decided for the pods.
	Placed(now time.Time, pods []*corev1.Pod)
	// Unplaced: the pods were looked at, and no place was found for them.
	Unplaced(now time.Time, pods []*corev1.Pod)
}

// Metrics are those of provisioning, by Karpenter's names where it has them. A
// nil Metrics counts nothing.
type Metrics struct {
	// Witness may be nil.
	Witness Witness

	claims        *lifecycle.Creations
	pods          *prometheus.CounterVec
	waves         *prometheus.CounterVec
	depth         prometheus.Gauge
	unschedulable prometheus.Gauge
	gap           prometheus.Gauge
	duration      prometheus.Histogram

	underWay atomic.Pointer[work] // the solve that has begun and not ended
}

// work is something that takes time.
type work struct {
	clock func() time.Time
	begin time.Time
}

func (w *work) seconds() float64 { return w.clock().Sub(w.begin).Seconds() }

// NewMetrics makes the metrics and registers them.
func NewMetrics(r prometheus.Registerer) (*Metrics, error) {
	// Karpenter solves in two controllers and tells them apart; here there is one.
	scheduler := prometheus.Labels{"controller": "provisioner"}
	gauge := func(name, help string) prometheus.GaugeOpts {
		return prometheus.GaugeOpts{Name: "karpenter_scheduler_" + name, Help: help, ConstLabels: scheduler}
	}
	m := &Metrics{
		pods: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "stowage_pods_bound_total",
			Help: "Pods with a place decided that were bound, by placement: as_planned or elsewhere.",
		}, []string{"placement"}),
		waves: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "stowage_second_waves_total",
			Help: "Batches that bought nodes for pods planned for other new nodes before, by cause: place_lost (the node is there and has not taken them) or node_gone (it went, or never came).",
		}, []string{"cause"}),
		depth:         prometheus.NewGauge(gauge("queue_depth", "Pods that wait for a place to be decided.")),
		unschedulable: prometheus.NewGauge(gauge("unschedulable_pods_count", "Pods of the last batch that found no place.")),
		gap: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "stowage_scheduler_gap_ratio",
			Help: "Cost of the last batch's new nodes over its lower bound, minus one.",
		}),
	}
	m.duration = prometheus.NewHistogram(prometheus.HistogramOpts{
		Name:        "karpenter_scheduler_scheduling_duration_seconds",
		Help:        "Time to translate and solve a batch.",
		Buckets:     prometheus.ExponentialBuckets(0.001, 2, 17), // 1 ms to 65 s
		ConstLabels: scheduler,
	})
	unfinished := prometheus.NewGaugeFunc(gauge("unfinished_work_seconds", "How long ago the solve began that has not ended; 0 when there is none."), func() float64 {
		if w := m.underWay.Load(); w != nil {
			return w.seconds()
		}
		return 0
	})
	var err error
	m.claims, err = lifecycle.NewCreations(r)
	return m, errors.Join(err, r.Register(m.duration), r.Register(m.pods), r.Register(m.waves),
		r.Register(m.depth), r.Register(m.unschedulable), r.Register(m.gap), r.Register(unfinished))
}

// time begins to time a solve, if there is a clock, and returns what ends it.
func (m *Metrics) time(clock func() time.Time) (stop func()) {
	if m == nil || clock == nil {
		return func() {}
	}
	w := &work{clock, clock()}
	m.underWay.Store(w)
	return func() {
		m.duration.Observe(w.seconds())
		m.underWay.Store(nil)
	}
}

// created counts a NodeClaim that was created for pods.
func (m *Metrics) created(now time.Time, l *problem.Launch) {
	if m == nil {
		return
	}
	m.claims.Count(l.Claim)
	waited, _ := split(l.Pods)
	m.placed(now, waited)
}

// bound counts a pod that had a decided place.
func (m *Metrics) bound(asPlanned bool) {
	switch {
	case m == nil:
	case asPlanned:
		m.pods.WithLabelValues("as_planned").Inc()
	default:
		m.pods.WithLabelValues("elsewhere").Inc()
	}
}

// secondWave counts a batch that bought nodes for pods which had been planned for
// others.
func (m *Metrics) secondWave(cause string) {
	if m != nil {
		m.waves.WithLabelValues(cause).Inc()
	}
}

// placed notes pods for which a place was decided.
func (m *Metrics) placed(now time.Time, pods []*corev1.Pod) {
	if m != nil && m.Witness != nil {
		m.Witness.Placed(now, pods)
	}
}

// unplaced notes pods for which no place was found.
func (m *Metrics) unplaced(now time.Time, pods []*corev1.Pod) {
	if m != nil && m.Witness != nil {
		m.Witness.Unplaced(now, pods)
	}
}

// queue notes the pods that wait.
func (m *Metrics) queue(now time.Time, pods []*corev1.Pod) {
	if m == nil {
		return
	}
	m.depth.Set(float64(len(pods)))
	if m.Witness != nil {
		m.Witness.Waits(now, pods)
	}
}

func (m *Metrics) solved(s *binpack.Solution, unplaced int) {
	if m == nil {
		return
	}
	m.unschedulable.Set(float64(unplaced))
	if s.LowerBound > 0 {
		m.gap.Set(float64(s.Cost)/float64(s.LowerBound) - 1)
	}
}
