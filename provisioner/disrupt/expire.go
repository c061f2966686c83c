package disrupt

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	v1 "github.com/stowage-sh/stowage/provisioner/v1"
)

// reasonExpired is why a node goes that is as old as its expireAfter allows. Budgets do not know
// it: no node becomes older.
const reasonExpired v1.DisruptionReason = "Expired"

// forewarning is how long before its end a node that expires is closed, so that its pods' other
// places are there by then; less where it lives but a short time.
const forewarning = 5 * time.Minute

// expiry is when a claim expires, and from when that is prepared.
func expiry(claim *v1.NodeClaim) (prepare, at time.Time, ok bool) {
	life, ok := claim.Spec.ExpireAfter.Get()
	if !ok {
		return time.Time{}, time.Time{}, false
	}
	at = claim.CreationTimestamp.Add(life)
	return at.Add(-min(forewarning, life/10)), at, true
}

// expire deletes the claims that are as old as they may become, whatever their pods say: the
// drain still keeps to PodDisruptionBudgets and do-not-disrupt. A while before that it chooses
// them, so that the pods' other places are bought.
func (c *Controller) expire(ctx context.Context, v *view) (failed []error) {
	for _, claim := range v.NodeClaims.All() {
		prepare, at, ok := expiry(claim)
		_, deleted := c.deleted[claim.UID]
		if !ok || deleted || claim.DeletionTimestamp != nil {
			continue
		}
		switch {
		case !v.now.Before(at):
			if err := c.remove(ctx, v, claim, reasonExpired); err != nil {
				failed = append(failed, err)
				continue
			}
			if c.deleted == nil {
				c.deleted = map[types.UID]struct{}{}
			}
			c.deleted[claim.UID] = struct{}{}
		case v.now.Before(prepare):
			c.soon = min(c.soon, prepare.Sub(v.now))
		default:
			c.soon = min(c.soon, at.Sub(v.now))
			if n, ok := v.candidate(claim); ok && chosenFor(claim) == string(reasonExpired) && !tainted(n.node) {
				failed = append(failed, c.retaint(ctx, n.node, func(taints []corev1.Taint) []corev1.Taint { return append(taints, v1.DisruptedTaint()) }))
			} else if ok && !chosen(claim) {
				failed = append(failed, c.take(ctx, v.now, n, string(reasonExpired), fmt.Sprintf("expires at %s", at.UTC().Format(time.RFC3339))))
			}
		}
	}
	return failed
}
