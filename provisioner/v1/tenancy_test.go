package v1

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
)

// TestRefusesShared: shared hardware is meant wherever it is not refused.
func TestRefusesShared(t *testing.T) {
	for _, c := range []struct {
		op     corev1.NodeSelectorOperator
		values []string
		want   bool
	}{
		{corev1.NodeSelectorOpIn, []string{"dedicated"}, true},
		{corev1.NodeSelectorOpIn, []string{"default", "dedicated"}, false},
		{corev1.NodeSelectorOpNotIn, []string{"default"}, true},
		{corev1.NodeSelectorOpNotIn, []string{"dedicated"}, false},
		{corev1.NodeSelectorOpExists, nil, false},
	} {
		r := []Requirement{{Key: corev1.LabelTopologyZone, Operator: corev1.NodeSelectorOpIn, Values: []string{"a"}}, {Key: LabelTenancy, Operator: c.op, Values: c.values}}
		if got := RefusesShared(r, nil); got != c.want {
			t.Errorf("%s %v: %v", c.op, c.values, got)
		}
	}
	for value, want := range map[string]bool{"dedicated": true, "default": false} {
		if got := RefusesShared(nil, map[string]string{LabelTenancy: value}); got != want {
			t.Errorf("the label %s: %v", value, got)
		}
	}
	if RefusesShared(nil, nil) {
		t.Error("whoever says nothing refuses shared hardware")
	}
}
