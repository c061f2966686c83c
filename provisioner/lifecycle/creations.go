package lifecycle

import (
	"strconv"

	"github.com/prometheus/client_golang/prometheus"

	v1 "github.com/stowage-sh/stowage/provisioner/v1"
)

// Creations counts NodeClaims that we make. Whoever makes one counts it; all share
// one metric.
type Creations struct{ claims *prometheus.CounterVec }

// NewCreations registers the metric, or returns the one that is registered.
func NewCreations(r prometheus.Registerer) (*Creations, error) {
	claims, err := shared(r, prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "karpenter_nodeclaims_created_total",
		Help: "NodeClaims created, by reason, NodePool and whether minValues was relaxed.",
	}, []string{"reason", "nodepool", "min_values_relaxed"}))
	return &Creations{claims}, err
}

// Count counts a claim that was made because pods or a static NodePool ask for it:
// Karpenter has one reason for both.
func (c *Creations) Count(claim *v1.NodeClaim) {
	relaxed := claim.Annotations[v1.AnnotationMinValuesRelaxed] == "true"
	c.claims.WithLabelValues("provisioned", claim.Labels[v1.LabelNodePool], strconv.FormatBool(relaxed)).Inc()
}
