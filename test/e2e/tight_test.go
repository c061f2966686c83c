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
// apart, packed tight, find their places on the nodes that were bought for them at first; a few
// may need another, since kube-scheduler decides.
func TestPlanComesTrue(t *testing.T) {
	start(t)
	s := newScene(t, "tight", class{})
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
	for _, p := range all { // all of them are one batch
		s.told("Pod", p.Name, "FailedScheduling", "Stowage finds no place")
	}
	s.pool(pool{Types: "m5.large, m5.xlarge, m5.2xlarge, m5.4xlarge, c5.xlarge, c5.2xlarge, c5.4xlarge, r5.large, r5.xlarge, r5.2xlarge"})
	var used []corev1.Pod
	for _, p := range all {
		used = append(used, s.running(p.Name, p.Count)...)
	}
	claims := s.claims("")
	slices.SortFunc(claims, func(a, b v1.NodeClaim) int { return a.CreationTimestamp.Compare(b.CreationTimestamp.Time) })
	late := 0
	for _, c := range claims {
		if c.CreationTimestamp.Sub(claims[0].CreationTimestamp.Time) > 3*time.Second {
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
	t.Logf("%d pods on %d nodes of %d NodeClaims, %d of them later than the others; %.1f %% of the CPU is asked for", total, len(s.hosts(used)), len(claims), late, 100*asked/has)
	if 100*asked < 95*has {
		t.Errorf("only %.1f %% of the CPU is asked for: that is no tight plan", 100*asked/has)
	}
	if late*6 > len(claims) {
		t.Errorf("%d of %d NodeClaims came later than the others", late, len(claims))
	}
}
