package headroom

import (
	"context"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stowage-sh/stowage/provisioner/problem"
	"github.com/stowage-sh/stowage/provisioner/state"
	v1 "github.com/stowage-sh/stowage/provisioner/v1"
	"github.com/stowage-sh/stowage/provisioner/v1beta1"
)

// A Controller looks after all CapacityBuffers: it gets what they refer to, and keeps their status
// true. One goroutine at a time calls Step.
type Controller struct {
	// Cluster to read from, and to put what is got into; Write must record into it (see
	// state.Recorded).
	Cluster *state.Cluster
	Write   state.Writer
	// Read asks the API server itself.
	Read client.Reader
	// Schedulers are those whose pods get machines.
	Schedulers problem.Schedulers
	// Missing says why there is no room for pods of buffers, by buffer, as of the last decision;
	// false if nothing has been decided yet.
	Missing func() (why map[types.NamespacedName]string, decided bool)

	looked map[types.UID]look
}

// A look is when, and at which generation of a buffer, what it refers to was got last.
type look struct {
	at         time.Time
	generation int64
}

// The times after which to look again: refresh at what buffers refer to, statusPoll at the room
// that there is, and retrySoon after a write that lost a race.
const (
	refresh    = 30 * time.Second
	statusPoll = 2 * time.Second
	retrySoon  = 500 * time.Millisecond
)

// Step brings the status of every CapacityBuffer up to date, and says when to look again if nothing
// changes. One that cannot be looked at does not stop the others.
func (c *Controller) Step(ctx context.Context, now time.Time) (again time.Duration, err error) {
	unknown, again := c.lookAll(ctx, now, c.Cluster.Snapshot())
	s := c.Cluster.Snapshot() // what was got is in it
	rooms := roomsOf(s)
	var errs []error
	for _, a := range Asks(s) {
		again = min(again, statusPoll)
		if err := unknown[a.Buffer.UID]; err != nil {
			errs = append(errs, fmt.Errorf("looking at what CapacityBuffer %s refers to: %w", a.Key(), err))
			if v1.GetCondition(a.Buffer.Status.Conditions, v1beta1.ConditionReadyForProvisioning) != nil || a.Pod != nil {
				continue // what was known of it may still be so
			}
			a.Reason, a.Message = v1beta1.ReasonResolutionFailed, err.Error()
		}
		switch err := c.write(ctx, now, &a, rooms); {
		case apierrors.IsConflict(err):
			again = retrySoon
		case client.IgnoreNotFound(err) != nil:
			errs = append(errs, fmt.Errorf("patching the status of CapacityBuffer %s: %w", a.Key(), err))
		}
	}
	return again, errors.Join(errs...)
}

// lookAll gets what buffers refer to where that was long ago, or the buffer is another by now, each
// object once. It returns the errors by buffer, and when the next look is due.
func (c *Controller) lookAll(ctx context.Context, now time.Time, s *state.Snapshot) (unknown map[types.UID]error, again time.Duration) {
	unknown, again = map[types.UID]error{}, refresh
	next, got := map[types.UID]look{}, map[string]error{}
	once := func(kind, namespace, name string, get func() error) error {
		key := fmt.Sprint(kind, " ", namespace, "/", name)
		if _, done := got[key]; !done {
			got[key] = get()
		}
		return got[key]
	}
	for _, b := range s.Buffers.CapacityBuffers.All() {
		ref, wrong := reference(b)
		if b.DeletionTimestamp != nil || b.Strategy() != v1beta1.ActiveCapacity || wrong != "" {
			continue
		}
		last, ok := c.looked[b.UID]
		if left := last.at.Add(refresh).Sub(now); ok && last.generation == b.Generation && left > 0 {
			next[b.UID], again = last, min(again, left)
			continue
		}
		err := errors.Join(
			once(fmt.Sprintf("%T", ref), ref.GetNamespace(), ref.GetName(), func() error { return c.get(ctx, s, ref) }),
			once("quotas", b.Namespace, "", func() error { return c.getQuotas(ctx, s, b.Namespace) }),
		)
		if err != nil { // it is due at once, and whoever calls Step slows down
			unknown[b.UID] = err
			continue
		}
		next[b.UID] = look{now, b.Generation}
	}
	c.looked = next
	return unknown, again
}

// get puts an object of the kind and name of ref into the state, or takes it out if there is none.
func (c *Controller) get(ctx context.Context, s *state.Snapshot, ref client.Object) error {
	err := c.Read.Get(ctx, client.ObjectKeyFromObject(ref), ref)
	if apierrors.IsNotFound(err) {
		if gone, ok := known(s, ref); ok {
			c.Cluster.Forget(gone)
		}
		return nil
	}
	if err == nil {
		c.Cluster.Observe(ref)
	}
	return err
}

// getQuotas puts the ResourceQuotas of a namespace into the state.
func (c *Controller) getQuotas(ctx context.Context, s *state.Snapshot, namespace string) error {
	var list corev1.ResourceQuotaList
	if err := c.Read.List(ctx, &list, client.InNamespace(namespace)); err != nil {
		return err
	}
	there := map[types.UID]bool{}
	for i := range list.Items {
		there[list.Items[i].UID] = true
		c.Cluster.Observe(&list.Items[i])
	}
	for _, old := range s.Buffers.ResourceQuotas.All() {
		if old.Namespace == namespace && !there[old.UID] {
			c.Cluster.Forget(old)
		}
	}
	return nil
}
