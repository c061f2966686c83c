package sim_test

import (
	"cmp"
	"errors"
	"flag"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stowage-sh/stowage/cloudprovider"
	v1 "github.com/stowage-sh/stowage/provisioner/v1"
	"github.com/stowage-sh/stowage/test/sim"
)

// lives is how many worlds TestLife runs in; make sim asks for a thousand.
var lives = flag.Uint64("lives", 3*worlds, "run TestLife in this many worlds")

// troubled is how long there is trouble; it takes less time in each of more worlds.
var troubled = flag.Duration("trouble", 2*time.Minute, "have things happen for so long in each world of TestLife")

// TestLife is a cluster of twenty nodes and more, and two hundred pods and more, in which
// everything happens that ends nodes: drift, expiration, interruption, deletion by hand, machines that die or
// never join, capacity that runs out; while workloads scale and are rolled out, budgets and
// annotations come and go, and the controllers crash, are refused, lose answers, see late and old
// news and have clocks that jump. The laws hold after every event, and when the trouble ends all
// of it settles.
func TestLife(t *testing.T) {
	first, last := uint64(0), *lives
	if *seed != 0 {
		first, last = *seed, *seed+1
	}
	all := &tally{}
	t.Run("seeds", func(t *testing.T) {
		for n := first; n < last; n++ {
			t.Run(fmt.Sprint(n), func(t *testing.T) {
				t.Parallel()
				l := newLife(n)
				if err := l.live(); err != nil {
					t.Errorf("%v\nlast: %s\nrepeat with: go test ./test/sim -run '^TestLife$' -trouble %v -seed %d", err, strings.Join(last3(l.happened), ", "), *troubled, n)
				}
				all.add(l)
			})
		}
	})
	t.Log(all)
}

func last3(words []string) []string { return words[max(0, len(words)-3):] }

// A tally is what happened in all worlds.
type tally struct {
	mu     sync.Mutex
	worlds int
	events int
	kinds  map[string]int
	nodes  int // the fewest at the begin of a world
	pods   int
}

func (t *tally) add(l *life) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.kinds == nil {
		t.kinds = map[string]int{}
	}
	if t.worlds == 0 {
		t.nodes, t.pods = l.nodes, l.pods
	}
	t.worlds, t.events = t.worlds+1, t.events+l.events
	t.nodes, t.pods = min(t.nodes, l.nodes), min(t.pods, l.pods)
	for kind, n := range l.kinds {
		t.kinds[kind] += n
	}
}

// String says what happened, by kind.
func (t *tally) String() string {
	words := []string{fmt.Sprintf("%d worlds of at least %d nodes and %d pods, %d events", t.worlds, t.nodes, t.pods, t.events)}
	for _, kind := range slices.Sorted(maps.Keys(t.kinds)) {
		words = append(words, fmt.Sprintf("%s %d", kind, t.kinds[kind]))
	}
	return strings.Join(words, "\n")
}

// A life is one world of TestLife.
type life struct {
	*sim.World
	pools    []*v1.NodePool
	apps     []*sim.ReplicaSet
	proc     *sim.Process
	calm     bool
	kinds    map[string]int // what happened, and what went wrong, by kind
	happened []string
	events   int
	nodes    int
	pods     int
}

func newLife(seed uint64) *life {
	l := &life{World: newWorld(seed), kinds: map[string]int{}}
	l.MaxLag = 2 * time.Second
	l.Cloud.ListLag = 3 * time.Second
	l.Cloud.Mail.Lag, l.Cloud.Mail.Repeats, l.Cloud.Mail.Loses = 10*time.Second, 0.2, 0.2
	l.Cloud.JoinDelay, l.Cloud.ReadyDelay, l.Cloud.StopDelay = 8*time.Second, 2*time.Second, 5*time.Second
	l.Check(func(*sim.World) error { l.events++; return nil })
	l.seldom(time.Second, sim.NoLostMachine(10*time.Minute))
	l.seldom(time.Second, sim.LaunchedOnce)
	l.seldom(time.Second, sim.LimitsKept)
	l.Check(sim.PlannedOnce())
	return l
}

// seldom checks a law no more often than that: it costs as much as the world is large.
func (l *life) seldom(every time.Duration, law func(*sim.World) error) {
	var looked time.Time
	l.Check(func(w *sim.World) error {
		if w.Now.Sub(looked) < every {
			return nil
		}
		looked = w.Now
		return law(w)
	})
}

// runUntil lets time pass until done is true, which is looked at every few seconds.
func (l *life) runUntil(limit time.Duration, done func() bool) (bool, error) {
	for end := l.Now.Add(limit); l.Now.Before(end); {
		if done() {
			return true, nil
		}
		if err := l.Run(5 * time.Second); err != nil {
			return false, err
		}
	}
	return done(), nil
}

// live is the whole life: it begins, has its time of trouble, in which something happens every three
// seconds, and is to settle.
func (l *life) live() error {
	if err := l.begin(); err != nil {
		return err
	}
	l.Cloud.Broken = func(cloudprovider.Instance) bool { return l.happens("machine never joins", 8) }
	l.trouble()
	if err := l.Run(*troubled); err != nil {
		return err
	}
	l.calm = true
	l.proc.Skew = 0
	l.Cloud.Empty = map[cloudprovider.Offering]bool{}
	l.Cloud.LaunchError = nil
	sim.Update(l.API, l.pools[2], func(p *v1.NodePool) { p.Spec.Template.Spec.ExpireAfter = v1.Never }) // its nodes drift for it
	for _, app := range l.apps {
		l.Scale(app, 18) // more than their PodDisruptionBudgets ask for
	}
	for _, p := range sim.List[*corev1.Pod](l.API) {
		sim.Update(l.API, p, func(p *corev1.Pod) { delete(p.Annotations, v1.AnnotationDoNotDisrupt) })
	}
	if ok, err := l.runUntil(3*time.Hour, l.settled); err != nil || !ok {
		return errors.Join(err, fmt.Errorf("settled: %v: %s; last errors: %v", ok, l.unsettled(), last(l.proc.Errors, 3)))
	}
	if l.nodes < 20 || l.pods < 200 || l.events < 500 {
		return fmt.Errorf("%d nodes, %d pods, %d events: that is no life", l.nodes, l.pods, l.events)
	}
	return nil
}

// begin makes the cluster, and waits until all pods run.
func (l *life) begin() error {
	err := l.API.Create(sim.NodeClass())
	for i, budget := range []string{"20%", "3", "100%"} {
		pool := sim.NodePool(fmt.Sprintf("pool-%d", i))
		pool.Spec.Disruption.ConsolidateAfter = "1m"
		pool.Spec.Disruption.Budgets = []v1.Budget{{Nodes: budget}}
		pool.Spec.Template.Metadata.Labels = map[string]string{"example.com/tier": fmt.Sprint(i)}
		pool.Spec.Template.Spec.Requirements = []v1.Requirement{{Key: corev1.LabelInstanceTypeStable, Operator: corev1.NodeSelectorOpIn, Values: []string{"general-02", "general-04", "general-08"}}}
		if i == 1 {
			pool.Spec.Template.Spec.TerminationGracePeriod = "5m"
		}
		if i == 2 {
			pool.Spec.Template.Spec.ExpireAfter = "8m"
		}
		err = errors.Join(err, l.API.Create(pool))
		l.pools = append(l.pools, pool)
	}
	for i := range 12 {
		pod := sim.Pod(fmt.Sprintf("app-%02d", i), []string{"500m", "700m", "1300m"}[i%3], "1Gi")
		pod.Spec.NodeSelector = map[string]string{"example.com/tier": fmt.Sprint(i % len(l.pools))}
		l.apps = append(l.apps, l.AddReplicaSet(17+l.Rand.IntN(4), pod))
		if i%2 == 0 {
			err = errors.Join(err, l.API.Create(sim.Budget(pod.Name, 15)))
		}
	}
	l.keepAlive()
	ok, ran := l.runUntil(10*time.Minute, func() bool { return l.unsettledPods() == "" })
	l.nodes, l.pods = len(sim.List[*corev1.Node](l.API)), len(sim.List[*corev1.Pod](l.API))
	if !ok {
		err = errors.Join(err, fmt.Errorf("it does not begin: %s", l.unsettledPods()))
	}
	return errors.Join(err, ran)
}

// keepAlive keeps a process running: whenever one has crashed, the next begins.
func (l *life) keepAlive() {
	if l.proc == nil || l.proc.Dead() {
		l.proc = l.Start()
		l.proc.Conflicts, l.proc.Repeats = 0.05, 0.05
		p := l.proc
		p.Before = func(verb string, obj client.Object) error {
			if err := errors.Join(p.Gentle(verb, obj), p.Budgeted(verb, obj), p.PlacesReady(verb, obj)); err != nil {
				l.Fail(err)
			}
			return l.fault(verb)
		}
		p.After = func(verb string, _ client.Object) error { return l.fault(verb) }
		p.AddControllers()
	}
	l.After(5*time.Second, l.keepAlive)
}

// happens draws whether something does, one time in n, while there is trouble, and counts it.
func (l *life) happens(what string, n int) bool {
	if l.calm || len(l.happened) == 0 || l.Rand.IntN(n) > 0 {
		return false
	}
	l.kinds[what]++
	return true
}

// fault is what goes wrong with a write.
func (l *life) fault(verb string) error {
	switch {
	case l.happens("fault: crash", 250):
		return sim.ErrCrash
	case l.happens("fault: no connection", 40):
		return fmt.Errorf("%s: the server is not to be reached", verb)
	case l.happens("fault: throttled", 60):
		return apierrors.NewTooManyRequestsError("too many requests")
	case verb == "evict" && l.happens("fault: eviction 500", 10):
		return apierrors.NewInternalError(errors.New("this pod has more than one PodDisruptionBudget"))
	}
	return nil
}

// trouble makes one thing happen, and the next one soon.
func (l *life) trouble() {
	if l.calm {
		return
	}
	acts := []struct {
		what string
		do   func()
	}{
		{"drift of a NodePool", l.driftPool}, {"drift of a node", l.driftNode},
		{"node deleted by hand", func() { deleteOne[*corev1.Node](l) }}, {"NodeClaim deleted by hand", func() { deleteOne[*v1.NodeClaim](l) }},
		{"machine dies", l.killMachine}, {"capacity comes and goes", l.changeCapacity}, {"workload scales", l.scale}, {"rollout", l.rollOut},
		{"pod deleted", func() { deleteOne[*corev1.Pod](l) }}, {"do-not-disrupt on a pod", l.protectPod}, {"budget changes", l.changeBudget},
		{"second PodDisruptionBudget", l.secondBudget}, {"clock jumps", l.jump}, {"cloud not to be reached", l.breakCloud},
		{"interruption", l.interrupt},
	}
	act := acts[l.Rand.IntN(len(acts))]
	if act.what == "drift of a NodePool" && l.Rand.IntN(3) > 0 {
		act = acts[1] // it takes the longest of all to settle
	}
	l.kinds[act.what]++
	l.happened = append(l.happened, act.what)
	act.do()
	l.After(time.Duration(l.Rand.IntN(6))*time.Second, l.trouble)
}

func any1[T client.Object](l *life) (obj T, ok bool) {
	all := sim.List[T](l.API)
	if len(all) == 0 {
		return obj, false
	}
	return all[l.Rand.IntN(len(all))], true
}

func deleteOne[T client.Object](l *life) {
	if obj, ok := any1[T](l); ok {
		_ = l.API.Delete(obj) // listed just now
	}
}

func (l *life) driftPool() {
	sim.Update(l.API, l.pools[l.Rand.IntN(len(l.pools))], func(p *v1.NodePool) {
		p.Spec.Template.Metadata.Annotations = map[string]string{"example.com/change": fmt.Sprint(len(l.happened))}
	})
}

func (l *life) driftNode() {
	if c, ok := any1[*v1.NodeClaim](l); ok {
		driftMachine(l.World, c)
	}
}

func (l *life) killMachine() {
	if alive := l.Cloud.Alive(); len(alive) > 0 {
		l.Cloud.Kill(alive[l.Rand.IntN(len(alive))].ID)
	}
}

func (l *life) interrupt() {
	kinds := []string{cloudprovider.SpotInterrupted, cloudprovider.SpotInterrupted, cloudprovider.EventStatus, cloudprovider.ScheduledChange,
		cloudprovider.SystemStatus, cloudprovider.InstanceTerminated, cloudprovider.RebalanceRecommendation}
	if alive := l.Cloud.Alive(); len(alive) > 0 {
		kind := kinds[l.Rand.IntN(len(kinds))]
		l.kinds["interruption: "+kind]++
		l.Cloud.Interrupt(alive[l.Rand.IntN(len(alive))].ID, kind)
	}
}

func (l *life) changeCapacity() {
	for _, t := range l.Cloud.Catalogue.InstanceTypes {
		for _, o := range t.Offerings {
			l.Cloud.Empty[o] = l.Rand.IntN(3) == 0
		}
	}
}

func (l *life) scale() {
	l.Scale(l.apps[l.Rand.IntN(len(l.apps))], 15+l.Rand.IntN(10))
}

// rollOut ends the pods of a workload one after the other, as a rollout would.
func (l *life) rollOut() {
	for i, p := range l.PodsOf(l.apps[l.Rand.IntN(len(l.apps))]) {
		l.After(time.Duration(i)*3*time.Second, func() { _ = l.API.Delete(p) }) // it may be gone
	}
}

func (l *life) protectPod() {
	if p, ok := any1[*corev1.Pod](l); ok {
		value := []string{"true", "10m", "1h"}[l.Rand.IntN(3)]
		sim.Update(l.API, p, func(p *corev1.Pod) { p.Annotations = map[string]string{v1.AnnotationDoNotDisrupt: value} })
	}
}

func (l *life) changeBudget() {
	pool := l.pools[l.Rand.IntN(len(l.pools))]
	nodes := []string{"0", "1", "3", "20%", "50%", "some"}[l.Rand.IntN(6)]
	sim.Update(l.API, pool, func(p *v1.NodePool) { p.Spec.Disruption.Budgets = []v1.Budget{{Nodes: nodes}} })
	l.After(5*time.Minute, func() {
		sim.Update(l.API, pool, func(p *v1.NodePool) { p.Spec.Disruption.Budgets = []v1.Budget{{Nodes: "20%"}} })
	})
}

func (l *life) secondBudget() {
	app := l.apps[l.Rand.IntN(len(l.apps))].Name
	second := sim.Budget(app, 1)
	second.Name = app + "-2"
	if l.API.Create(second) == nil {
		l.After(5*time.Minute, func() { _ = l.API.Delete(second) })
	}
}

func (l *life) jump() {
	l.proc.Skew = time.Duration(l.Rand.IntN(180)-90) * time.Second
	l.After(3*time.Minute, func() { l.proc.Skew = 0 })
}

func (l *life) breakCloud() {
	l.Cloud.LaunchError = errors.New("the cloud is not to be reached")
	l.After(2*time.Minute, func() { l.Cloud.LaunchError = nil })
}

func (l *life) settled() bool { return l.unsettled() == "" }

// unsettled says what is not as it should be in the end.
func (l *life) unsettled() string {
	for _, c := range sim.List[*v1.NodeClaim](l.API) {
		for _, kind := range []string{v1.ConditionDrifted, v1.ConditionDisruptionReason, v1.ConditionInterrupted} {
			if v1.IsTrue(c.Status.Conditions, kind) {
				return fmt.Sprintf("NodeClaim %s is %s: %+v", c.Name, kind, c.Status.Conditions)
			}
		}
	}
	for _, n := range sim.List[*corev1.Node](l.API) {
		if slices.ContainsFunc(n.Spec.Taints, func(t corev1.Taint) bool { return t.Key == v1.TaintDisrupted }) {
			return fmt.Sprintf("node %s is tainted", n.Name)
		}
	}
	return l.unsettledPods()
}

func (l *life) unsettledPods() string {
	running := 0
	for _, p := range sim.List[*corev1.Pod](l.API) {
		if p.Spec.NodeName == "" || p.Status.Phase != corev1.PodRunning {
			return fmt.Sprintf("pod %s is %s on %q", p.Name, cmp.Or(p.Status.Phase, "new"), p.Spec.NodeName)
		}
		running++
	}
	if running == 0 {
		return "there are no pods"
	}
	return ""
}
