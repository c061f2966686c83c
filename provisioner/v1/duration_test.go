package v1_test

import (
	"testing"
	"time"

	v1 "github.com/stowage-sh/stowage/provisioner/v1"
)

func TestDuration(t *testing.T) {
	for _, c := range []struct {
		text   v1.Duration
		length time.Duration
		ok     bool
	}{
		{"", 0, false},
		{v1.Never, 0, false},
		{"nonsense", 0, false},
		{"99999999999h", 0, false},
		{"-1h", 0, false},
		{"0s", 0, true},
		{"1h30m", 90 * time.Minute, true},
		{"30m1h5s", 90*time.Minute + 5*time.Second, true},
	} {
		if length, ok := c.text.Get(); length != c.length || ok != c.ok {
			t.Errorf("%q.Get() = %v, %v; want %v, %v", c.text, length, ok, c.length, c.ok)
		}
	}
	for d, want := range map[time.Duration]v1.Duration{
		0: "0s", -time.Hour: "0s", 999 * time.Millisecond: "0s", 90 * time.Second: "1m30s", 90 * time.Minute: "1h30m",
		720 * time.Hour: "720h", time.Hour + time.Second: "1h0m1s", 10 * time.Minute: "10m", 1500 * time.Millisecond: "1s",
	} {
		if got := v1.DurationOf(d); got != want {
			t.Errorf("DurationOf(%v) = %q, want %q", d, got, want)
		}
	}
}
