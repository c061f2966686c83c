package state

import (
	"context"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// CreateNamed creates an object that has a name. Where no answer came the object
// may be there all the same, so it is asked for again under the same name: that it
// exists is then half the answer that was lost, and a patch that changes nothing
// fetches the rest. unsure tells that it may still be there in spite of the error.
func CreateNamed(ctx context.Context, w Writer, obj client.Object) (unsure bool, err error) {
	again := obj.DeepCopyObject().(client.Object)
	if err = w.Create(ctx, obj); err == nil || refused(err) {
		return false, err
	}
	there := again.DeepCopyObject().(client.Object)
	err = w.Create(ctx, again)
	if apierrors.IsAlreadyExists(err) {
		return true, w.Patch(ctx, there, client.RawPatch(types.MergePatchType, []byte("{}")))
	}
	return !refused(err), err
}

// refused reports whether an error of a creation says that nothing was created.
func refused(err error) bool {
	switch apierrors.ReasonForError(err) {
	case metav1.StatusReasonUnknown, metav1.StatusReasonTimeout, metav1.StatusReasonServerTimeout, metav1.StatusReasonInternalError:
		return false // not from the server, or given up while it was at work
	}
	return true
}
