package disrupt

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/robfig/cron/v3"

	"github.com/stowage-sh/stowage/provisioner/lifecycle"
	"github.com/stowage-sh/stowage/provisioner/state"
	v1 "github.com/stowage-sh/stowage/provisioner/v1"
)

// Reasons are those that budgets know, in order.
var Reasons = []v1.DisruptionReason{v1.ReasonUnderutilized, v1.ReasonEmpty, v1.ReasonDrifted}

// An Allowance is how many more nodes of a pool may be disrupted at one moment,
// for one reason.
type Allowance struct {
	// Nodes is below zero where more are disrupted than the budgets allow.
	Nodes int
	// Busy is how many are disrupted or not ready now.
	Busy int
	// Problem says which budget could not be read, in which case none may be
	// disrupted; else it is empty.
	Problem string

	// over is by how many more are disrupted than the budgets allow of all nodes. Those that
	// are not ready are left out: a node that fails is no reason to break off what was begun.
	over int
}

// Allowances computes the allowance of every pool, by name, for each of Reasons:
// the least of the budgets that are active at now and cover the reason, all nodes
// where there is none, less the nodes that are being disrupted or are not ready.
// Percentages are of the pool's initialized nodes, rounded up; a node and the one that
// replaces it are one of them.
func Allowances(now time.Time, s *state.Snapshot) map[string]map[v1.DisruptionReason]Allowance {
	tallies := count(s)
	all := map[string]map[v1.DisruptionReason]Allowance{}
	for _, pool := range s.NodePools.All() {
		all[pool.Name] = map[v1.DisruptionReason]Allowance{}
		for _, reason := range Reasons {
			all[pool.Name][reason] = tallies[pool.Name].allow(now, pool, reason)
		}
	}
	return all
}

func (t tally) allow(now time.Time, pool *v1.NodePool, reason v1.DisruptionReason) Allowance {
	least, over := t.total-t.twice, 0
	for i, b := range pool.Spec.Disruption.Budgets {
		if len(b.Reasons) > 0 && !slices.Contains(b.Reasons, reason) {
			continue
		}
		few, err := budget(now, b, t.total-t.twice)
		if err != nil {
			return Allowance{Nodes: -t.busy, Busy: t.busy, over: t.goingFor(nil), Problem: fmt.Sprintf("spec.disruption.budgets[%d]: %v", i, err)}
		}
		many, _ := budget(now, b, t.total) // it was read just now
		least, over = min(least, few), max(over, t.goingFor(b.Reasons)-many)
	}
	return Allowance{Nodes: least - t.busy, Busy: t.busy, over: over}
}

// budget is how many of total nodes b allows at now; MaxInt where it is not
// active.
func budget(now time.Time, b v1.Budget, total int) (int, error) {
	active, err := isActive(now, b)
	if err != nil {
		return 0, err
	}
	if !active {
		return math.MaxInt, nil
	}
	percent, isPercent := strings.CutSuffix(b.Nodes, "%")
	n, err := strconv.Atoi(percent)
	if err != nil || n < 0 || isPercent && n > 100 {
		return 0, fmt.Errorf("nodes: %q is neither a number nor a percentage", b.Nodes)
	}
	if isPercent { // rounded up
		return (total*n + 99) / 100, nil
	}
	return n, nil
}

// isActive reports whether b's schedule has begun within its duration before
// now. A budget without a schedule is always active.
func isActive(now time.Time, b v1.Budget) (bool, error) {
	if b.Schedule == "" && b.Duration == "" {
		return true, nil
	}
	schedule, err := cron.ParseStandard(b.Schedule)
	if err != nil {
		return false, fmt.Errorf("schedule: %w", err)
	}
	length, ok := b.Duration.Get()
	if !ok {
		return false, fmt.Errorf("duration: %q is not a length of time", b.Duration)
	}
	begun := schedule.Next(now.UTC().Add(-length))
	return !begun.IsZero() && !begun.After(now.UTC()), nil
}

// A tally is how many nodes of a pool budgets are of, the initialized ones whose
// machines are not going already, and how many of them are disrupted: not ready,
// being deleted, or chosen to be. The last two are going. Those that are there twice are being
// deleted and have been replaced, or are new and wait for the pods of one that is chosen.
type tally struct {
	total, busy, twice int
	going              map[string]int // by the reason for which we chose them
}

// goingFor counts those that go for some reasons, all that budgets know where there are none.
func (t tally) goingFor(reasons []v1.DisruptionReason) (n int) {
	for reason, some := range t.going {
		if reason != string(reasonExpired) && reason != string(reasonInterrupted) && (len(reasons) == 0 || slices.Contains(reasons, v1.DisruptionReason(reason))) {
			n += some
		}
	}
	return n
}

// count returns the tallies of all pools, by name.
func count(s *state.Snapshot) map[string]tally {
	awaits := map[string]bool{} // pods from nodes that are going
	for _, plan := range s.Plans.All() {
		if plan.Move.From != "" {
			awaits[plan.NodeClaim] = true
		}
	}
	tallies := map[string]tally{}
	for _, claim := range s.NodeClaims.All() {
		c := claim.Status.Conditions
		if !v1.IsTrue(c, v1.ConditionInitialized) || v1.IsTrue(c, v1.ConditionInstanceTerminating) {
			continue
		}
		t := tallies[claim.Labels[v1.LabelNodePool]]
		t.total++
		node, ok := s.NodeOf(claim)
		switch {
		case s.Leaving(claim):
			if reason := chosenFor(claim); reason != "" {
				if t.going == nil {
					t.going = map[string]int{}
				}
				t.going[reason]++
			}
			t.busy++
			if claim.DeletionTimestamp != nil {
				t.twice++
			}
		case !ok || !lifecycle.NodeReady(node):
			t.busy++
		case awaits[claim.Name] && !slices.ContainsFunc(s.PodsOn(node.Name), lifecycle.Reschedulable):
			t.twice++
		}
		tallies[claim.Labels[v1.LabelNodePool]] = t
	}
	return tallies
}
