package repair

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/stowage-sh/stowage/provisioner/lifecycle"
	"github.com/stowage-sh/stowage/provisioner/state"
	v1 "github.com/stowage-sh/stowage/provisioner/v1"
)

// Metrics counts repairs, by Karpenter's names. A nil one counts nothing.
type Metrics struct {
	claims      *prometheus.CounterVec
	disruptions *lifecycle.Disruptions
}

// NewMetrics registers the metrics.
func NewMetrics(r prometheus.Registerer) (*Metrics, error) {
	m := &Metrics{claims: prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "karpenter_nodeclaims_unhealthy_disrupted_total",
		Help: "NodeClaims deleted because their nodes were unhealthy, by the condition that said so.",
	}, []string{"condition", "nodepool", "capacity_type", "image_id"})}
	var err error
	m.disruptions, err = lifecycle.NewDisruptions(r)
	return m, errors.Join(err, r.Register(m.claims))
}

func (m *Metrics) repaired(s *state.Snapshot, claim *v1.NodeClaim, why symptom) {
	if m == nil {
		return
	}
	m.claims.WithLabelValues(lifecycle.SnakeCase(string(why.condition)), claim.Labels[v1.LabelNodePool], claim.Labels[v1.LabelCapacityType], claim.Status.ImageID).Inc()
	m.disruptions.Count(s, claim, "unhealthy")
}
