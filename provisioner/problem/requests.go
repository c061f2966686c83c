package problem

import (
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	resourcehelper "k8s.io/component-helpers/resource"

	"github.com/stowage-sh/stowage/cloudprovider"
)

// Requests returns what a pod asks of its node, itself counted as one of "pods":
// containers, init containers, sidecars, overhead and pod-level resources, as
// kube-scheduler adds them up. Quantities are rounded up to the unit.
func Requests(pod *corev1.Pod) cloudprovider.Resources {
	r := resources(resourcehelper.PodRequests(pod, resourcehelper.PodResourcesOptions{UseStatusResources: pod.Spec.NodeName != ""}))
	r[cloudprovider.Pods] = 1
	return r
}

// resources converts a list to integers: CPU in millicores, the rest in units.
func resources(list corev1.ResourceList) cloudprovider.Resources {
	r := make(cloudprovider.Resources, len(list)+1)
	for name, q := range list {
		if name == corev1.ResourceCPU {
			r[string(name)] = q.MilliValue()
		} else {
			r[string(name)] = q.Value()
		}
	}
	return r
}

// terminal reports whether a pod takes no room any more.
func terminal(p *corev1.Pod) bool {
	return p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed
}

// A daemon is a DaemonSet: a pod that every node which it fits will get.
type daemon struct {
	uid      types.UID
	requests cloudprovider.Resources
	selector nodeSelector
	spec     *corev1.PodSpec
}

// daemonTolerations are what the DaemonSet controller adds to each pod of its
// own (Kubernetes documentation, "DaemonSet", taints and tolerations).
var daemonTolerations = []corev1.Toleration{
	{Key: corev1.TaintNodeNotReady, Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoExecute},
	{Key: corev1.TaintNodeUnreachable, Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoExecute},
	{Key: corev1.TaintNodeDiskPressure, Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoSchedule},
	{Key: corev1.TaintNodeMemoryPressure, Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoSchedule},
	{Key: corev1.TaintNodePIDPressure, Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoSchedule},
	{Key: corev1.TaintNodeUnschedulable, Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoSchedule},
}

func daemonsOf(sets []*appsv1.DaemonSet) []daemon {
	var daemons []daemon
	for _, ds := range sets {
		if ds.DeletionTimestamp != nil {
			continue
		}
		spec := ds.Spec.Template.Spec.DeepCopy()
		spec.Tolerations = append(spec.Tolerations, daemonTolerations...)
		daemons = append(daemons, daemon{
			uid:      ds.UID,
			requests: Requests(&corev1.Pod{Spec: *spec}),
			selector: newNodeSelector(spec),
			spec:     spec,
		})
	}
	return daemons
}

// runsOn reports whether the DaemonSet puts a pod on such a node.
func (d *daemon) runsOn(node labels.Labels, name string, taints []corev1.Taint) bool {
	return tolerates(d.spec.Tolerations, taints) && d.selector.matches(node, name)
}

// ownedBy reports whether a pod's controller has this UID.
func ownedBy(p *corev1.Pod, uid types.UID) bool {
	owner := metav1.GetControllerOf(p)
	return owner != nil && owner.UID == uid
}
