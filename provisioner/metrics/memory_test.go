package metrics

import (
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1 "github.com/stowage-sh/stowage/provisioner/v1"
)

// TestNothingIsRememberedForEver: of pods that run, have ended or are gone, and of
// objects that are gone.
func TestNothingIsRememberedForEver(t *testing.T) {
	yes := func() bool { return true }
	o, err := NewObserver(prometheus.NewRegistry(), func() time.Time { return time.Unix(0, 0) }, yes, Vocabulary{ClassKind: "TestNodeClass", ClassLabel: "cloud.example/class"})
	if err != nil {
		t.Fatal(err)
	}
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "p", UID: "p"}, Status: corev1.PodStatus{Phase: corev1.PodPending}}
	for name, end := range map[string]func(*corev1.Pod){
		"ready": func(p *corev1.Pod) {
			p.Status.Phase = corev1.PodRunning
			p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}
		},
		"ended": func(p *corev1.Pod) { p.Status.Phase = corev1.PodSucceeded },
		"gone":  nil,
	} {
		o.Observe(p)
		if len(o.memory()) != 1 {
			t.Errorf("%s: a pod on its way is not remembered", name)
		}
		if end == nil {
			o.Forget(p)
		} else {
			next := p.DeepCopy()
			end(next)
			o.Observe(next)
		}
		if n := len(o.memory()); n != 0 {
			t.Errorf("%s: %d pod(s) are remembered", name, n)
		}
	}
	all := []metav1.Object{
		&corev1.Node{ObjectMeta: metav1.ObjectMeta{UID: "1"}}, &v1.NodeClaim{ObjectMeta: metav1.ObjectMeta{UID: "2"}},
		&v1.NodePool{ObjectMeta: metav1.ObjectMeta{UID: "3"}}, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{UID: "4"}},
	}
	for _, obj := range all {
		o.Observe(obj)
	}
	if len(o.last) != 3 {
		t.Errorf("%d objects are remembered, want 3", len(o.last))
	}
	for _, obj := range all {
		o.Forget(obj)
	}
	if len(o.last) != 0 {
		t.Errorf("%d objects are remembered when all are gone", len(o.last))
	}
}
