package lifecycle

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/stowage-sh/stowage/cloudprovider"
	"github.com/stowage-sh/stowage/provisioner/state"
	v1 "github.com/stowage-sh/stowage/provisioner/v1"
)

// Whoever made a NodeClaim may have bought its machine and ended before it wrote
// that down: Karpenter, when Stowage takes over from it. Its launches have no
// token that we could repeat, and nothing on the machine says which NodeClaim it is
// for, since Karpenter adds that only when the node has joined. But its NodePool and
// NodeClass are on it, and of the machines that a NodeClaim could have been given,
// one is as good as another. So before a machine is bought for such a NodeClaim,
// one is looked for that nobody has; and while the NodeClaim waits for its launch,
// such machines are not collected.

// strays remembers which machines were given to which NodeClaim, by provider ID:
// two that are launched at the same time must not get one machine.
type strays struct {
	mu    sync.Mutex
	given map[string]string // to the NodeClaim's UID
}

// give reports whether the machine may be the NodeClaim's.
func (s *strays) give(providerID, uid string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.given == nil {
		s.given = map[string]string{}
	}
	if owner, ok := s.given[providerID]; ok {
		return owner == uid
	}
	s.given[providerID] = uid
	return true
}

// adopt finds the machine that another controller may have bought for a claim
// that it made, oldest first.
func (c *Controller) adopt(ctx context.Context, now time.Time, claim *v1.NodeClaim, catalog *cloudprovider.Catalog) (i cloudprovider.Instance, found bool, err error) {
	if !madeByOthers(claim) {
		return i, false, nil
	}
	l, err := c.Instances.list(ctx, now, time.Second)
	if err != nil {
		return i, false, fmt.Errorf("looking for a machine that was bought already: %w", err)
	}
	taken, known := providerIDs(c.Cluster.Snapshot()), knownLabels(catalog)
	fits := func(i cloudprovider.Instance) bool {
		t, ok := catalog.InstanceType(i.Offering.InstanceType)
		return ok && meets(claim.Spec.Requirements, offeringLabels(catalog, i.Offering), known) && holds(t.Allocatable, claim.Spec.Resources.Requests)
	}
	left := slices.DeleteFunc(slices.Clone(l.instances), func(i cloudprovider.Instance) bool {
		return taken[i.ProviderID] || !mayBeFor(claim, i) || !fits(i)
	})
	slices.SortFunc(left, func(a, b cloudprovider.Instance) int {
		return cmp.Or(a.Launched.Compare(b.Launched), cmp.Compare(a.ID, b.ID))
	})
	for _, i := range left {
		if c.strays.give(i.ProviderID, string(claim.UID)) {
			return i, true, nil
		}
	}
	return i, false, nil
}

// madeByOthers reports whether the claim carries no decision of ours.
func madeByOthers(claim *v1.NodeClaim) bool {
	_, decided := claim.Annotations[v1.AnnotationOfferings]
	return !decided
}

// clockSkew is how far the clocks of the cloud and the API server may be apart.
const clockSkew = time.Minute

// mayBeFor reports whether a machine that nobody has may have been bought by
// another controller for a claim of its own.
func mayBeFor(claim *v1.NodeClaim, i cloudprovider.Instance) bool {
	alive := i.State == cloudprovider.Pending || i.State == cloudprovider.Running
	_, ours := i.Tags[TagClaimUID]
	ours = ours || launchGroupOf(i) != ""
	return madeByOthers(claim) && claim.Status.ProviderID == "" && claim.DeletionTimestamp == nil &&
		alive && !ours && i.Claim == "" && i.NodePool == claim.Labels[v1.LabelNodePool] && i.Class == claim.Spec.NodeClassRef.Name &&
		i.Launched.Add(clockSkew).After(claim.CreationTimestamp.Time)
}

// awaited reports whether a claim waits for its launch that a machine may have
// been bought for.
func awaited(s *state.Snapshot, i cloudprovider.Instance) bool {
	return slices.ContainsFunc(s.NodeClaims.All(), func(claim *v1.NodeClaim) bool { return mayBeFor(claim, i) })
}

// providerIDs returns those of all claims.
func providerIDs(s *state.Snapshot) map[string]bool {
	ids := map[string]bool{}
	for _, claim := range s.NodeClaims.All() {
		ids[claim.Status.ProviderID] = true
	}
	return ids
}
