package nodeclass

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/aws/smithy-go"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stowage-sh/stowage/cloudprovider/aws"
	v1 "github.com/stowage-sh/stowage/cloudprovider/aws/v1"
)

// A Writer is how the controller writes to the cluster: by patches.
type Writer interface {
	// Patch and PatchStatus leave in obj what the server answered.
	Patch(ctx context.Context, obj client.Object, patch client.Patch) error
	PatchStatus(ctx context.Context, obj client.Object, patch client.Patch) error
}

// A Recorder tells users of an object about an event: eventType is Normal or
// Warning, reason one word.
type Recorder interface {
	Event(object runtime.Object, eventType, reason, message string)
}

// A Claim is a NodeClaim, as far as this package looks at one.
type Claim struct {
	client.Object
	// Launched and Drifted are its conditions: it has its machine; it has the
	// condition Drifted.
	Launched, Drifted bool
}

// A Controller keeps the status of EC2NodeClasses. All fields but ReservedCapacity,
// Rehearse and the two intervals are needed. Steps for different classes may run at once,
// those for one class may not.
type Controller struct {
	// Region and Cluster that the nodes are for.
	Region  string
	Cluster aws.Cluster
	// Version is the version of Kubernetes that the control plane runs, major and
	// minor: "1.36". The images of an alias are chosen by it, and looked up anew when
	// it changes.
	Version func() string
	// Get returns an EC2NodeClass as it is known now, own writes included. It is not
	// modified.
	Get func(name string) (class *v1.EC2NodeClass, ok bool)
	// Claims lists the NodeClaims that use a class, in order. They are not modified.
	Claims func(class string) []Claim
	Write  Writer
	Events Recorder
	// Classes gets what is resolved. Whoever starts the controller tells it by
	// Begin which classes there are, once the cache is filled.
	Classes *aws.Classes
	// Gone is told the name of a class that is gone, perhaps more than once. It may be nil.
	Gone func(name string)
	// EC2, Parameters, Profiles, Leftovers and Templates are the clients.
	EC2        EC2
	Parameters Parameters
	Profiles   Profiles
	Leftovers  Leftovers
	Templates  Templates
	// ReservedCapacity is the feature gate: without it capacityReservationSelectorTerms select
	// nothing.
	ReservedCapacity bool
	// Rehearse asks EC2 whether instances may be launched from a class: (*aws.Provider).Rehearse; nil
	// where nobody is to ask.
	Rehearse func(ctx context.Context, c *aws.Class) error
	// SubnetInterval and ImageInterval say how long what was found of subnets, and
	// of images, is good for; 0 means a minute and five minutes.
	SubnetInterval, ImageInterval time.Duration

	mu sync.Mutex
	// resolved is what was found last, by the name of the class.
	resolved map[string]*resolved
}

// Reconcile does for one class what can be done now, and says when to look
// again; 0 means not before it changes.
func (c *Controller) Reconcile(ctx context.Context, now time.Time, name string) (next time.Duration, err error) {
	class, ok := c.Get(name)
	if !ok {
		c.forget(name)
		return 0, nil
	}
	class = class.DeepCopy()
	if class.DeletionTimestamp != nil {
		next, err = c.finalize(ctx, class)
	} else {
		next, err = c.keep(ctx, now, class)
	}
	if apierrors.IsNotFound(err) {
		err = nil // it went meanwhile, and the watch will say so
	}
	if err != nil {
		return 0, fmt.Errorf("reconciling EC2NodeClass %s: %w", name, err)
	}
	return next, nil
}

// keep brings status, conditions and the registry up to date.
func (c *Controller) keep(ctx context.Context, now time.Time, class *v1.EC2NodeClass) (time.Duration, error) {
	if err := c.stamp(ctx, class); err != nil {
		return 0, err
	}
	before := class.DeepCopy()
	m := moment{now, class, c.ReservedCapacity, c.Version()}
	found, failure := c.resolve(ctx, m)
	failure = errors.Join(failure, c.rehearse(ctx, m, found))
	if found.show(m) {
		c.Classes.Put(found.class(class))
	}
	if !equality.Semantic.DeepEqual(before.Status, class.Status) {
		if err := c.Write.PatchStatus(ctx, class, client.MergeFrom(before)); err != nil {
			return 0, errors.Join(failure, fmt.Errorf("writing its status: %w", err))
		}
	}
	return found.due(now), errors.Join(failure, c.stampClaims(ctx, class))
}

// locked is a patch that fails if the object has changed since: finalizers are
// one list, and another's must not be lost.
func locked(before client.Object) client.Patch {
	return client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})
}

// codeOf is what a condition may say of a failed call: AWS's code, since the
// message differs from call to call and every difference would be written.
func codeOf(err error) string {
	if api, ok := errors.AsType[smithy.APIError](err); ok {
		return api.ErrorCode()
	}
	return "no answer from AWS"
}
