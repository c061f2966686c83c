package metrics

import (
	"maps"
	"slices"
	"strings"
	"sync/atomic"

	dto "github.com/prometheus/client_model/go"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	resourcehelper "k8s.io/component-helpers/resource"

	"github.com/stowage-sh/stowage/cloudprovider"
	"github.com/stowage-sh/stowage/provisioner/lifecycle"
	"github.com/stowage-sh/stowage/provisioner/problem"
	v1 "github.com/stowage-sh/stowage/provisioner/v1"
)

// nodeFamilies are what is shown of nodes, ours and others'.
type nodeFamilies struct {
	allocatable, overhead        family
	requests, limits             family // of all pods
	daemonRequests, daemonLimits family // of those of DaemonSets
	lifetime, utilization        family
	keys                         [][]string // of nodes' labels, by position in labels
	labels                       *labelSet  // but for the resource
	resourceType                 string
}

// newNodeFamilies gives nodes' labels the names that Karpenter gives them: what
// follows the slash of a key, with underscores. Keys that end alike share a name.
func newNodeFamilies(more []string) nodeFamilies {
	f := nodeFamilies{resourceType: "resource_type"}
	own := []string{"node_name", "phase", "managed"}
	for _, key := range append(slices.Clone(v1.WellKnownLabels), more...) {
		_, name, _ := strings.Cut(key, "/")
		name = labelName.Replace(strings.ToLower(name))
		if i := slices.Index(own[3:], name); i >= 0 {
			f.keys[i] = append(f.keys[i], key)
			continue
		}
		own, f.keys = append(own, name), append(f.keys, []string{key})
	}
	f.labels = newLabelSet(own...)
	each := append(slices.Clone(own), f.resourceType)
	f.allocatable = newFamily("karpenter_nodes_allocatable", "What a node has for pods.", each...)
	f.overhead = newFamily("karpenter_nodes_system_overhead", "What a node has and keeps from pods: capacity less allocatable.", each...)
	f.requests = newFamily("karpenter_nodes_total_pod_requests", "What the pods of a node ask for, those of DaemonSets included.", each...)
	f.limits = newFamily("karpenter_nodes_total_pod_limits", "The sum of the limits of a node's pods, those of DaemonSets included.", each...)
	f.daemonRequests = newFamily("karpenter_nodes_total_daemon_requests", "What a node's pods of DaemonSets ask for.", each...)
	f.daemonLimits = newFamily("karpenter_nodes_total_daemon_limits", "The sum of the limits of a node's pods of DaemonSets.", each...)
	f.lifetime = newFamily("karpenter_nodes_current_lifetime_seconds", "Age of a node.", own...)
	f.utilization = newFamily("karpenter_cluster_utilization_percent", "What pods ask for, of 100 parts of what all nodes have for them.", f.resourceType)
	return f
}

func (f *nodeFamilies) all() []family {
	return []family{f.allocatable, f.overhead, f.requests, f.limits, f.daemonRequests, f.daemonLimits, f.lifetime, f.utilization}
}

// collect shows every node. A node has some thirty series that differ in name and
// resource only, so their labels are made once a node and resource.
func (f *nodeFamilies) collect(s *scrape, v *view, loads loadsByNode) {
	have, asked := map[string]float64{}, map[string]float64{}
	resources := map[string]*dto.LabelPair{} // the label of each, once
	for _, n := range v.Nodes.All() {
		labels := f.labels.with(f.values(v, n)...)
		s.add(f.lifetime, v.age(n.CreationTimestamp.Time), labels)
		lines := map[string][]*dto.LabelPair{} // labels by resource
		show := func(to family, list []amount) {
			for _, a := range list {
				if lines[a.resource] == nil {
					if resources[a.resource] == nil {
						resources[a.resource] = &dto.LabelPair{Name: &f.resourceType, Value: &a.resource}
					}
					lines[a.resource] = plus(labels, resources[a.resource])
				}
				s.add(to, a.quantity, lines[a.resource])
			}
		}
		l := loads[n.Name]
		allocatable, requests := amounts(n.Status.Allocatable, quantity), amounts(l.all.requests, units)
		show(f.allocatable, allocatable)
		show(f.overhead, amounts(kept(n), quantity))
		show(f.requests, requests)
		show(f.limits, amounts(l.all.limits, units))
		show(f.daemonRequests, amounts(l.daemons.requests, units))
		show(f.daemonLimits, amounts(l.daemons.limits, units))
		for _, a := range allocatable {
			have[a.resource] += a.quantity
		}
		for _, a := range requests {
			asked[a.resource] += a.quantity
		}
	}
	for _, name := range slices.Sorted(maps.Keys(have)) {
		if have[name] > 0 {
			s.add(f.utilization, 100*asked[name]/have[name], f.utilization.labels.with(name))
		}
	}
}

// values returns the values of a node's labels.
func (f *nodeFamilies) values(v *view, n *corev1.Node) []string {
	_, managed := v.ClaimOf(n)
	values := append(make([]string, 0, len(f.labels.names)), n.Name, string(n.Status.Phase), yesNo(managed))
	for _, keys := range f.keys {
		value := ""
		for _, key := range keys {
			if value = n.Labels[key]; value != "" {
				break
			}
		}
		values = append(values, value)
	}
	return values
}

// kept is what a node has and keeps from pods.
func kept(n *corev1.Node) corev1.ResourceList {
	list := corev1.ResourceList{}
	for name, q := range n.Status.Capacity {
		q = q.DeepCopy()
		q.Sub(n.Status.Allocatable[name])
		list[name] = q
	}
	return list
}

// quantity is a Kubernetes quantity as a number: cores, bytes, or a count.
func quantity(name corev1.ResourceName, q resource.Quantity) float64 {
	if name == corev1.ResourceCPU {
		return float64(q.MilliValue()) / 1000
	}
	return float64(q.Value())
}

// units is a quantity of ours as a number.
func units(name string, q int64) float64 {
	if name == cloudprovider.CPU {
		return float64(q) / 1000
	}
	return float64(q)
}

// A load is what pods take of a node together.
type load struct{ requests, limits cloudprovider.Resources }

func newLoad() load { return load{cloudprovider.Resources{}, cloudprovider.Resources{}} }

func (l load) add(requests, limits cloudprovider.Resources) {
	for name, q := range requests {
		l.requests[name] += q
	}
	for name, q := range limits {
		l.limits[name] += q
	}
}

// loadsOf adds up what the pods take of their node that have not ended, and what those of
// DaemonSets do.
func loadsOf(pods []*corev1.Pod) (all, daemons load) {
	all, daemons = newLoad(), newLoad()
	for _, p := range pods {
		if lifecycle.Terminal(p) {
			continue
		}
		requests, limits := problem.Requests(p), podLimits(p)
		all.add(requests, limits)
		if lifecycle.OwnedByDaemonSet(p) {
			daemons.add(requests, limits)
		}
	}
	return all, daemons
}

// nodeLoads remembers the loads of each node from one scrape to the next: to add up what pods ask
// for is most of the work, and a snapshot has the same slice of a node's pods as long as none of
// them changes.
type nodeLoads struct {
	last atomic.Pointer[loadsByNode]
}

// loadsByNode are those of one scrape. They are written to by that alone.
type loadsByNode map[string]nodeLoad

type nodeLoad struct {
	pods         []*corev1.Pod
	all, daemons load
}

// of returns the loads of all nodes of a view.
func (m *nodeLoads) of(v *view) loadsByNode {
	var old loadsByNode
	if last := m.last.Load(); last != nil {
		old = *last
	}
	next := make(loadsByNode, v.Nodes.Len())
	for _, n := range v.Nodes.All() {
		pods := v.PodsOn(n.Name)
		l, ok := old[n.Name]
		if !ok || len(pods) != len(l.pods) || len(pods) > 0 && &pods[0] != &l.pods[0] {
			l = nodeLoad{pods: pods}
			l.all, l.daemons = loadsOf(pods)
		}
		next[n.Name] = l
	}
	m.last.Store(&next)
	return next
}

// podLimits adds up the limits of a pod, itself counted as one of "pods" as in
// problem.Requests.
func podLimits(p *corev1.Pod) cloudprovider.Resources {
	list := resourcehelper.PodLimits(p, resourcehelper.PodResourcesOptions{UseStatusResources: true})
	limits := cloudprovider.Resources{cloudprovider.Pods: 1}
	for name, q := range list {
		if name == corev1.ResourceCPU {
			limits[cloudprovider.CPU] = q.MilliValue()
		} else {
			limits[string(name)] = q.Value()
		}
	}
	return limits
}
