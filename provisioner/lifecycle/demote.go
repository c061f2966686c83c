package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/go-logr/logr"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stowage-sh/stowage/cloudprovider"
	"github.com/stowage-sh/stowage/provisioner/state"
	v1 "github.com/stowage-sh/stowage/provisioner/v1"
)

// A reservation may end while its machines run on: from then on they are on demand, and paid
// for as such.

// demote tells nodes and claims whose reservation has ended that they are on demand.
func (c *Collector) demote(ctx context.Context, now time.Time, s *state.Snapshot, l *listing) error {
	var failed []error
	for _, claim := range s.NodeClaims.All() {
		if claim.Labels[v1.LabelCapacityType] != cloudprovider.Reserved || claim.DeletionTimestamp != nil {
			continue
		}
		i, there := l.find(claim.Status.ProviderID)
		if there && i.Offering.CapacityType == cloudprovider.OnDemand && now.Sub(i.Launched) >= orDefault(c.MinAge, 30*time.Second) {
			failed = append(failed, c.demoteOne(ctx, s, claim))
		}
	}
	return errors.Join(failed...)
}

// demoteOne changes the node first: as long as the claim says that it is reserved, both are
// looked at.
func (c *Collector) demoteOne(ctx context.Context, s *state.Snapshot, claim *v1.NodeClaim) error {
	catalog, err := c.Cloud.Catalog(ctx, cloudprovider.NodeClassRef(claim.Spec.NodeClassRef))
	if err != nil {
		return fmt.Errorf("telling NodeClaim %s that its reservation has ended: %w", claim.Name, err)
	}
	both := []client.Object{claim.DeepCopy()}
	if node, ok := s.NodeOf(claim); ok {
		both = slices.Insert(both, 0, client.Object(node.DeepCopy()))
	}
	for _, obj := range both {
		before, labels := obj.DeepCopyObject().(client.Object), map[string]string{}
		maps.Copy(labels, obj.GetLabels())
		maps.DeleteFunc(labels, func(key, _ string) bool { return slices.Contains(catalog.ReservationLabels, key) })
		labels[v1.LabelCapacityType] = cloudprovider.OnDemand
		obj.SetLabels(labels)
		if err := c.Write.Patch(ctx, obj, client.MergeFrom(before)); apierrors.IsNotFound(err) {
			continue
		} else if err != nil {
			return fmt.Errorf("telling %s that its reservation has ended: %w", obj.GetName(), err)
		}
	}
	logr.FromContextOrDiscard(ctx).Info("a reservation has ended: the node is on demand", "NodeClaim", klogRef(claim), "provider-id", claim.Status.ProviderID)
	return nil
}
