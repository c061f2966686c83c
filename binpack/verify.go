package binpack

import (
	"fmt"
	"slices"
)

// What a solution must satisfy, said a second time. Nothing here is clever or fast,
// so that it can be checked by reading:
//
// 	sites        every index means something; one pool and variant for each pattern
// 	counts       each pod is placed once, or unplaced once with a reason
// 	sites        selectors, MaxPerNode, room on each listed offer, MinValues
// 	slack        pool limits, number of nodes, stocks
// 	relations    exclusions, spreads, affinities (verify_relations.go)
// 	arrival      nobody waits for somebody who waits for him
// 	weights      nobody is on a lighter pool than need be
// 	cost         the sum is right, the bound below it
//
// A pattern lists offers that the cloud may choose from. Verify assumes the worst of
// them everywhere: each must hold the load, the dearest is charged to the limits,
// and where a domain matters all must agree on it.

// A site is a kind of place in a solution: an existing node, or the new nodes
// of one pattern, seen alike so that each constraint is checked once for both.
type site struct {
	name   string
	copies int64
	node   int   // index of the existing node, or -1
	offers []int // of a new one, nil otherwise
	pods   []Share
}

// Verify reports the first way in which s is not a solution of p, in words and
// IDs. It shares no code with Solve beyond the types and Validate. Each offer
// that a pattern lists is checked as if it were the one that is launched. It
// costs one look at each pod share under each constraint.
func Verify(p *Problem, s *Solution) error {
	if err := p.Validate(); err != nil {
		return fmt.Errorf("checking the problem: %w", err)
	}
	sites, err := p.sites(s)
	if err != nil {
		return err
	}
	for _, check := range []func(*Solution, []site) error{
		p.checkCounts, p.checkSites, p.checkSlack,
		p.checkExclusions, p.checkSpreads, p.checkAffinities, p.checkArrival, p.checkWeights, p.checkCost,
	} {
		if err := check(s, sites); err != nil {
			return err
		}
	}
	return nil
}

// sites checks that every index in s means something and lists its places.
func (p *Problem) sites(s *Solution) ([]site, error) {
	var sites []site
	for i, n := range s.New {
		at := site{fmt.Sprintf("pattern %d", i), n.Count, -1, n.Offers, n.Pods}
		if len(n.Offers) == 0 || len(n.Offers) > MaxOffers {
			return nil, fmt.Errorf("%s lists %d offers, not 1 to %d", at.name, len(n.Offers), MaxOffers)
		}
		seen := map[int]bool{}
		for j, o := range n.Offers {
			switch {
			case o < 0 || o >= len(p.Offers) || seen[o]:
				return nil, fmt.Errorf("%s lists offer index %d, which is out of range or there twice", at.name, o)
			// A node is made under the policy of one pool.
			case p.Offers[o].Pool != p.Offers[n.Offers[0]].Pool:
				return nil, fmt.Errorf("%s lists offers of two pools: %s and %s", at.name, p.Offers[n.Offers[0]].ID, p.Offers[o].ID)
			case p.Offers[o].Variant != p.Offers[n.Offers[0]].Variant:
				return nil, fmt.Errorf("%s lists offers of two variants: %s and %s", at.name, p.Offers[n.Offers[0]].ID, p.Offers[o].ID)
			case j > 1 && p.Offers[o].Price < p.Offers[n.Offers[j-1]].Price:
				return nil, fmt.Errorf("%s lists %s after a dearer alternative", at.name, p.Offers[o].ID)
			}
			seen[o] = true
		}
		sites = append(sites, at)
	}
	filled := map[int]bool{}
	for _, f := range s.Fills {
		if f.Node < 0 || f.Node >= len(p.Nodes) || filled[f.Node] {
			return nil, fmt.Errorf("node index %d is out of range or filled twice", f.Node)
		}
		filled[f.Node] = true
		sites = append(sites, site{"node " + p.Nodes[f.Node].ID, 1, f.Node, nil, f.Pods})
	}
	return sites, nil
}

// checkCounts: each pod is placed once or unplaced once, with a reason. A pod that
// is in no list would be forgotten; one in two would be paid for twice. Counts are
// bounded by the group's before they are multiplied or added, so that a solution
// with absurd numbers is refused and not summed. A group that asks for something
// nobody understood is nowhere, not even on an existing node.
func (p *Problem) checkCounts(s *Solution, sites []site) error {
	found := make([]int64, len(p.Groups))
	add := func(where string, g int, n, copies int64) error {
		if g < 0 || g >= len(p.Groups) {
			return fmt.Errorf("%s holds group index %d, which is out of range", where, g)
		}
		if n < 1 || copies < 1 || n > p.Groups[g].Count/copies {
			return fmt.Errorf("%s holds %d × %d pods of group %s of %d", where, copies, n, p.Groups[g].ID, p.Groups[g].Count)
		}
		found[g] += n * copies
		return nil
	}
	for _, at := range sites {
		if len(at.pods) == 0 {
			return fmt.Errorf("%s holds no pod", at.name)
		}
		seen := map[int]bool{}
		for _, sh := range at.pods {
			if err := add(at.name, sh.Group, sh.Count, at.copies); err != nil {
				return err
			}
			if seen[sh.Group] {
				return fmt.Errorf("%s lists group %s twice", at.name, p.Groups[sh.Group].ID)
			}
			seen[sh.Group] = true
			if field := p.Groups[sh.Group].Unsupported; field != "" {
				return fmt.Errorf("%s holds group %s, of which %s is not supported", at.name, p.Groups[sh.Group].ID, field)
			}
		}
	}
	for _, u := range s.Unplaced {
		if err := add("the unplaced list", u.Group, u.Count, 1); err != nil {
			return err
		}
		if len(u.Reasons) == 0 && !s.Truncated {
			return fmt.Errorf("group %s is unplaced without a reason", p.Groups[u.Group].ID)
		}
	}
	for g, n := range found {
		if n != p.Groups[g].Count {
			return fmt.Errorf("group %s: %d pods placed or unplaced of %d", p.Groups[g].ID, n, p.Groups[g].Count)
		}
	}
	return nil
}

// checkSites: what the pods of a place ask of its node alone. The sets of a group
// hold what selectors, taints, volumes and running pods say; resources and overhead
// are the offer's own, so every listed offer is checked with its own. MinValues are
// counted over the list, since that is what the cloud may choose from.
func (p *Problem) checkSites(_ *Solution, sites []site) error {
	for _, at := range sites {
		for _, sh := range at.pods {
			g := &p.Groups[sh.Group]
			if at.node < 0 && g.MaxPerNode > 0 && sh.Count > g.MaxPerNode {
				return fmt.Errorf("%s holds %d pods of group %s, at most %d allowed", at.name, sh.Count, g.ID, g.MaxPerNode)
			}
			if at.node >= 0 && !g.Nodes.Has(at.node) {
				return fmt.Errorf("%s is not open to group %s", at.name, g.ID)
			}
			for _, o := range at.offers {
				if !g.Offers.Has(o) {
					return fmt.Errorf("%s: offer %s is not open to group %s", at.name, p.Offers[o].ID, g.ID)
				}
			}
		}
		if at.node >= 0 {
			if err := p.holds(p.Nodes[at.node].Free, nil, at.pods); err != nil {
				return fmt.Errorf("%s: %w", at.name, err)
			}
		}
		for _, o := range at.offers {
			if err := p.holds(p.Offers[o].Capacity, p.Offers[o].Overhead, at.pods); err != nil {
				return fmt.Errorf("%s on offer %s: %w", at.name, p.Offers[o].ID, err)
			}
		}
		if at.offers == nil {
			continue
		}
		for _, m := range p.wants(at.offers[0]) {
			distinct := map[int64]bool{}
			for _, o := range at.offers {
				distinct[p.Offers[o].Values[m.Label]] = true
			}
			if int64(len(distinct)) < m.Min {
				return fmt.Errorf("%s: offers show %d values of label %d, at least %d wanted", at.name, len(distinct), m.Label, m.Min)
			}
		}
	}
	return nil
}

// holds: overhead and pods together stay within capacity, in every resource. That
// includes resources of which no pod here wants any: a node whose DaemonSets do not
// fit is no node to plan with.
func (p *Problem) holds(capacity, overhead Vector, pods []Share) error {
	for r, name := range p.Resources {
		room := capacity.at(r) - overhead.at(r)
		if room < 0 {
			return fmt.Errorf("overhead of %s is %d above capacity", name, -room)
		}
		for _, sh := range pods {
			room -= sh.Count * p.Groups[sh.Group].Requests.at(r)
		}
		if room < 0 {
			return fmt.Errorf("load of %s is %d above capacity", name, -room)
		}
	}
	return nil
}

// at reads a quantity of a Vector that may be nil.
func (v Vector) at(r int) int64 {
	if v == nil {
		return 0
	}
	return v[r]
}

// slack is what a solution leaves of the limits and the stocks, when of each
// pattern's offers the one that charges most is launched. A part that is
// negative is overdrawn.
type slack struct {
	nodes  []int64  // by pool
	left   []Vector // by pool, nil for no limits
	stocks []int64
}

// slack subtracts the sites from what limits and stocks allow. Sums cannot
// overflow: checkCounts has seen that there are no more nodes than pods.
func (p *Problem) slack(sites []site) slack {
	var rest slack
	for _, pool := range p.Pools {
		rest.nodes = append(rest.nodes, pool.NodesLeft)
		rest.left = append(rest.left, slices.Clone(pool.Left))
	}
	for _, at := range sites {
		if at.offers == nil {
			continue
		}
		i := p.Offers[at.offers[0]].Pool
		rest.nodes[i] -= at.copies
		for r := range rest.left[i] {
			most := int64(0)
			for _, o := range at.offers {
				most = max(most, p.Offers[o].Charged().at(r))
			}
			rest.left[i][r] -= at.copies * most
		}
	}
	for _, stock := range p.Stocks {
		n := stock.Count
		for _, at := range sites {
			most := int64(0)
			for _, o := range at.offers {
				most = max(most, stock.Takes(o))
			}
			n -= at.copies * most
		}
		rest.stocks = append(rest.stocks, n)
	}
	return rest
}

// checkSlack: limits and stocks hold whichever offers are launched. Each resource of
// a limit is charged by the offer that charges most of it, which need not be one
// and the same offer: the sum is on the safe side.
func (p *Problem) checkSlack(_ *Solution, sites []site) error {
	rest := p.slack(sites)
	for i, pool := range p.Pools {
		if rest.nodes[i] < 0 {
			return fmt.Errorf("pool %s: %d new nodes more than its limit", pool.ID, -rest.nodes[i])
		}
		for r, n := range rest.left[i] {
			if n < 0 {
				return fmt.Errorf("pool %s: limit of %s is exceeded by %d", pool.ID, p.Resources[r], -n)
			}
		}
	}
	for i, n := range rest.stocks {
		if n < 0 {
			return fmt.Errorf("stock %s: %d units more may be taken than it holds", p.Stocks[i].ID, -n)
		}
	}
	return nil
}

// checkWeights: a pod bound to nothing but resources is not on a pool lighter
// than one that still has room for a node with just this pod. Pods on a
// truncated plan are exempt: the heavier pools may not have been looked at.
func (p *Problem) checkWeights(s *Solution, sites []site) error {
	rest := p.slack(sites)
	related := p.related()
	heaviest := int32(0)
	for i := range p.Pools {
		heaviest = max(heaviest, p.Pools[i].Weight)
	}
	// If a group got several weights, the lightest is the one to defend.
	worst := map[int]int32{} // the lightest weight that a group got
	for _, at := range sites {
		for _, sh := range at.pods {
			if at.offers != nil && !s.Truncated && !related.Has(sh.Group) {
				weight := p.Pools[p.Offers[at.offers[0]].Pool].Weight
				if w, ok := worst[sh.Group]; !ok || weight < w {
					worst[sh.Group] = weight
				}
			}
		}
	}
	for g := range p.Groups {
		weight, ok := worst[g]
		if !ok || weight == heaviest {
			continue
		}
		for o := range p.Groups[g].Offers.All {
			if p.Pools[p.Offers[o].Pool].Weight > weight && p.opens(o, g, rest) {
				return fmt.Errorf("group %s is on a pool of weight %d, and offer %s of a heavier one would hold it",
					p.Groups[g].ID, weight, p.Offers[o].ID)
			}
		}
	}
	return nil
}

// related are the groups whose pods some constraint ties to other pods.
func (p *Problem) related() (groups Set) {
	for _, x := range p.Exclusions {
		groups = groups.or(x.A).or(x.B)
	}
	for _, x := range p.Spreads {
		groups = groups.or(x.Owners).or(x.Counted)
	}
	for _, x := range p.Affinities {
		groups = groups.or(x.Owners).or(x.Targets)
	}
	return groups
}

// opens reports whether there is room for one more node of offer o, with one
// pod of group g on it. Offers that want several values are not judged.
func (p *Problem) opens(o, g int, rest slack) bool {
	offer := &p.Offers[o]
	if len(p.wants(o)) > 0 || rest.nodes[offer.Pool] < 1 {
		return false
	}
	for r, left := range rest.left[offer.Pool] {
		if offer.Charged().at(r) > left {
			return false
		}
	}
	for i, stock := range p.Stocks {
		if rest.stocks[i] < stock.Takes(o) {
			return false
		}
	}
	return p.holds(offer.Capacity, offer.Overhead, []Share{{g, 1}}) == nil
}

// checkCost: the sum is right and the bound is below it. That the bound is true
// cannot be seen from a solution; tests compare it with brute force.
func (p *Problem) checkCost(s *Solution, _ []site) error {
	cost := MicroUSD(0)
	for _, n := range s.New {
		o := &p.Offers[n.Offers[0]]
		cost += MicroUSD(n.Count) * (o.Price + p.Pools[o.Pool].NodeFee)
	}
	if s.Cost != cost {
		return fmt.Errorf("cost is given as %d, the patterns cost %d", s.Cost, cost)
	}
	if s.LowerBound < 0 || s.LowerBound > cost {
		return fmt.Errorf("lower bound %d is not between 0 and the cost of %d", s.LowerBound, cost)
	}
	return nil
}
