package disrupt

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/stowage-sh/stowage/provisioner/consolidate"
	"github.com/stowage-sh/stowage/provisioner/problem"
	"github.com/stowage-sh/stowage/provisioner/state"
	v1 "github.com/stowage-sh/stowage/provisioner/v1"
)

// A Mover is what decisions to save money ask of provisioning.
type Mover interface {
	// Input is what a decision about a snapshot depends on, without pods.
	Input(ctx context.Context, now time.Time, s *state.Snapshot) *problem.Input
	// Refused says which pods would not get to where they are to go, and why. It changes nothing.
	Refused(ctx context.Context, now time.Time, s *state.Snapshot, moves *problem.Moves) (map[types.UID]string, error)
	// Carry buys what is to be bought, and notes the places of the pods.
	Carry(ctx context.Context, now time.Time, moves *problem.Moves) error
}

const (
	// lookAgain is the shortest time between two plans, and lookAround the longest that a change
	// waits until all nodes are looked at, and not only those that changed and some others.
	lookAgain, lookAround = 10 * time.Second, 10 * time.Minute
	// few is the part of the nodes, one in so many, that may have changed for only these to be looked at.
	few = 10
	// atOnce is how many nodes are chosen in one step at most.
	atOnce = 200
)

// chooseUnderutilized takes nodes that cost more than other places for their pods: the commands of the
// last plan in order, as far as the budgets allow, and as far as nothing has changed that they
// speak of. When none of them can be carried out any more, and something has changed, it plans anew.
func (c *Controller) chooseUnderutilized(ctx context.Context, v *view, candidates []candidate, allowed *permits, said verdicts) error {
	if c.Mover == nil || c.outlook.recall(v.now, candidates, said) {
		return nil
	}
	in := c.Mover.Input(ctx, v.now, v.Snapshot)
	nodes, why := v.consolidatable(in, candidates, true)
	for _, n := range candidates {
		w, ok := why[n.claim.UID]
		if drifted := v1.IsTrue(n.claim.Status.Conditions, v1.ConditionDrifted); ok && len(n.movable) > 0 && !drifted {
			said[n.claim.UID] = verdict{w, v1.ReasonUnderutilized}
		}
	}
	c.Metrics.eligible(v1.ReasonUnderutilized, len(nodes))
	nodes = slices.DeleteFunc(nodes, func(n consolidate.Node) bool {
		if n.Terms.Most < 1 {
			pool, _ := v.NodePools.Get(n.Terms.NodePool)
			said[n.Claim.UID] = verdict{allowed.refuse(pool, v1.ReasonUnderutilized), v1.ReasonUnderutilized}
			return true
		}
		_, unsure := c.unsure[n.Claim.UID]
		aside, ok := c.setAside[n.Claim.UID]
		if ok = ok && v.now.Before(aside.until); ok {
			said[n.Claim.UID] = verdict{aside.why, v1.ReasonUnderutilized}
		}
		return unsure || ok || len(n.Pods) == 0 // it goes for being empty, or the budgets for that do not let it
	})
	o := &c.outlook
	o.see(v, nodes, in.Leaving)
	err := c.replan(ctx, v, in, nodes)
	if err == nil {
		o.say(nodes, said)
		err = c.carry(ctx, v, o.pick(v, in, allowed, said), said)
	}
	o.remember(v.now, said)
	return errors.Join(err, c.shun(ctx, c.look(v.now)))
}

// replan plans anew if that may bring something.
func (c *Controller) replan(ctx context.Context, v *view, in *problem.Input, nodes []consolidate.Node) error {
	o := &c.outlook
	changed, all := o.changed(v, in)
	old := v.now.Sub(o.whole) >= lookAround
	if len(changed) == 0 && !all && !(old && o.whole.Before(o.ripe)) || o.plan != nil && (v.now.Sub(o.at) < lookAgain || o.open() && !old && !all) {
		return nil
	}
	some := nodes
	if all = all || old || len(changed)*few > len(nodes); !all {
		some = o.around(changed, nodes)
	}
	stop := c.Metrics.time(c.Clock, v1.ReasonUnderutilized)
	plan, err := consolidate.Make(ctx, in, some)
	stop()
	if err != nil {
		return fmt.Errorf("planning for %d nodes that may be underutilized: %w", len(some), err)
	}
	if len(plan.Commands) > 0 {
		logr.FromContextOrDiscard(ctx).Info("planned a consolidation", "nodes", len(some), "commands", len(plan.Commands),
			"usd-per-hour-before", float64(plan.Before)/1e6, "usd-per-hour-after", float64(plan.After)/1e6, "lower-bound", float64(plan.LowerBound)/1e6)
	}
	o.take(v, in, some, plan, all)
	return nil
}

// carry carries commands out, those of which kube-scheduler would refuse no pod.
func (c *Controller) carry(ctx context.Context, v *view, picks []int, said verdicts) error {
	if len(picks) == 0 {
		return nil
	}
	o := &c.outlook
	refused, err := c.Mover.Refused(ctx, v.now, v.Snapshot, o.plan.Moves(picks, o.names, func(string) bool { return true }))
	var failed []error
	switch {
	case err != nil && ctx.Err() != nil:
		return err
	case err != nil && len(picks) > 1: // it is one of them, and not the others' fault
		for _, i := range picks {
			failed = append(failed, c.carry(ctx, v, []int{i}, said))
		}
		return errors.Join(failed...)
	case err != nil:
		o.done[picks[0]] = true
		for _, n := range o.plan.Commands[picks[0]].Nodes {
			c.spare(v.now, n.Claim, stuckFor, "the places of its pods could not be confirmed: "+err.Error())
		}
		return fmt.Errorf("confirming the places of the pods of nodes that are underutilized: %w", err)
	}
	lost := map[int]bool{} // new nodes that do not come
	for _, i := range picks {
		command := &o.plan.Commands[i]
		o.done[i] = true
		if why := o.hindered(command, refused, lost); why != "" {
			for _, index := range command.New {
				lost[index] = true
			}
			for _, n := range command.Nodes {
				c.hinder(v.now, n.Claim, why)
				said[n.Claim.UID] = verdict{block{noPlace, why}, v1.ReasonUnderutilized}
			}
			continue
		}
		failed = append(failed, c.begin(ctx, v, i))
		for _, index := range command.New {
			lost[index] = o.names[index] == ""
		}
	}
	return errors.Join(failed...)
}

// begin chooses the nodes of a command, and then has their pods' places written down: a crash in
// between leaves nodes without other places, which are opened again.
func (c *Controller) begin(ctx context.Context, v *view, i int) error {
	o := &c.outlook
	command := &o.plan.Commands[i]
	message := fmt.Sprintf("its command saves $%.4f an hour: %d nodes for %d new ones, %d pods move", float64(command.Savings)/1e6, len(command.Nodes), len(command.New), command.Evictions)
	for _, n := range command.Nodes {
		current, there := v.NodeClaims.Get(n.Claim.Name) // what is said of it has changed while it waited
		if !there || current.UID != n.Claim.UID {
			continue
		}
		picked, ok := v.candidate(current)
		if !ok {
			continue
		}
		if err := c.take(ctx, v.now, picked, string(v1.ReasonUnderutilized), message); err != nil {
			c.unsure[n.Claim.UID] = v.now
			return err
		}
	}
	c.soon = min(c.soon, c.settle())
	now, whole := c.look(v.now), true
	moves := o.plan.Moves([]int{i}, o.names, func(node string) bool {
		n, ok := now.Nodes.Get(node)
		ok = ok && tainted(n)
		whole = whole && ok
		return ok
	})
	for _, n := range command.Nodes {
		if !now.isChosen(n.Claim.Name) {
			delete(o.stood, n.Claim.UID) // a race was lost: it is looked at anew
		}
	}
	if !whole && len(command.New) > 0 {
		return c.abandon(ctx, now, command) // to buy for some of them only might not pay
	}
	err := c.Mover.Carry(ctx, v.now, moves)
	for j, index := range command.New {
		if moves.Launches[j].Claim.UID != "" { // it was made
			o.names[index] = moves.Launches[j].Claim.Name
		}
	}
	if len(command.New) > 0 {
		o.together(command)
	}
	logr.FromContextOrDiscard(ctx).Info("consolidating", "nodes", len(command.Nodes), "new-nodes", len(command.New), "pods", command.Evictions,
		"usd-per-hour", float64(command.Savings)/1e6, "payback", command.Payback().Round(time.Second).String())
	return err
}

// abandon opens the nodes of a command again of which not all could be chosen, since a race was lost.
func (c *Controller) abandon(ctx context.Context, v *view, command *consolidate.Command) error {
	var failed []error
	for _, n := range command.Nodes {
		if claim, ok := v.NodeClaims.Get(n.Claim.Name); ok && chosenFor(claim) == string(v1.ReasonUnderutilized) {
			failed = append(failed, c.rollBack(ctx, v, claim, next{stays: "not all nodes of its command could be chosen"}))
		}
	}
	return errors.Join(failed...)
}

// hinderedFor is how long a node waits at first whose command could not be carried out, mostly since others have
// taken its pods' places.
const hinderedFor = 20 * time.Second

// hinder lets such a node wait: twice as long each time that it happens again soon, up to stuckFor.
func (c *Controller) hinder(now time.Time, claim *v1.NodeClaim, why string) {
	pause := hinderedFor
	if before, ok := c.setAside[claim.UID]; ok && now.Sub(before.until) < stuckFor {
		pause = max(pause, min(2*before.pause, stuckFor))
	}
	c.spare(now, claim, pause, why)
}

// spare lets a node wait, and be looked at anew then.
func (c *Controller) spare(now time.Time, claim *v1.NodeClaim, pause time.Duration, why string) {
	c.putAside(now, claim, pause, block{noPlace, why})
	delete(c.outlook.stood, claim.UID)
}

// removeConfirmed deletes claims that were chosen to save money, if kube-scheduler's plugins agree once
// more, on the newest snapshot, that all their pods get to their places. The others are opened again.
func (c *Controller) removeConfirmed(ctx context.Context, v *view, claims []*v1.NodeClaim, deleted map[types.UID]struct{}) error {
	if len(claims) == 0 {
		return nil
	}
	moves := &problem.Moves{Leaving: claims}
	onto := map[problem.Machine][]*corev1.Pod{}
	for _, claim := range claims {
		n, _ := v.candidate(claim)
		for _, p := range n.movable {
			plan := v.Plans.Of(p.UID)
			at := problem.Machine{NodeClaim: plan.NodeClaim, Node: plan.Node}
			onto[at] = append(onto[at], p)
		}
	}
	moves.Onto = problem.InOrder(onto)
	refused, err := c.Mover.Refused(ctx, v.now, v.Snapshot, moves)
	var failed []error
	switch {
	case err != nil && ctx.Err() != nil:
		return err
	case err != nil && len(claims) > 1: // it is one of them, and not the others' fault
		for _, claim := range claims {
			failed = append(failed, c.removeConfirmed(ctx, v, []*v1.NodeClaim{claim}, deleted))
		}
		return errors.Join(failed...)
	case err != nil:
		err = fmt.Errorf("confirming the places of the pods of NodeClaim %s: %w", claims[0].Name, err)
		return errors.Join(err, c.rollBack(ctx, v, claims[0], next{stays: err.Error(), failed: true}))
	}
	var fine []*v1.NodeClaim
	for _, claim := range claims {
		n, _ := v.candidate(claim)
		if why := stuckOn(n, refused); why != "" {
			failed = append(failed, c.rollBack(ctx, v, claim, next{stays: why}))
			continue
		}
		fine = append(fine, claim)
	}
	v = c.look(v.now)
	for _, claim := range fine {
		if c.outlook.forsaken(v, claim) {
			continue // it stays as well, in the next step
		}
		err := c.remove(ctx, v, claim, v1.ReasonUnderutilized)
		if err == nil {
			deleted[claim.UID] = struct{}{}
		}
		failed = append(failed, err)
	}
	return errors.Join(failed...)
}
