// Package headroom says how much room CapacityBuffers ask for: as pods that are never created,
// for which package provision keeps room, and to users in the status of each buffer.
//
// Its laws: what a buffer asks for is a function of a snapshot, and the same for all who ask
// (see [Asks]). What buffers refer to is not watched, since a watch would be of all workloads for
// the sake of a few: the [Controller] gets it, again every half minute, and puts it into the state.
package headroom

import (
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stowage-sh/stowage/cloudprovider"
	"github.com/stowage-sh/stowage/provisioner/problem"
	"github.com/stowage-sh/stowage/provisioner/state"
	"github.com/stowage-sh/stowage/provisioner/v1beta1"
)

// An Ask is what one CapacityBuffer comes to.
type Ask struct {
	Buffer *v1beta1.CapacityBuffer
	// Pod is what each of the pods is like, as the API server would make it; nil if that is not
	// known.
	Pod *corev1.Pod
	// Replicas is for how many pods room is asked for.
	Replicas int32
	// Reason why room is asked for no pod although the buffer is there, as in the condition
	// ReadyForProvisioning, with a message; empty if there is none.
	Reason, Message string
	// Quotas says which ResourceQuota keeps Replicas below what the spec asks for; empty for none.
	Quotas string

	// source is what Pod was made from: a PodTemplate or a workload.
	source client.Object
}

// Key names the buffer.
func (a *Ask) Key() types.NamespacedName { return client.ObjectKeyFromObject(a.Buffer) }

// maxReplicas is the most pods of one buffer: more than anybody pays for, and less than what
// decisions would take long for.
const maxReplicas = 10_000

// Asks returns what the CapacityBuffers of a snapshot come to, by namespace and name.
func Asks(s *state.Snapshot) []Ask {
	var asks []Ask
	quotas := quotas{s: s}
	for _, b := range s.Buffers.CapacityBuffers.All() {
		if b.DeletionTimestamp != nil {
			continue
		}
		a := Ask{Buffer: b}
		a.Reason, a.Message = a.resolve(s)
		if a.Reason == "" {
			quotas.limit(&a)
		}
		asks = append(asks, a)
	}
	return asks
}

// resolve fills in what the pods are like and how many they are, or says why it cannot.
func (a *Ask) resolve(s *state.Snapshot) (reason, message string) {
	if strategy := a.Buffer.Strategy(); strategy != v1beta1.ActiveCapacity {
		return v1beta1.ReasonUnknownStrategy, fmt.Sprintf("Stowage follows the strategy %s only, and leaves %s to others", v1beta1.ActiveCapacity, strategy)
	}
	ref, wrong := reference(a.Buffer)
	if wrong != "" {
		return v1beta1.ReasonResolutionFailed, wrong
	}
	source, ok := known(s, ref)
	switch _, template := ref.(*corev1.PodTemplate); {
	case ok:
	case template:
		return v1beta1.ReasonPodTemplateNotFound, fmt.Sprintf("spec.podTemplateRef: there is no PodTemplate %s in the namespace", ref.GetName())
	default:
		return v1beta1.ReasonScalableRefNotFound, fmt.Sprintf("spec.scalableRef: there is no %s %s in the namespace", a.Buffer.Spec.ScalableRef.Kind, ref.GetName())
	}
	template, scale := contents(source)
	pod, refused := podLike(s, a.Buffer, template)
	if refused != "" {
		return v1beta1.ReasonResolutionFailed, "the API server would refuse the pods: " + refused
	}
	if a.Replicas, wrong = count(&a.Buffer.Spec, problem.Requests(pod), scale); wrong != "" {
		return v1beta1.ReasonResolutionFailed, wrong
	}
	a.Pod, a.source = pod, source
	return "", ""
}

// reference returns an empty object of the kind and name that a buffer refers to, or says what is
// wrong with the reference.
func reference(b *v1beta1.CapacityBuffer) (ref client.Object, wrong string) {
	template, workload := b.Spec.PodTemplateRef, b.Spec.ScalableRef
	meta := metav1.ObjectMeta{Namespace: b.Namespace}
	switch {
	case template != nil:
		meta.Name = template.Name
		return &corev1.PodTemplate{ObjectMeta: meta}, ""
	case workload == nil:
		return nil, "spec: neither podTemplateRef nor scalableRef says what the pods are like"
	case workload.APIGroup != "" && workload.APIGroup != appsv1.GroupName:
		return nil, fmt.Sprintf("spec.scalableRef.apiGroup: Stowage knows workloads of group %s only, not of %s", appsv1.GroupName, workload.APIGroup)
	}
	meta.Name = workload.Name
	switch workload.Kind {
	case "Deployment":
		return &appsv1.Deployment{ObjectMeta: meta}, ""
	case "StatefulSet":
		return &appsv1.StatefulSet{ObjectMeta: meta}, ""
	case "ReplicaSet":
		return &appsv1.ReplicaSet{ObjectMeta: meta}, ""
	}
	return nil, fmt.Sprintf("spec.scalableRef.kind: Stowage knows Deployment, StatefulSet and ReplicaSet, not %s", workload.Kind)
}

// known finds the object of a reference in a snapshot.
func known(s *state.Snapshot, ref client.Object) (client.Object, bool) {
	namespace, name := ref.GetNamespace(), ref.GetName()
	switch ref.(type) {
	case *corev1.PodTemplate:
		o, ok := s.Buffers.PodTemplates.Namespaced(namespace, name)
		return o, ok
	case *appsv1.Deployment:
		o, ok := s.Selecting.Deployments.Namespaced(namespace, name)
		return o, ok
	case *appsv1.StatefulSet:
		o, ok := s.Selecting.StatefulSets.Namespaced(namespace, name)
		return o, ok
	case *appsv1.ReplicaSet:
		o, ok := s.Selecting.ReplicaSets.Namespaced(namespace, name)
		return o, ok
	}
	return nil, false
}

// contents returns the template in what a buffer refers to, and how many pods of it that asks for;
// nil for a PodTemplate, which asks for none.
func contents(source client.Object) (template *corev1.PodTemplateSpec, scale *int32) {
	switch o := source.(type) {
	case *corev1.PodTemplate:
		return &o.Template, nil
	case *appsv1.Deployment:
		template, scale = &o.Spec.Template, o.Spec.Replicas
	case *appsv1.StatefulSet:
		template, scale = &o.Spec.Template, o.Spec.Replicas
	case *appsv1.ReplicaSet:
		template, scale = &o.Spec.Template, o.Spec.Replicas
	}
	if scale == nil {
		scale = new(int32(1))
	}
	return template, scale
}

// count says for how many pods a buffer asks for room, or what is wrong with its spec: the larger
// of replicas and percentage of scale, or else as many as its limits allow, and never more.
func count(spec *v1beta1.CapacityBufferSpec, requests cloudprovider.Resources, scale *int32) (replicas int32, wrong string) {
	asked := int64(-1)
	if spec.Replicas != nil {
		asked = int64(*spec.Replicas)
	}
	if spec.Percentage != nil && scale != nil {
		asked = max(asked, (int64(*scale)*int64(*spec.Percentage)+99)/100)
	}
	most, bounded := int64(0), false
	for name, limit := range problem.Amounts(spec.Limits) {
		if each := requests[name]; each > 0 {
			n := max(0, limit/each)
			if !bounded || n < most {
				most, bounded = n, true
			}
		}
	}
	switch {
	case asked < 0 && !bounded && len(spec.Limits) > 0:
		return 0, "spec.limits: the pods ask for none of these resources"
	case asked < 0 && !bounded:
		return 0, "spec: none of replicas, percentage and limits says for how many pods there is to be room"
	case asked < 0, bounded && most < asked:
		asked = most
	}
	if asked > maxReplicas {
		return 0, fmt.Sprintf("spec: it comes to %d pods, and one buffer may keep room for %d", asked, maxReplicas)
	}
	return int32(asked), ""
}
