package problem

import (
	"cmp"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/resourceversion"
	corev1helpers "k8s.io/component-helpers/scheduling/corev1"

	"github.com/stowage-sh/stowage/binpack"
)

// A dealing is one machine of a solution, to which pods are handed out.
type dealing struct {
	shares  []binpack.Share
	domains []int // as in binpack.Offer
}

// A slot is room for one pod of a group.
type slot struct {
	dealing int
	nth     int64 // of the group's pods there
	domain  int   // of the group's spread
	turn    int64
}

// deal hands out the pods of each group, which can stand in for one another, in QueueOrder:
// pods[i] are for the i-th machine. The first pods of a group are those that kube-scheduler tries
// first, so those that spread are dealt to one domain after another: each is let in when its turn
// comes.
func (t *Translation) deal(machines []dealing) (pods [][]*corev1.Pod) {
	slots := make([][]slot, len(t.Pods))
	for i, m := range machines {
		for _, share := range m.shares {
			for nth := range share.Count {
				slots[share.Group] = append(slots[share.Group], slot{dealing: i, nth: nth})
			}
		}
	}
	pods = make([][]*corev1.Pod, len(machines))
	for g, of := range slots {
		if i := slices.IndexFunc(t.Problem.Spreads, func(s binpack.Spread) bool { return s.Key != binpack.Hostname && s.Owners.Has(g) }); i >= 0 {
			spread := &t.Problem.Spreads[i]
			for j := range of {
				of[j].domain = machines[of[j].dealing].domains[spread.Key]
			}
			inTurns(of, spread.Domains)
		}
		for i, s := range of {
			pods[s.dealing] = append(pods[s.dealing], t.Pods[g][i])
		}
	}
	return pods
}

// inTurns sorts the slots of a group into an order in which no pod is too many for its domain,
// if the whole is not: the domain that has the fewest is next, with those that run counted. Within a
// domain each machine gets a first pod before one gets a second.
func inTurns(slots []slot, running []binpack.DomainCount) {
	slices.SortStableFunc(slots, func(a, b slot) int { return cmp.Compare(a.nth, b.nth) })
	next := map[int]int64{}
	for _, d := range running {
		next[d.Domain] = d.Count
	}
	for i := range slots {
		s := &slots[i]
		s.turn = next[s.domain]
		next[s.domain]++
	}
	slices.SortStableFunc(slots, func(a, b slot) int {
		return cmp.Or(cmp.Compare(a.turn, b.turn), cmp.Compare(a.domain, b.domain))
	})
}

// QueueOrder compares pods by when kube-scheduler tries them: by priority, and then by when it
// tried them last. It writes that down on the pod, so the resource version tells, and the
// creation that of pods that it has not tried. Those that have a node come after all that wait, and
// headroom, which was never created, after all pods.
func QueueOrder(a, b *corev1.Pod) int {
	later := func(yes func(*corev1.Pod) bool) int {
		switch {
		case yes(a) == yes(b):
			return 0
		case yes(a):
			return 1
		}
		return -1
	}
	version, err := resourceversion.CompareResourceVersion(a.ResourceVersion, b.ResourceVersion)
	if err != nil {
		version = 0 // of two of a file, which need not have any
	}
	return cmp.Or(
		cmp.Compare(corev1helpers.PodPriority(b), corev1helpers.PodPriority(a)),
		later(func(p *corev1.Pod) bool { return p.CreationTimestamp.IsZero() }),
		later(func(p *corev1.Pod) bool { return p.Spec.NodeName != "" }),
		a.CreationTimestamp.Compare(b.CreationTimestamp.Time),
		later(func(p *corev1.Pod) bool { return p.ResourceVersion == "" }),
		version,
		strings.Compare(a.Namespace, b.Namespace), strings.Compare(a.Name, b.Name),
	)
}
