package problem

import (
	"cmp"
	"maps"
	"slices"
	"strings"

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

	labels labels.Set
	taints []corev1.Taint
	// usable is false when no new pod may go there: it is being deleted, or
	// cordoned. Its pods still count where spreads and affinities look.
	usable bool
	// allocatable is what the node has, or will have, for all its pods.
	allocatable cloudprovider.Resources
	// pods are those bound to it, and those planned for it.
	pods []*corev1.Pod
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
func binsOf(in *Input) []Bin {
	var bins []Bin
	for _, n := range in.Snapshot.Nodes.All() {
		claim, _ := in.Snapshot.ClaimOf(n)
		bins = append(bins, newBin(in, n, claim))
	}
	for _, c := range in.Snapshot.NodeClaims.All() {
		if _, joined := in.Snapshot.NodeOf(c); !joined {
			bins = append(bins, newBin(in, nil, c))
		}
	}
	slices.SortFunc(bins, func(a, b Bin) int { return cmp.Compare(a.id(), b.id()) })
	addPlanned(bins, in)
	return bins
}

// addPlanned puts each pod that has a decided place, and is not to be placed
// now, into its bin.
func addPlanned(bins []Bin, in *Input) {
	placing := map[types.UID]bool{}
	for _, p := range in.Pods {
		placing[p.UID] = true
	}
	byPlan := map[state.Plan]int{}
	for i := range bins {
		if bins[i].Claim != nil {
			byPlan[state.Plan{NodeClaim: bins[i].Claim.Name}] = i
		} else {
			byPlan[state.Plan{Node: bins[i].Node.Name}] = i
		}
	}
	for _, p := range in.Snapshot.Pods.All() {
		plan, ok := in.Snapshot.Plans[p.UID]
		if !ok || p.Spec.NodeName != "" || placing[p.UID] {
			continue
		}
		if i, ok := byPlan[state.Plan{NodeClaim: plan.NodeClaim, Node: plan.Node}]; ok {
			bins[i].pods = append(bins[i].pods, p)
		}
	}
}

func newBin(in *Input, node *corev1.Node, claim *v1.NodeClaim) Bin {
	b := Bin{Node: node, Claim: claim, usable: true, labels: labels.Set{}}
	if claim != nil {
		b.taints = claim.Spec.Taints
		b.usable = claim.DeletionTimestamp == nil
		maps.Copy(b.labels, claimLabels(claim))
		b.allocatable = claimAllocatable(in, claim)
	}
	if node != nil {
		b.usable = b.usable && node.DeletionTimestamp == nil && !node.Spec.Unschedulable
		maps.Copy(b.labels, node.Labels)
		b.taints = standingTaints(node, claim, b.initialized())
		for _, p := range in.Snapshot.PodsOn(node.Name) {
			if !terminal(p) {
				b.pods = append(b.pods, p)
			}
		}
		// An uninitialized node may not report its devices yet.
		reported := resources(node.Status.Allocatable)
		if b.allocatable == nil || b.initialized() {
			b.allocatable = cloudprovider.Resources{}
		}
		for name, q := range reported {
			if q > 0 {
				b.allocatable[name] = q
			}
		}
	}
	return b
}

// standingTaints returns the taints of a node that will not go by themselves.
func standingTaints(node *corev1.Node, claim *v1.NodeClaim, initialized bool) []corev1.Taint {
	if claim == nil || initialized {
		return node.Spec.Taints
	}
	taints := slices.Clone(node.Spec.Taints)
	return slices.DeleteFunc(taints, func(t corev1.Taint) bool {
		return v1.IsEphemeralTaint(t) || slices.ContainsFunc(claim.Spec.StartupTaints, func(s corev1.Taint) bool { return s.MatchTaint(&t) })
	})
}

// claimLabels returns the labels that the claim's node is known to get.
func claimLabels(claim *v1.NodeClaim) map[string]string {
	known := map[string]string{}
	for _, r := range claim.Spec.Requirements {
		if r.Operator == corev1.NodeSelectorOpIn && len(r.Values) == 1 {
			known[r.Key] = r.Values[0]
		}
	}
	maps.Copy(known, claim.Labels)
	return known
}

// claimAllocatable returns what the claim's node will have: as the cloud said at
// the launch, or before that the least of the offerings it may become. Where the
// catalog does not know them it is what the claim was made for.
func claimAllocatable(in *Input, claim *v1.NodeClaim) cloudprovider.Resources {
	if len(claim.Status.Allocatable) > 0 {
		return resources(claim.Status.Allocatable)
	}
	var least cloudprovider.Resources
	if catalog := in.Catalogs[claim.Labels[v1.LabelNodePool]]; catalog != nil {
		for _, o := range Offerings(claim) {
			if kind, ok := catalog.InstanceType(o.InstanceType); ok {
				least = minimum(least, kind.Allocatable)
			}
		}
	}
	if least == nil {
		least = resources(claim.Spec.Resources.Requests)
	}
	return least
}

// minimum returns the smaller of both in every resource; a is nil at first.
func minimum(a, b cloudprovider.Resources) cloudprovider.Resources {
	if a == nil {
		return maps.Clone(b)
	}
	for name := range a {
		a[name] = min(a[name], b[name])
	}
	return a
}

// Offerings returns the decided offerings of a NodeClaim, in order; none where
// the annotation is absent or says what cannot be read.
func Offerings(claim *v1.NodeClaim) []cloudprovider.Offering {
	var offerings []cloudprovider.Offering
	for word := range strings.SplitSeq(claim.Annotations[v1.AnnotationOfferings], ",") {
		if o, err := cloudprovider.ParseOffering(word); err == nil {
			offerings = append(offerings, o)
		}
	}
	return offerings
}

// domain returns the value of a topology key, as it will be on the node.
func (b *Bin) domain(key string) (string, bool) {
	v, ok := b.labels[key]
	return v, ok
}
