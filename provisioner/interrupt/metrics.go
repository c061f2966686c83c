package interrupt

import (
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/stowage-sh/stowage/cloudprovider"
)

// Metrics counts notices, by Karpenter's names. A nil one counts nothing.
type Metrics struct {
	receivedMessages, unhealthyStatus *prometheus.CounterVec
	deletedMessages                   prometheus.Counter
	queued                            prometheus.Histogram
}

// NewMetrics registers the metrics.
func NewMetrics(r prometheus.Registerer) (*Metrics, error) {
	const prefix = "karpenter_interruption_"
	m := &Metrics{
		receivedMessages: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: prefix + "received_messages_total", Help: "Messages from the interruption queue, by kind.",
		}, []string{"message_type"}),
		unhealthyStatus: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: prefix + "instance_status_unhealthy_total", Help: "Nodes that go for what the status of their instance says, by kind.",
		}, []string{"category"}),
		deletedMessages: prometheus.NewCounter(prometheus.CounterOpts{
			Name: prefix + "deleted_messages_total", Help: "Messages deleted from the interruption queue, since all that follows from them is written down.",
		}),
		queued: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: prefix + "message_queue_duration_seconds", Help: "From when the cloud said something until it was read.",
			Buckets: prometheus.ExponentialBuckets(0.1, 2, 13), // 0.1 s to 7 min
		}),
	}
	return m, errors.Join(r.Register(m.receivedMessages), r.Register(m.unhealthyStatus), r.Register(m.deletedMessages), r.Register(m.queued))
}

func (m *Metrics) received(now time.Time, n cloudprovider.Notice) {
	if m == nil {
		return
	}
	m.receivedMessages.WithLabelValues(n.Kind).Inc()
	if !n.Sent.IsZero() {
		m.queued.Observe(max(0, now.Sub(n.Sent).Seconds()))
	}
}

func (m *Metrics) deleted() {
	if m != nil {
		m.deletedMessages.Inc()
	}
}

// unhealthy counts a notice that was found by asking for the status of instances.
func (m *Metrics) unhealthy(n cloudprovider.Notice) {
	if m != nil && n.ID == "" {
		m.unhealthyStatus.WithLabelValues(n.Kind).Inc()
	}
}
