package main

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"
)

// guardInterval is the time between two looks for another provisioner.
const guardInterval = 5 * time.Second

// A guard keeps Stowage from acting beside another provisioner of the same API.
// Within one namespace the Lease itself does that; a live Lease of that name in
// another namespace is somebody who does not see ours.
type guard struct {
	reader          client.Reader
	name, namespace string

	// other says who holds the other Lease; nil before the first look.
	other atomic.Pointer[string]
}

// clear reports whether Stowage may act, and if not, when to ask again. Before
// the first look it may not.
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
		return fmt.Errorf("looking for Leases named %s in other namespaces: %w", g.name, err)
	}
	found := ""
	for i := range leases.Items {
		if l := &leases.Items[i]; l.Namespace != g.namespace && live(l, now) {
			found = fmt.Sprintf("Lease %s/%s is held by %q", l.Namespace, l.Name, *l.Spec.HolderIdentity)
			break
		}
	}
	if old := g.other.Swap(&found); old == nil || *old != found {
		switch {
		case found != "":
			log.FromContext(ctx).Info("not acting: another provisioner is alive", "reason", found)
		case old != nil:
			log.FromContext(ctx).Info("acting again: the other provisioner is gone")
		}
	}
	return nil
}

// live reports whether a Lease is held and was renewed lately enough.
func live(l *coordinationv1.Lease, now time.Time) bool {
	s := &l.Spec
	if s.HolderIdentity == nil || *s.HolderIdentity == "" || s.RenewTime == nil || s.LeaseDurationSeconds == nil {
		return false
	}
	return now.Before(s.RenewTime.Add(time.Duration(*s.LeaseDurationSeconds) * time.Second))
}

// run looks until ctx ends. A look that fails leaves what was known; the log
// says so.
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
