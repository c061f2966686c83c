package problem_test

import (
	"context"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stowage-sh/stowage/binpack"
	"github.com/stowage-sh/stowage/provisioner/oracle"
	"github.com/stowage-sh/stowage/provisioner/problem"
)

// A tally counts what random worlds were asked.
type tally struct {
	placed, near atomic.Int64 // placements that were judged, and those with a required affinity
	asked        atomic.Int64 // groups without a place
	careful      atomic.Int64 // those of them that might have had one, in ways that are known
}

// TestSchedulerAgrees builds the clusters that plans would make and has kube-scheduler's own
// plugins judge them: where each plan puts each pod, and whether nobody is left out.
// STOWAGE_WORLDS says how many there are: make fuzz looks at more.
func TestSchedulerAgrees(t *testing.T) {
	n := uint64(2000)
	if more := os.Getenv("STOWAGE_WORLDS"); more != "" {
		var err error
		if n, err = strconv.ParseUint(more, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	var all tally
	forSeedsAtOnce(t, n, all.judge)
	placed, near, asked, careful := all.placed.Load(), all.near.Load(), all.asked.Load(), all.careful.Load()
	t.Logf("%d placements were judged, %d of them with a required affinity; of %d groups without a place %d might have had one", placed, near, asked, careful)
	if placed < 1000 || near < 200 || asked < 500 || careful*20 > asked {
		t.Error("the worlds are too hard to say anything, or the translation too careful")
	}
}

// judge decides and asks kube-scheduler's own plugins. Of the offerings that a NodeClaim lists
// it is bad luck which one comes.
func (y *tally) judge(t *testing.T, r *rand.Rand, w *world) {
	tr, s := decide(t, w)
	f := &future{world: w, dice: dice{r}}
	placements := f.build(tr, s)
	y.placed.Add(int64(len(placements)))
	for _, at := range placements {
		if len(nearTo(at.Pod)) > 0 {
			y.near.Add(1)
		}
	}
	refusals, err := oracle.Check(context.Background(), f.Cluster, placements)
	if err != nil {
		t.Fatal(err)
	}
	for _, refusal := range refusals {
		t.Errorf("refused: %s", refusal)
	}
	y.nobodyIsLeftOut(t, f, tr, s, placements)
	if t.Failed() {
		t.Logf("%s\n%s", tr.Problem.Text(), s.Text(tr.Problem))
	}
}

// nobodyIsLeftOut asks kube-scheduler's own plugins about each pod that found no place:
// whether a node of some offering, bought for it alone once the plan has come true, would
// take it. Pools that say that they may not buy are left out, and these are known to be
// careful:
//
//   - Spreads. A zone counts if this batch may open a node there; for kube-scheduler it does
//     once there is one.
//   - Anti-affinity of running pods of which the selector cannot be read: it is against all.
//   - Anti-affinity over zones against pods of a DaemonSet: a zone is out if any offer there would
//     bring one along.
//   - Anti-affinity whose namespaceSelector kube-scheduler reads in two ways: both hold.
//   - What pods prefer, where a plan without that places fewer of all: the next batch decides.
//   - Claims that compete for a volume that is there, or share one that is not: see volumes.go.
//   - Affinity to pods of which some are a DaemonSet's: only what these reach is looked at, and
//     not where others of the batch will be.
//   - Affinity to one's own kind and to others of the batch that find no place: some wait for
//     these, where they could begin alone. And whom others must be near to keeps away, once these
//     have begun without it; the next batch has it.
func (y *tally) nobodyIsLeftOut(t *testing.T, f *future, tr *problem.Translation, s *binpack.Solution, placements []oracle.Placement) {
	for _, p := range placements {
		bound := p.Pod.DeepCopy()
		bound.Spec.NodeName = p.Node
		f.Pods = append(f.Pods, bound)
	}
	for i := range s.Unplaced {
		u := &s.Unplaced[i]
		if tr.Problem.Groups[u.Group].Unsupported != "" {
			continue
		}
		y.asked.Add(1)
		offer := f.placeAlone(t, tr, u)
		pod := tr.Pods[u.Group][0]
		switch said := problem.Sentence(tr.Explain(u)); {
		case offer < 0:
		case strings.Contains(said, " spread ") || strings.Contains(said, "keeps it to what it prefers") || strings.Contains(said, "anti-affinity of running pods") ||
			f.world.nearDaemons(pod) || f.world.farFromDaemons(pod) || waits(tr, s, u) || isTarget(tr, u) || f.world.readsTwice() || f.world.competes(pod):
			y.careful.Add(1)
		default:
			t.Errorf("%s has no place, and %s would take it: %s", tr.Problem.Groups[u.Group].ID, tr.Problem.Offers[offer].ID, said)
		}
	}
}

// nearDaemons reports whether a pod must be near to pods of a DaemonSet, or others like them.
func (w *world) nearDaemons(p *corev1.Pod) bool {
	return slices.ContainsFunc(nearTo(p), func(term corev1.PodAffinityTerm) bool { return w.runsAsDaemon(term.LabelSelector) })
}

// waits reports whether pods must be near to others that have no place either.
func waits(tr *problem.Translation, s *binpack.Solution, u *binpack.Unplaced) bool {
	return slices.ContainsFunc(tr.Problem.Affinities, func(a binpack.Affinity) bool {
		return a.Owners.Has(u.Group) && slices.ContainsFunc(s.Unplaced, func(other binpack.Unplaced) bool {
			return other.Group != u.Group && a.Targets.Has(other.Group)
		})
	})
}

// farFromDaemons reports whether a pod has an anti-affinity over more than host names against
// pods of some DaemonSet.
func (w *world) farFromDaemons(p *corev1.Pod) bool {
	return slices.ContainsFunc(apartFrom(p), func(term corev1.PodAffinityTerm) bool {
		return term.TopologyKey != corev1.LabelHostname && w.runsAsDaemon(term.LabelSelector)
	})
}

// runsAsDaemon reports whether a selector finds pods of some DaemonSet.
func (w *world) runsAsDaemon(s *metav1.LabelSelector) bool {
	selector, err := metav1.LabelSelectorAsSelector(s)
	return err == nil && slices.ContainsFunc(w.objects, func(o client.Object) bool {
		ds, ok := o.(*appsv1.DaemonSet)
		return ok && selector.Matches(labels.Set(ds.Spec.Template.Labels))
	})
}

// readsTwice reports whether some pod to be placed has an anti-affinity whose namespaceSelector
// matches more namespaces as its own than as that of a pod that runs.
func (w *world) readsTwice() bool {
	for _, o := range w.objects {
		p, ok := o.(*corev1.Pod)
		if !ok || p.Spec.NodeName != "" {
			continue
		}
		for _, term := range apartFrom(p) {
			if s := term.NamespaceSelector; s != nil && len(s.MatchExpressions) > 0 {
				return true
			}
		}
	}
	return false
}

// competes reports whether a pod has a claim for which a volume is there that is free, or that
// others share before it has one.
func (w *world) competes(p *corev1.Pod) bool {
	if len(p.Spec.Volumes) == 0 {
		return false
	}
	name := p.Name + "-v"
	if c := p.Spec.Volumes[0].PersistentVolumeClaim; c != nil {
		name = c.ClaimName
	}
	free, sharers, class := false, 0, ""
	for _, o := range w.objects {
		switch o := o.(type) {
		case *corev1.PersistentVolumeClaim:
			if o.Namespace == p.Namespace && o.Name == name && o.Spec.VolumeName == "" {
				class = *o.Spec.StorageClassName
			}
		case *corev1.Pod:
			if o.Namespace == p.Namespace && len(o.Spec.Volumes) > 0 && o.Spec.Volumes[0].PersistentVolumeClaim != nil && o.Spec.Volumes[0].PersistentVolumeClaim.ClaimName == name {
				sharers++
			}
		}
	}
	for _, o := range w.objects {
		if pv, ok := o.(*corev1.PersistentVolume); ok && pv.Status.Phase == corev1.VolumeAvailable && pv.Spec.StorageClassName == class {
			free = true
		}
	}
	return class != "" && (free || sharers > 1)
}

// isTarget reports whether others must be near to pods that need nobody themselves.
func isTarget(tr *problem.Translation, u *binpack.Unplaced) bool {
	return slices.ContainsFunc(u.Reasons, func(r binpack.Reason) bool { return r.Code == binpack.AffinityUnsatisfiable }) &&
		slices.ContainsFunc(tr.Problem.Affinities, func(a binpack.Affinity) bool { return a.Targets.Has(u.Group) && !a.Owners.Has(u.Group) })
}

// placeAlone finds an offer of a pool that may still buy whose node would take a pod of an
// unplaced group, or -1.
func (f *future) placeAlone(t *testing.T, tr *problem.Translation, u *binpack.Unplaced) int {
	t.Helper()
	closed := map[int]bool{}
	for _, r := range u.Reasons {
		if r.Code == binpack.LimitReached || r.Code == binpack.TooFewValues || r.Code == binpack.StockExhausted {
			closed[r.Pool] = true
		}
	}
	pods := tr.Pods[u.Group]
	for o := range tr.Rows {
		if closed[tr.Problem.Offers[o].Pool] {
			continue
		}
		row := &tr.Rows[o]
		n := newNode("alone", row.Labels(), row.Type.Allocatable)
		n.Spec.Taints = row.Pool.Spec.Template.Spec.Taints
		with := &future{world: f.world, dice: f.dice}
		with.Objects = slices.Clone(f.Objects)
		with.Nodes, with.Pods = append([]*corev1.Node{n}, f.Nodes...), slices.Clone(f.Pods)
		with.addDaemons(n)
		with.addCSINode(n)
		refusals, err := oracle.Check(context.Background(), with.Cluster, []oracle.Placement{{Pod: pods[len(pods)-1], Node: n.Name}})
		if err != nil {
			t.Fatal(err)
		}
		if len(refusals) == 0 {
			return o
		}
	}
	return -1
}
