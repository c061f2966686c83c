package state

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

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

// TestSlimPod keeps what a place depends on, and writes to a pod once.
func TestSlimPod(t *testing.T) {
	always := corev1.ContainerRestartPolicyAlways
	asks := corev1.ResourceRequirements{Requests: corev1.ResourceList{"cpu": resource.MustParse("1")}}
	full := func(name string) corev1.Container {
		return corev1.Container{Name: name, Image: "image", Command: []string{"run"}, Env: []corev1.EnvVar{{Name: "A", Value: "b"}}, LivenessProbe: &corev1.Probe{},
			VolumeMounts: []corev1.VolumeMount{{Name: "v"}}, Ports: []corev1.ContainerPort{{HostPort: 80}}, Resources: asks, RestartPolicy: &always}
	}
	slim := func(name string) corev1.Container {
		return corev1.Container{Name: name, Ports: []corev1.ContainerPort{{HostPort: 80}}, Resources: asks, RestartPolicy: &always}
	}
	half := corev1.ResourceList{"cpu": resource.MustParse("500m")}
	status := func(name string, has, granted corev1.ResourceList) corev1.ContainerStatus {
		return corev1.ContainerStatus{Name: name, Image: "image", ContainerID: "id", Resources: &corev1.ResourceRequirements{Requests: has}, AllocatedResources: granted}
	}
	thousand := corev1.ResourceList{"cpu": resource.MustParse("1000m")} // the same as it asks for
	pod := &corev1.Pod{Spec: corev1.PodSpec{NodeName: "n", InitContainers: []corev1.Container{full("i")}, Containers: []corev1.Container{full("c"), full("d"), full("e"), full("f")},
		EphemeralContainers: []corev1.EphemeralContainer{{}}}, Status: corev1.PodStatus{
		InitContainerStatuses: []corev1.ContainerStatus{status("i", thousand, nil)},
		ContainerStatuses:     []corev1.ContainerStatus{status("c", half, thousand), status("d", thousand, half), status("e", thousand, thousand), {Name: "f", Image: "image"}}}}
	want := &corev1.Pod{Spec: corev1.PodSpec{NodeName: "n", InitContainers: []corev1.Container{slim("i")}, Containers: []corev1.Container{slim("c"), slim("d"), slim("e"), slim("f")}},
		Status: corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{
			{Name: "c", Resources: &corev1.ResourceRequirements{Requests: half}, AllocatedResources: thousand},
			{Name: "d", Resources: &corev1.ResourceRequirements{Requests: thousand}, AllocatedResources: half}}}}
	if got, err := Slim(pod); err != nil || cmp.Diff(want, got) != "" {
		t.Errorf("%v, and made %s", err, cmp.Diff(want, got))
	}
	done := make(chan struct{})
	go func() { // the race detector judges
		defer close(done)
		for range 100 {
			_, _ = Slim(pod)
		}
	}()
	for range 100 {
		_, _ = Slim(pod)
	}
	<-done
}
