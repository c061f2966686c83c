package lifecycle

import (
	"fmt"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/stowage-sh/stowage/provisioner/state"
	v1 "github.com/stowage-sh/stowage/provisioner/v1"
)

// TestDisruptions: the labels say by which rules a claim went, in Karpenter's
// spelling, and the pods that need another place are counted.
func TestDisruptions(t *testing.T) {
	for _, c := range []struct {
		policy       v1.ConsolidationPolicy
		grace        v1.Duration
		policyWanted string
		modeWanted   string
	}{
		{v1.WhenEmpty, "", "when_empty", "graceful"},
		{v1.WhenEmptyOrUnderutilized, "1h", "when_empty_or_underutilized", "eventual"},
		{v1.Balanced, "0s", "balanced", "forceful"},
		{"", "", "", "graceful"}, // its NodePool is gone
	} {
		t.Run(string(c.policy), func(t *testing.T) {
			cluster := state.New()
			if c.policy != "" {
				pool := &v1.NodePool{ObjectMeta: metav1.ObjectMeta{Name: "web", UID: "pool"}}
				pool.Spec.Disruption.ConsolidationPolicy = c.policy
				cluster.Observe(pool)
			}
			claim := &v1.NodeClaim{ObjectMeta: metav1.ObjectMeta{Name: "a", UID: "claim", Labels: map[string]string{v1.LabelNodePool: "web", v1.LabelCapacityType: "spot"}}}
			claim.Spec.TerminationGracePeriod, claim.Status.ProviderID = c.grace, "cloud:///a"
			cluster.Observe(&corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "a", UID: "node"}, Spec: corev1.NodeSpec{ProviderID: "cloud:///a"}})
			for i, phase := range []corev1.PodPhase{corev1.PodRunning, corev1.PodPending, corev1.PodSucceeded} {
				cluster.Observe(&corev1.Pod{
					ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: fmt.Sprint(i), UID: types.UID(fmt.Sprint(i))},
					Spec:       corev1.PodSpec{NodeName: "a"}, Status: corev1.PodStatus{Phase: phase},
				})
			}
			r := prometheus.NewRegistry()
			d, err := NewDisruptions(r)
			if err != nil {
				t.Fatal(err)
			}
			if again, err := NewDisruptions(r); err != nil || again.claims != d.claims || again.pods != d.pods {
				t.Errorf("the second who counts has metrics of its own (%v)", err)
			}
			d.Count(cluster.Snapshot(), claim, "expired")
			families, err := r.Gather()
			if err != nil {
				t.Fatal(err)
			}
			labels := fmt.Sprintf("capacity_type=spot consolidation_policy=%s nodepool=web reason=expired termination_mode=%s", c.policyWanted, c.modeWanted)
			want := "karpenter_nodeclaims_disrupted_total " + labels + " 1\nkarpenter_pods_disruption_initiated_total " + labels + " 2\n"
			var b strings.Builder
			for _, f := range families {
				for _, m := range f.Metric {
					b.WriteString(f.GetName())
					for _, l := range m.Label {
						fmt.Fprintf(&b, " %s=%s", l.GetName(), l.GetValue())
					}
					fmt.Fprintln(&b, "", m.Counter.GetValue())
				}
			}
			if b.String() != want {
				t.Errorf("got\n%s\nwant\n%s", &b, want)
			}
		})
	}
}

// TestDrainedPodsHaveAReason: that of the decision, if there was one.
func TestDrainedPodsHaveAReason(t *testing.T) {
	claim := &v1.NodeClaim{}
	if got := drainReason(claim); got != "Forceful Termination" {
		t.Errorf("deleted by hand: %q", got)
	}
	claim.Status.Conditions = []metav1.Condition{{Type: v1.ConditionDisruptionReason, Status: metav1.ConditionTrue, Reason: "Empty"}}
	if got := drainReason(claim); got != "Empty" {
		t.Errorf("chosen for being empty: %q", got)
	}
}
