package manifest

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/stowage-sh/stowage/provisioner/problem"
)

// TestPodsAreLikeTheControllers compares what Expand makes with what the
// controllers of Kubernetes would.
func TestPodsAreLikeTheControllers(t *testing.T) {
	s := read(t, `
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db, namespace: shop}
spec:
  selector: {matchLabels: {app: db}}
  template:
    metadata: {labels: {app: db}, annotations: {note: kept}}
    spec:
      priorityClassName: system-cluster-critical
      containers: [{name: c}]
      volumes: [{name: data, emptyDir: {}}, {name: tmp, emptyDir: {}}]
  volumeClaimTemplates: [{metadata: {name: data}}]
---
apiVersion: batch/v1
kind: Job
metadata: {name: count, namespace: shop}
spec:
  completionMode: Indexed
  completions: 1
  template: {metadata: {labels: {app: count}}, spec: {containers: [{name: c}]}}
`)
	if err := s.Expand(); err != nil {
		t.Fatal(err)
	}
	pods := list[*corev1.Pod](s)
	if len(pods) != 2 {
		t.Fatalf("%d pods, want 2", len(pods))
	}
	count, db := pods[0], pods[1]
	wantLabels := map[string]string{
		"app": "count", "batch.kubernetes.io/job-name": "count", "job-name": "count", "batch.kubernetes.io/job-completion-index": "0",
	}
	if diff := cmp.Diff(wantLabels, count.Labels); diff != "" {
		t.Errorf("labels of the Job's pod (-want +got)\n%s", diff)
	}
	wantLabels = map[string]string{"app": "db", "statefulset.kubernetes.io/pod-name": "db-0", "apps.kubernetes.io/pod-index": "0"}
	if diff := cmp.Diff(wantLabels, db.Labels); diff != "" {
		t.Errorf("labels of the StatefulSet's pod (-want +got)\n%s", diff)
	}
	wantOwner := []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: "StatefulSet", Name: "db", UID: "manifest/StatefulSet shop/db", Controller: new(true)}}
	if diff := cmp.Diff(wantOwner, db.OwnerReferences); diff != "" {
		t.Errorf("owner (-want +got)\n%s", diff)
	}
	if len(db.Spec.Volumes) != 2 || db.Spec.Volumes[0].Name != "tmp" || db.Spec.Volumes[1].PersistentVolumeClaim == nil ||
		db.Spec.Volumes[1].PersistentVolumeClaim.ClaimName != "data-db-0" {
		t.Errorf("volumes %v, want tmp and the claim data-db-0 in place of data", db.Spec.Volumes)
	}
	if db.Annotations["note"] != "kept" || *db.Spec.Priority != 2_000_000_000 || *count.Spec.Priority != 0 {
		t.Errorf("annotations %v, priorities %d and %d", db.Annotations, *db.Spec.Priority, *count.Spec.Priority)
	}
	for _, p := range pods {
		if !problem.Provisionable(p) {
			t.Errorf("pod %s is not one that waits for a node", p.Name)
		}
	}
}

func TestGlobalDefaultPriority(t *testing.T) {
	s := read(t, "apiVersion: scheduling.k8s.io/v1\nkind: PriorityClass\nmetadata: {name: usual}\nvalue: 7\nglobalDefault: true\n---\n"+podYAML("a"))
	if err := s.Expand(); err != nil {
		t.Fatal(err)
	}
	if got := *list[*corev1.Pod](s)[0].Spec.Priority; got != 7 {
		t.Errorf("priority %d, want that of the default class, 7", got)
	}
}

// TestStrangersPodsDoNotCount: a pod that another controller owns is not a
// workload's, though its labels match.
func TestStrangersPodsDoNotCount(t *testing.T) {
	const deployment = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec:\n  replicas: 2\n  selector: {matchLabels: {app: web}}\n" +
		"  template: {metadata: {labels: {app: web}}, spec: {containers: [{name: c}]}}\n---\n"
	for _, test := range []struct {
		name, pod string
		pods      int
	}{
		{"of a ReplicaSet", "{name: x, labels: {app: web}, ownerReferences: [{kind: ReplicaSet, name: web-1, controller: true}]}", 1},
		{"of nobody", "{name: x, labels: {app: web}}", 1},
		{"of a Job", "{name: x, labels: {app: web}, ownerReferences: [{kind: Job, name: web, controller: true}]}", 3},
		{"in another namespace", "{name: x, namespace: other, labels: {app: web}}", 3},
		{"with other labels", "{name: x, labels: {app: api}}", 3},
	} {
		s := read(t, deployment+"apiVersion: v1\nkind: Pod\nmetadata: "+test.pod+"\nspec: {containers: [{name: c}]}\n")
		if err := s.Expand(); err != nil {
			t.Fatal(err)
		}
		if got := len(list[*corev1.Pod](s)); got != test.pods {
			t.Errorf("%s: %d pods, want %d", test.name, got, test.pods)
		}
	}
}
