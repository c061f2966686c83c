package e2e

import (
	"fmt"
	"testing"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stowage-sh/stowage/provisioner/state"
	v1 "github.com/stowage-sh/stowage/provisioner/v1"
	"github.com/stowage-sh/stowage/test/cluster"
	"github.com/stowage-sh/stowage/test/ec2sim"
)

// killBetween has the controller killed when EC2 has made an instance, and nobody
// has written that down. It returns the NodeClaim and the instance.
func killBetween(s *scene, controller *cluster.Stowage) (v1.NodeClaim, ec2sim.Instance) {
	s.Helper()
	here.EC2.After("CreateFleet", func() { kill(controller) })
	s.deploy(pods{Name: "web", Count: 2})
	select {
	case <-controller.Done():
	case <-time.After(patience):
		s.Fatalf("EC2 was not asked for an instance within %s", patience)
	}
	claims, bought := s.claims(""), s.instances()
	if len(claims) != 1 || len(bought) != 1 {
		s.Fatalf("%d NodeClaims and %d instances were made before the kill, want 1 and 1", len(claims), len(bought))
	}
	if id := claims[0].Status.ProviderID; id != "" {
		s.Fatalf("the NodeClaim knows of its instance %s; the kill came too late to show anything", id)
	}
	return claims[0], bought[0]
}

// TestKilledBeforeTheStatus: the controller that comes after one that was killed
// between CreateFleet and the status finds the instance and makes no second one.
func TestKilledBeforeTheStatus(t *testing.T) {
	controller := start(t)
	s := newScene(t, "killed", class{})
	s.pool(pool{Types: "m5.xlarge"})
	claim, instance := killBetween(s, controller)
	restart(t)
	for _, node := range s.hosts(s.running("web", 2)) {
		if node.Name != instance.PrivateDNS {
			t.Errorf("a pod is on node %s, want %s alone", node.Name, instance.PrivateDNS)
		}
	}
	claims, bought := s.claims(""), s.instances()
	if len(claims) != 1 || claims[0].UID != claim.UID || len(bought) != 1 {
		t.Errorf("there are NodeClaims %v and instances %v, want the first of each alone", claims, bought)
	}
}

// TestKilledAndForgotten: the NodeClaim of such an instance is gone before the next
// controller comes, past its finalizer. The instance is an orphan, and is ended.
func TestKilledAndForgotten(t *testing.T) {
	controller := start(t)
	s := newScene(t, "orphan", class{})
	s.pool(pool{Types: "m5.xlarge"})
	claim, instance := killBetween(s, controller)
	s.deploy(pods{Name: "web"})
	bare := claim.DeepCopy()
	bare.Finalizers = nil
	s.must(here.Client.Patch(s.ctx(), bare, client.MergeFrom(&claim)))
	s.must(s.delete(bare))
	eventually(t, "the instance has joined, for nobody", func() error {
		if _, ok := s.nodes()[instance.PrivateDNS]; !ok {
			return fmt.Errorf("there is no node %s", instance.PrivateDNS)
		}
		return nil
	})
	// The Lease of the one that was killed runs out by itself, as the other test
	// shows.
	s.must(s.delete(&coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Namespace: cluster.Namespace, Name: "karpenter-leader-election"}}))
	restart(t, "--garbage-collection-interval", "1s", "--garbage-collection-age", "1s")
	eventually(t, "instance and node are gone", s.left)
	if n := len(s.instances()); n != 1 {
		t.Errorf("%d instances were bought, want 1", n)
	}
}

// TestStopWithdrawsNominations: pods are nominated to a node that a startup taint keeps
// closed. Karpenter would leave them alone for it, so a controller that is asked to stop
// takes that back first; the next one carries on.
func TestStopWithdrawsNominations(t *testing.T) {
	controller := start(t)
	s := newScene(t, "withdrawn", class{})
	s.pool(pool{Types: "m5.xlarge", Startup: "{key: stowage.example/agent, value: starting, effect: NoSchedule}"})
	s.deploy(pods{Name: "web", Count: 2})
	nominated := func() (n int, node string) {
		for _, p := range s.pods("web") {
			if state.Nominated(&p) {
				n++
				node = p.Status.NominatedNodeName
			}
		}
		return n, node
	}
	wait := func() {
		t.Helper()
		eventually(t, "all pods are nominated", func() error {
			if n, _ := nominated(); n != 2 {
				return fmt.Errorf("%d are", n)
			}
			return nil
		})
	}
	wait()
	here.running.Store(nil)
	s.must(controller.Stop())
	for _, p := range s.pods("web") {
		if p.Status.NominatedNodeName != "" {
			t.Errorf("pod %s is still nominated to %s", p.Name, p.Status.NominatedNodeName)
		}
	}
	restart(t)
	wait()
	_, node := nominated()
	_, err := here.Kubectl(s.ctx(), "taint", "node", node, "stowage.example/agent-")
	s.must(err)
	s.running("web", 2)
	if n := len(s.instances()); n != 1 {
		t.Errorf("%d instances were bought, want 1", n)
	}
}
