package disrupt

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/stowage-sh/stowage/provisioner/nodepool"
	v1 "github.com/stowage-sh/stowage/provisioner/v1"
)

// chooseDrifted takes nodes that drifted: of each NodePool as many as its budget and its wave
// allow, the empty ones first, then those that drifted first. NodePools do not wait for one
// another. A node is taken only if all its pods would find another place.
func (c *Controller) chooseDrifted(ctx context.Context, v *view, candidates []candidate, allowed *permits, said verdicts) error {
	underWay := map[string]int{} // that wait for replacements; a drain takes its own time
	for _, claim := range v.NodeClaims.All() {
		if chosenFor(claim) == string(v1.ReasonDrifted) && claim.DeletionTimestamp == nil {
			underWay[claim.Labels[v1.LabelNodePool]]++
		}
	}
	var picks []candidate
	eligible := 0
	for _, n := range c.inTurn(v, candidates) {
		why := v.notDrifted(n)
		if why.code == "" {
			eligible++
			why = c.wait(v, n, underWay, allowed)
		}
		if _, bounded := n.claim.Spec.TerminationGracePeriod.Get(); why.code == "" && !bounded {
			why = v.kept(n)
		}
		if why.code == "" {
			why = allowed.take(n.pool, v1.ReasonDrifted)
		}
		if why.code != "" {
			said[n.claim.UID] = verdict{why, v1.ReasonDrifted}
			continue
		}
		underWay[n.pool.Name]++
		picks = append(picks, n)
	}
	c.Metrics.eligible(v1.ReasonDrifted, eligible)
	picks, err := c.placeable(ctx, v, picks, said)
	failed := []error{err}
	for _, n := range picks {
		drift := v1.GetCondition(n.claim.Status.Conditions, v1.ConditionDrifted)
		if err := c.take(ctx, v.now, n, string(v1.ReasonDrifted), cmp.Or(drift.Message, drift.Reason)); err != nil {
			c.unsure[n.claim.UID] = v.now
			failed = append(failed, err)
			continue
		}
		c.soon = min(c.soon, c.settle())
	}
	return errors.Join(failed...)
}

// inTurn returns the candidates that drifted, in the order in which they come.
func (c *Controller) inTurn(v *view, candidates []candidate) []candidate {
	drifted := slices.DeleteFunc(slices.Clone(candidates), func(n candidate) bool {
		_, unsure := c.unsure[n.claim.UID]
		return unsure || !v1.IsTrue(n.claim.Status.Conditions, v1.ConditionDrifted)
	})
	last := func(n candidate) int64 { // its replacement failed, or there is no place for its pods: who waited longest is next
		if aside, ok := c.setAside[n.claim.UID]; ok {
			return aside.until.Unix()
		}
		return 0
	}
	since := func(n candidate) time.Time {
		return v1.GetCondition(n.claim.Status.Conditions, v1.ConditionDrifted).LastTransitionTime.Time
	}
	slices.SortStableFunc(drifted, func(a, b candidate) int {
		return cmp.Or(cmp.Compare(last(a), last(b)), cmp.Compare(min(1, len(a.movable)), min(1, len(b.movable))), since(a).Compare(since(b)))
	})
	return drifted
}

// notDrifted says why a node that drifted is not to be replaced now, as far as its pods have no
// say: they are asked last, which takes the longest, and not where a terminationGracePeriod bounds
// how long they may stay.
func (v *view) notDrifted(n candidate) block {
	switch {
	case v.shielded(n).code != "":
		return v.shielded(n)
	case v.awaited(n).code != "":
		return v.awaited(n)
	case v.isNew(n.claim):
		return block{tooSoon, "the node is new"}
	}
	return block{}
}

// wait says what a node that drifted has to wait for.
func (c *Controller) wait(v *view, n candidate, underWay map[string]int, allowed *permits) block {
	w := c.wave(n.pool.Name)
	aside := c.setAside[n.claim.UID]
	limit, limited := n.pool.Spec.Limits["nodes"]
	switch {
	case v.now.Before(aside.until):
		return aside.why
	case n.pool.Spec.Replicas != nil && limited && int64(len(nodepool.Claims(v.Snapshot, n.pool)))+int64(underWay[n.pool.Name]) >= limit.Value():
		return block{noPlace, "the NodePool's limit on nodes leaves no room for its replacement"}
	case v.now.Before(w.until):
		return block{backOff, fmt.Sprintf("replacements failed; the next is tried after %s", w.until.UTC().Format(time.RFC3339))}
	case w.left(v.now, underWay[n.pool.Name]) == 0:
		return block{inTurn, "other nodes of the NodePool are replaced first"}
	case allowed.left(n.pool, v1.ReasonDrifted) <= 0:
		return allowed.take(n.pool, v1.ReasonDrifted) // which says why not
	}
	return block{}
}

// stuckFor is how long a node of which a pod would find no other place is not looked at again.
const stuckFor = 5 * time.Minute

// placeable returns the picks whose pods would all find another place. Where nobody's would,
// half as many may: they are in each other's way.
func (c *Controller) placeable(ctx context.Context, v *view, picks []candidate, said verdicts) ([]candidate, error) {
	for len(picks) > 0 && c.Foresee != nil {
		var claims []*v1.NodeClaim
		for _, n := range picks {
			if n.pool.Spec.Replicas == nil { // else another like it is made first
				claims = append(claims, n.claim)
			}
		}
		stuck, err := c.Foresee(ctx, v.now, v.Snapshot, claims)
		if err != nil {
			return nil, fmt.Errorf("looking for other places for the pods of %d nodes: %w", len(picks), err)
		}
		fine := slices.DeleteFunc(slices.Clone(picks), func(n candidate) bool {
			why := stuckOn(n, stuck)
			if why != "" {
				said[n.claim.UID] = verdict{block{noPlace, why}, v1.ReasonDrifted}
				c.putAside(v.now, n.claim, stuckFor, block{noPlace, why})
			}
			return why != ""
		})
		if len(fine) > 0 || len(picks) == 1 {
			return fine, nil
		}
		picks = picks[:len(picks)/2]
	}
	return picks, nil
}

// stuckOn says which pod of a node would find no place, and why.
func stuckOn(n candidate, stuck map[types.UID]string) string {
	for _, pod := range n.movable {
		if why, ok := stuck[pod.UID]; ok {
			return fmt.Sprintf("pod %s/%s would find no other place: %s", pod.Namespace, pod.Name, why)
		}
	}
	return ""
}
