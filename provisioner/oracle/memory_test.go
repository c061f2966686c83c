package oracle

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// TestMemoryMakesNoDifference compares Check with a judge whose plugins forget everything
// before each question, on random plans.
func TestMemoryMakesNoDifference(t *testing.T) {
	refused, all := 0, 0
	for seed := range uint64(1500) {
		c, placements := randomQuestion(rand.New(rand.NewPCG(seed, 0)))
		got, err := Check(context.Background(), c, placements)
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		want, err := checkWithoutMemory(c, placements)
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		if diff := cmp.Diff(words(want), words(got)); diff != "" {
			t.Errorf("seed %d: -without +with memory:\n%s", seed, diff)
		}
		refused, all = refused+len(got), all+len(placements)
	}
	if refused < all/10 || refused > all*9/10 {
		t.Errorf("%d of %d placements were refused", refused, all)
	}
}

func words(refusals []Refusal) (all []string) {
	for _, r := range refusals {
		all = append(all, r.String())
	}
	return all
}

func checkWithoutMemory(c Cluster, placements []Placement) ([]Refusal, error) {
	j, err := newJudge(context.Background(), c, placements)
	if err != nil {
		return nil, err
	}
	for came := true; came; {
		came = false
		for _, a := range j.arrivals {
			for a.joined < len(a.pods) {
				for _, g := range j.groups {
					g.learnt = make([]lesson, len(j.plugins))
				}
				ok, err := j.admits(context.Background(), a)
				if err != nil {
					return nil, err
				}
				if !ok {
					break
				}
				if err := j.join(context.Background(), a); err != nil {
					return nil, err
				}
				came = true
			}
		}
	}
	return j.refusals(), nil
}

// randomQuestion puts pods of a few kinds on a few nodes.
func randomQuestion(r *rand.Rand) (c Cluster, placements []Placement) {
	for i := range 2 + r.IntN(4) {
		c.Nodes = append(c.Nodes, node(fmt.Sprint("n", i), string(rune('a'+r.IntN(3)))))
	}
	c.Objects = []runtime.Object{
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "default", Labels: map[string]string{"kind": "dev"}}}, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "other"}},
	}
	kinds := make([][]func(*corev1.Pod), 1+r.IntN(4))
	for i := range kinds {
		kinds[i] = append(kinds[i], app([]string{"web", "db"}[r.IntN(2)]), func(p *corev1.Pod) { p.Namespace = []string{"default", "other"}[i%2] })
		key := []string{corev1.LabelHostname, corev1.LabelTopologyZone}[r.IntN(2)]
		other := func(p *corev1.Pod) {
			if i%3 == 0 {
				for _, t := range slices.Concat(p.Spec.Affinity.PodAntiAffinity.RequiredDuringSchedulingIgnoredDuringExecution) {
					t.NamespaceSelector = &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "kind", Operator: "NotIn", Values: []string{"dev"}}}}
					p.Spec.Affinity.PodAntiAffinity.RequiredDuringSchedulingIgnoredDuringExecution[0] = t
				}
			}
		}
		switch r.IntN(6) {
		case 0:
			kinds[i] = append(kinds[i], spread(1+r.Int32N(2)))
		case 1:
			kinds[i] = append(kinds[i], apart(key), other)
		case 2:
			kinds[i] = append(kinds[i], near([]string{"web", "db"}[r.IntN(2)]))
		case 3:
			kinds[i] = append(kinds[i], port)
		}
	}
	for i := range 1 + r.IntN(12) {
		p := pod(fmt.Sprint("p", i), kinds[r.IntN(len(kinds))]...)
		on := c.Nodes[r.IntN(len(c.Nodes))].Name
		if r.IntN(4) == 0 {
			p.Spec.NodeName = on
			c.Pods = append(c.Pods, p)
			continue
		}
		placements = append(placements, Placement{p, on})
	}
	return c, placements
}
