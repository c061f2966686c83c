package problem_test

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"time"
)

func TestTmpHash(t *testing.T) {
	h := sha256.New()
	kept := 0
	for seed := range uint64(20000) {
		w := randomWorld(rand.New(rand.NewPCG(seed, 0)))
		tr := w.translate()
		data, err := json.Marshal(tr.Problem)
		if err != nil {
			t.Fatal(err)
		}
		h.Write(data)
		kept += len(tr.Problem.Exclusions)
	}
	fmt.Printf("%x %d\n", h.Sum(nil), kept)
}

func TestTmpSpeed(t *testing.T) {
	for _, n := range []int{1000, 2000, 4000, 8000} {
		w := newWorld()
		anti := &corev1.Affinity{PodAntiAffinity: &corev1.PodAntiAffinity{RequiredDuringSchedulingIgnoredDuringExecution: []corev1.PodAffinityTerm{{
			TopologyKey: "kubernetes.io/hostname", LabelSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"a": "b"}}}}}}
		for i := range n {
			name := fmt.Sprintf("n%d", i)
			w.objects = append(w.objects, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"kubernetes.io/hostname": name}}})
			p := asking("cpu=1")
			p.Name, p.Labels, p.Spec.NodeName, p.Spec.Affinity = name, map[string]string{"a": "b"}, name, anti
			w.objects = append(w.objects, p)
		}
		for i := range 20 {
			p := asking(fmt.Sprintf("cpu=%d", i+1))
			p.Name, p.Labels, p.Spec.Affinity = fmt.Sprintf("p%d", i), map[string]string{"a": "b"}, anti
			w.objects = append(w.objects, p)
		}
		begin := time.Now()
		w.translate()
		fmt.Println(n, time.Since(begin))
	}
}
