package disrupt

import (
	"errors"
	"slices"
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
	eligibleNodes, nodes                                  *prometheus.GaugeVec
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
		nodes: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "stowage_nodes_disrupting", Help: "Nodes, by the one reason why they are or are not being disrupted: see docs/disruption.md.",
		}, []string{"nodepool", "reason"}),
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
	return m, errors.Join(err, r.Register(m.eligibleNodes), r.Register(m.nodes), r.Register(m.decisions), r.Register(m.poolDecisions),
		r.Register(m.failedValidations), r.Register(m.failures), r.Register(m.evaluation))
}

// time begins to time a decision, if there is a clock, and returns what ends it.
func (m *Metrics) time(clock func() time.Time, reason v1.DisruptionReason) (stop func()) {
	if m == nil || clock == nil {
		return func() {}
	}
	begin := clock()
	return func() {
		m.evaluation.WithLabelValues(lower(reason), consolidationType(reason)).Observe(clock().Sub(begin).Seconds())
	}
}

func (m *Metrics) eligible(reason v1.DisruptionReason, nodes int) {
	if m != nil {
		m.eligibleNodes.WithLabelValues(lower(reason)).Set(float64(nodes))
	}
}

// lower spells a reason as Karpenter's metrics and logs do.
func lower(reason v1.DisruptionReason) string { return strings.ToLower(string(reason)) }

// consolidationType is the label of that name: drift is no consolidation, and what saves money is looked
// for among all nodes at once.
func consolidationType(reason v1.DisruptionReason) string {
	switch reason {
	case v1.ReasonEmpty:
		return "empty"
	case v1.ReasonUnderutilized:
		return "multi"
	}
	return ""
}

func (m *Metrics) rejected(reason v1.DisruptionReason) {
	if m != nil {
		m.failedValidations.WithLabelValues(consolidationType(reason)).Inc()
	}
}

func (m *Metrics) failed(reason v1.DisruptionReason) {
	if m != nil {
		m.failures.WithLabelValues("delete", lower(reason), consolidationType(reason)).Inc()
	}
}

// removed counts a node that goes. Whether others were bought for its pods is not known here:
// the decision is called a replacement where it had any that had to move.
func (m *Metrics) removed(s *state.Snapshot, claim *v1.NodeClaim, reason v1.DisruptionReason) {
	if m == nil {
		return
	}
	decision := "delete"
	if node, ok := s.NodeOf(claim); ok && slices.ContainsFunc(s.PodsOn(node.Name), lifecycle.Reschedulable) {
		decision = "replace"
	}
	labels := []string{decision, lower(reason), consolidationType(reason)}
	m.decisions.WithLabelValues(labels...).Inc()
	m.poolDecisions.WithLabelValues(append(labels, claim.Labels[v1.LabelNodePool])...).Inc()
	m.disruptions.Count(s, claim, lower(reason))
}

// interrupted counts a node that goes since the cloud takes it. That is nobody's decision here.
func (m *Metrics) interrupted(s *state.Snapshot, claim *v1.NodeClaim, kind string) {
	if m != nil {
		m.disruptions.Count(s, claim, kind)
	}
}

// states shows how many nodes there are of each reason why they are or are not disrupted, by
// NodePool and reason.
func (m *Metrics) states(counts map[[2]string]int) {
	if m == nil {
		return
	}
	m.nodes.Reset()
	for key, n := range counts {
		m.nodes.WithLabelValues(key[0], key[1]).Set(float64(n))
	}
}
