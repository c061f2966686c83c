package sim

import (
	"fmt"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/stowage-sh/stowage/cloudprovider"
	v1 "github.com/stowage-sh/stowage/provisioner/v1"
)

// NoLostMachine is the law that no machine is paid for, for longer than limit,
// without a NodeClaim that stands for it.
func NoLostMachine(limit time.Duration) func(*World) error {
	since := map[string]time.Time{} // by machine: when it was first seen lost
	return func(w *World) error {
		unwritten, had := map[string]bool{}, map[string]bool{} // claims without a machine, and machines with a claim
		for _, c := range stored[*v1.NodeClaim](w.API) {
			unwritten[string(c.UID)] = c.Status.ProviderID == ""
			had[c.Status.ProviderID] = true
		}
		for _, m := range w.Cloud.machines {
			if had[m.ProviderID] || unwritten[m.request.UID] || m.State == cloudprovider.Stopping || m.State == cloudprovider.Terminated {
				delete(since, m.ID)
				continue
			}
			if _, ok := since[m.ID]; !ok {
				since[m.ID] = w.Now
			}
			if w.Now.Sub(since[m.ID]) > limit {
				return fmt.Errorf("machine %s of NodeClaim %s has been lost for %v", m.ID, m.request.Claim, limit)
			}
		}
		return nil
	}
}

// LaunchedOnce is the law that no NodeClaim ever has two machines that live.
func LaunchedOnce(w *World) error {
	live := map[string]string{}
	for _, m := range w.Cloud.machines {
		if m.State == cloudprovider.Terminated || m.State == cloudprovider.Stopping || m.request.UID == "" { // the last: Karpenter's
			continue
		}
		if other := live[m.request.UID]; other != "" {
			return fmt.Errorf("machines %s and %s were both launched for NodeClaim %s", other, m.ID, m.request.Claim)
		}
		live[m.request.UID] = m.ID
	}
	return nil
}

// LimitsKept is the law that no NodePool's NodeClaims exceed its limits. A
// NodeClaim that is not launched counts by what it asks for.
func LimitsKept(w *World) error {
	for _, pool := range stored[*v1.NodePool](w.API) {
		used := corev1.ResourceList{}
		nodes := int64(0)
		for _, claim := range stored[*v1.NodeClaim](w.API) {
			if claim.Labels[v1.LabelNodePool] != pool.Name {
				continue
			}
			nodes++
			have := claim.Status.Capacity
			if len(have) == 0 {
				have = claim.Spec.Resources.Requests
			}
			for name, q := range have {
				sum := used[name]
				sum.Add(q)
				used[name] = sum
			}
		}
		for name, limit := range pool.Spec.Limits {
			sum := used[name]
			if name == "nodes" {
				sum.Set(nodes)
			}
			if sum.Cmp(limit) > 0 {
				return fmt.Errorf("NodePool %s uses %s of %s, past its limit %s", pool.Name, sum.String(), name, limit.String())
			}
		}
	}
	return nil
}

// BudgetsKept is the law that no more nodes of a NodePool are in voluntary
// disruption than each of its budgets allows that is a plain number and always
// active.
func BudgetsKept(w *World) error {
	disrupted := map[string]int{}
	for _, claim := range stored[*v1.NodeClaim](w.API) {
		c := claim.Status.Conditions
		if v1.IsTrue(c, v1.ConditionDisruptionReason) && !v1.IsTrue(c, v1.ConditionInstanceTerminating) {
			disrupted[claim.Labels[v1.LabelNodePool]]++
		}
	}
	for _, pool := range stored[*v1.NodePool](w.API) {
		for _, b := range pool.Spec.Disruption.Budgets {
			n, err := strconv.Atoi(b.Nodes)
			if err == nil && b.Schedule == "" && len(b.Reasons) == 0 && disrupted[pool.Name] > n {
				return fmt.Errorf("%d nodes of NodePool %s are disrupted, its budget is %d", disrupted[pool.Name], pool.Name, n)
			}
		}
	}
	return nil
}
