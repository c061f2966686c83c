package problem_test

import (
	"math/rand/v2"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/stowage-sh/stowage/binpack"
	"github.com/stowage-sh/stowage/provisioner/problem"
	v1 "github.com/stowage-sh/stowage/provisioner/v1"
)

// TestMinValuesOfClaims decides strictly and with relaxed minValues. A NodeClaim asks for what
// its offerings show and says where that is less; only pods without a strict place get one such.
func TestMinValuesOfClaims(t *testing.T) {
	strictly, relaxed := 0, 0
	forSeeds(t, 1500, func(t *testing.T, _ *rand.Rand, w *world) {
		w.input.RelaxMinValues = false
		tr, s := decide(t, w)
		launches, _ := tr.Placed(s)
		for i := range launches {
			if len(checkMinValues(t, &launches[i])) > 0 {
				t.Errorf("a NodeClaim is relaxed that must not be:\n%s", claimsOf(tr, s))
			}
		}
		waiting := podsLeft(tr, s)
		w.input.RelaxMinValues = true
		tr, s = decide(t, w)
		launches, _ = tr.Placed(s)
		for i := range launches {
			few := checkMinValues(t, &launches[i])
			for _, p := range few {
				if relaxed++; !waiting[p.UID] {
					t.Errorf("pod %s has a place where minValues hold, and got one where they do not", p.Name)
				}
			}
			strictly += len(launches[i].Pods) - len(few)
		}
		if left := podsLeft(tr, s); len(left) > len(waiting) {
			t.Errorf("%d pods wait, and %d if minValues are strict", len(left), len(waiting))
		}
	})
	if !t.Failed() && (strictly < 1000 || relaxed < 50) {
		t.Errorf("only %d pods got nodes as asked and %d others: the worlds say nothing", strictly, relaxed)
	}
	t.Logf("%d pods got nodes as asked, %d others", strictly, relaxed)
}

// podsLeft are the pods that a plan has no place for.
func podsLeft(tr *problem.Translation, s *binpack.Solution) map[types.UID]bool {
	left := map[types.UID]bool{}
	for _, u := range s.Unplaced {
		pods := tr.Pods[u.Group]
		for _, p := range pods[len(pods)-int(u.Count):] {
			left[p.UID] = true
		}
	}
	return left
}

// checkMinValues compares what a NodeClaim asks for with what its rows show, and returns its pods if
// that is less than its NodePool asks for.
func checkMinValues(t *testing.T, l *problem.Launch) (few []*corev1.Pod) {
	t.Helper()
	for _, own := range l.Rows[0].Pool.Spec.Template.Spec.Requirements {
		if own.MinValues == nil {
			continue
		}
		values := map[string]bool{}
		for _, row := range l.Rows {
			if v, ok := row.Labels()[own.Key]; ok {
				values[v] = true
			}
		}
		want := min(*own.MinValues, len(values))
		if want < *own.MinValues {
			few = l.Pods
		}
		for _, r := range l.Claim.Spec.Requirements {
			if r.Key != own.Key {
				continue
			}
			if got := r.MinValues; (got == nil) != (want == 0) || (got != nil && *got != want) {
				t.Errorf("%s: minValues is %v, the offerings show %d values and %d are wanted", r.Key, got, len(values), *own.MinValues)
			}
			// What kube-apiserver asks of a NodeClaim.
			if r.Operator == corev1.NodeSelectorOpIn && r.MinValues != nil && *r.MinValues > len(r.Values) {
				t.Errorf("%s: minValues %d of %v", r.Key, *r.MinValues, r.Values)
			}
		}
	}
	if says := l.Claim.Annotations[v1.AnnotationMinValuesRelaxed] == "true"; says != (few != nil) {
		t.Errorf("the NodeClaim is annotated as relaxed: %v", says)
	}
	return few
}
