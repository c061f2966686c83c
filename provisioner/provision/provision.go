// Package provision buys machines: it gathers pods that kube-scheduler cannot
// place into a window, solves them together, has the plan verified, and writes
// it down as NodeClaims. What becomes of a NodeClaim is package lifecycle's.
//
// Its laws: nothing is created that binpack.Verify refused; a pod with a decided
// place is not solved again as long as that place lives; and a pod that finds
// none is told why. One goroutine at a time calls Step; Nominate, Hold and Foresee may be
// called by any number meanwhile.
package provision

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	corev1helpers "k8s.io/component-helpers/scheduling/corev1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/stowage-sh/stowage/binpack"
	"github.com/stowage-sh/stowage/cloudprovider"
	"github.com/stowage-sh/stowage/pricing"
	"github.com/stowage-sh/stowage/provisioner/batch"
	"github.com/stowage-sh/stowage/provisioner/headroom"
	"github.com/stowage-sh/stowage/provisioner/lifecycle"
	"github.com/stowage-sh/stowage/provisioner/problem"
	"github.com/stowage-sh/stowage/provisioner/state"
	v1 "github.com/stowage-sh/stowage/provisioner/v1"
)

// A Controller holds what a decision needs. Set the exported fields before the
// first Step, and not after.
type Controller struct {
	Cluster *state.Cluster
	// Write must be a state.Recorded writer of Cluster.
	Write        state.Writer
	Events       state.Recorder
	Cloud        cloudprovider.Provider
	Availability *cloudprovider.Availability
	// Prices of offerings. A decision takes one table from it and keeps to it.
	Prices *pricing.Book
	// NewName returns a name that no NodeClaim has, from the NodePool's.
	NewName func(nodePool string) string
	// Window gathers the pods of a batch.
	Window batch.Window
	// Retry is how long a pod that found no place waits to be tried again, and
	// how long a place on an open node stays decided; 0 means ten seconds.
	Retry time.Duration
	// MaxSteps as in binpack.Problem.
	MaxSteps int64
	// IgnorePreferences and RelaxMinValues as in problem.Input.
	IgnorePreferences, RelaxMinValues bool
	// Schedulers are those whose pods get machines.
	Schedulers problem.Schedulers
	// Spreads as in problem.Input. What it asks for must be in the Cluster.
	Spreads problem.DefaultSpreads
	// Parallel is how many NodeClaims are created at once; 0 means one.
	Parallel int
	// NoNominations keeps pods' nominatedNodeName alone.
	NoNominations bool
	// Clock times the solver for a metric, and decides nothing; nil for no timing.
	Clock func() time.Time
	// Metrics may be nil.
	Metrics *Metrics

	verify func(*binpack.Problem, *binpack.Solution) error // nil means binpack.Verify; for tests of a refusal
	tried  map[types.UID]time.Time                         // pods that found no place, and when
	told   map[types.UID]telling                           // what each was told
	lost   map[types.UID]loss                              // what pods that wait lost a place on a NodeClaim
	flow   map[time.Time]time.Time                         // when a pod was last bound, of those decided at a time
	unsure unsure                                          // claims that may have been written
	rounds rounds                                          // of nodes that open together
	left   map[types.UID]departure                         // pods whose places wait for those that come after them
	came   map[types.UID]bool                              // pods that were bound and have come after one of these
	spare  spare                                           // headroom

	announced atomic.Int64 // Nominated events of this batch
}

// A telling is what the last message that a pod got was about, and when it got it.
type telling struct {
	about string
	at    time.Time
}

// Step looks at the cluster, solves the batch if its window has closed, and
// says when to look again if nothing else happens.
func (c *Controller) Step(ctx context.Context, now time.Time) (again time.Duration, err error) {
	c.unsure.settle(c.Cluster, now, c.retry())
	c.settle(now, c.Cluster.Snapshot())
	c.inherit(now, c.Cluster.Snapshot())
	snapshot := c.Cluster.Snapshot()
	again = c.retry()
	if len(c.left) > 0 {
		again = min(again, time.Second)
	}
	moving := c.movers(now, snapshot)
	waiting := c.waiting(snapshot, moving)
	c.Metrics.queue(now, waiting)
	if all := len(waiting); len(c.lost) > 0 && isUnsettled(snapshot) {
		waiting = slices.DeleteFunc(waiting, func(p *corev1.Pod) bool {
			l := c.lost[p.UID]
			return l.cause == placeLost && now.Sub(l.at) < unrest
		})
		if len(waiting) < all {
			again = min(again, time.Second)
		}
	}
	waiting = append(waiting, moving...)
	for _, p := range waiting {
		if at, ok := c.tried[p.UID]; !ok || now.Sub(at) >= c.retry() {
			c.Window.Add(now, string(p.UID))
		}
	}
	if c.Window.Take(now) != nil && len(waiting) > 0 {
		err = c.solve(ctx, now, snapshot, waiting)
	}
	if at, ok := c.Window.Deadline(); ok {
		again = min(again, max(at.Sub(now), 0))
	}
	wait, failed := c.keepHeadroom(ctx, now)
	again, err = min(again, wait), errors.Join(err, failed)
	snapshot = c.Cluster.Snapshot() // what was decided is in it
	again = min(again, c.nominateOpen(ctx, now, snapshot))
	c.withdrawStray(ctx, snapshot)
	return again, err
}

func (c *Controller) retry() time.Duration {
	if c.Retry == 0 {
		return 10 * time.Second
	}
	return c.Retry
}

// waiting returns the pods that have no node and no decided place, and forgets
// those that went: they neither wait nor move.
func (c *Controller) waiting(s *state.Snapshot, moving []*corev1.Pod) []*corev1.Pod {
	var pods []*corev1.Pod
	alive := map[types.UID]bool{}
	for _, p := range moving {
		alive[p.UID] = true
	}
	for _, p := range s.Unbound.All() {
		if !problem.Provisionable(p) || !c.Schedulers.Serve(p) {
			continue
		}
		alive[p.UID] = true
		if _, planned := s.Plans.Get(p.UID); !planned && !problem.MakesRoom(s, p) {
			pods = append(pods, p)
		}
	}
	maps.DeleteFunc(c.tried, func(uid types.UID, _ time.Time) bool { return !alive[uid] })
	maps.DeleteFunc(c.told, func(uid types.UID, _ telling) bool { return !alive[uid] })
	maps.DeleteFunc(c.lost, func(uid types.UID, _ loss) bool { return !alive[uid] })
	return pods
}

// solve decides where pods go, and acts on it.
func (c *Controller) solve(ctx context.Context, now time.Time, s *state.Snapshot, pods []*corev1.Pod) error {
	in := c.input(ctx, now, s, pods)
	in.Lost, in.Nominates = c.lostPlaces(), !c.NoNominations
	stop := c.Metrics.time(c.Clock)
	t, solution, err := problem.Decide(ctx, in)
	stop()
	if err != nil {
		err = fmt.Errorf("solving a batch of %d pods: %w", len(pods), err)
		c.fail(now, pods, "solving", err)
		return err
	}
	if err := c.check(t, solution); err != nil {
		err = fmt.Errorf("refusing the plan for a batch of %d pods, nothing is launched: %w", len(pods), err)
		c.fail(now, pods, "refusing", err)
		return err
	}
	launches, placements := t.Placed(solution)
	c.spare.doubtful = c.spare.doubtful || len(launches)+len(placements) > 0
	c.tried = map[types.UID]time.Time{}
	c.announced.Store(0)
	c.place(now, placements)
	err = c.create(ctx, now, launches)
	unplaced := c.tell(now, t, solution)
	c.Metrics.solved(solution, unplaced)
	log.FromContext(ctx).Info("solved a batch", "pods", len(pods), "nodeclaims", len(launches), "unplaced", unplaced,
		"usd-per-hour", usd(solution.Cost), "lower-bound", usd(solution.LowerBound), "steps", solution.Steps)
	return err
}

// check has a plan verified.
func (c *Controller) check(t *problem.Translation, s *binpack.Solution) error {
	if c.verify != nil {
		return c.verify(t.Problem, s)
	}
	return binpack.Verify(t.Problem, s)
}

func usd(m binpack.MicroUSD) float64 { return float64(m) / 1e6 }

// input gathers what the decision depends on. It may be called by any number of goroutines.
func (c *Controller) input(ctx context.Context, now time.Time, s *state.Snapshot, pods []*corev1.Pod) *problem.Input {
	in := &problem.Input{
		Snapshot:    s,
		Pods:        pods,
		Catalogs:    map[string]*cloudprovider.Catalog{},
		Prices:      c.Prices.At(now),
		Overlays:    problem.OverlaysOf(s),
		Unavailable: func(o cloudprovider.Offering) bool { return c.Availability.Unavailable(now, o) },
		Excluded:    map[string]string{},
		NodesLeft:   map[string]int64{},
		MaxSteps:    c.MaxSteps,

		IgnorePreferences: c.IgnorePreferences,
		RelaxMinValues:    c.RelaxMinValues,
		Spreads:           c.Spreads,
	}
	// Each NodeClass is looked at once: one that changes meanwhile must not be two
	// different things to two NodePools of one decision.
	type look struct {
		catalog *cloudprovider.Catalog
		err     error
	}
	looks := map[v1.NodeClassReference]look{}
	for _, pool := range s.NodePools.All() {
		class := pool.Spec.Template.Spec.NodeClassRef
		l, looked := looks[class]
		if !looked {
			l.catalog, l.err = c.Cloud.Catalog(ctx, cloudprovider.NodeClassRef(class))
			looks[class] = l
		}
		if l.err != nil {
			in.Excluded[pool.Name] = l.err.Error()
			continue
		}
		in.Catalogs[pool.Name] = l.catalog
		if ready := v1.GetCondition(pool.Status.Conditions, v1.ConditionReady); ready == nil {
			in.Excluded[pool.Name] = "its status is not known yet"
		} else if !v1.IsTrue(pool.Status.Conditions, v1.ConditionReady) {
			in.Excluded[pool.Name] = "is not ready: " + ready.Message
		}
		c.backOff(now, s, pool, in)
	}
	return in
}

// backOff keeps a NodePool whose nodes keep failing to join from buying more,
// and later lets it buy one at a time until one joins.
func (c *Controller) backOff(now time.Time, s *state.Snapshot, pool *v1.NodePool, in *problem.Input) {
	left, why := lifecycle.Probation(now, s, pool)
	switch {
	case why != "":
		in.Excluded[pool.Name] = why
	case left < lifecycle.Unlimited:
		in.NodesLeft[pool.Name] = left
	}
}

// place notes the places decided on machines that exist or are on their way.
func (c *Controller) place(now time.Time, placements []problem.Placement) {
	plans := map[types.UID]state.Plan{}
	for _, placement := range placements {
		var place state.Plan
		if placement.Bin.Claim != nil {
			place.NodeClaim = placement.Bin.Claim.Name
		} else {
			place.Node = placement.Bin.Node.Name
		}
		for _, p := range placement.Pods {
			plans[p.UID] = planned(now, p, place)
			c.nominated(p, placement.Bin.Name())
		}
		waited, _ := split(placement.Pods)
		c.Metrics.placed(now, waited)
	}
	c.Cluster.SetPlans(plans)
}

// planned is the plan of a pod for a place.
func planned(now time.Time, p *corev1.Pod, place state.Plan) state.Plan {
	place.Pod, place.At, place.Move = client.ObjectKeyFromObject(p), now, moveOf(p)
	place.Spread, place.Priority = problem.SpreadsOverDomains(p), corev1helpers.PodPriority(p)
	place.Headroom.Buffer = headroom.BufferOf(p)
	return place
}

// create writes the new nodes down as NodeClaims. One that cannot be written
// does not stop the others: its pods are solved again.
func (c *Controller) create(ctx context.Context, now time.Time, launches []problem.Launch) error {
	all := make([]*problem.Launch, len(launches))
	for i := range launches {
		all[i] = &launches[i]
	}
	c.name(all)
	errs := make([]error, len(launches))
	var group errgroup.Group
	group.SetLimit(max(1, c.Parallel))
	for i := range launches {
		group.Go(func() error {
			errs[i] = c.createOne(ctx, now, &launches[i])
			return nil
		})
	}
	_ = group.Wait() // each error is in errs
	var served []*corev1.Pod
	for i, err := range errs {
		if err != nil {
			c.fail(now, launches[i].Pods, "creating "+launches[i].Rows[0].Pool.Name, err)
			continue
		}
		served = append(served, launches[i].Pods...)
	}
	c.secondWave(served)
	return errors.Join(errs...)
}

// name gives names to the NodeClaims of a batch, and says which of them are launched together.
func (c *Controller) name(launches []*problem.Launch) {
	claims := make([]*v1.NodeClaim, len(launches))
	for i, l := range launches {
		l.Claim.Name = c.NewName(l.Rows[0].Pool.Name)
		claims[i] = l.Claim
	}
	v1.GroupLaunches(claims)
}

// createOne writes down a new node that has a name.
func (c *Controller) createOne(ctx context.Context, now time.Time, l *problem.Launch) error {
	pool := l.Rows[0].Pool.Name
	if err := c.write(ctx, now, l.Claim); err != nil {
		return fmt.Errorf("creating a NodeClaim for NodePool %s: %w", pool, err)
	}
	plans := map[types.UID]state.Plan{}
	for _, p := range l.Pods {
		plans[p.UID] = planned(now, p, state.Plan{NodeClaim: l.Claim.Name})
		c.nominated(p, "nodeclaim/"+l.Claim.Name)
	}
	c.Cluster.SetPlans(plans)
	c.Metrics.created(now, l)
	return nil
}

// maxNominated is the most Nominated events of one batch: those of a large one
// would crowd out the events that say what is wrong.
const maxNominated = 10

// nominated tells a pod where it is to go.
func (c *Controller) nominated(p *corev1.Pod, place string) {
	if hears(p) && c.announced.Add(1) <= maxNominated {
		c.Events.Event(p, corev1.EventTypeNormal, "Nominated", "Pod should schedule on: "+place)
	}
}

// fail tells pods for which a decision could not be carried out, and lets them wait
// before they are tried again. What failed is said once, though such errors read
// differently each time: they have the size of a batch in them, or the name of what
// was not made.
func (c *Controller) fail(now time.Time, pods []*corev1.Pod, what string, cause error) {
	if c.tried == nil {
		c.tried = map[types.UID]time.Time{}
	}
	for _, p := range pods {
		c.tried[p.UID] = now
		if hears(p) {
			c.say(now, p, what, cause.Error())
		}
	}
}

// say sends a pod a message about something, and the next one about the same after
// two minutes at the earliest.
func (c *Controller) say(now time.Time, p *corev1.Pod, about, message string) {
	if c.told == nil {
		c.told = map[types.UID]telling{}
	}
	if last := c.told[p.UID]; last.about == about && now.Sub(last.at) < 2*time.Minute {
		return
	}
	c.told[p.UID] = telling{about, now}
	c.Events.Event(p, corev1.EventTypeWarning, "FailedScheduling", message)
}

// tell gives each pod that waits and found no place the reasons, and counts them. One that is to
// leave its node runs yet: what keeps it there is said of the node.
func (c *Controller) tell(now time.Time, t *problem.Translation, s *binpack.Solution) (unplaced int) {
	for i := range s.Unplaced {
		u := &s.Unplaced[i]
		message := "Stowage finds no place: " + problem.Sentence(t.Explain(u))
		pods := t.Pods[u.Group]
		waited, moving := split(pods[len(pods)-int(u.Count):])
		c.Metrics.unplaced(now, waited)
		for _, p := range moving {
			c.tried[p.UID] = now
		}
		for _, p := range waited {
			unplaced++
			c.tried[p.UID] = now
			c.say(now, p, message, message)
		}
	}
	return unplaced
}
