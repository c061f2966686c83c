package main

import (
	"context"
	"errors"
	"runtime"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/stowage-sh/stowage/cloudprovider"
)

// registerProcess registers what there is to say of this process and of the
// state that it keeps, by Karpenter's names.
func registerProcess(r prometheus.Registerer, of subject) error {
	begun := of.now()
	build := prometheus.NewGauge(prometheus.GaugeOpts{
		Name:        "karpenter_build_info",
		Help:        "1; the labels say what was built.",
		ConstLabels: prometheus.Labels{"version": version, "commit": commit(), "goversion": runtime.Version(), "goarch": runtime.GOARCH},
	})
	build.Set(1)
	return errors.Join(
		r.Register(build),
		r.Register(whileLeading{of.leading, prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "karpenter_cluster_state_node_count",
			Help: "Nodes in the state, those of others included.",
		}, func() float64 { return float64(of.cluster.Snapshot().Nodes.Len()) })}),
		r.Register(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "karpenter_cluster_state_synced",
			Help: "1 when all that the watches found at the start is in the state.",
		}, func() float64 {
			if of.synced() {
				return 1
			}
			return 0
		})),
		r.Register(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "karpenter_cluster_state_unsynced_time_seconds",
			Help: "How long the watches have been catching up; 0 when they have.",
		}, func() float64 {
			if of.synced() {
				return 0
			}
			return of.now().Sub(begun).Seconds()
		})),
	)
}

// whileLeading shows what a collector does as long as this process is the one that
// acts.
type whileLeading struct {
	leading func() bool
	prometheus.Collector
}

// Collect implements prometheus.Collector.
func (w whileLeading) Collect(out chan<- prometheus.Metric) {
	if w.leading() {
		w.Collector.Collect(out)
	}
}

// A cloudMeter counts and times the calls to a cloud.
type cloudMeter struct {
	name     string
	duration *prometheus.HistogramVec
	errors   *prometheus.CounterVec
}

// newCloudMeter registers the metrics of the calls to a cloud of that name.
func newCloudMeter(r prometheus.Registerer, name string) (*cloudMeter, error) {
	m := &cloudMeter{
		name: name,
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "karpenter_cloudprovider_duration_seconds",
			Help:    "Duration of calls to the cloud provider, by method and who called.",
			Buckets: prometheus.ExponentialBuckets(0.005, 2, 14), // 5 ms to 41 s
		}, []string{"controller", "method", "provider"}),
		errors: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "karpenter_cloudprovider_errors_total",
			Help: "Calls to the cloud provider that ended with an error, by method and kind.",
		}, []string{"controller", "method", "provider", "error"}),
	}
	return m, errors.Join(r.Register(m.duration), r.Register(m.errors))
}

// metered is a cloud as one controller calls it.
type metered struct {
	cloud      cloudprovider.Provider
	controller string
	meter      *cloudMeter
}

// of returns cloud for a controller, with its calls counted and timed.
func (m *cloudMeter) of(cloud cloudprovider.Provider, controller string) cloudprovider.Provider {
	return &metered{cloud, controller, m}
}

// observe is to be deferred: it notes the end of a call.
func (m *metered) observe(method string, begin time.Time, err *error) {
	m.meter.duration.WithLabelValues(m.controller, method, m.meter.name).Observe(time.Since(begin).Seconds())
	if *err != nil {
		m.meter.errors.WithLabelValues(m.controller, method, m.meter.name, errorKind(*err)).Inc()
	}
}

// errorKind names the errors that callers act on by Karpenter's names.
func errorKind(err error) string {
	if _, ok := errors.AsType[*cloudprovider.InsufficientCapacityError](err); ok {
		return "InsufficientCapacityError"
	}
	if _, ok := errors.AsType[*cloudprovider.NotReadyError](err); ok {
		return "NodeClassNotReadyError"
	}
	return "unknown"
}

func (m *metered) Catalog(ctx context.Context, class cloudprovider.NodeClassRef) (c *cloudprovider.Catalog, err error) {
	defer m.observe("GetInstanceTypes", time.Now(), &err)
	return m.cloud.Catalog(ctx, class)
}

func (m *metered) Launch(ctx context.Context, r cloudprovider.LaunchRequest) (i cloudprovider.Instance, err error) {
	defer m.observe("Create", time.Now(), &err)
	return m.cloud.Launch(ctx, r)
}

func (m *metered) Terminate(ctx context.Context, id string) (err error) {
	defer m.observe("Delete", time.Now(), &err)
	return m.cloud.Terminate(ctx, id)
}

func (m *metered) List(ctx context.Context) (all []cloudprovider.Instance, err error) {
	defer m.observe("List", time.Now(), &err)
	return m.cloud.List(ctx)
}

// Drift makes no call that could be counted.
func (m *metered) Drift(q cloudprovider.DriftQuery) (cloudprovider.Drift, bool) {
	return m.cloud.Drift(q)
}
