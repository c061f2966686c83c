package lifecycle

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/stowage-sh/stowage/cloudprovider"
)

// A Roster is what the cloud last said it has. Many NodeClaims ask at once while
// they wait for their machines to go; they share one List. No lock is held while
// the cloud is asked.
type Roster struct {
	// Cloud to ask.
	Cloud cloudprovider.Provider

	mu      sync.Mutex
	last    *listing // the youngest that succeeded
	pending *listing // the youngest that is being asked for; nil if none is
}

// A listing is one answer of the cloud. Its fields are set before done closes,
// and never again.
type listing struct {
	at        time.Time // when it was asked for
	instances []cloudprovider.Instance
	byID      map[string]int // provider ID → index of instances
	err       error
	done      chan struct{}
}

// list returns an answer that was asked for no longer than maxAge before now. It
// shares one that is under way if that began late enough, and else asks for
// another beside it: what happened since is not in the older one.
func (r *Roster) list(ctx context.Context, now time.Time, maxAge time.Duration) (*listing, error) {
	r.mu.Lock()
	if r.last != nil && now.Sub(r.last.at) <= maxAge {
		defer r.mu.Unlock()
		return r.last, nil
	}
	l := r.pending
	if l == nil || now.Sub(l.at) > maxAge {
		l = &listing{at: now, done: make(chan struct{})}
		r.pending = l
		r.mu.Unlock()
		r.fetch(ctx, l)
	} else {
		r.mu.Unlock()
	}
	select {
	case <-l.done:
		return l, l.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Finder returns what finds the cluster's instances by their provider IDs, as the
// cloud had them no longer than maxAge before now; a terminated one counts as gone.
func (r *Roster) Finder(ctx context.Context, now time.Time, maxAge time.Duration) (find func(providerID string) (cloudprovider.Instance, bool), err error) {
	l, err := r.list(ctx, now, maxAge)
	if err != nil {
		return nil, err
	}
	return l.find, nil
}

func (r *Roster) fetch(ctx context.Context, l *listing) {
	l.instances, l.err = r.Cloud.List(ctx)
	if l.err != nil {
		l.err = fmt.Errorf("listing instances: %w", l.err)
	}
	l.byID = map[string]int{}
	for i, instance := range l.instances {
		l.byID[instance.ProviderID] = i
	}
	r.mu.Lock()
	if r.pending == l { // and not a younger one that was begun meanwhile
		r.pending = nil
	}
	if l.err == nil && (r.last == nil || !l.at.Before(r.last.at)) {
		r.last = l
	}
	r.mu.Unlock()
	close(l.done)
}

// find returns the instance of a provider ID; a terminated one counts as gone.
func (l *listing) find(providerID string) (cloudprovider.Instance, bool) {
	i, ok := l.byID[providerID]
	if !ok || l.instances[i].State == cloudprovider.Terminated {
		return cloudprovider.Instance{}, false
	}
	return l.instances[i], true
}

// launchedFor returns the instance that was launched for a NodeClaim's UID.
func (l *listing) launchedFor(uid string) (cloudprovider.Instance, bool) {
	for _, instance := range l.instances {
		if instance.State != cloudprovider.Terminated && instance.Tags[TagClaimUID] == uid {
			return instance, true
		}
	}
	return cloudprovider.Instance{}, false
}

// TagClaimUID is the tag of an instance that holds the UID of the NodeClaim it
// was launched for: the name alone may belong to a later NodeClaim.
const TagClaimUID = "stowage.sh/nodeclaim-uid"

// TagLaunchGroup is the tag of an instance that was launched for a group of NodeClaims: the group's
// ID, and more after a slash. Which of them it is of, only the NodeClaim says, by the provider ID.
const TagLaunchGroup = "stowage.sh/launch-group"

// launchGroupOf is the ID of the group that an instance was launched for; empty if for none.
func launchGroupOf(i cloudprovider.Instance) string {
	id, _, _ := strings.Cut(i.Tags[TagLaunchGroup], "/")
	return id
}

// InstanceID is the cloud's own ID in a provider ID: the part after the last
// slash, as every cloud writes it.
func InstanceID(providerID string) string {
	return providerID[strings.LastIndexByte(providerID, '/')+1:]
}
