package disrupt

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "github.com/stowage-sh/stowage/provisioner/v1"
)

// A pod whose node goes ends, and the one that comes after it is kube-scheduler's to place, in a moment:
// it takes the emptiest node, and that is one which is to go next. So the nodes of commands that
// are yet to come are marked with a taint that kube-scheduler minds while there is another place.
// It keeps nobody out.

// marksAtOnce is how many nodes are marked, or not marked any more, in one step.
const marksAtOnce = 50

// shun keeps the marks.
func (c *Controller) shun(ctx context.Context, v *view) error {
	leaving := c.outlook.leaving()
	var failed []error
	for _, claim := range v.NodeClaims.All() {
		node, ok := v.NodeOf(claim)
		if !ok || claim.DeletionTimestamp != nil || chosen(claim) || slices.ContainsFunc(node.Spec.Taints, isMark) == leaving[claim.UID] {
			continue
		}
		if len(failed) == marksAtOnce {
			c.soon = min(c.soon, time.Second)
			break
		}
		failed = append(failed, c.note(ctx, node, leaving[claim.UID]))
	}
	return errors.Join(failed...)
}

// note marks a node, or takes the mark off.
func (c *Controller) note(ctx context.Context, node *corev1.Node, leaving bool) error {
	before := node
	node = node.DeepCopy()
	if node.Spec.Taints = slices.DeleteFunc(node.Spec.Taints, isMark); leaving {
		node.Spec.Taints = append(node.Spec.Taints, v1.LeavingTaint())
	}
	err := c.Write.Patch(ctx, node, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{}))
	if err != nil && !lost(err) {
		return fmt.Errorf("marking node %s: %w", node.Name, err)
	}
	return nil
}

// Withdraw takes all marks off: this process goes.
func (c *Controller) Withdraw(ctx context.Context) error {
	var failed []error
	for _, node := range c.Cluster.Snapshot().Nodes.All() {
		if slices.ContainsFunc(node.Spec.Taints, isMark) {
			failed = append(failed, c.note(ctx, node, false))
		}
	}
	return errors.Join(failed...)
}

func isMark(t corev1.Taint) bool {
	own := v1.LeavingTaint()
	return t.MatchTaint(&own)
}
