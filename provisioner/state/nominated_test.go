package state

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
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

// TestSlim drops what nobody reads, of whatever kind, and leaves the rest.
func TestSlim(t *testing.T) {
	fields := []metav1.ManagedFieldsEntry{{Manager: FieldManager, FieldsV1: metav1.NewFieldsV1(nominationField)}}
	for _, o := range []client.Object{
		&corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n", ManagedFields: fields}},
		&corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n"}},
	} {
		if got, err := Slim(o); got != o || err != nil || o.GetManagedFields() != nil || o.GetName() != "n" {
			t.Errorf("made %v, %v", got, err)
		}
	}
	if got, err := Slim("no object"); got != "no object" || err != nil {
		t.Errorf("made %v, %v", got, err)
	}
}
