package plan

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"

	"github.com/stowage-sh/stowage/provisioner/consolidate"
	"github.com/stowage-sh/stowage/provisioner/problem"
)

func standing(name, node string, cpu int64) *corev1.Pod {
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name, UID: types.UID(name), Labels: map[string]string{"app": name}}}
	p.Spec.NodeName = node
	p.Spec.Containers = []corev1.Container{{Name: "c", Resources: corev1.ResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceCPU: *resource.NewQuantity(cpu, resource.DecimalSI)}}}}
	return p
}

func going(name string) consolidate.Node {
	return consolidate.Node{Node: &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}}}
}

// TestRehearsal: two commands move a pod each to one new node. The second is judged with the first carried
// out, and by pods of other nodes where these keep others out of more than their own.
func TestRehearsal(t *testing.T) {
	apart := &corev1.Affinity{PodAntiAffinity: &corev1.PodAntiAffinity{RequiredDuringSchedulingIgnoredDuringExecution: []corev1.PodAffinityTerm{{
		LabelSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "b"}}, TopologyKey: corev1.LabelTopologyZone,
	}}}}
	for _, test := range []struct {
		name   string
		room   int64 // of the new node, where each pod takes 2
		keeper *corev1.Affinity
		want   string // the plugin that refuses pod b
	}{
		{"there is room for both", 4, nil, ""},
		{"there is room for one", 3, nil, "NodeResourcesFit"},
		{"another node's pod keeps it out of the zone", 4, apart, "InterPodAffinity"},
	} {
		t.Run(test.name, func(t *testing.T) {
			a, b, keeper := standing("a", "one", 2), standing("b", "two", 2), standing("keeper", "other", 1)
			keeper.Spec.Affinity = test.keeper
			f := &problem.Future{Pods: []*corev1.Pod{a, b, keeper}, Objects: []runtime.Object{&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "shop"}}}}
			for name, cpu := range map[string]int64{"one": 4, "two": 4, "other": 4, "new": test.room} {
				n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{corev1.LabelHostname: name, corev1.LabelTopologyZone: "z"}}}
				n.Status.Allocatable = corev1.ResourceList{corev1.ResourceCPU: *resource.NewQuantity(cpu, resource.DecimalSI), corev1.ResourcePods: *resource.NewQuantity(9, resource.DecimalSI)}
				f.Nodes = append(f.Nodes, n)
			}
			plan := &consolidate.Plan{Commands: []consolidate.Command{
				{Nodes: []consolidate.Node{going("one")}, New: []int{0}, Moves: []consolidate.Move{{Pod: a}}},
				{Nodes: []consolidate.Node{going("two")}, Moves: []consolidate.Move{{Pod: b}}},
			}}
			v := &verdict{}
			if err := newRehearsal(f, []string{"new"}).play(t.Context(), plan, v); err != nil {
				t.Fatal(err)
			}
			got := ""
			for _, r := range v.refusals {
				if got = r.Plugin; r.Pod.Name != "b" || r.Node != "new" {
					t.Errorf("%v is refused, not b", r)
				}
			}
			if got != test.want || v.asked != 2 {
				t.Errorf("plugin %q of %d refuses it, want %q of 2", got, v.asked, test.want)
			}
		})
	}
}
