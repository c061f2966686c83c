package main

import (
	"context"
	"errors"
	"time"

	corev1 "k8s.io/api/core/v1"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/tools/record"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	ctrlmetrics "sigs.k8s.io/controller-runtime/pkg/metrics"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/stowage-sh/stowage/cloudprovider"
	"github.com/stowage-sh/stowage/cloudprovider/aws"
	"github.com/stowage-sh/stowage/cloudprovider/aws/nodeclass"
	awsv1 "github.com/stowage-sh/stowage/cloudprovider/aws/v1"
	"github.com/stowage-sh/stowage/provisioner/batch"
	"github.com/stowage-sh/stowage/provisioner/disrupt"
	"github.com/stowage-sh/stowage/provisioner/drift"
	"github.com/stowage-sh/stowage/provisioner/lifecycle"
	"github.com/stowage-sh/stowage/provisioner/metrics"
	"github.com/stowage-sh/stowage/provisioner/nodepool"
	"github.com/stowage-sh/stowage/provisioner/provision"
	"github.com/stowage-sh/stowage/provisioner/state"
	v1 "github.com/stowage-sh/stowage/provisioner/v1"
)

// A wiring is the controllers and what they share.
type wiring struct {
	settings *settings
	manager  manager.Manager
	cloud    *cloud
	cluster  *state.Cluster
	feed     *feed
	guard    *guard
	overlays bool // NodeOverlays are applied
	buffers  bool // CapacityBuffers are
	write    state.Writer
	events   record.EventRecorder

	instruments *instruments
	provision   *provision.Controller
	disrupt     *disrupt.Controller
}

// The widths of the queues: how many objects are worked on at once. A NodeClaim
// that waits for the cloud holds one place, and there are more than enough.
const (
	claimWorkers = 100
	poolWorkers  = 10
)

// driftDelay gathers changes before all NodeClaims are looked at for drift: something
// of a NodeClaim changes all the time in a large cluster, and nobody waits for this.
const driftDelay = 5 * time.Second

// wire makes the controllers and gives them to the manager.
func (w *wiring) wire(ctx context.Context) error {
	w.guard = &guard{reader: w.manager.GetAPIReader(), name: w.settings.leaseName, namespace: w.settings.leaseSpace}
	w.write = state.Recorded(state.Kube(w.manager.GetClient()), w.cluster)
	if err := errors.Join(w.record(ctx), w.measure(), w.decideOptions(ctx), w.watch(ctx)); err != nil {
		return err
	}
	if w.settings.commitments != "" {
		if err := w.manager.Add(manager.RunnableFunc(refresh("commitments", commitmentsInterval(w.settings.commitments), w.cloud.readCommitments))); err != nil {
			return err
		}
	}
	return errors.Join(
		w.manager.Add(manager.RunnableFunc(w.guard.run)),
		w.manager.Add(manager.RunnableFunc(w.begin)),
		w.manager.Add(manager.RunnableFunc(refresh("the version of Kubernetes", versionInterval, w.cloud.version.refresh))),
		w.manager.Add(manager.RunnableFunc(refresh("prices", w.settings.priceInterval, w.cloud.refreshPrices))),
		w.manager.Add(manager.RunnableFunc(refresh("instance types", w.settings.catalogInterval, w.cloud.inventory.Refresh))),
		w.manager.Add(manager.RunnableFunc(refresh("launch templates", time.Hour, w.sweep))),
		w.nodeClasses(),
		w.nodePools(),
		w.staticPools(ctx),
		w.nodeOverlays(),
		w.nodeClaims(),
		w.disruption(),
		w.interruption(),
		w.nodeRepair(ctx),
		w.headroom(),
	)
}

// begin tells the provider which EC2NodeClasses there are, once the watches have
// caught up: only then does an unknown one mean that it is gone.
func (w *wiring) begin(ctx context.Context) error {
	if !w.feed.ready(ctx) {
		return nil
	}
	var names []string
	for _, class := range w.cluster.Snapshot().NodeClasses.All() {
		names = append(names, class.GetName())
	}
	w.cloud.classes.Begin(names...)
	return nil
}

// sweep deletes launch templates that have not been used for an hour; not beside
// another provisioner, whose templates have the same tags.
func (w *wiring) sweep(ctx context.Context) error {
	if _, ok := w.guard.clear(); !ok {
		return nil
	}
	return w.cloud.provider.SweepTemplates(ctx, w.cloud.ec2, time.Now().Add(-time.Hour))
}

// record sets up the events, which carry Karpenter's component name.
func (w *wiring) record(ctx context.Context) error {
	core, err := typedcorev1.NewForConfigAndClient(w.manager.GetConfig(), w.manager.GetHTTPClient())
	if err != nil {
		return err
	}
	broadcaster := record.NewBroadcaster(record.WithContext(ctx))
	broadcaster.StartRecordingToSink(&typedcorev1.EventSinkImpl{Interface: core.Events("")})
	w.events = broadcaster.NewRecorder(w.manager.GetScheme(), corev1.EventSource{Component: "karpenter"})
	return nil
}

// measure sets up the metrics.
func (w *wiring) measure() (err error) {
	w.instruments, err = newInstruments(ctrlmetrics.Registry, subject{
		cluster: w.cluster,
		offerings: metrics.OfferingSources{
			Catalog: w.cloud.provider.Catalog, Availability: w.cloud.availability, Prices: w.cloud.prices, Memory: memorySold,
		},
		synced:     func() bool { return w.feed.complete() }, // there is a feed before anybody asks
		leading:    w.leading,
		now:        time.Now,
		unobserved: w.settings.unobserved,
	})
	w.cloud.provider.Meter = w.instruments.requests
	return err
}

// leading reports whether this process acts: it holds the Lease, or needs none, and
// no other provisioner lives, which would show the same cluster.
func (w *wiring) leading() bool {
	select {
	case <-w.manager.Elected():
		_, alone := w.guard.clear()
		return alone
	default:
		return false
	}
}

// withdraw takes back, in a few seconds at most, what would keep another provisioner
// from acting. The manager has stopped, so nothing is written after it; a process that
// never led has nothing to take back.
func (w *wiring) withdraw(ctx context.Context) {
	if !w.leading() {
		return
	}
	limited, stop := context.WithTimeout(ctx, 5*time.Second)
	defer stop()
	if err := w.provision.Withdraw(limited); err != nil {
		w.manager.GetLogger().Error(err, "withdrawing nominations")
	}
	if err := w.disrupt.Withdraw(limited); err != nil {
		w.manager.GetLogger().Error(err, "withdrawing marks of nodes")
	}
}

func (w *wiring) nodeClasses() error {
	c := &nodeclass.Controller{
		Region:  w.cloud.region,
		Cluster: w.cloud.cluster,
		Version: w.cloud.version.get,
		Get: func(name string) (*awsv1.EC2NodeClass, bool) {
			known, _ := w.cluster.Snapshot().NodeClasses.Get(name)
			class, ok := known.(*awsv1.EC2NodeClass)
			return class, ok
		},
		Claims:     w.claimsOf,
		Write:      w.write,
		Events:     w.events,
		Classes:    w.cloud.classes,
		Gone:       w.instruments.requests.classGone,
		EC2:        w.cloud.ec2,
		Parameters: w.cloud.ssm,
		Profiles:   w.cloud.iam,
		Leftovers:  w.cloud.iam,
		Templates:  w.cloud.ec2,

		ReservedCapacity: w.settings.gate(gateReserved, true),
	}
	if !w.settings.noDryRun {
		c.Rehearse = func(ctx context.Context, class *aws.Class) error {
			return w.cloud.provider.Rehearse(ctx, class, w.cloud.ec2)
		}
	}
	classes := func(obj client.Object) []string {
		if class, ok := obj.(*awsv1.EC2NodeClass); ok {
			return []string{class.Name}
		}
		return nil
	}
	// Of NodeClaims, which change all the time, those are of interest that hold a class
	// no longer and those that are to be stamped.
	claims := func(obj client.Object) []string {
		claim, ok := obj.(*v1.NodeClaim)
		if ok && (claim.DeletionTimestamp != nil || claim.Annotations[awsv1.AnnotationHashVersion] != awsv1.HashVersion) {
			return []string{claim.Spec.NodeClassRef.Name}
		}
		return nil
	}
	return w.add("nodeclass", poolWorkers, c.Reconcile, w.feed.source(classes, 0, &awsv1.EC2NodeClassList{}), w.feed.source(claims, time.Second))
}

// claimsOf lists the NodeClaims that use an EC2NodeClass.
func (w *wiring) claimsOf(class string) []nodeclass.Claim {
	var claims []nodeclass.Claim
	for _, c := range w.cluster.Snapshot().NodeClaims.All() {
		if ref := c.Spec.NodeClassRef; ref.Group == awsv1.Group && ref.Name == class {
			claims = append(claims, nodeclass.Claim{
				Object: c, Launched: v1.IsTrue(c.Status.Conditions, v1.ConditionLaunched),
				Drifted: v1.GetCondition(c.Status.Conditions, v1.ConditionDrifted) != nil,
			})
		}
	}
	return claims
}

func (w *wiring) nodePools() error {
	c := &nodepool.Controller{Cluster: w.cluster, Write: w.write, Known: awsv1.LabelValues}
	keys := func(counted bool) func(client.Object) []string {
		return func(obj client.Object) []string {
			if nodepool.Counted(obj) != counted {
				return nil
			}
			return nodepool.Concerned(w.cluster, obj)
		}
	}
	return w.add("nodepool", poolWorkers, c.Reconcile,
		w.feed.source(keys(false), 100*time.Millisecond, &v1.NodePoolList{}), w.feed.source(keys(true), time.Second))
}

func (w *wiring) nodeClaims() error {
	const provisioner, life, collection, tagging, observation = "provisioner", "nodeclaim.lifecycle", "nodeclaim.garbagecollection", "nodeclaim.tagging", "node.observation"
	cloud := func(controller string) cloudprovider.Provider {
		return w.instruments.cloud.of(w.cloud.provider, controller)
	}
	w.provision = &provision.Controller{
		Cluster: w.cluster, Write: w.write, Events: w.events, Metrics: w.instruments.provision,
		Cloud: cloud(provisioner), Availability: w.cloud.availability, Prices: w.cloud.prices,
		NewName:  newClaimName,
		Window:   batch.Window{Idle: w.settings.batchIdle, Max: w.settings.batchMax},
		MaxSteps: w.settings.maxSteps, IgnorePreferences: w.settings.preferencePolicy == ignore, RelaxMinValues: w.settings.minValuesPolicy == bestEffort,
		Spreads: w.settings.spreads, Schedulers: w.settings.schedulers,
		Clock:    time.Now,
		Parallel: 10, NoNominations: !w.settings.nominate,
	}
	roster := &lifecycle.Roster{Cloud: cloud(collection)}
	l := &lifecycle.Controller{
		Cluster: w.cluster, Write: w.write, Events: w.events, Metrics: w.instruments.lifecycle,
		Cloud: cloud(life), Availability: w.cloud.availability, Prices: w.cloud.prices, Instances: roster,
		Surge:         w.settings.surge,
		LaunchTimeout: w.settings.launchTimeout, RegistrationTimeout: w.settings.registrationTimeout,
	}
	if w.settings.nominate {
		l.BeforeOpen, l.Hold = w.provision.Nominate, w.provision.Hold
	}
	collector := &lifecycle.Collector{
		Cluster: w.cluster, Write: w.write, Metrics: w.instruments.lifecycle, Cloud: cloud(collection), Instances: roster,
		Interval: w.settings.collectInterval, MinAge: w.settings.collectAge,
	}
	tagger := &lifecycle.Tagger{Cluster: w.cluster, Instances: roster, Tag: w.cloud.provider.Tag}
	observer := &lifecycle.Observer{Cluster: w.cluster, Observe: w.cloud.provider.Observe}
	claims := func(obj client.Object) []string { return lifecycle.Concerned(w.cluster, obj) }
	// A node that opens is urgent: kube-scheduler sees it as soon as we do.
	urgent := func(obj client.Object) []string {
		if _, ok := obj.(*corev1.Node); ok {
			return []string{"cluster"}
		}
		return nil
	}
	tagged := func(obj client.Object) []string {
		if lifecycle.Tagged(obj) {
			return []string{"cluster"}
		}
		return nil
	}
	anything := func(client.Object) []string { return []string{"cluster"} }
	return errors.Join(
		w.add(provisioner, 1, singleton(w.provision.Step), w.feed.source(urgent, 0), w.feed.source(anything, 50*time.Millisecond, &v1.NodePoolList{})),
		w.add(life, claimWorkers, l.Reconcile, w.feed.source(claims, 0, &v1.NodeClaimList{}, &corev1.NodeList{})),
		w.add(collection, 1, singleton(collector.Step), once()),
		w.add(tagging, 1, singleton(tagger.Step), once(), w.feed.source(tagged, time.Second)),
		w.add(observation, 1, singleton(observer.Step), once()),
		w.drift(roster),
	)
}

// drift shares the list of the cloud's machines with those that take care of NodeClaims.
func (w *wiring) drift(roster *lifecycle.Roster) error {
	const name = "nodeclaim.drift"
	c := &drift.Controller{Cluster: w.cluster, Write: w.write, Cloud: w.instruments.cloud.of(w.cloud.provider, name), Instances: roster, Rebalance: w.settings.rebalance}
	keys := func(obj client.Object) []string {
		if drift.Concerns(obj) {
			return []string{"cluster"}
		}
		return nil
	}
	return w.add(name, 1, singleton(c.Step), once(), w.feed.source(keys, driftDelay))
}

func (w *wiring) disruption() error {
	w.disrupt = &disrupt.Controller{
		Cluster: w.cluster, Write: w.write, Events: w.events, Metrics: w.instruments.disrupt,
		Foresee: w.provision.Foresee, Mover: w.provision, Schedulers: w.settings.schedulers, Clock: time.Now,
	}
	pools := func(obj client.Object) []string {
		if _, ok := obj.(*v1.NodePool); ok {
			return []string{"cluster"}
		}
		return nil
	}
	rest := func(obj client.Object) []string {
		switch obj.(type) {
		case *v1.NodeClaim, *corev1.Pod:
			return []string{"cluster"}
		}
		return nil
	}
	urgent := func(obj client.Object) []string {
		if disrupt.Urgent(obj) {
			return []string{"cluster"}
		}
		return nil
	}
	// A step looks at every node, and in a large cluster there is always a pod that comes or goes. What
	// is under way is looked at each second all the same.
	return w.addRetrying(hasty, "disruption", 1, singleton(w.disrupt.Step), once(), w.feed.source(urgent, 0), w.feed.source(pools, time.Second), w.feed.source(rest, 5*time.Second))
}

// A step does for one key what can be done now, and says when to look again.
type step func(ctx context.Context, now time.Time, key string) (again time.Duration, err error)

// singleton is a step for a controller that looks at the whole cluster.
func singleton(f func(ctx context.Context, now time.Time) (time.Duration, error)) step {
	return func(ctx context.Context, now time.Time, _ string) (time.Duration, error) { return f(ctx, now) }
}

// add gives the manager a controller that calls a step for each key that its
// sources name, as soon as the state is complete and no other provisioner lives.
func (w *wiring) add(name string, workers int, run step, sources ...source.Source) error {
	return w.addRetrying(time.Minute, name, workers, run, sources...)
}

// hasty is the longest wait after an error of a controller that looks at the whole cluster and has
// moments to keep: one object that is refused again and again must not have the others miss them.
const hasty = 5 * time.Second

// addRetrying does as add; longest is the longest wait after an error.
func (w *wiring) addRetrying(longest time.Duration, name string, workers int, run step, sources ...source.Source) error {
	c, err := controller.New(name, w.manager, controller.Options{
		MaxConcurrentReconciles: workers,
		RateLimiter:             workqueue.NewTypedItemExponentialFailureRateLimiter[reconcile.Request](200*time.Millisecond, longest),
		Reconciler: reconcile.Func(func(ctx context.Context, request reconcile.Request) (reconcile.Result, error) {
			if wait, ok := w.guard.clear(); !ok {
				return reconcile.Result{RequeueAfter: wait}, nil
			}
			if !w.feed.ready(ctx) {
				return reconcile.Result{}, ctx.Err()
			}
			again, err := run(ctx, time.Now(), request.Name)
			return reconcile.Result{RequeueAfter: again}, err
		}),
	})
	if err != nil {
		return err
	}
	for _, s := range sources {
		if err := c.Watch(s); err != nil {
			return err
		}
	}
	return nil
}

// once wakes a singleton when it starts; from then on it says itself when.
func once() source.Source {
	return source.Func(func(_ context.Context, queue workqueue.TypedRateLimitingInterface[reconcile.Request]) error {
		queue.Add(reconcile.Request{NamespacedName: client.ObjectKey{Name: "cluster"}})
		return nil
	})
}
