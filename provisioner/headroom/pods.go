package headroom

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	nodev1 "k8s.io/api/node/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/stowage-sh/stowage/provisioner/problem"
	"github.com/stowage-sh/stowage/provisioner/state"
	v1 "github.com/stowage-sh/stowage/provisioner/v1"
	"github.com/stowage-sh/stowage/provisioner/v1beta1"
)

// uidPrefix begins the UIDs of pods that stand for headroom, and no others: those are the API
// server's to choose.
const uidPrefix = "headroom/"

// Virtual reports whether a pod stands for headroom: there is none of its name in the cluster.
func Virtual(p *corev1.Pod) bool { return strings.HasPrefix(string(p.UID), uidPrefix) }

// BufferOf names the CapacityBuffer of a pod that stands for headroom; of others it is zero.
func BufferOf(p *corev1.Pod) types.NamespacedName {
	if !Virtual(p) {
		return types.NamespacedName{}
	}
	return types.NamespacedName{Namespace: p.Annotations[v1.AnnotationBufferNamespace], Name: p.Annotations[v1.AnnotationBufferName]}
}

// Pods returns the pods that stand for the room that is asked for. Pod i of a buffer has the same
// UID at all times. They share what is in their specs, which must not be modified.
func Pods(asks []Ask) []*corev1.Pod {
	var pods []*corev1.Pod
	for i := range asks {
		for n := range asks[i].Replicas {
			p := *asks[i].Pod // shallow: nothing below is written
			p.Name = fmt.Sprintf("capacity-buffer-%s-%d", asks[i].Buffer.Name, n)
			p.UID = types.UID(fmt.Sprintf("%s%s/%d", uidPrefix, asks[i].Buffer.UID, n))
			pods = append(pods, &p)
		}
	}
	return pods
}

// podLike returns a pod of a template as kube-scheduler would get it, if the API server does not
// refuse it. It is less urgent than any other. Claims of volumes are left out: those of a pod that
// is never made are not made either, and claims that are there already belong to others.
func podLike(s *state.Snapshot, b *v1beta1.CapacityBuffer, template *corev1.PodTemplateSpec) (pod *corev1.Pod, refused string) {
	spec := template.Spec.DeepCopy()
	problem.SetDefaults(spec)
	var class *nodev1.RuntimeClass
	if spec.RuntimeClassName != nil {
		class, _ = s.RuntimeClasses.Get(*spec.RuntimeClassName)
	}
	if refused := problem.AddRuntimeClass(spec, class); refused != "" {
		return nil, refused
	}
	spec.NodeName, spec.SchedulingGates = "", nil
	spec.PriorityClassName, spec.Priority = "", new(int32(math.MinInt32))
	spec.Volumes = slices.DeleteFunc(spec.Volumes, func(v corev1.Volume) bool { return v.PersistentVolumeClaim != nil || v.Ephemeral != nil })
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: b.Namespace,
			Labels:    maps.Clone(template.Labels),
			Annotations: map[string]string{
				v1.AnnotationBufferPod: "true", v1.AnnotationBufferName: b.Name, v1.AnnotationBufferNamespace: b.Namespace,
			},
			OwnerReferences: []metav1.OwnerReference{{
				APIVersion: v1beta1.GroupVersion.String(), Kind: "CapacityBuffer", Name: b.Name, UID: b.UID, Controller: new(true),
			}},
		},
		Spec: *spec,
	}, ""
}
