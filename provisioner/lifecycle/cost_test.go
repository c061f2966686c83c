package lifecycle

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
)

// TestEvictionCost as Karpenter has it: 1 + cost/2^27 + priority/2^25, within ±10.
func TestEvictionCost(t *testing.T) {
	for _, c := range []struct {
		cost     string
		priority int32
		want     int64
	}{
		{"", 0, OnePod},
		{"134217728", 0, 2 * OnePod},
		{"-134217728", 0, 0},
		{"", 1 << 25, 2 * OnePod},
		{"", 2_000_000_000, 10 * OnePod},
		{"", -2_000_000_000, -10 * OnePod},
		{"1e3", 0, OnePod},
		{"99999999999", 0, OnePod},
	} {
		p := &corev1.Pod{}
		p.Annotations, p.Spec.Priority = map[string]string{corev1.PodDeletionCost: c.cost}, &c.priority
		if got := EvictionCost(p); got != c.want {
			t.Errorf("cost %q, priority %d: %d, want %d", c.cost, c.priority, got, c.want)
		}
	}
	if got := EvictionCost(&corev1.Pod{}); got != OnePod {
		t.Errorf("of a pod that says nothing: %d", got)
	}
}
