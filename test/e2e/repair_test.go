package e2e

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// TestRepair: of three nodes the one goes whose accelerator is said to be broken for longer than is
// tolerated, though its pod is not to be disrupted.
func TestRepair(t *testing.T) {
	start(t, "--feature-gates", "NodeRepair=true", "--node-repair-toleration", "3s")
	s := newScene(t, "repair", class{})
	s.pool(pool{Types: "m5.large", Budget: "0"})
	s.deploy(pods{Name: "web", Count: 3, Apart: true, Undisrupted: true})
	s.running("web", 3)
	old := s.claims("")[0]
	for _, n := range s.nodes() {
		if n.Name != old.Status.NodeName {
			continue
		}
		before := n.DeepCopy()
		n.Status.Conditions = append(n.Status.Conditions, corev1.NodeCondition{
			Type: "AcceleratedHardwareReady", Status: corev1.ConditionFalse, Reason: "Xid", LastTransitionTime: metav1.NewTime(time.Now()),
		})
		s.must(here.Client.Status().Patch(s.ctx(), &n, client.StrategicMergeFrom(before)))
	}
	s.goes(old)
	s.told("NodeClaim", old.Name, "DisruptionTerminating", "AcceleratedHardwareReady")
	s.running("web", 3)
	if n := len(s.claims("")); n != 3 {
		t.Errorf("there are %d NodeClaims, want 3", n)
	}
}
