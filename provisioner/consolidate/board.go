package consolidate

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/stowage-sh/stowage/binpack"
)

// A board is the cluster with some of its nodes on their way out: what stays, with the pods that
// are there or are to come, and what is left there for others.
type board struct {
	*search
	whole *binpack.Problem
	nodes []binpack.Node  // of the problem, and new ones after them
	holds []map[int]int64 // by node: pods by group
	where []map[int]int64 // the other way round
	on    []binpack.Set   // by group: the nodes it may go to, as far as it alone decides

	pools  []binpack.Pool // with what is left of their limits
	stocks []binpack.Stock
}

// without is the board of a problem when nodes leave. What machines hold that are not given is in the
// problem already.
func (s *search) without(whole *binpack.Problem, leaves []bool) *board {
	b := &board{search: s, whole: whole, nodes: slices.Clone(whole.Nodes), holds: make([]map[int]int64, len(whole.Nodes)), on: make([]binpack.Set, len(whole.Groups))}
	for g := range b.on {
		b.on[g] = slices.Clone(whole.Groups[g].Nodes)
	}
	b.where = make([]map[int]int64, len(whole.Groups))
	b.pools, b.stocks = slices.Clone(whole.Pools), slices.Clone(whole.Stocks)
	for i := range b.pools {
		b.pools[i].Left = slices.Clone(b.pools[i].Left)
	}
	for i, at := range s.bin {
		if leaves[i] {
			b.nodes[at].Free = make(binpack.Vector, len(s.unit)) // no pod fits: each takes one of "pods"
			continue
		}
		b.nodes[at].Free = less(s.room[i], s.load[i])
		b.comeBack(i)
	}
	return b
}

// comeBack has pods of a node be where they are.
func (b *board) comeBack(i int) {
	b.empty(b.bin[i])
	for _, m := range b.pods[i] {
		b.hold(b.bin[i], []binpack.Share{{Group: m.group, Count: 1}})
	}
}

// empty takes all pods off a node.
func (b *board) empty(node int) {
	for g := range b.holds[node] {
		delete(b.where[g], node)
	}
	b.holds[node] = nil
}

// takes reports whether a node has pods of others.
func (b *board) takes(i int) bool {
	n := 0
	for _, count := range b.holds[b.bin[i]] {
		n += int(count)
	}
	return n > len(b.pods[i])
}

// leave takes the pods of nodes away.
func (b *board) leave(nodes []int) {
	for _, i := range nodes {
		b.empty(b.bin[i])
	}
}

// restore brings them back. Nothing is put on these nodes.
func (b *board) restore(nodes []int) {
	for _, i := range nodes {
		b.comeBack(i)
	}
}

// problem is that of places for the pods of nodes that leave.
func (b *board) problem(leaving []int) *binpack.Problem {
	p := *b.whole
	p.Nodes, p.Groups, p.Pools, p.Stocks = b.nodes, slices.Clone(p.Groups), b.pools, b.stocks
	for g := range p.Groups {
		p.Groups[g].Count, p.Groups[g].Nodes = 0, b.on[g]
	}
	for _, i := range leaving {
		for _, m := range b.pods[i] {
			p.Groups[m.group].Count++
		}
	}
	var moving binpack.Set
	for g := range p.Groups {
		if p.Groups[g].Count > 0 {
			moving.Add(g)
		}
	}
	bind(&p, moving)
	b.standing(&p)
	return &p
}

// bind leaves of a problem's rules those that bind any of some groups.
func bind(p *binpack.Problem, groups binpack.Set) {
	p.Spreads = slices.DeleteFunc(slices.Clone(p.Spreads), func(s binpack.Spread) bool { return !s.Owners.Meets(groups) })
	p.Affinities = slices.DeleteFunc(slices.Clone(p.Affinities), func(a binpack.Affinity) bool { return !a.Owners.Meets(groups) })
	p.Exclusions = slices.DeleteFunc(slices.Clone(p.Exclusions), func(x binpack.Exclusion) bool { return !x.A.Meets(groups) && !x.B.Meets(groups) })
}

// solve finds them.
func (b *board) solve(ctx context.Context, leaving []int) (*binpack.Solution, error) {
	return binpack.Solve(ctx, b.problem(leaving))
}

// standing tells a problem of what the pods that stay mean for others. The translator has done so
// of all that are not free to move.
func (b *board) standing(p *binpack.Problem) {
	for i := range p.Spreads {
		s := &p.Spreads[i]
		s.Domains = slices.Clone(s.Domains)
		b.each(s.Counted, s.Key, func(domain int, _ int, n int64) {
			at := slices.IndexFunc(s.Domains, func(d binpack.DomainCount) bool { return d.Domain == domain })
			switch {
			case at >= 0:
				s.Domains[at].Count += n
			case s.Key == binpack.Hostname:
				s.Domains = append(s.Domains, binpack.DomainCount{Domain: domain, Count: n})
			}
		})
	}
	for i := range p.Affinities {
		a := &p.Affinities[i]
		a.Present = slices.Clone(a.Present)
		b.each(a.Targets, a.Key, func(domain, _ int, _ int64) { a.Present.Add(domain) })
	}
	for _, x := range p.Exclusions {
		for _, side := range [][2]binpack.Set{{x.A, x.B}, {x.B, x.A}} {
			var taken binpack.Set
			b.each(side[0], x.Key, func(domain, _ int, _ int64) { taken.Add(domain) })
			if taken.Len() > 0 {
				b.keepOut(p, side[1], x.Key, taken)
			}
		}
	}
	for g := range p.Groups {
		if p.Groups[g].Count > 0 && p.Groups[g].MaxPerNode > 0 {
			var taken binpack.Set
			b.each(binpack.SetOf(g), binpack.Hostname, func(node, _ int, n int64) {
				// There may be room for more of them, but a problem has no way to say so.
				taken.Add(node)
			})
			b.keepOut(p, binpack.SetOf(g), binpack.Hostname, taken)
		}
	}
}

// each calls f for pods of some groups that stay, with the domain of a key that they are in, by group and
// node.
func (b *board) each(groups binpack.Set, key int, f func(domain, node int, n int64)) {
	for g := range groups.All {
		for _, node := range slices.Sorted(maps.Keys(b.where[g])) {
			if domain := b.domain(node, key); domain != binpack.NoDomain {
				f(domain, node, b.where[g][node])
			}
		}
	}
}

func (b *board) domain(node, key int) int {
	if key == binpack.Hostname {
		return node
	}
	return b.nodes[node].Domains[key]
}

// keepOut takes from groups of a problem the places in some domains of a key.
func (b *board) keepOut(p *binpack.Problem, groups binpack.Set, key int, domains binpack.Set) {
	var nodes, offers binpack.Set
	for node := range b.nodes {
		if d := b.domain(node, key); d != binpack.NoDomain && domains.Has(d) {
			nodes.Add(node)
		}
	}
	if key != binpack.Hostname {
		for o := range p.Offers {
			if d := p.Offers[o].Domains[key]; d != binpack.NoDomain && domains.Has(d) {
				offers.Add(o)
			}
		}
	}
	for g := range p.Groups {
		if p.Groups[g].Count > 0 && groups.Has(g) {
			p.Groups[g].Nodes, p.Groups[g].Offers = p.Groups[g].Nodes.Minus(nodes), p.Groups[g].Offers.Minus(offers)
		}
	}
}

// use puts the pods of a solution where it says, and its new nodes on the board. It returns what
// these are there.
func (b *board) use(sol *binpack.Solution) (opened []int) {
	for _, f := range sol.Fills {
		b.nodes[f.Node].Free = b.after(b.nodes[f.Node].Free, f.Pods)
		b.hold(f.Node, f.Pods)
	}
	for _, n := range sol.New {
		offer := n.Offers[0]
		at := len(b.nodes)
		b.nodes = append(b.nodes, binpack.Node{
			ID: fmt.Sprintf("new/%d", at), Free: b.after(b.whole.Offers[offer].Room(), n.Pods), Domains: b.whole.Offers[offer].Domains,
		})
		b.holds = append(b.holds, nil)
		b.hold(at, n.Pods)
		for g := range b.on {
			if b.whole.Groups[g].Offers.Has(offer) {
				b.on[g].Add(at)
			}
		}
		opened = append(opened, at)
		b.charge(n.Offers)
	}
	return opened
}

// charge takes a new node from what limits and stocks leave, whichever of its offers it becomes.
func (b *board) charge(offers []int) {
	pool := &b.pools[b.whole.Offers[offers[0]].Pool]
	if pool.NodesLeft != binpack.Unlimited {
		pool.NodesLeft--
	}
	for r, left := range pool.Left {
		most := int64(0)
		for _, o := range offers {
			most = max(most, b.whole.Offers[o].Charged()[r])
		}
		if left != binpack.Unlimited {
			pool.Left[r] = max(0, left-most)
		}
	}
	for i := range b.stocks {
		most := int64(0)
		for _, o := range offers {
			most = max(most, b.stocks[i].Takes(o))
		}
		b.stocks[i].Count = max(0, b.stocks[i].Count-most)
	}
}

func (b *board) hold(node int, pods []binpack.Share) {
	if b.holds[node] == nil {
		b.holds[node] = map[int]int64{}
	}
	for _, share := range pods {
		b.holds[node][share.Group] += share.Count
		if b.where[share.Group] == nil {
			b.where[share.Group] = map[int]int64{}
		}
		b.where[share.Group][node] += share.Count
	}
}

// after is what is left of room when pods are there.
func (b *board) after(room binpack.Vector, pods []binpack.Share) binpack.Vector {
	left := slices.Clone(room)
	for _, share := range pods {
		for r, q := range b.whole.Groups[share.Group].Requests {
			left[r] -= q * share.Count
		}
	}
	return left
}
