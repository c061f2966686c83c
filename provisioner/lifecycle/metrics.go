package lifecycle

import (
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/stowage-sh/stowage/provisioner/state"
	v1 "github.com/stowage-sh/stowage/provisioner/v1"
)

// Metrics counts what happens to NodeClaims, by Karpenter's names. A nil one
// counts nothing.
type Metrics struct {
	claimsTerminated, nodesCreated, nodesTerminated, nodesDrained, podsDrained, evictionRequests *prometheus.CounterVec
	claimTermination, nodeLifetime, instanceTermination                                          *prometheus.HistogramVec
	nodeTermination                                                                              *prometheus.SummaryVec

	disruptions *Disruptions
}

// NewMetrics registers the metrics. One that another package registered before
// is shared with it.
func NewMetrics(r prometheus.Registerer) (*Metrics, error) {
	m := &Metrics{}
	var errs []error
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		c, err := shared(r, prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels))
		errs = append(errs, err)
		return c
	}
	histogram := func(name, help string, labels ...string) *prometheus.HistogramVec {
		h, err := shared(r, prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: name, Help: help, Buckets: prometheus.ExponentialBuckets(0.5, 2, 20),
		}, labels))
		errs = append(errs, err)
		return h
	}
	m.claimsTerminated = counter("karpenter_nodeclaims_terminated_total", "NodeClaims that ended.", "nodepool", "capacity_type", "zone")
	m.nodesCreated = counter("karpenter_nodes_created_total", "Nodes that registered.", "nodepool", "zone")
	m.nodesTerminated = counter("karpenter_nodes_terminated_total", "Nodes that ended.", "nodepool", "zone")
	m.nodesDrained = counter("karpenter_nodes_drained_total", "Nodes that were drained.", "nodepool")
	m.podsDrained = counter("karpenter_pods_drained_total", "Pods that were evicted from nodes that are going, by why they are going.", "reason")
	m.evictionRequests = counter("karpenter_pods_eviction_requests_total", "Evictions asked for, by the answer's code.", "code")
	m.claimTermination = histogram("karpenter_nodeclaims_termination_duration_seconds", "From a NodeClaim's deletion to its end.", "nodepool")
	m.instanceTermination = histogram("karpenter_nodeclaims_instance_termination_duration_seconds", "From asking the cloud to the machine's end.", "nodepool")
	var err error
	m.nodeTermination, err = shared(r, prometheus.NewSummaryVec(prometheus.SummaryOpts{
		Name: "karpenter_nodes_termination_duration_seconds", Help: "From a node's deletion to its end.",
		Objectives: map[float64]float64{0: 0.01, 0.5: 0.01, 0.9: 0.01, 0.99: 0.01, 1: 0.01},
	}, []string{"nodepool"}))
	errs = append(errs, err)
	m.disruptions, err = NewDisruptions(r)
	errs = append(errs, err)
	m.nodeLifetime = histogram("karpenter_nodes_lifetime_duration_seconds", "From a node's creation to its end.", "nodepool")
	return m, errors.Join(errs...)
}

// shared registers c, or returns the collector of the same name and labels that
// is registered already.
func shared[C prometheus.Collector](r prometheus.Registerer, c C) (C, error) {
	err := r.Register(c)
	if already, ok := errors.AsType[prometheus.AlreadyRegisteredError](err); ok {
		if there, ok := already.ExistingCollector.(C); ok {
			return there, nil
		}
	}
	return c, err
}

func (m *Metrics) disrupted(s *state.Snapshot, claim *v1.NodeClaim, reason string) {
	if m != nil {
		m.disruptions.Count(s, claim, reason)
	}
}

func (m *Metrics) registered(claim *v1.NodeClaim) {
	if m != nil {
		m.nodesCreated.WithLabelValues(claim.Labels[v1.LabelNodePool], claim.Labels[corev1.LabelTopologyZone]).Inc()
	}
}

func (m *Metrics) drained(claim *v1.NodeClaim) {
	if m != nil {
		m.nodesDrained.WithLabelValues(claim.Labels[v1.LabelNodePool]).Inc()
	}
}

// evicted counts an answer to a request to evict a pod.
func (m *Metrics) evicted(err error, reason string) {
	if m == nil {
		return
	}
	m.evictionRequests.WithLabelValues(evictionCode(err)).Inc()
	if err == nil {
		m.podsDrained.WithLabelValues(reason).Inc()
	}
}

// drainReason is why a claim's node is drained: the disruption that was decided,
// or else somebody's deletion, which Karpenter calls so.
func drainReason(claim *v1.NodeClaim) string {
	if c := v1.GetCondition(claim.Status.Conditions, v1.ConditionDisruptionReason); c != nil && c.Status == metav1.ConditionTrue {
		return c.Reason
	}
	return "Forceful Termination"
}

func (m *Metrics) nodeTerminated(now time.Time, node *corev1.Node) {
	if m == nil {
		return
	}
	pool := node.Labels[v1.LabelNodePool]
	m.nodesTerminated.WithLabelValues(pool, node.Labels[corev1.LabelTopologyZone]).Inc()
	m.nodeLifetime.WithLabelValues(pool).Observe(now.Sub(node.CreationTimestamp.Time).Seconds())
	if node.DeletionTimestamp != nil {
		m.nodeTermination.WithLabelValues(pool).Observe(now.Sub(node.DeletionTimestamp.Time).Seconds())
	}
}

func (m *Metrics) terminated(now time.Time, claim *v1.NodeClaim) {
	if m == nil {
		return
	}
	pool := claim.Labels[v1.LabelNodePool]
	m.claimsTerminated.WithLabelValues(pool, claim.Labels[v1.LabelCapacityType], claim.Labels[corev1.LabelTopologyZone]).Inc()
	if claim.DeletionTimestamp != nil {
		m.claimTermination.WithLabelValues(pool).Observe(now.Sub(claim.DeletionTimestamp.Time).Seconds())
	}
	if c := v1.GetCondition(claim.Status.Conditions, v1.ConditionInstanceTerminating); c != nil {
		m.instanceTermination.WithLabelValues(pool).Observe(now.Sub(c.LastTransitionTime.Time).Seconds())
	}
}
