package problem

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// alikePod makes pods of few kinds, with the same amounts written in several ways,
// so that many are alike without being equal.
func alikePod(r *rand.Rand, i int) *corev1.Pod {
	one := func(of ...string) string { return of[r.IntN(len(of))] }
	list := func() corev1.ResourceList {
		l := corev1.ResourceList{corev1.ResourceCPU: resource.MustParse(one("1", "1000m", "0.5", "500m"))}
		if r.IntN(2) == 0 {
			l[corev1.ResourceMemory] = resource.MustParse(one("1Gi", "1024Mi", "0", "1073741824", "100500m"))
		}
		return l
	}
	selector := func() *metav1.LabelSelector {
		s := &metav1.LabelSelector{MatchLabels: map[string]string{}}
		switch r.IntN(5) {
		case 0:
			return nil
		case 1:
			s.MatchExpressions = []metav1.LabelSelectorRequirement{{Key: "app", Operator: metav1.LabelSelectorOpIn, Values: []string{"a", "b"}}}
		case 2:
			s.MatchExpressions = []metav1.LabelSelectorRequirement{{Key: "app", Operator: metav1.LabelSelectorOpNotIn, Values: []string{"a"}}}
		default:
			s.MatchLabels[one("app", "tier")] = one("a", "b")
		}
		return s
	}
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: one("n", "m"), Name: fmt.Sprint(i), Labels: map[string]string{one("app", "tier"): one("a", "b", "c")}}}
	p.Spec.Containers = []corev1.Container{{Resources: corev1.ResourceRequirements{Requests: list()}}}
	if r.IntN(6) == 0 {
		p.Spec.InitContainers = []corev1.Container{{Resources: corev1.ResourceRequirements{Requests: list()}}}
	}
	if r.IntN(4) == 0 {
		p.Spec.NodeSelector = map[string]string{"zone": one("a", "b")}
	}
	if r.IntN(4) == 0 {
		p.Spec.Tolerations = []corev1.Toleration{{Key: one("a", "b")}}
	}
	if r.IntN(6) == 0 {
		p.Spec.Priority = new(int32(r.IntN(2)))
	}
	if r.IntN(2) == 0 {
		p.Spec.TopologySpreadConstraints = []corev1.TopologySpreadConstraint{{
			MaxSkew: int32(1 + r.IntN(2)), TopologyKey: one("zone", "host"), WhenUnsatisfiable: corev1.DoNotSchedule, LabelSelector: selector(),
		}}
	}
	if r.IntN(3) == 0 { // it runs, perhaps in the middle of a resize
		p.Spec.NodeName = "n"
		status := corev1.ContainerStatus{Resources: p.Spec.Containers[0].Resources.DeepCopy()}
		if r.IntN(2) == 0 {
			status.Resources.Requests, status.AllocatedResources = list(), list()
		}
		p.Status.ContainerStatuses = []corev1.ContainerStatus{status}
		if r.IntN(2) == 0 {
			p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodResizePending, Reason: corev1.PodReasonInfeasible}}
		}
	}
	return p
}

// TestKeysTellShapesApart compares the shortcuts of groupsOf with what they stand
// for: shared requests with Requests, keys with the JSON of shapes, and the terms
// that a pod's labels lead to with a look at every term.
func TestKeysTellShapesApart(t *testing.T) {
	same := 0
	for seed := range uint64(20) {
		r := rand.New(rand.NewPCG(seed, 0))
		var groups []*group
		byText := map[string]podTerm{}
		for i := range 60 {
			g := &group{pods: []*corev1.Pod{alikePod(r, i)}}
			g.rules, g.unsupported = rulesOf(g.pods[0], &namespaces{})
			for _, rule := range g.rules {
				byText[rule.term.text] = rule.term
			}
			groups = append(groups, g)
		}
		terms := slices.Collect(maps.Values(byText))
		matches, requests := newMatcher(terms), newRequestsKnown()
		for i, g := range groups {
			g.requests, g.matched = requests.of(g.pods[0]), matches.of(g.pods[0])
			if want := Requests(g.pods[0]); !maps.Equal(g.requests, want) {
				t.Errorf("seed %d: pod %d asks for %v, by the shortcut %v", seed, i, want, g.requests)
			}
			var want []int
			for k := range terms {
				if terms[k].matches(g.pods[0]) {
					want = append(want, k)
				}
			}
			if !slices.Equal(g.matched, want) {
				t.Errorf("seed %d: pod %d is matched by %v, by the shortcut %v", seed, i, want, g.matched)
			}
		}
		for _, g := range groups {
			for _, h := range groups {
				s, o := g.shape(), h.shape()
				alike := s.text() == o.text()
				if keys := string(g.key(nil)) == string(h.key(nil)); keys != alike {
					t.Fatalf("seed %d: pods %s and %s: keys equal %v, shapes equal %v", seed, g.pods[0].Name, h.pods[0].Name, keys, alike)
				}
				if alike && g != h {
					same++
				}
			}
		}
	}
	if same < 20 {
		t.Errorf("%d pairs of pods are alike, too few to tell", same)
	}
}
