package state

import (
	"context"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// CreateNamed creates an object that has a name of its own. Where no answer came the
// object may be there all the same, so it is asked for again, once. unsure tells that
// it may still be there in spite of the error: CreateAgain asks once more.
func CreateNamed(ctx context.Context, w Writer, obj client.Object) (unsure bool, err error) {
	again := obj.DeepCopyObject().(client.Object)
	if err = w.Create(ctx, obj); err == nil || refused(err) {
		return false, err
	}
	return CreateAgain(ctx, w, again)
}

// CreateAgain asks under the same name for an object that may have been created:
// that it exists is then half the answer that was lost, and a patch that changes
// nothing fetches the rest.
func CreateAgain(ctx context.Context, w Writer, obj client.Object) (unsure bool, err error) {
	there := obj.DeepCopyObject().(client.Object)
	err = w.Create(ctx, obj)
	if apierrors.IsAlreadyExists(err) {
		err = w.Patch(ctx, there, client.RawPatch(types.MergePatchType, []byte("{}")))
	}
	return !refused(err), err
}

// refused reports whether an error of a creation says that nothing was created, or
// that what was is gone.
func refused(err error) bool {
	switch apierrors.ReasonForError(err) {
	case metav1.StatusReasonUnknown, metav1.StatusReasonTimeout, metav1.StatusReasonServerTimeout, metav1.StatusReasonInternalError:
		return false // not from the server, or given up while it was at work
	}
	return true
}
