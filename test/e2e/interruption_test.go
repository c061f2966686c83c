package e2e

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	v1 "github.com/stowage-sh/stowage/provisioner/v1"
)

// goes waits until a NodeClaim is gone.
func (s *scene) goes(claim v1.NodeClaim) {
	s.Helper()
	eventually(s.T, "NodeClaim "+claim.Name+" is gone", func() error {
		for _, c := range s.claims("") {
			if c.Name == claim.Name {
				return fmt.Errorf("it stands: %v", c.Status.Conditions)
			}
		}
		return nil
	})
}

// spotInterrupted: the warning comes through the queue, and the pods are on the replacement before
// EC2 takes the instance.
func spotInterrupted(t *testing.T) {
	s := newScene(t, "interrupted", class{})
	s.pool(pool{Types: "m5.large", Capacity: "spot", Budget: "0"})
	s.deploy(pods{Name: "web", Count: 2, Apart: true})
	first := map[string]bool{}
	for _, pod := range s.running("web", 2) {
		first[pod.Name] = true
	}
	s.serves("web", 2)
	old := s.claims("")[0]
	instance := s.instanceOf(old)
	if !here.EC2.Interrupt(instance) {
		t.Fatalf("%s is not a living spot instance", instance)
	}
	s.told("NodeClaim", old.Name, "SpotInterrupted", "spot_interrupted")
	s.goes(old)
	s.told("NodeClaim", old.Name, "TerminatingOnInterruption", "spot_interrupted")
	s.serves("web", 2)
	for _, pod := range s.running("web", 2) {
		for _, c := range s.claims("") {
			ready := condition(c.Status.Conditions, v1.ConditionInitialized).LastTransitionTime
			if c.Status.NodeName == pod.Spec.NodeName && pod.CreationTimestamp.Before(&ready) && !first[pod.Name] {
				t.Errorf("pod %s came at %v, and its node was ready at %v", pod.Name, pod.CreationTimestamp, ready)
			}
		}
	}
	for _, i := range s.instances() {
		if i.ID == instance && i.Reason != "Client.UserInitiatedShutdown" {
			t.Errorf("EC2 took %s before it was given back: %s", i.ID, i.Reason)
		}
	}
	eventually(t, "the queue is empty", func() error {
		if n := here.EC2.QueueLength(); n > 0 {
			return fmt.Errorf("%d messages are left", n)
		}
		return nil
	})
}

// impaired: an instance that fails its status checks goes, whatever protects its pods.
func impaired(t *testing.T) {
	s := newScene(t, "impaired", class{})
	s.pool(pool{Types: "m5.large"})
	s.deploy(pods{Name: "web", Count: 1, Undisrupted: true})
	s.running("web", 1)
	old := s.claims("")[0]
	here.EC2.ImpairSince(s.instanceOf(old), time.Now().Add(-3*time.Minute))
	s.goes(old)
	s.told("NodeClaim", old.Name, "InstanceUnhealthy", "_status: the status check of the instance") // or of its host, if a write lost a race
	s.running("web", 1)
}

// instanceOf is the ID of a NodeClaim's instance.
func (s *scene) instanceOf(claim v1.NodeClaim) string {
	s.Helper()
	for _, i := range s.instances() {
		if strings.HasSuffix(claim.Status.ProviderID, "/"+i.ID) {
			return i.ID
		}
	}
	s.Fatalf("NodeClaim %s has no instance", claim.Name)
	return ""
}

// serves waits until so many pods of a Deployment are Ready.
func (s *scene) serves(name string, count int) {
	s.Helper()
	eventually(s.T, fmt.Sprintf("%d pods of %s serve", count, name), func() error {
		if s.serving(name) != count {
			return errors.New("they do not")
		}
		return nil
	})
}
