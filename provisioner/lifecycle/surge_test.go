package lifecycle

import (
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/stowage-sh/stowage/provisioner/state"
	v1 "github.com/stowage-sh/stowage/provisioner/v1"
)

// TestWhoIsRolled: which Deployments are rolled in place of evicting their pod.
func TestWhoIsRolled(t *testing.T) {
	down := func(n intstr.IntOrString) func(*appsv1.Deployment) {
		return func(d *appsv1.Deployment) {
			d.Spec.Strategy.RollingUpdate = &appsv1.RollingUpdateDeployment{MaxUnavailable: &n}
		}
	}
	ask := func(d *appsv1.Deployment) { d.Annotations = map[string]string{v1.AnnotationSurge: "true"} }
	for name, test := range map[string]struct {
		edits []func(*appsv1.Deployment)
		pool  string
		want  bool
	}{
		"nobody asks":       {nil, "", false},
		"it asks":           {[]func(*appsv1.Deployment){ask}, "", true},
		"its NodePool asks": {nil, "true", true},
		"its pods do": {[]func(*appsv1.Deployment){func(d *appsv1.Deployment) {
			d.Spec.Template.Annotations = map[string]string{v1.AnnotationSurge: "true"}
		}}, "", true},
		"it does not want to":          {[]func(*appsv1.Deployment){func(d *appsv1.Deployment) { d.Annotations = map[string]string{v1.AnnotationSurge: "false"} }}, "true", false},
		"two pods":                     {[]func(*appsv1.Deployment){ask, func(d *appsv1.Deployment) { d.Spec.Replicas = new(int32(2)) }}, "", false},
		"no number is one":             {[]func(*appsv1.Deployment){ask, func(d *appsv1.Deployment) { d.Spec.Replicas = nil }}, "", true},
		"paused":                       {[]func(*appsv1.Deployment){ask, func(d *appsv1.Deployment) { d.Spec.Paused = true }}, "", false},
		"the old one goes first":       {[]func(*appsv1.Deployment){ask, func(d *appsv1.Deployment) { d.Spec.Strategy.Type = appsv1.RecreateDeploymentStrategyType }}, "", false},
		"a quarter may be down: none":  {[]func(*appsv1.Deployment){ask, down(intstr.FromString("25%"))}, "", true},
		"one may be down":              {[]func(*appsv1.Deployment){ask, down(intstr.FromInt32(1))}, "", false},
		"all may be down":              {[]func(*appsv1.Deployment){ask, down(intstr.FromString("100%"))}, "", false},
		"what may be down is nonsense": {[]func(*appsv1.Deployment){ask, down(intstr.FromString("some"))}, "", false},
		"it is on its way out":         {[]func(*appsv1.Deployment){ask, func(d *appsv1.Deployment) { d.DeletionTimestamp = &metav1.Time{} }}, "", false},
		"the pod is not its own":       {[]func(*appsv1.Deployment){ask, func(d *appsv1.Deployment) { d.Spec.Selector.MatchLabels = map[string]string{"app": "db"} }}, "", false},
	} {
		d := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "web-app", UID: "d"}}
		d.Spec.Replicas = new(int32(1))
		d.Spec.Selector = &metav1.LabelSelector{MatchLabels: map[string]string{"app": "web"}}
		for _, edit := range test.edits {
			edit(d)
		}
		pool := &v1.NodePool{ObjectMeta: metav1.ObjectMeta{Name: "pool", UID: "p", Annotations: map[string]string{v1.AnnotationSurge: test.pool}}}
		pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{
			Namespace: "default", Name: "web-app-abc-1", Labels: map[string]string{"app": "web", "pod-template-hash": "abc"},
			OwnerReferences: []metav1.OwnerReference{{Kind: "ReplicaSet", Name: "web-app-abc", Controller: new(true)}},
		}}
		c := state.New()
		c.Observe(d)
		c.Observe(pool)
		claim := &v1.NodeClaim{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{v1.LabelNodePool: "pool"}}}
		found, ok := deploymentOf(c.Snapshot(), pod)
		if got := ok && asksSurge(c.Snapshot(), claim, found) && rollsFirst(found); got != test.want {
			t.Errorf("%s: %v, want %v", name, got, test.want)
		}
	}
}

// TestStaleProgress: what a Deployment says of the rollout before does not end the one that was begun.
func TestStaleProgress(t *testing.T) {
	yes := true
	d := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "web", UID: "web", Generation: 2}}
	d.Spec.Selector = &metav1.LabelSelector{MatchLabels: map[string]string{"app": "web"}}
	d.Spec.Template.Annotations = map[string]string{v1.AnnotationSurgedFor: "claim"}
	d.Status.ObservedGeneration = 1 // the Deployment controller has not seen our restart yet
	d.Status.Conditions = []appsv1.DeploymentCondition{{Type: appsv1.DeploymentProgressing, Status: corev1.ConditionFalse, Reason: "ProgressDeadlineExceeded"}}
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "web-h-1", UID: "p", Labels: map[string]string{"app": "web", "pod-template-hash": "h"},
		OwnerReferences: []metav1.OwnerReference{{Kind: "ReplicaSet", Name: "web-h", UID: "rs", Controller: &yes}}}}
	c := state.New()
	c.Observe(d)
	if !Surging(c.Snapshot(), &v1.NodeClaim{ObjectMeta: metav1.ObjectMeta{UID: "claim"}}, p) {
		t.Error("the failure of an old rollout ends the surge before it has begun")
	}
}
