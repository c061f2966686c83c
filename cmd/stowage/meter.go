package main

import (
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/stowage-sh/stowage/cloudprovider"
)

// A requestMeter counts what becomes of requests to EC2, by Karpenter's names. It is an aws.Meter.
type requestMeter struct {
	launches     *prometheus.CounterVec
	terminations prometheus.Counter
	size, took   *prometheus.HistogramVec
	userData     *prometheus.GaugeVec
}

// newRequestMeter registers the metrics.
func newRequestMeter(r prometheus.Registerer) (*requestMeter, error) {
	const prefix = "karpenter_cloudprovider_"
	m := &requestMeter{
		launches: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: prefix + "instance_launch_failures_total", Help: "Offerings that EC2 did not launch when it was asked for them, by its code.",
		}, []string{"zone", "zone_id", "capacity_type", "reason"}),
		terminations: prometheus.NewCounter(prometheus.CounterOpts{
			Name: prefix + "instance_termination_failures_total", Help: "Instances that EC2 did not take back when it was asked to; it is asked again.",
		}),
		size: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: prefix + "batcher_batch_size", Help: "Things that one request was about, by what it asks for.", Buckets: prometheus.ExponentialBuckets(1, 2, 10), // 1 to 512
		}, []string{"batcher"}),
		took: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: prefix + "batcher_batch_time_seconds", Help: "How long a request took; what came meanwhile made up the next one.", Buckets: prometheus.ExponentialBuckets(0.005, 2, 14), // 5 ms to 41 s
		}, []string{"batcher"}),
		userData: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "karpenter_ec2nodeclasses_userdata_bytes", Help: "Size of the user data in the launch template that was made last for an EC2NodeClass, before base64: EC2 takes 16384.",
		}, []string{"nodeclass"}),
	}
	return m, errors.Join(r.Register(m.launches), r.Register(m.terminations), r.Register(m.size), r.Register(m.took), r.Register(m.userData))
}

// LaunchFailed implements aws.Meter.
func (m *requestMeter) LaunchFailed(o cloudprovider.Offering, zoneID, reason string) {
	m.launches.WithLabelValues(o.Zone, zoneID, o.CapacityType, reason).Inc()
}

// TerminationFailed implements aws.Meter.
func (m *requestMeter) TerminationFailed() { m.terminations.Inc() }

// Batch implements aws.Meter.
func (m *requestMeter) Batch(kind string, size int) (end func()) {
	m.size.WithLabelValues(kind).Observe(float64(size))
	begin := time.Now()
	return func() { m.took.WithLabelValues(kind).Observe(time.Since(begin).Seconds()) }
}

// UserData implements aws.Meter.
func (m *requestMeter) UserData(class string, bytes int) {
	m.userData.WithLabelValues(class).Set(float64(bytes))
}

// classGone ends the series of an EC2NodeClass.
func (m *requestMeter) classGone(name string) { m.userData.DeleteLabelValues(name) }
