package corpus

import (
	"math/rand/v2"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// peerRequests draws from the menu of Karpenter's benchmark.
func peerRequests(r *rand.Rand) (cpuMilli, memory int64) {
	return pick[int64](r, 100, 250, 500, 1000, 1500), pick[int64](r, 100, 256, 512, 1024, 2048, 4096) * mib
}

// peerValue draws one of the seven values that its labels have.
func peerValue(r *rand.Rand) string { return pick(r, "a", "b", "c", "d", "e", "f", "g") }

// Diverse are n pods as Karpenter's own benchmark of its scheduler has them, each
// with a request of its own drawing: fifths of plain pods, pods spread over zones,
// pods spread over nodes, pods that go to one zone with their like, and pods that
// want a node for themselves. A spread counts the pods of a label drawn for it,
// which need not be the pod's own.
func Diverse(n int) []*corev1.Pod {
	const label, affine = "my-label", "my-affininity" // both as there
	r := random("diverse")
	fifth := n / 5
	spreads := func(key string) func(*corev1.Pod) {
		return func(p *corev1.Pod) {
			p.Labels = map[string]string{label: peerValue(r)}
			spread(p, key, 1, map[string]string{label: peerValue(r)})
		}
	}
	plain := func(p *corev1.Pod) { p.Labels = map[string]string{label: peerValue(r)} }
	kinds := []struct {
		name  string
		count int
		shape func(*corev1.Pod)
	}{
		{"plain", n - 4*fifth, plain},
		{"zonal", fifth, spreads(corev1.LabelTopologyZone)},
		{"spread", fifth, spreads(corev1.LabelHostname)},
		{"affine", fifth, func(p *corev1.Pod) {
			p.Labels = map[string]string{affine: peerValue(r)}
			together(p, corev1.LabelTopologyZone)
		}},
		{"alone", fifth, func(p *corev1.Pod) {
			p.Labels = map[string]string{appLabel: "nginx"}
			separate(p)
		}},
	}
	var pods []*corev1.Pod
	for _, kind := range kinds {
		pods = append(pods, deployments(kind.count, kind.name, func(int) deployment {
			d := deployment{replicas: 1, shape: kind.shape}
			d.cpuMilli, d.memory = peerRequests(r)
			return d
		})...)
	}
	return pods
}

// Preferring are n equal pods as the peer's benchmark of preferences has them:
// they would like one zone, which they can have, a zone for each, which they
// cannot, and a node for each, which they can.
func Preferring(n int) []*corev1.Pod {
	d := deployment{name: "preferring", replicas: n, cpuMilli: 500, memory: 1024 * mib}
	d.shape = func(p *corev1.Pod) {
		p.Labels = map[string]string{appLabel: "nginx"}
		apart := func(weight int32, key string) corev1.WeightedPodAffinityTerm {
			return corev1.WeightedPodAffinityTerm{Weight: weight, PodAffinityTerm: corev1.PodAffinityTerm{
				LabelSelector: &metav1.LabelSelector{MatchLabels: p.Labels}, TopologyKey: key,
			}}
		}
		p.Spec.Affinity = &corev1.Affinity{
			NodeAffinity: &corev1.NodeAffinity{PreferredDuringSchedulingIgnoredDuringExecution: []corev1.PreferredSchedulingTerm{{
				Weight: 1, Preference: corev1.NodeSelectorTerm{MatchExpressions: []corev1.NodeSelectorRequirement{{
					Key: corev1.LabelTopologyZone, Operator: corev1.NodeSelectorOpIn, Values: []string{"test-zone-1"},
				}}},
			}}},
			PodAntiAffinity: &corev1.PodAntiAffinity{PreferredDuringSchedulingIgnoredDuringExecution: []corev1.WeightedPodAffinityTerm{
				apart(10, corev1.LabelTopologyZone), apart(1, corev1.LabelHostname),
			}},
		}
	}
	return d.pods()
}
