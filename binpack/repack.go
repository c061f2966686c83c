package binpack

import (
	"cmp"
	"math"
	"slices"
)

// Repacking: the worst nodes of a plan are taken back, with some others, and their pods
// packed anew.
//
// 	nodes, the dearest for the worth of their loads first
// 	▓▓▓▓▓▓▓▓░░▓░░▓░░▓░░▓░░▓░░▓░░▓░░▓     ▓ taken back
// 	▓▓▓▓▓▓▓▓▓░░▓░░▓░░▓░░▓░░▓░░▓░░▓░░     the next time, if that was of no use
//
// Every other time, what was taken back first fills what room the others have (merge).
//
// The last nodes of a plan hold what was left over. Together with nodes that are packed
// well there is something to mix them with (large neighbourhood search: Shaw, "Using
// constraint programming and local search methods to solve vehicle routing problems",
// 1998). Pods stay in their cells, so that spreads and the like hold as they did.

// One in worstPart of the nodes are the worst ones, and of the others one in stride comes
// with them. Twice as many tries without success end the search: then all have had their
// turn, with and without a merge.
// Of fewer nodes than few up to half are taken back.
const (
	worstPart = 10
	stride    = 12
	few       = 100
)

// repack improves a plan as long as that succeeds, steps last and the plan is not proven
// near enough to the bound. It returns the steps that were used as well.
func (t *table) repack(best *pass, steps int64, bound MicroUSD) (*pass, int64) {
	// Where limits keep pods out, nodes that give back some of a limit would have to be
	// followed by a look at all of those.
	if best.bound && best.isShort() {
		return best, 0
	}
	used := int64(0)
	last := best.steps / worstPart // what a try takes, going by the one before
	for failed := 0; failed < 2*stride && used+last <= steps && !best.truncated && best.above(bound); failed++ {
		next := best.less(failed)
		if next == nil {
			continue
		}
		next.open()
		used += next.steps
		last = next.steps
		if next.truncated {
			best.truncated = true
			break
		}
		// A part that had no place before may have found one in one domain and not in the
		// others: then a spread does not hold any more.
		if next.betters(best) && next.broken().none() {
			best, failed = next, -1
		}
	}
	return best, used
}

// isShort reports whether pods that some offer holds have no place.
func (s *pass) isShort() bool {
	for g := range s.Groups {
		if s.opens[g] && total(s.placed[g]) < s.Groups[g].Count {
			return true
		}
	}
	return false
}

// less is the pass without some of its nodes, ready to open others for their pods. It
// returns nil where there is nothing to take back.
func (s *pass) less(round int) *pass {
	out := s.branch()
	at := map[[2]int]int{}
	for i := range out.parts {
		at[[2]int{out.parts[i].group, out.parts[i].cell}] = i
	}
	nodes := s.nodes()
	first, bad := int64(0), nodes/worstPart+1
	if nodes < few {
		bad = 1 + nodes*int64(1+round%4)/worstPart
	}
	merging := (round+round/stride)%2 == 1
	lightest := s.lightest()
	if merging {
		first = int64(round/2 + 1) // the very worst stay: they have most room
	}
	out.steps = int64(4*len(s.parts) + 16*len(s.opened))
	seen, taken := int64(0), int64(0)
	for _, i := range s.worst() {
		o := s.opened[i]
		n := int64(0)
		for range o.count {
			if seen >= first && (seen < first+bad || (seen+int64(round))%stride == 0) {
				n++
			}
			seen++
		}
		if !s.movable(&o, lightest) {
			n = 0
		}
		if o.count -= n; o.count > 0 {
			out.opened = append(out.opened, o)
		}
		if n > 0 {
			out.takeBack(&o, n, at)
			taken += n
		}
	}
	if taken == 0 {
		return nil
	}
	if merging {
		out.merge()
	}
	return out
}

// merge puts pods that were taken back where the nodes that stay have room: they cost
// nothing there. Where pools differ in weight it would put pods on lighter ones.
func (s *pass) merge() {
	if len(s.weights) > 1 {
		return
	}
	var left []int // parts with pods, the largest first
	for i := range s.parts {
		if s.parts[i].left > 0 {
			left = append(left, i)
		}
	}
	w := s.overall()
	value := func(i int) uint64 { return w.value(s.norm(s.parts[i].need)) }
	slices.SortFunc(left, func(i, j int) int { return cmp.Or(cmp.Compare(value(j), value(i)), cmp.Compare(i, j)) })
	for i := 0; i < len(s.opened); i++ {
		room := slices.Clone(s.room[s.opened[i].offer])
		for r, q := range s.sum(s.opened[i].pods) {
			room[r] -= q
		}
		for _, p := range left {
			s.steps++
			if s.parts[p].left > 0 && covers(room, s.parts[p].need) {
				s.join(i, &s.parts[p], room)
			}
		}
	}
}

// join adds pods of a part to the nodes of a pattern, as far as room and rules let it, and
// takes what they ask for off the room. Nodes that get none become a pattern of their own.
func (s *pass) join(at int, p *part, room Vector) {
	o := &s.opened[at]
	offers := s.cells[p.group][p.cell].offers
	n := fit(room, p.need, p.left)
	if !offers.Has(o.offer) || slices.ContainsFunc(o.listed, func(alt int) bool { return !offers.Has(alt) }) || len(s.hosts.affinities[p.group]) > 0 {
		return
	}
	if n = s.joins(p.group, o.pods, -1, n); n == 0 {
		return
	}
	nodes := min(o.count, p.left/n)
	if rest := o.count - nodes; rest > 0 {
		s.opened = append(s.opened, opened{o.offer, o.listed, rest, o.pods, o.cells})
		o = &s.opened[at]
	}
	o.count = nodes
	// The lists may be shared with the plan that this one came from.
	o.pods, o.cells = slices.Clone(o.pods), slices.Clone(o.cells)
	if i := slices.IndexFunc(o.pods, func(sh Share) bool { return sh.Group == p.group }); i >= 0 {
		o.pods[i].Count += n
	} else {
		o.pods, o.cells = append(o.pods, Share{p.group, n}), append(o.cells, p.cell)
	}
	for r, q := range p.need {
		room[r] -= q * n
	}
	p.left -= n * nodes
	s.placed[p.group][p.cell] += n * nodes
}

// branch is a copy of the pass without its new nodes, to go on with while s stays.
func (s *pass) branch() *pass {
	out := *s
	out.recipe.mixed, out.opened, out.bounded, out.steps, out.scored = 0, nil, false, 0, nil
	out.free, out.fills = slices.Clone(s.free), slices.Clone(s.fills)
	for i := range s.fills {
		if len(s.Affinities) > 0 { // only their owners come to existing nodes so late
			out.free[i], out.fills[i] = slices.Clone(s.free[i]), slices.Clone(s.fills[i])
		}
	}
	out.left = slices.Clone(s.left)
	for i := range s.left {
		out.left[i] = slices.Clone(s.left[i])
	}
	out.nodesLeft, out.stockLeft = slices.Clone(s.nodesLeft), slices.Clone(s.stockLeft)
	out.tight, out.parts, out.homes = slices.Clone(s.tight), slices.Clone(s.parts), slices.Clone(s.homes)
	out.bundles = slices.Clone(s.bundles)
	out.placed = s.perCell()
	for g := range s.placed {
		copy(out.placed[g], s.placed[g])
	}
	return &out
}

// nodes counts the new nodes of the pass.
func (s *pass) nodes() (n int64) {
	for i := range s.opened {
		n += s.opened[i].count
	}
	return n
}

// lightest is the least weight of a pool that has a new node.
func (s *pass) lightest() int32 {
	out := int32(math.MaxInt32)
	for i := range s.opened {
		out = min(out, s.weightOf(s.opened[i].offer))
	}
	return out
}

// movable reports whether the pods of a node may go elsewhere, each on its own: none of
// them has to do with an affinity over Hostname.
func (s *pass) movable(o *opened, lightest int32) bool {
	return s.replaceable(o, lightest) && !slices.ContainsFunc(o.pods, func(sh Share) bool { return len(s.hosts.affinities[sh.Group]) > 0 })
}

// replaceable reports whether the pods of a node may go elsewhere together. Where a limit
// has sent pods to lighter pools, nodes of heavier ones stay: less of the limit used would
// mean that some of those pods could come back, and nobody would ask them. A limit is of one
// pool, but a stock may serve pools of two weights: then nodes of the lighter one stay, too.
func (s *pass) replaceable(o *opened, lightest int32) bool {
	weight := s.weightOf(o.offer)
	return !s.bound || weight <= lightest && (weight == s.weights[0] || len(s.stocks[o.offer]) == 0)
}

// takeBack undoes n nodes of a pattern. at finds parts by group and cell.
func (s *pass) takeBack(o *opened, n int64, at map[[2]int]int) {
	s.giveBack(o, n)
	for j, sh := range o.pods {
		key := [2]int{sh.Group, o.cells[j]}
		p, ok := at[key]
		if !ok { // it has been dropped since, as all its pods had a place
			p = len(s.parts)
			at[key] = p
			c := &s.cells[sh.Group][o.cells[j]]
			s.parts = append(s.parts, part{group: sh.Group, cell: o.cells[j], set: s.intern(c.offers), need: s.need[sh.Group]})
		}
		s.parts[p].left += sh.Count * n
		s.placed[sh.Group][o.cells[j]] -= sh.Count * n
	}
}

// giveBack returns to limits and stocks what n nodes of a pattern took.
func (s *pass) giveBack(o *opened, n int64) {
	pool := s.Offers[o.offer].Pool
	if s.nodesLeft[pool] != Unlimited {
		s.nodesLeft[pool] += n
	}
	charge, stocks := s.taken(o)
	for r, q := range charge {
		if s.left[pool][r] != Unlimited {
			s.left[pool][r] += q * n
		}
	}
	for _, d := range stocks {
		s.stockLeft[d.stock] += d.units * n
	}
}

// worst lists the patterns of the pass, those first that cost most for the worth of
// their load.
func (s *pass) worst() []int {
	w := s.overall()
	value := make([]uint64, len(s.opened))
	order := make([]int, len(s.opened))
	for i := range s.opened {
		order[i] = i
		value[i] = max(w.value(s.norm(s.sum(s.opened[i].pods))), 1)
	}
	slices.SortFunc(order, func(i, j int) int {
		a, b := &s.opened[i], &s.opened[j]
		return cmp.Or(compareRatio(s.price[b.offer], value[j], s.price[a.offer], value[i]), cmp.Compare(a.offer, b.offer), cmp.Compare(i, j))
	})
	return order
}
