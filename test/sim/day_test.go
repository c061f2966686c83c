package sim_test

import (
	"errors"
	"flag"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stowage-sh/stowage/cloudprovider"
	v1 "github.com/stowage-sh/stowage/provisioner/v1"
	"github.com/stowage-sh/stowage/test/sim"
)

var (
	// dayLong is how long the day of TestDay is; make day asks for all of it.
	dayLong = flag.Duration("day", 90*time.Minute, "TestDay: how long the day is; one of less than six hours is of a small cluster, and lived with few policies")
	// dayOf is the policy of TestDay to live with alone.
	dayOf = flag.String("policy", "", "TestDay: the policy to live with alone")
)

// quietFor is the end of a day, in which no workload changes, and settles how much of it consolidation may
// take to come to rest.
const quietFor, settles = 3 * time.Hour, 20 * time.Minute

// A policy is how the NodePool of a day is consolidated.
type policy struct {
	name    string
	policy  v1.ConsolidationPolicy
	after   v1.Duration
	payback string
}

// policies are those that a day is lived with, none first.
func policies() []policy {
	all := []policy{{"none", v1.WhenEmpty, v1.Never, "1h"}, {"WhenEmpty", v1.WhenEmpty, "0s", "1h"}}
	if *dayLong < 6*time.Hour {
		return append(all, policy{"payback 1h", v1.WhenEmptyOrUnderutilized, "0s", "1h"})
	}
	all = append(all, policy{"Balanced, payback 0s", v1.Balanced, "0s", "0s"}, policy{"Balanced, payback 1h", v1.Balanced, "0s", "1h"})
	for _, payback := range []string{"0s", "15m", "30m", "1h", "2h", "4h", "12h"} {
		all = append(all, policy{"payback " + payback, v1.WhenEmptyOrUnderutilized, "0s", payback})
	}
	for _, after := range []v1.Duration{"1m", "5m"} {
		all = append(all, policy{"payback 1h, consolidateAfter " + string(after), v1.WhenEmptyOrUnderutilized, after, "1h"})
	}
	return all
}

// TestDay lives one and the same day with several policies: workloads that follow the hours, rollouts,
// jobs, spot interruptions. It prints what each costs, in money and evictions; see docs/consolidation.md.
// In the end the workloads rest, and so does consolidation.
func TestDay(t *testing.T) {
	first, last := uint64(1), uint64(2)
	if *dayLong >= 6*time.Hour {
		last = first + 3
	}
	if *seed != 0 {
		first, last = *seed, *seed+1
	}
	for n := first; n < last; n++ {
		liveDays(t, n)
	}
}

// liveDays lives the day of a seed with each policy.
func liveDays(t *testing.T, seed uint64) {
	none, headed := 0.0, false
	for _, p := range policies() {
		if *dayOf != "" && p.name != *dayOf {
			continue
		}
		d := newDay(seed, p)
		if err := d.live(); err != nil {
			t.Errorf("%s: %v\nlast errors: %v\nrepeat with: go test ./test/sim -run '^TestDay$' -day %v -seed %d -policy '%s'", p.name, err, last3of(d.proc.Errors), *dayLong, seed, p.name)
		}
		if d.spent == 0 {
			continue // it did not come to its end
		}
		if p.after == v1.Never {
			none = d.spent
		} else if none > 0 && p.policy != v1.WhenEmpty && d.spent > none {
			t.Errorf("seed %d, %s: the day cost $%.2f, and $%.2f without consolidation", seed, p.name, d.spent/1e6, none/1e6)
		}
		if !headed {
			fmt.Println(d.head(seed))
			headed = true
		}
		fmt.Println(d.row())
	}
}

func last3of(errs []error) []error { return errs[max(0, len(errs)-3):] }

// A day is a world that lives a trace with a policy.
type day struct {
	*sim.World
	*sim.Controllers
	*trace
	*sim.Ledger
	policy policy
	proc   *sim.Process
	long   time.Duration

	nodes        [2]int  // least and most
	spent, ideal float64 // during the day, in millionths of a dollar
	rested       int     // evictions to save money after the day
	late         int     // evictions to save money at rest, but for its first minutes
}

func newDay(seed uint64, p policy) *day {
	size := 0.6
	if *dayLong < 6*time.Hour {
		size = 0.15
	}
	d := &day{World: newWorld(seed), trace: drawTrace(seed, *dayLong, size), policy: p, long: *dayLong}
	d.MaxLag, d.PodDelay = 300*time.Millisecond, 4*time.Second
	d.Cloud.Catalogue, d.Cloud.Rate = dayCatalogue(), dayRate
	d.LeastAllocated = true
	d.nodes[0] = 1 << 30
	return d
}

// live lives the day.
func (d *day) live() error {
	pool := sim.NodePool("pool")
	pool.Annotations = map[string]string{v1.AnnotationConsolidationPayback: d.policy.payback}
	pool.Spec.Disruption.ConsolidationPolicy, pool.Spec.Disruption.ConsolidateAfter = d.policy.policy, d.policy.after
	pool.Spec.Disruption.Budgets = []v1.Budget{{Nodes: "10%"}}
	if err := errors.Join(d.API.Create(sim.NodeClass()), d.API.Create(pool), d.settle(d)); err != nil {
		return err
	}
	d.proc = d.Start()
	d.proc.Gathers = true
	d.Controllers = d.proc.AddControllers()
	d.Ledger = d.OpenLedger()
	if err := d.Run(20 * time.Minute); err != nil {
		return err
	}
	d.Ledger = d.OpenLedger()
	d.proc.After = d.Evicted
	d.proc.Before = func(verb string, obj client.Object) error {
		if err := d.proc.PlacesReady(verb, obj); err != nil {
			d.Fail(err)
		}
		return nil
	}
	for _, a := range d.acts {
		d.After(a.at, func() { a.do(d) })
	}
	rates := ratesOf(d.Cloud)
	for at := time.Duration(0); at < d.long; at += time.Minute {
		if err := d.Run(time.Minute); err != nil {
			return err
		}
		d.ideal += d.fluid(rates) / 60
		n := len(d.Cloud.Alive())
		d.nodes = [2]int{min(d.nodes[0], n), max(d.nodes[1], n)}
		if longest := d.Pending(); longest > 5*time.Minute {
			return fmt.Errorf("after %v: a pod has waited for %v", at, longest)
		}
	}
	d.spent = d.Spent()
	moved := len(d.Moves)
	defer func() { d.rested = len(d.Moves) - moved }()
	return d.rest()
}

// rest lets time pass in which no workload changes. Pods come to pay until they have run for as long as the
// payback; after that nothing moves any more.
func (d *day) rest() error {
	if err := d.Run(settles); err != nil {
		return err
	}
	settled := len(d.Moves)
	if err := d.Run(quietFor - settles); err != nil {
		return err
	}
	d.late = len(d.Moves) - settled
	payback, _ := v1.Duration(d.policy.payback).Get()
	// Known: at 0s, where any cent will do, each move that kube-scheduler lets end elsewhere may be followed by another.
	if quiet := d.Now.Sub(d.LastMove); d.late > 0 && payback > 0 && quiet < quietFor-settles-payback {
		return fmt.Errorf("a pod was moved %v after the last change of a workload", quietFor-quiet)
	}
	for _, p := range sim.List[*corev1.Pod](d.API) {
		if p.Spec.NodeName == "" {
			return fmt.Errorf("pod %s waits", p.Name)
		}
	}
	return nil
}

// scale makes the ReplicaSets of an app what they are to be.
func (d *day) scale(a *app) {
	fresh := int(float64(a.want)*a.replaced + 0.5)
	d.Scale(a.sets[a.current], fresh)
	d.Scale(a.sets[1-a.current], a.want-fresh)
}

// rollOut replaces the pods of an app by others, a quarter at a time.
func (d *day) rollOut(a *app) {
	if a.replaced < 1 {
		return
	}
	a.current, a.replaced = 1-a.current, 0
	for i := range 4 {
		d.After(time.Duration(i)*40*time.Second, func() {
			a.replaced += 0.25
			d.scale(a)
		})
	}
}

// interrupt has the cloud take a spot machine, if there are so many.
func (d *day) interrupt(which int) {
	spot := slices.DeleteFunc(d.Cloud.Alive(), func(i cloudprovider.Instance) bool { return i.Offering.CapacityType != cloudprovider.Spot })
	if which < len(spot) {
		d.Cloud.Interrupt(spot[which].ID, cloudprovider.SpotInterrupted)
	}
}

// head is the head of the table of a seed's days.
func (d *day) head(seed uint64) string {
	columns := []string{
		"policy", "$", "over what is asked for", "evictions to save money", "at rest", "moves of a replica in an hour: 1 / 2 / 3 / more", "back",
		"machines bought", "unused", "nodes", "waits: mean, longest", "of moved pods", "elsewhere",
	}
	return fmt.Sprintf("\nSeed %d, %v; what is asked for is worth $%.2f.\n\n| %s |\n|%s", seed, d.long, d.ideal/1e6,
		strings.Join(columns, " | "), strings.Repeat("---|", len(columns)))
}

// row is the row of the day in that table.
func (d *day) row() string {
	var moves [4]int
	for _, n := range d.Moves {
		moves[min(n, 4)-1]++
	}
	bought, unused := d.Bought()
	return fmt.Sprintf("| %s | %.2f | %.1f %% | %d | %d | %d / %d / %d / %d | %d | %d | %d | %d–%d | %s | %s | %.1f %% |", d.policy.name, d.spent/1e6,
		100*(d.spent/d.ideal-1), len(d.Moves)-d.rested, d.late, moves[0], moves[1], moves[2], moves[3], d.Returns, bought, unused,
		d.nodes[0], d.nodes[1], waits(d.Waits), waits(d.MovedWaits), 100*d.elsewhere())
}

func waits(all []time.Duration) string {
	if len(all) == 0 {
		return "–"
	}
	sum := time.Duration(0)
	for _, w := range all {
		sum += w
	}
	return fmt.Sprintf("%.1f s, %.0f s", sum.Seconds()/float64(len(all)), slices.Max(all).Seconds())
}

// elsewhere is the part of the pods with a decided place that were bound to another.
func (d *day) elsewhere() float64 {
	families, err := d.Registry.Gather()
	if err != nil {
		d.Fail(err)
	}
	by := map[string]float64{}
	for _, f := range families {
		if f.GetName() == "stowage_pods_bound_total" {
			for _, m := range f.Metric {
				by[m.Label[0].GetValue()] = m.Counter.GetValue()
			}
		}
	}
	return by["elsewhere"] / max(1, by["elsewhere"]+by["as_planned"])
}
