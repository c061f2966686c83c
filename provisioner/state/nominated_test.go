package state

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const (
	nominationField = `{"f:status":{"f:nominatedNodeName":{}}}`
	conditionFields = `{"f:status":{"f:conditions":{"k:{\"type\":\"PodScheduled\"}":{}}}}`
)

// managed is a pod with the fields of two managers, kubelet's left out.
func managed(node, ours, schedulers string) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "a", ManagedFields: []metav1.ManagedFieldsEntry{
			{Manager: "kube-scheduler", Subresource: "status", FieldsV1: metav1.NewFieldsV1(schedulers)},
			{Manager: FieldManager, Subresource: "status", FieldsV1: metav1.NewFieldsV1(ours)},
			{Manager: "kubelet"},
		}},
		Status: corev1.PodStatus{NominatedNodeName: node},
	}
}

// TestNominated, before and after the rest of the managed fields was dropped.
func TestNominated(t *testing.T) {
	for _, test := range []struct {
		name string
		pod  *corev1.Pod
		ours bool
		kept int
	}{
		{"ours", managed("n", nominationField, conditionFields), true, 1},
		{"kube-scheduler's", managed("n", conditionFields, nominationField), false, 1},
		{"erased since", managed("", nominationField, conditionFields), false, 0},
		{"nobody's", managed("n", conditionFields, conditionFields), false, 0},
		{"nothing is known", &corev1.Pod{Status: corev1.PodStatus{NominatedNodeName: "n"}}, false, 0},
	} {
		for range 3 {
			if got := Nominated(test.pod); got != test.ours {
				t.Errorf("%s: %v with the fields %v", test.name, got, test.pod.ManagedFields)
			}
			if _, err := Slim(test.pod); err != nil || len(test.pod.ManagedFields) != test.kept {
				t.Errorf("%s: %v, and %d managers are kept, want %d", test.name, err, len(test.pod.ManagedFields), test.kept)
			}
		}
	}
}
