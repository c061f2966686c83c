package problem_test

import (
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	corev1helpers "k8s.io/component-helpers/scheduling/corev1"

	"github.com/stowage-sh/stowage/binpack"
	"github.com/stowage-sh/stowage/provisioner/problem"
)

// TestPreferencesKeepNobodyOut: whatever pods prefer, as many find a place as if nobody
// preferred anything, by priority; and the order of objects does not matter.
func TestPreferencesKeepNobodyOut(t *testing.T) {
	heard, worlds := 0, 0
	forSeeds(t, 400, func(t *testing.T, r *rand.Rand, w *world) {
		prefer(r, w)
		decide := func(ignore bool) (*problem.Translation, *binpack.Solution) {
			in := w.question()
			in.IgnorePreferences = ignore
			tr, s, err := problem.Decide(t.Context(), in)
			if err != nil {
				t.Fatal(err)
			}
			if err := binpack.Verify(tr.Problem, s); err != nil {
				t.Fatalf("refused: %v", err)
			}
			return tr, s
		}
		with, s := decide(false)
		without, other := decide(true)
		if slices.Compare(left(with, s), left(without, other)) > 0 {
			t.Errorf("left with preferences:\n%s\nand without:\n%s", placesOf(with, s), placesOf(without, other))
		}
		worlds++
		if placesOf(with, s) != placesOf(without, other) {
			heard++
		}
		want := placesOf(with, s)
		r.Shuffle(len(w.objects), func(i, j int) { w.objects[i], w.objects[j] = w.objects[j], w.objects[i] })
		again, s := decide(false)
		if diff := cmp.Diff(strings.Split(want, "\n"), strings.Split(placesOf(again, s), "\n")); diff != "" {
			t.Errorf("another order, another answer:\n%s", diff)
		}
	})
	t.Logf("preferences change %d of %d plans", heard, worlds)
	if heard*10 < worlds {
		t.Errorf("preferences change only %d of %d plans", heard, worlds)
	}
}

// prefer gives pending pods preferences, those of one workload the same.
func prefer(r *rand.Rand, w *world) {
	d := dice{r}
	shapes := map[string]func(*corev1.Pod){}
	for _, o := range w.objects {
		p, ok := o.(*corev1.Pod)
		if !ok || !strings.HasPrefix(p.Name, "pending") {
			continue
		}
		name, _, _ := strings.Cut(p.Name, "-")
		if shapes[name] == nil {
			node, apart, even := d.expression(), d.term(), d.spread()
			even.WhenUnsatisfiable = corev1.ScheduleAnyway
			weights, which := []int32{1 + r.Int32N(100), 1 + r.Int32N(100)}, 1+r.IntN(7)
			shapes[name] = func(p *corev1.Pod) {
				if which&1 != 0 {
					if p.Spec.Affinity.NodeAffinity == nil {
						p.Spec.Affinity.NodeAffinity = &corev1.NodeAffinity{}
					}
					p.Spec.Affinity.NodeAffinity.PreferredDuringSchedulingIgnoredDuringExecution = []corev1.PreferredSchedulingTerm{
						{Weight: weights[0], Preference: corev1.NodeSelectorTerm{MatchExpressions: []corev1.NodeSelectorRequirement{node}}}}
				}
				if which&2 != 0 {
					if p.Spec.Affinity.PodAntiAffinity == nil {
						p.Spec.Affinity.PodAntiAffinity = &corev1.PodAntiAffinity{}
					}
					p.Spec.Affinity.PodAntiAffinity.PreferredDuringSchedulingIgnoredDuringExecution = []corev1.WeightedPodAffinityTerm{{Weight: weights[1], PodAffinityTerm: apart}}
				}
				if which&4 != 0 {
					p.Spec.TopologySpreadConstraints = append(p.Spec.TopologySpreadConstraints, even)
				}
			}
		}
		shapes[name](p)
	}
}

// left counts the pods without a place by priority, the highest first.
func left(tr *problem.Translation, s *binpack.Solution) (out []int64) {
	byPriority := map[int32]int64{}
	for _, pods := range tr.Pods {
		byPriority[corev1helpers.PodPriority(pods[0])] += 0
	}
	for _, u := range s.Unplaced {
		byPriority[corev1helpers.PodPriority(tr.Pods[u.Group][0])] += u.Count
	}
	for _, level := range slices.Backward(slices.Sorted(maps.Keys(byPriority))) {
		out = append(out, byPriority[level])
	}
	return out
}
