package sim

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"reflect"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stowage-sh/stowage/provisioner/metrics"
	"github.com/stowage-sh/stowage/provisioner/state"
)

// ErrCrash, returned by a fault, ends the process that ran into it: none of its
// writes happens from then on, and its controllers are not called again.
var ErrCrash = errors.New("the process crashed")

// A Process is one run of the controllers: its own view of the cluster, as its
// watches delivered it, and its own controllers. It begins by listing everything.
type Process struct {
	// Cluster is what the process has seen, its own writes included.
	Cluster *state.Cluster
	// Write and Events are what controllers are to use.
	Write  state.Writer
	Events state.Recorder
	// Before and After, if set, are called around every write with its verb
	// (create, patch, patchStatus, delete, evict). An error of Before is returned in place of the write; one
	// of After is returned although the write happened.
	Before, After func(verb string, obj client.Object) error
	// Read asks the API itself. Before is called with the verb get, too.
	Read client.Reader
	// Around, if set, runs each piece of the process in place of the process: "watch" takes in a
	// change, "route" finds whom it concerns, a controller's name is one call of that, and "api"
	// within these is the API server at work.
	Around func(what string, run func())
	// Gathers has disruption and the controller of NodePools woken as the command does: a few
	// seconds after a burst began. Else disruption looks when it says so itself, and NodePools are
	// looked at with each change.
	Gathers bool
	// Conflicts is the odds of a patch losing a race that did not take place, if it
	// insists on a version: the server tries others again by itself.
	Conflicts float64
	// Repeats is the odds of a delivery of the watch coming again later, when it is old.
	Repeats float64
	// Skew is by how much the process's clock is ahead.
	Skew time.Duration
	// Errors are those that controllers returned, in order.
	Errors []error

	world   *World
	dead    bool
	last    map[string]time.Time // the latest delivery by kind: watches keep order
	notices []func(client.Object)
	// observer hears of everything before Cluster does; nil without controllers.
	observer *metrics.Observer
}

// Start begins a process: it lists what there is, then watches. Its controllers
// are added to it.
func (w *World) Start() *Process {
	p := &Process{Cluster: state.New(), world: w, last: map[string]time.Time{}}
	p.Write = state.Recorded(writer{p}, p.Cluster)
	p.Events = recorder{w}
	p.Read = reader{p}
	for _, obj := range w.API.all() {
		p.Cluster.Observe(slim(obj))
	}
	w.API.watches = append(w.API.watches, p.watch)
	w.processes = append(w.processes, p)
	return p
}

// Kill ends the process as if its machine had lost power.
func (p *Process) Kill() { p.dead = true }

// Dead reports whether the process was killed or crashed.
func (p *Process) Dead() bool { return p.dead }

// watch delivers a change after a lag, in order by kind.
func (p *Process) watch(obj client.Object, gone bool) {
	if p.dead || !watched(obj) {
		return
	}
	w, kind := p.world, KindOf(obj)
	at := w.Now
	if w.MaxLag > 0 {
		at = at.Add(time.Duration(w.Rand.Int64N(int64(w.MaxLag))))
	}
	if last := p.last[kind]; last.After(at) {
		at = last
	}
	p.last[kind] = at
	obj = slim(obj.DeepCopyObject().(client.Object))
	deliver := func() {
		if p.dead {
			return
		}
		p.do("watch", func() { p.take(obj, gone) })
		p.do("route", func() {
			for _, notice := range p.notices {
				notice(obj)
			}
		})
	}
	w.After(at.Sub(w.Now), deliver)
	if p.Repeats > 0 && w.Rand.Float64() < p.Repeats {
		w.After(at.Sub(w.Now)+time.Duration(w.Rand.Int64N(int64(10*time.Second))), deliver)
	}
}

// slim makes of an object what the product's cache keeps of it.
func slim(obj client.Object) client.Object {
	_, _ = state.Slim(obj) // it returns no error
	return obj
}

// do runs a piece of the process; see Around.
func (p *Process) do(what string, run func()) {
	if p.Around == nil {
		run()
		return
	}
	p.Around(what, run)
}

// now is the time by the process's own clock.
func (p *Process) now() time.Time { return p.world.Now.Add(p.Skew) }

// take takes in what the watch delivers.
func (p *Process) take(obj client.Object, gone bool) {
	if gone {
		if p.observer != nil {
			p.observer.Forget(obj)
		}
		p.Cluster.Forget(obj)
		return
	}
	if p.observer != nil {
		p.observer.Observe(obj)
	}
	p.Cluster.Observe(obj)
}

// AddStepper adds a controller that looks at everything: it is called at once,
// then whenever its own answer says, or a second after an error. An answer of 0
// waits for wake, which has it called that much later at the latest.
func (p *Process) AddStepper(name string, step func(ctx context.Context, now time.Time) (time.Duration, error)) (wake func(after time.Duration)) {
	q := &queue{process: p, name: name, run: func(ctx context.Context, now time.Time, _ string) (time.Duration, error) {
		return step(ctx, now)
	}}
	q.add("", 0)
	return func(after time.Duration) { q.add("", after) }
}

// AddReconciler adds a controller of the objects of one kind: it is called for a
// name when that object changes, when its own answer says, and with backoff after
// an error.
func (p *Process) AddReconciler(kind string, reconcile func(ctx context.Context, now time.Time, name string) (time.Duration, error)) {
	p.AddMapped(kind, func(_ *state.Cluster, obj client.Object) []string {
		if KindOf(obj) != kind {
			return nil
		}
		return []string{obj.GetName()}
	}, reconcile)
}

// AddMapped adds a controller that is called for the names that concerned finds
// for every change, and otherwise as AddReconciler says.
func (p *Process) AddMapped(name string, concerned func(*state.Cluster, client.Object) []string,
	reconcile func(ctx context.Context, now time.Time, name string) (time.Duration, error)) {
	p.AddGathered(name, func(client.Object) time.Duration { return 0 }, concerned, reconcile)
}

// AddGathered does as AddMapped, but that gather says for how long the changes like one are
// gathered before the controller is called.
func (p *Process) AddGathered(name string, gather func(client.Object) time.Duration, concerned func(*state.Cluster, client.Object) []string,
	reconcile func(ctx context.Context, now time.Time, name string) (time.Duration, error)) {
	q := &queue{process: p, name: name, run: reconcile}
	notice := func(obj client.Object) {
		for _, key := range concerned(p.Cluster, obj) {
			q.add(key, gather(obj))
		}
	}
	p.notices = append(p.notices, notice)
	for _, obj := range p.world.API.all() {
		notice(obj)
	}
}

// A queue calls a controller by key: one call for many reasons at one time.
type queue struct {
	process *Process
	name    string
	run     func(ctx context.Context, now time.Time, key string) (time.Duration, error)
	due     map[string]time.Time // the next call of a key
	failed  map[string]int       // failures in a row
}

func (q *queue) add(key string, after time.Duration) {
	w := q.process.world
	at := w.Now.Add(after)
	if due, ok := q.due[key]; ok && !due.After(at) {
		return
	}
	if q.due == nil {
		q.due, q.failed = map[string]time.Time{}, map[string]int{}
	}
	q.due[key] = at
	w.After(after, func() {
		if due, ok := q.due[key]; ok && due.Equal(at) && !q.process.dead {
			delete(q.due, key)
			q.call(key)
		}
	})
}

func (q *queue) call(key string) {
	p := q.process
	var again time.Duration
	var err error
	p.do(q.name, func() { again, err = q.run(logr.NewContext(context.Background(), logr.Discard()), p.now(), key) })
	if err != nil {
		p.Errors = append(p.Errors, fmt.Errorf("%s %q: %w", q.name, key, err))
		p.world.trace("%s %q: %v", q.name, key, err)
		q.failed[key]++
		q.add(key, min(10*time.Second, 100*time.Millisecond<<min(q.failed[key], 10)))
		return
	}
	q.failed[key] = 0
	if again > 0 {
		q.add(key, again)
	}
}

// writer is a process's way to the API, with its faults.
type writer struct{ p *Process }

func (w writer) do(verb string, obj client.Object, write func() error) error {
	for _, step := range []func() error{
		func() error { return w.fault(w.p.Before, verb, obj) },
		func() (err error) {
			w.p.do("api", func() { err = write() })
			return err
		},
		func() error { return w.fault(w.p.After, verb, obj) },
	} {
		if w.p.dead {
			return ErrCrash
		}
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

func (w writer) fault(fault func(string, client.Object) error, verb string, obj client.Object) error {
	if fault == nil {
		return nil
	}
	err := fault(verb, obj)
	if errors.Is(err, ErrCrash) {
		w.p.Kill()
	}
	return err
}

func (w writer) patch(obj client.Object, patch client.Patch, status bool) error {
	if w.p.Conflicts > 0 && w.p.world.Rand.Float64() < w.p.Conflicts && locks(obj, patch) {
		return apierrors.NewConflict(resourceOf(obj), obj.GetName(), errors.New("by chance"))
	}
	return w.p.world.API.Patch(obj, patch, status)
}

// locks reports whether a patch insists on the version of the object.
func locks(obj client.Object, patch client.Patch) bool {
	data, err := patch.Data(obj)
	return err == nil && bytes.Contains(data, []byte(`"resourceVersion"`))
}

// Create implements state.Writer.
func (w writer) Create(_ context.Context, obj client.Object) error {
	return w.do("create", obj, func() error { return w.p.world.API.Create(obj) })
}

// Patch implements state.Writer.
func (w writer) Patch(_ context.Context, obj client.Object, patch client.Patch) error {
	return w.do("patch", obj, func() error { return w.patch(obj, patch, false) })
}

// PatchStatus implements state.Writer.
func (w writer) PatchStatus(_ context.Context, obj client.Object, patch client.Patch) error {
	return w.do("patchStatus", obj, func() error { return w.patch(obj, patch, true) })
}

// Delete implements state.Writer.
func (w writer) Delete(_ context.Context, obj client.Object, options ...client.DeleteOption) error {
	return w.do("delete", obj, func() error { return w.p.world.API.Delete(obj, options...) })
}

// Evict implements state.Writer.
func (w writer) Evict(_ context.Context, pod *corev1.Pod) error {
	return w.do("evict", pod, func() error { return w.p.world.API.evict(pod) })
}

// reader is a process's way to ask the API. It gets single objects, and lists what it has to.
type reader struct{ p *Process }

// Get implements client.Reader.
func (r reader) Get(_ context.Context, key client.ObjectKey, obj client.Object, _ ...client.GetOption) error {
	if err := writer(r).fault(r.p.Before, "get", obj); err != nil {
		return err
	}
	obj.SetNamespace(key.Namespace)
	obj.SetName(key.Name)
	found, ok := r.p.world.API.find(obj)
	if !ok {
		return apierrors.NewNotFound(resourceOf(obj), key.Name)
	}
	reflect.ValueOf(obj).Elem().Set(reflect.ValueOf(found.DeepCopyObject()).Elem())
	return nil
}

// List implements client.Reader, for ResourceQuotas.
func (r reader) List(_ context.Context, list client.ObjectList, options ...client.ListOption) error {
	var o client.ListOptions
	o.ApplyOptions(options)
	quotas := list.(*corev1.ResourceQuotaList)
	for _, q := range List[*corev1.ResourceQuota](r.p.world.API) {
		if q.Namespace == o.Namespace {
			quotas.Items = append(quotas.Items, *q)
		}
	}
	return nil
}

// evict deletes a pod unless a PodDisruptionBudget refuses.
func (a *API) evict(pod *corev1.Pod) error {
	current, ok := Get[*corev1.Pod](a, pod.Namespace, pod.Name)
	if !ok {
		return apierrors.NewNotFound(resourceOf(pod), pod.Name)
	}
	if !ended(current) && isReady(current) {
		if err := a.budget(current); err != nil {
			return err
		}
	}
	return a.Delete(pod)
}

func (a *API) budget(pod *corev1.Pod) error {
	var covering []*policyv1.PodDisruptionBudget
	for _, b := range stored[*policyv1.PodDisruptionBudget](a) {
		if b.Namespace == pod.Namespace && selects(b.Spec.Selector, pod.Labels) {
			covering = append(covering, b)
		}
	}
	switch {
	case len(covering) > 1:
		return apierrors.NewInternalError(errors.New("this pod has more than one PodDisruptionBudget"))
	case len(covering) == 1 && allowedBy(a, covering[0]) < 1:
		return apierrors.NewTooManyRequests("Cannot evict pod as it would violate the pod's disruption budget "+covering[0].Name, 0)
	}
	return nil
}

// An Event is what a user was told about an object.
type Event struct {
	At                         time.Time
	Kind, Name                 string
	EventType, Reason, Message string
}

type recorder struct{ w *World }

// Event implements state.Recorder.
func (r recorder) Event(object runtime.Object, eventType, reason, message string) {
	obj := object.(client.Object)
	r.w.Events = append(r.w.Events, Event{r.w.Now, KindOf(obj), obj.GetName(), eventType, reason, message})
	r.w.trace("event on %s %s: %s %s", KindOf(obj), obj.GetName(), reason, message)
}

// Told returns the events with a reason, in order.
func (w *World) Told(reason string) []Event {
	var told []Event
	for _, e := range w.Events {
		if e.Reason == reason {
			told = append(told, e)
		}
	}
	return told
}
