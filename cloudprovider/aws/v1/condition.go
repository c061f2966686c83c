package v1

import (
	"fmt"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/stowage-sh/stowage/cloudprovider"
)

// SetCondition sets the condition of d's type and reports whether anything
// changed. lastTransitionTime becomes now when the status changes, and stays
// otherwise; observedGeneration is the NodeClass's. An empty reason becomes the
// type, since the API demands one.
func (c *EC2NodeClass) SetCondition(d metav1.Condition, now time.Time) (changed bool) {
	if d.Reason == "" {
		d.Reason = d.Type
	}
	d.ObservedGeneration = c.Generation
	d.LastTransitionTime = metav1.NewTime(now)
	return meta.SetStatusCondition(&c.Status.Conditions, d)
}

// SetReady computes Ready from the conditions listed in dependents, Readiness
// as a rule, and reports whether anything changed: False if one of them is False,
// else Unknown if one is Unknown or not there yet, else True. The message names
// what is missing.
func (c *EC2NodeClass) SetReady(dependents []string, now time.Time) (changed bool) {
	ready := metav1.Condition{Type: ConditionReady, Status: metav1.ConditionTrue}
	var missing []string
	for _, name := range dependents {
		d := meta.FindStatusCondition(c.Status.Conditions, name)
		switch {
		case d == nil || d.Status == metav1.ConditionUnknown:
			if ready.Status == metav1.ConditionTrue {
				ready.Status, ready.Reason = metav1.ConditionUnknown, "ReconcilingDependents"
			}
			missing = append(missing, fmt.Sprintf("%s=%s", name, metav1.ConditionUnknown))
		case d.Status == metav1.ConditionFalse:
			ready.Status, ready.Reason = metav1.ConditionFalse, "UnhealthyDependents"
			missing = append(missing, fmt.Sprintf("%s=%s", name, d.Status))
		}
	}
	ready.Message = strings.Join(missing, ", ")
	return c.SetCondition(ready, now)
}

// Ref names the NodeClass as NodePools refer to it.
func (c *EC2NodeClass) Ref() cloudprovider.NodeClassRef {
	return cloudprovider.NodeClassRef{Group: Group, Kind: Kind, Name: c.Name}
}

// Readiness is IsReady, with the reason why it is not.
func (c *EC2NodeClass) Readiness() (ready bool, reason string) {
	if c.IsReady() {
		return true, ""
	}
	condition := meta.FindStatusCondition(c.Status.Conditions, ConditionReady)
	if condition == nil || condition.ObservedGeneration != c.Generation {
		return false, "its status is not known yet"
	}
	return false, condition.Message
}

// IsReady reports whether the NodeClass can be launched from: Ready is True, and
// speaks of the spec as it is now.
func (c *EC2NodeClass) IsReady() bool {
	ready := meta.FindStatusCondition(c.Status.Conditions, ConditionReady)
	return ready != nil && ready.Status == metav1.ConditionTrue && ready.ObservedGeneration == c.Generation
}

// StatusConditions returns the conditions, for whoever shows them to users.
func (c *EC2NodeClass) StatusConditions() []metav1.Condition { return c.Status.Conditions }
