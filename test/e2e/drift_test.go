package e2e

import (
	"fmt"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	v1 "github.com/stowage-sh/stowage/provisioner/v1"
)

// TestDrift: fifty nodes whose NodePool's template has changed are replaced, never more than the
// budget's ten at once, with a PodDisruptionBudget that lets two pods of fifty be down; each
// replacement is there before the pod that needs it, so that nothing is bought a second time.
func TestDrift(t *testing.T) {
	const nodes, budget, apart = 50, 10, 48
	start(t)
	s := newScene(t, "drift", class{})
	p := pool{Types: "m5.large", Budget: "20%", Annotations: "stowage.example/release: first"}
	s.pool(p)
	s.deploy(pods{Name: "web", Count: nodes, CPU: "1300m"}) // a node each
	s.apply(fmt.Sprintf(`{apiVersion: policy/v1, kind: PodDisruptionBudget, metadata: {name: web, namespace: %s}, spec: {minAvailable: %d, selector: {matchLabels: {app: web}}}}`, s.name, apart))
	if n := len(s.hosts(s.running("web", nodes))); n != nodes {
		t.Fatalf("%d pods are on %d nodes", nodes, n)
	}
	old := map[string]bool{}
	for _, c := range s.claims("") {
		old[c.Name] = true
	}
	p.Annotations = "stowage.example/release: second"
	s.pool(p)
	most, fewest := 0, nodes
	for left := nodes - 5; left >= 0; left -= 5 {
		eventually(t, fmt.Sprintf("%d old nodes are left", left), func() error {
			going, there := 0, 0
			for _, c := range s.claims("") {
				if old[c.Name] {
					there++
				}
				if condition(c.Status.Conditions, v1.ConditionInstanceTerminating).Status != "True" &&
					(c.DeletionTimestamp != nil || condition(c.Status.Conditions, v1.ConditionDisruptionReason).Status == "True") {
					going++
				}
			}
			most, fewest = max(most, going), min(fewest, s.serving("web"))
			if going > budget {
				t.Fatalf("%d nodes are disrupted at once, the budget is %d", going, budget)
			}
			if there > left {
				return fmt.Errorf("there are %d, and %d are under way", there, going)
			}
			return nil
		})
	}
	if fewest < apart {
		t.Errorf("only %d pods of %d served for a while, the PodDisruptionBudget asks for %d", fewest, nodes, apart)
	}
	longest := time.Duration(0)
	for _, pod := range s.running("web", nodes) {
		longest = max(longest, scheduled(pod).Sub(pod.CreationTimestamp.Time))
	}
	t.Logf("at most %d nodes were under way at once, and no pod waited for its node longer than %v", most, longest)
	if bought := len(s.bought("")); bought != 2*nodes {
		t.Errorf("%d instances were bought, want one for each node and one for its replacement: %d", bought, 2*nodes)
	}
	s.told("NodeClaim", s.poolName(""), "DisruptionTerminating", "Drifted")
}

// serving counts the pods of a Deployment that are Ready and stay.
func (s *scene) serving(name string) (n int) {
	for _, pod := range s.pods(name) {
		for _, c := range pod.Status.Conditions {
			if pod.DeletionTimestamp == nil && c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue {
				n++
			}
		}
	}
	return n
}

// scheduled is when a pod got its node.
func scheduled(pod corev1.Pod) time.Time {
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodScheduled {
			return c.LastTransitionTime.Time
		}
	}
	return time.Time{}
}
