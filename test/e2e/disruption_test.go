package e2e

import (
	"fmt"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1 "github.com/stowage-sh/stowage/provisioner/v1"
)

// emptyNode: a node without pods goes, and one with a pod stays.
func emptyNode(t *testing.T) {
	s := newScene(t, "empty", class{})
	s.pool(pool{Types: "m5.large", After: "1s"})
	s.deploy(pods{Name: "stays", Count: 1})
	s.deploy(pods{Name: "goes", Count: 1})
	stays := s.hosts(s.running("stays", 1))[0].Name
	goes := s.hosts(s.running("goes", 1))[0].Name
	if stays == goes {
		t.Fatalf("both pods are on %s, which holds one", stays)
	}
	s.deploy(pods{Name: "goes"})
	eventually(t, "the empty node is gone", func() error {
		if node, ok := s.nodes()[goes]; ok {
			return fmt.Errorf("node %s stands with taints %v", goes, node.Spec.Taints)
		}
		return nil
	})
	s.told("Node", goes, "DisruptionTerminating", "Empty")
	if name := s.running("stays", 1)[0].Spec.NodeName; name != stays {
		t.Errorf("the other pod moved from node %s to %s", stays, name)
	}
}

// budgetOfZero: a budget of no nodes holds an empty node, and says so; it goes
// when the budget lets it.
func budgetOfZero(t *testing.T) {
	s := newScene(t, "budget", class{})
	p := pool{Types: "m5.large", After: "0s", Budget: "0"}
	s.pool(p)
	s.deploy(pods{Name: "web", Count: 1})
	host := s.hosts(s.running("web", 1))[0]
	s.deploy(pods{Name: "web"})
	s.told("NodePool", s.poolName(""), "DisruptionBlocked", "budget holds back nodes that are empty")
	node, ok := s.nodes()[host.Name]
	if !ok || node.DeletionTimestamp != nil {
		t.Errorf("node %s went in spite of the budget", host.Name)
	}
	disrupted := v1.DisruptedTaint()
	for _, taint := range node.Spec.Taints {
		if taint.MatchTaint(&disrupted) {
			t.Errorf("node %s was tainted in spite of the budget", host.Name)
		}
	}
	p.Budget = "1"
	s.pool(p)
	eventually(t, "the node goes when it may", s.left)
}

// nodePoolDeleted: the nodes of a NodePool that is deleted drain and go, and
// their pods move to another.
func nodePoolDeleted(t *testing.T) {
	s := newScene(t, "deleted", class{})
	s.pool(pool{Name: "old", Weight: 50, Types: "m5.large"})
	s.pool(pool{Name: "new", Types: "c5.xlarge"})
	s.poolsReady()
	s.deploy(pods{Name: "web", Count: 2})
	s.running("web", 2)
	if old := len(s.bought("old")); old != 2 {
		t.Fatalf("NodePool old bought %d instances, want 2", old)
	}
	s.must(s.delete(&v1.NodePool{ObjectMeta: metav1.ObjectMeta{Name: s.poolName("old")}}))
	eventually(t, "the NodeClaims of the NodePool are gone", func() error {
		if left := s.claims("old"); len(left) > 0 {
			return fmt.Errorf("NodeClaim %s stands: %v", left[0].Name, left[0].Status.Conditions)
		}
		return nil
	})
	for _, node := range s.hosts(s.running("web", 2)) {
		if got := node.Labels[v1.LabelNodePool]; got != s.poolName("new") {
			t.Errorf("a pod is on a node of NodePool %s", got)
		}
	}
	s.told("Pod", "web", "Evicted", "is going")
}
