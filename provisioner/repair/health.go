package repair

import (
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/stowage-sh/stowage/cloudprovider"
	"github.com/stowage-sh/stowage/provisioner/state"
	v1 "github.com/stowage-sh/stowage/provisioner/v1"
)

// A symptom is a condition of a node that a policy calls broken. It is another one
// when the condition went and came again: its time of transition is of some clock,
// but no two are the same.
type symptom struct {
	node       types.UID
	condition  corev1.NodeConditionType
	status     corev1.ConditionStatus
	transition int64 // Unix seconds
}

// String returns "Ready=Unknown".
func (s symptom) String() string { return string(s.condition) + "=" + string(s.status) }

// symptomsOf returns the symptoms of a node with what the policies bear of each, in
// the order of the policies.
func symptomsOf(node *corev1.Node, policies []cloudprovider.RepairPolicy) (all []symptom, borne []time.Duration) {
	for _, policy := range policies {
		for _, c := range node.Status.Conditions {
			if string(c.Type) == policy.ConditionType && string(c.Status) == policy.ConditionStatus {
				all = append(all, symptom{node.UID, c.Type, c.Status, c.LastTransitionTime.Unix()})
				borne = append(borne, policy.Toleration)
			}
		}
	}
	return all, borne
}

// broken reports whether a node has any symptom.
func broken(node *corev1.Node, policies []cloudprovider.RepairPolicy) bool {
	all, _ := symptomsOf(node, policies)
	return len(all) > 0
}

// maxBroken is how many percent of the nodes may be broken and still be repaired.
const maxBroken = 20

// A tally is how many nodes there are, and how many of them are broken.
type tally struct{ nodes, broken int }

func (t tally) tooMany() bool { return t.broken > (t.nodes*maxBroken+99)/100 }

// A census is the tallies of NodePools, by name, and of all nodes of the cluster.
// Nodes of ours that are not initialized are left out: they may not be ready yet, and
// are given up elsewhere. Those that are going count until they are gone.
type census struct {
	pools map[string]tally
	all   tally
}

func count(s *state.Snapshot, policies []cloudprovider.RepairPolicy) census {
	c := census{pools: map[string]tally{}}
	for _, node := range s.Nodes.All() {
		one := tally{nodes: 1}
		if broken(node, policies) {
			one.broken = 1
		}
		claim, ours := s.ClaimOf(node)
		if ours && !v1.IsTrue(claim.Status.Conditions, v1.ConditionInitialized) {
			continue
		}
		c.all = tally{c.all.nodes + one.nodes, c.all.broken + one.broken}
		if ours {
			pool := claim.Labels[v1.LabelNodePool]
			c.pools[pool] = tally{c.pools[pool].nodes + one.nodes, c.pools[pool].broken + one.broken}
		}
	}
	return c
}

// blocks says why a claim's node is not to be repaired: too many others are broken
// too. It is empty where they are not.
func (c census) blocks(claim *v1.NodeClaim) string {
	pool := claim.Labels[v1.LabelNodePool]
	switch {
	case pool != "" && c.pools[pool].tooMany():
		return fmt.Sprintf("more than %d%% of the nodes of NodePool %s are unhealthy", maxBroken, pool)
	case pool == "" && c.all.tooMany():
		return fmt.Sprintf("more than %d%% of the nodes of the cluster are unhealthy", maxBroken)
	}
	return ""
}

// ripe returns the symptom of a node that is, or will be, borne for long enough
// first, and when that is. since says when each was seen first.
func ripe(node *corev1.Node, policies []cloudprovider.RepairPolicy, since map[symptom]time.Time) (first symptom, at time.Time, ok bool) {
	all, borne := symptomsOf(node, policies)
	for i, s := range all {
		if end := since[s].Add(borne[i]); !ok || end.Before(at) {
			first, at, ok = s, end, true
		}
	}
	return first, at, ok
}

// named finds the symptom of a node that String calls so.
func named(node *corev1.Node, policies []cloudprovider.RepairPolicy, name string) (symptom, bool) {
	all, _ := symptomsOf(node, policies)
	i := slices.IndexFunc(all, func(s symptom) bool { return s.String() == name })
	if i < 0 {
		return symptom{}, false
	}
	return all[i], true
}

// persists reports whether a node still has a symptom.
func persists(node *corev1.Node, s symptom, policies []cloudprovider.RepairPolicy) bool {
	all, _ := symptomsOf(node, policies)
	return slices.Contains(all, s)
}
