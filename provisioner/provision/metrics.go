package provision

import (
	"errors"

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
	return m, errors.Join(r.Register(m.claims), r.Register(m.depth), r.Register(m.unschedulable), r.Register(m.gap))
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
