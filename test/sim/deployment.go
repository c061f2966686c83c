package sim

import (
	"fmt"
	"hash/fnv"
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// AddDeployment makes a Deployment with one pod like template, which is rolled whenever its pod
// template changes: the next pod is Ready before the old one ends.
func (w *World) AddDeployment(template *corev1.Pod) *appsv1.Deployment {
	one := int32(1)
	d := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: template.Namespace, Name: template.Name}}
	d.Spec.Replicas = &one
	d.Spec.Selector = &metav1.LabelSelector{MatchLabels: template.Labels}
	d.Spec.Template = corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: template.Labels, Annotations: template.Annotations}, Spec: template.Spec}
	if err := w.API.Create(d); err != nil {
		w.Fail(err)
	}
	w.kube.deployments = append(w.kube.deployments, d.Name)
	w.kube.soonReplace()
	return d
}

// roll makes the ReplicaSets of Deployments what they are to be. Others that are in the API have
// none.
func (k *kubernetes) roll() {
	for _, d := range stored[*appsv1.Deployment](k.w.API) {
		if !slices.Contains(k.deployments, d.Name) {
			continue
		}
		h := fnv.New32a()
		_, _ = h.Write(encode(&corev1.PodTemplate{Template: d.Spec.Template})) // never fails
		hash := fmt.Sprintf("%08x", h.Sum32())
		current, ready := k.rolled(d, hash), false
		for _, p := range k.podsOf(current) {
			ready = ready || isReady(p)
		}
		for _, rs := range k.replicas {
			if rs != current && ready && rs.deployment == d.Name {
				rs.Replicas = 0
			}
		}
	}
}

// rolled returns the ReplicaSet of a Deployment's template, and makes it if need be.
func (k *kubernetes) rolled(d *appsv1.Deployment, hash string) *ReplicaSet {
	for _, rs := range k.replicas {
		if rs.Name == d.Name+"-"+hash {
			return rs
		}
	}
	pod := &corev1.Pod{ObjectMeta: *d.Spec.Template.ObjectMeta.DeepCopy(), Spec: *d.Spec.Template.Spec.DeepCopy()}
	pod.Namespace, pod.Name = d.Namespace, d.Name+"-"+hash
	pod.Labels[appsv1.DefaultDeploymentUniqueLabelKey] = hash
	rs := k.w.AddReplicaSet(int(*d.Spec.Replicas), pod)
	rs.deployment = d.Name
	return rs
}
