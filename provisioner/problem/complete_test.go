package problem_test

import (
	"context"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/stowage-sh/stowage/binpack"
	"github.com/stowage-sh/stowage/provisioner/oracle"
	"github.com/stowage-sh/stowage/provisioner/problem"
)

// TestNobodyIsLeftOut asks kube-scheduler's own plugins about each pod that found no place:
// whether a node of some offering, bought for it alone once the plan has come true, would
// take it. Pools that say that they may not buy are left out, and these are known to be
// careful:
//
//   - Spreads. A zone counts if this batch may open a node there; for kube-scheduler it does
//     once there is one.
//   - Anti-affinity of running pods of which the selector cannot be read: it is against all.
//   - Anti-affinity over zones against pods of a DaemonSet: a zone is out if any offer there would
//     bring one along. And affinity to such pods: only offers that do are in, though a pod of
//     the plan may be near as well.
//   - Anti-affinity whose namespaceSelector kube-scheduler reads in two ways: both hold.
//   - Claims that compete for a volume that is there, or share one that is not: see volumes.go.
func TestNobodyIsLeftOut(t *testing.T) {
	asked, careful := 0, 0
	forSeeds(t, 2000, func(t *testing.T, r *rand.Rand, w *world) {
		tr := w.translate()
		s := solve(t, tr)
		f := &future{world: w, dice: dice{r}}
		for _, p := range f.build(tr, s) {
			bound := p.Pod.DeepCopy()
			bound.Spec.NodeName = p.Node
			f.Pods = append(f.Pods, bound)
		}
		for i := range s.Unplaced {
			u := &s.Unplaced[i]
			if tr.Problem.Groups[u.Group].Unsupported != "" {
				continue
			}
			asked++
			offer := f.placeAlone(t, tr, u)
			switch said := problem.Sentence(tr.Explain(u)); {
			case offer < 0:
			case strings.Contains(said, " spread ") || strings.Contains(said, "anti-affinity of running pods") ||
				minds(w, tr.Pods[u.Group][0]) || w.readsTwice() || competes(w, tr.Pods[u.Group][0]):
				careful++
			default:
				t.Errorf("%s has no place, and %s would take it: %s", tr.Problem.Groups[u.Group].ID, tr.Problem.Offers[offer].ID, said)
			}
		}
	})
	t.Logf("of %d groups without a place %d might have had one", asked, careful)
	if asked < 1000 || careful > 100 {
		t.Errorf("%d groups were asked about, and %d might have had a place", asked, careful)
	}
}

// minds reports whether pods of some DaemonSet matter to a pod: to its affinity, or to its
// anti-affinity over more than host names.
func minds(w *world, p *corev1.Pod) bool {
	var terms []corev1.PodAffinityTerm
	if a := p.Spec.Affinity.PodAffinity; a != nil {
		terms = append(terms, a.RequiredDuringSchedulingIgnoredDuringExecution...)
	}
	if a := p.Spec.Affinity.PodAntiAffinity; a != nil {
		for _, term := range a.RequiredDuringSchedulingIgnoredDuringExecution {
			if term.TopologyKey != corev1.LabelHostname {
				terms = append(terms, term)
			}
		}
	}
	for _, o := range w.objects {
		ds, ok := o.(*appsv1.DaemonSet)
		if ok && slices.ContainsFunc(terms, func(term corev1.PodAffinityTerm) bool {
			selector, err := metav1.LabelSelectorAsSelector(term.LabelSelector)
			return err == nil && selector.Matches(labels.Set(ds.Spec.Template.Labels))
		}) {
			return true
		}
	}
	return false
}

// readsTwice reports whether some pod to be placed has an anti-affinity whose namespaceSelector
// matches more namespaces as its own than as that of a pod that runs.
func (w *world) readsTwice() bool {
	for _, o := range w.objects {
		p, ok := o.(*corev1.Pod)
		if !ok || p.Spec.NodeName != "" || p.Spec.Affinity.PodAntiAffinity == nil {
			continue
		}
		for _, term := range p.Spec.Affinity.PodAntiAffinity.RequiredDuringSchedulingIgnoredDuringExecution {
			if s := term.NamespaceSelector; s != nil && len(s.MatchExpressions) > 0 {
				return true
			}
		}
	}
	return false
}

// competes reports whether a pod has a claim for which a volume is there that is free, or that
// others share before it has one.
func competes(w *world, p *corev1.Pod) bool {
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
