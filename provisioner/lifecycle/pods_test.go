package lifecycle

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1 "github.com/stowage-sh/stowage/provisioner/v1"
)

func TestWhatAPodIsToADrain(t *testing.T) {
	owned := func(kind string) func(*corev1.Pod) {
		return func(p *corev1.Pod) {
			yes := true
			p.OwnerReferences = []metav1.OwnerReference{{Kind: kind, Controller: &yes}}
		}
	}
	annotated := func(key, value string) func(*corev1.Pod) {
		return func(p *corev1.Pod) { p.Annotations = map[string]string{key: value} }
	}
	tolerating := func(t corev1.Toleration) func(*corev1.Pod) {
		return func(p *corev1.Pod) { p.Spec.Tolerations = []corev1.Toleration{t} }
	}
	leaving := func(ago time.Duration) func(*corev1.Pod) {
		return func(p *corev1.Pod) { at := metav1.NewTime(noon.Add(-ago)); p.DeletionTimestamp = &at }
	}
	phase := func(phase corev1.PodPhase) func(*corev1.Pod) {
		return func(p *corev1.Pod) { p.Status.Phase = phase }
	}
	class := func(name string) func(*corev1.Pod) {
		return func(p *corev1.Pod) { p.Spec.PriorityClassName = name }
	}
	started := func(ago time.Duration) func(*corev1.Pod) {
		return func(p *corev1.Pod) { at := metav1.NewTime(noon.Add(-ago)); p.Status.StartTime = &at }
	}
	for _, c := range []struct {
		name                                string
		edits                               []func(*corev1.Pod)
		drainable, reschedulable, protected bool
		group                               int
	}{
		{"plain", nil, true, true, false, 0},
		{"done", []func(*corev1.Pod){phase(corev1.PodSucceeded)}, false, false, false, 0},
		{"failed", []func(*corev1.Pod){phase(corev1.PodFailed), annotated(v1.AnnotationDoNotDisrupt, "true")}, false, false, false, 0},
		{"daemon", []func(*corev1.Pod){owned("DaemonSet")}, true, false, false, 1},
		{"critical", []func(*corev1.Pod){class("system-cluster-critical")}, true, true, false, 2},
		{"critical daemon", []func(*corev1.Pod){owned("DaemonSet"), class("system-node-critical")}, true, false, false, 3},
		{"static", []func(*corev1.Pod){owned("Node")}, false, false, false, 0},
		{"mirror", []func(*corev1.Pod){annotated(corev1.MirrorPodAnnotationKey, "")}, false, false, false, 0},
		{"tolerates everything", []func(*corev1.Pod){tolerating(corev1.Toleration{Operator: corev1.TolerationOpExists})}, false, true, false, 0},
		{"tolerates the drain", []func(*corev1.Pod){tolerating(corev1.Toleration{Key: v1.TaintDisrupted, Operator: corev1.TolerationOpExists})}, false, true, false, 0},
		{"tolerates something else", []func(*corev1.Pod){tolerating(corev1.Toleration{Key: "x", Operator: corev1.TolerationOpExists})}, true, true, false, 0},
		{"leaving", []func(*corev1.Pod){leaving(0)}, true, false, false, 0},
		{"leaving, to come back", []func(*corev1.Pod){owned("StatefulSet"), leaving(0)}, true, true, false, 0},
		{"stuck", []func(*corev1.Pod){leaving(time.Minute)}, false, false, false, 0},
		{"not quite stuck", []func(*corev1.Pod){leaving(59 * time.Second)}, true, false, false, 0},
		{"do not disrupt", []func(*corev1.Pod){annotated(v1.AnnotationDoNotDisrupt, "true")}, true, true, true, 0},
		{"not any more", []func(*corev1.Pod){annotated(v1.AnnotationDoNotDisrupt, "4h"), started(4 * time.Hour)}, true, true, false, 0},
		{"for a while", []func(*corev1.Pod){annotated(v1.AnnotationDoNotDisrupt, "4h"), started(3 * time.Hour)}, true, true, true, 0},
		{"from its start", []func(*corev1.Pod){annotated(v1.AnnotationDoNotDisrupt, "4h")}, true, true, true, 0},
		{"a word", []func(*corev1.Pod){annotated(v1.AnnotationDoNotDisrupt, "please")}, true, true, false, 0},
	} {
		pod := &corev1.Pod{}
		for _, edit := range c.edits {
			edit(pod)
		}
		if got := Drainable(noon, pod); got != c.drainable {
			t.Errorf("%s: Drainable is %v", c.name, got)
		}
		if got := Reschedulable(pod); got != c.reschedulable {
			t.Errorf("%s: Reschedulable is %v", c.name, got)
		}
		if got := Protected(noon, pod); got != c.protected {
			t.Errorf("%s: Protected is %v", c.name, got)
		}
		if got := drainGroup(pod); got != c.group {
			t.Errorf("%s: in group %d, want %d", c.name, got, c.group)
		}
	}
}
