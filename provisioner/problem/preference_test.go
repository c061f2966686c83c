package problem_test

import (
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1helpers "k8s.io/component-helpers/scheduling/corev1"

	"github.com/stowage-sh/stowage/binpack"
	"github.com/stowage-sh/stowage/provisioner/problem"
)

// TestPreferencesKeepNobodyOut: whatever pods prefer, as many find a place as if nobody
// preferred anything, by priority; and the order of objects does not matter.
func TestPreferencesKeepNobodyOut(t *testing.T) {
	heard, worlds := 0, 0
	forSeeds(t, 400, func(t *testing.T, r *rand.Rand, w *world) {
		with, s := decide(t, w)
		w.input.IgnorePreferences = true
		without, other := decide(t, w)
		w.input.IgnorePreferences = false
		if slices.Compare(left(with, s), left(without, other)) > 0 {
			t.Errorf("left with preferences:\n%s\nand without:\n%s", placesOf(with, s), placesOf(without, other))
		}
		worlds++
		if placesOf(with, s) != placesOf(without, other) {
			heard++
		}
		want := placesOf(with, s)
		r.Shuffle(len(w.objects), func(i, j int) { w.objects[i], w.objects[j] = w.objects[j], w.objects[i] })
		again, s := decide(t, w)
		if diff := cmp.Diff(strings.Split(want, "\n"), strings.Split(placesOf(again, s), "\n")); diff != "" {
			t.Errorf("another order, another answer:\n%s", diff)
		}
	})
	t.Logf("preferences change %d of %d plans", heard, worlds)
	if heard*10 < worlds {
		t.Errorf("preferences change only %d of %d plans", heard, worlds)
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
