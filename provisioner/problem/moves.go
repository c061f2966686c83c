package problem

import (
	"cmp"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"

	v1 "github.com/stowage-sh/stowage/provisioner/v1"
)

// Moves say where the pods of nodes go that are to leave.
type Moves struct {
	// Leaving are the NodeClaims of these nodes.
	Leaving []*v1.NodeClaim
	// Onto are machines that are there, or on their way.
	Onto []Onto
	// Launches are to be bought, each for its Pods.
	Launches []*Launch
}

// Onto is a machine and the pods that go to it.
type Onto struct {
	Machine
	Pods []*corev1.Pod
}

// InOrder lists machines by name, each with the pods that go to it.
func InOrder(onto map[Machine][]*corev1.Pod) (out []Onto) {
	order := func(a, b Machine) int {
		return cmp.Or(cmp.Compare(a.NodeClaim, b.NodeClaim), cmp.Compare(a.Node, b.Node))
	}
	for _, at := range slices.SortedFunc(maps.Keys(onto), order) {
		out = append(out, Onto{Machine: at, Pods: onto[at]})
	}
	return out
}

// A Machine is that of a NodeClaim, or else a Node, by name.
type Machine struct{ NodeClaim, Node string }

// Pods are all that move.
func (m *Moves) Pods() (pods []*corev1.Pod) {
	for _, o := range m.Onto {
		pods = append(pods, o.Pods...)
	}
	for _, l := range m.Launches {
		pods = append(pods, l.Pods...)
	}
	return pods
}

// String says which it is.
func (m Machine) String() string {
	if m.NodeClaim != "" {
		return "NodeClaim " + m.NodeClaim
	}
	return "node " + m.Node
}

// Machine names what the bin is.
func (b *Bin) Machine() Machine {
	if b.Claim != nil {
		return Machine{NodeClaim: b.Claim.Name}
	}
	return Machine{Node: b.Node.Name}
}

// Arrange looks up what Moves speak of, in t, which was built with their Pods. Lost are those
// whose machine takes no pods any more.
func (t *Translation) Arrange(m *Moves) (launches []Launch, placements []Placement, lost []Onto) {
	bins := map[Machine]*Bin{}
	for i := range t.Bins {
		if b := &t.Bins[i]; b.usable {
			bins[b.Machine()] = b
		}
	}
	for _, o := range m.Onto {
		if b := bins[o.Machine]; b != nil {
			placements = append(placements, Placement{b, o.Pods})
		} else {
			lost = append(lost, o)
		}
	}
	for _, l := range m.Launches {
		launches = append(launches, *l)
	}
	return launches, placements, lost
}
