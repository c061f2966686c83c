package provision

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stowage-sh/stowage/provisioner/headroom"
	"github.com/stowage-sh/stowage/provisioner/lifecycle"
	"github.com/stowage-sh/stowage/provisioner/oracle"
	"github.com/stowage-sh/stowage/provisioner/problem"
	"github.com/stowage-sh/stowage/provisioner/state"
	v1 "github.com/stowage-sh/stowage/provisioner/v1"
)

// Pods on nodes that are on their way out need another place before they are evicted: they are
// planned for as if they waited. A pod does not move, though. It ends, and its controller makes
// another, which inherits the place.

// lead is how long before it has to go a pod is planned for that will not go by itself: about
// what a machine takes to come, with some to spare.
const lead = 5 * time.Minute

// movers returns the pods that are to leave their nodes and have no place decided yet. One that
// may not be evicted now is none of them, since what is bought for it could stand empty for long:
// unless its node's deadline is near, or the node was chosen and waits for its place, which only
// do-not-disrupt outlasts. Where nodes go to save money their pods have places, or the nodes stay.
func (c *Controller) movers(now time.Time, s *state.Snapshot) []*corev1.Pod {
	guards := sync.OnceValue(func() lifecycle.Guards { return lifecycle.GuardsOf(s) })
	var pods []*corev1.Pod
	for _, claim := range s.AllLeaving() {
		node, ok := s.NodeOf(claim)
		if !ok || decidedElsewhere(claim) {
			continue
		}
		deadline, bounded := lifecycle.Deadline(claim)
		soon := bounded && now.Add(lead).After(deadline)
		byUs := v1.IsTrue(claim.Status.Conditions, v1.ConditionDisruptionReason) // promised: each has its place first
		for _, p := range s.PodsOn(node.Name) {
			if _, planned := s.Plans.Get(p.UID); planned || !lifecycle.Recreated(p) || !c.Schedulers.Serve(p) {
				continue
			}
			if lifecycle.Surging(s, claim, p) {
				continue // the pod that comes in its place is there, and waits like any other
			}
			if soon || byUs && !lifecycle.Protected(now, p) || guards().Keeps(now, p) == "" {
				pods = append(pods, p)
			}
		}
	}
	return pods
}

// Foresee says which pods on the nodes of some NodeClaims would find no place if these took no
// pods any more, and why. Kube-scheduler's own plugins are asked about every place that is
// decided. It buys nothing and plans nothing.
func (c *Controller) Foresee(ctx context.Context, now time.Time, s *state.Snapshot, leaving []*v1.NodeClaim) (map[types.UID]string, error) {
	names := map[string]bool{}
	var pods []*corev1.Pod
	for _, claim := range leaving {
		names[claim.Name] = true
		if node, ok := s.NodeOf(claim); ok {
			for _, p := range s.PodsOn(node.Name) {
				if lifecycle.Recreated(p) && c.Schedulers.Serve(p) {
					pods = append(pods, p)
				}
			}
		}
	}
	if len(pods) == 0 {
		return nil, nil
	}
	in := c.input(ctx, now, s, pods)
	in.Leaving = names
	t, solution, err := problem.Decide(ctx, in)
	if err != nil {
		return nil, err
	}
	stuck := map[types.UID]string{}
	for i := range solution.Unplaced {
		u := &solution.Unplaced[i]
		why := problem.Sentence(t.Explain(u))
		group := t.Pods[u.Group]
		for _, p := range group[len(group)-int(u.Count):] {
			stuck[p.UID] = why
		}
	}
	launches, placements := t.Placed(solution)
	return stuck, refused(ctx, t, launches, placements, stuck)
}

// refused asks kube-scheduler's own plugins about every place that was decided, and adds the pods that
// they refuse, with what they say.
func refused(ctx context.Context, t *problem.Translation, launches []problem.Launch, placements []problem.Placement, stuck map[types.UID]string) error {
	f := t.Future(launches, placements, func(i int) string { return fmt.Sprintf("new-node-%d", i) }, func(int) int { return 0 })
	asked := make([]oracle.Placement, len(f.Placements))
	for i, at := range f.Placements {
		asked[i] = oracle.Placement{Pod: at.Pod, Node: at.Node}
	}
	refusals, err := oracle.Check(ctx, oracle.Cluster{Nodes: f.Nodes, Pods: f.Pods, Objects: f.Objects}, asked)
	if err != nil {
		return fmt.Errorf("asking kube-scheduler's plugins: %w", err)
	}
	for _, r := range refusals {
		stuck[r.Pod.UID] = fmt.Sprintf("kube-scheduler's plugin %s would refuse it on %s: %s", r.Plugin, r.Node, r.Reason)
	}
	return nil
}

// moves reports whether a pod is on a node still.
func moves(p *corev1.Pod) bool { return p.Spec.NodeName != "" }

// hears reports whether a pod is to be told of its place: it waits for one. One that is on a node
// runs yet, and one that stands for headroom is not there.
func hears(p *corev1.Pod) bool { return !moves(p) && !headroom.Virtual(p) }

// split parts pods that wait from those that are on a node still. Those that stand for headroom
// are neither.
func split(pods []*corev1.Pod) (waiting, moving []*corev1.Pod) {
	for _, p := range pods {
		switch {
		case moves(p):
			moving = append(moving, p)
		case hears(p):
			waiting = append(waiting, p)
		}
	}
	return waiting, moving
}

// moveOf is the move of a pod that is on a node still.
func moveOf(p *corev1.Pod) state.Move {
	if !moves(p) {
		return state.Move{}
	}
	m := state.Move{From: p.Spec.NodeName}
	if owner := metav1.GetControllerOf(p); owner != nil {
		m.Owner = owner.UID
	}
	return m
}

// keepsMove reports whether a place is still to be kept for a pod that is on a node: the node is
// leaving yet, and the place is there.
func keepsMove(s *state.Snapshot, p *corev1.Pod, plan state.Plan) bool {
	if node, ok := s.Nodes.Get(p.Spec.NodeName); ok {
		if claim, ok := s.ClaimOf(node); ok && (!s.Leaving(claim) || lifecycle.Surging(s, claim, p)) {
			return false
		}
	}
	if plan.NodeClaim == "" {
		node, ok := s.Nodes.Get(plan.Node)
		return ok && node.DeletionTimestamp == nil
	}
	claim, ok := s.NodeClaims.Get(plan.NodeClaim)
	if !ok || s.Leaving(claim) {
		return false
	}
	_, joined := s.NodeOf(claim)
	return joined || !v1.IsTrue(claim.Status.Conditions, v1.ConditionRegistered)
}

// A vacancy is the place of a pod that has left its node, or is about to end there.
type vacancy struct {
	uid  types.UID
	plan state.Plan
}

// inherit hands the places of pods that left on to those that came after them. Whoever does
// not come within the retry time has gone elsewhere, or will not come.
func (c *Controller) inherit(now time.Time, s *state.Snapshot) {
	vacant, count := map[types.UID][]vacancy{}, 0
	for uid, plan := range s.Plans.All() {
		p, ok := s.Pods.Namespaced(plan.Pod.Namespace, plan.Pod.Name)
		if plan.Move.From == "" || ok && p.UID == uid && lifecycle.Reschedulable(p) {
			continue
		}
		if ok && p.UID != uid {
			p = nil // another of its name
		}
		c.noteLeft(now, uid, p)
		vacant[plan.Move.Owner] = append(vacant[plan.Move.Owner], vacancy{uid, plan})
		count++
	}
	if count == 0 {
		c.left, c.came = nil, nil
		return
	}
	for _, some := range vacant {
		slices.SortFunc(some, func(a, b vacancy) int { return cmp.Compare(a.plan.Pod.Name, b.plan.Pod.Name) })
	}
	heirs, over := map[types.UID]state.Plan{}, []types.UID{}
	for _, p := range s.Pods.All() {
		owner := metav1.GetControllerOf(p)
		if owner == nil || len(vacant[owner.UID]) == 0 { // as nearly all are
			continue
		}
		if _, planned := s.Plans.Get(p.UID); planned || c.came[p.UID] || !lifecycle.Reschedulable(p) || p.DeletionTimestamp != nil {
			continue
		}
		v, ok := c.takeVacancy(vacant, owner.UID, p)
		switch {
		case !ok:
		case moves(p): // kube-scheduler was quicker
			c.Metrics.bound(p.Spec.NodeName == nodeOf(s, v.plan))
			over = append(over, v.uid)
			if c.came == nil {
				c.came = map[types.UID]bool{}
			}
			c.came[p.UID] = true
		case problem.Provisionable(p):
			v.plan.Pod, v.plan.Move, v.plan.At = client.ObjectKeyFromObject(p), state.Move{}, now
			heirs[p.UID] = v.plan
			over = append(over, v.uid)
		}
	}
	for _, some := range vacant {
		for _, v := range some {
			if now.Sub(c.left[v.uid].seen) >= c.retry() {
				over = append(over, v.uid)
			}
		}
	}
	c.Cluster.SetPlans(heirs)
	c.Cluster.DropPlans(over...)
}

// A departure is when a pod was told to leave, by the API server's clock in whole seconds, and
// when that was seen first.
type departure struct{ told, seen time.Time }

// noteLeft notes that a pod has left or is about to end; p is nil if it is gone.
func (c *Controller) noteLeft(now time.Time, uid types.UID, p *corev1.Pod) {
	if _, noted := c.left[uid]; noted {
		return
	}
	d := departure{now.Truncate(time.Second), now}
	if p != nil && p.DeletionTimestamp != nil {
		d.told = p.DeletionTimestamp.Time
		if p.DeletionGracePeriodSeconds != nil {
			d.told = d.told.Add(-time.Duration(*p.DeletionGracePeriodSeconds) * time.Second)
		}
	}
	if c.left == nil {
		c.left = map[types.UID]departure{}
	}
	c.left[uid] = d
}

// takeVacancy finds the place that a pod comes after: that of its own name, or else any of its
// owner's. One that is bound has come after those only that left before it was made.
func (c *Controller) takeVacancy(vacant map[types.UID][]vacancy, owner types.UID, p *corev1.Pod) (vacancy, bool) {
	some := vacant[owner]
	at := slices.IndexFunc(some, func(v vacancy) bool {
		return v.plan.Pod == client.ObjectKeyFromObject(p)
	})
	if at < 0 {
		at = slices.IndexFunc(some, func(v vacancy) bool { return !moves(p) || !p.CreationTimestamp.Time.Before(c.left[v.uid].told) })
	}
	if at < 0 {
		return vacancy{}, false
	}
	v := some[at]
	vacant[owner] = slices.Delete(some, at, at+1)
	return v, true
}
