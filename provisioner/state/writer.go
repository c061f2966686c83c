package state

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// A Writer is the one way in which anything is written to the cluster. Writes
// are patches, never updates, so that fields which Stowage does not know
// survive. After Create, Patch and PatchStatus obj holds what the server
// answered. A simulation can fail, delay or crash at each call.
type Writer interface {
	Create(ctx context.Context, obj client.Object) error
	Patch(ctx context.Context, obj client.Object, patch client.Patch) error
	PatchStatus(ctx context.Context, obj client.Object, patch client.Patch) error
	// Delete deletes obj if it still has obj's UID. One that is gone is an
	// error that apierrors.IsNotFound knows. The option that is of use is
	// client.GracePeriodSeconds, for pods.
	Delete(ctx context.Context, obj client.Object, options ...client.DeleteOption) error
	// Evict asks for the eviction of a pod with obj's UID. The error is
	// TooManyRequests (429) where a PodDisruptionBudget refuses it.
	Evict(ctx context.Context, pod *corev1.Pod) error
}

// A Recorder tells users of an object about an event: eventType is Normal or
// Warning, reason one word.
type Recorder interface {
	Event(object runtime.Object, eventType, reason, message string)
}

// Recorded returns a Writer that writes to w and lets c observe every answer, so
// that a controller's own write is in the next snapshot.
func Recorded(w Writer, c *Cluster) Writer { return recorded{w, c} }

type recorded struct {
	Writer
	cluster *Cluster
}

func (r recorded) Create(ctx context.Context, obj client.Object) error {
	return r.observe(obj, r.Writer.Create(ctx, obj))
}

func (r recorded) Patch(ctx context.Context, obj client.Object, patch client.Patch) error {
	return r.observe(obj, r.Writer.Patch(ctx, obj, patch))
}

func (r recorded) PatchStatus(ctx context.Context, obj client.Object, patch client.Patch) error {
	return r.observe(obj, r.Writer.PatchStatus(ctx, obj, patch))
}

func (r recorded) observe(obj client.Object, err error) error {
	if err == nil {
		// A patch that removed the last finalizer of a deleted object ends it.
		if obj.GetDeletionTimestamp() != nil && len(obj.GetFinalizers()) == 0 && endsWithoutFinalizers(obj) {
			r.cluster.Forget(obj)
			return nil
		}
		seen := obj.DeepCopyObject()
		_, _ = Slim(seen) // it returns no error
		r.cluster.Observe(seen.(client.Object))
	}
	return err
}

// endsWithoutFinalizers reports whether an object that is being deleted is gone
// once no finalizer is left. A pod is not: kubelet has to end it first.
func endsWithoutFinalizers(obj client.Object) bool {
	_, pod := obj.(*corev1.Pod)
	return !pod
}
