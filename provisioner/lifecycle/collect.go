package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/go-logr/logr"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	"github.com/stowage-sh/stowage/cloudprovider"
	"github.com/stowage-sh/stowage/provisioner/state"
	v1 "github.com/stowage-sh/stowage/provisioner/v1"
)

// A Collector finds what was lost: machines that no NodeClaim stands for,
// NodeClaims whose machine is gone, nodes that are held for neither, and reservations that
// have ended. Step is to be called by one goroutine.
type Collector struct {
	// Cluster to read from; Write must record into it.
	Cluster *state.Cluster
	Write   state.Writer
	Cloud   cloudprovider.Provider
	// Instances is what the cloud has, shared with the Controller.
	Instances *Roster
	Metrics   *Metrics

	// Interval between looks; 0 means two minutes.
	Interval time.Duration
	// EarlyInterval is the one of the first looks after a start, since that is
	// when most was lost; 0 means ten seconds.
	EarlyInterval time.Duration
	// MinAge is how old a machine must be to count as lost; 0 means thirty seconds.
	MinAge time.Duration
	// Missing is how long a machine must have been missing, from one List to a
	// later one, to count as gone: a cloud may not list for a moment what it just
	// made. 0 means a minute.
	Missing time.Duration

	steps   int
	missing map[types.UID]time.Time // claims whose machine is missing, and since when
}

// earlySteps is how many looks are at EarlyInterval.
const earlySteps = 20

// Step looks once, and returns when to look again. What it could not do is in the
// error, and is done by a later step.
func (c *Collector) Step(ctx context.Context, now time.Time) (again time.Duration, err error) {
	again = orDefault(c.Interval, 2*time.Minute)
	if c.steps++; c.steps <= earlySteps {
		again = min(again, orDefault(c.EarlyInterval, 10*time.Second))
	}
	l, err := c.Instances.list(ctx, now, time.Second)
	if err != nil {
		return again, err
	}
	// The snapshot is taken after the List: a machine that is listed was launched
	// for a claim that was there before it.
	s := c.Cluster.Snapshot()
	err = errors.Join(c.collectMachines(ctx, now, s, l), c.collectClaims(ctx, now, s, l), c.collectNodes(ctx, s, l), c.demote(ctx, now, s, l))
	if len(c.missing) > 0 {
		again = min(again, orDefault(c.Missing, time.Minute))
	}
	return again, err
}

// collectMachines terminates machines that no claim stands for, with the nodes
// that they became.
func (c *Collector) collectMachines(ctx context.Context, now time.Time, s *state.Snapshot, l *listing) error {
	byUID, byID, waits := map[string]*v1.NodeClaim{}, providerIDs(s), map[string]bool{}
	for _, claim := range s.NodeClaims.All() {
		byUID[string(claim.UID)] = claim
		if claim.Status.ProviderID == "" && claim.DeletionTimestamp == nil {
			waits[v1.LaunchGroupOf(claim).ID] = true
		}
	}
	var failed []error
	for _, instance := range l.instances {
		if instance.State == cloudprovider.Terminated || instance.State == cloudprovider.Stopping || byID[instance.ProviderID] {
			continue
		}
		// The claim that it was launched for may not have written it down yet. One
		// that wrote down another machine has lost this one.
		if claim, ok := byUID[instance.Tags[TagClaimUID]]; ok && claim.Status.ProviderID == "" {
			continue
		}
		// Of those that were launched for a group, each may be of any claim of it that waits.
		if group := launchGroupOf(instance); group != "" && waits[group] {
			continue
		}
		if now.Sub(instance.Launched) < orDefault(c.MinAge, 30*time.Second) || awaited(s, instance) {
			continue
		}
		logr.FromContextOrDiscard(ctx).Info("terminating an instance that no NodeClaim stands for", "provider-id", instance.ProviderID, "nodeclaim", instance.Claim)
		failed = append(failed, c.collectMachine(ctx, s, instance))
	}
	return errors.Join(failed...)
}

func (c *Collector) collectMachine(ctx context.Context, s *state.Snapshot, instance cloudprovider.Instance) error {
	if err := c.Cloud.Terminate(ctx, instance.ID); err != nil {
		return fmt.Errorf("terminating instance %s, which has no NodeClaim: %w", instance.ID, err)
	}
	for _, node := range s.Nodes.All() {
		if node.Spec.ProviderID != instance.ProviderID || node.DeletionTimestamp != nil {
			continue
		}
		if err := c.Write.Delete(ctx, node); client.IgnoreNotFound(err) != nil {
			return fmt.Errorf("deleting node %s of instance %s, which has no NodeClaim: %w", node.Name, instance.ID, err)
		}
	}
	return nil
}

// collectClaims deletes claims whose machine is gone for good: the cloud did not
// list it for a while, and kubelet is silent.
func (c *Collector) collectClaims(ctx context.Context, now time.Time, s *state.Snapshot, l *listing) error {
	missing := map[types.UID]time.Time{}
	var failed []error
	for _, claim := range s.NodeClaims.All() {
		if claim.DeletionTimestamp != nil || claim.Status.ProviderID == "" {
			continue
		}
		if _, there := l.find(claim.Status.ProviderID); there {
			continue
		}
		if node, ok := s.NodeOf(claim); ok && NodeReady(node) {
			continue
		}
		since, ok := c.missing[claim.UID]
		if !ok {
			since = now
		}
		missing[claim.UID] = since
		if now.Sub(since) < orDefault(c.Missing, time.Minute) {
			continue
		}
		logr.FromContextOrDiscard(ctx).Info("deleting a NodeClaim whose instance is gone",
			"NodeClaim", klogRef(claim), "provider-id", claim.Status.ProviderID)
		if err := c.Write.Delete(ctx, claim); client.IgnoreNotFound(err) != nil {
			failed = append(failed, fmt.Errorf("deleting NodeClaim %s, whose machine is gone: %w", claim.Name, err))
			continue
		}
		c.Metrics.disrupted(s, claim, "garbage_collected")
	}
	c.missing = missing
	return errors.Join(failed...)
}

// collectNodes lets go of nodes that are being deleted, carry our finalizer, and
// have neither a claim nor a machine any more.
func (c *Collector) collectNodes(ctx context.Context, s *state.Snapshot, l *listing) error {
	var failed []error
	for _, node := range s.Nodes.All() {
		if node.DeletionTimestamp == nil || !controllerutil.ContainsFinalizer(node, v1.FinalizerTermination) {
			continue
		}
		_, claimed := s.ClaimOf(node)
		if _, there := l.find(node.Spec.ProviderID); claimed || there {
			continue
		}
		if err := releaseNode(ctx, c.Write, node.DeepCopy()); !apierrors.IsConflict(err) {
			failed = append(failed, err)
		}
	}
	return errors.Join(failed...)
}
