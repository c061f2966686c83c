package consolidate

import (
	"cmp"
	"context"
	"math"
	"slices"

	"github.com/stowage-sh/stowage/binpack"
)

// From one packing to commands.
//
// An attempt says where the pods of all nodes that leave go together. Its places are dealt out node by
// node, those first that save most for what they disturb: to places on nodes that stay as long as there
// are any, then to new nodes that are open already, then to others. As soon as the nodes in hand
// save enough for what they open they are a command. So small commands add up to the packing, and
// each stands alone.
//
// Where rules bind the pods, a command must also be allowed at its moment, with the pods of those
// to come where they are yet; if it is not, it may be after them, or else with them. Nodes that cannot go so
// are tried by themselves in the end, each packed anew, and so are those that were to stay and lose most.

// together is how many nodes go in a command for the sake of rules, alone how many of those that were to go
// are tried by themselves, and lossiest how many of the others.
const together, alone, lossiest = 16, 200, 50

// A place is room for some pods of a group.
type place struct {
	node  int    // of the board, or
	fresh *fresh // a new one
	left  int64
}

// A fresh is a new node that a packing has.
type fresh struct {
	pattern binpack.Pattern
	node    int // on the board; -1 as long as it is not open
	index   int // of Plan.New
}

// places lists those of a packing by group, existing nodes first.
func (s *search) places(sol *binpack.Solution) [][]*place {
	all := make([][]*place, len(s.t.Problem.Groups))
	add := func(pods []binpack.Share, node int, f *fresh) {
		for _, share := range pods {
			all[share.Group] = append(all[share.Group], &place{node, f, share.Count})
		}
	}
	for _, f := range sol.Fills {
		add(f.Pods, f.Node, nil)
	}
	for _, n := range sol.New {
		for range n.Count {
			one := n
			one.Count = 1
			add(n.Pods, -1, &fresh{pattern: one, node: -1})
		}
	}
	return all
}

// A draft is a command in the making.
type draft struct {
	nodes []int
	moves []move
	opens []*fresh
}

type move struct {
	member
	to *place
}

// A dealer deals out places.
type dealer struct {
	*search
	board  *board
	places [][]*place
	plan   *Plan
	draft  draft
	opened map[int]int // by node of the board: which of plan.New it is
	tally  *tally
}

// deal parts what an attempt does into commands of a plan.
func (s *search) deal(ctx context.Context, a *attempt, plan *Plan) error {
	going := leaving(a.leaves)
	full := s.without(s.t.Problem, a.leaves)
	sol, err := full.solve(ctx, going)
	if err != nil {
		return err
	}
	if len(sol.Unplaced) > 0 || sol.Cost > a.solution.Cost {
		sol = s.widened(a.solution)
	}
	full.restore(going)
	d := &dealer{search: s, board: full, places: s.places(sol), plan: plan, opened: map[int]int{}, tally: newTally(full)}
	gain := func(i int) float64 { return float64(Disruption(s.nodes[i])) / float64(max(1, s.nodes[i].Price)) }
	slices.SortStableFunc(going, func(i, j int) int { return cmp.Compare(gain(i), gain(j)) })
	left := d.run(going, 1)
	for before := len(going); len(left) < before; { // rules may let them now
		before = len(left)
		left = d.run(left, 1)
	}
	left = d.run(left, together)
	left = append(left[:min(len(left), alone)], d.lossy(a)...)
	return d.byThemselves(ctx, left)
}

// lossy are the nodes that stay and lose most, by that: each costs more than the pods on it are worth by
// at least what it has to save.
func (d *dealer) lossy(a *attempt) (nodes []int) {
	loss := make([]float64, len(d.nodes))
	for i, n := range d.nodes {
		loss[i] = float64(n.Price) - d.worth(d.load[i])
		if !a.leaves[i] && d.pinned[i] == "" && loss[i] > max(d.counted(i), dear*float64(n.Price)) {
			nodes = append(nodes, i)
		}
	}
	slices.SortStableFunc(nodes, func(i, j int) int { return cmp.Compare(loss[j], loss[i]) })
	return nodes[:min(len(nodes), lossiest)]
}

// run makes commands of nodes, in order, and returns those that are in none. Where rules do not let a
// command be, it is given up if it has so many nodes as patience, or else waits for more.
func (d *dealer) run(nodes []int, patience int) (left []int) {
	giveUp := func() {
		left = append(left, d.draft.nodes...)
		d.undo()
	}
	for _, i := range nodes {
		if d.tooMany(append(slices.Clip(d.draft.nodes), i)) {
			giveUp() // and this one starts another
		}
		switch {
		case !d.add(i):
			giveUp()
		case d.pays(d.draft.nodes, d.savings()):
			if !d.commit() && len(d.draft.nodes) >= patience {
				giveUp()
			}
		}
	}
	giveUp()
	return left
}

// savings of the draft for an hour.
func (d *dealer) savings() binpack.MicroUSD {
	sum := d.price(d.draft.nodes)
	for _, f := range d.draft.opens {
		sum -= d.t.Paid(f.pattern.Offers[0])
	}
	return sum
}

// add takes places for the pods of a node, and reports whether there are enough.
func (d *dealer) add(i int) bool {
	d.draft.nodes = append(d.draft.nodes, i)
	for _, m := range d.pods[i] {
		d.tally.add(m.group, d.board.nodes[d.bin[i]].Domains, -1)
	}
	for _, m := range d.pods[i] {
		at := d.placeFor(m.group)
		if at == nil {
			return false
		}
		if at.left--; at.fresh != nil && at.fresh.node < 0 && !slices.Contains(d.draft.opens, at.fresh) {
			d.draft.opens = append(d.draft.opens, at.fresh)
		}
		d.draft.moves = append(d.draft.moves, move{m, at})
		d.tally.add(m.group, d.domains(at), 1)
	}
	return true
}

// domains of a place.
func (d *dealer) domains(p *place) []int {
	switch {
	case p.fresh == nil:
		return d.board.nodes[p.node].Domains
	case p.fresh.node >= 0:
		return d.board.nodes[p.fresh.node].Domains
	}
	return d.t.Problem.Offers[p.fresh.pattern.Offers[0]].Domains
}

// placeFor finds a place for a pod of a group: one that is there, else one that has been opened, else
// another; where the pod spreads, one of the domain that has fewest.
func (d *dealer) placeFor(g int) (best *place) {
	minds := d.tally.minds(g)
	least := [2]int64{math.MaxInt64, math.MaxInt64} // crowd, and whether it is to be opened
	for _, p := range d.places[g] {
		if p.left == 0 {
			continue
		}
		is := [2]int64{}
		if minds {
			is[0] = d.tally.crowd(g, d.domains(p))
		}
		if p.fresh != nil && p.fresh.node < 0 && !slices.Contains(d.draft.opens, p.fresh) {
			is[1] = 1
		}
		if slices.Compare(is[:], least[:]) < 0 {
			best, least = p, is
			if !minds && is[1] == 0 {
				break
			}
		}
	}
	return best
}

// undo gives the places of the draft back, and forgets it.
func (d *dealer) undo() {
	for _, m := range d.draft.moves {
		m.to.left++
		d.tally.add(m.group, d.domains(m.to), -1)
	}
	for _, i := range d.draft.nodes {
		for _, m := range d.pods[i] {
			d.tally.add(m.group, d.board.nodes[d.bin[i]].Domains, 1)
		}
	}
	d.draft = draft{}
}

// commit makes the draft a command, if it is allowed by itself.
func (d *dealer) commit() bool {
	step := d.solution()
	d.board.leave(d.draft.nodes)
	if d.ruled() && binpack.Verify(d.board.problem(d.draft.nodes), step) != nil {
		d.board.restore(d.draft.nodes)
		return false
	}
	c := Command{Savings: d.savings()}
	spare := c.Savings - 1
	for _, i := range d.draft.nodes {
		n := d.nodes[i]
		c.Nodes = append(c.Nodes, n)
		c.Evictions += len(n.Pods)
		c.Moving += binpack.MicroUSD(d.moving[i])
		spare -= binpack.MicroUSD(d.fee(i))
	}
	opened := d.board.use(step)
	for i, f := range d.draft.opens {
		f.node, f.index = opened[i], len(d.plan.New)
		d.opened[f.node] = f.index
		launch := d.t.Launch(f.pattern, nil)
		launch.KeepBelow(launch.Price + max(0, spare)/binpack.MicroUSD(len(opened)))
		d.plan.New = append(d.plan.New, launch)
		c.New = append(c.New, f.index)
	}
	for _, m := range d.draft.moves {
		c.Moves = append(c.Moves, d.moveTo(m))
	}
	d.plan.Commands = append(d.plan.Commands, c)
	d.plan.After -= c.Savings
	for _, m := range d.draft.moves {
		if some := d.places[m.group]; len(some) > 0 && some[0].left == 0 {
			d.places[m.group] = some[1:]
		}
	}
	d.draft = draft{}
	return true
}

// moveTo says where a pod goes, and has a new node expect it.
func (d *dealer) moveTo(m move) Move {
	node := m.to.node
	if m.to.fresh != nil {
		node = m.to.fresh.node
	}
	if i, ok := d.opened[node]; ok {
		d.plan.New[i].Pods = append(d.plan.New[i].Pods, m.pod)
		return Move{Pod: m.pod, New: i}
	}
	return Move{Pod: m.pod, To: &d.t.Bins[node]}
}

// solution is the draft as one of the board's problem.
func (d *dealer) solution() *binpack.Solution {
	type key struct {
		node  int
		fresh *fresh
	}
	pods, order := map[key]map[int]int64{}, []key{}
	for _, m := range d.draft.moves {
		k := key{m.to.node, nil}
		if f := m.to.fresh; f != nil {
			k = key{f.node, f}
			if f.node >= 0 {
				k.fresh = nil
			}
		}
		if pods[k] == nil {
			pods[k] = map[int]int64{}
			order = append(order, k)
		}
		pods[k][m.group]++
	}
	sol := &binpack.Solution{}
	for _, k := range order {
		if k.fresh == nil {
			sol.Fills = append(sol.Fills, binpack.Fill{Node: k.node, Pods: shares(pods[k])})
		}
	}
	for _, f := range d.draft.opens {
		sol.New = append(sol.New, binpack.Pattern{Count: 1, Offers: f.pattern.Offers, Pods: shares(pods[key{-1, f}])})
		offer := d.t.Problem.Offers[f.pattern.Offers[0]]
		sol.Cost += offer.Price + d.t.Problem.Pools[offer.Pool].NodeFee
	}
	return sol
}

func shares(counts map[int]int64) (out []binpack.Share) {
	for g, n := range counts {
		out = append(out, binpack.Share{Group: g, Count: n})
	}
	slices.SortFunc(out, func(a, b binpack.Share) int { return cmp.Compare(a.Group, b.Group) })
	return out
}

// ruled reports whether rules bind pods of the draft to others, or to how many there are on a node.
func (d *dealer) ruled() bool {
	p := d.t.Problem
	for _, m := range d.draft.moves {
		g := m.group
		if p.Groups[g].MaxPerNode > 0 ||
			slices.ContainsFunc(p.Spreads, func(s binpack.Spread) bool { return s.Owners.Has(g) || s.Counted.Has(g) }) ||
			slices.ContainsFunc(p.Affinities, func(a binpack.Affinity) bool { return a.Owners.Has(g) || a.Targets.Has(g) }) ||
			slices.ContainsFunc(p.Exclusions, func(x binpack.Exclusion) bool { return x.A.Has(g) || x.B.Has(g) }) {
			return true
		}
	}
	return false
}

// byThemselves packs the pods of single nodes anew on what is left, and on new nodes. Those that
// have been given pods meanwhile stay: no pod moves twice.
func (d *dealer) byThemselves(ctx context.Context, nodes []int) error {
	for _, i := range nodes {
		one, at := []int{i}, d.bin[i]
		if d.board.takes(i) {
			continue
		}
		free := d.board.nodes[at].Free
		d.board.nodes[at].Free = make(binpack.Vector, len(free))
		d.board.leave(one)
		sol, err := d.board.solve(ctx, one)
		d.board.restore(one)
		if err != nil {
			return err
		}
		d.places = d.search.places(sol)
		if len(sol.Unplaced) > 0 || !d.add(i) || d.tooMany(one) || !d.pays(one, d.savings()) || !d.commit() {
			d.undo()
			d.board.nodes[at].Free = free
		}
	}
	return nil
}
