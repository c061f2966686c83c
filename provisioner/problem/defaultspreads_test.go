package problem_test

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/stowage-sh/stowage/provisioner/problem"
	"github.com/stowage-sh/stowage/provisioner/state"
)

// TestWhoIsSpreadByDefault: which spreads a pod gets depends on its scheduler, and who has spreads
// of his own gets none. With which pods it is spread is for TestDefaultSpreads of package oracle.
func TestWhoIsSpreadByDefault(t *testing.T) {
	defaults := problem.DefaultSpreads{"": {{TopologyKey: "any"}}, "default-scheduler": {{TopologyKey: "default"}}, "none": nil}
	cluster := state.New()
	cluster.Observe(&corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "web"}, Spec: corev1.ServiceSpec{Selector: map[string]string{"app": "web"}}})
	for _, c := range []struct {
		name, scheduler string
		own             []corev1.TopologySpreadConstraint
		app, want       string
	}{
		{"no name is the default", "", nil, "web", "default"},
		{"by name", "default-scheduler", nil, "web", "default"},
		{"another", "other", nil, "web", "any"},
		{"one without", "none", nil, "web", ""},
		{"its own", "", []corev1.TopologySpreadConstraint{{TopologyKey: "own"}}, "web", "own"},
		{"alone", "", nil, "db", ""},
	} {
		p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "p", Labels: map[string]string{"app": c.app}}}
		p.Spec.SchedulerName, p.Spec.TopologySpreadConstraints = c.scheduler, c.own
		before := p.DeepCopy()
		got := ""
		for _, s := range defaults.Apply(&cluster.Snapshot().Selecting, []*corev1.Pod{p})[0].Spec.TopologySpreadConstraints {
			got += s.TopologyKey
		}
		if got != c.want {
			t.Errorf("%s: spread over %q, want %q", c.name, got, c.want)
		}
		if len(p.Spec.TopologySpreadConstraints) != len(before.Spec.TopologySpreadConstraints) || defaults["default-scheduler"][0].LabelSelector != nil {
			t.Errorf("%s: the pod or the defaults were modified", c.name)
		}
	}
}
