package v1_test

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1 "github.com/stowage-sh/stowage/provisioner/v1"
)

func TestSetCondition(t *testing.T) {
	var conditions []metav1.Condition
	start := time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)
	launched := metav1.Condition{Type: v1.ConditionLaunched, Status: metav1.ConditionUnknown, Reason: "LaunchFailed", Message: "no quota"}
	if !v1.SetCondition(&conditions, launched, start) || v1.IsTrue(conditions, v1.ConditionLaunched) {
		t.Fatal("a new condition is a change, and Unknown is not True")
	}
	if v1.SetCondition(&conditions, launched, start.Add(time.Minute)) {
		t.Error("the same again is no change")
	}
	launched.Message = "no capacity"
	if !v1.SetCondition(&conditions, launched, start.Add(time.Minute)) {
		t.Error("another message is a change")
	}
	if got := v1.GetCondition(conditions, v1.ConditionLaunched).LastTransitionTime.Time; !got.Equal(start) {
		t.Errorf("lastTransitionTime moved to %v with the status unchanged", got)
	}
	done := metav1.Condition{Type: v1.ConditionLaunched, Status: metav1.ConditionTrue}
	v1.SetCondition(&conditions, done, start.Add(time.Hour))
	c := v1.GetCondition(conditions, v1.ConditionLaunched)
	if !v1.IsTrue(conditions, v1.ConditionLaunched) || !c.LastTransitionTime.Time.Equal(start.Add(time.Hour)) || c.Reason != v1.ConditionLaunched {
		t.Errorf("after the launch: %+v", c)
	}
	if v1.GetCondition(conditions, v1.ConditionDrifted) != nil || v1.IsTrue(conditions, v1.ConditionDrifted) {
		t.Error("a condition that is not there is not True")
	}
}

func TestSetReady(t *testing.T) {
	const yes, no, maybe = metav1.ConditionTrue, metav1.ConditionFalse, metav1.ConditionUnknown
	for _, c := range []struct {
		name                              string
		launched, registered, initialized metav1.ConditionStatus // "" is not there
		want                              metav1.ConditionStatus
		reason, message                   string
	}{
		{"all", yes, yes, yes, yes, "Ready", ""},
		{"none", "", "", "", maybe, "ReconcilingDependents", "Launched=Unknown, Registered=Unknown, Initialized=Unknown"},
		{"unknown", yes, maybe, yes, maybe, "ReconcilingDependents", "Registered=Unknown"},
		{"missing", yes, yes, "", maybe, "ReconcilingDependents", "Initialized=Unknown"},
		{"false first", no, maybe, yes, no, "UnhealthyDependents", "Launched=False, Registered=Unknown"},
		{"false last", yes, maybe, no, no, "UnhealthyDependents", "Registered=Unknown, Initialized=False"},
	} {
		var conditions []metav1.Condition
		now := time.Unix(0, 0)
		for i, status := range []metav1.ConditionStatus{c.launched, c.registered, c.initialized} {
			if status != "" {
				v1.SetCondition(&conditions, metav1.Condition{Type: v1.NodeClaimReadiness[i], Status: status}, now)
			}
		}
		if !v1.SetReady(&conditions, v1.NodeClaimReadiness, 7, now) || v1.SetReady(&conditions, v1.NodeClaimReadiness, 7, now) {
			t.Errorf("%s: the first time is a change, the second is not", c.name)
		}
		got := v1.GetCondition(conditions, v1.ConditionReady)
		if got.Status != c.want || got.Reason != c.reason || got.Message != c.message || got.ObservedGeneration != 7 {
			t.Errorf("%s: got %+v", c.name, got)
		}
	}
}
