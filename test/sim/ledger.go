package sim

import (
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stowage-sh/stowage/cloudprovider"
	v1 "github.com/stowage-sh/stowage/provisioner/v1"
)

// A Ledger says what a world has cost since it was opened, and what its pods went through. It
// follows replicas: a pod that its controller makes for one that is about to end comes after that one.
type Ledger struct {
	// Evictions counts the pods that were evicted, by the reason why their node went.
	Evictions map[string]int
	// Waits are how long pods without a node waited for one; of those that came after a pod which was
	// evicted to save money they are in MovedWaits.
	Waits, MovedWaits []time.Duration
	// Moves has one number for each pod that was evicted to save money: how often that happened to its
	// replica within the hour that ended so.
	Moves []int
	// Returns counts the moves to save money that put a replica on an offering which another such
	// move had taken it from within the hour.
	Returns int
	// LastMove is when a pod was last evicted to save money.
	LastMove time.Time

	world    *World
	opened   time.Time
	pods     map[types.UID]*tenancy
	vacated  map[types.UID][]vacancy // by owner
	occupied map[string]bool         // nodes that pods ran on
}

// A tenancy is a pod's time.
type tenancy struct {
	*replica
	born, bound time.Time
	moved       bool // it comes after a pod that was evicted to save money
	leaves      bool
}

// A replica is a pod and those that came after it.
type replica struct {
	moves []time.Time              // to save money
	from  []cloudprovider.Offering // of each move
}

// A vacancy is a replica without a pod.
type vacancy struct {
	*tenancy
	at time.Time
}

// succeeds is how long after a pod began to go the next one of its controller is taken for its heir.
const succeeds = 2 * time.Second

// OpenLedger begins a ledger. Process.After is to call its Evicted.
func (w *World) OpenLedger() *Ledger {
	l := &Ledger{
		Evictions: map[string]int{}, world: w, opened: w.Now,
		pods: map[types.UID]*tenancy{}, vacated: map[types.UID][]vacancy{}, occupied: map[string]bool{},
	}
	for _, p := range stored[*corev1.Pod](w.API) {
		l.notice(p, false)
	}
	l.Waits = nil // of pods that were there
	w.API.watches = append(w.API.watches, l.notice)
	return l
}

func (l *Ledger) notice(obj client.Object, gone bool) {
	p, ok := obj.(*corev1.Pod)
	if !ok {
		return
	}
	t := l.pods[p.UID]
	if t == nil && !gone {
		t = l.succeed(p)
		l.pods[p.UID] = t
	}
	if t == nil {
		return
	}
	if p.Spec.NodeName != "" && t.bound.IsZero() {
		l.bind(p, t)
	}
	if owner := metav1.GetControllerOfNoCopy(p); owner != nil && !t.leaves && (gone || p.DeletionTimestamp != nil) {
		t.leaves = true
		l.vacated[owner.UID] = append(l.vacated[owner.UID], vacancy{t, l.world.Now})
	}
	if gone {
		delete(l.pods, p.UID)
	}
}

// succeed begins a pod's tenancy, which goes on with a replica's if one has just ended.
func (l *Ledger) succeed(p *corev1.Pod) *tenancy {
	t := &tenancy{replica: &replica{}, born: l.world.Now}
	owner := metav1.GetControllerOfNoCopy(p)
	if owner == nil {
		return t
	}
	left := slices.DeleteFunc(l.vacated[owner.UID], func(v vacancy) bool { return l.world.Now.Sub(v.at) > succeeds })
	if len(left) > 0 {
		t.replica = left[0].replica
		t.moved = len(t.moves) > 0 && t.moves[len(t.moves)-1].Equal(left[0].at)
		left = left[1:]
	}
	l.vacated[owner.UID] = left
	return t
}

func (l *Ledger) bind(p *corev1.Pod, t *tenancy) {
	t.bound = l.world.Now
	l.occupied[p.Spec.NodeName] = true
	waited := l.world.Now.Sub(t.born)
	if !t.moved {
		l.Waits = append(l.Waits, waited)
		return
	}
	l.MovedWaits = append(l.MovedWaits, waited)
	if m := l.world.Cloud.byNode[p.Spec.NodeName]; m != nil {
		for i, from := range t.from {
			if l.world.Now.Sub(t.moves[i]) < time.Hour && i < len(t.from)-1 && from == m.Offering {
				l.Returns++
				break
			}
		}
	}
}

// Evicted notes an eviction. It is to be called after each write of the process.
func (l *Ledger) Evicted(verb string, obj client.Object) error {
	p, ok := obj.(*corev1.Pod)
	t := l.pods[obj.GetUID()]
	if !ok || t == nil || verb != "evict" && verb != "delete" {
		return nil
	}
	m := l.world.Cloud.byNode[p.Spec.NodeName]
	if m == nil {
		return nil
	}
	reason := ""
	if claim, ok := Get[*v1.NodeClaim](l.world.API, "", m.request.Claim); ok {
		if why := v1.GetCondition(claim.Status.Conditions, v1.ConditionDisruptionReason); why != nil {
			reason = why.Reason
		}
	}
	l.Evictions[reason]++
	if reason != string(v1.ReasonUnderutilized) && reason != string(v1.ReasonEmpty) {
		return nil
	}
	now := l.world.Now
	t.moves, t.from = append(t.moves, now), append(t.from, m.Offering)
	n := 0
	for _, at := range t.moves {
		if now.Sub(at) < time.Hour {
			n++
		}
	}
	l.Moves, l.LastMove = append(l.Moves, n), now
	return nil
}

// Pending returns the longest time that a pod has waited which has no node yet.
func (l *Ledger) Pending() (longest time.Duration) {
	for _, t := range l.pods {
		if t.bound.IsZero() && !t.leaves {
			longest = max(longest, l.world.Now.Sub(t.born))
		}
	}
	return longest
}

// Spent is what all machines have cost since the ledger was opened, in millionths of a dollar. They
// are paid for until they are told to stop.
func (l *Ledger) Spent() (micro float64) {
	for _, m := range l.world.Cloud.machines {
		from, until := m.Launched, m.ended
		if from.Before(l.opened) {
			from = l.opened
		}
		if until.IsZero() {
			until = l.world.Now
		}
		if until.After(from) {
			price, _ := l.world.Cloud.Price(m.Offering)
			micro += float64(price) * until.Sub(from).Hours()
		}
	}
	return micro
}

// Bought counts the machines that were bought since the ledger was opened; unused are those of them
// that have ended, and no pod ever ran on them.
func (l *Ledger) Bought() (all, unused int) {
	for _, m := range l.world.Cloud.machines {
		if m.Launched.Before(l.opened) {
			continue
		}
		all++
		if !m.ended.IsZero() && !l.occupied[m.node] {
			unused++
		}
	}
	return all, unused
}
