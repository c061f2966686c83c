package problem_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/stowage-sh/stowage/cloudprovider"
	"github.com/stowage-sh/stowage/provisioner/problem"
)

// TestSetDefaults has the answers of an API server for pods with limits.
func TestSetDefaults(t *testing.T) {
	list := func(cpu, memory string) corev1.ResourceList {
		l := corev1.ResourceList{}
		if cpu != "" {
			l[corev1.ResourceCPU] = resource.MustParse(cpu)
		}
		if memory != "" {
			l[corev1.ResourceMemory] = resource.MustParse(memory)
		}
		return l
	}
	container := func(requests, limits corev1.ResourceList) corev1.Container {
		return corev1.Container{Resources: corev1.ResourceRequirements{Requests: requests, Limits: limits}}
	}
	for _, test := range []struct {
		name string
		spec corev1.PodSpec
		want cloudprovider.Resources
	}{
		{"nothing said", corev1.PodSpec{Containers: []corev1.Container{{}}}, cloudprovider.Resources{"pods": 1}},
		{"limits only", corev1.PodSpec{Containers: []corev1.Container{container(nil, list("2", "1Ki"))}}, cloudprovider.Resources{"cpu": 2000, "memory": 1024, "pods": 1}},
		{"a request stays", corev1.PodSpec{Containers: []corev1.Container{container(list("1", ""), list("2", "1Ki"))}}, cloudprovider.Resources{"cpu": 1000, "memory": 1024, "pods": 1}},
		{"init containers too", corev1.PodSpec{InitContainers: []corev1.Container{container(nil, list("3", ""))}, Containers: []corev1.Container{container(list("1", ""), nil)}},
			cloudprovider.Resources{"cpu": 3000, "pods": 1}},
		{"the pod's limit", corev1.PodSpec{Resources: &corev1.ResourceRequirements{Limits: list("4", "1Ki")}, Containers: []corev1.Container{{}}},
			cloudprovider.Resources{"cpu": 4000, "memory": 1024, "pods": 1}},
		{"the containers' requests before the pod's limit", corev1.PodSpec{Resources: &corev1.ResourceRequirements{Limits: list("4", "1Ki")},
			Containers: []corev1.Container{container(list("1", ""), nil)}}, cloudprovider.Resources{"cpu": 1000, "memory": 1024, "pods": 1}},
	} {
		problem.SetDefaults(&test.spec)
		if diff := cmp.Diff(test.want, problem.Requests(&corev1.Pod{Spec: test.spec})); diff != "" {
			t.Errorf("%s: requests (-want +got)\n%s", test.name, diff)
		}
	}
}
