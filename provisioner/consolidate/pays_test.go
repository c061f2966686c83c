package consolidate

import (
	"math"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/stowage-sh/stowage/binpack"
	"github.com/stowage-sh/stowage/provisioner/lifecycle"
)

// weighing is a search that knows only what its nodes cost, and what it costs to move their pods.
func weighing(nodes ...Node) *search {
	s := &search{nodes: nodes}
	for _, n := range nodes {
		s.moving = append(s.moving, 100)
		s.owed = append(s.owed, n.Terms.rate(&corev1.Pod{}, 100))
	}
	return s
}

// holding is a node with so many pods.
func holding(price binpack.MicroUSD, pods int, terms *Terms) Node {
	n := Node{Price: price, Terms: terms}
	for range pods {
		n.Pods = append(n.Pods, &corev1.Pod{})
	}
	return n
}

// TestDisruption: one for the node, and one for each pod that says nothing of it; none is less than nothing.
func TestDisruption(t *testing.T) {
	n := holding(0, 2, nil)
	n.Pods = append(n.Pods, &corev1.Pod{}, &corev1.Pod{})
	n.Pods[2].Annotations = map[string]string{corev1.PodDeletionCost: "134217728"}
	n.Pods[3].Annotations = map[string]string{corev1.PodDeletionCost: "-2147483648"}
	if got := Disruption(n); got != 5*lifecycle.OnePod {
		t.Errorf("disruption %v pods", float64(got)/lifecycle.OnePod)
	}
}

// TestPays on two nodes: what moving both costs is 200.
func TestPays(t *testing.T) {
	for _, test := range []struct {
		payback time.Duration
		savings binpack.MicroUSD
		want    bool
	}{
		{0, 1, true}, {0, 0, false}, {0, -1, false},
		{time.Hour, 199, false}, {time.Hour, 200, true},
		{30 * time.Minute, 399, false}, {30 * time.Minute, 400, true},
	} {
		terms := &Terms{Payback: test.payback}
		if got := weighing(holding(1000, 1, terms), holding(1000, 1, terms)).pays([]int{0, 1}, test.savings); got != test.want {
			t.Errorf("savings of %d within %v: %v", test.savings, test.payback, got)
		}
	}
}

// TestBalanced: the pool costs 8000, and it takes 20 to disrupt it all. A node with three pods is 4 of that, a
// fifth, so it has to save half of a fifth of the cost: 800. Where the node is the pool's, and one of another goes with it, its part of the
// savings is that of its price.
func TestBalanced(t *testing.T) {
	balanced := &Terms{NodePool: "one", Balanced: true, Cost: 8000, Disruption: 20 * lifecycle.OnePod}
	other := &Terms{NodePool: "two", Balanced: true, Cost: 3000, Disruption: 30 * lifecycle.OnePod} // 50 for each pod or node
	any := &Terms{NodePool: "three"}
	for _, test := range []struct {
		name    string
		nodes   []Node
		savings binpack.MicroUSD
		want    bool
	}{
		{"just enough", []Node{holding(1000, 3, balanced)}, 800, true},
		{"not quite", []Node{holding(1000, 3, balanced)}, 799, false},
		{"two of a pool", []Node{holding(1000, 3, balanced), holding(1000, 3, balanced)}, 1600, true},
		{"two of a pool, not quite", []Node{holding(1000, 3, balanced), holding(1000, 3, balanced)}, 1599, false},
		// A quarter of 3200 is the part of the first.
		{"with one of a pool that asks for nothing", []Node{holding(1000, 3, balanced), holding(3000, 9, any)}, 3200, true},
		{"with one of a pool that asks for nothing, not quite", []Node{holding(1000, 3, balanced), holding(3000, 9, any)}, 3199, false},
		// The second has to save 50 × 2; half of 1600 is the part of each.
		{"of two pools", []Node{holding(1000, 3, balanced), holding(1000, 1, other)}, 1600, true},
		{"of two pools, the first short", []Node{holding(1000, 3, balanced), holding(1000, 1, other)}, 1598, false},
		{"of two pools, the second short", []Node{holding(9900, 3, balanced), holding(100, 1, other)}, 9000, false},
		{"of no price", []Node{holding(0, 0, balanced)}, 5, false},
	} {
		s := weighing(test.nodes...)
		indices := make([]int, len(test.nodes))
		for i := range indices {
			indices[i] = i
		}
		if got := s.pays(indices, test.savings); got != test.want {
			t.Errorf("%s: %v", test.name, got)
		}
	}
	balanced.Payback = time.Minute
	if s := weighing(holding(1000, 3, balanced)); s.fee(0) != 6000 || s.pays([]int{0}, 5999) {
		t.Errorf("both are asked for: a fee of %v", s.fee(0))
	}
	if got := (&Terms{Cost: 100}).share(lifecycle.OnePod); math.IsInf(got, 0) || math.IsNaN(got) {
		t.Errorf("a pool without disruption: %v", got)
	}
}

// TestTooMany counts by NodePool.
func TestTooMany(t *testing.T) {
	one, two := &Terms{NodePool: "one", Most: 1}, &Terms{NodePool: "two", Most: 2}
	s := weighing(holding(1, 0, one), holding(1, 0, one), holding(1, 0, two), holding(1, 0, two), holding(1, 0, two))
	for _, test := range []struct {
		nodes []int
		want  bool
	}{{nil, false}, {[]int{0, 2, 3}, false}, {[]int{0, 1}, true}, {[]int{0, 2, 3, 4}, true}} {
		if s.tooMany(test.nodes) != test.want {
			t.Errorf("nodes %v: want %v", test.nodes, test.want)
		}
	}
}

// TestBalancedPlan: a node without pods pays at once; one with many on it that saves little does not.
func TestBalancedPlan(t *testing.T) {
	w := newWorld(t)
	w.node("crowded", 2, pod(190), pod(190), pod(190), pod(190), pod(190), pod(190), pod(190), pod(190))
	w.node("empty", 2)
	w.node("large", 8, pod(7900))
	w.terms.Balanced = true
	for _, n := range w.nodes {
		w.terms.Cost += n.Price
		w.terms.Disruption += Disruption(n)
	}
	// crowded is 9 of 12 of the disruption, and would have to save 450000; it costs 200000.
	plan := w.wants("-empty / crowded:NotWorthIt large:WellUsed ")
	for _, s := range plan.Stays {
		if s.Code == NotWorthIt && !strings.Contains(s.Message, "has to save $0.4500") {
			t.Errorf("message %q", s.Message)
		}
	}
}

// TestWhy: the reasons that a node stays for.
func TestWhy(t *testing.T) {
	s := weighing(holding(1_000_000, 1, &Terms{Payback: time.Hour}))
	s.pinned = map[int]string{}
	s.unit, s.load = []float64{1}, []binpack.Vector{{985_000}}
	check := func(takes int, code Code, words string) {
		t.Helper()
		got, message := s.why(0, takes)
		if got != code || !strings.Contains(message, words) {
			t.Errorf("%s: %s; want %s: %s", got, message, code, words)
		}
	}
	check(0, WellUsed, "its pods cost $0.9850 an hour, and the node $1.0000")
	check(3, WellUsed, "takes 3 pods")
	s.load[0][0] = 500_000
	check(0, NotWorthIt, "no other places")
	s.owed[0] = 600_000
	check(0, NotWorthIt, "would save $0.5000 an hour at most, and has to save $0.6000")
	s.pinned[0] = "pod x"
	check(0, NoPlaceForPods, "pod x")
	s.pinned[0] = ""
	s.nodes[0].Price = 0
	check(0, WellUsed, "costs nothing")
}
