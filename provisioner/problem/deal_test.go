package problem

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/stowage-sh/stowage/binpack"
)

// TestTurns: whatever each zone has of a kind before, and however the machines are listed, no pod
// is one too many for its zone when its turn comes, and every machine gets a first pod before one of
// its zone gets a second.
func TestTurns(t *testing.T) {
	for seed := range uint64(2000) {
		random := rand.New(rand.NewPCG(seed, 0))
		zones := 1 + random.IntN(4)
		count, zoneOf := make([]int64, zones), []int{}
		var slots []slot
		level := 5 + random.Int64N(5)
		for z := range zones {
			count[z] = random.Int64N(level)
			for left := level + random.Int64N(2) - count[z]; left > 0; {
				n := min(left, 1+random.Int64N(3))
				for nth := range n {
					slots = append(slots, slot{dealing: len(zoneOf), nth: nth, domain: z})
				}
				zoneOf = append(zoneOf, z)
				left -= n
			}
		}
		random.Shuffle(len(slots), func(i, j int) { slots[i], slots[j] = slots[j], slots[i] })
		var running []binpack.DomainCount
		for z, n := range count {
			if n > 0 || random.IntN(2) == 0 {
				running = append(running, binpack.DomainCount{Domain: z, Count: n})
			}
		}
		inTurns(slots, running)
		nth := make([]int64, zones)
		for i, s := range slots {
			z := zoneOf[s.dealing]
			if count[z]+1-slices.Min(count) > 1 {
				t.Fatalf("seed %d: slot %d of %d is for zone %d, and the zones have %v by then", seed, i, len(slots), z, count)
			}
			if s.nth < nth[z] {
				t.Fatalf("seed %d: slot %d is pod %d of its machine, after pod %d of another in zone %d", seed, i, s.nth, nth[z], z)
			}
			count[z]++
			nth[z] = s.nth
		}
	}
}

// TestQueueOrder compares each pod of a list with all that come after it.
func TestQueueOrder(t *testing.T) {
	pod := func(name string, change func(*corev1.Pod)) *corev1.Pod {
		p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name, CreationTimestamp: metav1.Unix(1000, 0), ResourceVersion: "100"}}
		change(p)
		return p
	}
	high := int32(1)
	order := []*corev1.Pod{
		pod("high", func(p *corev1.Pod) { p.Spec.Priority = &high; p.CreationTimestamp = metav1.Unix(5000, 0) }),
		pod("older", func(p *corev1.Pod) {
			p.CreationTimestamp.Time = p.CreationTimestamp.Add(-time.Second)
			p.ResourceVersion = "1000"
		}),
		pod("z-tried-first", func(p *corev1.Pod) { p.ResourceVersion = "99" }),
		pod("a", func(*corev1.Pod) {}),
		pod("b", func(*corev1.Pod) {}),
		pod("0-of-a-file", func(p *corev1.Pod) { p.ResourceVersion = "" }),
		pod("1-of-a-file", func(p *corev1.Pod) { p.ResourceVersion = "" }),
		pod("running", func(p *corev1.Pod) { p.Spec.NodeName = "n"; p.CreationTimestamp = metav1.Unix(1, 0) }),
		pod("headroom", func(p *corev1.Pod) { p.CreationTimestamp = metav1.Time{} }),
	}
	for i, p := range order {
		for _, q := range order[i+1:] {
			if QueueOrder(p, q) >= 0 || QueueOrder(q, p) <= 0 {
				t.Errorf("%s against %s: %d and %d", p.Name, q.Name, QueueOrder(p, q), QueueOrder(q, p))
			}
		}
		if QueueOrder(p, p) != 0 {
			t.Errorf("%s is not equal to itself", p.Name)
		}
	}
}
