package e2e

import (
	"testing"
)

// TestScenes plays the scenes that share one controller, all at once.
func TestScenes(t *testing.T) {
	start(t, "--garbage-collection-interval", "5s", "--garbage-collection-age", "10s")
	for _, scene := range []struct {
		name string
		play func(*testing.T)
	}{
		{"ScaleUpFromZero", scaleUpFromZero},
		{"WeightAndSelector", weightAndSelector},
		{"TaintsAndLabels", taintsAndLabels},
		{"TooLarge", tooLarge},
		{"Limits", limits},
		{"ZoneRunsShort", zoneRunsShort},
		{"TypeRunsShort", typeRunsShort},
		{"NeverJoins", neverJoins},
		{"ClassNotReady", classNotReady},
		{"UnmanagedNode", unmanagedNode},
		{"InstanceTerminated", instanceTerminated},
		{"EmptyNode", emptyNode},
		{"BudgetOfZero", budgetOfZero},
		{"NodePoolDeleted", nodePoolDeleted},
		{"Headroom", headroom},
	} {
		t.Run(scene.name, func(t *testing.T) {
			t.Parallel()
			scene.play(t)
		})
	}
}
