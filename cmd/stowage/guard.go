package main

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"
)

// guardInterval is the time between two looks for another provisioner.
const guardInterval = 5 * time.Second

// guardPatience is how many looks in a row may fail before what was known counts
// for nothing.
const guardPatience = 3

// A guard keeps Stowage from acting beside another provisioner of the same API.
// Within one namespace the Lease itself does that; a live Lease of that name in
// another namespace is somebody who does not see ours. One goroutine looks; any
// number may ask.
type guard struct {
	reader          client.Reader
	name, namespace string

	// other says who holds the other Lease, "" for nobody; nil while it is not
	// known.
	other  atomic.Pointer[string]
	seen   map[types.UID]renewal // of the Leases in other namespaces
	failed int                   // looks in a row
}

// A renewal is a Lease's own word on when it was renewed, and when we saw that
// change: clocks differ, and a Lease that changes is alive whatever it says.
type renewal struct {
	word metav1.MicroTime
	at   time.Time
}

// clear reports whether Stowage may act, and if not, when to ask again.
func (g *guard) clear() (wait time.Duration, ok bool) {
	switch other := g.other.Load(); {
	case other == nil:
		return 100 * time.Millisecond, false
	case *other != "":
		return guardInterval, false
	}
	return 0, true
}

// look notes whether another provisioner is alive.
func (g *guard) look(ctx context.Context, now time.Time) error {
	var leases coordinationv1.LeaseList
	if err := g.reader.List(ctx, &leases, client.MatchingFields{"metadata.name": g.name}); err != nil {
		if g.failed++; g.failed >= guardPatience {
			g.other.Store(nil)
		}
		return fmt.Errorf("looking for Leases named %s in other namespaces: %w", g.name, err)
	}
	g.failed = 0
	found, seen := "", map[types.UID]renewal{}
	for i := range leases.Items {
		l := &leases.Items[i]
		if l.Namespace == g.namespace || l.Spec.RenewTime == nil {
			continue
		}
		last, known := g.seen[l.UID]
		switch {
		case !known: // its word is all there is to go by
			last = renewal{*l.Spec.RenewTime, l.Spec.RenewTime.Time}
		case !last.word.Equal(l.Spec.RenewTime):
			last = renewal{*l.Spec.RenewTime, now}
		}
		seen[l.UID] = last
		if found == "" && live(l, last.at, now) {
			found = fmt.Sprintf("Lease %s/%s is held by %q", l.Namespace, l.Name, *l.Spec.HolderIdentity)
		}
	}
	g.seen = seen
	g.tell(ctx, found)
	return nil
}

// tell stores what was found, and logs it if it is news.
func (g *guard) tell(ctx context.Context, found string) {
	old := g.other.Swap(&found)
	if old != nil && *old == found {
		return
	}
	switch {
	case found != "":
		log.FromContext(ctx).Info("not acting: another provisioner is alive", "reason", found)
	case old != nil:
		log.FromContext(ctx).Info("acting again: the other provisioner is gone")
	}
}

// live reports whether a Lease is held and was renewed lately enough.
func live(l *coordinationv1.Lease, renewed, now time.Time) bool {
	s := &l.Spec
	if s.HolderIdentity == nil || *s.HolderIdentity == "" || s.LeaseDurationSeconds == nil {
		return false
	}
	return now.Before(renewed.Add(time.Duration(*s.LeaseDurationSeconds) * time.Second))
}

// run looks until ctx ends.
func (g *guard) run(ctx context.Context) error {
	tick := time.NewTicker(guardInterval)
	defer tick.Stop()
	for {
		if err := g.look(ctx, time.Now()); err != nil && ctx.Err() == nil {
			log.FromContext(ctx).Error(err, "looking for another provisioner")
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}
