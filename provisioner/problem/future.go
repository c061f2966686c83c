package problem

import (
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"

	"github.com/stowage-sh/stowage/cloudprovider"
	v1 "github.com/stowage-sh/stowage/provisioner/v1"
)

// A Future is the cluster once every machine has come, those of a plan included: what
// kube-scheduler can be asked about.
type Future struct {
	Nodes []*corev1.Node
	// Pods that are bound, or planned earlier, and those of DaemonSets on the nodes that are
	// still to come.
	Pods []*corev1.Pod
	// Objects that pods and nodes refer to: namespaces, also those that only pods speak of,
	// and what there is of storage.
	Objects []runtime.Object
	// Placements are what the plan puts on nodes.
	Placements []FuturePlacement
}

// A FuturePlacement is a pod of the plan, not bound yet, and the name of its node.
type FuturePlacement struct {
	Pod  *corev1.Pod
	Node string
}

// Future says what becomes of a plan, as [Translation.Placed] has it. Launch i becomes a node of
// the name name(i). Where a machine may turn out as one of n, pick says as which.
func (t *Translation) Future(launches []Launch, placements []Placement, name func(i int) string, pick func(n int) int) *Future {
	f := &Future{Objects: slices.Concat(t.namespaces.objects(), t.volumes.objects())}
	names := map[*Bin]string{}
	for i := range t.Bins {
		bin := &t.Bins[i]
		if bin.Node == nil && !bin.usable {
			continue // it is gone
		}
		as := bin.forms[pick(len(bin.forms))]
		names[bin] = f.addBin(bin, t.daemons, as)
		if _, told := t.volumes.CSINodes.Get(names[bin]); !told && bin.Claim != nil {
			f.Objects = append(f.Objects, t.csiNode(names[bin], as.labels[corev1.LabelInstanceTypeStable]))
		}
	}
	for i := range launches {
		l := &launches[i]
		row := l.Rows[pick(len(l.Rows))]
		n := futureNode(name(i), row.Labels(), row.Type.Allocatable)
		n.Spec.Taints = l.Claim.Spec.Taints
		f.Objects = append(f.Objects, t.csiNode(n.Name, row.Type.Name))
		f.Nodes = append(f.Nodes, n)
		for j := range t.daemons {
			if d := &t.daemons[j]; d.runsOn(labels.Set(n.Labels), n.Name, n.Spec.Taints) {
				f.Pods = append(f.Pods, d.on(n.Name))
			}
		}
		f.place(l.Pods, n.Name)
	}
	for _, p := range placements {
		f.place(p.Pods, names[p.Bin])
	}
	return f
}

// place adds placements of the plan.
func (f *Future) place(pods []*corev1.Pod, node string) {
	for _, p := range pods {
		if p.Spec.NodeName != "" { // it moves: another will come in its place
			next := *p // shallow: nothing below is written
			next.Spec.NodeName = ""
			p = &next
		}
		f.Placements = append(f.Placements, FuturePlacement{p, node})
	}
}

// addBin adds the node of a bin in one of its forms, with the pods that it has and the
// DaemonSets' that it will get, and returns its name.
func (f *Future) addBin(bin *Bin, daemons []daemon, as form) string {
	name := bin.Name()
	if bin.Node == nil {
		name = bin.id() // a node may bear the name of another claim
	}
	n := futureNode(name, as.labels, as.allocatable)
	n.Spec.Taints = bin.taints
	if bin.Node != nil {
		n.Labels = as.labels // of what kubelet has not said there is nothing
		n.Spec.Unschedulable = bin.Node.Spec.Unschedulable
	}
	f.Nodes = append(f.Nodes, n)
	for _, p := range bin.pods {
		bound := *p // shallow: nothing below is written
		bound.Spec.NodeName = name
		f.Pods = append(f.Pods, &bound)
	}
	for i := range daemons {
		if d := &daemons[i]; d.reaches(bin) && d.runsOn(labels.Set(n.Labels), name, bin.taints) {
			f.Pods = append(f.Pods, d.on(name))
		}
	}
	return name
}

// on returns the pod that the DaemonSet puts on a node.
func (d *daemon) on(node string) *corev1.Pod {
	p := *d.pod // shallow: nothing below is written
	p.Name += "-" + node
	p.UID = types.UID("daemonset " + d.pod.Namespace + "/" + d.pod.Name + " on " + node)
	p.Spec.NodeName = node
	return &p
}

// futureNode is a node as kubelet makes it, with labels and room.
func futureNode(name string, with map[string]string, allocatable cloudprovider.Resources) *corev1.Node {
	n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: maps.Clone(with)}}
	for alias, key := range v1.NormalizedLabels {
		if value, ok := n.Labels[key]; ok {
			n.Labels[alias] = value
		}
	}
	n.Labels[corev1.LabelHostname] = name
	n.Status.Allocatable = Quantities(allocatable)
	return n
}
