package binpack

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"testing"
)

// An obviousNode is a node of the slow obvious solver: an offer and the group of each pod.
type obviousNode struct {
	offer int
	pods  []int
}

// obvious places pods one at a time, the largest first, each on the first node that takes
// it, or else on a new one of the offer that is cheapest for a node full of its like. It
// knows MaxPerNode and exclusions over Hostname, and nothing else that ties pods. It
// returns the cost and the number of pods placed.
func obvious(p *Problem) (cost MicroUSD, placed int64) {
	var pods []int
	for g := range p.Groups {
		for range p.Groups[g].Count {
			pods = append(pods, g)
		}
	}
	slices.SortStableFunc(pods, func(a, b int) int {
		return -slices.Compare(p.Groups[a].Requests, p.Groups[b].Requests)
	})
	var nodes []obviousNode
	for _, g := range pods {
		if i := slices.IndexFunc(nodes, func(n obviousNode) bool { return takes(p, n, g) }); i >= 0 {
			nodes[i].pods = append(nodes[i].pods, g)
			placed++
			continue
		}
		if o := cheapestFor(p, g); o >= 0 {
			nodes = append(nodes, obviousNode{o, []int{g}})
			cost += p.Offers[o].Price + p.Pools[p.Offers[o].Pool].NodeFee
			placed++
		}
	}
	return cost, placed
}

// takes reports whether a node takes one more pod of group g.
func takes(p *Problem, n obviousNode, g int) bool {
	if !p.Groups[g].Offers.Has(n.offer) {
		return false
	}
	alike := int64(0)
	for r := range p.Resources {
		room := p.Offers[n.offer].Capacity.at(r) - p.Offers[n.offer].Overhead.at(r) - p.Groups[g].Requests.at(r)
		for _, h := range n.pods {
			room -= p.Groups[h].Requests.at(r)
		}
		if room < 0 {
			return false
		}
	}
	for _, h := range n.pods {
		if h == g {
			alike++
		}
		for _, x := range p.Exclusions {
			if x.A.Has(g) && x.B.Has(h) || x.B.Has(g) && x.A.Has(h) {
				return false
			}
		}
	}
	return p.Groups[g].MaxPerNode == 0 || alike < p.Groups[g].MaxPerNode
}

// cheapestFor returns the offer of which a pod costs least on a node full of its like, or
// -1 if none holds it.
func cheapestFor(p *Problem, g int) int {
	best, most := -1, int64(0)
	for o := range p.Offers {
		n := obviousNode{offer: o}
		for takes(p, n, g) && len(n.pods) < 100 {
			n.pods = append(n.pods, g)
		}
		k := int64(len(n.pods))
		if k > 0 && (best < 0 || cmp.Compare(int64(p.Offers[o].Price)*most, int64(p.Offers[best].Price)*k) < 0) {
			best, most = o, k
		}
	}
	return best
}

// ruled makes a plain problem in which some groups have rules of one node.
func ruled(seed uint64) *Problem {
	r := rand.New(rand.NewPCG(seed, 7))
	p := random(r, plain)
	for g := range p.Groups {
		switch r.IntN(5) {
		case 0:
			p.Groups[g].MaxPerNode = 1 + r.Int64N(3)
		case 1:
			p.Exclusions = append(p.Exclusions, Exclusion{ID: p.Groups[g].ID, Key: Hostname, A: SetOf(g), B: SetOf(r.IntN(len(p.Groups)), g)})
		}
	}
	return p
}

// checkObvious holds Solve to the slow obvious solver: it places as many pods, and its
// bound is below that plan too. It returns what both plans cost.
func checkObvious(t *testing.T, p *Problem) (ours, others MicroUSD) {
	t.Helper()
	if err := p.Validate(); err != nil {
		t.Fatal(err)
	}
	s := mustSolve(t, p)
	cost, placed := obvious(p)
	found := int64(0)
	for _, n := range s.New {
		for _, sh := range n.Pods {
			found += n.Count * sh.Count
		}
	}
	if found != placed {
		t.Fatalf("%d pods placed, and %d by the obvious solver\n%s", found, placed, p.Text())
	}
	if s.LowerBound > cost {
		t.Fatalf("the bound %v is above a plan that costs %v\n%s", s.LowerBound, cost, p.Text())
	}
	return s.Cost, cost
}

// worseThanObvious is for how many of the problems of TestCheaperThanObvious the plan costs
// more than the obvious one: a few pods on nodes as large as they. It may only shrink.
const worseThanObvious = 3

// TestCheaperThanObvious compares plans of up to 200 pods.
func TestCheaperThanObvious(t *testing.T) {
	var ours, others MicroUSD
	var worse []uint64
	for seed := range uint64(300) {
		a, b := checkObvious(t, ruled(seed))
		ours, others = ours+a, others+b
		if a > b {
			worse = append(worse, seed)
		}
	}
	if len(worse) > worseThanObvious {
		t.Errorf("dearer than obvious for seeds %v: %d, and it was %d", worse, len(worse), worseThanObvious)
	}
	if ours*100 > others*94 {
		t.Errorf("all plans cost %v, and those of the obvious solver %v", ours, others)
	}
}

// FuzzObvious makes a problem of any seed.
func FuzzObvious(f *testing.F) {
	f.Add(uint64(1000))
	f.Fuzz(func(t *testing.T, seed uint64) { checkObvious(t, ruled(seed)) })
}
