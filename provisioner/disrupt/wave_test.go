package disrupt

import (
	"testing"
	"time"
)

// TestWave grows from success to success, and stops when replacements fail.
func TestWave(t *testing.T) {
	w, now := &wave{}, monday
	want := func(left, underWay int) {
		t.Helper()
		if got := w.left(now, underWay); got != left {
			t.Fatalf("%d more beside %d, want %d", got, underWay, left)
		}
	}
	want(1, 0)
	want(0, 1)
	for n := range 7 {
		want(0, n+1)
		w.succeeded()
	}
	want(8, 0)
	want(5, 3)
	for _, pause := range []time.Duration{time.Minute, 2 * time.Minute, 4 * time.Minute} {
		if got := w.failed(now); got != pause {
			t.Fatalf("a pause of %v, want %v", got, pause)
		}
		now = now.Add(pause - time.Second)
		want(0, 0)
		now = now.Add(time.Second)
		want(1, 0)
		want(0, 1)
	}
	for range 100 {
		if got := w.failed(now); got > time.Hour {
			t.Fatalf("a pause of %v", got)
		}
	}
	w.succeeded()
	if got := w.failed(now); got != time.Minute {
		t.Fatalf("a pause of %v after a success, want a minute", got)
	}
}
