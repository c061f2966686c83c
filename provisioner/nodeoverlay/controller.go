// Package nodeoverlay keeps the status of NodeOverlays true: which of them are
// applied, and why others are not ([problem.JudgeOverlays] decides that). An
// overlay is applied from the moment that its Ready condition is True.
//
// It reads snapshots and catalogs only, writes patches of the status only, and
// writes nothing where nothing changed.
package nodeoverlay

import (
	"context"
	"errors"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stowage-sh/stowage/cloudprovider"
	"github.com/stowage-sh/stowage/provisioner/problem"
	"github.com/stowage-sh/stowage/provisioner/state"
	v1 "github.com/stowage-sh/stowage/provisioner/v1"
	"github.com/stowage-sh/stowage/provisioner/v1alpha1"
)

// A Controller judges all NodeOverlays together. One goroutine at a time calls Step.
type Controller struct {
	// Cluster to read from; Write must record into it (see state.Recorded).
	Cluster *state.Cluster
	Write   state.Writer
	Cloud   cloudprovider.Provider
}

// Interval is the longest time between two looks: catalogs change without notice.
const Interval = 6 * time.Hour

// The times after which to look again: retrySoon after a write that lost a race,
// retryCatalog where a NodePool's catalog was not to be had.
const (
	retrySoon    = 500 * time.Millisecond
	retryCatalog = time.Minute
)

// Step brings the status of every NodeOverlay up to date, and says when to look
// again if nothing changes.
func (c *Controller) Step(ctx context.Context, now time.Time) (again time.Duration, err error) {
	s := c.Cluster.Snapshot()
	if s.NodeOverlays.Len() == 0 {
		return Interval, nil
	}
	in := &problem.Input{Snapshot: s, Catalogs: map[string]*cloudprovider.Catalog{}}
	again = Interval
	for _, pool := range s.NodePools.All() {
		class := pool.Spec.Template.Spec.NodeClassRef
		catalog, err := c.Cloud.Catalog(ctx, cloudprovider.NodeClassRef(class))
		if err != nil { // the NodePool's status says so
			again = retryCatalog
			continue
		}
		in.Catalogs[pool.Name] = catalog
	}
	_, verdicts := problem.JudgeOverlays(in, s.NodeOverlays.All())
	var errs []error
	for _, v := range verdicts {
		switch err := c.write(ctx, now, v); {
		case apierrors.IsConflict(err):
			again = retrySoon
		case client.IgnoreNotFound(err) != nil:
			errs = append(errs, fmt.Errorf("patching the status of NodeOverlay %s: %w", v.Overlay.Name, err))
		}
	}
	return again, errors.Join(errs...)
}

// write puts a verdict into both conditions: who looks at Ready reads why.
func (c *Controller) write(ctx context.Context, now time.Time, v problem.Verdict) error {
	overlay := v.Overlay.DeepCopy()
	for _, name := range []string{v1.ConditionValidationSucceeded, v1.ConditionReady} {
		condition := metav1.Condition{Type: name, Status: metav1.ConditionTrue, Reason: v.Reason, Message: v.Message, ObservedGeneration: overlay.Generation}
		if v.Reason != "" {
			condition.Status = metav1.ConditionFalse
		}
		v1.SetCondition(&overlay.Status.Conditions, condition, now)
	}
	if equality.Semantic.DeepEqual(v.Overlay.Status, overlay.Status) {
		return nil
	}
	// Conditions are one list, which a merge patch replaces whole: hence the lock.
	return c.Write.PatchStatus(ctx, overlay, client.MergeFromWithOptions(v.Overlay, client.MergeFromWithOptimisticLock{}))
}

// Concerns reports whether a change of obj may change a verdict. Of NodePools only
// those are looked at whose spec nobody has judged yet: their status changes with
// every node.
func Concerns(obj client.Object) bool {
	switch o := obj.(type) {
	case *v1alpha1.NodeOverlay, state.NodeClass:
		return true
	case *v1.NodePool:
		ready := v1.GetCondition(o.Status.Conditions, v1.ConditionReady)
		return ready == nil || ready.ObservedGeneration != o.Generation
	}
	return false
}
