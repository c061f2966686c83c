package metrics

import (
	"errors"
	"slices"

	"github.com/prometheus/client_golang/prometheus"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1 "github.com/stowage-sh/stowage/provisioner/v1"
)

// changes are what is measured of the conditions and the end of one kind.
type changes struct {
	kind        kind
	count       *prometheus.CounterVec
	duration    *prometheus.HistogramVec // of the status that ended
	termination *prometheus.HistogramVec
}

// statusBuckets are half a second to two hours.
var statusBuckets = prometheus.ExponentialBuckets(0.5, 2, 15)

func newChanges(k kind) changes {
	own := names(k.labels)
	return changes{
		kind: k,
		count: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "operator_" + k.name + "_status_condition_transitions_total",
			Help: "Conditions of " + k.all + " that took a status which they did not have before.",
		}, append([]string{"type", "status", "reason"}, own...)),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "operator_" + k.name + "_status_condition_transition_seconds",
			Help:    "How long conditions of " + k.all + " had had a status when they took another.",
			Buckets: statusBuckets,
		}, append([]string{"type", "status", "to_status"}, own...)),
		termination: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "operator_" + k.name + "_termination_duration_seconds",
			Help:    "From the deletion of " + k.all + " to their end.",
			Buckets: statusBuckets,
		}, own),
	}
}

func (c *changes) register(r prometheus.Registerer) error {
	return errors.Join(r.Register(c.count), r.Register(c.duration), r.Register(c.termination))
}

// observe measures what changed since the last version of an object.
func (o *Observer) observe(kind string, next object) {
	o.mu.Lock()
	last, known := o.last[next.GetUID()]
	o.last[next.GetUID()] = next // measured or not: the next change is measured from here
	o.mu.Unlock()
	if !known || !o.leading() {
		return
	}
	c := o.changes[kind]
	own := next.values(c.kind.labels)
	for i := range next.conditions {
		is := &next.conditions[i]
		was := last.condition(is.name)
		if was == nil {
			was = c.kind.unborn(next, is.name)
		}
		if was != nil && was.status == is.status {
			continue
		}
		c.count.WithLabelValues(append([]string{is.name, is.status, is.reason}, own...)...).Inc()
		if was != nil {
			c.duration.WithLabelValues(append([]string{is.name, was.status, is.status}, own...)...).Observe(seconds(is.since.Sub(was.since)))
		}
	}
}

// unborn returns the condition that stands for one that an object did not have
// yet. Ready, and those that it is computed from, were Unknown since the object was
// made, whether or not somebody wrote that down; of others nothing is known, and it
// is nil.
func (k kind) unborn(o object, name string) *condition {
	if name != v1.ConditionReady && !slices.Contains(k.readiness, name) {
		return nil
	}
	return &condition{name: name, status: string(metav1.ConditionUnknown), since: o.GetCreationTimestamp().Time}
}

// forget measures how an object ended.
func (o *Observer) forget(kind string, obj metav1.Object) {
	o.mu.Lock()
	_, known := o.last[obj.GetUID()]
	delete(o.last, obj.GetUID())
	o.mu.Unlock()
	if at := obj.GetDeletionTimestamp(); known && at != nil && o.leading() {
		c := o.changes[kind]
		c.termination.WithLabelValues(object{Object: obj}.values(c.kind.labels)...).Observe(seconds(o.now().Sub(at.Time)))
	}
}
