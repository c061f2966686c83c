package main

import (
	"context"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/stowage-sh/stowage/cloudprovider"
	"github.com/stowage-sh/stowage/cloudprovider/aws"
	"github.com/stowage-sh/stowage/provisioner/nodepool"
	"github.com/stowage-sh/stowage/provisioner/repair"
	"github.com/stowage-sh/stowage/provisioner/static"
	v1 "github.com/stowage-sh/stowage/provisioner/v1"
)

// Those of Karpenter's feature gates that change anything.
const (
	gateNodeOverlay    = "NodeOverlay"
	gateCapacityBuffer = "CapacityBuffer"
	gateStaticCapacity = "StaticCapacity"
	gateNodeRepair     = "NodeRepair"
	gateReserved       = "ReservedCapacity"
)

// gatesRead are all of them.
var gatesRead = []string{gateNodeOverlay, gateCapacityBuffer, gateStaticCapacity, gateNodeRepair, gateReserved}

// staticPools keeps the replicas of static NodePools, unless the gate is off.
func (w *wiring) staticPools(ctx context.Context) error {
	if !w.settings.gate(gateStaticCapacity, true) {
		log.FromContext(ctx).Info("static NodePools are left alone: the feature gate " + gateStaticCapacity + " is off")
		return nil
	}
	c := &static.Controller{
		Cluster: w.cluster, Write: w.write, Events: w.events, Metrics: w.instruments.static, NewName: newClaimName, Parallel: 10,
	}
	keys := func(obj client.Object) []string { return nodepool.Concerned(w.cluster, obj) }
	return w.add("static", poolWorkers, c.Reconcile, w.feed.source(keys, 100*time.Millisecond, &v1.NodePoolList{}))
}

// nodeRepair replaces nodes that are broken, if the gate is on: it does not ask
// anybody, and a cluster should know that it does.
func (w *wiring) nodeRepair(ctx context.Context) error {
	if !w.settings.gate(gateNodeRepair, false) {
		return nil
	}
	log.FromContext(ctx).Info("nodes that are unhealthy for long are replaced by force: the feature gate " + gateNodeRepair + " is on")
	const name = "node.health"
	c := &repair.Controller{
		Cluster: w.cluster, Write: w.write, Events: w.events, Metrics: w.instruments.repair, Policies: w.settings.repairPolicies,
	}
	keys := func(obj client.Object) []string {
		if c.Concerns(obj) {
			return []string{"cluster"}
		}
		return nil
	}
	return w.add(name, 1, singleton(c.Step), once(), w.feed.source(keys, time.Second))
}

// repairPolicies are the cloud's, with no more patience than the user has.
func (s *settings) repairPolicies() []cloudprovider.RepairPolicy {
	policies := aws.RepairPolicies()
	for i := range policies {
		policies[i].Toleration = min(policies[i].Toleration, s.repairToleration)
	}
	return policies
}
