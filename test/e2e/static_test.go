package e2e

import (
	"fmt"
	"strings"
	"testing"

	v1 "github.com/stowage-sh/stowage/provisioner/v1"
)

// staticPool: kubectl scale brings nodes without pods, and takes those away first
// that have none.
func staticPool(t *testing.T) {
	s := newScene(t, "static", class{})
	s.pool(pool{Types: "m5.large", Replicas: "0", After: "0s"})
	s.poolsReady()
	scale := func(n int) {
		t.Helper()
		_, err := here.Kubectl(s.ctx(), "scale", "nodepool", s.poolName(""), fmt.Sprintf("--replicas=%d", n))
		s.must(err)
		eventually(t, fmt.Sprintf("the NodePool has %d nodes", n), func() error {
			claims := s.claims("")
			for _, c := range claims {
				if !v1.IsTrue(c.Status.Conditions, v1.ConditionReady) || c.DeletionTimestamp != nil {
					return fmt.Errorf("NodeClaim %s is not ready, or going", c.Name)
				}
			}
			if have := s.nodePool("").Status.Nodes; len(claims) != n || int(have) != n {
				return fmt.Errorf("there are %d NodeClaims, and the NodePool says %d", len(claims), have)
			}
			return nil
		})
		out, err := here.Kubectl(s.ctx(), "get", "--raw", "/apis/karpenter.sh/v1/nodepools/"+s.poolName("")+"/scale")
		s.must(err)
		if want := fmt.Sprintf(`"spec":{"replicas":%d},"status":{"replicas":%d}`, n, n); n > 0 && !strings.Contains(string(out), want) {
			t.Errorf("the scale is %s, want %s", out, want)
		}
	}
	scale(3)
	s.deploy(pods{Name: "web", Count: 1})
	used := s.hosts(s.running("web", 1))
	s.deploy(pods{Name: "huge", Count: 1, CPU: "3"})
	s.told("Pod", "huge", "FailedScheduling", "NodePool static: spec.replicas: its nodes are there for pods")
	if n := len(s.instances()); n != 3 {
		t.Errorf("%d instances were bought, want 3", n)
	}
	s.deploy(pods{Name: "huge"})
	scale(1)
	if left := s.hosts(s.running("web", 1)); left[0].Name != used[0].Name {
		t.Errorf("the pod was moved from %s to %s, though other nodes were empty", used[0].Name, left[0].Name)
	}
	s.told("NodeClaim", s.poolName(""), "DisruptionTerminating", "more nodes than replicas")
	if _, err := here.Kubectl(s.ctx(), "patch", "nodepool", s.poolName(""), "--type=json", `-p=[{"op":"remove","path":"/spec/replicas"}]`); err == nil || !strings.Contains(err.Error(), "Cannot transition NodePool") {
		t.Errorf("a static NodePool became another: %v", err)
	}
}
