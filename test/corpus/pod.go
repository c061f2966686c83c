package corpus

import (
	"fmt"
	"math/rand/v2"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// mib is a mebibyte in bytes.
const mib = 1 << 20

// gpuResource is what pods ask GPUs by.
const gpuResource = "nvidia.com/gpu"

// appLabel is the label by which the rules of a Deployment find its pods.
const appLabel = "app"

// container asks for CPU and memory, in millicores and bytes.
func container(cpuMilli, memory int64) corev1.Container {
	return corev1.Container{Name: "main", Image: "registry.example/app:1", Resources: corev1.ResourceRequirements{
		Requests: corev1.ResourceList{
			corev1.ResourceCPU:    *resource.NewMilliQuantity(cpuMilli, resource.DecimalSI),
			corev1.ResourceMemory: *resource.NewQuantity(memory, resource.BinarySI),
		},
	}}
}

// A deployment is some number of pods from one template.
type deployment struct {
	name             string
	replicas         int
	cpuMilli, memory int64 // memory in bytes
	gpus             int64
	// shape gives the pods what else they ask for; nil means nothing.
	shape func(*corev1.Pod)
}

// pods returns the pods of the deployment, each an object of its own.
func (d *deployment) pods() []*corev1.Pod {
	pods := make([]*corev1.Pod, d.replicas)
	for i := range pods {
		p := &corev1.Pod{
			TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Pod"},
			ObjectMeta: metav1.ObjectMeta{
				Namespace: "default", Name: fmt.Sprintf("%s-%d", d.name, i),
				UID: types.UID(fmt.Sprintf("pod-%s-%d", d.name, i)), Labels: map[string]string{appLabel: d.name},
			},
			Spec: corev1.PodSpec{Containers: []corev1.Container{container(d.cpuMilli, d.memory)}},
		}
		if d.gpus > 0 {
			n := *resource.NewQuantity(d.gpus, resource.DecimalSI)
			r := &p.Spec.Containers[0].Resources
			r.Requests[gpuResource] = n
			r.Limits = corev1.ResourceList{gpuResource: n}
		}
		if d.shape != nil {
			d.shape(p)
		}
		pods[i] = p
	}
	return pods
}

// deployments draws deployments until they have n pods, and returns their pods.
func deployments(n int, prefix string, draw func(i int) deployment) []*corev1.Pod {
	var pods []*corev1.Pod
	for i := 0; len(pods) < n; i++ {
		d := draw(i)
		d.name = fmt.Sprintf("%s-%04d", prefix, i)
		d.replicas = min(d.replicas, n-len(pods))
		pods = append(pods, d.pods()...)
	}
	return pods
}

// replicaQuantiles are the replicas of an application at quantiles of 1/20, read
// off a published trace of a large cluster (Alibaba, 2018: 29 % have one, half have
// two at most, p75 4, p90 12, p95 26, p99 105).
var replicaQuantiles = []int{1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 3, 3, 3, 4, 4, 6, 8, 12, 26, 105}

// replicas draws the size of a deployment.
func replicas(r *rand.Rand) int {
	i := r.IntN(len(replicaQuantiles) - 1)
	low, high := replicaQuantiles[i], replicaQuantiles[i+1]
	return low + r.IntN(high-low+1)
}

// pick draws one of the values.
func pick[T any](r *rand.Rand, values ...T) T { return values[r.IntN(len(values))] }

// random is the chance of a list of pods: the same for the same name.
func random(name string) *rand.Rand {
	var seed uint64
	for _, c := range []byte(name) {
		seed = seed*31 + uint64(c)
	}
	return rand.New(rand.NewPCG(seed, 0))
}

// separate keeps the pods of a deployment on nodes of their own.
func separate(p *corev1.Pod) {
	p.Spec.Affinity = &corev1.Affinity{PodAntiAffinity: &corev1.PodAntiAffinity{
		RequiredDuringSchedulingIgnoredDuringExecution: []corev1.PodAffinityTerm{{
			LabelSelector: &metav1.LabelSelector{MatchLabels: p.Labels}, TopologyKey: corev1.LabelHostname,
		}},
	}}
}

// together keeps the pods of a deployment in one domain of a topology.
func together(p *corev1.Pod, key string) {
	p.Spec.Affinity = &corev1.Affinity{PodAffinity: &corev1.PodAffinity{
		RequiredDuringSchedulingIgnoredDuringExecution: []corev1.PodAffinityTerm{{
			LabelSelector: &metav1.LabelSelector{MatchLabels: p.Labels}, TopologyKey: key,
		}},
	}}
}

// spread spreads the pods that have these labels over a topology.
func spread(p *corev1.Pod, key string, maxSkew int32, counted map[string]string) {
	p.Spec.TopologySpreadConstraints = append(p.Spec.TopologySpreadConstraints, corev1.TopologySpreadConstraint{
		MaxSkew: maxSkew, TopologyKey: key, WhenUnsatisfiable: corev1.DoNotSchedule,
		LabelSelector: &metav1.LabelSelector{MatchLabels: counted},
	})
}
