package lifecycle

import (
	"cmp"
	"context"
	"fmt"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stowage-sh/stowage/provisioner/state"
	v1 "github.com/stowage-sh/stowage/provisioner/v1"
)

// A pod that is its Deployment's only one is down from its eviction until the next is Ready. Where
// users ask for a surge its Deployment is rolled instead, as by kubectl rollout restart: then the
// next pod is made first, and the old one ended when that is Ready.

// surge rolls the Deployment of a pod in place of its eviction, if that is asked for and serves;
// handled tells that the pod is not to be evicted now.
func (c *Controller) surge(ctx context.Context, claim *v1.NodeClaim, pod *corev1.Pod) (handled bool, err error) {
	s := c.Cluster.Snapshot()
	d, ok := deploymentOf(s, pod)
	if !c.Surge || !ok || !asksSurge(s, claim, d) || !rollsFirst(d) {
		return false, nil
	}
	if d.Spec.Template.Annotations[v1.AnnotationSurgedFor] == string(claim.UID) {
		return !stalled(d), nil
	}
	next := d.DeepCopy()
	if next.Spec.Template.Annotations == nil {
		next.Spec.Template.Annotations = map[string]string{}
	}
	next.Spec.Template.Annotations[v1.AnnotationSurgedFor] = string(claim.UID)
	if err := c.Write.Patch(ctx, next, client.MergeFrom(d)); err != nil {
		return true, fmt.Errorf("rolling Deployment %s/%s: %w", d.Namespace, d.Name, err)
	}
	c.Events.Event(d, corev1.EventTypeNormal, "Surging", fmt.Sprintf("Restarting the rollout so that pod %s is replaced before it ends: its node is going", pod.Name))
	return true, nil
}

// Surging reports whether the Deployment of a pod was rolled so that the pod may leave its node:
// another is made by that, and none after the pod ends.
func Surging(s *state.Snapshot, claim *v1.NodeClaim, pod *corev1.Pod) bool {
	d, ok := deploymentOf(s, pod)
	return ok && d.Spec.Template.Annotations[v1.AnnotationSurgedFor] == string(claim.UID) && !stalled(d)
}

// deploymentOf finds the Deployment of a pod, if Deployments are watched: its ReplicaSet has the
// Deployment's name, and a hash that the pod has as a label.
func deploymentOf(s *state.Snapshot, pod *corev1.Pod) (*appsv1.Deployment, bool) {
	owner := metav1.GetControllerOf(pod)
	if owner == nil || owner.Kind != "ReplicaSet" {
		return nil, false
	}
	name, ok := strings.CutSuffix(owner.Name, "-"+pod.Labels[appsv1.DefaultDeploymentUniqueLabelKey])
	if !ok {
		return nil, false
	}
	d, ok := s.Selecting.Deployments.Namespaced(pod.Namespace, name)
	if !ok || d.DeletionTimestamp != nil {
		return nil, false
	}
	selector, err := metav1.LabelSelectorAsSelector(d.Spec.Selector)
	return d, err == nil && selector.Matches(labels.Set(pod.Labels))
}

// asksSurge reports whether a surge is asked for: by the Deployment, or else by its pods, or else
// by the NodePool.
func asksSurge(s *state.Snapshot, claim *v1.NodeClaim, d *appsv1.Deployment) bool {
	answer := cmp.Or(d.Annotations[v1.AnnotationSurge], d.Spec.Template.Annotations[v1.AnnotationSurge])
	if pool, ok := s.NodePools.Get(claim.Labels[v1.LabelNodePool]); ok && answer == "" {
		answer = pool.Annotations[v1.AnnotationSurge]
	}
	return answer == "true"
}

// rollsFirst reports whether a rollout of a Deployment with one pod makes the next before it ends
// the old one.
func rollsFirst(d *appsv1.Deployment) bool {
	single := d.Spec.Replicas == nil || *d.Spec.Replicas == 1
	if !single || d.Spec.Paused || d.Spec.Strategy.Type == appsv1.RecreateDeploymentStrategyType {
		return false
	}
	rolling := d.Spec.Strategy.RollingUpdate
	if rolling == nil || rolling.MaxUnavailable == nil {
		return true // a quarter of one, rounded down
	}
	down, err := intstr.GetScaledValueFromIntOrPercent(rolling.MaxUnavailable, 1, false)
	return err == nil && down == 0
}

// stalled reports whether a rollout does not get on: then the pod is evicted like any other.
func stalled(d *appsv1.Deployment) bool {
	if d.Status.ObservedGeneration < d.Generation {
		return false // what it says is of the rollout before
	}
	for _, c := range d.Status.Conditions {
		if c.Type == appsv1.DeploymentProgressing {
			return c.Status == corev1.ConditionFalse
		}
	}
	return false
}
