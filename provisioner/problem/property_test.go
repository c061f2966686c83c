package problem_test

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	corev1helpers "k8s.io/component-helpers/scheduling/corev1"
	"k8s.io/component-helpers/scheduling/corev1/nodeaffinity"
	"k8s.io/klog/v2"

	"github.com/google/go-cmp/cmp"
	"github.com/stowage-sh/stowage/binpack"
	"github.com/stowage-sh/stowage/cloudprovider"
	"github.com/stowage-sh/stowage/provisioner/oracle"
	"github.com/stowage-sh/stowage/provisioner/problem"
	v1 "github.com/stowage-sh/stowage/provisioner/v1"
)

// solve solves a translation and lets Verify judge.
func solve(t *testing.T, tr *problem.Translation) *binpack.Solution {
	t.Helper()
	s, err := binpack.Solve(context.Background(), tr.Problem)
	if err != nil {
		t.Fatalf("solving: %v\n%s", err, tr.Problem.Text())
	}
	if err := binpack.Verify(tr.Problem, s); err != nil {
		t.Fatalf("refused: %v\n%s\n%s", err, tr.Problem.Text(), s.Text(tr.Problem))
	}
	return s
}

// decide decides about a world and lets Verify judge.
func decide(t *testing.T, w *world) (*problem.Translation, *binpack.Solution) {
	t.Helper()
	tr, s, err := problem.Decide(t.Context(), w.question())
	if err != nil {
		t.Fatalf("solving: %v\n%s", err, tr.Problem.Text())
	}
	if err := binpack.Verify(tr.Problem, s); err != nil {
		t.Fatalf("refused: %v\n%s\n%s", err, tr.Problem.Text(), s.Text(tr.Problem))
	}
	return tr, s
}

// TestOrderDoesNotMatter shuffles every object of a world.
func TestOrderDoesNotMatter(t *testing.T) {
	forSeeds(t, 150, func(t *testing.T, r *rand.Rand, w *world) {
		text := func() string {
			tr := w.translate()
			s := solve(t, tr)
			return tr.Problem.Text() + placesOf(tr, s) + claimsOf(tr, s)
		}
		want := text()
		for range 3 {
			r.Shuffle(len(w.objects), func(i, j int) { w.objects[i], w.objects[j] = w.objects[j], w.objects[i] })
			if diff := cmp.Diff(strings.Split(want, "\n"), strings.Split(text(), "\n")); diff != "" {
				t.Fatalf("another order, another answer:\n%s", diff)
			}
		}
	})
}

// TestNothingIsShared: whoever writes a claim may change every part of it.
func TestNothingIsShared(t *testing.T) {
	forSeeds(t, 50, func(t *testing.T, _ *rand.Rand, w *world) {
		tr := w.translate()
		before := map[string]*v1.NodePool{}
		for _, p := range tr.Pools {
			before[p.Name] = p.DeepCopy()
		}
		launches, _ := tr.Placed(solve(t, tr))
		for _, l := range launches {
			for i := range l.Claim.Spec.Taints {
				l.Claim.Spec.Taints[i].Key = "changed"
			}
			for i := range l.Claim.Spec.Requirements {
				l.Claim.Spec.Requirements[i].Values = append(l.Claim.Spec.Requirements[i].Values[:0], "changed")
			}
			maps.DeleteFunc(l.Claim.Labels, func(string, string) bool { return true })
		}
		for _, p := range tr.Pools {
			if diff := cmp.Diff(before[p.Name], p); diff != "" {
				t.Fatalf("NodePool %s changed:\n%s", p.Name, diff)
			}
		}
	})
}

// A future is the cluster once all machines have come.
type future struct {
	oracle.Cluster
	world *world
	dice  dice
}

// build adds every machine, those of the plan included, and returns where the plan
// puts the pods.
func (f *future) build(tr *problem.Translation, s *binpack.Solution) (placements []oracle.Placement) {
	f.addStorage()
	names := map[string]string{} // of the node of each bin
	for i := range tr.Bins {
		bin := &tr.Bins[i]
		n := f.nodeOf(bin)
		names[bin.Name()] = n.Name
		if bin.Claim != nil {
			names[bin.Claim.Name] = n.Name
		}
		f.Nodes = append(f.Nodes, n)
		if bin.Claim != nil && !v1.IsTrue(bin.Claim.Status.Conditions, v1.ConditionInitialized) {
			f.addDaemons(n)
			f.addCSINode(n)
		}
	}
	for _, o := range f.world.objects {
		p, ok := o.(*corev1.Pod)
		if !ok {
			continue
		}
		if plan, ok := p.Annotations[annotationPlan]; ok {
			bound := p.DeepCopy()
			bound.Spec.NodeName = names[plan]
			f.Pods = append(f.Pods, bound)
		} else if p.Spec.NodeName != "" {
			f.Pods = append(f.Pods, p)
		}
	}
	launches, fills := tr.Placed(s)
	for i, l := range launches {
		row := l.Rows[f.dice.IntN(len(l.Rows))]
		n := newNode(fmt.Sprintf("new%d", i), row.Labels(), row.Type.Allocatable)
		maps.Copy(n.Labels, l.Claim.Labels)
		n.Spec.Taints = l.Claim.Spec.Taints
		f.Nodes = append(f.Nodes, n)
		f.addDaemons(n)
		f.addCSINode(n)
		for _, p := range l.Pods {
			placements = append(placements, oracle.Placement{Pod: p, Node: n.Name})
		}
	}
	for _, fill := range fills {
		for _, p := range fill.Pods {
			placements = append(placements, oracle.Placement{Pod: p, Node: names[fill.Bin.Name()]})
		}
	}
	return placements
}

// nodeOf returns the node of a bin once it is open.
func (f *future) nodeOf(bin *problem.Bin) *corev1.Node {
	if bin.Node != nil {
		n := bin.Node.DeepCopy()
		if bin.Claim != nil {
			n.Spec.Taints = bin.Claim.Spec.Taints
		}
		return n
	}
	offerings := problem.Offerings(bin.Claim)
	o := offerings[f.dice.IntN(len(offerings))]
	kind, ok := f.world.catalog.InstanceType(o.InstanceType)
	if !ok {
		panic(o)
	}
	labels := maps.Clone(kind.Labels)
	maps.Copy(labels, bin.Claim.Labels)
	maps.Copy(labels, f.world.catalog.ZoneLabels[o.Zone])
	labels[corev1.LabelTopologyZone], labels[v1.LabelCapacityType] = o.Zone, o.CapacityType
	n := newNode("node-of-"+bin.Claim.Name, labels, kind.Allocatable)
	n.Spec.Taints = bin.Claim.Spec.Taints
	return n
}

func newNode(name string, labels map[string]string, allocatable cloudprovider.Resources) *corev1.Node {
	labels[corev1.LabelHostname] = name
	labels["beta.kubernetes.io/arch"] = labels[corev1.LabelArchStable]
	n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels}, Status: corev1.NodeStatus{Allocatable: corev1.ResourceList{}}}
	for name, q := range allocatable {
		n.Status.Allocatable[corev1.ResourceName(name)] = *resource.NewQuantity(q, resource.DecimalSI)
	}
	n.Status.Allocatable[corev1.ResourceCPU] = *resource.NewMilliQuantity(allocatable[cloudprovider.CPU], resource.DecimalSI)
	return n
}

// addDaemons binds a pod of each DaemonSet that Kubernetes' own rules put there.
func (f *future) addDaemons(n *corev1.Node) {
	for _, o := range f.world.objects {
		ds, ok := o.(*appsv1.DaemonSet)
		if !ok {
			continue
		}
		p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: ds.Namespace, Name: ds.Name + "-" + n.Name, UID: types.UID(ds.Name + "-" + n.Name), Labels: ds.Spec.Template.Labels}, Spec: *ds.Spec.Template.Spec.DeepCopy()}
		matches, err := nodeaffinity.GetRequiredNodeAffinity(p).Match(n)
		if err != nil {
			panic(err)
		}
		if matches && tolerated(n.Spec.Taints, p) {
			p.Spec.NodeName = n.Name
			f.Pods = append(f.Pods, p)
		}
	}
}

// TestPlacesAgree compares where a pod may go, as far as its own spec decides it,
// with what Kubernetes' helpers say of the node that each row would become.
func TestPlacesAgree(t *testing.T) {
	compared := 0
	forSeeds(t, 1500, func(t *testing.T, _ *rand.Rand, w *world) {
		w.input.IgnorePreferences = true
		tr := w.translate()
		for g := range tr.Pods {
			p := tr.Pods[g][0]
			if len(tr.Problem.Groups[g].Unsupported) > 0 || len(nearTo(p))+len(apartFrom(p)) > 0 || keepsApart(w) || len(p.Spec.Containers[0].Ports) > 0 || len(p.Spec.Volumes) > 0 {
				continue
			}
			compared++
			want := nodeaffinity.GetRequiredNodeAffinity(p)
			for i := range tr.Rows {
				row := &tr.Rows[i]
				n := newNode("new", row.Labels(), row.Type.Allocatable)
				ok, err := want.Match(n)
				if err != nil {
					t.Fatal(err)
				}
				if ok = ok && tolerated(row.Pool.Spec.Template.Spec.Taints, p); ok != tr.Problem.Groups[g].Offers.Has(i) {
					t.Errorf("pod %s may go to %s: %v, Kubernetes says %v", p.Name, tr.Problem.Offers[i].ID, !ok, ok)
				}
			}
		}
	})
	t.Logf("%d groups were compared", compared)
	if compared < 100 {
		t.Errorf("only %d groups were compared", compared)
	}
}

// nearTo are the pods that a pod must be near to.
func nearTo(p *corev1.Pod) []corev1.PodAffinityTerm {
	if a := p.Spec.Affinity; a != nil && a.PodAffinity != nil {
		return a.PodAffinity.RequiredDuringSchedulingIgnoredDuringExecution
	}
	return nil
}

// apartFrom are the pods that a pod must be apart from.
func apartFrom(p *corev1.Pod) []corev1.PodAffinityTerm {
	if a := p.Spec.Affinity; a != nil && a.PodAntiAffinity != nil {
		return a.PodAntiAffinity.RequiredDuringSchedulingIgnoredDuringExecution
	}
	return nil
}

// keepsApart reports whether pods that stand, or DaemonSets, keep others away.
func keepsApart(w *world) bool {
	for _, o := range w.objects {
		switch o := o.(type) {
		case *corev1.Pod:
			if len(apartFrom(o)) > 0 {
				return true
			}
		case *appsv1.DaemonSet:
			if o.Spec.Template.Spec.Affinity != nil {
				return true
			}
		}
	}
	return false
}

func tolerated(taints []corev1.Taint, p *corev1.Pod) bool {
	_, untolerated := corev1helpers.FindMatchingUntoleratedTaint(klog.Background(), taints, p.Spec.Tolerations, func(t *corev1.Taint) bool {
		return t.Effect != corev1.TaintEffectPreferNoSchedule
	}, false)
	return !untolerated
}
