package consolidate

import (
	"cmp"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/stowage-sh/stowage/provisioner/problem"
)

// A deal says again which pod goes where. Pods of a group can stand in for one another, so the
// places of a solution can be handed out such that few nodes depend on each other: a command is
// nodes whose pods share new nodes, and the smaller it is the sooner it can be carried out.
type deal struct {
	group    map[types.UID]int
	sources  []source
	atLeast  []int // by group: room that is left on machines that stay
	wanted   []int // by group: what the launch in hand has room for yet
	parent   []int // of sources that share launches
	launches [][]*corev1.Pod
}

// A source is a node that goes.
type source struct {
	pods map[int][]*corev1.Pod // by group, those that have no place yet
	kept map[int][]*corev1.Pod // those that go to machines that stay
	open bool                  // some of its pods are in launches
}

// redeal hands the places of launches and placements out anew to the pods that are in them, and
// returns which of the nodes that pods are on belong together: one name for all of these.
func redeal(t *problem.Translation, launches []problem.Launch, placements []problem.Placement) (together func(node string) int) {
	d := &deal{group: map[types.UID]int{}, atLeast: make([]int, len(t.Pods)), wanted: make([]int, len(t.Pods))}
	index := map[string]int{}
	for g, pods := range t.Pods {
		for _, p := range pods {
			d.group[p.UID] = g
		}
	}
	supply := func(pods []*corev1.Pod) {
		for _, p := range pods {
			i, ok := index[p.Spec.NodeName]
			if !ok {
				i = len(d.sources)
				index[p.Spec.NodeName] = i
				d.sources = append(d.sources, source{pods: map[int][]*corev1.Pod{}, kept: map[int][]*corev1.Pod{}})
				d.parent = append(d.parent, i)
			}
			g := d.group[p.UID]
			d.sources[i].pods[g] = append(d.sources[i].pods[g], p)
		}
	}
	for _, l := range launches {
		supply(l.Pods)
	}
	for _, at := range placements {
		supply(at.Pods)
		for _, p := range at.Pods {
			d.atLeast[d.group[p.UID]]++
		}
	}
	order := make([]int, len(launches))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(i, j int) int { return cmp.Compare(launches[j].Price, launches[i].Price) })
	for _, i := range order {
		launches[i].Pods = d.fill(launches[i].Pods)
	}
	d.rest(placements)
	return func(node string) int {
		i, ok := index[node]
		if !ok {
			return -1
		}
		return d.root(i)
	}
}

// fill finds pods for a launch, like those that it had.
func (d *deal) fill(had []*corev1.Pod) (pods []*corev1.Pod) {
	left := len(had)
	for _, p := range had {
		d.wanted[d.group[p.UID]]++
	}
	first := -1
	for left > 0 {
		i := d.pick(first)
		if first < 0 {
			first = i
		}
		d.parent[d.root(i)] = d.root(first)
		s := &d.sources[i]
		for _, g := range sortedKeys(s.pods) {
			n := min(d.wanted[g], len(s.pods[g]))
			pods = append(pods, s.pods[g][:n]...)
			s.pods[g] = s.pods[g][n:]
			d.wanted[g] -= n
			left -= n
		}
		d.close(s)
	}
	return pods
}

// close sends as many of the other pods of a source as can be to machines that stay, so that it
// does not depend on more launches.
func (d *deal) close(s *source) {
	s.open = false
	for _, g := range sortedKeys(s.pods) {
		n := min(d.atLeast[g], len(s.pods[g]))
		s.kept[g] = append(s.kept[g], s.pods[g][:n]...)
		d.atLeast[g] -= n
		if s.pods[g] = s.pods[g][n:]; len(s.pods[g]) == 0 {
			delete(s.pods, g)
		}
	}
	s.open = len(s.pods) > 0
}

// pick returns the source that is best for the launch in hand: with many of the pods that it
// wants, and few that would want another launch; one of those that are open already and in
// the same command before any other, and of those in other commands last.
func (d *deal) pick(first int) int {
	best, most := -1, 0
	for i := range d.sources {
		s := &d.sources[i]
		gives, strands := 0, 0
		for g, pods := range s.pods {
			n := min(d.wanted[g], len(pods))
			gives += n
			strands += max(0, len(pods)-n-d.atLeast[g])
		}
		if gives == 0 {
			continue
		}
		value := 2*gives - 3*strands
		switch {
		case !s.open:
		case first >= 0 && d.root(i) == d.root(first):
			value += 1000
		case first < 0:
			value += 500
		default:
			value -= 1000
		}
		if best < 0 || value > most {
			best, most = i, value
		}
	}
	return best
}

// rest gives machines that stay the pods that are left, like those that they had.
func (d *deal) rest(placements []problem.Placement) {
	left := map[int][]*corev1.Pod{}
	for i := range d.sources {
		for g, pods := range d.sources[i].kept {
			left[g] = append(left[g], pods...)
		}
		for g, pods := range d.sources[i].pods {
			left[g] = append(left[g], pods...)
		}
	}
	for i, at := range placements {
		pods := make([]*corev1.Pod, len(at.Pods))
		for j, p := range at.Pods {
			g := d.group[p.UID]
			pods[j], left[g] = left[g][0], left[g][1:]
		}
		placements[i].Pods = pods
	}
}

func (d *deal) root(i int) int {
	for d.parent[i] != i {
		d.parent[i] = d.parent[d.parent[i]]
		i = d.parent[i]
	}
	return i
}

func sortedKeys(m map[int][]*corev1.Pod) []int {
	keys := make([]int, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
