package problem

import (
	corev1 "k8s.io/api/core/v1"
	resourcehelper "k8s.io/component-helpers/resource"
)

// SetDefaults fills in requests that follow from limits, and host ports on the host's
// network, as the API server does when a pod is made, and only then: in a pod template, a
// DaemonSet's say, they are still unset. It modifies the lists of spec.
func SetDefaults(spec *corev1.PodSpec) {
	for _, containers := range [][]corev1.Container{spec.InitContainers, spec.Containers} {
		for i := range containers {
			fillRequests(&containers[i].Resources, nil)
			for j := range containers[i].Ports {
				if port := &containers[i].Ports[j]; spec.HostNetwork && port.HostPort == 0 {
					port.HostPort = port.ContainerPort
				}
			}
		}
	}
	if spec.Resources == nil || len(spec.Resources.Limits) == 0 {
		return
	}
	// For the pod as a whole what its containers ask for goes before its limits.
	// Of huge pages there is no overcommitment: a limit on them is a request.
	containers := resourcehelper.AggregateContainerRequests(&corev1.Pod{Spec: *spec}, resourcehelper.PodResourcesOptions{})
	fillRequests(spec.Resources, containers)
}

// fillRequests fills in each request that is unset: from first, or the limit.
func fillRequests(r *corev1.ResourceRequirements, first corev1.ResourceList) {
	fill := func(from corev1.ResourceList, only func(corev1.ResourceName) bool) {
		for name, q := range from {
			if _, ok := r.Requests[name]; !ok && only(name) {
				if r.Requests == nil {
					r.Requests = corev1.ResourceList{}
				}
				r.Requests[name] = q.DeepCopy()
			}
		}
	}
	fill(first, func(name corev1.ResourceName) bool {
		return name == corev1.ResourceCPU || name == corev1.ResourceMemory
	})
	fill(r.Limits, func(corev1.ResourceName) bool { return true })
}
