package nodepool

import (
	"testing"
	"time"

	v1 "github.com/stowage-sh/stowage/provisioner/v1"
)

func TestBackoff(t *testing.T) {
	last := time.Date(2026, 3, 2, 10, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		annotation string
		wait       time.Duration // from last; -1 is none
		failures   int
	}{
		{"", -1, 0},
		{"1@2026-03-02T10:00:00Z", time.Minute, 1},
		{"2@2026-03-02T10:00:00Z", 2 * time.Minute, 2},
		{"6@2026-03-02T10:00:00Z", 32 * time.Minute, 6},
		{"7@2026-03-02T10:00:00Z", time.Hour, 7},
		{"2000000000@2026-03-02T10:00:00Z", time.Hour, 2000000000},
		{"0@2026-03-02T10:00:00Z", -1, 0},
		{"-1@2026-03-02T10:00:00Z", -1, 0},
		{"1@yesterday", -1, 0},
		{"one@2026-03-02T10:00:00Z", -1, 0},
		{"1", -1, 0},
	} {
		pool := &v1.NodePool{}
		pool.Annotations = map[string]string{AnnotationFailures: c.annotation}
		until, failures := Backoff(pool)
		want := time.Time{}
		if c.wait >= 0 {
			want = last.Add(c.wait)
		}
		if !until.Equal(want) || failures != c.failures {
			t.Errorf("%q: until %v after %d failures, want %v after %d", c.annotation, until, failures, want, c.failures)
		}
	}
	if until, failures := Backoff(&v1.NodePool{}); !until.IsZero() || failures != 0 {
		t.Errorf("without annotations: until %v after %d failures", until, failures)
	}
}
