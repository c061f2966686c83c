package main

import (
	"cmp"
	"context"
	"fmt"
	"runtime"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/stowage-sh/stowage/binpack"
	"github.com/stowage-sh/stowage/provisioner/problem"
	"github.com/stowage-sh/stowage/test/corpus"
)

// A plan is what either side would buy.
type plan struct {
	nodes int
	// cost and bound in millionths of a dollar per hour; 0 stands for no bound.
	cost, bound int64
	// placed holds the UIDs of the pods that have a place.
	placed map[string]bool
	// unplaced says why other pods have none.
	unplaced []string
	// solving is how long the solver itself took, without what stands before and
	// after it.
	solving time.Duration
	// stopped is set when time ran out before all pods were tried.
	stopped bool
	// read fills in what is counted after the clock has stopped.
	read func(*plan) error
}

// A measure is a plan and what it took: of several runs the one in the middle, by
// time.
type measure struct {
	plan
	took      time.Duration
	allocated uint64 // bytes
}

// Runs end after so many, or after the one that uses up the time.
const (
	maxRuns = 5
	enough  = 4 * time.Second
)

// run measures batches made by prepare, each from the beginning.
func run(prepare func() func() (*plan, error)) (*measure, error) {
	var all []measure
	for spent := time.Duration(0); len(all) < maxRuns && (spent < enough || len(all) == 0); {
		batch := prepare()
		runtime.GC()
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		start := time.Now()
		out, err := batch()
		took := time.Since(start)
		runtime.ReadMemStats(&after)
		if err != nil {
			return nil, err
		}
		all = append(all, measure{plan: *out, took: took, allocated: after.TotalAlloc - before.TotalAlloc})
		spent += took
	}
	slices.SortStableFunc(all, func(a, b measure) int { return cmp.Compare(a.took, b.took) })
	m := &all[len(all)/2]
	m.placed = map[string]bool{}
	if err := m.read(&m.plan); err != nil {
		return nil, err
	}
	return m, nil
}

// stowage returns a batch of ours for pods, under the same limit of time as the
// peer's. A plan that Verify refuses is an error.
func stowage(m *corpus.Market, pods []*corev1.Pod, ignorePreferences bool, maxSteps int64, limit time.Duration) func() (*plan, error) {
	return func() (*plan, error) {
		ctx, cancel := context.WithTimeout(context.Background(), limit)
		defer cancel()
		in := m.Input(pods, maxSteps)
		in.IgnorePreferences = ignorePreferences
		// In steps, to time them apart; problem.Decide does no more where all pods find a place.
		t := problem.Build(in)
		start := time.Now()
		s, err := binpack.Solve(ctx, t.Problem)
		if err != nil {
			return nil, fmt.Errorf("solving: %w", err)
		}
		s = problem.Thin(ctx, t, s)
		solving := time.Since(start)
		if err := binpack.Verify(t.Problem, s); err != nil {
			return nil, fmt.Errorf("refusing our own plan: %w", err)
		}
		launches, _ := t.Placed(s)
		out := &plan{nodes: len(launches), cost: int64(s.Cost), bound: int64(s.LowerBound), solving: solving, stopped: s.Truncated}
		out.read = func(out *plan) error { return readOurs(t, s, launches, out) }
		return out, nil
	}
}

// readOurs notes which pods have a place, and why others have none.
func readOurs(t *problem.Translation, s *binpack.Solution, launches []problem.Launch, out *plan) error {
	var cost int64
	for i := range launches {
		cost += int64(launches[i].Rows[0].Price)
		for _, p := range launches[i].Pods {
			out.placed[string(p.UID)] = true
		}
	}
	if cost != out.cost {
		return fmt.Errorf("our claims cost %d, and the plan says %d", cost, out.cost)
	}
	for i := range s.Unplaced {
		u := &s.Unplaced[i]
		for _, r := range t.Explain(u) {
			out.unplaced = append(out.unplaced, fmt.Sprintf("%d× %s: %v", u.Count, t.Pods[u.Group][0].Name, r))
		}
	}
	for _, x := range t.Excluded {
		out.unplaced = append(out.unplaced, fmt.Sprintf("NodePool %s: %s", x.Pool, x.Reason))
	}
	return nil
}
