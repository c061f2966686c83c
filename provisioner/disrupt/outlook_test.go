package disrupt

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/stowage-sh/stowage/provisioner/consolidate"
)

// TestRipeness: nodes at rest are looked at until the youngest pod has run for as long as its payback.
func TestRipeness(t *testing.T) {
	node := func(payback time.Duration, started ...time.Duration) consolidate.Node {
		n := consolidate.Node{Terms: &consolidate.Terms{Payback: payback}, Pods: []*corev1.Pod{{}}}
		for _, at := range started {
			p := &corev1.Pod{}
			p.Status.StartTime = &metav1.Time{Time: monday.Add(at)}
			n.Pods = append(n.Pods, p)
		}
		return n
	}
	for name, c := range map[string]struct {
		nodes []consolidate.Node
		want  time.Time
	}{
		"no pods":                           {nil, time.Time{}},
		"any saving will do":                {[]consolidate.Node{node(0, time.Hour)}, time.Time{}},
		"the youngest of a node":            {[]consolidate.Node{node(time.Hour, 2*time.Minute, time.Minute)}, monday.Add(62 * time.Minute)},
		"each by the terms of its NodePool": {[]consolidate.Node{node(time.Hour, 0), node(time.Minute, 2*time.Minute)}, monday.Add(time.Hour)},
	} {
		if got := ripeness(c.nodes); !got.Equal(c.want) {
			t.Errorf("%s: until %v, want %v", name, got, c.want)
		}
	}
}
