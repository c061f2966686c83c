package state

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Kube returns the Writer that writes to an API server.
func Kube(c client.Client) Writer { return kube{c} }

type kube struct{ client client.Client }

func (k kube) Create(ctx context.Context, obj client.Object) error {
	return k.client.Create(ctx, obj)
}

func (k kube) Patch(ctx context.Context, obj client.Object, patch client.Patch) error {
	return k.client.Patch(ctx, obj, patch)
}

func (k kube) PatchStatus(ctx context.Context, obj client.Object, patch client.Patch) error {
	return k.client.Status().Patch(ctx, obj, patch)
}

func (k kube) Delete(ctx context.Context, obj client.Object) error {
	return k.client.Delete(ctx, obj, client.Preconditions{UID: new(obj.GetUID())})
}

func (k kube) Evict(ctx context.Context, pod *corev1.Pod) error {
	return k.client.SubResource("eviction").Create(ctx, pod, &policyv1.Eviction{
		DeleteOptions: &metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: new(pod.UID)}},
	})
}
