package nodepool

import (
	"errors"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"

	v1 "github.com/stowage-sh/stowage/provisioner/v1"
)

// Metrics shows what NodePools use and may use, by Karpenter's names. A nil one
// shows nothing.
type Metrics struct {
	limit, usage *prometheus.GaugeVec
}

// NewMetrics registers the metrics.
func NewMetrics(r prometheus.Registerer) (*Metrics, error) {
	gauge := func(name, help string) *prometheus.GaugeVec {
		return prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: help}, []string{"resource_type", "nodepool"})
	}
	m := &Metrics{
		limit: gauge("karpenter_nodepools_limit", "Limit of a NodePool, in the resource's base unit."),
		usage: gauge("karpenter_nodepools_usage", "What a NodePool's nodes have, in the resource's base unit."),
	}
	return m, errors.Join(r.Register(m.limit), r.Register(m.usage))
}

func (m *Metrics) observe(pool *v1.NodePool) {
	if m == nil {
		return
	}
	m.forget(pool.Name)
	show := func(g *prometheus.GaugeVec, list corev1.ResourceList) {
		for name, quantity := range list {
			g.WithLabelValues(strings.ReplaceAll(string(name), "-", "_"), pool.Name).Set(quantity.AsApproximateFloat64())
		}
	}
	show(m.limit, pool.Spec.Limits)
	show(m.usage, pool.Status.Resources)
}

func (m *Metrics) forget(pool string) {
	if m == nil {
		return
	}
	m.limit.DeletePartialMatch(prometheus.Labels{"nodepool": pool})
	m.usage.DeletePartialMatch(prometheus.Labels{"nodepool": pool})
}
