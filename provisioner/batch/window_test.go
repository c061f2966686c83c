package batch

import (
	"slices"
	"testing"
	"time"
)

// event is a pod that arrives (or, with no name, a look at the window) at a
// time after the start.
type event struct {
	at   time.Duration
	pod  string
	want []string // what Take gives right after, nil for open
}

func TestWindow(t *testing.T) {
	const s = time.Second
	for name, events := range map[string][]event{
		"empty stays empty":        {{at: 0}, {at: 100 * s}},
		"closes when idle":         {{0, "b", nil}, {s / 2, "a", nil}, {s, "", nil}, {s + s/2, "", []string{"a", "b"}}},
		"the same pod again":       {{0, "a", nil}, {s / 2, "a", nil}, {s, "", []string{"a"}}},
		"closes at max in a storm": {{0, "a", nil}, {s * 9 / 10, "b", nil}, {s * 18 / 10, "c", nil}, {s * 27 / 10, "d", nil}, {3 * s, "", []string{"a", "b", "c", "d"}}},
		"opens again":              {{0, "a", nil}, {s, "", []string{"a"}}, {2 * s, "a", nil}, {3 * s, "", []string{"a"}}},
	} {
		t.Run(name, func(t *testing.T) {
			w := Window{Idle: s, Max: 3 * s}
			start := time.Unix(1000, 0)
			for _, e := range events {
				if e.pod != "" {
					w.Add(start.Add(e.at), e.pod)
				}
				if got := w.Take(start.Add(e.at)); !slices.Equal(got, e.want) {
					t.Fatalf("at %v: took %v, want %v", e.at, got, e.want)
				}
			}
		})
	}
}

func TestDeadlineIsWhenTakeGives(t *testing.T) {
	w := Window{Idle: time.Second, Max: 10 * time.Second}
	if _, ok := w.Deadline(); ok {
		t.Fatal("an empty window has a deadline")
	}
	now := time.Unix(1000, 0)
	w.Add(now, "a")
	at, ok := w.Deadline()
	if !ok || w.Take(at.Add(-1)) != nil {
		t.Fatal("gave its pods before its deadline")
	}
	if w.Take(at) == nil {
		t.Fatal("gave nothing at its deadline")
	}
}
