package problem

import (
	"cmp"
	"context"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/stowage-sh/stowage/binpack"
)

// Decide translates a batch and solves it. Where pods find no place, and preferences may be
// why, it decides again: first without those of the pods themselves, then without those of
// all pods like them and, if others may be in their way, without any. For those that still
// find none it relaxes minValues, if it may. It returns the plan that places most pods, those
// of higher priority first, and where they are nominated the one of Thin. The error is that of binpack.Solve.
func Decide(ctx context.Context, in *Input) (*Translation, *binpack.Solution, error) {
	d := &decision{in: in, t: Build(in)}
	var err error
	if d.s, err = binpack.Solve(ctx, d.t.Problem); err == nil {
		d.standBack(ctx)
		d.leavePreferences(ctx)
		d.openFewer(ctx)
		d.relaxMinValues(ctx)
		d.thin(ctx)
		d.dropFees()
		d.dropTold()
	}
	return d.t, d.s, err
}

// A decision is the best plan so far, and what it was made from.
type decision struct {
	in *Input
	t  *Translation
	s  *binpack.Solution
}

// again decides about another input, and takes that plan if it compares as at most so much.
func (d *decision) again(ctx context.Context, in Input, atMost int) {
	t := Build(&in)
	// If ctx ends the plan comes back truncated, and is the worse one.
	if s, err := binpack.Solve(ctx, t.Problem); err == nil && slices.Compare(unplaced(t.Problem, s), unplaced(d.t.Problem, d.s)) <= atMost {
		*d = decision{&in, t, s}
	}
}

// standBack decides again where pods wait for claims or volumes that others come first for, and
// those others find no place: they come last then.
func (d *decision) standBack(ctx context.Context) {
	back := map[types.UID]bool{}
	for _, u := range d.s.Unplaced {
		if d.t.waits[u.Group] != "" {
			continue
		}
		for _, p := range d.t.left(&u) {
			if d.t.volumes.hasClaims(p) {
				back[p.UID] = true
			}
		}
	}
	if len(d.t.waits) > 0 && len(back) > 0 {
		in := *d.in
		in.standBack = back
		d.again(ctx, in, -1)
	}
}

// openFewer decides again where the number of nodes is limited and pods find no place: what is cheapest
// may be many small nodes.
func (d *decision) openFewer(ctx context.Context) {
	for _, u := range d.s.Unplaced {
		for _, r := range u.Reasons {
			if r.Code == binpack.LimitReached && r.Pool >= 0 && d.t.Problem.Pools[r.Pool].NodesLeft != binpack.Unlimited && d.t.Problem.Pools[r.Pool].NodesLeft > 0 {
				in := *d.in
				in.fewNodes = true
				d.again(ctx, in, -1)
				return
			}
		}
	}
}

// dropFees takes what openFewer added off the plan: it is paid to nobody. Of the lower bound nothing
// is left then.
func (d *decision) dropFees() {
	if !d.in.fewNodes {
		return
	}
	for _, n := range d.s.New {
		d.s.Cost -= binpack.MicroUSD(n.Count) * d.t.Problem.Pools[d.t.Problem.Offers[n.Offers[0]].Pool].NodeFee
	}
	for i := range d.t.Problem.Pools {
		d.t.Problem.Pools[i].NodeFee = 0
	}
	d.s.LowerBound = 0
}

// leavePreferences decides again without those that may keep pods from a place.
func (d *decision) leavePreferences(ctx context.Context) {
	unheard := map[types.UID]bool{}
	for _, alike := range []bool{false, true} {
		before := len(unheard)
		for _, u := range d.s.Unplaced {
			if !d.t.heard.Has(u.Group) {
				continue
			}
			pods := d.t.Pods[u.Group]
			if !alike {
				pods = d.t.left(&u) // the others have places by what is heard
			}
			for _, p := range pods {
				unheard[p.UID] = true
			}
		}
		if len(unheard) > before {
			own := *d.in
			own.unheard = maps.Clone(unheard)
			d.again(ctx, own, 0) // no worse will do: its reasons are not about what is only preferred
		}
	}
	if d.t.heard.Len() > 0 && slices.ContainsFunc(d.s.Unplaced, isInTheWay) {
		none := *d.in
		none.IgnorePreferences = true
		d.again(ctx, none, -1)
	}
}

// relaxMinValues decides again with fewer values for pods that minValues may keep from a place:
// not only where too few hold them, since what must be listed counts against limits as well.
func (d *decision) relaxMinValues(ctx context.Context) {
	if !d.in.RelaxMinValues {
		return
	}
	some := *d.in
	some.relaxed = map[types.UID]bool{}
	for _, u := range d.s.Unplaced {
		if slices.ContainsFunc(u.Reasons, func(r binpack.Reason) bool {
			return r.Pool >= 0 && len(d.t.Problem.Pools[r.Pool].MinValues) > 0 && r.Code != binpack.NoCompatibleOffer && r.Code != binpack.InsufficientResources
		}) {
			for _, p := range d.t.left(&u) {
				some.relaxed[p.UID] = true
			}
		}
	}
	if len(some.relaxed) > 0 {
		d.again(ctx, some, -1)
	}
}

// thin notes what it costs. Where the number of nodes is limited it is not for more of them.
func (d *decision) thin(ctx context.Context) {
	if d.in.Nominates && !d.in.fewNodes {
		s := Thin(ctx, d.t, d.s)
		d.t.Thinning, d.s = max(0, d.t.priceOf(s)-d.t.priceOf(d.s)), s
	}
}

// left are the pods of a group that found no place.
func (t *Translation) left(u *binpack.Unplaced) []*corev1.Pod {
	pods := t.Pods[u.Group]
	return pods[len(pods)-int(u.Count):]
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
