package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	toolscache "k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	awsv1 "github.com/stowage-sh/stowage/cloudprovider/aws/v1"
	"github.com/stowage-sh/stowage/provisioner/metrics"
	"github.com/stowage-sh/stowage/provisioner/state"
	v1 "github.com/stowage-sh/stowage/provisioner/v1"
)

// A feed carries what the watches say into the state, and only then wakes the
// controllers: whoever is woken finds the change in the next snapshot.
type feed struct {
	cache   cache.Cache
	cluster *state.Cluster
	// observer hears of everything before the state does; nil for none.
	observer *metrics.Observer
	synced   []toolscache.InformerSynced

	mu     sync.Mutex
	routes []route
}

// A route wakes one controller.
type route struct {
	queue workqueue.TypedRateLimitingInterface[reconcile.Request]
	// keys says which of the controller's keys an object concerns.
	keys func(client.Object) []string
	// delay gathers the wakings of a burst into one.
	delay time.Duration
}

// watch begins to watch the kinds of the given lists.
func (f *feed) watch(ctx context.Context, kinds ...client.Object) error {
	for _, kind := range kinds {
		informer, err := f.cache.GetInformer(ctx, kind)
		if err != nil {
			return fmt.Errorf("watching %T: %w", kind, err)
		}
		handle, err := informer.AddEventHandler(toolscache.ResourceEventHandlerFuncs{
			AddFunc:    func(obj any) { f.observe(obj) },
			UpdateFunc: func(_, obj any) { f.observe(obj) },
			DeleteFunc: f.forget,
		})
		if err != nil {
			return fmt.Errorf("watching %T: %w", kind, err)
		}
		f.synced = append(f.synced, handle.HasSynced)
	}
	return nil
}

// ready waits until everything that was there at the start is in the state.
func (f *feed) ready(ctx context.Context) bool {
	return toolscache.WaitForCacheSync(ctx.Done(), f.synced...)
}

// complete reports whether it is.
func (f *feed) complete() bool {
	for _, synced := range f.synced {
		if !synced() {
			return false
		}
	}
	return true
}

// check is a check of readiness: it fails until the watches have caught up.
func (f *feed) check(*http.Request) error {
	if !f.complete() {
		return errors.New("the watches have not caught up yet")
	}
	return nil
}

// managed reports whether an object is Stowage's to act upon. A NodePool or NodeClaim
// whose NodeClass is another cloud's is somebody else's, as those of EKS Auto Mode
// are that a cluster may have beside ours; to Stowage their nodes are nodes like any.
func managed(obj client.Object) bool {
	switch o := obj.(type) {
	case *v1.NodePool:
		return o.Spec.Template.Spec.NodeClassRef.Group == awsv1.Group
	case *v1.NodeClaim:
		return o.Spec.NodeClassRef.Group == awsv1.Group
	}
	return true
}

func (f *feed) observe(obj any) {
	o := obj.(client.Object)
	if !managed(o) {
		return
	}
	if f.observer != nil {
		f.observer.Observe(o)
	}
	f.cluster.Observe(o)
	f.wake(o)
}

func (f *feed) forget(obj any) {
	if last, ok := obj.(toolscache.DeletedFinalStateUnknown); ok {
		obj = last.Obj
	}
	o, ok := obj.(client.Object)
	if !ok || !managed(o) {
		return
	}
	if f.observer != nil {
		f.observer.Forget(o)
	}
	f.cluster.Forget(o)
	f.wake(o)
}

func (f *feed) wake(obj client.Object) {
	f.mu.Lock()
	routes := f.routes
	f.mu.Unlock()
	for _, r := range routes {
		for _, key := range r.keys(obj) {
			r.queue.AddAfter(reconcile.Request{NamespacedName: client.ObjectKey{Name: key}}, r.delay)
		}
	}
}

// source wakes a controller for what changes from now on, and once for each
// object of these kinds that is there already.
func (f *feed) source(keys func(client.Object) []string, delay time.Duration, lists ...client.ObjectList) source.Source {
	return source.Func(func(ctx context.Context, queue workqueue.TypedRateLimitingInterface[reconcile.Request]) error {
		f.mu.Lock()
		f.routes = append(f.routes[:len(f.routes):len(f.routes)], route{queue, keys, delay})
		f.mu.Unlock()
		for _, list := range lists {
			list := list.DeepCopyObject().(client.ObjectList)
			if err := f.cache.List(ctx, list); err != nil {
				return fmt.Errorf("listing %T: %w", list, err)
			}
			err := meta.EachListItem(list, func(o runtime.Object) error {
				for _, key := range keys(o.(client.Object)) {
					queue.Add(reconcile.Request{NamespacedName: client.ObjectKey{Name: key}})
				}
				return nil
			})
			if err != nil {
				return fmt.Errorf("listing %T: %w", list, err)
			}
		}
		return nil
	})
}
