package lifecycle

import (
	"errors"
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/stowage-sh/stowage/provisioner/state"
	v1 "github.com/stowage-sh/stowage/provisioner/v1"
)

// Disruptions counts NodeClaims that we delete ourselves, and the pods that this
// moves. Whoever deletes one counts it; all share one pair of metrics.
type Disruptions struct{ claims, pods *prometheus.CounterVec }

// NewDisruptions registers the pair, or returns the one that is registered.
func NewDisruptions(r prometheus.Registerer) (*Disruptions, error) {
	labels := []string{"reason", "nodepool", "capacity_type", "consolidation_policy", "termination_mode"}
	claims, err1 := shared(r, prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "karpenter_nodeclaims_disrupted_total", Help: "NodeClaims deleted by us, by reason.",
	}, labels))
	pods, err2 := shared(r, prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "karpenter_pods_disruption_initiated_total", Help: "Pods that needed another place when we deleted their node's NodeClaim, by reason.",
	}, labels))
	return &Disruptions{claims, pods}, errors.Join(err1, err2)
}

// Count counts a claim that was deleted for a reason, and the pods on its node.
func (d *Disruptions) Count(s *state.Snapshot, claim *v1.NodeClaim, reason string) {
	policy := ""
	if pool, ok := s.NodePools.Get(claim.Labels[v1.LabelNodePool]); ok {
		policy = SnakeCase(string(pool.Spec.Disruption.ConsolidationPolicy))
	}
	labels := []string{reason, claim.Labels[v1.LabelNodePool], claim.Labels[v1.LabelCapacityType], policy, terminationMode(claim)}
	d.claims.WithLabelValues(labels...).Inc()
	moved := 0
	if node, ok := s.NodeOf(claim); ok {
		for _, pod := range s.PodsOn(node.Name) {
			if Reschedulable(pod) {
				moved++
			}
		}
	}
	d.pods.WithLabelValues(labels...).Add(float64(moved))
}

// terminationMode says how a claim's drain treats pods that do not want to go.
func terminationMode(claim *v1.NodeClaim) string {
	if _, ok := claim.Annotations[v1.AnnotationTerminationTimestamp]; ok { // set by who deletes it
		return "forceful"
	}
	grace, bounded := claim.Spec.TerminationGracePeriod.Get()
	switch {
	case !bounded:
		return "graceful"
	case grace > 0:
		return "eventual"
	}
	return "forceful"
}

// SnakeCase turns WhenEmpty into when_empty.
func SnakeCase(words string) string {
	var b strings.Builder
	for i, r := range words {
		if i > 0 && 'A' <= r && r <= 'Z' {
			b.WriteByte('_')
		}
		b.WriteRune(r)
	}
	return strings.ToLower(b.String())
}
