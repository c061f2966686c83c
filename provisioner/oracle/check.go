package oracle

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/informers"
	corev1helpers "k8s.io/component-helpers/scheduling/corev1"
	"k8s.io/klog/v2"
	fwk "k8s.io/kube-scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/backend/cache"
	"k8s.io/kubernetes/pkg/scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/util"
)

// A Cluster is what there will be once the plan's machines have come: the nodes
// that exist and those that it makes, and the pods that are bound already.
type Cluster struct {
	// Nodes, each name once, as they will be when they are open: without the
	// taints that go by themselves.
	Nodes []*corev1.Node
	// Pods that are bound to one of Nodes. Those that ended take no room.
	Pods []*corev1.Pod
	// Namespaces that pods are in, for selectors of namespaces. One that is not
	// listed has no labels.
	Namespaces []*corev1.Namespace
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

// Check puts all pods in their places and then asks of each placement, in the
// order of kube-scheduler's queue, whether it would let that pod join the others.
// It costs one look at all nodes and their pods for each placement. The error is
// about the question: a node or pod that is there twice, or not there.
func Check(ctx context.Context, c Cluster, placements []Placement) ([]Refusal, error) {
	snapshot, err := newSnapshot(c, placements)
	if err != nil {
		return nil, err
	}
	h := &handle{nodes: snapshot, informers: informers.NewSharedInformerFactory(nil, 0)}
	namespaces := h.informers.Core().V1().Namespaces().Informer().GetIndexer()
	for _, ns := range c.Namespaces {
		if err := namespaces.Add(ns); err != nil {
			return nil, fmt.Errorf("listing namespace %s: %w", ns.Name, err)
		}
	}
	plugins, err := newPlugins(ctx, h)
	if err != nil {
		return nil, err
	}
	var refusals []Refusal
	for _, p := range inQueueOrder(placements) {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		refusal, err := judge(ctx, snapshot, plugins, p)
		if err != nil {
			return nil, fmt.Errorf("judging pod %s/%s on node %s: %w", p.Pod.Namespace, p.Pod.Name, p.Node, err)
		}
		if refusal != nil {
			refusals = append(refusals, *refusal)
		}
	}
	return refusals, nil
}

// newSnapshot holds every node with every pod in its place.
func newSnapshot(c Cluster, placements []Placement) (*cache.Snapshot, error) {
	names := map[string]bool{}
	for _, n := range c.Nodes {
		if names[n.Name] {
			return nil, fmt.Errorf("node %s is there twice", n.Name)
		}
		names[n.Name] = true
	}
	var pods []*corev1.Pod
	uids := map[string]bool{}
	add := func(p *corev1.Pod, node string) error {
		switch {
		case !names[node]:
			return fmt.Errorf("pod %s/%s is on node %q, which is not there", p.Namespace, p.Name, node)
		case p.UID == "" || uids[string(p.UID)]:
			return fmt.Errorf("pod %s/%s has the UID %q, which is empty or there twice", p.Namespace, p.Name, p.UID)
		}
		uids[string(p.UID)] = true
		pods = append(pods, on(p, node))
		return nil
	}
	for _, p := range c.Pods {
		if p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed {
			continue
		}
		if err := add(p, p.Spec.NodeName); err != nil {
			return nil, err
		}
	}
	for _, p := range placements {
		if err := add(p.Pod, p.Node); err != nil {
			return nil, err
		}
	}
	return cache.NewSnapshot(pods, c.Nodes), nil
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

// A question is one placement, with its pod taken out of the snapshot.
type question struct {
	Placement
	node  fwk.NodeInfo
	nodes []fwk.NodeInfo
	state fwk.CycleState
}

// judge takes one pod out of the snapshot, asks the plugins about it, and puts it
// back.
func judge(ctx context.Context, s *cache.Snapshot, plugins []fwk.FilterPlugin, p Placement) (*Refusal, error) {
	q := question{Placement: p, state: framework.NewCycleState()}
	var err error
	if q.node, err = s.Get(p.Node); err != nil {
		return nil, err
	}
	if q.nodes, err = s.List(); err != nil {
		return nil, err
	}
	bound := on(p.Pod, p.Node)
	info, err := framework.NewPodInfo(bound)
	if err != nil {
		return nil, err
	}
	if err := q.node.RemovePod(klog.FromContext(ctx), bound); err != nil {
		return nil, err
	}
	defer q.node.AddPodInfo(info)
	keepPorts(q.node)
	for _, plugin := range plugins {
		status, err := q.ask(ctx, plugin)
		if err != nil {
			return nil, err
		}
		if !status.IsSuccess() {
			return &Refusal{p, plugin.Name(), strings.Join(status.Reasons(), ", ")}, nil
		}
	}
	return nil, nil
}

// ask runs both halves of a plugin: what it learns about the pod, and whether the
// node will do.
func (q *question) ask(ctx context.Context, plugin fwk.FilterPlugin) (*fwk.Status, error) {
	if pre, ok := plugin.(fwk.PreFilterPlugin); ok {
		result, status := pre.PreFilter(ctx, q.state, q.Pod, q.nodes)
		switch {
		case status.IsSkip():
			return nil, nil // the plugin has nothing to say about this pod
		case status.IsRejected():
			return status, nil
		case !status.IsSuccess():
			return nil, fmt.Errorf("plugin %s: %w", plugin.Name(), status.AsError())
		case !result.AllNodes() && !result.NodeNames.Has(q.Node):
			return fwk.NewStatus(fwk.UnschedulableAndUnresolvable, "not among the nodes that the pod names"), nil
		}
	}
	status := plugin.Filter(ctx, q.state, q.Pod, q.node)
	if !status.IsSuccess() && !status.IsRejected() {
		return nil, fmt.Errorf("plugin %s: %w", plugin.Name(), status.AsError())
	}
	return status, nil
}

// keepPorts notes the host ports of the pods on a node again. The node keeps a
// set and no counts: a pod that was taken out took along what another one holds.
func keepPorts(node fwk.NodeInfo) {
	for _, p := range node.GetPods() {
		for _, port := range util.GetHostPorts(p.GetPod()) {
			node.GetUsedPorts().Add(port.HostIP, string(port.Protocol), port.HostPort)
		}
	}
}
