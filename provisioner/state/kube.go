package state

import (
	"context"
	"reflect"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Kube returns the Writer that writes to an API server, as FieldManager.
func Kube(c client.Client) Writer { return kube{client.WithFieldOwner(c, FieldManager)} }

type kube struct{ client client.Client }

func (k kube) Create(ctx context.Context, obj client.Object) error {
	return k.client.Create(ctx, obj)
}

func (k kube) Patch(ctx context.Context, obj client.Object, patch client.Patch) error {
	return replace(obj, patch, func(answer client.Object, raw client.Patch) error {
		return k.client.Patch(ctx, answer, raw)
	})
}

func (k kube) PatchStatus(ctx context.Context, obj client.Object, patch client.Patch) error {
	return replace(obj, patch, func(answer client.Object, raw client.Patch) error {
		return k.client.Status().Patch(ctx, answer, raw)
	})
}

// replace sends a patch and puts the answer in the place of obj, whole. Decoded
// over obj it would leave what the server has no more, such as an annotation that
// somebody else removed meanwhile.
func replace(obj client.Object, patch client.Patch, send func(answer client.Object, raw client.Patch) error) error {
	data, err := patch.Data(obj)
	if err != nil {
		return err
	}
	object := reflect.ValueOf(obj).Elem()
	answer := reflect.New(object.Type())
	next := answer.Interface().(client.Object)
	next.SetNamespace(obj.GetNamespace())
	next.SetName(obj.GetName())
	if err := send(next, client.RawPatch(patch.Type(), data)); err != nil {
		return err
	}
	object.Set(answer.Elem())
	return nil
}

func (k kube) Delete(ctx context.Context, obj client.Object, options ...client.DeleteOption) error {
	return k.client.Delete(ctx, obj, append([]client.DeleteOption{client.Preconditions{UID: new(obj.GetUID())}}, options...)...)
}

func (k kube) Evict(ctx context.Context, pod *corev1.Pod) error {
	return k.client.SubResource("eviction").Create(ctx, pod, &policyv1.Eviction{
		DeleteOptions: &metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: new(pod.UID)}},
	})
}
