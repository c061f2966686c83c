package sim_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stowage-sh/stowage/cloudprovider"
	"github.com/stowage-sh/stowage/provisioner/nodepool"
	v1 "github.com/stowage-sh/stowage/provisioner/v1"
	"github.com/stowage-sh/stowage/provisioner/v1beta1"
	"github.com/stowage-sh/stowage/test/sim"
)

// TestSoak lets everything go wrong at random for two hours: crashes at any
// write, refused writes, lost answers and races, late watches, no capacity,
// machines that never join or die, claims and nodes deleted by hand, pods that
// come and go. Every law holds all the time; when the trouble ends, every pod that
// fits anything gets its place; and when the pods go, everything goes, and
// nothing is paid for.
func TestSoak(t *testing.T) { soakSeeds(t, 0) }

// TestSoakWithHeadroom is TestSoak with a CapacityBuffer, for which there is room in the end.
func TestSoakWithHeadroom(t *testing.T) { soakSeeds(t, 5) }

func soakSeeds(t *testing.T, headroom int32) {
	first, last := uint64(0), *seeds
	if *seed != 0 {
		first, last = *seed, *seed+1
	}
	for n := first; n < last; n++ {
		t.Run(fmt.Sprintf("seed %d", n), func(t *testing.T) {
			t.Parallel()
			if err := soak(n, headroom); err != nil {
				t.Errorf("%v\nrepeat with: go test ./test/sim -run '^%s$' -seed %d", err, strings.Split(t.Name(), "/")[0], n)
			}
		})
	}
}

// trouble is a world in which things go wrong until calm is set.
type trouble struct {
	*sim.World
	pool *v1.NodePool
	// fixed is a static one.
	fixed *v1.NodePool
	proc  *sim.Process
	web   *sim.ReplicaSet
	show  *prometheus.Registry // of the process that runs
	calm  bool
	made  int // NodeClaims made by hand
	pods  int // pods made by hand
	most  int // of all, beyond which no more are
}

func soak(seed uint64, headroom int32) error {
	w := newWorld(seed)
	w.MaxLag = 3 * time.Second
	w.Check(sim.NoLostMachine(10 * time.Minute)) // crashes may fall into every collection
	w.Check(sim.LaunchedOnce)
	w.Check(sim.BudgetsKept)
	w.Check(sim.ReplicasKept())
	w.Check(sim.LimitsKept)
	w.Check(sim.PlannedOnce())
	w.Check(sim.PlansFit())
	w.Cloud.ListLag = 5 * time.Second
	if seed%2 == 1 {
		w.Cloud.Reserve("cr-1", "general-04", "zone-a", 3)
	}
	x := &trouble{World: w, pool: sim.NodePool("pool"), most: 12 + 4*int(headroom)}
	x.pool.Spec.Disruption.ConsolidateAfter = "2m"
	x.pool.Spec.Disruption.Budgets = []v1.Budget{{Nodes: "2"}}
	if err := errors.Join(w.API.Create(sim.NodeClass()), w.API.Create(x.pool)); err != nil {
		return err
	}
	w.Check(sim.NoPodForgotten(time.Minute, x.could))
	if err := x.morePools(); err != nil {
		return err
	}
	x.web = w.AddReplicaSet(6, sim.Pod("web", "1", "1Gi"))
	if err := w.API.Create(sim.Budget("web", 1)); err != nil {
		return err
	}
	if headroom > 0 {
		if err := errors.Join(w.API.Create(&corev1.PodTemplate{ObjectMeta: meta("web"), Template: template("web")}), w.API.Create(spareFor(headroom))); err != nil {
			return err
		}
	}
	w.Cloud.Broken = func(cloudprovider.Instance) bool { return !x.calm && w.Rand.IntN(4) == 0 }
	x.live()
	x.happen()
	if err := w.Run(2 * time.Hour); err != nil {
		return err
	}
	x.calm = true
	w.Cloud.Empty = map[cloudprovider.Offering]bool{}
	w.Cloud.LaunchError = nil
	for _, n := range sim.List[*corev1.Node](w.API) {
		x.ail(n, corev1.ConditionTrue)
	}
	if ok, err := w.RunUntil(2*time.Hour, x.allBound); err != nil || !ok {
		return errors.Join(err, fmt.Errorf("pods bound: %v; last errors: %v", ok, last(x.proc.Errors, 3)))
	}
	if headroom > 0 {
		if ok, err := w.RunUntil(time.Hour, x.hasHeadroom); err != nil || !ok {
			return errors.Join(err, fmt.Errorf("headroom: %v; last errors: %v", ok, last(x.proc.Errors, 3)))
		}
		if err := w.API.Delete(spareFor(headroom)); err != nil {
			return err
		}
	}
	w.Scale(x.web, 0)
	sim.Update(w.API, x.fixed, func(p *v1.NodePool) { p.Spec.Replicas = new(int64(0)) })
	for _, p := range sim.List[*corev1.Pod](w.API) {
		_ = w.API.Delete(p) // the ReplicaSet may have been quicker
	}
	if err := w.Run(time.Hour); err != nil {
		return err
	}
	return x.settled()
}

func last(errs []error, n int) []error { return errs[max(0, len(errs)-n):] }

// morePools makes a second NodePool that is preferred, and small, and a static one.
func (x *trouble) morePools() error {
	small, weight := sim.NodePool("small"), int32(10)
	small.Spec.Weight, small.Spec.Disruption = &weight, x.pool.Spec.Disruption
	small.Spec.Limits = corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("20"), "nodes": resource.MustParse("4")}
	x.fixed = sim.NodePool("fixed")
	x.fixed.Spec.Replicas = new(int64(2))
	x.Cloud.Repairs = []cloudprovider.RepairPolicy{{ConditionType: "StorageReady", ConditionStatus: "False", Toleration: 5 * time.Minute}}
	return errors.Join(x.API.Create(small), x.API.Create(x.fixed))
}

// could reports whether the NodePool without limits would buy for a pod now.
func (x *trouble) could(p *corev1.Pod) bool {
	pool, _ := sim.Get[*v1.NodePool](x.API, "", x.pool.Name)
	_, failures := nodepool.Backoff(pool)
	return failures == 0 && fitsSomething(p)
}

// allBound reports whether every pod that fits anything is bound.
func (x *trouble) allBound() bool {
	for _, p := range sim.List[*corev1.Pod](x.API) {
		if p.Spec.NodeName == "" && fitsSomething(p) {
			return false
		}
	}
	return true
}

// hasHeadroom reports whether the CapacityBuffer says that there is room for all it asks for.
func (x *trouble) hasHeadroom() bool {
	b, _ := sim.Get[*v1beta1.CapacityBuffer](x.API, "default", "spare")
	return v1.IsTrue(b.Status.Conditions, v1beta1.ConditionProvisioning)
}

// live keeps a process running: whenever one has crashed, the next begins.
func (x *trouble) live() {
	if x.proc == nil || x.proc.Dead() {
		x.proc = x.Start()
		x.proc.Conflicts = 0.1
		x.proc.Before = func(verb string, _ client.Object) error { return x.fault(verb) }
		x.proc.After = x.proc.Before
		x.show = x.proc.AddControllers().Registry
	}
	// Whatever state things are in, they can be shown.
	if _, err := x.show.Gather(); err != nil {
		x.Fail(err)
	}
	x.After(7*time.Second, x.live)
}

func (x *trouble) fault(verb string) error {
	switch {
	case x.calm:
		return nil
	case x.Rand.IntN(150) == 0:
		return sim.ErrCrash
	case x.Rand.IntN(20) == 0:
		return fmt.Errorf("%s: the server is not to be reached", verb)
	}
	return nil
}

// happen makes one thing happen, and the next one soon.
func (x *trouble) happen() {
	if x.calm {
		return
	}
	claims := sim.List[*v1.NodeClaim](x.API)
	switch k := x.Rand.IntN(18); {
	case k < 5 && len(claims) < x.most:
		x.made++
		claim := sim.NodeClaim(x.pool, fmt.Sprintf("claim-%03d", x.made), smallSpot, smallB)
		if x.Rand.IntN(3) == 0 {
			claim.Spec.TerminationGracePeriod = "5m"
		}
		if x.Rand.IntN(3) == 0 {
			claim.Spec.StartupTaints = []corev1.Taint{{Key: "setup", Effect: corev1.TaintEffectNoSchedule}}
		}
		_ = x.API.Create(claim) // names never repeat
	case k == 5 && len(claims) > 0:
		_ = x.API.Delete(claims[x.Rand.IntN(len(claims))]) // listed just now
	case k == 6:
		if nodes := sim.List[*corev1.Node](x.API); len(nodes) > 0 {
			_ = x.API.Delete(nodes[x.Rand.IntN(len(nodes))]) // listed just now
		}
	case k == 7:
		if alive := x.Cloud.Alive(); len(alive) > 0 {
			x.Cloud.Kill(alive[x.Rand.IntN(len(alive))].ID)
		}
	case k == 8:
		x.Cloud.Empty[smallSpot] = !x.Cloud.Empty[smallSpot]
		x.Cloud.Empty[smallB] = x.Rand.IntN(3) == 0
	case k == 9:
		x.Cloud.LaunchError = nil
		if x.Rand.IntN(2) == 0 {
			x.Cloud.LaunchError = fmt.Errorf("the cloud is not to be reached")
		}
	case k == 10:
		sim.Update(x.API, x.fixed, func(p *v1.NodePool) { p.Spec.Replicas = new(x.Rand.Int64N(5)) })
	case k == 11:
		if nodes := sim.List[*corev1.Node](x.API); len(nodes) > 0 {
			x.ail(nodes[x.Rand.IntN(len(nodes))], []corev1.ConditionStatus{corev1.ConditionTrue, corev1.ConditionFalse, corev1.ConditionFalse}[x.Rand.IntN(3)])
		}
	case k >= 12:
		x.stir(k)
	}
	x.After(time.Duration(x.Rand.IntN(60))*time.Second, x.happen)
}

// ail makes a node break, or recover.
func (x *trouble) ail(node *corev1.Node, storage corev1.ConditionStatus) {
	sim.Update(x.API, node, func(n *corev1.Node) {
		n.Status.Conditions = slices.DeleteFunc(n.Status.Conditions, func(c corev1.NodeCondition) bool { return c.Type == "StorageReady" })
		n.Status.Conditions = append(n.Status.Conditions, corev1.NodeCondition{Type: "StorageReady", Status: storage, LastTransitionTime: metav1.NewTime(x.Now)})
	})
}

// stir makes pods come or go.
func (x *trouble) stir(k int) {
	switch all := sim.List[*corev1.Pod](x.API); {
	case k < 15:
		for range 1 + x.Rand.IntN(8) {
			x.pods++
			cpus := []string{"250m", "1", "3", "3", "7", "20"}[x.Rand.IntN(6)]
			pod := sim.Pod(fmt.Sprintf("pod-%03d", x.pods), cpus, "1Gi")
			if x.pods%4 == 0 {
				_ = x.Volume(fmt.Sprintf("data-%03d", x.pods), pod)
			}
			_ = x.API.Create(pod) // names never repeat
		}
	case k < 17 && len(all) > 0:
		for range 1 + x.Rand.IntN(8) {
			_ = x.API.Delete(all[x.Rand.IntN(len(all))]) // drawn twice is as good
		}
	default:
		x.Scale(x.web, x.Rand.IntN(12))
	}
}

// settled reports what is left that should not be: without pods, every node is
// empty, and goes.
func (x *trouble) settled() error {
	var left []string
	for _, c := range sim.List[*v1.NodeClaim](x.API) {
		left = append(left, fmt.Sprintf("NodeClaim %s %+v", c.Name, c.Status.Conditions))
	}
	for _, n := range sim.List[*corev1.Node](x.API) {
		left = append(left, "node "+n.Name)
	}
	for _, i := range x.Cloud.Alive() {
		left = append(left, "machine "+i.ID)
	}
	shown, err := x.shown()
	if err != nil {
		return err
	}
	left = append(left, shown...)
	if len(left) > 0 {
		return fmt.Errorf("left when all is done: %s", strings.Join(left, ", "))
	}
	if x.made < 10 || x.pods < 30 {
		return fmt.Errorf("only %d claims and %d pods were made: nothing happened", x.made, x.pods)
	}
	return nil
}

// shown lists the series that name an object, but for NodePools and NodeClasses:
// they stay.
func (x *trouble) shown() (series []string, err error) {
	families, err := x.show.Gather()
	for _, f := range families {
		if strings.HasPrefix(f.GetName(), "operator_nodepool_") || strings.HasPrefix(f.GetName(), "operator_ec2nodeclass_") {
			continue
		}
		for _, m := range f.Metric {
			for _, l := range m.Label {
				if l.GetName() == "name" || l.GetName() == "node_name" {
					series = append(series, fmt.Sprintf("series %s of %s", f.GetName(), l.GetValue()))
				}
			}
		}
	}
	return series, err
}
