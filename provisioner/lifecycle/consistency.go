package lifecycle

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1 "github.com/stowage-sh/stowage/provisioner/v1"
)

// leastShare is the part of what was expected that a node must have.
const leastShare = 0.9

// compare says on an initialized claim whether its node is as large as was expected when
// it was bought, and tells users once of each thing that is not. Nothing else follows from
// it: pods are planned with what the node itself reports.
func (c *Controller) compare(now time.Time, claim *v1.NodeClaim, node *corev1.Node) {
	if !v1.IsTrue(claim.Status.Conditions, v1.ConditionInitialized) {
		return
	}
	short := shortOf(claim, node)
	if short == "" {
		set(claim, now, v1.ConditionConsistentStateFound, metav1.ConditionTrue)
		return
	}
	message := clip(fmt.Sprintf("node %s has less than was expected: %s", node.Name, short))
	if old := v1.GetCondition(claim.Status.Conditions, v1.ConditionConsistentStateFound); old == nil || old.Message != message {
		c.Events.Event(claim, corev1.EventTypeWarning, "FailedConsistencyCheck", message)
	}
	set(claim, now, v1.ConditionConsistentStateFound, metav1.ConditionFalse, "ConsistencyCheckFailed", message)
}

// shortOf lists the resources of which a node has clearly less than its claim expected,
// of those that were asked for.
func shortOf(claim *v1.NodeClaim, node *corev1.Node) string {
	var short []string
	for _, name := range slices.Sorted(maps.Keys(claim.Spec.Resources.Requests)) {
		asked, expected, has := claim.Spec.Resources.Requests[name], claim.Status.Capacity[name], node.Status.Capacity[name]
		if asked.IsZero() || expected.IsZero() {
			continue
		}
		if has.AsApproximateFloat64() < leastShare*expected.AsApproximateFloat64() {
			short = append(short, fmt.Sprintf("%s of %s %s", has.String(), expected.String(), name))
		}
	}
	return strings.Join(short, ", ")
}
