package consolidate

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// TestRate: what a move costs has to come back within the payback, or within as long as the pod has run.
func TestRate(t *testing.T) {
	now := time.Date(2026, 3, 2, 10, 0, 0, 0, time.UTC)
	for name, c := range map[string]struct {
		payback, ran time.Duration
		now          time.Time
		want         float64 // for a move that costs 1
	}{
		"ran for long":          {time.Hour, 5 * time.Hour, now, 1},
		"ran for a moment":      {time.Hour, 15 * time.Minute, now, 4},
		"any saving will do":    {0, time.Minute, now, 0},
		"nobody asks how long":  {time.Hour, time.Minute, time.Time{}, 1},
		"its clock is not ours": {time.Hour, -time.Minute, now, 3600},
	} {
		pod := &corev1.Pod{}
		pod.Status.StartTime = &metav1.Time{Time: now.Add(-c.ran)}
		terms := &Terms{Payback: c.payback, Now: c.now}
		if got := terms.rate(pod, 1); got != c.want {
			t.Errorf("%s: %v an hour, want %v", name, got, c.want)
		}
	}
	if got := (&Terms{Payback: time.Hour, Now: now}).rate(&corev1.Pod{}, 1); got != 1 {
		t.Errorf("of a pod that does not say when it started: %v an hour, want 1", got)
	}
}
