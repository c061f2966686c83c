package e2e

import (
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// TestScenes plays the scenes that share one controller, all at once.
func TestScenes(t *testing.T) {
	start(t, "--garbage-collection-interval", "5s", "--garbage-collection-age", "10s", "--interruption-queue", queue)
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
		{"NodePoolDeleted", nodePoolDeleted("deleted", metav1.DeletePropagationBackground)},
		{"NodePoolDeletedInForeground", nodePoolDeleted("foreground", metav1.DeletePropagationForeground)},
		{"NodeClaimDeleted", nodeClaimDeleted},
		{"NodeDeleted", nodeDeleted},
		{"VolumeDetached", volumeDetached},
		{"StaticPool", staticPool},
		{"Headroom", headroom},
		{"Expired", expired},
		{"Reserved", reserved},
		{"SpotInterrupted", spotInterrupted},
		{"Impaired", impaired},
	} {
		t.Run(scene.name, func(t *testing.T) {
			t.Parallel()
			scene.play(t)
		})
	}
}
