package provision

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/stowage-sh/stowage/provisioner/headroom"
	"github.com/stowage-sh/stowage/provisioner/problem"
	"github.com/stowage-sh/stowage/provisioner/state"
	v1 "github.com/stowage-sh/stowage/provisioner/v1"
)

// Headroom is kept as pods that are not there: they have places as others have, in state.Plans, and
// machines are bought for those that find none. Decisions about pods do not see them, so pods take
// the room first; what is left decides whether the headroom still fits. If it does not, all of it
// is decided anew, on whatever is free by then. What is bought for it is a machine on its way like
// any other, so that nothing is bought twice, not after a restart either.

// spare is what was decided about headroom.
type spare struct {
	asks []headroom.Ask // that it was decided for
	pods map[types.UID]*corev1.Pod

	at       time.Time // of the decision
	revision uint64    // of the state after it
	short    bool      // there is not room for all
	doubtful bool      // places were decided for pods since
	looked   time.Time // when it was last asked whether all have room yet

	// missing says why there is no room, by buffer; nil as long as nothing was decided. It is
	// read by others.
	missing atomic.Pointer[map[types.NamespacedName]string]
}

const (
	// spareGlance is how often it is asked whether headroom has been taken.
	spareGlance = time.Second
	// spareReview is after which time headroom is decided anew when anything has changed: what
	// a glance does not see, such as pods that keep others away.
	spareReview = time.Minute
)

// Missing says why there is no room for pods of CapacityBuffers, by buffer, as of the last decision;
// false if nothing has been decided yet. It may be called by any number of goroutines.
func (c *Controller) Missing() (why map[types.NamespacedName]string, decided bool) {
	if why := c.spare.missing.Load(); why != nil {
		return *why, true
	}
	return nil, false
}

// keepHeadroom sees to it that there is room for what CapacityBuffers ask for, unless pods are being
// gathered, which come first. It returns when to look again at the latest.
func (c *Controller) keepHeadroom(ctx context.Context, now time.Time) (again time.Duration, err error) {
	s, spare := c.Cluster.Snapshot(), &c.spare
	if s.Buffers.CapacityBuffers.Len() == 0 && len(spare.asks) == 0 {
		spare.missing.Store(&map[types.NamespacedName]string{})
		return c.retry(), nil
	}
	if _, gathering := c.Window.Deadline(); gathering {
		return c.retry(), nil
	}
	if left := spare.looked.Add(spareGlance).Sub(now); left > 0 && !spare.doubtful {
		return left, nil
	}
	spare.looked = now
	asks := slices.DeleteFunc(headroom.Asks(s), func(a headroom.Ask) bool { return a.Replicas == 0 || !c.Schedulers.Serve(a.Pod) })
	lost := c.lostHeadroom(s)
	age := now.Sub(spare.at)
	if len(lost) > 0 || spare.doubtful || !sameAsks(asks, spare.asks) || spare.short && age >= c.retry() ||
		spare.revision != s.Revision && age >= spareReview || spare.missing.Load() == nil {
		c.Cluster.DropPlans(lost...)
		return spareGlance, c.decideHeadroom(ctx, now, s, asks)
	}
	return c.retry(), nil
}

// sameAsks reports whether room is asked for as many pods of the same kinds.
func sameAsks(a, b []headroom.Ask) bool {
	return slices.EqualFunc(a, b, func(x, y headroom.Ask) bool {
		return x.Buffer.UID == y.Buffer.UID && x.Replicas == y.Replicas && equality.Semantic.DeepEqual(x.Pod, y.Pod)
	})
}

// lostHeadroom returns the places of headroom that are gone, or that pods have taken, sorted.
func (c *Controller) lostHeadroom(s *state.Snapshot) (lost []types.UID) {
	kept := map[string][]*corev1.Pod{} // by node
	for uid, plan := range s.Plans.All() {
		if !plan.IsHeadroom() {
			continue
		}
		pod, known := c.spare.pods[uid]
		node, stands := standing(s, plan)
		switch {
		case !known || !stands:
			lost = append(lost, uid)
		case node != nil:
			kept[node.Name] = append(kept[node.Name], pod)
		}
	}
	if len(kept) == 0 {
		slices.Sort(lost)
		return lost
	}
	planned := map[string][]*corev1.Pod{}
	for uid, plan := range s.Plans.All() {
		if p, ok := s.Pods.Namespaced(plan.Pod.Namespace, plan.Pod.Name); ok && p.UID == uid {
			if node := nodeOf(s, plan); kept[node] != nil && node != p.Spec.NodeName {
				planned[node] = append(planned[node], p)
			}
		}
	}
	for name, pods := range kept {
		node, _ := s.Nodes.Get(name) // its plans stand, so it is there
		slices.SortFunc(pods, func(p, q *corev1.Pod) int { return cmp.Compare(p.UID, q.UID) })
		for _, p := range problem.Crowded(s, node, append(planned[name], pods...)) {
			if headroom.Virtual(p) {
				lost = append(lost, p.UID)
			}
		}
	}
	slices.Sort(lost)
	return lost
}

// standing reports whether the place of headroom is one still, and returns the node if it has come.
func standing(s *state.Snapshot, plan state.Plan) (node *corev1.Node, ok bool) {
	if plan.NodeClaim == "" {
		node, ok = s.Nodes.Get(plan.Node)
	} else {
		claim, there := s.NodeClaims.Get(plan.NodeClaim)
		if !there || s.Leaving(claim) {
			return nil, false
		}
		if node, ok = s.NodeOf(claim); !ok {
			return nil, !v1.IsTrue(claim.Status.Conditions, v1.ConditionRegistered) // or it has gone
		}
	}
	return node, ok && node.DeletionTimestamp == nil && !node.Spec.Unschedulable
}

// decideHeadroom decides where all headroom is to be, and buys what is missing.
func (c *Controller) decideHeadroom(ctx context.Context, now time.Time, s *state.Snapshot, asks []headroom.Ask) error {
	spare := &c.spare
	pods := headroom.Pods(asks)
	spare.asks, spare.at, spare.doubtful = asks, now, false
	spare.pods = make(map[types.UID]*corev1.Pod, len(pods))
	for _, p := range pods {
		spare.pods[p.UID] = p
	}
	why, err := c.placeHeadroom(ctx, now, s, pods)
	if why == nil { // there is no decision
		why = map[types.NamespacedName]string{}
		for i := range asks {
			why[asks[i].Key()] = err.Error()
		}
	} else {
		c.vacate(now, s)
	}
	spare.short = err != nil || len(why) > 0
	spare.missing.Store(&why)
	spare.revision = c.Cluster.Snapshot().Revision
	return err
}

// placeHeadroom solves for headroom and carries the plan out. It returns why some found no place, by
// buffer; nil if there is no plan.
func (c *Controller) placeHeadroom(ctx context.Context, now time.Time, s *state.Snapshot, pods []*corev1.Pod) (why map[types.NamespacedName]string, err error) {
	why = map[types.NamespacedName]string{}
	if len(pods) == 0 {
		return why, nil
	}
	stop := c.Metrics.time(c.Clock)
	t, solution, err := problem.Decide(ctx, c.input(ctx, now, s, pods))
	stop()
	if err != nil {
		return nil, fmt.Errorf("solving for the headroom of %d pods: %w", len(pods), err)
	}
	if err := c.check(t, solution); err != nil {
		return nil, fmt.Errorf("refusing the plan for the headroom of %d pods, nothing is launched: %w", len(pods), err)
	}
	launches, placements := t.Placed(solution)
	c.place(now, placements)
	if err = c.create(ctx, now, launches); err != nil {
		plans := c.Cluster.Snapshot().Plans
		for _, p := range pods {
			if !plans.Of(p.UID).At.Equal(now) { // unless it found no place at all; see below
				why[headroom.BufferOf(p)] = err.Error()
			}
		}
	}
	for i := range solution.Unplaced {
		u := &solution.Unplaced[i]
		group := t.Pods[u.Group]
		for _, p := range group[len(group)-int(u.Count):] {
			why[headroom.BufferOf(p)] = problem.Sentence(t.Explain(u))
		}
	}
	if len(launches) > 0 {
		log.FromContext(ctx).Info("buying headroom", "pods", len(pods), "nodeclaims", len(launches), "buffers-short", len(why), "usd-per-hour", usd(solution.Cost))
	}
	return why, err
}

// vacate forgets the places of headroom that were not decided on now, and notes of the others which
// NodeClaim on its way out had the room before: it is to stay until the new room is there.
func (c *Controller) vacate(now time.Time, before *state.Snapshot) {
	moved, over := map[types.UID]state.Plan{}, []types.UID{}
	for uid, plan := range c.Cluster.Snapshot().Plans.All() {
		switch old := before.Plans.Of(uid); {
		case !plan.IsHeadroom():
		case !plan.At.Equal(now):
			over = append(over, uid)
		default:
			for _, from := range []string{old.NodeClaim, old.Headroom.From} {
				if claim, ok := before.NodeClaims.Get(from); ok && before.Leaving(claim) && plan.Headroom.From == "" {
					plan.Headroom.From = from
					moved[uid] = plan
				}
			}
		}
	}
	slices.Sort(over)
	c.Cluster.DropPlans(over...)
	c.Cluster.SetPlans(moved)
}
