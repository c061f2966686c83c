package disrupt

import (
	"context"
	"errors"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/stowage-sh/stowage/provisioner/problem"
	"github.com/stowage-sh/stowage/provisioner/state"
	v1 "github.com/stowage-sh/stowage/provisioner/v1"
)

// A Controller disrupts nodes by choice. Step is to be called by one goroutine.
type Controller struct {
	// Cluster to read from; Write must record into it (see state.Recorded).
	Cluster *state.Cluster
	Write   state.Writer
	Events  state.Recorder
	Metrics *Metrics
	// Mover carries out what is decided to save money; nil for no nodes that go for that.
	Mover Mover
	// Foresee says which pods on the nodes of some NodeClaims would find no place if these
	// took no pods any more, with the reason. It decides as provisioning does, and changes
	// nothing.
	Foresee func(ctx context.Context, now time.Time, s *state.Snapshot, leaving []*v1.NodeClaim) (map[types.UID]string, error)
	// Schedulers are those whose pods get machines: of the others no place is expected.
	Schedulers problem.Schedulers
	// Clock times decisions for a metric, and decides nothing; nil for no timing.
	Clock func() time.Time

	// Poll is the longest time between two looks; 0 means ten seconds.
	Poll time.Duration
	// Settle is how long a chosen node stays tainted before it is looked at again
	// and goes, so that a pod bound to it in that moment is seen; 0 means five
	// seconds.
	Settle time.Duration

	viewed  *view                   // the last
	begun   time.Time               // the first step
	seen    map[types.UID]*resident // pods by NodeClaim, as of the last step
	told    map[types.UID]string    // what holds nodes back, by NodePool
	deleted map[types.UID]struct{}  // claims that were deleted and are still seen
	unsure  map[types.UID]time.Time // claims whose choice was written without an answer, and when
	soon    time.Duration           // the earliest next look that this step knows of

	residents residents // by node

	homeless map[types.UID]time.Time // chosen claims of which a pod has no other place, and since when
	awaiting map[types.UID]bool      // chosen claims that wait for a place to be ready, and were told so
	setAside map[types.UID]aside     // claims that drifted and are not to be tried for a while
	waves    map[string]*wave        // by NodePool
	outlook  outlook                 // on savings
	sayings  map[types.UID]saying    // what was last said of each claim
}

const (
	// settleTime is how long a node stays untouched after it was initialized, since
	// the pods that it was bought for are about to be bound; and how long every node
	// does after a start, when plans are not made anew yet.
	settleTime = 10 * time.Second
	// unsureFor is how long a write without an answer may have happened: the watch
	// has told of it by then.
	unsureFor = time.Minute
)

// Step looks at every node once, and returns when to look again. What failed is
// in the error and is done by a later step.
func (c *Controller) Step(ctx context.Context, now time.Time) (again time.Duration, err error) {
	if c.begun.IsZero() {
		c.begun = now
	}
	c.soon = orDefault(c.Poll, 10*time.Second)
	failed := []error{c.notePods(ctx, now), c.mark(ctx, now)}
	failed = append(failed, c.follow(ctx, c.look(now)), c.interrupt(ctx, c.look(now)))
	failed = append(failed, c.expire(ctx, c.look(now))...)
	said := verdicts{}
	if now.Sub(c.begun) >= settleTime {
		stop := c.Metrics.time(c.Clock, v1.ReasonEmpty)
		failed = append(failed, c.choose(ctx, c.look(now), said))
		stop()
		failed = append(failed, c.say(ctx, c.look(now), said))
	}
	return max(c.soon, time.Second), errors.Join(failed...)
}

// choose picks nodes to disrupt, as far as the budgets allow: those that are empty first, since
// nobody notices, then those that drifted, then those that cost more than they have to.
func (c *Controller) choose(ctx context.Context, v *view, said verdicts) error {
	allowed := c.allowances(v)
	c.countUnsure(v, allowed)
	candidates := v.candidates()
	err := c.chooseEmpty(ctx, v, candidates, allowed, said)
	err = errors.Join(err, c.chooseDrifted(ctx, v, candidates, allowed, said), c.chooseUnderutilized(ctx, v, candidates, allowed, said))
	c.tell(v, allowed)
	return err
}

// chooseEmpty takes empty nodes that may go, oldest first.
func (c *Controller) chooseEmpty(ctx context.Context, v *view, candidates []candidate, allowed *permits, said verdicts) error {
	eligible := 0
	var failed []error
	for _, n := range candidates {
		if _, ok := c.unsure[n.claim.UID]; ok {
			continue
		}
		why := v.notEmpty(n)
		if why.code == "" && n.pool.Spec.Replicas != nil {
			why = block{static, "the NodePool keeps its number of nodes"}
		}
		if why.code == "" {
			eligible++
			why = allowed.take(n.pool, v1.ReasonEmpty)
		}
		if why.code != "" {
			said[n.claim.UID] = verdict{why, v1.ReasonEmpty}
			continue
		}
		if err := c.take(ctx, v.now, n, string(v1.ReasonEmpty), "no pod needs the node"); err != nil {
			c.unsure[n.claim.UID] = v.now
			failed = append(failed, err)
			continue
		}
		c.soon = min(c.soon, c.settle())
	}
	c.Metrics.eligible(v1.ReasonEmpty, eligible)
	return errors.Join(failed...)
}

// notEmpty says why a node is not to go for being empty.
func (v *view) notEmpty(n candidate) block {
	quiet, left := v.quiet(n.claim, n.pool)
	switch {
	case len(n.movable) > 0:
		return block{inUse, "pods run on the node"}
	case v.awaited(n).code != "":
		return v.awaited(n)
	case v.spared(n).code != "":
		return v.spared(n)
	case v.shielded(n).code != "":
		return v.shielded(n)
	case v.kept(n).code != "":
		return v.kept(n)
	case !quiet && left == 0 && n.pool.Spec.Replicas == nil:
		return block{never, "the NodePool's consolidateAfter is Never"}
	case !quiet && left > 0, v.isNew(n.claim):
		return block{tooSoon, "consolidateAfter has not passed since a pod last came or went"}
	}
	return block{}
}

// countUnsure takes from the allowances the nodes that may have been chosen by a
// write that failed: it may have happened, and the watch may be late.
func (c *Controller) countUnsure(v *view, allowed *permits) {
	left := map[types.UID]time.Time{}
	for _, claim := range v.NodeClaims.All() {
		at, ok := c.unsure[claim.UID]
		if !ok || chosen(claim) || v.now.Sub(at) >= unsureFor {
			continue
		}
		left[claim.UID] = at
		allowed.used[claim.Labels[v1.LabelNodePool]]++
	}
	c.unsure = left
}

// allowances returns what the budgets allow.
func (c *Controller) allowances(v *view) *permits {
	return &permits{all: v.allowances(), used: map[string]int{}, held: map[types.UID]string{}}
}

// permits are what the budgets of all NodePools allow in one step.
type permits struct {
	all  map[string]map[v1.DisruptionReason]Allowance
	used map[string]int       // by NodePool
	held map[types.UID]string // by NodePool: what to tell its users
}

// left is how many more nodes of a pool may go for a reason.
func (p *permits) left(pool *v1.NodePool, reason v1.DisruptionReason) int {
	return p.all[pool.Name][reason].Nodes - p.used[pool.Name]
}

// take uses a pool's budget for one node, or says why that may not be.
func (p *permits) take(pool *v1.NodePool, reason v1.DisruptionReason) block {
	if p.left(pool, reason) > 0 {
		p.used[pool.Name]++
		return block{}
	}
	return p.refuse(pool, reason)
}

// refuse says why no more nodes of a pool may go for a reason.
func (p *permits) refuse(pool *v1.NodePool, reason v1.DisruptionReason) block {
	if problem := p.all[pool.Name][reason].Problem; problem != "" {
		return block{budgetUnreadable, "no node may be disrupted: " + problem}
	}
	if p.held[pool.UID] == "" {
		p.held[pool.UID] = "a disruption budget holds back nodes that are " + lower(reason)
	}
	return block{budgetSpent, "a disruption budget of the NodePool allows no more nodes"}
}

// tell says what holds the nodes of pools back, once until it changes.
func (c *Controller) tell(v *view, p *permits) {
	for _, pool := range v.NodePools.All() {
		for _, reason := range Reasons {
			if problem := p.all[pool.Name][reason].Problem; problem != "" {
				p.held[pool.UID] = "no node may be disrupted: " + problem
			}
		}
		if why := p.held[pool.UID]; why != "" && why != c.told[pool.UID] {
			c.Events.Event(pool, corev1.EventTypeWarning, "DisruptionBlocked", why)
		}
	}
	c.told = p.held
}

func (c *Controller) settle() time.Duration { return orDefault(c.Settle, 5*time.Second) }

func orDefault(d, otherwise time.Duration) time.Duration {
	if d == 0 {
		return otherwise
	}
	return d
}
