package handover

import (
	"context"
	"errors"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/ec2"
	sdkeks "github.com/aws/aws-sdk-go-v2/service/eks"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	v1 "github.com/aws/karpenter-provider-aws/pkg/apis/v1"
	awscache "github.com/aws/karpenter-provider-aws/pkg/cache"
	awscloud "github.com/aws/karpenter-provider-aws/pkg/cloudprovider"
	machinegc "github.com/aws/karpenter-provider-aws/pkg/controllers/nodeclaim/garbagecollection"
	"github.com/aws/karpenter-provider-aws/pkg/controllers/nodeclaim/tagging"
	"github.com/aws/karpenter-provider-aws/pkg/controllers/nodeclass"
	profilegc "github.com/aws/karpenter-provider-aws/pkg/controllers/nodeclass/garbagecollection"
	classhash "github.com/aws/karpenter-provider-aws/pkg/controllers/nodeclass/hash"
	awsoptions "github.com/aws/karpenter-provider-aws/pkg/operator/options"
	"github.com/aws/karpenter-provider-aws/pkg/providers/amifamily"
	"github.com/aws/karpenter-provider-aws/pkg/providers/arczonalshift"
	"github.com/aws/karpenter-provider-aws/pkg/providers/capacityreservation"
	"github.com/aws/karpenter-provider-aws/pkg/providers/instance"
	"github.com/aws/karpenter-provider-aws/pkg/providers/instanceprofile"
	"github.com/aws/karpenter-provider-aws/pkg/providers/instancetype"
	"github.com/aws/karpenter-provider-aws/pkg/providers/launchtemplate"
	"github.com/aws/karpenter-provider-aws/pkg/providers/placementgroup"
	"github.com/aws/karpenter-provider-aws/pkg/providers/pricing"
	"github.com/aws/karpenter-provider-aws/pkg/providers/securitygroup"
	ssmparameters "github.com/aws/karpenter-provider-aws/pkg/providers/ssm"
	"github.com/aws/karpenter-provider-aws/pkg/providers/subnet"
	kubeversion "github.com/aws/karpenter-provider-aws/pkg/providers/version"
	"github.com/patrickmn/go-cache"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/scheme"
	kuberecord "k8s.io/client-go/tools/record"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	fakeclient "sigs.k8s.io/controller-runtime/pkg/client/fake"
	karpv1 "sigs.k8s.io/karpenter/pkg/apis/v1"
	"sigs.k8s.io/karpenter/pkg/cloudprovider"
	nodehydration "sigs.k8s.io/karpenter/pkg/controllers/node/hydration"
	"sigs.k8s.io/karpenter/pkg/controllers/nodeclaim/consistency"
	"sigs.k8s.io/karpenter/pkg/controllers/nodeclaim/disruption"
	"sigs.k8s.io/karpenter/pkg/controllers/nodeclaim/expiration"
	claimgc "sigs.k8s.io/karpenter/pkg/controllers/nodeclaim/garbagecollection"
	"sigs.k8s.io/karpenter/pkg/controllers/nodeclaim/hydration"
	"sigs.k8s.io/karpenter/pkg/controllers/nodeclaim/lifecycle"
	"sigs.k8s.io/karpenter/pkg/controllers/nodeoverlay"
	poolhash "sigs.k8s.io/karpenter/pkg/controllers/nodepool/hash"
	"sigs.k8s.io/karpenter/pkg/controllers/provisioning/scheduling"
	"sigs.k8s.io/karpenter/pkg/events"
	"sigs.k8s.io/karpenter/pkg/operator/options"
	"sigs.k8s.io/karpenter/pkg/state/nodepoolhealth"
)

// A karpenter is one process of the released Karpenter.
type karpenter struct {
	*land
	ctx    context.Context
	client client.Client
	clock  *clocktesting.FakeClock
	cloud  cloudprovider.CloudProvider

	poolHash    *poolhash.Controller
	classHash   *classhash.Controller
	class       *nodeclass.Controller
	life        *lifecycle.Controller
	disruption  *disruption.Controller
	expiration  *expiration.Controller
	consistency *consistency.Controller
	hydration   *hydration.Controller
	nodes       *nodehydration.Controller
	tagging     *tagging.Controller
	claims      *claimgc.Controller
	machines    *machinegc.Controller
	profiles    *profilegc.Controller
}

// startKarpenter begins a process at a time, with what the API server keeps.
func startKarpenter(l *land, at time.Time, r record) *karpenter {
	l.Helper()
	k := &karpenter{land: l, clock: clocktesting.NewFakeClock(at)}
	k.ctx = options.ToContext(l.Context(), &options.Options{IgnoreDRARequests: true, CPURequests: 1000, FeatureGates: options.FeatureGates{ReservedCapacity: true}})
	k.ctx = awsoptions.ToContext(k.ctx, &awsoptions.Options{
		ClusterName: eks.Name, ClusterEndpoint: eks.Endpoint, VMMemoryOverheadPercent: 0.075, EKSControlPlane: true, DisableDryRun: true,
	})
	var objects []client.Object
	objects = append(objects, read(l, r, kindPool, func() *karpv1.NodePool { return &karpv1.NodePool{} })...)
	objects = append(objects, read(l, r, kindClass, func() *v1.EC2NodeClass { return &v1.EC2NodeClass{} })...)
	objects = append(objects, read(l, r, kindClaim, func() *karpv1.NodeClaim { return &karpv1.NodeClaim{} })...)
	objects = append(objects, read(l, r, kindNode, func() *corev1.Node { return &corev1.Node{} })...)
	k.client = indexed(fakeclient.NewClientBuilder().WithScheme(scheme.Scheme)).WithObjects(objects...).
		WithStatusSubresource(&karpv1.NodePool{}, &karpv1.NodeClaim{}, &v1.EC2NodeClass{}).WithInterceptorFuncs(born(k.clock.Now)).Build()
	k.wire(events.NewRecorder(&kuberecord.FakeRecorder{}))
	return k
}

// indexed adds the indexes that Karpenter lists by.
func indexed(b *fakeclient.ClientBuilder) *fakeclient.ClientBuilder {
	claim := func(of func(*karpv1.NodeClaim) string) client.IndexerFunc {
		return func(o client.Object) []string { return []string{of(o.(*karpv1.NodeClaim))} }
	}
	return b.
		WithIndex(&karpv1.NodeClaim{}, "status.providerID", claim(func(c *karpv1.NodeClaim) string { return c.Status.ProviderID })).
		WithIndex(&karpv1.NodeClaim{}, "spec.nodeClassRef.group", claim(func(c *karpv1.NodeClaim) string { return c.Spec.NodeClassRef.Group })).
		WithIndex(&karpv1.NodeClaim{}, "spec.nodeClassRef.kind", claim(func(c *karpv1.NodeClaim) string { return c.Spec.NodeClassRef.Kind })).
		WithIndex(&karpv1.NodeClaim{}, "spec.nodeClassRef.name", claim(func(c *karpv1.NodeClaim) string { return c.Spec.NodeClassRef.Name })).
		WithIndex(&corev1.Node{}, "spec.providerID", func(o client.Object) []string { return []string{o.(*corev1.Node).Spec.ProviderID} }).
		WithIndex(&corev1.Pod{}, "spec.nodeName", func(o client.Object) []string { return []string{o.(*corev1.Pod).Spec.NodeName} })
}

// fresh is a cache of Karpenter's.
func fresh() *cache.Cache { return cache.New(time.Minute, time.Minute) }

// wire makes the providers as Karpenter's own operator does, and the controllers.
func (k *karpenter) wire(recorder events.Recorder) {
	k.Helper()
	api, eksAPI, ca := ec2.NewFromConfig(k.config), sdkeks.NewFromConfig(k.config), eks.CABundle
	must := func(what string, err error) {
		if err != nil {
			k.Fatalf("starting Karpenter: %s: %v", what, err)
		}
	}
	unavailable := awscache.NewUnavailableOfferings()
	subnets := subnet.NewDefaultProvider(api, fresh(), fresh())
	groups := securitygroup.NewDefaultProvider(api, fresh())
	profiles := instanceprofile.NewDefaultProvider(iam.NewFromConfig(k.config), fresh(), fresh(), fresh(), region)
	prices := pricing.NewDefaultProvider(pricing.NewAPI(k.config), api, region, true)
	versions := kubeversion.NewDefaultProvider(k.land.nodes, eksAPI)
	must("version", versions.UpdateVersion(k.ctx))
	images := amifamily.NewDefaultProvider(k.clock, versions, ssmparameters.NewDefaultProvider(ssm.NewFromConfig(k.config), fresh()), api, fresh())
	placements := placementgroup.NewProvider(api, fresh(), fresh())
	resolver := amifamily.NewDefaultResolver(region)
	elected := make(chan struct{})
	close(elected)
	templates := launchtemplate.NewDefaultProvider(k.ctx, fresh(), api, eksAPI, resolver, groups, subnets, placements, &ca, elected, nil, eks.Endpoint)
	reservations := capacityreservation.NewProvider(api, k.clock, fresh(), fresh())
	shifts := arczonalshift.NewNoopProvider()
	types := instancetype.NewDefaultProvider(fresh(), fresh(), fresh(), api, subnets, prices, reservations, placements, unavailable,
		instancetype.NewDefaultResolver(region), shifts, k.client)
	must("instance types", types.UpdateInstanceTypes(k.ctx))
	must("offerings", types.UpdateInstanceTypeOfferings(k.ctx))
	machines := instance.NewDefaultProvider(k.ctx, region, recorder, api, unavailable, subnets, templates, reservations, placements, shifts, fresh())
	cloud := awscloud.New(types, machines, recorder, k.client, images, groups, reservations, placements, nodeoverlay.NewInstanceTypeStore(), &ca)

	k.cloud = cloud
	k.poolHash = poolhash.NewController(k.client, cloud)
	k.classHash = classhash.NewController(k.client, &ca)
	k.class = nodeclass.NewController(k.clock, k.client, cloud, recorder, region, subnets, groups, images, profiles, types, templates,
		reservations, placements, api, fresh(), fresh(), resolver, true)
	k.life = lifecycle.NewController(k.clock, k.client, cloud, recorder, nodepoolhealth.NewState(), nil)
	k.disruption = disruption.NewController(k.clock, k.client, cloud)
	k.expiration = expiration.NewController(k.clock, k.client, cloud)
	k.consistency = consistency.NewController(k.clock, k.client, cloud, recorder)
	k.hydration = hydration.NewController(k.client, cloud)
	k.nodes = nodehydration.NewController(k.client, cloud)
	k.tagging = tagging.NewController(k.client, cloud, machines)
	k.claims = claimgc.NewController(k.clock, k.client, cloud)
	k.machines = machinegc.NewController(k.client, aged{cloud})
	k.profiles = profilegc.NewController(k.client, cloud, profiles, region)
}

// aged is Karpenter's cloud an hour later: its collector spares what is younger than
// half a minute by the real clock.
type aged struct{ cloudprovider.CloudProvider }

// List says that every machine is an hour old.
func (a aged) List(ctx context.Context) ([]*karpv1.NodeClaim, error) {
	all, err := a.CloudProvider.List(ctx)
	for _, claim := range all {
		claim.CreationTimestamp.Time = claim.CreationTimestamp.Add(-time.Hour)
	}
	return all, err
}

// propose makes a NodeClaim of the NodePool for any of the instance types that meet
// it, as Karpenter's scheduler does when it has decided to.
func (k *karpenter) propose(name string) *karpv1.NodeClaim {
	k.Helper()
	pool := &karpv1.NodePool{}
	k.get("pool", pool)
	types, err := k.cloud.GetInstanceTypes(k.ctx, pool)
	if err != nil {
		k.Fatal(err)
	}
	template := scheduling.NewNodeClaimTemplate(pool)
	for _, t := range types {
		if t.Requirements.Intersects(template.Requirements) == nil && len(t.Offerings.Compatible(template.Requirements)) > 0 {
			template.InstanceTypeOptions = append(template.InstanceTypeOptions, t)
		}
	}
	claim := template.ToNodeClaim()
	claim.Name = name
	claim.Spec.Resources.Requests = corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("500m"), corev1.ResourceMemory: resource.MustParse("512Mi")}
	if err := k.client.Create(k.ctx, claim); err != nil {
		k.Fatal(err)
	}
	return claim
}

func (k *karpenter) get(name string, obj client.Object) {
	k.Helper()
	if err := k.client.Get(k.ctx, client.ObjectKey{Name: name}, obj); err != nil {
		k.Fatal(err)
	}
}

// claim returns a NodeClaim as it is now.
func (k *karpenter) claim(name string) *karpv1.NodeClaim {
	k.Helper()
	claim := &karpv1.NodeClaim{}
	k.get(name, claim)
	return claim
}

// join has the node of a launched NodeClaim join.
func (k *karpenter) join(name string) {
	k.Helper()
	if err := k.client.Create(k.ctx, k.ready(k.claim(name).Status.ProviderID)); err != nil {
		k.Fatal(err)
	}
}

// classes brings the EC2NodeClass and the NodePool up to date.
func (k *karpenter) classes() {
	k.Helper()
	class, pool := &v1.EC2NodeClass{}, &karpv1.NodePool{}
	k.get("default", class)
	_, err1 := k.classHash.Reconcile(k.ctx, class)
	k.get("default", class)
	_, err2 := k.class.Reconcile(k.ctx, class)
	k.get("pool", pool)
	_, err3 := k.poolHash.Reconcile(k.ctx, pool)
	if err := errors.Join(err1, err2, err3); err != nil {
		k.Fatal(err)
	}
	k.get("default", class)
	if !class.StatusConditions().Root().IsTrue() {
		k.Fatalf("Karpenter's EC2NodeClass is not ready: %+v", class.Status.Conditions)
	}
}

// live runs the lifecycle of some NodeClaims, as often as it takes.
func (k *karpenter) live(names ...string) {
	k.Helper()
	for range 3 {
		for _, name := range names {
			if _, err := k.life.Reconcile(k.ctx, k.claim(name)); err != nil {
				k.Fatalf("%s: %v", name, err)
			}
		}
	}
}

// everything runs all controllers over all objects, twice.
func (k *karpenter) everything() {
	k.Helper()
	for range 2 {
		k.classes()
		list, nodes := &karpv1.NodeClaimList{}, &corev1.NodeList{}
		if err := errors.Join(k.client.List(k.ctx, list), k.client.List(k.ctx, nodes)); err != nil {
			k.Fatal(err)
		}
		for _, c := range list.Items {
			_, err1 := k.hydration.Reconcile(k.ctx, k.claim(c.Name))
			k.live(c.Name)
			_, err2 := k.tagging.Reconcile(k.ctx, k.claim(c.Name))
			_, err3 := k.disruption.Reconcile(k.ctx, k.claim(c.Name))
			_, err4 := k.expiration.Reconcile(k.ctx, k.claim(c.Name))
			_, err5 := k.consistency.Reconcile(k.ctx, k.claim(c.Name))
			if err := errors.Join(err1, err2, err3, err4, err5); err != nil {
				k.Fatalf("NodeClaim %s: %v", c.Name, err)
			}
		}
		for i := range nodes.Items {
			if _, err := k.nodes.Reconcile(k.ctx, &nodes.Items[i]); err != nil {
				k.Fatal(err)
			}
		}
		_, err1 := k.claims.Reconcile(k.ctx)
		_, err2 := k.machines.Reconcile(k.ctx)
		_, err3 := k.profiles.Reconcile(k.ctx)
		if err := errors.Join(err1, err2, err3); err != nil {
			k.Fatal(err)
		}
	}
}

// stop ends the process, and returns what the API server keeps.
func (k *karpenter) stop() record {
	k.Helper()
	return k.write(k.client, map[string]client.ObjectList{
		kindPool: &karpv1.NodePoolList{}, kindClass: &v1.EC2NodeClassList{}, kindClaim: &karpv1.NodeClaimList{}, kindNode: &corev1.NodeList{},
	})
}

// conditions are a NodeClaim's, as Kubernetes has them.
func conditions(claim *karpv1.NodeClaim) []metav1.Condition {
	var all []metav1.Condition
	for _, c := range claim.Status.Conditions {
		all = append(all, metav1.Condition{Type: c.Type, Status: c.Status, Reason: c.Reason, Message: c.Message})
	}
	return all
}
