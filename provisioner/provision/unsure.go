package provision

import (
	"context"
	"sync"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/stowage-sh/stowage/provisioner/state"
	v1 "github.com/stowage-sh/stowage/provisioner/v1"
)

// unsure holds NodeClaims whose creation ended without an answer, with the time:
// each may exist. It is taken to exist, without a UID, until the watch tells of
// it; else another would be bought for the same pods. The zero value is empty.
type unsure struct {
	mu     sync.Mutex // creations end at the same time
	drafts map[string]draft
}

type draft struct {
	claim *v1.NodeClaim
	at    time.Time
}

// write creates a claim. One of which no answer tells whether it is there counts as
// made.
func (c *Controller) write(ctx context.Context, now time.Time, claim *v1.NodeClaim) error {
	draft := claim.DeepCopy()
	unsure, err := state.CreateNamed(ctx, c.Write, claim)
	if err == nil || !unsure {
		return err
	}
	log.FromContext(ctx).Error(err, "creating a NodeClaim, which may be there", "NodeClaim", claim.Name)
	c.unsure.add(c.Cluster, now, draft)
	return nil
}

func (u *unsure) add(c *state.Cluster, now time.Time, claim *v1.NodeClaim) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.drafts == nil {
		u.drafts = map[string]draft{}
	}
	u.drafts[claim.Name] = draft{claim, now}
	c.Observe(claim)
}

// settle forgets those that the watch has told of since, and gives up those that
// it should have told of by now.
func (u *unsure) settle(c *state.Cluster, now time.Time, wait time.Duration) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if len(u.drafts) == 0 {
		return
	}
	claims := c.Snapshot().NodeClaims
	for name, d := range u.drafts {
		claim, ok := claims.Get(name)
		switch {
		case !ok || claim.UID != "":
			delete(u.drafts, name)
		case now.Sub(d.at) >= wait:
			delete(u.drafts, name)
			c.Forget(d.claim)
		}
	}
}
