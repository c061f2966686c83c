package binpack

import (
	"fmt"
	"math"
	"math/bits"
)

// What makes a problem a problem:
//
// 	names      no two things of a list have one ID, none is empty
// 	numbers    nothing is negative; Unlimited is allowed where it is said to be
// 	vectors    nil, or one entry for each resource
// 	domains    one entry for each key, each a domain of it or NoDomain
// 	indices    each points at something
// 	sums       no total that a plan could form overflows an int64
//
// A caller that builds problems from a cluster runs into these only through its own
// mistakes, or through absurd quantities in someone's manifest. So the words name
// the thing and the field, and Solve refuses instead of guessing.

// Bounds of a problem. They keep every sum that Solve and Verify form within
// an int64, so that neither has to think of overflow.
const (
	maxPods      = 10_000_000
	maxResources = 64
	maxCount     = math.MaxInt64 / 4  // of pods that run, of units in stock
	maxUnits     = maxCount / maxPods // of a stock that one node takes
)

// Validate reports the first thing that makes p no problem at all, naming list,
// ID and field. Solve and Verify refuse what it refuses. It costs one look at
// every number.
func (p *Problem) Validate() error {
	for _, check := range []func() error{
		p.validateNames, p.validatePools, p.validateOffers, p.validateNodes,
		p.validateGroups, p.validateRelations, p.validateStocks, p.validateSums,
	} {
		if err := check(); err != nil {
			return err
		}
	}
	return nil
}

// validateNames looks at resources, keys and domains, of which all else is made.
func (p *Problem) validateNames() error {
	if len(p.Resources) > maxResources {
		return fmt.Errorf("resources: %d given, at most %d allowed", len(p.Resources), maxResources)
	}
	if err := unique("resource", len(p.Resources), func(i int) string { return p.Resources[i] }); err != nil {
		return err
	}
	if err := unique("key", len(p.Keys), func(i int) string { return p.Keys[i] }); err != nil {
		return err
	}
	if len(p.Domains) != len(p.Keys) {
		return fmt.Errorf("domains: %d lists for %d keys", len(p.Domains), len(p.Keys))
	}
	for k, names := range p.Domains {
		if err := unique("domain of key "+p.Keys[k], len(names), func(i int) string { return names[i] }); err != nil {
			return err
		}
	}
	if p.MaxSteps < 0 {
		return fmt.Errorf("max steps: %d is negative", p.MaxSteps)
	}
	return nil
}

// unique reports an empty or repeated ID in a list. IDs break ties, so two that are
// equal would leave the order of the input to decide.
func unique(list string, n int, id func(int) string) error {
	seen := map[string]bool(nil)
	for i := range n {
		switch s := id(i); {
		case s == "":
			return fmt.Errorf("%s %d: empty ID", list, i)
		// What rises all the way needs no memory: most lists are sorted.
		case seen == nil && (i == 0 || id(i-1) < s):
		default:
			if seen == nil {
				seen = make(map[string]bool, n)
				for j := range i {
					seen[id(j)] = true
				}
			}
			if seen[s] {
				return fmt.Errorf("%s %q: duplicate ID", list, s)
			}
			seen[s] = true
		}
	}
	return nil
}

// validatePools looks at limits and fees.
func (p *Problem) validatePools() error {
	if err := unique("pool", len(p.Pools), func(i int) string { return p.Pools[i].ID }); err != nil {
		return err
	}
	for i := range p.Pools {
		pool := &p.Pools[i]
		if err := p.vector(pool.Left); err != nil {
			return fmt.Errorf("pool %q: left: %w", pool.ID, err)
		}
		if pool.NodesLeft < 0 {
			return fmt.Errorf("pool %q: nodes left: %d is negative", pool.ID, pool.NodesLeft)
		}
		if pool.NodeFee < 0 {
			return fmt.Errorf("pool %q: node fee: %d is negative", pool.ID, pool.NodeFee)
		}
		for _, m := range pool.MinValues {
			if m.Label < 0 {
				return fmt.Errorf("pool %q: min values: label %d is negative", pool.ID, m.Label)
			}
		}
	}
	return nil
}

// validateOffers looks at each offer, and that it shows the labels which its pool
// wants several values of.
func (p *Problem) validateOffers() error {
	if err := unique("offer", len(p.Offers), func(i int) string { return p.Offers[i].ID }); err != nil {
		return err
	}
	for i := range p.Offers {
		o := &p.Offers[i]
		if o.Pool < 0 || o.Pool >= len(p.Pools) {
			return fmt.Errorf("offer %q: pool: index %d out of range", o.ID, o.Pool)
		}
		if o.Price < 0 {
			return fmt.Errorf("offer %q: price: %d is negative", o.ID, o.Price)
		}
		for _, f := range []struct {
			field string
			v     Vector
		}{{"capacity", o.Capacity}, {"overhead", o.Overhead}, {"charge", o.Charge}} {
			if err := p.vector(f.v); err != nil {
				return fmt.Errorf("offer %q: %s: %w", o.ID, f.field, err)
			}
		}
		if err := p.domains(o.Domains); err != nil {
			return fmt.Errorf("offer %q: %w", o.ID, err)
		}
		// Verify counts these values: an offer without them could not be judged.
		for _, m := range p.Pools[o.Pool].MinValues {
			if m.Label >= len(o.Values) {
				return fmt.Errorf("offer %q: values: none for label %d of its pool's min values", o.ID, m.Label)
			}
		}
	}
	return nil
}

// validateNodes looks at nodes that exist.
func (p *Problem) validateNodes() error {
	if err := unique("node", len(p.Nodes), func(i int) string { return p.Nodes[i].ID }); err != nil {
		return err
	}
	for i := range p.Nodes {
		n := &p.Nodes[i]
		if err := p.vector(n.Free); err != nil {
			return fmt.Errorf("node %q: free: %w", n.ID, err)
		}
		if err := p.domains(n.Domains); err != nil {
			return fmt.Errorf("node %q: %w", n.ID, err)
		}
	}
	return nil
}

// validateGroups looks at each group by itself.
func (p *Problem) validateGroups() error {
	if err := unique("group", len(p.Groups), func(i int) string { return p.Groups[i].ID }); err != nil {
		return err
	}
	for i := range p.Groups {
		g := &p.Groups[i]
		if g.Count < 0 {
			return fmt.Errorf("group %q: count: %d is negative", g.ID, g.Count)
		}
		if g.MaxPerNode < 0 {
			return fmt.Errorf("group %q: max per node: %d is negative", g.ID, g.MaxPerNode)
		}
		if err := p.vector(g.Requests); err != nil {
			return fmt.Errorf("group %q: requests: %w", g.ID, err)
		}
		if err := g.Offers.within(len(p.Offers)); err != nil {
			return fmt.Errorf("group %q: offers: %w", g.ID, err)
		}
		if err := g.Nodes.within(len(p.Nodes)); err != nil {
			return fmt.Errorf("group %q: nodes: %w", g.ID, err)
		}
	}
	return nil
}

// validateRelations looks at what ties groups together.
func (p *Problem) validateRelations() error {
	if err := unique("exclusion", len(p.Exclusions), func(i int) string { return p.Exclusions[i].ID }); err != nil {
		return err
	}
	for i := range p.Exclusions {
		x := &p.Exclusions[i]
		if err := p.relation(x.Key, x.A, x.B); err != nil {
			return fmt.Errorf("exclusion %q: %w", x.ID, err)
		}
	}
	if err := unique("spread", len(p.Spreads), func(i int) string { return p.Spreads[i].ID }); err != nil {
		return err
	}
	for i := range p.Spreads {
		if err := p.spread(&p.Spreads[i]); err != nil {
			return fmt.Errorf("spread %q: %w", p.Spreads[i].ID, err)
		}
	}
	if err := unique("affinity", len(p.Affinities), func(i int) string { return p.Affinities[i].ID }); err != nil {
		return err
	}
	for i := range p.Affinities {
		a := &p.Affinities[i]
		if err := p.relation(a.Key, a.Owners, a.Targets); err != nil {
			return fmt.Errorf("affinity %q: %w", a.ID, err)
		}
		if err := a.Present.within(p.domainCount(a.Key)); err != nil {
			return fmt.Errorf("affinity %q: present: %w", a.ID, err)
		}
	}
	return nil
}

// spread looks at one spread. A count near the end of int64 would overflow with
// the first pod that is added.
func (p *Problem) spread(s *Spread) error {
	if err := p.relation(s.Key, s.Owners, s.Counted); err != nil {
		return err
	}
	if s.MaxSkew < 1 || s.MaxSkew > maxCount {
		return fmt.Errorf("max skew: %d out of range", s.MaxSkew)
	}
	if s.MinDomains < 0 {
		return fmt.Errorf("min domains: %d is negative", s.MinDomains)
	}
	seen := Set{}
	for _, d := range s.Domains {
		switch {
		case d.Domain < 0 || d.Domain >= p.domainCount(s.Key):
			return fmt.Errorf("domains: index %d out of range", d.Domain)
		case seen.Has(d.Domain):
			return fmt.Errorf("domains: index %d twice", d.Domain)
		case d.Count < 0 || d.Count > maxCount:
			return fmt.Errorf("domains: count %d out of range", d.Count)
		}
		seen.Add(d.Domain)
	}
	return nil
}

// relation looks at what exclusions, spreads and affinities have in common.
func (p *Problem) relation(key int, a, b Set) error {
	if key < Hostname || key >= len(p.Keys) {
		return fmt.Errorf("key: index %d out of range", key)
	}
	for _, s := range []Set{a, b} {
		if err := s.within(len(p.Groups)); err != nil {
			return fmt.Errorf("groups: %w", err)
		}
	}
	return nil
}

// domainCount is the number of domains of a key that have an index.
func (p *Problem) domainCount(key int) int {
	if key == Hostname {
		return len(p.Nodes)
	}
	return len(p.Domains[key])
}

// validateStocks looks at finite supplies.
func (p *Problem) validateStocks() error {
	if err := unique("stock", len(p.Stocks), func(i int) string { return p.Stocks[i].ID }); err != nil {
		return err
	}
	for i := range p.Stocks {
		s := &p.Stocks[i]
		if s.Count < 0 || s.Count > maxCount {
			return fmt.Errorf("stock %q: count: %d out of range", s.ID, s.Count)
		}
		if err := s.Offers.within(len(p.Offers)); err != nil {
			return fmt.Errorf("stock %q: offers: %w", s.ID, err)
		}
		if s.Units != nil && len(s.Units) != len(p.Offers) {
			return fmt.Errorf("stock %q: units: %d given for %d offers", s.ID, len(s.Units), len(p.Offers))
		}
		for o := range s.Offers.All {
			if n := s.Takes(o); n < 1 || n > maxUnits {
				return fmt.Errorf("stock %q: units: %d of offer %q out of range", s.ID, n, p.Offers[o].ID)
			}
		}
	}
	return nil
}

// validateSums refuses numbers of which a plan could form a sum that overflows:
// the load of all pods together, the price and the charge of a node for each.
func (p *Problem) validateSums() error {
	pods, load := int64(0), make(Vector, len(p.Resources))
	for i := range p.Groups {
		g := &p.Groups[i]
		if pods += min(g.Count, maxPods+1); pods > maxPods {
			return fmt.Errorf("group %q: count: more than %d pods in all", g.ID, maxPods)
		}
		for r, q := range g.Requests {
			// The sum over all pods bounds the load of any node.
			hi, lo := bits.Mul64(uint64(g.Count), uint64(q))
			if hi != 0 || lo > uint64(math.MaxInt64-load[r]) {
				return fmt.Errorf("group %q: requests: the sum of %s overflows", g.ID, p.Resources[r])
			}
			load[r] += int64(lo)
		}
	}
	// No plan opens more nodes than there are pods.
	most := math.MaxInt64 / max(pods, 1)
	for i := range p.Offers {
		o := &p.Offers[i]
		pool := &p.Pools[o.Pool]
		if int64(pool.NodeFee) > most || int64(o.Price) > most-int64(pool.NodeFee) {
			return fmt.Errorf("offer %q: price: the sum for %d pods overflows", o.ID, pods)
		}
		// Nobody sums charges where nothing is limited.
		if pool.Left == nil {
			continue
		}
		for r, q := range o.Charged() {
			if q > most {
				return fmt.Errorf("offer %q: charge: the sum of %s for %d pods overflows", o.ID, p.Resources[r], pods)
			}
		}
	}
	return nil
}

// vector looks at one Vector; nil is zeros.
func (p *Problem) vector(v Vector) error {
	if v != nil && len(v) != len(p.Resources) {
		return fmt.Errorf("%d entries for %d resources", len(v), len(p.Resources))
	}
	for r, q := range v {
		if q < 0 {
			return fmt.Errorf("%s is negative: %d", p.Resources[r], q)
		}
	}
	return nil
}

// domains looks at the domains of one place.
func (p *Problem) domains(domains []int) error {
	if len(domains) != len(p.Keys) {
		return fmt.Errorf("domains: %d entries for %d keys", len(domains), len(p.Keys))
	}
	for k, d := range domains {
		if d < NoDomain || d >= len(p.Domains[k]) {
			return fmt.Errorf("domains: index %d of key %q out of range", d, p.Keys[k])
		}
	}
	return nil
}

// within reports an element that is not an index of a list of n.
func (s Set) within(n int) error {
	// From the end: the highest element decides.
	for w := len(s) - 1; w >= 0; w-- {
		if s[w] != 0 {
			if top := w<<6 + bits.Len64(s[w]) - 1; top >= n {
				return fmt.Errorf("index %d out of range", top)
			}
			return nil
		}
	}
	return nil
}
