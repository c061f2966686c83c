package sim

import (
	"container/heap"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"
)

// Start is the time at which every world begins.
var Start = time.Date(2026, 3, 2, 10, 0, 0, 0, time.UTC)

// A World is a cluster, its cloud, its clock and everything that is going to
// happen. It is a function of its seed and of what a test does to it.
type World struct {
	// Now is the time of the event that is being run.
	Now time.Time
	// Rand is the world's only chance.
	Rand *rand.Rand
	// API holds the cluster's objects, Cloud its machines.
	API   *API
	Cloud *Cloud
	// Events are those that controllers told users about, in order.
	Events []Event
	// MaxLag is the longest that a watch delivers late; each delivery draws its
	// own lag, in order per process and kind. 0 delivers at once.
	MaxLag time.Duration
	// SchedulerDelay is how long kube-scheduler takes from a change to its next
	// round; 0 is a tenth of a second.
	SchedulerDelay time.Duration
	// LeastAllocated has kube-scheduler prefer the nodes with the most room, as it does by default. Else
	// it takes any, so that nothing can rely on which.
	LeastAllocated bool
	// PodDelay is how much longer than a second a pod takes from being bound to being Ready.
	PodDelay time.Duration
	// Trace, if set, is told about everything that happens.
	Trace func(at time.Time, what string)

	queue     events
	made      int // events made so far: ties are run in this order
	checks    []func(*World) error
	failures  []error
	processes []*Process
	named     map[string]bool // names given to NodeClaims so far
	kube      *kubernetes
}

// New makes an empty world. The cloud has the instance types of [Catalogue].
func New(seed uint64) *World {
	w := Bare(seed)
	w.API.watches = append(w.API.watches, w.kube.notice)
	return w
}

// Bare makes a world in which nobody binds pods, starts, ends or replaces them: whoever made it
// does. Those parts of Kubernetes look at every pod at each change, which is for small worlds.
func Bare(seed uint64) *World {
	w := &World{Now: Start, Rand: rand.New(rand.NewPCG(seed, 1)), named: map[string]bool{}}
	w.API = newAPI(w)
	w.Cloud = newCloud(w)
	w.kube = &kubernetes{w: w}
	return w
}

// After makes something happen d from now.
func (w *World) After(d time.Duration, run func()) {
	w.made++
	heap.Push(&w.queue, event{at: w.Now.Add(max(d, 0)), order: w.made, run: run})
}

// Check adds a law that must hold after every event.
func (w *World) Check(law func(*World) error) { w.checks = append(w.checks, law) }

// Fail notes that a law was broken; the run ends with it.
func (w *World) Fail(err error) { w.failures = append(w.failures, err) }

// Run lets d pass. It returns the first broken law.
func (w *World) Run(d time.Duration) error {
	_, err := w.RunUntil(d, func() bool { return false })
	return err
}

// RunUntil lets time pass until done is true, but no longer than limit, and
// reports whether it became true. The error is the first broken law.
func (w *World) RunUntil(limit time.Duration, done func() bool) (bool, error) {
	end := w.Now.Add(limit)
	for {
		if done() {
			return true, nil
		}
		if len(w.queue) == 0 || w.queue[0].at.After(end) {
			w.Now = end
			return done(), nil
		}
		e := heap.Pop(&w.queue).(event)
		w.Now = e.at
		e.run()
		for _, law := range w.checks {
			if err := law(w); err != nil {
				w.Fail(err)
			}
		}
		if len(w.failures) > 0 {
			return false, fmt.Errorf("at %v: %w", w.Now.Sub(Start), errors.Join(w.failures...))
		}
	}
}

func (w *World) trace(format string, args ...any) {
	if w.Trace != nil {
		w.Trace(w.Now, fmt.Sprintf(format, args...))
	}
}

// An event happens at a time; ties in the order they were made.
type event struct {
	at    time.Time
	order int
	run   func()
}

// events is a heap, the earliest first.
type events []event

func (e events) Len() int      { return len(e) }
func (e events) Swap(i, j int) { e[i], e[j] = e[j], e[i] }
func (e events) Less(i, j int) bool {
	if !e[i].at.Equal(e[j].at) {
		return e[i].at.Before(e[j].at)
	}
	return e[i].order < e[j].order
}

// Push is for container/heap.
func (e *events) Push(x any) { *e = append(*e, x.(event)) }

// Pop is for container/heap.
func (e *events) Pop() any {
	old := *e
	last := old[len(old)-1]
	*e = old[:len(old)-1]
	return last
}
