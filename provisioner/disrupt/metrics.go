package disrupt

import (
	"errors"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/stowage-sh/stowage/provisioner/lifecycle"
	"github.com/stowage-sh/stowage/provisioner/state"
	v1 "github.com/stowage-sh/stowage/provisioner/v1"
)

// Metrics counts voluntary disruption, by Karpenter's names. A nil one counts
// nothing. What the budgets allow is not counted here: it can be read off a
// snapshot (see Allowances).
type Metrics struct {
	eligibleNodes                                         *prometheus.GaugeVec
	decisions, poolDecisions, failedValidations, failures *prometheus.CounterVec
	evaluation                                            *prometheus.HistogramVec

	disruptions *lifecycle.Disruptions
}

// NewMetrics registers the metrics.
func NewMetrics(r prometheus.Registerer) (*Metrics, error) {
	const prefix = "karpenter_voluntary_disruption_"
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: prefix + name, Help: help}, labels)
	}
	m := &Metrics{
		eligibleNodes: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: prefix + "eligible_nodes", Help: "Nodes that could be disrupted if budgets allow.",
		}, []string{"reason"}),
		decisions: counter("decisions_total", "Decisions carried out.", "decision", "reason", "consolidation_type"),
		poolDecisions: counter("decisions_by_nodepool_total", "Decisions carried out, by NodePool.",
			"decision", "reason", "consolidation_type", "nodepool"),
		failedValidations: counter("failed_validations_total", "Decisions taken back before they were carried out.", "consolidation_type"),
		failures:          counter("queue_failures_total", "Decisions that could not be carried out, and are tried again.", "decision", "reason", "consolidation_type"),
		evaluation: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: prefix + "decision_evaluation_duration_seconds", Help: "Time to decide which nodes go.",
			Buckets: prometheus.ExponentialBuckets(0.001, 2, 17), // 1 ms to 65 s
		}, []string{"reason", "consolidation_type"}),
	}
	var err error
	m.disruptions, err = lifecycle.NewDisruptions(r)
	return m, errors.Join(err, r.Register(m.eligibleNodes), r.Register(m.decisions), r.Register(m.poolDecisions),
		r.Register(m.failedValidations), r.Register(m.failures), r.Register(m.evaluation))
}

// time begins to time a decision, if there is a clock, and returns what ends it.
func (m *Metrics) time(clock func() time.Time) (stop func()) {
	if m == nil || clock == nil {
		return func() {}
	}
	begin := clock()
	return func() { m.evaluation.WithLabelValues("empty", "empty").Observe(clock().Sub(begin).Seconds()) }
}

func (m *Metrics) eligible(reason v1.DisruptionReason, nodes int) {
	if m != nil {
		m.eligibleNodes.WithLabelValues(strings.ToLower(string(reason))).Set(float64(nodes))
	}
}

func (m *Metrics) rejected() {
	if m != nil {
		m.failedValidations.WithLabelValues("empty").Inc()
	}
}

func (m *Metrics) failed() {
	if m != nil {
		m.failures.WithLabelValues("delete", "empty", "empty").Inc()
	}
}

// removed counts an empty node that goes.
func (m *Metrics) removed(s *state.Snapshot, claim *v1.NodeClaim) {
	if m == nil {
		return
	}
	m.decisions.WithLabelValues("delete", "empty", "empty").Inc()
	m.poolDecisions.WithLabelValues("delete", "empty", "empty", claim.Labels[v1.LabelNodePool]).Inc()
	m.disruptions.Count(s, claim, "empty")
}
