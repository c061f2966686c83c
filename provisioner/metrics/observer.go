package metrics

import (
	"errors"
	"maps"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/stowage-sh/stowage/provisioner/state"
	v1 "github.com/stowage-sh/stowage/provisioner/v1"
)

// An Observer is told of every version of an object that a watch delivers, and of
// every decision on a pod, and measures what lies between two of them. It
// remembers pods until they run, and the latest conditions of what has any.
//
// What was over already when it was first seen is not measured: after a restart,
// pods that run and conditions that stand are in no duration. Its methods may be
// called by many goroutines at once, and wait for nothing but its own short lock.
type Observer struct {
	now     func() time.Time
	leading func() bool
	pods    podDurations
	changes map[string]changes // by kind
	class   string             // the kind of NodeClasses

	mu       sync.Mutex
	journeys map[types.UID]journey
	last     map[types.UID]object
}

// NewObserver returns an observer whose durations are registered with r. As long
// as leading says no, it remembers and does not measure: of two processes that see
// the same, one tells of it.
func NewObserver(r prometheus.Registerer, now func() time.Time, leading func() bool, words Vocabulary) (*Observer, error) {
	o := &Observer{
		now: now, leading: leading, pods: newPodDurations(), changes: map[string]changes{}, class: strings.ToLower(words.ClassKind),
		journeys: map[types.UID]journey{}, last: map[types.UID]object{},
	}
	failed := []error{o.pods.register(r)}
	for _, k := range kinds(words) {
		c := newChanges(k)
		o.changes[k.name] = c
		failed = append(failed, c.register(r))
	}
	return o, errors.Join(failed...)
}

// Observe takes in an object that was added or changed. Kinds that nothing is
// shown of are ignored.
func (o *Observer) Observe(obj metav1.Object) {
	switch obj := obj.(type) {
	case *corev1.Pod:
		o.observePod(obj)
	case *corev1.Node:
		o.observe("node", ofNode(obj))
	case *v1.NodeClaim:
		o.observe("nodeclaim", ofClaim(obj))
	case *v1.NodePool:
		o.observe("nodepool", ofPool(obj))
	case state.NodeClass:
		o.observe(o.class, ofClass(obj))
	}
}

// Forget takes out an object that is gone.
func (o *Observer) Forget(obj metav1.Object) {
	switch obj := obj.(type) {
	case *corev1.Pod:
		o.mu.Lock()
		delete(o.journeys, obj.UID)
		o.mu.Unlock()
	case *corev1.Node:
		o.forget("node", obj)
	case *v1.NodeClaim:
		o.forget("nodeclaim", obj)
	case *v1.NodePool:
		o.forget("nodepool", obj)
	case state.NodeClass:
		o.forget(o.class, obj)
	}
}

// memory is what is remembered now of each pod that does not run yet.
func (o *Observer) memory() map[types.UID]journey {
	o.mu.Lock()
	defer o.mu.Unlock()
	return maps.Clone(o.journeys)
}
