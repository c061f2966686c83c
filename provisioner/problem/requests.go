package problem

import (
	"maps"
	"math"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	resourcehelper "k8s.io/component-helpers/resource"

	"github.com/stowage-sh/stowage/cloudprovider"
)

// Requests returns what a pod asks of its node, itself counted as one of "pods":
// containers, init containers, sidecars, overhead and pod-level resources, as
// kube-scheduler adds them up. Quantities are rounded up to the unit.
func Requests(pod *corev1.Pod) cloudprovider.Resources {
	r := resources(requestList(pod))
	maps.DeleteFunc(r, func(_ string, q int64) bool { return q <= 0 }) // asking for none is not asking
	r[cloudprovider.Pods] = 1
	return r
}

func requestList(pod *corev1.Pod) corev1.ResourceList {
	if pod.Spec.Resources != nil && pod.Spec.Overhead != nil {
		// PodRequests adds the overhead to the quantities of the pod itself, where they have
		// more digits than an int64.
		own := *pod
		own.Spec.Resources = pod.Spec.Resources.DeepCopy()
		pod = &own
	}
	return resourcehelper.PodRequests(pod, resourcehelper.PodResourcesOptions{UseStatusResources: pod.Spec.NodeName != ""})
}

// resources converts a list to integers: CPU in millicores, the rest in units,
// rounded up. A quantity beyond an int64 becomes the largest there is.
func resources(list corev1.ResourceList) cloudprovider.Resources {
	r := make(cloudprovider.Resources, len(list)+1)
	for name, q := range list {
		r[string(name)] = amount(name, &q)
	}
	return r
}

// amount is a quantity of a resource in its unit.
func amount(name corev1.ResourceName, q *resource.Quantity) int64 {
	switch {
	case name == corev1.ResourceCPU && q.CmpInt64(math.MaxInt64/1000) < 0:
		return q.MilliValue()
	case name != corev1.ResourceCPU && q.CmpInt64(math.MaxInt64) < 0:
		return q.Value()
	}
	return math.MaxInt64
}

// Amounts converts a list of quantities to the integers that decisions are made with.
func Amounts(list corev1.ResourceList) cloudprovider.Resources { return resources(list) }

// add adds to sum; what would be beyond an int64 becomes the largest there is.
func add(sum, more cloudprovider.Resources) {
	for name, q := range more {
		if q > 0 && sum[name] > math.MaxInt64-q {
			sum[name] = math.MaxInt64
		} else {
			sum[name] += q
		}
	}
}

// terminal reports whether a pod takes no room any more.
func terminal(p *corev1.Pod) bool {
	return p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed
}
