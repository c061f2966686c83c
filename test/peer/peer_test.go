package main

import (
	"math"
	"slices"
	"testing"
	"time"

	"sigs.k8s.io/karpenter/pkg/cloudprovider"
	cloudfake "sigs.k8s.io/karpenter/pkg/cloudprovider/fake"

	ours "github.com/stowage-sh/stowage/cloudprovider"
	"github.com/stowage-sh/stowage/test/corpus"
)

// offer is where, how and for how many millionths a type can be had.
type offer struct {
	where ours.Offering
	micro int64
}

// offers lists a peer's type in our words, in order.
func offers(t *cloudprovider.InstanceType) []offer {
	var all []offer
	for _, o := range t.Offerings {
		all = append(all, offer{ours.Offering{InstanceType: t.Name, Zone: o.Zone(), CapacityType: o.CapacityType()}, int64(math.Round(o.Price * 1e6))})
	}
	slices.SortFunc(all, func(a, b offer) int { return a.where.Compare(b.where) })
	return all
}

// TestGeneratedTypesAreThePeersOwn compares the generated market, as the peer gets
// it, with the types that the peer's benchmark makes.
func TestGeneratedTypesAreThePeersOwn(t *testing.T) {
	p, err := newPeer(corpus.Generated(400), time.Minute, false)
	if err != nil {
		t.Fatal(err)
	}
	made := map[string]*cloudprovider.InstanceType{}
	for _, it := range p.types {
		made[it.Name] = it
	}
	for _, want := range cloudfake.InstanceTypes(400) {
		got := made[want.Name]
		if got == nil {
			t.Fatalf("there is no %s", want.Name)
		}
		if !slices.Equal(offers(got), offers(want)) {
			t.Errorf("%s: offered %v, the peer's own %v", want.Name, offers(got), offers(want))
		}
		for name, q := range want.Allocatable() {
			if mine := got.Allocatable()[name]; mine.Cmp(q) != 0 {
				t.Errorf("%s: allocatable %s %s, the peer's own %s", want.Name, name, mine.String(), q.String())
			}
		}
	}
}

// TestBothSeeTheSameTypes compares what the peer gets of the embedded catalog with
// the catalog: sizes, labels and prices.
func TestBothSeeTheSameTypes(t *testing.T) {
	m, err := corpus.Embedded("embedded", corpus.Options{CapacityTypes: []string{ours.OnDemand, ours.Spot}})
	if err != nil {
		t.Fatal(err)
	}
	p, err := newPeer(m, time.Minute, false)
	if err != nil {
		t.Fatal(err)
	}
	if len(p.types) < 500 {
		t.Fatalf("the peer gets %d types", len(p.types))
	}
	for _, it := range p.types {
		mine, _ := m.Catalog.InstanceType(it.Name)
		var want []offer
		for _, o := range mine.Offerings {
			if price, ok := m.Prices.Price(o); ok {
				want = append(want, offer{o, int64(price)})
			}
		}
		if got := offers(it); !slices.Equal(got, want) {
			t.Errorf("%s: the peer is offered %v, we %v", it.Name, got, want)
		}
		for key, value := range mine.Labels {
			if got := it.Requirements.Get(key).Any(); got != value {
				t.Errorf("%s: label %s is %q to the peer, %q to us", it.Name, key, got, value)
			}
		}
		for name, q := range quantities(mine.Allocatable) {
			if got := it.Allocatable()[name]; got.Cmp(q) != 0 {
				t.Errorf("%s: allocatable %s is %s to the peer, %s to us", it.Name, name, got.String(), q.String())
			}
		}
	}
}

// TestBothPlaceAllPods runs small batches: neither side may leave a pod out, and
// no plan may cost less than our bound.
func TestBothPlaceAllPods(t *testing.T) {
	markets, err := newMarkets()
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range []workload{
		{name: "mix", market: corpus.Generated(400), pods: list(corpus.Diverse, 100)},
		{name: "menus", market: markets[1], pods: list(corpus.Menus, 300)},
		{name: "GPU", market: markets[4], pods: list(corpus.GPUs, 200)},
	} {
		c, err := compare(&w, time.Minute)
		if err != nil {
			t.Fatalf("%s: %v", w.name, err)
		}
		for _, u := range c.complaints() {
			t.Errorf("%s: %s", w.name, u)
		}
		for side, m := range map[string]*measure{"peer": c.peer, "first": c.first, "whole": c.whole} {
			if len(m.placed) != c.pods || m.stopped {
				t.Errorf("%s: %s places %d of %d pods", w.name, side, len(m.placed), c.pods)
			}
			if m.cost < c.whole.bound {
				t.Errorf("%s: %s costs %d, below the bound %d", w.name, side, m.cost, c.whole.bound)
			}
		}
	}
}

// TestPeerStopsAtItsLimit gives the peer no time: what it did not place is no
// complaint, and our plan for what it did place stands beside it.
func TestPeerStopsAtItsLimit(t *testing.T) {
	m := corpus.Generated(400)
	p, err := newPeer(m, time.Nanosecond, false)
	if err != nil {
		t.Fatal(err)
	}
	pods := corpus.Menus(50)
	got, err := run(func() func() (*plan, error) { return p.prepare(pods) })
	if err != nil {
		t.Fatal(err)
	}
	if !got.stopped || len(got.placed) > 0 || len(got.unplaced) > 0 {
		t.Errorf("stopped %v, placed %d, complaints %v", got.stopped, len(got.placed), got.unplaced)
	}
}
