package v1

import (
	"fmt"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// ConditionReady sums up an object: True when all that it depends on is True.
const ConditionReady = "Ready"

// Conditions of a NodePool.
const (
	// ConditionValidationSucceeded: Validate found nothing.
	ConditionValidationSucceeded = "ValidationSucceeded"
	// ConditionNodeClassReady: the NodeClass exists and is Ready.
	ConditionNodeClassReady = "NodeClassReady"
	// ConditionNodeRegistrationHealthy: its latest launches joined the cluster.
	// Not a part of Ready.
	ConditionNodeRegistrationHealthy = "NodeRegistrationHealthy"
)

// Conditions of a NodeClaim.
const (
	// ConditionLaunched: there is a machine, status.providerID names it.
	ConditionLaunched = "Launched"
	// ConditionRegistered: the node joined and carries its labels and taints.
	ConditionRegistered = "Registered"
	// ConditionInitialized: the node is ready, without startup taints, and has
	// the resources that were asked for.
	ConditionInitialized = "Initialized"
	// ConditionConsolidatable: consolidateAfter has passed without pod events.
	ConditionConsolidatable = "Consolidatable"
	// ConditionDrifted: the node is no longer what its NodePool asks for.
	ConditionDrifted = "Drifted"
	// ConditionDrained: no pod is left that has to go first.
	ConditionDrained = "Drained"
	// ConditionVolumesDetached: no volume of a drained pod is still attached.
	ConditionVolumesDetached = "VolumesDetached"
	// ConditionInstanceTerminating: the cloud was told to take the machine back.
	ConditionInstanceTerminating = "InstanceTerminating"
	// ConditionConsistentStateFound: the node has about the resources expected.
	ConditionConsistentStateFound = "ConsistentStateFound"
	// ConditionDisruptionReason: a disruption was decided; its reason says why.
	ConditionDisruptionReason = "DisruptionReason"
	// ConditionDisrupting has the one reason why the node is, or is not, being disrupted. It is
	// Stowage's own.
	ConditionDisrupting = "stowage.sh/Disrupting"
	// ConditionInterrupted: the cloud takes the machine, stops it or thinks ill of it; its reason
	// is the kind of notice. It never goes away, and the node does. It is Stowage's own.
	ConditionInterrupted = "stowage.sh/Interrupted"
	// ConditionRebalance: the cloud recommends another machine, and is to be heard. It never goes away.
	// It is Stowage's own.
	ConditionRebalance = "stowage.sh/RebalanceRecommended"
)

// NodePoolReadiness and NodeClaimReadiness list the conditions that Ready is
// computed from.
var (
	NodePoolReadiness  = []string{ConditionValidationSucceeded, ConditionNodeClassReady}
	NodeClaimReadiness = []string{ConditionLaunched, ConditionRegistered, ConditionInitialized}
)

// GetCondition returns the condition of the given type, nil if there is none. It
// points into conditions.
func GetCondition(conditions []metav1.Condition, conditionType string) *metav1.Condition {
	return meta.FindStatusCondition(conditions, conditionType)
}

// IsTrue reports whether the condition is there and True.
func IsTrue(conditions []metav1.Condition, conditionType string) bool {
	c := GetCondition(conditions, conditionType)
	return c != nil && c.Status == metav1.ConditionTrue
}

// SetCondition sets the condition of c's type and reports whether anything
// changed. lastTransitionTime becomes now when the status changes, and stays
// otherwise, whatever c says. An empty reason becomes the type, since the API
// demands one.
func SetCondition(conditions *[]metav1.Condition, c metav1.Condition, now time.Time) (changed bool) {
	if c.Reason == "" {
		c.Reason = c.Type
	}
	c.LastTransitionTime = metav1.NewTime(now)
	return meta.SetStatusCondition(conditions, c)
}

// SetReady computes Ready from the conditions listed in dependents and reports
// whether anything changed: False if one of them is False, else Unknown if one
// is Unknown or not there yet, else True. The message names what is missing.
func SetReady(conditions *[]metav1.Condition, dependents []string, generation int64, now time.Time) (changed bool) {
	ready := metav1.Condition{Type: ConditionReady, Status: metav1.ConditionTrue, ObservedGeneration: generation}
	var missing []string
	for _, name := range dependents {
		status := metav1.ConditionUnknown
		if c := GetCondition(*conditions, name); c != nil {
			status = c.Status
		}
		switch {
		case status == metav1.ConditionTrue:
			continue
		case status == metav1.ConditionFalse:
			ready.Status, ready.Reason = metav1.ConditionFalse, "UnhealthyDependents"
		case ready.Status == metav1.ConditionTrue:
			ready.Status, ready.Reason = metav1.ConditionUnknown, "ReconcilingDependents"
		}
		missing = append(missing, fmt.Sprintf("%s=%s", name, status))
	}
	ready.Message = strings.Join(missing, ", ")
	return SetCondition(conditions, ready, now)
}
