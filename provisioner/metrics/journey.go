package metrics

import (
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"

	"github.com/stowage-sh/stowage/provisioner/lifecycle"
)

// A journey is what is remembered of a pod on its way from the first sight of it
// to its first readiness. The times are ours, and zero for what has not happened.
type journey struct {
	bound bool // or was when it was first seen
	// seen is when the pod first waited for a decision, decided when the first one
	// was taken, and placed since when it has had a place.
	seen, decided, placed time.Time
}

// podDurations are what is measured of pods.
type podDurations struct {
	startup                            prometheus.Summary
	bound, placedBound                 *prometheus.HistogramVec
	placedStartup, schedulingDecisions prometheus.Histogram
}

func newPodDurations() podDurations {
	options := func(name, help string) prometheus.HistogramOpts {
		return prometheus.HistogramOpts{Name: name, Help: help, Buckets: prometheus.ExponentialBuckets(0.125, 2, 16)} // to an hour
	}
	return podDurations{
		startup: prometheus.NewSummary(prometheus.SummaryOpts{
			Name:       "karpenter_pods_startup_duration_seconds",
			Help:       "From a pod's creation until it was ready.",
			Objectives: map[float64]float64{0: 0.01, 0.5: 0.01, 0.9: 0.01, 0.99: 0.01, 1: 0.01},
		}),
		bound: prometheus.NewHistogramVec(options("karpenter_pods_bound_duration_seconds",
			"From a pod's creation until it had a node."), []string{"dynamic_resources"}),
		placedBound: prometheus.NewHistogramVec(options("karpenter_pods_provisioning_bound_duration_seconds",
			"From the decision on a pod's place until it had a node."), []string{"dynamic_resources"}),
		placedStartup: prometheus.NewHistogram(options("karpenter_pods_provisioning_startup_duration_seconds",
			"From the decision on a pod's place until it was ready.")),
		schedulingDecisions: prometheus.NewHistogram(options("karpenter_pods_scheduling_decision_duration_seconds",
			"From when a pod was first seen to wait until it was first looked at.")),
	}
}

func (d *podDurations) register(r prometheus.Registerer) error {
	return errors.Join(r.Register(d.startup), r.Register(d.bound), r.Register(d.placedBound), r.Register(d.placedStartup),
		r.Register(d.schedulingDecisions))
}

// observePod measures how far a pod has come.
func (o *Observer) observePod(p *corev1.Pod) {
	o.mu.Lock()
	defer o.mu.Unlock()
	j, known := o.journeys[p.UID]
	switch {
	case lifecycle.Terminal(p):
		delete(o.journeys, p.UID)
		return
	case !known && p.Status.Phase != corev1.PodPending:
		return
	case !known:
		j.bound = p.Spec.NodeName != ""
	}
	if c := podCondition(p, corev1.PodScheduled); !j.bound && p.Spec.NodeName != "" && c != nil {
		j.bound = true
		o.measureBound(p, j, c.LastTransitionTime.Sub(p.CreationTimestamp.Time))
	}
	if started(p) {
		o.measureStart(j, podCondition(p, corev1.PodReady).LastTransitionTime.Sub(p.CreationTimestamp.Time))
		delete(o.journeys, p.UID)
		return
	}
	o.journeys[p.UID] = j
}

// measureBound measures a pod that has got a node: by the server's clock since its
// creation, by ours since the decision.
func (o *Observer) measureBound(p *corev1.Pod, j journey, took time.Duration) {
	if !o.leading() {
		return
	}
	o.pods.bound.WithLabelValues(dynamic(p)).Observe(seconds(took))
	if !j.placed.IsZero() {
		o.pods.placedBound.WithLabelValues(dynamic(p)).Observe(seconds(o.now().Sub(j.placed)))
	}
}

// measureStart measures a pod that was ready for the first time.
func (o *Observer) measureStart(j journey, took time.Duration) {
	if !o.leading() {
		return
	}
	o.pods.startup.Observe(seconds(took))
	if !j.placed.IsZero() {
		o.pods.placedStartup.Observe(seconds(o.now().Sub(j.placed)))
	}
}

// Waits says that pods wait for a decision.
func (o *Observer) Waits(now time.Time, pods []*corev1.Pod) {
	o.note(pods, func(j *journey) {
		if j.seen.IsZero() {
			j.seen = now
		}
	})
}

// Placed says that a place was decided for pods.
func (o *Observer) Placed(now time.Time, pods []*corev1.Pod) {
	o.note(pods, func(j *journey) {
		o.decide(now, j)
		if j.placed.IsZero() {
			j.placed = now
		}
	})
}

// Unplaced says that pods were looked at and no place was found for them.
func (o *Observer) Unplaced(now time.Time, pods []*corev1.Pod) {
	o.note(pods, func(j *journey) {
		o.decide(now, j)
		j.placed = time.Time{}
	})
}

// decide notes the first decision on a pod, whatever it was.
func (o *Observer) decide(now time.Time, j *journey) {
	if j.decided.IsZero() && !j.seen.IsZero() {
		j.decided = now
		o.pods.schedulingDecisions.Observe(seconds(now.Sub(j.seen)))
	}
}

// note changes what is remembered of pods; of those that have arrived or are gone
// nothing is.
func (o *Observer) note(pods []*corev1.Pod, change func(*journey)) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, p := range pods {
		if j, ok := o.journeys[p.UID]; ok {
			change(&j)
			o.journeys[p.UID] = j
		}
	}
}
