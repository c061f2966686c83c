package metrics

import (
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/stowage-sh/stowage/provisioner/state"
	v1 "github.com/stowage-sh/stowage/provisioner/v1"
)

// An object is what is shown of anything that has conditions.
type object struct {
	metav1.Object
	conditions []condition // each type once
}

// A condition of any object: nodes have their own form of it.
type condition struct {
	name, status, reason string
	since                time.Time
}

// objects turns what a snapshot lists into what is shown of it, in that order.
func objects[T any](all []T, of func(T) object) []object {
	out := make([]object, len(all))
	for i := range all {
		out[i] = of(all[i])
	}
	return out
}

func ofClaim(c *v1.NodeClaim) object { return object{c, conditionsOf(c.Status.Conditions)} }
func ofPool(p *v1.NodePool) object   { return object{p, conditionsOf(p.Status.Conditions)} }

// ofClass shows nothing of a NodeClass whose kind has no conditions.
func ofClass(c state.NodeClass) object {
	var conditions []metav1.Condition
	if c, ok := c.(interface{ StatusConditions() []metav1.Condition }); ok {
		conditions = c.StatusConditions()
	}
	return object{c, conditionsOf(conditions)}
}

// ofNode translates: a node's conditions have a Go type of their own.
func ofNode(n *corev1.Node) object {
	list := make([]condition, 0, len(n.Status.Conditions))
	for i := range n.Status.Conditions {
		c := &n.Status.Conditions[i]
		list = appendNew(list, condition{string(c.Type), string(c.Status), c.Reason, c.LastTransitionTime.Time})
	}
	return object{n, list}
}

func conditionsOf(conditions []metav1.Condition) []condition {
	list := make([]condition, 0, len(conditions))
	for i := range conditions {
		c := &conditions[i]
		list = appendNew(list, condition{c.Type, string(c.Status), c.Reason, c.LastTransitionTime.Time})
	}
	return list
}

// appendNew appends a condition unless there is one of its type.
func appendNew(list []condition, c condition) []condition {
	if (object{conditions: list}).condition(c.name) != nil {
		return list
	}
	return append(list, c)
}

// condition returns the condition of a type, nil if there is none.
func (o object) condition(name string) *condition {
	for i := range o.conditions {
		if o.conditions[i].name == name {
			return &o.conditions[i]
		}
	}
	return nil
}

// values returns the values of an object's labels.
func (o object) values(keys []string) []string {
	var values []string
	for _, key := range keys {
		values = append(values, o.GetLabels()[key])
	}
	return values
}

// statusFamilies are what is shown of the objects of one kind.
type statusFamilies struct {
	kind                    kind
	count, age, terminating family
}

func newStatusFamilies(k kind) statusFamilies {
	status := append([]string{"name", "type", "status", "reason"}, names(k.labels)...)
	of := func(what string) string { return "operator_" + k.name + "_" + what }
	return statusFamilies{
		kind:        k,
		count:       newFamily(of("status_condition_count"), "1 for each condition of "+k.all+"; the labels say how it stands.", status...),
		age:         newFamily(of("status_condition_current_status_seconds"), "How long each condition of "+k.all+" has had its status.", status...),
		terminating: newFamily(of("termination_current_time_seconds"), "How long ago the deletion of each of the "+k.all+" was asked for that are on their way out.", append([]string{"name"}, names(k.labels)...)...),
	}
}

// names turns keys of labels of objects into names of labels of their metrics.
func names(keys []string) []string {
	var out []string
	for _, key := range keys {
		out = append(out, labelName.Replace(key))
	}
	return out
}

func (f *statusFamilies) all() []family { return []family{f.count, f.age, f.terminating} }

// collect shows the conditions of one object. Both gauges have the same labels,
// which are made once.
func (f *statusFamilies) collect(s *scrape, now time.Time, o object) {
	own := o.values(f.kind.labels)
	for i := range o.conditions {
		c := &o.conditions[i]
		labels := f.count.labels.with(append([]string{o.GetName(), c.name, c.status, c.reason}, own...)...)
		s.add(f.count, 1, labels)
		s.add(f.age, seconds(now.Sub(c.since)), labels)
	}
	if at := o.GetDeletionTimestamp(); at != nil {
		s.add(f.terminating, seconds(now.Sub(at.Time)), f.terminating.labels.with(append([]string{o.GetName()}, own...)...))
	}
}
