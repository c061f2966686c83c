package e2e

import (
	"fmt"
	"testing"

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
