package state

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Slim drops what is large of an object that a watch delivers, and read by nobody here: managed
// fields but for what Nominated asks for, what the containers of a pod are to run and how, their status but
// for a resize under way, the images that a node has. A pod is half as large without, and a node too. Patches name
// what they change, so nothing is lost by it. It is a cache.TransformFunc, and returns no error.
//
// An object that is slim already may be shared, and is not written to.
func Slim(obj any) (any, error) {
	o, ok := obj.(client.Object)
	if !ok {
		return obj, nil
	}
	var kept []metav1.ManagedFieldsEntry
	switch o := obj.(type) {
	case *corev1.Pod:
		if o.Status.NominatedNodeName != "" {
			kept = slices.DeleteFunc(slices.Clone(o.ManagedFields), func(m metav1.ManagedFieldsEntry) bool { return !nominates(m) })
		}
		slimPod(o)
	case *corev1.Node:
		if o.Status.Images != nil {
			o.Status.Images = nil
		}
	}
	if len(kept) != len(o.GetManagedFields()) {
		o.SetManagedFields(kept)
	}
	return obj, nil
}

// slimPod leaves of containers what a place depends on: every container has an image, so those
// without are slim already.
func slimPod(p *corev1.Pod) {
	if len(p.Spec.Containers) == 0 || p.Spec.Containers[0].Image == "" {
		return
	}
	for _, containers := range [][]corev1.Container{p.Spec.InitContainers, p.Spec.Containers} {
		for i, c := range containers {
			containers[i] = corev1.Container{Name: c.Name, Ports: c.Ports, Resources: c.Resources, ResizePolicy: c.ResizePolicy, RestartPolicy: c.RestartPolicy}
		}
	}
	p.Spec.EphemeralContainers = nil // they ask for nothing
	p.Status.InitContainerStatuses = resizing(p.Spec.InitContainers, p.Status.InitContainerStatuses)
	p.Status.ContainerStatuses = resizing(p.Spec.Containers, p.Status.ContainerStatuses)
	p.Status.EphemeralContainerStatuses = nil
}

// resizing are the statuses that say of a container's requests what its spec does not.
func resizing(containers []corev1.Container, statuses []corev1.ContainerStatus) (left []corev1.ContainerStatus) {
	for _, s := range statuses {
		if s.Resources == nil {
			continue
		}
		i := slices.IndexFunc(containers, func(c corev1.Container) bool { return c.Name == s.Name })
		if i < 0 || !equality.Semantic.DeepEqual(containers[i].Resources.Requests, s.Resources.Requests) ||
			len(s.AllocatedResources) > 0 && !equality.Semantic.DeepEqual(containers[i].Resources.Requests, s.AllocatedResources) {
			left = append(left, corev1.ContainerStatus{Name: s.Name, Resources: s.Resources, AllocatedResources: s.AllocatedResources})
		}
	}
	return left
}
