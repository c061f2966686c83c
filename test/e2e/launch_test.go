package e2e

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stowage-sh/stowage/cloudprovider"
	"github.com/stowage-sh/stowage/provisioner/nodepool"
	"github.com/stowage-sh/stowage/test/ec2sim"
)

// zoneRunsShort: without capacity in two zones, the third serves, within the same
// launch.
func zoneRunsShort(t *testing.T) {
	s := newScene(t, "zone", class{})
	for _, zone := range []string{"us-west-2a", "us-west-2b"} {
		here.EC2.RunShort(ec2sim.Shortage{Pool: cloudprovider.Offering{InstanceType: "c6i.xlarge", Zone: zone}})
	}
	s.pool(pool{Types: "c6i.xlarge"})
	s.deploy(pods{Name: "web", Count: 2})
	s.running("web", 2)
	bought := s.instances()
	if len(bought) != 1 || bought[0].Offering.Zone != "us-west-2c" {
		t.Errorf("bought %v, want one instance in us-west-2c", bought)
	}
}

// typeRunsShort: without capacity for the one type of the heavier NodePool, the
// NodeClaim goes and its pods get another at once.
func typeRunsShort(t *testing.T) {
	s := newScene(t, "short", class{})
	here.EC2.RunShort(ec2sim.Shortage{Pool: cloudprovider.Offering{InstanceType: "c6i.2xlarge"}})
	s.pool(pool{Name: "wanted", Weight: 50, Types: "c6i.2xlarge"})
	s.pool(pool{Name: "spare", Types: "c6a.2xlarge"})
	s.poolsReady()
	s.deploy(pods{Name: "web", Count: 2})
	s.running("web", 2)
	s.told("NodeClaim", s.poolName("wanted"), "InsufficientCapacityError", "InsufficientInstanceCapacity")
	if bought := s.instances(); len(bought) != 1 || bought[0].Offering.InstanceType != "c6a.2xlarge" {
		t.Errorf("bought %v, want one c6a.2xlarge", bought)
	}
	if left := s.claims("wanted"); len(left) != 0 {
		t.Errorf("NodeClaim %s stayed without an instance", left[0].Name)
	}
}

// neverJoins: an image that starts no kubelet costs one instance, which is given
// back; the NodePool waits before it buys another, and the pods go elsewhere. Once
// the class is mended, the NodePool buys again.
func neverJoins(t *testing.T) {
	const broken = `amiFamily: Custom
  amiSelectorTerms: [{tags: {Name: custom}}]`
	s := newScene(t, "joins", class{Images: broken})
	s.pool(pool{Name: "broken", Weight: 50, Types: "m6i.large"})
	s.deploy(pods{Name: "web", Count: 1})
	s.told("NodePool", s.poolName("broken"), "NodeRegistrationFailed", "did not join the cluster within "+registrationTimeout.String())
	eventually(t, "the instance is given back", s.left)
	s.told("Pod", "web", "FailedScheduling", "1 node(s) in a row never joined the cluster")
	bought := s.bought("broken")
	if len(bought) != 1 {
		t.Fatalf("%d instances were bought of a broken image, want 1", len(bought))
	}
	if said := here.EC2.ConsoleLog(bought[0].ID); !strings.Contains(said, "bootstrap failed") {
		t.Errorf("the instance did not join, but its console says:\n%s", said)
	}
	if p := s.nodePool("broken"); !strings.HasPrefix(p.Annotations[nodepool.AnnotationFailures], "1@") {
		t.Errorf("the NodePool's count of failures is %q", p.Annotations[nodepool.AnnotationFailures])
	}
	s.class(class{Images: broken + `
  userData: |
    #!/bin/bash
    /etc/eks/bootstrap.sh stowage-test --kubelet-extra-args '--register-with-taints=karpenter.sh/unregistered:NoExecute'`})
	s.running("web", 1)
	eventually(t, "the failures are forgotten", func() error {
		if said := s.nodePool("broken").Annotations[nodepool.AnnotationFailures]; said != "" {
			return fmt.Errorf("the NodePool says %q", said)
		}
		return nil
	})
}

// instanceTerminated: an instance that goes behind our back takes its NodeClaim
// and node with it, and its pods get another.
func instanceTerminated(t *testing.T) {
	s := newScene(t, "gone", class{})
	s.pool(pool{Types: "m5.xlarge"})
	s.deploy(pods{Name: "web", Count: 2})
	s.running("web", 2)
	first := s.instances()[0]
	if !here.EC2.Terminate(first.ID) {
		t.Fatalf("instance %s does not live", first.ID)
	}
	eventually(t, "NodeClaim and node of the instance are gone", func() error {
		for _, c := range s.claims("") {
			if strings.HasSuffix(c.Status.ProviderID, first.ID) {
				return fmt.Errorf("NodeClaim %s stands: %v", c.Name, c.Status.Conditions)
			}
		}
		if _, ok := s.nodes()[first.Node]; ok {
			return fmt.Errorf("node %s stands", first.Node)
		}
		return nil
	})
	s.hosts(s.running("web", 2))
	if n := len(s.instances()); n != 2 {
		t.Errorf("%d instances were bought, want the first and one in its place", n)
	}
}
