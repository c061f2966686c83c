package static

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stowage-sh/stowage/provisioner/nodepool"
	"github.com/stowage-sh/stowage/provisioner/state"
	v1 "github.com/stowage-sh/stowage/provisioner/v1"
)

// A Controller keeps the replicas of static NodePools. Reconcile may be called by
// many goroutines at once, for different names.
type Controller struct {
	// Cluster to read from; Write must record into it (see state.Recorded).
	Cluster *state.Cluster
	Write   state.Writer
	Events  state.Recorder
	Metrics *Metrics
	// NewName returns a name that no NodeClaim has, from the NodePool's.
	NewName func(nodePool string) string
	// Parallel is how many NodeClaims of one pool are created at once; 0 means one.
	Parallel int

	mu       sync.Mutex
	memories map[string]*memory // by NodePool
}

// Reconcile makes or deletes what one NodePool has too few or too many of. It
// returns when to look again, 0 for only when something changes; the error is to be
// retried with backoff.
func (c *Controller) Reconcile(ctx context.Context, now time.Time, name string) (again time.Duration, err error) {
	s := c.Cluster.Snapshot()
	pool, ok := s.NodePools.Get(name)
	if !ok || pool.DeletionTimestamp != nil || pool.Spec.Replicas == nil {
		c.forget(s, name)
		return 0, nil
	}
	m := c.memory(pool)
	if err := c.insist(ctx, s, pool, m); err != nil {
		return 0, err
	}
	s = c.Cluster.Snapshot()
	claims := nodepool.Claims(s, pool)
	m.look(now, claims)
	replicas := slices.DeleteFunc(standing(claims), m.leaves)
	missing := *pool.Spec.Replicas - int64(len(replicas))
	if missing < 0 {
		return 0, c.shrink(ctx, s, m, surplus(now, s, replicas, int(-missing)))
	}
	allowed, again := c.allow(now, s, pool, m, missing)
	return again, c.grow(ctx, pool, m, allowed)
}

// memory returns what is remembered of a pool; another of its name begins anew.
func (c *Controller) memory(pool *v1.NodePool) *memory {
	c.mu.Lock()
	defer c.mu.Unlock()
	m := c.memories[pool.Name]
	if m == nil || m.pool != pool.UID {
		if c.memories == nil {
			c.memories = map[string]*memory{}
		}
		m = newMemory(pool.UID)
		c.memories[pool.Name] = m
	}
	if m.generation != pool.Generation { // what was broken may be mended
		m.generation, m.failures, m.until = pool.Generation, 0, time.Time{}
	}
	return m
}

// forget drops what is remembered of a pool that is gone or going, with the claims
// of which it is not known whether they were made: nobody asks for them any more.
func (c *Controller) forget(s *state.Snapshot, name string) {
	c.mu.Lock()
	_, known := c.memories[name]
	delete(c.memories, name)
	c.mu.Unlock()
	if !known {
		return
	}
	for _, claim := range s.NodeClaims.All() {
		if claim.Labels[v1.LabelNodePool] == name && isDraft(claim) {
			c.Cluster.Forget(claim)
		}
	}
}

// isDraft reports whether it is not known if a claim of ours exists. It counts as
// made: a creation of it ended without an answer, and it is asked for again under its
// name until there is one.
func isDraft(claim *v1.NodeClaim) bool { return claim.UID == "" }

// insist asks again for what was asked for without an answer.
func (c *Controller) insist(ctx context.Context, s *state.Snapshot, pool *v1.NodePool, m *memory) error {
	var failed []error
	for _, claim := range nodepool.Claims(s, pool) {
		switch {
		case isDraft(claim):
			failed = append(failed, c.create(ctx, claim, state.CreateAgain))
		case m.unanswered(claim):
			failed = append(failed, c.delete(ctx, m, claim))
		}
	}
	return errors.Join(failed...)
}

// atOnce is the most NodeClaims that one step makes of a pool; the next step follows.
const atOnce = 500

// grow makes n NodeClaims, or as many as one step may. One that cannot be made does
// not stop the others.
func (c *Controller) grow(ctx context.Context, pool *v1.NodePool, m *memory, n int64) error {
	if n = min(n, atOnce); n <= 0 {
		return nil
	}
	logr.FromContextOrDiscard(ctx).Info("provisioning nodeclaims to satisfy replica count", "NodePool", pool.Name, "count", n, "desired", *pool.Spec.Replicas)
	claims := make([]*v1.NodeClaim, n)
	for i := range claims {
		claims[i] = pool.NewClaim()
		claims[i].Name = c.NewName(pool.Name)
	}
	v1.GroupLaunches(claims)
	errs := make([]error, n)
	var group errgroup.Group
	group.SetLimit(max(1, c.Parallel))
	for i, claim := range claims {
		m.launching[claim.Name] = true
		group.Go(func() error {
			errs[i] = c.create(ctx, claim, state.CreateNamed)
			return nil
		})
	}
	_ = group.Wait() // each error is in errs
	return errors.Join(errs...)
}

// create writes a claim down, for the first time or again. One of which no answer
// tells whether it is there is noted as a draft.
func (c *Controller) create(ctx context.Context, claim *v1.NodeClaim, ask func(context.Context, state.Writer, client.Object) (bool, error)) error {
	draft := claim.DeepCopy()
	unsure, err := ask(ctx, c.Write, claim.DeepCopy())
	switch {
	case err == nil:
		c.Metrics.created(claim)
		return nil
	case unsure:
		c.Cluster.Observe(draft)
	default:
		c.Cluster.Forget(draft) // where it was one before
	}
	return fmt.Errorf("creating NodeClaim %s: %w", claim.Name, err)
}

// shrink deletes nodes that are too many.
func (c *Controller) shrink(ctx context.Context, s *state.Snapshot, m *memory, extra []*v1.NodeClaim) error {
	var failed []error
	for _, claim := range extra {
		if claim.UID == "" { // it is still being made
			continue
		}
		failed = append(failed, c.delete(ctx, m, claim))
		c.tell(s, claim)
		c.Metrics.deleted(s, claim)
	}
	return errors.Join(failed...)
}

// delete deletes a claim. Where no answer came it counts as deleted all the same,
// and is asked to go again: else another would go in its place, and it too.
func (c *Controller) delete(ctx context.Context, m *memory, claim *v1.NodeClaim) error {
	delete(m.launching, claim.Name)
	err := c.Write.Delete(ctx, claim)
	if err == nil || apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
		m.going[claim.UID] = answered
		return nil
	}
	m.going[claim.UID] = asked
	return fmt.Errorf("deleting NodeClaim %s, one more than the replicas of its NodePool: %w", claim.Name, err)
}

// tell says why a node goes.
func (c *Controller) tell(s *state.Snapshot, claim *v1.NodeClaim) {
	const why = ": its NodePool has more nodes than replicas"
	c.Events.Event(claim, corev1.EventTypeNormal, "DisruptionTerminating", "Disrupting NodeClaim"+why)
	if node, ok := s.NodeOf(claim); ok {
		c.Events.Event(node, corev1.EventTypeNormal, "DisruptionTerminating", "Disrupting Node"+why)
	}
}
