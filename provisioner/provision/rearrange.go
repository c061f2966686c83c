package provision

import (
	"context"
	"errors"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/stowage-sh/stowage/binpack"
	"github.com/stowage-sh/stowage/provisioner/problem"
	"github.com/stowage-sh/stowage/provisioner/state"
	v1 "github.com/stowage-sh/stowage/provisioner/v1"
)

// Where nodes go to save money, package consolidate has decided the places of all their pods
// together. They are checked and written down here as they are: another decision might cost more
// than is saved.

// decidedElsewhere reports whether the pods of a node that is on its way out get their places so. Once
// its NodeClaim is deleted it goes whatever comes, and they are planned for like any others.
func decidedElsewhere(claim *v1.NodeClaim) bool {
	why := v1.GetCondition(claim.Status.Conditions, v1.ConditionDisruptionReason)
	return claim.DeletionTimestamp == nil && v1.IsTrue(claim.Status.Conditions, v1.ConditionDisruptionReason) && why.Reason == string(v1.ReasonUnderutilized)
}

// Input is what a decision depends on, without pods. It may be called by any number of goroutines.
func (c *Controller) Input(ctx context.Context, now time.Time, s *state.Snapshot) *problem.Input {
	return c.input(ctx, now, s, nil)
}

// Refused says which of the pods that move would not get to where they are to go, and why: the
// machine takes none any more, the limits or what is paid already leave no room for it, or kube-scheduler's own
// plugins refuse the pod. It changes nothing,
// and may be called by any number of goroutines.
func (c *Controller) Refused(ctx context.Context, now time.Time, s *state.Snapshot, moves *problem.Moves) (map[types.UID]string, error) {
	in := c.input(ctx, now, s, moves.Pods())
	if len(in.Pods) == 0 {
		return nil, nil
	}
	in.Leaving, in.Full = map[string]bool{}, true
	for _, claim := range moves.Leaving {
		in.Leaving[claim.Name] = true
	}
	t := problem.Build(in)
	launches, placements, lost := t.Arrange(moves)
	stuck := map[types.UID]string{}
	for _, o := range lost {
		for _, p := range o.Pods {
			stuck[p.UID] = "its place, " + o.String() + ", takes no pods any more"
		}
	}
	overLimits(t, launches, stuck)
	for _, l := range t.Uncovered(launches, in.Leaving) {
		for _, p := range l.Pods {
			stuck[p.UID] = "not enough is left of commitment " + l.Rows[0].Commitment.Name + " for a new node"
		}
	}
	strays(t, launches, stuck)
	return stuck, refused(ctx, t, launches, placements, stuck)
}

// overLimits says of the pods whose new nodes the limits of their NodePools do not allow any more: others may
// have taken what was left.
func overLimits(t *problem.Translation, launches []problem.Launch, stuck map[types.UID]string) {
	left := make([]binpack.Pool, len(t.Problem.Pools))
	for i, pool := range t.Problem.Pools {
		left[i] = binpack.Pool{Left: slices.Clone(pool.Left), NodesLeft: pool.NodesLeft}
	}
	for i := range launches {
		at := rowOf(t, &launches[i])
		if at < 0 {
			continue // it is not to be had at all; see sitesOf
		}
		offer := &t.Problem.Offers[at]
		charge, pool := offer.Charged(), &left[offer.Pool]
		fits := pool.NodesLeft == binpack.Unlimited || pool.NodesLeft > 0
		for r, q := range pool.Left {
			fits = fits && (q == binpack.Unlimited || charge[r] <= q)
		}
		if !fits {
			for _, p := range launches[i].Pods {
				stuck[p.UID] = "the limits of NodePool " + launches[i].Rows[0].Pool.Name + " leave no room for a new node"
			}
			continue
		}
		if pool.NodesLeft != binpack.Unlimited {
			pool.NodesLeft--
		}
		for r, q := range pool.Left {
			if q != binpack.Unlimited {
				pool.Left[r] -= charge[r]
			}
		}
	}
}

// rowOf is the row of t that a launch was decided on; -1 if there is none any more.
func rowOf(t *problem.Translation, l *problem.Launch) int {
	decided := l.Rows[0]
	return slices.IndexFunc(t.Rows, func(r problem.Row) bool { return r.Offering == decided.Offering && r.Pool.Name == decided.Pool.Name })
}

// Carry buys what is to be bought and notes the places of the pods. A machine that cannot be written down
// does not stop the others; its pods have no place then. It may be called by any number of goroutines.
func (c *Controller) Carry(ctx context.Context, now time.Time, moves *problem.Moves) error {
	c.name(moves.Launches)
	var failed []error
	for _, l := range moves.Launches {
		failed = append(failed, c.createOne(ctx, now, l))
	}
	plans := map[types.UID]state.Plan{}
	for _, o := range moves.Onto {
		for _, p := range o.Pods {
			plans[p.UID] = planned(now, p, state.Plan{NodeClaim: o.NodeClaim, Node: o.Node})
		}
	}
	c.Cluster.SetPlans(plans)
	return errors.Join(failed...)
}
