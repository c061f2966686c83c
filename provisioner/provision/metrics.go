package provision

import (
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/stowage-sh/stowage/binpack"
)

// Metrics are those of provisioning, by Karpenter's names where it has them. A
// nil Metrics counts nothing.
type Metrics struct {
	claims        *prometheus.CounterVec
	depth         prometheus.Gauge
	unschedulable prometheus.Gauge
	gap           prometheus.Gauge
	duration      prometheus.Histogram
}

// NewMetrics makes the metrics and registers them.
func NewMetrics(r prometheus.Registerer) (*Metrics, error) {
	m := &Metrics{
		claims: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "karpenter_nodeclaims_created_total",
			Help: "NodeClaims created, by reason, NodePool and whether minValues was relaxed.",
		}, []string{"reason", "nodepool", "min_values_relaxed"}),
		depth: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "karpenter_scheduler_queue_depth",
			Help: "Pods that wait for a place to be decided.",
		}),
		unschedulable: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "karpenter_scheduler_unschedulable_pods_count",
			Help: "Pods of the last batch that found no place.",
		}),
		gap: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "stowage_scheduler_gap_ratio",
			Help: "Cost of the last batch's new nodes over its lower bound, minus one.",
		}),
	}
	m.duration = prometheus.NewHistogram(prometheus.HistogramOpts{
		Name:    "karpenter_scheduler_scheduling_duration_seconds",
		Help:    "Time to translate and solve a batch.",
		Buckets: prometheus.ExponentialBuckets(0.001, 2, 17), // 1 ms to 65 s
	})
	return m, errors.Join(r.Register(m.duration), r.Register(m.claims), r.Register(m.depth), r.Register(m.unschedulable), r.Register(m.gap))
}

// time begins to time a solve, if there is a clock, and returns what ends it.
func (m *Metrics) time(clock func() time.Time) (stop func()) {
	if m == nil || clock == nil {
		return func() {}
	}
	begin := clock()
	return func() { m.duration.Observe(clock().Sub(begin).Seconds()) }
}

func (m *Metrics) created(pool string) {
	if m != nil {
		m.claims.WithLabelValues("provisioned", pool, "false").Inc()
	}
}

func (m *Metrics) queue(depth int) {
	if m != nil {
		m.depth.Set(float64(depth))
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
