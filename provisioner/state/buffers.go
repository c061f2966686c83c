package state

import (
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stowage-sh/stowage/provisioner/v1beta1"
)

// Buffers are the CapacityBuffers, none where they are turned off, and what says how much room
// they ask for. Workloads that they refer to are in Selecting. Of all but the CapacityBuffers
// themselves only those are here that one of them has to do with.
type Buffers struct {
	CapacityBuffers List[*v1beta1.CapacityBuffer]
	PodTemplates    List[*corev1.PodTemplate]
	ResourceQuotas  List[*corev1.ResourceQuota]
}

// buffers is the live form.
type buffers struct {
	capacityBuffers table[*v1beta1.CapacityBuffer]
	podTemplates    table[*corev1.PodTemplate]
	resourceQuotas  table[*corev1.ResourceQuota]
}

func (b *buffers) put(obj client.Object) bool {
	switch o := obj.(type) {
	case *v1beta1.CapacityBuffer:
		return b.capacityBuffers.put(o)
	case *corev1.PodTemplate:
		return b.podTemplates.put(o)
	case *corev1.ResourceQuota:
		return b.resourceQuotas.put(o)
	}
	return false
}

func (b *buffers) remove(obj client.Object) bool {
	switch o := obj.(type) {
	case *v1beta1.CapacityBuffer:
		return b.capacityBuffers.remove(o)
	case *corev1.PodTemplate:
		return b.podTemplates.remove(o)
	case *corev1.ResourceQuota:
		return b.resourceQuotas.remove(o)
	}
	return false
}

func (b *buffers) freeze() Buffers {
	return Buffers{b.capacityBuffers.freeze(), b.podTemplates.freeze(), b.resourceQuotas.freeze()}
}
