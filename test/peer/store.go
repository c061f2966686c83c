package main

import (
	"context"
	"fmt"
	"maps"
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	peerv1 "sigs.k8s.io/karpenter/pkg/apis/v1"
)

// A store answers the peer as its cache of the API server does: it copies what it
// lists, unless it is asked not to. The fake client of controller-runtime would spend
// most of the peer's time on writing and reading JSON.
type store struct {
	client.Client // nil: the peer is asked for decisions, and writes nothing

	pool    *peerv1.NodePool
	daemons []appsv1.DaemonSet
	nodes   map[string]*corev1.Node
	// pods of each node, by its name. No pod is without one.
	pods map[string][]*corev1.Pod
}

// Get knows nodes; what is nowhere in these clusters (CSINodes, volumes) is not found.
func (s *store) Get(_ context.Context, key client.ObjectKey, to client.Object, _ ...client.GetOption) error {
	if n, ok := to.(*corev1.Node); ok && s.nodes[key.Name] != nil {
		s.nodes[key.Name].DeepCopyInto(n)
		return nil
	}
	return apierrors.NewNotFound(schema.GroupResource{}, key.Name)
}

// List lists what the peer's disruption asks for.
func (s *store) List(_ context.Context, to client.ObjectList, opts ...client.ListOption) error {
	var o client.ListOptions
	o.ApplyOptions(opts)
	switch list := to.(type) {
	case *corev1.PodList:
		list.Items = s.listPods(&o)
	case *peerv1.NodePoolList:
		list.Items = []peerv1.NodePool{*s.pool.DeepCopy()}
	case *appsv1.DaemonSetList:
		list.Items = slices.Clone(s.daemons)
	case *policyv1.PodDisruptionBudgetList:
		list.Items = nil
	default:
		return fmt.Errorf("the peer lists %T, which nobody has thought of", to)
	}
	return nil
}

// listPods lists pods in the order of their nodes' names.
func (s *store) listPods(o *client.ListOptions) (found []corev1.Pod) {
	on := func(node string) {
		for _, p := range s.pods[node] {
			switch {
			case o.Namespace != "" && o.Namespace != p.Namespace:
			case o.LabelSelector != nil && !o.LabelSelector.Matches(labels.Set(p.Labels)):
			case o.UnsafeDisableDeepCopy != nil && *o.UnsafeDisableDeepCopy:
				found = append(found, *p)
			default:
				found = append(found, *p.DeepCopy())
			}
		}
	}
	if o.FieldSelector != nil {
		node, _ := o.FieldSelector.RequiresExactMatch("spec.nodeName")
		on(node)
		return found
	}
	for _, node := range slices.Sorted(maps.Keys(s.pods)) {
		on(node)
	}
	return found
}

// bind puts a pod on a node, and takes it off the one where it was. The pod that is
// there then is another object: the peer may hold the first one.
func (s *store) bind(p *corev1.Pod, node string) *corev1.Pod {
	from := p.Spec.NodeName
	s.pods[from] = slices.DeleteFunc(s.pods[from], func(q *corev1.Pod) bool { return q.UID == p.UID })
	p = p.DeepCopy()
	p.Spec.NodeName = node
	s.pods[node] = append(s.pods[node], p)
	return p
}
