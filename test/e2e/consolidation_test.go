package e2e

import (
	"fmt"
	"slices"
	"testing"
	"time"

	v1 "github.com/stowage-sh/stowage/provisioner/v1"
)

// TestConsolidation: a hundred nodes, of whose pods two of three have gone, become as few as hold
// the rest: never more of them disrupted than the budget allows, with a PodDisruptionBudget that lets
// five pods of a hundred be down, and no pod waits longer than a batch. Then nothing moves any more.
func TestConsolidation(t *testing.T) {
	const nodes, perNode, budget, apart, batch = 100, 3, 20, 95, 10 * time.Second
	start(t)
	s := newScene(t, "consolidation", class{})
	s.pool(pool{Types: "m5.large", Budget: "20%", After: "10s", Payback: "0s"})
	s.deploy(pods{Name: "web", Count: nodes * perNode, CPU: "500m"})
	if n := len(s.hosts(s.running("web", nodes*perNode))); n != nodes {
		t.Fatalf("%d pods are on %d nodes", nodes*perNode, n)
	}
	s.apply(fmt.Sprintf(`{apiVersion: policy/v1, kind: PodDisruptionBudget, metadata: {name: web, namespace: %s}, spec: {minAvailable: %d, selector: {matchLabels: {app: web}}}}`, s.name, apart))
	s.deploy(pods{Name: "web", Count: nodes, CPU: "500m"})
	s.running("web", nodes)
	begun := time.Now()
	most, fewest, longest := 0, nodes, time.Duration(0)
	const least = (nodes + perNode - 1) / perNode
	within(t, 3*patience, fmt.Sprintf("%d nodes are left", least), func() error { // in rounds, as the budget allows
		claims, going := s.claims(""), 0
		for _, c := range claims {
			if condition(c.Status.Conditions, v1.ConditionInstanceTerminating).Status != "True" &&
				(c.DeletionTimestamp != nil || condition(c.Status.Conditions, v1.ConditionDisruptionReason).Status == "True") {
				going++
			}
		}
		for _, p := range s.pods("web") {
			if p.Spec.NodeName == "" {
				longest = max(longest, time.Since(p.CreationTimestamp.Time))
			}
		}
		most, fewest = max(most, going), min(fewest, s.serving("web"))
		switch {
		case going > budget:
			t.Fatalf("%d nodes are disrupted at once, the budget is %d", going, budget)
		case len(claims) > least:
			return fmt.Errorf("there are %d, and %d are under way", len(claims), going)
		}
		return nil
	})
	if fewest < apart {
		t.Errorf("only %d pods of %d served for a while, the PodDisruptionBudget asks for %d", fewest, nodes, apart)
	}
	if longest > batch {
		t.Errorf("a pod waited for its node for %v", longest)
	}
	eventually(t, "nothing is under way", func() error {
		for _, c := range s.claims("") {
			if c.DeletionTimestamp != nil || condition(c.Status.Conditions, v1.ConditionDisruptionReason).Status == "True" {
				return fmt.Errorf("NodeClaim %s is", c.Name)
			}
		}
		return nil
	})
	t.Logf("in %v; at most %d nodes were under way at once, and no pod was seen to wait longer than %v", time.Since(begun), most, longest)
	s.quiet("web", nodes, time.Minute)
	s.told("NodeClaim", s.poolName(""), "DisruptionTerminating", "Underutilized")
}

// quiet fails if a pod is made or a NodeClaim is disrupted for a while.
func (s *scene) quiet(name string, count int, d time.Duration) {
	s.Helper()
	uids := func() (all []string) {
		for _, p := range s.running(name, count) {
			all = append(all, string(p.UID))
		}
		for _, c := range s.claims("") {
			if condition(c.Status.Conditions, v1.ConditionDisruptionReason).Status != "True" {
				all = append(all, string(c.UID))
			}
		}
		slices.Sort(all)
		return all
	}
	before := uids()
	time.Sleep(d)
	if after := uids(); !slices.Equal(before, after) {
		s.Errorf("%d pods and NodeClaims were there before %v of rest, and %d are, or others", len(before), d, len(after))
	}
}
