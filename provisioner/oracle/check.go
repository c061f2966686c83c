package oracle

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	corev1helpers "k8s.io/component-helpers/scheduling/corev1"
)

// A Cluster is what there will be once the plan's machines have come: the nodes
// that exist and those that it makes, and the pods that are bound already.
type Cluster struct {
	// Nodes, each name once, as they will be when they are open: without the
	// taints that go by themselves.
	Nodes []*corev1.Node
	// Pods that are bound to one of Nodes. Those that ended take no room.
	Pods []*corev1.Pod
	// Objects that plugins look up: Namespaces, of which one that is not here has no
	// labels, PersistentVolumeClaims, PersistentVolumes, StorageClasses, CSINodes and
	// VolumeAttachments.
	Objects []runtime.Object
}

// A Placement puts a pod that is not bound yet on a node.
type Placement struct {
	// Pod with a UID.
	Pod *corev1.Pod
	// Node is the name of one of Cluster.Nodes.
	Node string
}

// A Refusal is a placement that kube-scheduler would not make.
type Refusal struct {
	Placement
	// Plugin of kube-scheduler that refuses it, and its words.
	Plugin, Reason string
}

// String says the refusal in one line.
func (r Refusal) String() string {
	return fmt.Sprintf("%s/%s on %s: %s: %s", r.Pod.Namespace, r.Pod.Name, r.Node, r.Plugin, r.Reason)
}

// Check lets the pods of placements join the cluster, as kube-scheduler would let them: in
// the order of its queue, and again and again for those that were refused, until nobody
// gets in any more. Pods alike are let in one after the other. It reports the placements
// that are left, with what kube-scheduler said last, in the order of the queue.
//
// With G kinds of pods it costs G looks at all pods of the cluster, and one more for each
// pod that comes and that a spread of others counts, or whose anti-affinity is against them;
// each pod with a claim is a kind of its own, as the claim is bound when it joins;
// beyond these one look at the node for each pod and round, and G small ones for each pod.
// The error is about the question: a node or pod that is there twice, or not there.
func Check(ctx context.Context, c Cluster, placements []Placement) ([]Refusal, error) {
	j, err := newJudge(ctx, c, placements)
	if err != nil {
		return nil, err
	}
	for came := true; came; {
		if came, err = j.round(ctx); err != nil {
			return nil, err
		}
	}
	return j.refusals(), nil
}

// check reports what is wrong with a question.
func check(c Cluster, placements []Placement) error {
	nodes, uids := map[string]bool{}, map[types.UID]bool{}
	for _, n := range c.Nodes {
		if nodes[n.Name] {
			return fmt.Errorf("node %s is there twice", n.Name)
		}
		nodes[n.Name] = true
	}
	add := func(p *corev1.Pod, node string) error {
		switch {
		case !nodes[node]:
			return fmt.Errorf("pod %s/%s is on node %q, which is not there", p.Namespace, p.Name, node)
		case p.UID == "" || uids[p.UID]:
			return fmt.Errorf("pod %s/%s has the UID %q, which is empty or there twice", p.Namespace, p.Name, p.UID)
		}
		uids[p.UID] = true
		return nil
	}
	for _, p := range c.Pods {
		if ended(p) {
			continue
		}
		if err := add(p, p.Spec.NodeName); err != nil {
			return err
		}
	}
	for _, p := range placements {
		if err := add(p.Pod, p.Node); err != nil {
			return err
		}
	}
	return nil
}

// ended reports whether a pod takes no room any more.
func ended(p *corev1.Pod) bool {
	return p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed
}

// on returns p as it is once bound to a node.
func on(p *corev1.Pod, node string) *corev1.Pod {
	if p.Spec.NodeName == node {
		return p
	}
	bound := *p // shallow: nothing below is written
	bound.Spec.NodeName = node
	return &bound
}

// inQueueOrder sorts placements as kube-scheduler takes pods from its queue: by
// priority and then by age. It ends in the pod's name.
func inQueueOrder(placements []Placement) []Placement {
	sorted := slices.Clone(placements)
	slices.SortFunc(sorted, func(a, b Placement) int {
		return cmp.Or(
			cmp.Compare(corev1helpers.PodPriority(b.Pod), corev1helpers.PodPriority(a.Pod)),
			a.Pod.CreationTimestamp.Compare(b.Pod.CreationTimestamp.Time),
			cmp.Compare(a.Pod.Namespace, b.Pod.Namespace),
			cmp.Compare(a.Pod.Name, b.Pod.Name),
		)
	})
	return sorted
}
