package lifecycle

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stowage-sh/stowage/provisioner/state"
	v1 "github.com/stowage-sh/stowage/provisioner/v1"
)

// A Tagger has the machines of NodeClaims that were launched together tagged with their NodeClaims: a machine of a group
// is bought before it is known whose it will be. The tag is for people, and for Karpenter; and a copy of a NodeClaim does
// not get the machine of the first after a restart. Step is to be called by one goroutine.
type Tagger struct {
	// Cluster to read from.
	Cluster *state.Cluster
	// Instances is what the cloud has. It is asked once, for what an earlier process has tagged.
	Instances *Roster
	// Tag tags one of the cloud's instances, by its own ID, with the name of a NodeClaim.
	Tag func(ctx context.Context, instance, claim string) error

	looked bool
	tagged map[types.UID]bool // NodeClaims whose machine is
	failed map[types.UID]int  // how often it could not be
	next   time.Time          // when the cloud may be asked again
	pause  time.Duration      // since the last success
}

const (
	// tagEvery is the time between two tags: a cloud takes few such calls.
	tagEvery = time.Second
	// tagSlowest is the longest time between two that fail.
	tagSlowest = 5 * time.Minute
	// tagIdle is when to look again if nothing changes.
	tagIdle = 10 * time.Minute
)

// Tagged reports whether a change of an object may be one after which its machine is to be tagged.
func Tagged(obj client.Object) bool {
	claim, ok := obj.(*v1.NodeClaim)
	return ok && claim.Status.ProviderID != "" && v1.LaunchGroupOf(claim).Size > 0
}

// Step tags one machine at the most, and returns when to look again.
func (t *Tagger) Step(ctx context.Context, now time.Time) (again time.Duration, err error) {
	if now.Before(t.next) {
		return t.next.Sub(now), nil
	}
	left := t.left()
	if len(left) == 0 {
		return tagIdle, nil
	}
	if !t.looked {
		if err := t.look(ctx, now, left); err != nil {
			return 0, err
		}
		return tagEvery, nil
	}
	claim := left[0]
	if err := t.Tag(ctx, InstanceID(claim.Status.ProviderID), claim.Name); err != nil {
		t.failed[claim.UID]++
		t.pause = min(max(2*t.pause, tagEvery), tagSlowest)
		t.next = now.Add(t.pause)
		return t.pause, fmt.Errorf("tagging the machine of NodeClaim %s: %w", claim.Name, err)
	}
	t.tagged[claim.UID], t.pause = true, 0
	t.next = now.Add(tagEvery)
	return tagEvery, nil
}

// look learns what an earlier process has tagged.
func (t *Tagger) look(ctx context.Context, now time.Time, claims []*v1.NodeClaim) error {
	l, err := t.Instances.list(ctx, now, time.Minute)
	if err != nil {
		return err
	}
	for _, claim := range claims {
		i, there := l.find(claim.Status.ProviderID)
		t.tagged[claim.UID] = there && i.Claim == claim.Name
	}
	t.looked = true
	return nil
}

// left lists the NodeClaims whose machines are to be tagged yet, those first that failed least. Those
// that are gone are forgotten.
func (t *Tagger) left() (left []*v1.NodeClaim) {
	tagged, failed := map[types.UID]bool{}, map[types.UID]int{}
	for _, claim := range t.Cluster.Snapshot().NodeClaims.All() {
		if !Tagged(claim) || claim.DeletionTimestamp != nil {
			continue
		}
		if tagged[claim.UID] = t.tagged[claim.UID]; !tagged[claim.UID] {
			failed[claim.UID] = t.failed[claim.UID]
			left = append(left, claim)
		}
	}
	t.tagged, t.failed = tagged, failed
	slices.SortStableFunc(left, func(a, b *v1.NodeClaim) int {
		return cmp.Or(cmp.Compare(failed[a.UID], failed[b.UID]), cmp.Compare(a.Name, b.Name))
	})
	return left
}
