package e2e

import (
	"fmt"
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	v1 "github.com/stowage-sh/stowage/provisioner/v1"
)

// TestPlanComesTrue: a thousand pods of twenty Deployments, some spread over zones and some kept
// apart, packed tight, find their places on the nodes that were bought for them at first. Where nodes are so large that
// several pods of a kind must stand on one, a few may need another, since kube-scheduler decides; fewer or none do where some
// percent are left free.
func TestPlanComesTrue(t *testing.T) {
	start(t)
	for _, test := range []struct {
		name, types, slack string
		late               int // NodeClaims at the most
	}{
		{"tight", "m5.large, m5.xlarge, m5.2xlarge, m5.4xlarge, c5.xlarge, c5.2xlarge, c5.4xlarge, r5.large, r5.xlarge, r5.2xlarge", "", 1},
		{"slack", "m5.4xlarge, c5.4xlarge, r5.4xlarge", "4%", 3},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := newScene(t, test.name, class{})
			if late, all := s.thousand(test.types, test.slack); late > test.late {
				t.Errorf("%d of %d NodeClaims came later than the others", late, all)
			}
		})
	}
}

// thousand runs the pods, and counts the NodeClaims, and those that came later than the others.
func (s *scene) thousand(types, slack string) (late, claims int) {
	s.Helper()
	total := 0
	var all []pods
	for i := range 20 {
		p := pods{
			Name: fmt.Sprintf("app-%02d", i), Count: 30 + 40*(i%2), CPU: fmt.Sprintf("%dm", 130+170*(i%7)), Memory: fmt.Sprintf("%dMi", 200+450*(i%5)),
			Even: i%5 == 1, Apart: i%10 == 2,
		}
		if p.Apart {
			p.Count = 20
		}
		s.deploy(p)
		all = append(all, p)
		total += p.Count
	}
	eventually(s.T, "all pods are made", func() error {
		if n := len(s.pods("")); n != total {
			return fmt.Errorf("%d are", n)
		}
		return nil
	})
	for _, p := range all { // all of them are one batch
		s.told("Pod", p.Name, "FailedScheduling", "Stowage finds no place")
	}
	s.pool(pool{Slack: slack, Types: types})
	var used []corev1.Pod
	for _, p := range all {
		used = append(used, s.running(p.Name, p.Count)...)
	}
	made := s.claims("")
	slices.SortFunc(made, func(a, b v1.NodeClaim) int { return a.CreationTimestamp.Compare(b.CreationTimestamp.Time) })
	for i := 1; i < len(made); i++ {
		if late > 0 || made[i].CreationTimestamp.Sub(made[i-1].CreationTimestamp.Time) > 3*time.Second { // of another batch
			late++
		}
	}
	asked, has := 0.0, 0.0
	for _, p := range used {
		asked += p.Spec.Containers[0].Resources.Requests.Cpu().AsApproximateFloat64()
	}
	for _, n := range s.nodes() {
		has += n.Status.Allocatable.Cpu().AsApproximateFloat64()
	}
	s.Logf("%d pods on %d nodes of %d NodeClaims, %d of them later than the others; %.1f %% of the CPU is asked for", total, len(s.hosts(used)), len(made), late, 100*asked/has)
	if slack == "" && 100*asked < 95*has {
		s.Errorf("only %.1f %% of the CPU is asked for: that is no tight plan", 100*asked/has)
	}
	if nodes := len(s.hosts(used)); nodes != len(made) {
		s.Errorf("%d of %d nodes are not used", len(made)-nodes, len(made))
	}
	return late, len(made)
}
