package drift

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stowage-sh/stowage/cloudprovider"
	"github.com/stowage-sh/stowage/provisioner/lifecycle"
	"github.com/stowage-sh/stowage/provisioner/state"
	v1 "github.com/stowage-sh/stowage/provisioner/v1"
)

// A Controller keeps the condition Drifted of all NodeClaims. Step is to be called
// by one goroutine.
type Controller struct {
	// Cluster to read from; Write must record into it (see state.Recorded).
	Cluster *state.Cluster
	Write   state.Writer
	Cloud   cloudprovider.Provider
	// Instances is what the cloud has, shared with package lifecycle.
	Instances *lifecycle.Roster
	// Rebalance says that a node has drifted whose machine the cloud recommends to replace.
	Rebalance bool

	missing map[kindOf]time.Time // instance types that a catalog is without, and since when
}

// A kindOf is an instance type under a NodeClass.
type kindOf struct {
	class cloudprovider.NodeClassRef
	name  string
}

// Interval is the longest time between two looks, and the age of the oldest list of
// machines that is good for finding that nothing has changed.
const Interval = 5 * time.Minute

// retrySoon follows a write that lost a race: by then the watch has caught up.
const retrySoon = 500 * time.Millisecond

// Concerns reports whether a NodeClaim may have drifted, or be what was asked for
// again, since obj has changed.
func Concerns(obj client.Object) bool {
	switch o := obj.(type) {
	case *v1.NodePool, state.NodeClass:
		return true
	case *v1.NodeClaim:
		return o.DeletionTimestamp == nil && v1.IsTrue(o.Status.Conditions, v1.ConditionLaunched)
	}
	return false
}

// Step judges every NodeClaim once, and returns when to look again. What failed is
// in the error and is done by a later step.
func (c *Controller) Step(ctx context.Context, now time.Time) (again time.Duration, err error) {
	l := c.look(ctx, now)
	var failed []error
	again = Interval
	for _, claim := range l.NodeClaims.All() {
		pool, ok := l.pools[claim.Labels[v1.LabelNodePool]]
		if !ok || claim.DeletionTimestamp != nil || !v1.IsTrue(claim.Status.Conditions, v1.ConditionLaunched) {
			continue
		}
		err := c.write(ctx, now, claim, Judge(c.facts(l, claim, pool)))
		switch {
		case apierrors.IsConflict(err):
			again = retrySoon
		case client.IgnoreNotFound(err) != nil:
			failed = append(failed, fmt.Errorf("patching the conditions of NodeClaim %s: %w", claim.Name, err))
		}
	}
	for _, since := range l.missing { // the moment from which they count
		if left := since.Add(minMissing).Sub(now); left > 0 {
			again = min(again, left)
		}
	}
	c.missing = l.missing
	return again, errors.Join(append(failed, l.err)...)
}

// A look is what all NodeClaims of one step are compared with.
type look struct {
	*state.Snapshot
	now      time.Time
	pools    map[string]pool
	catalogs map[cloudprovider.NodeClassRef]*cloudprovider.Catalog // nil where it cannot be had
	find     finder                                                // in a list that may be as old as Interval; nil if there is none
	fresh    func() finder                                         // in one of now, which is asked for once
	missing  map[kindOf]time.Time
	err      error // why there is no list of machines
}

// A finder finds machines by their provider IDs.
type finder = func(providerID string) (cloudprovider.Instance, bool)

// A pool is a NodePool with the hash that its NodeClaims are compared with.
type pool struct {
	*v1.NodePool
	hash string
}

func (c *Controller) look(ctx context.Context, now time.Time) *look {
	l := &look{now: now, pools: map[string]pool{}, catalogs: map[cloudprovider.NodeClassRef]*cloudprovider.Catalog{}, missing: map[kindOf]time.Time{}}
	l.find, l.err = c.Instances.Finder(ctx, now, Interval)
	l.fresh = sync.OnceValue(func() finder {
		find, err := c.Instances.Finder(ctx, now, 0)
		l.err = errors.Join(l.err, err)
		return find
	})
	l.Snapshot = c.Cluster.Snapshot()
	for _, p := range l.NodePools.All() {
		if p.DeletionTimestamp == nil { // else its claims are about to go
			l.pools[p.Name] = pool{p, hashOf(p)}
		}
	}
	for _, claim := range l.NodeClaims.All() {
		class := cloudprovider.NodeClassRef(claim.Spec.NodeClassRef)
		if _, ok := l.catalogs[class]; ok {
			continue
		}
		// Why there is none is in the NodeClass's status.
		l.catalogs[class] = nil
		if catalog, err := c.Cloud.Catalog(ctx, class); err == nil {
			l.catalogs[class] = catalog
		}
	}
	return l
}

// hashOf returns the hash of a NodePool that is sound, and stamped as it is now; ""
// otherwise, since a mistake in a NodePool says nothing about its nodes.
func hashOf(p *v1.NodePool) string {
	valid := v1.GetCondition(p.Status.Conditions, v1.ConditionValidationSucceeded)
	if valid == nil || valid.Status != metav1.ConditionTrue || valid.ObservedGeneration != p.Generation {
		return ""
	}
	hash := p.Annotations[v1.AnnotationNodePoolHash]
	if p.Annotations[v1.AnnotationNodePoolHashVersion] != v1.NodePoolHashVersion || hash != p.Hash() {
		return ""
	}
	return hash
}

// facts gathers what is known of a claim.
func (c *Controller) facts(l *look, claim *v1.NodeClaim, p pool) *Facts {
	class := cloudprovider.NodeClassRef(claim.Spec.NodeClassRef)
	f := &Facts{Now: l.now, Claim: claim, Pool: p.NodePool, PoolHash: p.hash, Catalog: l.catalogs[class], Rebalance: c.Rebalance}
	kind := f.kind()
	if f.Catalog != nil && kind == nil {
		of := kindOf{class, claim.Labels[corev1.LabelInstanceTypeStable]}
		since, ok := c.missing[of]
		if !ok {
			since = l.now
		}
		l.missing[of] = since
		f.Missing = l.now.Sub(since)
	}
	f.Cloud = c.machine(l.find, f)
	if f.Cloud != nil && f.Cloud.Reason != "" && !v1.IsTrue(claim.Status.Conditions, v1.ConditionDrifted) {
		// The machine may have changed together with what it is compared with: one whose
		// reservation has ended is on demand. So drift is found of machines as they are now.
		f.Cloud = c.machine(l.fresh(), f)
	}
	return f
}

// machine returns what the cloud says of a claim's machine; nil if it can say nothing.
func (c *Controller) machine(find finder, f *Facts) *cloudprovider.Drift {
	if find == nil {
		return nil
	}
	instance, ok := find(f.Claim.Status.ProviderID)
	if !ok {
		return nil // launched since, or gone, which is the collector's to find
	}
	d, known := c.Cloud.Drift(cloudprovider.DriftQuery{
		Class: cloudprovider.NodeClassRef(f.Claim.Spec.NodeClassRef), Instance: instance, Annotations: f.Claim.Annotations, Type: f.kind(),
	})
	if !known {
		return nil
	}
	return &d
}

// write brings the claim's condition up to date. Conditions are one list, which a
// merge patch replaces whole: hence the lock.
func (c *Controller) write(ctx context.Context, now time.Time, claim *v1.NodeClaim, d cloudprovider.Drift) error {
	was := v1.GetCondition(claim.Status.Conditions, v1.ConditionDrifted)
	if d.Reason == "" && was == nil {
		return nil
	}
	if was != nil && was.Status == metav1.ConditionTrue && was.Reason == d.Reason && was.Message == d.Message {
		return nil
	}
	before := claim
	claim = claim.DeepCopy()
	what := "nodeclaim is not drifted any more"
	if d.Reason == "" {
		meta.RemoveStatusCondition(&claim.Status.Conditions, v1.ConditionDrifted)
	} else {
		what = "marking drifted"
		v1.SetCondition(&claim.Status.Conditions, metav1.Condition{
			Type: v1.ConditionDrifted, Status: metav1.ConditionTrue, Reason: d.Reason, Message: d.Message, ObservedGeneration: claim.Generation,
		}, now)
	}
	if err := c.Write.PatchStatus(ctx, claim, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})); err != nil {
		return err
	}
	logr.FromContextOrDiscard(ctx).Info(what, "NodeClaim", map[string]string{"name": claim.Name}, "reason", d.Reason, "message", d.Message)
	return nil
}
