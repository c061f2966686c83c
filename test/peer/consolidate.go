package main

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/karpenter/pkg/controllers/disruption"

	"github.com/stowage-sh/stowage/cloudprovider"
	"github.com/stowage-sh/stowage/provisioner/consolidate"
	"github.com/stowage-sh/stowage/provisioner/oracle"
	v1 "github.com/stowage-sh/stowage/provisioner/v1"
	"github.com/stowage-sh/stowage/test/corpus"
)

// An outcome is what consolidation made of a cluster, and what it took.
type outcome struct {
	cost  int64 // millionths of a dollar per hour
	nodes int
	// evictions counts each move of a pod; rounds each time that either side was asked and
	// had commands.
	evictions, commands, rounds int
	// deciding is the time until commands were there, checking that of the peer's own
	// validation of them.
	deciding, checking time.Duration
	// stopped counts searches that the peer's own limit of a minute has ended.
	stopped int
	// refused are pods that kube-scheduler's plugins would not let where they were put.
	refused int
}

// offering is where and as what a node was bought.
func offering(n *corev1.Node) cloudprovider.Offering {
	return cloudprovider.Offering{
		InstanceType: n.Labels[corev1.LabelInstanceTypeStable], Zone: n.Labels[corev1.LabelTopologyZone], CapacityType: n.Labels[v1.LabelCapacityType],
	}
}

// cost is what the peer's cluster costs an hour.
func (d *disruptor) cost() (sum int64, err error) {
	for _, n := range d.store.nodes {
		price, ok := d.market.Prices.Price(offering(n))
		if !ok {
			return 0, fmt.Errorf("there is no price of node %s, a %v", n.Name, offering(n))
		}
		sum += int64(price)
	}
	return sum, nil
}

// refused counts the pods that kube-scheduler's plugins would not let where a command
// of the peer puts them. Ours are held to the same plugins by Standing.Carry.
func (d *disruptor) refused(c *disruption.Command, moves map[string][]*corev1.Pod) (int, error) {
	leaves := map[string]bool{}
	for _, n := range c.Candidates {
		leaves[n.Name()] = true
	}
	var all oracle.Cluster
	for name, n := range d.store.nodes {
		if leaves[name] {
			continue
		}
		all.Nodes = append(all.Nodes, n)
		all.Pods = append(all.Pods, d.store.pods[name]...)
		for i := range d.store.daemons {
			all.Pods = append(all.Pods, daemonOn(&d.store.daemons[i], name))
		}
	}
	var asked []oracle.Placement
	for node, pods := range moves {
		for _, p := range pods {
			next := *p // shallow: nothing below is written
			next.Spec.NodeName = ""
			asked = append(asked, oracle.Placement{Pod: &next, Node: node})
		}
	}
	refusals, err := oracle.Check(d.ctx, all, asked)
	if err != nil {
		return 0, fmt.Errorf("checking a command of the peer: %w", err)
	}
	return len(refusals), nil
}

// A stage is where a cluster of ours stood after a command.
type stage struct {
	cost      int64
	nodes     int
	evictions int
	commands  int
	rounds    int // 0 where it does not matter
}

// consolidated carries out what we plan for s on its terms, and plans again until nothing
// is left to do. It returns the stages, from before the first command, and the lower bound
// for all pods of s.
func consolidated(s *corpus.Standing) (*outcome, []stage, int64, error) {
	did := &outcome{}
	at := func() stage {
		st := stage{nodes: len(s.Nodes), evictions: did.evictions, commands: did.commands}
		for _, n := range s.Nodes {
			st.cost += int64(n.Price)
		}
		return st
	}
	stages, bound := []stage{at()}, int64(0)
	for {
		s.Terms.Cost, s.Terms.Disruption = 0, 0
		for _, n := range s.Nodes {
			s.Terms.Cost += n.Price
			s.Terms.Disruption += consolidate.Disruption(n)
		}
		start := time.Now()
		plan, err := consolidate.Make(context.Background(), s.Input, s.Nodes)
		did.deciding += time.Since(start)
		if err != nil {
			return nil, nil, 0, fmt.Errorf("planning: %w", err)
		}
		if did.rounds == 0 {
			bound = int64(plan.LowerBound)
		}
		if len(plan.Commands) == 0 {
			last := stages[len(stages)-1]
			did.cost, did.nodes = last.cost, last.nodes
			return did, stages, bound, nil
		}
		did.rounds++
		opened := map[int]string{}
		for i := range plan.Commands {
			if err := s.Carry(plan, i, opened); err != nil {
				return nil, nil, 0, fmt.Errorf("carrying out command %d of round %d: %w", i, did.rounds, err)
			}
			did.commands++
			did.evictions += plan.Commands[i].Evictions
			stages = append(stages, at())
		}
	}
}

// within returns the last of stages that took at most so many evictions.
func within(stages []stage, evictions int) stage {
	last := stages[0]
	for _, s := range stages {
		if s.evictions <= evictions {
			last = s
		}
	}
	return last
}

// A contest is a cluster that both sides consolidate.
type contest struct {
	name  string
	pods  int
	bound int64

	before, capped stage
	// ours has a payback of 0s, slow that of payback.
	peer, ours, slow *outcome
}

// payback is that of the third outcome of a contest.
const payback = 30 * time.Minute

// consolidateBoth lets both sides consolidate the same cluster to the end.
func consolidateBoth(w *standing) (*contest, error) {
	c := &contest{name: w.name}
	s, err := w.make()
	if err != nil {
		return nil, fmt.Errorf("making the cluster: %w", err)
	}
	for _, n := range s.Nodes {
		c.pods += len(n.Pods)
	}
	d, err := newDisruptor(w.market, s, w.policy())
	if err != nil {
		return nil, err
	}
	before, err := d.cost()
	if err != nil {
		return nil, err
	}
	// Ours first: the peer has copies of its own.
	ours, stages, bound, err := consolidated(s)
	if err != nil {
		return nil, err
	}
	if s, err = w.make(); err != nil {
		return nil, fmt.Errorf("making the cluster again: %w", err)
	}
	s.Terms.Payback = payback
	var others []stage
	if c.slow, others, _, err = consolidated(s); err != nil {
		return nil, err
	}
	c.ours, c.before, c.bound = ours, stages[0], bound
	if before != c.before.cost {
		return nil, fmt.Errorf("the cluster costs %d to the peer and %d to us", before, c.before.cost)
	}
	if c.peer, err = d.run(); err != nil {
		return nil, err
	}
	c.capped = within(stages, c.peer.evictions)
	if other := within(others, c.peer.evictions); other.cost < c.capped.cost {
		c.capped = other
	}
	return c, nil
}
