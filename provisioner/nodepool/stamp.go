package nodepool

import (
	"context"
	"fmt"

	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "github.com/stowage-sh/stowage/provisioner/v1"
)

// stamp writes the pool's hash on the pool, and on those of its claims whose hash
// is of another version, Karpenter's for one: hashes of two versions cannot be
// compared, and taking a cluster over must not drift its nodes. A claim that has
// drifted, or is about to by the hashes that are there, stays so: it gets the version
// alone, and its old hash is none of ours.
func (c *Controller) stamp(ctx context.Context, pool *v1.NodePool, claims []*v1.NodeClaim) error {
	hash := pool.Hash()
	for _, claim := range claims {
		if claim.DeletionTimestamp != nil || claim.Annotations[v1.AnnotationNodePoolHashVersion] == v1.NodePoolHashVersion {
			continue
		}
		add := map[string]string{v1.AnnotationNodePoolHashVersion: v1.NodePoolHashVersion}
		if v1.GetCondition(claim.Status.Conditions, v1.ConditionDrifted) == nil && !differ(claim.Annotations, pool.Annotations) {
			add[v1.AnnotationNodePoolHash] = hash
		}
		if err := c.annotate(ctx, claim.DeepCopy(), add); client.IgnoreNotFound(err) != nil {
			return fmt.Errorf("stamping NodeClaim %s: %w", claim.Name, err)
		}
	}
	err := c.annotate(ctx, pool, map[string]string{
		v1.AnnotationNodePoolHash: hash, v1.AnnotationNodePoolHashVersion: v1.NodePoolHashVersion,
	})
	if err != nil {
		return fmt.Errorf("stamping NodePool %s: %w", pool.Name, err)
	}
	return nil
}

// differ reports whether the annotations of two objects hold different hashes of
// one version, whatever version that is.
func differ(a, b map[string]string) bool {
	was, is := a[v1.AnnotationNodePoolHash], b[v1.AnnotationNodePoolHash]
	return was != "" && is != "" && was != is && a[v1.AnnotationNodePoolHashVersion] == b[v1.AnnotationNodePoolHashVersion]
}
