package state

import (
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// FieldManager is under which name the API server notes what Stowage writes.
const FieldManager = "stowage"

// Nominated reports whether it was Stowage, this process or one before it, that wrote
// the node which a pod is nominated to. kube-scheduler nominates pods too, when it makes
// room for them, and these nominations are not ours to touch. The API server tells them
// apart: a field belongs to who last changed it.
func Nominated(p *corev1.Pod) bool {
	return p.Status.NominatedNodeName != "" && slices.ContainsFunc(p.ManagedFields, func(m metav1.ManagedFieldsEntry) bool {
		return m.Manager == FieldManager && nominates(m)
	})
}

// nominates reports whether a manager's fields include a pod's nomination.
func nominates(m metav1.ManagedFieldsEntry) bool {
	return m.FieldsV1 != nil && strings.Contains(m.FieldsV1.GetRawString(), `"f:nominatedNodeName"`)
}
