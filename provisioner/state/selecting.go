package state

import (
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Selecting are the objects by whose selectors kube-scheduler knows which pods belong together,
// where it spreads pods that do not say it themselves. They are empty unless somebody watches
// them, but for those that CapacityBuffers refer to.
type Selecting struct {
	Services               List[*corev1.Service]
	ReplicationControllers List[*corev1.ReplicationController]
	ReplicaSets            List[*appsv1.ReplicaSet]
	StatefulSets           List[*appsv1.StatefulSet]
	// Deployments stand for their ReplicaSets where pods are those of manifests.
	Deployments List[*appsv1.Deployment]
}

// selecting is the live form.
type selecting struct {
	services               table[*corev1.Service]
	replicationControllers table[*corev1.ReplicationController]
	replicaSets            table[*appsv1.ReplicaSet]
	statefulSets           table[*appsv1.StatefulSet]
	deployments            table[*appsv1.Deployment]
}

func (s *selecting) put(obj client.Object) bool {
	switch o := obj.(type) {
	case *corev1.Service:
		return s.services.put(o)
	case *corev1.ReplicationController:
		return s.replicationControllers.put(o)
	case *appsv1.ReplicaSet:
		return s.replicaSets.put(o)
	case *appsv1.StatefulSet:
		return s.statefulSets.put(o)
	case *appsv1.Deployment:
		return s.deployments.put(o)
	}
	return false
}

func (s *selecting) remove(obj client.Object) bool {
	switch o := obj.(type) {
	case *corev1.Service:
		return s.services.remove(o)
	case *corev1.ReplicationController:
		return s.replicationControllers.remove(o)
	case *appsv1.ReplicaSet:
		return s.replicaSets.remove(o)
	case *appsv1.StatefulSet:
		return s.statefulSets.remove(o)
	case *appsv1.Deployment:
		return s.deployments.remove(o)
	}
	return false
}

func (s *selecting) freeze() Selecting {
	return Selecting{s.services.freeze(), s.replicationControllers.freeze(), s.replicaSets.freeze(), s.statefulSets.freeze(), s.deployments.freeze()}
}
