package disrupt

import (
	"errors"
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	v1 "github.com/stowage-sh/stowage/provisioner/v1"
)

// Metrics counts voluntary disruption, by Karpenter's names. A nil one counts
// nothing.
type Metrics struct {
	allowedNodes, eligibleNodes                           *prometheus.GaugeVec
	decisions, poolDecisions, failedValidations, removals *prometheus.CounterVec
}

// NewMetrics registers the metrics. One that another package registered before
// is shared with it.
func NewMetrics(r prometheus.Registerer) (*Metrics, error) {
	m := &Metrics{}
	var errs []error
	gauge := func(name, help string, labels ...string) *prometheus.GaugeVec {
		g := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: help}, labels)
		errs = append(errs, r.Register(g))
		return g
	}
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		c := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
		err := r.Register(c)
		if already, ok := errors.AsType[prometheus.AlreadyRegisteredError](err); ok {
			if there, ok := already.ExistingCollector.(*prometheus.CounterVec); ok {
				return there
			}
		}
		errs = append(errs, err)
		return c
	}
	m.allowedNodes = gauge("karpenter_nodepools_allowed_disruptions", "Nodes of a NodePool that may be disrupted now.", "nodepool", "reason")
	m.eligibleNodes = gauge("karpenter_voluntary_disruption_eligible_nodes", "Nodes that could be disrupted if budgets allow.", "reason")
	m.decisions = counter("karpenter_voluntary_disruption_decisions_total", "Decisions taken.", "decision", "reason", "consolidation_type")
	m.poolDecisions = counter("karpenter_voluntary_disruption_decisions_by_nodepool_total", "Decisions taken, by NodePool.",
		"decision", "reason", "consolidation_type", "nodepool")
	m.failedValidations = counter("karpenter_voluntary_disruption_failed_validations_total", "Decisions taken back before they were carried out.", "consolidation_type")
	m.removals = counter("karpenter_nodeclaims_disrupted_total", "NodeClaims deleted by us, by reason.",
		"reason", "nodepool", "capacity_type", "consolidation_policy", "termination_mode")
	return m, errors.Join(errs...)
}

func (m *Metrics) allowed(pool string, reason v1.DisruptionReason, nodes int) {
	if m != nil {
		m.allowedNodes.WithLabelValues(pool, strings.ToLower(string(reason))).Set(float64(max(0, nodes)))
	}
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

// removed counts an empty node that goes. The pool is nil if it is gone.
func (m *Metrics) removed(claim *v1.NodeClaim, pool *v1.NodePool) {
	if m == nil {
		return
	}
	policy := ""
	if pool != nil {
		policy = string(pool.Spec.Disruption.ConsolidationPolicy)
	}
	name := claim.Labels[v1.LabelNodePool]
	m.decisions.WithLabelValues("delete", "empty", "empty").Inc()
	m.poolDecisions.WithLabelValues("delete", "empty", "empty", name).Inc()
	m.removals.WithLabelValues("empty", name, claim.Labels[v1.LabelCapacityType], policy, "graceful").Inc()
}
