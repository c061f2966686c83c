package v1

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
)

func TestRequirementAllows(t *testing.T) {
	for _, c := range []struct {
		operator corev1.NodeSelectorOperator
		values   []string
		// met and not are labels; absent says whether a node without the label meets it.
		met, not string
		absent   bool
	}{
		{corev1.NodeSelectorOpIn, []string{"a", "b"}, "b", "c", false},
		{corev1.NodeSelectorOpNotIn, []string{"a", "b"}, "c", "b", true},
		{corev1.NodeSelectorOpExists, nil, "a", "", false},
		{corev1.NodeSelectorOpDoesNotExist, nil, "", "a", true},
		{corev1.NodeSelectorOpGt, []string{"9"}, "10", "9", false},
		{corev1.NodeSelectorOpLt, []string{"10"}, "9", "10", false},
		{OperatorGte, []string{"10"}, "10", "9", false},
		{OperatorLte, []string{"9"}, "9", "10", false},
		{OperatorLte, []string{"9"}, "", "eight", false},
		{OperatorGte, []string{"1", "2"}, "", "3", false},
		{OperatorGte, []string{"many"}, "", "3", false},
		{"Near", []string{"3"}, "", "3", false},
	} {
		r := Requirement{Key: "key", Operator: c.operator, Values: c.values}
		if c.met != "" && !r.Allows(c.met, true) {
			t.Errorf("%s %v does not allow %q", c.operator, c.values, c.met)
		}
		if c.not != "" && r.Allows(c.not, true) {
			t.Errorf("%s %v allows %q", c.operator, c.values, c.not)
		}
		if got := r.Allows("", false); got != c.absent {
			t.Errorf("%s %v allows absence: %v", c.operator, c.values, got)
		}
	}
}
