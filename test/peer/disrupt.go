package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/record"
	clocktesting "k8s.io/utils/clock/testing"
	peerv1 "sigs.k8s.io/karpenter/pkg/apis/v1"
	"sigs.k8s.io/karpenter/pkg/cloudprovider"
	"sigs.k8s.io/karpenter/pkg/controllers/disruption"
	"sigs.k8s.io/karpenter/pkg/controllers/provisioning"
	provisionscheduling "sigs.k8s.io/karpenter/pkg/controllers/provisioning/scheduling"
	"sigs.k8s.io/karpenter/pkg/controllers/state"
	"sigs.k8s.io/karpenter/pkg/events"
	"sigs.k8s.io/karpenter/pkg/scheduling"

	"github.com/stowage-sh/stowage/test/corpus"
)

// A disruptor is the peer's consolidation of a standing cluster: its methods, its
// validators, its state of the cluster. What its commands need of a cluster, that
// nodes come and go and pods move, happens in memory and at once.
type disruptor struct {
	ctx     context.Context
	market  *corpus.Market
	clock   skipClock
	store   *store
	cluster *state.Cluster
	queue   *disruption.Queue
	methods []disruption.Method
	cloud   cloudprovider.CloudProvider
	events  events.Recorder

	launched int // nodes, ever
	did      outcome
}

// A skipClock stands still, but who waits has waited: what the peer waits before it
// validates a command costs nothing, and its limit on a round of single nodes, which
// goes by this clock, is never reached.
type skipClock struct{ *clocktesting.FakeClock }

// After returns a channel on which the time after d has come.
func (c skipClock) After(d time.Duration) <-chan time.Time {
	due := c.FakeClock.After(d)
	c.Step(d)
	return due
}

// A timed validator adds up how long validating takes.
type timed struct {
	disruption.Validator
	spent *time.Duration
}

// Validate validates.
func (t timed) Validate(ctx context.Context, c disruption.Command, wait time.Duration) (disruption.Command, error) {
	start := time.Now()
	defer func() { *t.spent += time.Since(start) }()
	return t.Validator.Validate(ctx, c, wait)
}

// newDisruptor gives the peer the cluster s, on a market, under a consolidation policy.
// Everything may be disrupted at any time: budgets of all nodes, consolidateAfter 0s.
func newDisruptor(m *corpus.Market, s *corpus.Standing, policy peerv1.ConsolidationPolicy) (*disruptor, error) {
	p, err := newPeer(m, 0, false)
	if err != nil {
		return nil, err
	}
	pool := p.pool.DeepCopy()
	pool.Spec.Disruption = peerv1.Disruption{
		ConsolidationPolicy: policy, ConsolidateAfter: peerv1.MustParseNillableDuration("0s"), Budgets: []peerv1.Budget{{Nodes: "100%"}},
	}
	// The peer minds only NodePools whose class is its cloud provider's.
	pool.Spec.Template.Spec.NodeClassRef = &peerv1.NodeClassReference{Group: "karpenter.test.sh", Kind: "TestNodeClass", Name: "default"}
	pool.StatusConditions().SetTrue(peerv1.ConditionTypeValidationSucceeded)
	pool.StatusConditions().SetTrue(peerv1.ConditionTypeNodeClassReady)
	d := &disruptor{
		ctx: peerContext("disruption"), market: m, cloud: p.cloud, events: events.NewRecorder(&record.FakeRecorder{}),
		clock: skipClock{clocktesting.NewFakeClock(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC))},
		store: &store{pool: pool, nodes: map[string]*corev1.Node{}, pods: map[string][]*corev1.Pod{}},
	}
	for _, daemon := range m.Daemons {
		d.store.daemons = append(d.store.daemons, *daemon.DeepCopy())
	}
	d.cluster = state.NewCluster(d.clock, d.store, d.cloud)
	provisioner := provisioning.NewProvisioner(d.store, d.events, d.cloud, d.cluster, d.clock, nil)
	d.queue = disruption.NewQueue(d.store, d.events, d.cluster, d.clock, provisioner)
	c := disruption.MakeConsolidation(d.clock, d.cluster, d.store, provisioner, d.cloud, d.events, d.queue)
	validator := func(v disruption.Validator) func(*disruption.MethodOptions) {
		return disruption.WithValidator(timed{v, &d.did.checking})
	}
	d.methods = []disruption.Method{ // in the peer's order; nothing drifts
		disruption.NewEmptiness(c, validator(disruption.NewEmptinessValidator(c))),
		disruption.NewMultiNodeConsolidation(c, validator(disruption.NewMultiConsolidationValidator(c))),
		disruption.NewSingleNodeConsolidation(c, validator(disruption.NewSingleConsolidationValidator(c))),
	}
	return d, d.settle(s)
}

// settle makes the nodes and pods of s known to the peer.
func (d *disruptor) settle(s *corpus.Standing) error {
	for i := range s.Nodes {
		n := &s.Nodes[i]
		claim := &peerv1.NodeClaim{}
		// The two projects speak one API, so a NodeClaim goes over as it is written.
		text, err := json.Marshal(n.Claim)
		if err != nil {
			return fmt.Errorf("writing a NodeClaim: %w", err)
		}
		if err := json.Unmarshal(text, claim); err != nil {
			return fmt.Errorf("reading a NodeClaim: %w", err)
		}
		for _, p := range n.Pods {
			d.store.bind(p, n.Node.Name)
		}
		if err := d.join(claim, n.Node.DeepCopy()); err != nil {
			return err
		}
	}
	return nil
}

// join adds a node, which is ready for consolidation at once.
func (d *disruptor) join(claim *peerv1.NodeClaim, n *corev1.Node) error {
	claim.CreationTimestamp = metav1.NewTime(d.clock.Now())
	for _, condition := range []string{
		peerv1.ConditionTypeLaunched, peerv1.ConditionTypeRegistered, peerv1.ConditionTypeInitialized, peerv1.ConditionTypeConsolidatable,
	} {
		claim.StatusConditions().SetTrue(condition)
	}
	d.store.nodes[n.Name] = n
	d.cluster.UpdateNodeClaim(claim)
	if err := d.cluster.UpdateNode(d.ctx, n); err != nil {
		return fmt.Errorf("telling the peer of node %s: %w", n.Name, err)
	}
	for _, p := range d.store.pods[n.Name] {
		if err := d.cluster.UpdatePod(d.ctx, p); err != nil {
			return fmt.Errorf("telling the peer of pod %s: %w", p.Name, err)
		}
	}
	return nil
}

// run lets the peer consolidate until a whole round of its methods gives no command, and
// says what came of it. A round whose command its own validation refuses is tried again.
func (d *disruptor) run() (*outcome, error) {
	for idle := 0; idle < 3 && !d.atRest(); {
		commands, err := d.round()
		if err != nil {
			return nil, err
		}
		if len(commands) == 0 {
			idle++
		} else {
			idle = 0
			d.did.rounds++
		}
		for i := range commands {
			if err := d.carry(&commands[i]); err != nil {
				return nil, err
			}
		}
		d.clock.Step(10 * time.Second) // as often does the peer look, and by time it knows that something changed
		if len(commands) > 0 {
			d.cluster.MarkUnconsolidated()
		}
	}
	d.did.deciding -= d.did.checking
	var err error
	d.did.cost, err = d.cost()
	d.did.nodes = len(d.store.nodes)
	return &d.did, err
}

// atRest reports whether the peer's methods have found nothing since the cluster changed.
// Emptiness is not asked where nothing is empty, so that it does not know.
func (d *disruptor) atRest() bool {
	for _, m := range d.methods[1:] {
		if r, ok := m.(interface{ IsConsolidated() bool }); ok && !r.IsConsolidated() {
			return false
		}
	}
	return true
}

// round asks one method after the other, until one has commands.
func (d *disruptor) round() ([]disruption.Command, error) {
	for _, m := range d.methods {
		start := time.Now()
		commands, err := d.ask(m)
		took := time.Since(start)
		d.did.deciding += took
		if m.ConsolidationType() == disruption.MultiNodeConsolidationType && took >= disruption.MultiNodeConsolidationTimeoutDuration {
			d.did.stopped++
		}
		if err != nil || len(commands) > 0 {
			return commands, err
		}
	}
	return nil, nil
}

// ask asks a method for commands, as the peer's controller does.
func (d *disruptor) ask(m disruption.Method) ([]disruption.Command, error) {
	candidates, totals, err := disruption.GetCandidatesWithTotals(
		d.ctx, d.cluster, d.store, d.events, d.clock, d.cloud, m.ShouldDisrupt, m.Class(), d.queue, nil)
	if err != nil {
		return nil, fmt.Errorf("asking the peer for candidates: %w", err)
	}
	if len(candidates) == 0 {
		return nil, nil
	}
	if setter, ok := m.(disruption.NodePoolTotalsSetter); ok {
		setter.SetNodePoolTotals(totals)
	}
	budgets, err := disruption.BuildDisruptionBudgetMapping(d.ctx, d.cluster, d.clock, d.store, d.cloud, d.events, m.Reason())
	if err != nil {
		return nil, fmt.Errorf("asking the peer for budgets: %w", err)
	}
	commands, err := m.ComputeCommands(d.ctx, budgets, candidates...)
	if err != nil {
		return nil, fmt.Errorf("asking the peer for commands: %w", err)
	}
	return commands, nil
}

// carry carries a command out: replacements join, pods go where the peer's simulation
// saw them, candidates leave.
func (d *disruptor) carry(c *disruption.Command) error {
	moves := map[string][]*corev1.Pod{}
	for _, n := range c.Results.ExistingNodes {
		moves[n.Name()] = append(moves[n.Name()], n.Pods...)
	}
	for _, r := range c.Replacements {
		name, err := d.launch(r.NodeClaim)
		if err != nil {
			return err
		}
		moves[name] = r.Pods
	}
	refused, err := d.refused(c, moves)
	if err != nil {
		return err
	}
	d.did.refused += refused
	for node, pods := range moves {
		d.did.evictions += len(pods)
		for _, p := range pods {
			if err := d.cluster.UpdatePod(d.ctx, d.store.bind(p, node)); err != nil {
				return fmt.Errorf("moving pod %s: %w", p.Name, err)
			}
		}
	}
	for _, gone := range c.Candidates {
		if left := d.store.pods[gone.Name()]; len(left) > 0 {
			return fmt.Errorf("the peer deletes node %s, and has no place for %d of its pods", gone.Name(), len(left))
		}
		delete(d.store.nodes, gone.Name())
		delete(d.store.pods, gone.Name())
		d.cluster.DeleteNode(gone.Name())
		d.cluster.DeleteNodeClaim(gone.NodeClaim.Name)
	}
	d.did.commands++
	return nil
}

// launch makes the cheapest node that a claim of the peer allows, and returns its name.
func (d *disruptor) launch(c *provisionscheduling.NodeClaim) (string, error) {
	t, o := cheapest(c)
	if o == nil {
		return "", fmt.Errorf("a replacement of the peer with %d pods can be launched nowhere", len(c.Pods))
	}
	claim := c.ToNodeClaim()
	d.launched++
	name := fmt.Sprintf("replacement-%05d", d.launched)
	claim.Name, claim.UID = name, types.UID("claim-"+name)
	claim.Status.ProviderID, claim.Status.NodeName = "corpus:///"+name, name
	labels := map[string]string{}
	for _, from := range []scheduling.Requirements{t.Requirements, o.Requirements} {
		for key, r := range from {
			if r.Operator() == corev1.NodeSelectorOpIn {
				labels[key] = r.Any()
			}
		}
	}
	for key, value := range claim.Labels {
		labels[key] = value
	}
	labels[corev1.LabelHostname], labels[peerv1.NodePoolLabelKey] = name, d.store.pool.Name
	labels[peerv1.NodeRegisteredLabelKey], labels[peerv1.NodeInitializedLabelKey] = "true", "true"
	claim.Labels = labels
	claim.Status.Capacity, claim.Status.Allocatable = t.Capacity, t.Allocatable()
	n := &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: name, UID: types.UID("node-" + name), Labels: labels},
		Spec:       corev1.NodeSpec{ProviderID: claim.Status.ProviderID},
		Status: corev1.NodeStatus{
			Capacity: t.Capacity, Allocatable: t.Allocatable(),
			Conditions: []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}},
		},
	}
	return name, d.join(claim, n)
}

// cheapest returns the offering that costs least of those that a claim allows, and its
// type; nil stands for none.
func cheapest(c *provisionscheduling.NodeClaim) (best *cloudprovider.InstanceType, at *cloudprovider.Offering) {
	price := math.Inf(1)
	for _, t := range c.InstanceTypeOptions {
		for _, o := range t.Offerings {
			if o.Price < price && c.Requirements.IsCompatible(o.Requirements, scheduling.AllowUndefinedWellKnownLabels) {
				best, at, price = t, o, o.Price
			}
		}
	}
	return best, at
}
