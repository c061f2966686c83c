package static

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/stowage-sh/stowage/provisioner/lifecycle"
	"github.com/stowage-sh/stowage/provisioner/state"
	v1 "github.com/stowage-sh/stowage/provisioner/v1"
)

// Metrics counts NodeClaims made and deleted, in metrics that others share. A nil
// one counts nothing.
type Metrics struct {
	creations   *lifecycle.Creations
	disruptions *lifecycle.Disruptions
}

// NewMetrics registers the metrics, or takes those that are registered.
func NewMetrics(r prometheus.Registerer) (*Metrics, error) {
	creations, err1 := lifecycle.NewCreations(r)
	disruptions, err2 := lifecycle.NewDisruptions(r)
	return &Metrics{creations, disruptions}, errors.Join(err1, err2)
}

func (m *Metrics) created(claim *v1.NodeClaim) {
	if m != nil {
		m.creations.Count(claim)
	}
}

func (m *Metrics) deleted(s *state.Snapshot, claim *v1.NodeClaim) {
	if m != nil {
		m.disruptions.Count(s, claim, "overprovisioned")
	}
}
