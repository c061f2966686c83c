package problem

import (
	"cmp"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"

	"github.com/stowage-sh/stowage/cloudprovider"
	"github.com/stowage-sh/stowage/provisioner/state"
	v1 "github.com/stowage-sh/stowage/provisioner/v1"
)

// A Bin is a machine that exists or is on its way: a Node of anybody's making, a
// NodeClaim of ours, or both.
type Bin struct {
	// Node is nil as long as the machine has not joined.
	Node *corev1.Node
	// Claim is nil for a node that Stowage did not make.
	Claim *v1.NodeClaim

	// labels that the node has, or is known to get whatever it is launched as.
	labels labels.Set
	taints []corev1.Taint
	// usable is false when no new pod may go there: it is being deleted, is
	// cordoned, or has left the cluster. Its pods still count where spreads and
	// affinities look.
	usable bool
	// forms are what the machine may turn out as, at least one.
	forms []form
	// pods are those bound to it, and those planned for it.
	pods []*corev1.Pod
	// keepsOut are the rules by which pods keep others away, each once and in
	// order.
	keepsOut []rule
}

// A form is what a machine is, or one of what it may become.
type form struct {
	labels labels.Set
	// allocatable is what the node has, or will have, for all its pods.
	allocatable cloudprovider.Resources
}

// Name returns the name of the Node, or else of the NodeClaim.
func (b *Bin) Name() string {
	if b.Node != nil {
		return b.Node.Name
	}
	return b.Claim.Name
}

// id is unique among bins, also where a node bears the name of another claim.
func (b *Bin) id() string {
	if b.Node != nil {
		return "node/" + b.Node.Name
	}
	return "nodeclaim/" + b.Claim.Name
}

// initialized reports whether what the node says of itself is the whole truth:
// its taints are there to stay, its DaemonSet pods have had their turn.
func (b *Bin) initialized() bool {
	return b.Claim == nil || v1.IsTrue(b.Claim.Status.Conditions, v1.ConditionInitialized)
}

// binsOf lists the bins of a snapshot by id, with what is bound to or planned
// for each.
func binsOf(in *Input, ns *namespaces) []Bin {
	var bins []Bin
	elsewhere := placedElsewhere(in)
	for _, n := range in.Snapshot.Nodes.All() {
		claim, _ := in.Snapshot.ClaimOf(n)
		b := newBin(in, n, claim)
		for _, p := range in.Snapshot.PodsOn(n.Name) {
			if !terminal(p) && !elsewhere(p) {
				b.pods = append(b.pods, p)
			}
		}
		bins = append(bins, b)
	}
	for _, c := range in.Snapshot.NodeClaims.All() {
		if _, joined := in.Snapshot.NodeOf(c); !joined {
			bins = append(bins, newBin(in, nil, c))
		}
	}
	slices.SortFunc(bins, func(a, b Bin) int { return cmp.Compare(a.id(), b.id()) })
	addPlanned(bins, in)
	for i := range bins {
		bins[i].keepOut(ns)
	}
	return bins
}

// placedElsewhere reports pods that are to leave the node that they are on: to be placed now,
// or planned earlier.
func placedElsewhere(in *Input) func(*corev1.Pod) bool {
	placing := map[types.UID]bool{}
	for _, p := range in.Pods {
		if p.Spec.NodeName != "" {
			placing[p.UID] = true
		}
	}
	return func(p *corev1.Pod) bool {
		return placing[p.UID] || in.Snapshot.Plans.Of(p.UID).Move.From == p.Spec.NodeName
	}
}

// addPlanned puts each pod that has a place, but is neither bound to it nor to be
// placed now, into its bin: by a plan of ours, or else because kube-scheduler
// makes room there for it.
func addPlanned(bins []Bin, in *Input) {
	placing := map[types.UID]bool{}
	for _, p := range in.Pods {
		placing[p.UID] = true
	}
	byPlan := map[state.Plan]int{}
	byNode := map[string]int{}
	for i := range bins {
		if bins[i].Claim != nil {
			byPlan[state.Plan{NodeClaim: bins[i].Claim.Name}] = i
		} else {
			byPlan[state.Plan{Node: bins[i].Node.Name}] = i
		}
		if bins[i].Node != nil {
			byNode[bins[i].Node.Name] = i
		}
	}
	for _, p := range in.Snapshot.Pods.All() {
		plan, planned := in.Snapshot.Plans.Get(p.UID)
		if p.Spec.NodeName != plan.Move.From || placing[p.UID] || terminal(p) {
			continue
		}
		i, ok := byPlan[state.Plan{NodeClaim: plan.NodeClaim, Node: plan.Node}]
		if !planned && MakesRoom(in.Snapshot, p) {
			i, ok = byNode[p.Status.NominatedNodeName]
		}
		if ok {
			bins[i].pods = append(bins[i].pods, p)
		}
	}
}

// keepOut notes the rules by which the pods keep others away.
func (b *Bin) keepOut(ns *namespaces) {
	for _, p := range b.pods {
		b.keepsOut = append(b.keepsOut, standingRules(p, ns)...)
	}
	slices.SortFunc(b.keepsOut, func(x, y rule) int { return cmp.Compare(x.id(), y.id()) })
	b.keepsOut = slices.CompactFunc(b.keepsOut, func(x, y rule) bool { return x.id() == y.id() })
}

func newBin(in *Input, node *corev1.Node, claim *v1.NodeClaim) Bin {
	b := Bin{Node: node, Claim: claim, usable: true, labels: labels.Set{}}
	var expected cloudprovider.Resources
	var aliases map[string]string
	if claim != nil {
		// A node that was there and is gone does not come back.
		left := node == nil && v1.IsTrue(claim.Status.Conditions, v1.ConditionRegistered)
		b.usable = !in.Snapshot.Leaving(claim) && !in.Leaving[claim.Name] && !left
		b.taints = claim.Spec.Taints
		if catalog := in.Catalogs[claim.Labels[v1.LabelNodePool]]; catalog != nil {
			aliases = catalog.LabelAliases
		}
		if node == nil || !b.initialized() { // else the node says it all
			b.forms = formsOf(in, claim)
			b.labels = common(b.forms)
			expected = least(b.forms)
		}
	}
	if node == nil {
		return b
	}
	b.usable = b.usable && node.DeletionTimestamp == nil && !node.Spec.Unschedulable
	b.taints = slices.DeleteFunc(slices.Clone(standingTaints(node, claim)), func(t corev1.Taint) bool {
		return t.Key == v1.TaintLeaving // it is about places elsewhere, of which there may be none
	})
	maps.Copy(b.labels, node.Labels)
	for alias, key := range aliases { // a CSI driver may have yet to write its own name for the zone
		if !b.labels.Has(alias) && b.labels.Has(key) {
			b.labels[alias] = b.labels[key]
		}
	}
	b.forms = []form{{b.labels, reported(node, expected)}}
	return b
}

// standingTaints returns the taints of a node that will not go by themselves, and
// those that are still to come.
func standingTaints(node *corev1.Node, claim *v1.NodeClaim) []corev1.Taint {
	if claim == nil || v1.IsTrue(claim.Status.Conditions, v1.ConditionInitialized) {
		return node.Spec.Taints
	}
	taints := slices.Clone(node.Spec.Taints)
	taints = slices.DeleteFunc(taints, func(t corev1.Taint) bool {
		return v1.IsEphemeralTaint(t) || slices.ContainsFunc(claim.Spec.StartupTaints, func(s corev1.Taint) bool { return s.MatchTaint(&t) })
	})
	if v1.IsTrue(claim.Status.Conditions, v1.ConditionRegistered) {
		return taints
	}
	for _, t := range claim.Spec.Taints {
		if !slices.ContainsFunc(taints, func(s corev1.Taint) bool { return s.MatchTaint(&t) }) {
			taints = append(taints, t)
		}
	}
	return taints
}

// carries reports whether the node has a label, or is known to get it.
func (b *Bin) carries(key string) bool {
	if key == corev1.LabelHostname && b.Node == nil {
		return true // kubelet sees to it
	}
	return b.labels.Has(key)
}
