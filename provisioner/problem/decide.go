package problem

import (
	"cmp"
	"context"
	"maps"
	"slices"

	"k8s.io/apimachinery/pkg/types"

	"github.com/stowage-sh/stowage/binpack"
)

// Decide translates a batch and solves it. Where pods find no place, and preferences may be
// why, it decides again: first without those of the pods themselves, then without those of
// all pods like them and, if others may be in their way, without any. It returns the plan that
// places most pods, those of higher priority first. The error is that of binpack.Solve.
func Decide(ctx context.Context, in *Input) (*Translation, *binpack.Solution, error) {
	t := Build(in)
	s, err := binpack.Solve(ctx, t.Problem)
	if err != nil || t.heard.Len() == 0 || len(s.Unplaced) == 0 {
		return t, s, err
	}
	again := func(in *Input, atMost int) {
		u := Build(in)
		// If ctx ends the plan comes back truncated, and is the worse one.
		if other, err := binpack.Solve(ctx, u.Problem); err == nil && slices.Compare(unplaced(u.Problem, other), unplaced(t.Problem, s)) <= atMost {
			t, s = u, other
		}
	}
	own := *in
	own.unheard = map[types.UID]bool{}
	for _, alike := range []bool{false, true} {
		before := len(own.unheard)
		for _, u := range s.Unplaced {
			if !t.heard.Has(u.Group) {
				continue
			}
			pods := t.Pods[u.Group]
			if !alike {
				pods = pods[len(pods)-int(u.Count):] // the others have places by what is heard
			}
			for _, p := range pods {
				own.unheard[p.UID] = true
			}
		}
		if len(own.unheard) > before {
			again(&own, 0) // no worse will do: its reasons are not about what is only preferred
		}
	}
	if t.heard.Len() > 0 && slices.ContainsFunc(s.Unplaced, isInTheWay) {
		none := *in
		none.IgnorePreferences = true
		again(&none, -1)
	}
	return t, s, nil
}

// isInTheWay reports whether others may keep pods from a place.
func isInTheWay(u binpack.Unplaced) bool {
	return slices.ContainsFunc(u.Reasons, func(r binpack.Reason) bool {
		switch r.Code {
		case binpack.LimitReached, binpack.StockExhausted, binpack.Excluded, binpack.SpreadUnsatisfiable, binpack.AffinityUnsatisfiable:
			return true
		}
		return false
	})
}

// unplaced counts the pods without a place by priority, the highest first: of two plans for
// the same pods the lesser is the better one.
func unplaced(p *binpack.Problem, s *binpack.Solution) (out []int64) {
	byPriority := map[int32]int64{}
	for i := range p.Groups {
		byPriority[p.Groups[i].Priority] += 0
	}
	for _, u := range s.Unplaced {
		byPriority[p.Groups[u.Group].Priority] += u.Count
	}
	for _, level := range slices.SortedFunc(maps.Keys(byPriority), func(a, b int32) int { return cmp.Compare(b, a) }) {
		out = append(out, byPriority[level])
	}
	return out
}
