// Package batch decides which pods are solved together. Pods arrive in bursts;
// solving each alone would buy a machine for each.
//
// It has no clock and no goroutine: the caller says what time it is, and asks
// when to look again.
package batch

import (
	"maps"
	"slices"
	"time"
)

// A Window collects keys of pods. It closes once no new pod has arrived for
// Idle, or Max after the first. The zero times close it at once.
type Window struct {
	Idle, Max time.Duration

	pods        map[string]struct{}
	first, last time.Time
}

// Add puts a pod into the window, and opens it if it was empty. A pod that is in
// it already does not keep it open.
func (w *Window) Add(now time.Time, pod string) {
	if _, ok := w.pods[pod]; ok {
		return
	}
	if len(w.pods) == 0 {
		w.pods = map[string]struct{}{}
		w.first = now
	}
	w.pods[pod] = struct{}{}
	w.last = now
}

// Deadline returns when the window closes if nothing else arrives; ok is false
// while it is empty.
func (w *Window) Deadline() (at time.Time, ok bool) {
	if len(w.pods) == 0 {
		return time.Time{}, false
	}
	idle, limit := w.last.Add(w.Idle), w.first.Add(w.Max)
	if limit.Before(idle) {
		return limit, true
	}
	return idle, true
}

// Take empties a window that has closed and returns its pods, sorted; nil while
// it is open or empty.
func (w *Window) Take(now time.Time) []string {
	at, ok := w.Deadline()
	if !ok || now.Before(at) {
		return nil
	}
	pods := slices.Sorted(maps.Keys(w.pods))
	w.pods = nil
	return pods
}
