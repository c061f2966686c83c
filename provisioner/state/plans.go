package state

import (
	"iter"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/third_party/forked/golang/btree"
)

// A Plan is the place decided for a pod that kube-scheduler has not bound yet, or that
// has to leave its node, or for headroom: a NodeClaim of ours, or else an existing Node.
type Plan struct {
	NodeClaim, Node string
	// Pod is the pod's name, for which it is found.
	Pod types.NamespacedName
	// At is when it was decided: the same for all that was decided together.
	At time.Time
	// Spread tells that the pod has a hard spread over more than hostnames, so
	// that where it may go depends on where its like went before.
	Spread bool
	// Priority is the pod's.
	Priority int32
	// Move is of a pod that runs yet; zero for one that waits.
	Move Move
	// Headroom is of room for which there is no pod; zero for a pod's place.
	Headroom Headroom
}

// Headroom says for whom room is kept free, to which no pod of its own is to come.
type Headroom struct {
	// Buffer names the CapacityBuffer.
	Buffer types.NamespacedName
	// From names the NodeClaim on its way out that had the room before; empty if there is none.
	From string
}

// IsHeadroom reports whether no pod is to come to the place: it is room that is kept free.
func (p Plan) IsHeadroom() bool { return p.Headroom.Buffer.Name != "" }

// A Move says from where a pod is to go to its place. It does not go itself: it ends, and
// whoever controls it makes another, which has the place then.
type Move struct {
	// From is the name of the node that the pod is on.
	From string
	// Owner, its controller's UID, tells with the pod's name who comes after it.
	Owner types.UID
}

// Plans say where pods without a node are to go, and pods that are to leave theirs, by UID. They
// are immutable, and the zero value is empty.
type Plans struct {
	byPod   *btree.BTree[planned]
	byClaim *btree.BTree[waiting]
}

// A planned is the plan of a pod.
type planned struct {
	uid  types.UID
	plan *Plan // never changed
}

// A waiting is a pod without a node that is planned for a NodeClaim.
type waiting struct {
	claim string
	uid   types.UID
}

// newPlans returns plans that can be written to.
func newPlans() Plans {
	return Plans{
		byPod: btree.New(degree, func(a, b planned) bool { return a.uid < b.uid }),
		byClaim: btree.New(degree, func(a, b waiting) bool {
			return a.claim < b.claim || a.claim == b.claim && a.uid < b.uid
		}),
	}
}

// Get returns the plan of a pod.
func (p Plans) Get(uid types.UID) (Plan, bool) {
	if p.byPod == nil {
		return Plan{}, false
	}
	found, ok := p.byPod.Get(planned{uid: uid})
	if !ok {
		return Plan{}, false
	}
	return *found.plan, true
}

// Of returns the plan of a pod, the zero value where there is none.
func (p Plans) Of(uid types.UID) Plan {
	plan, _ := p.Get(uid)
	return plan
}

// Len returns the number of plans.
func (p Plans) Len() int {
	if p.byPod == nil {
		return 0
	}
	return p.byPod.Len()
}

// All ranges over the plans, in order of the UIDs.
func (p Plans) All() iter.Seq2[types.UID, Plan] {
	return func(yield func(types.UID, Plan) bool) {
		if p.byPod != nil {
			p.byPod.Ascend(func(i planned) bool { return yield(i.uid, *i.plan) })
		}
	}
}

// waitingFor returns the UIDs of the pods that wait for a NodeClaim, sorted.
func (p Plans) waitingFor(claim string) (uids []types.UID) {
	if p.byClaim == nil {
		return nil
	}
	p.byClaim.AscendGreaterOrEqual(waiting{claim: claim}, func(w waiting) bool {
		if w.claim != claim {
			return false
		}
		uids = append(uids, w.uid)
		return true
	})
	return uids
}

func (p Plans) set(uid types.UID, plan Plan) {
	p.drop(uid)
	p.byPod.ReplaceOrInsert(planned{uid, &plan})
	if plan.NodeClaim != "" && plan.Move.From == "" && !plan.IsHeadroom() {
		p.byClaim.ReplaceOrInsert(waiting{plan.NodeClaim, uid})
	}
}

func (p Plans) drop(uid types.UID) (dropped bool) {
	old, ok := p.byPod.Delete(planned{uid: uid})
	if ok {
		p.byClaim.Delete(waiting{old.plan.NodeClaim, uid})
	}
	return ok
}

// SetPlans adds decided places, replacing earlier ones of the same pods.
func (c *Cluster) SetPlans(plans map[types.UID]Plan) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for uid, plan := range plans {
		c.plans.set(uid, plan)
	}
	c.touchPlans(len(plans) > 0)
}

// DropPlans forgets the decided places of pods: they were bound, or are to be
// decided again.
func (c *Cluster) DropPlans(uids ...types.UID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	dropped := false
	for _, uid := range uids {
		dropped = c.plans.drop(uid) || dropped
	}
	c.touchPlans(dropped)
}

func (c *Cluster) touchPlans(changed bool) {
	if changed {
		c.frozenPlans = nil
	}
	c.touch(changed)
}

func (c *Cluster) freezePlans() Plans {
	if c.frozenPlans == nil {
		c.frozenPlans = &Plans{c.plans.byPod.Clone(), c.plans.byClaim.Clone()}
	}
	return *c.frozenPlans
}
