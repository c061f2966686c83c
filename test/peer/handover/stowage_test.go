package handover

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	apitypes "k8s.io/apimachinery/pkg/types"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"
	fakeclient "sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/stowage-sh/stowage/cloudprovider"
	"github.com/stowage-sh/stowage/cloudprovider/aws"
	"github.com/stowage-sh/stowage/cloudprovider/aws/nodeclass"
	awsv1 "github.com/stowage-sh/stowage/cloudprovider/aws/v1"
	"github.com/stowage-sh/stowage/pricing"
	"github.com/stowage-sh/stowage/provisioner/batch"
	"github.com/stowage-sh/stowage/provisioner/drift"
	"github.com/stowage-sh/stowage/provisioner/lifecycle"
	"github.com/stowage-sh/stowage/provisioner/nodepool"
	"github.com/stowage-sh/stowage/provisioner/provision"
	"github.com/stowage-sh/stowage/provisioner/state"
	v1 "github.com/stowage-sh/stowage/provisioner/v1"
)

// A stowage is one process of Stowage's.
type stowage struct {
	*land
	now     time.Time
	client  client.Client
	cluster *state.Cluster

	provider  *aws.Provider
	class     *nodeclass.Controller
	pool      *nodepool.Controller
	life      *lifecycle.Controller
	collector *lifecycle.Collector
	drift     *drift.Controller
	provision *provision.Controller
}

// told logs what users are told: the reader of a failure wants to know.
type told struct{ *testing.T }

// Event logs an event.
func (t told) Event(object runtime.Object, _, reason, message string) {
	t.Logf("%s: %s: %s", object.(client.Object).GetName(), reason, message)
}

// startStowage begins a process at a time, with what the API server keeps.
func startStowage(l *land, at time.Time, r record) *stowage {
	l.Helper()
	known := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(known), v1.AddToScheme(known), awsv1.AddToScheme(known)); err != nil {
		l.Fatal(err)
	}
	var objects []client.Object
	objects = append(objects, read(l, r, kindPool, func() *v1.NodePool { return &v1.NodePool{} })...)
	objects = append(objects, read(l, r, kindClass, func() *awsv1.EC2NodeClass { return &awsv1.EC2NodeClass{} })...)
	objects = append(objects, read(l, r, kindClaim, func() *v1.NodeClaim { return &v1.NodeClaim{} })...)
	objects = append(objects, read(l, r, kindNode, func() *corev1.Node { return &corev1.Node{} })...)
	s := &stowage{land: l, now: at, cluster: state.New()}
	s.client = fakeclient.NewClientBuilder().WithScheme(known).WithObjects(objects...).
		WithStatusSubresource(&v1.NodePool{}, &v1.NodeClaim{}, &awsv1.EC2NodeClass{}).
		WithInterceptorFuncs(born(func() time.Time { return s.now })).Build()
	s.wire()
	return s
}

// wire makes the provider and the controllers, as the command does.
func (s *stowage) wire() {
	s.Helper()
	api, iamClient, classes := ec2.NewFromConfig(s.config), iam.NewFromConfig(s.config), &aws.Classes{}
	inventory := &aws.Inventory{Region: region, API: api}
	table, err1 := pricing.Embedded(region)
	err2 := inventory.Refresh(s.Context())
	var err3 error
	s.provider, err3 = aws.New(aws.Config{
		Region: region, Cluster: eks, EC2: api, Classes: classes, Inventory: inventory,
		Catalog: aws.CatalogOptions{VMMemoryOverheadPercent: aws.UsualMemoryOverhead}, ReservedCapacity: true,
	})
	metrics, err4 := lifecycle.NewMetrics(prometheus.NewRegistry())
	if err := errors.Join(err1, err2, err3, err4); err != nil {
		s.Fatal(err)
	}
	write, prices, roster := state.Recorded(state.Kube(s.client), s.cluster), pricing.NewBook(table), &lifecycle.Roster{Cloud: s.provider}
	s.class = &nodeclass.Controller{
		Region: region, Cluster: eks, Classes: classes, Write: write, Events: told{s.T},
		Version: func() string { return version },
		Get: func(name string) (*awsv1.EC2NodeClass, bool) {
			known, _ := s.cluster.Snapshot().NodeClasses.Get(name)
			class, ok := known.(*awsv1.EC2NodeClass)
			return class, ok
		},
		Claims: s.claims,
		EC2:    api, Parameters: ssm.NewFromConfig(s.config), Profiles: iamClient, Leftovers: iamClient, Templates: api, ReservedCapacity: true,
	}
	s.pool = &nodepool.Controller{Cluster: s.cluster, Write: write, Known: awsv1.LabelValues}
	available := &cloudprovider.Availability{}
	s.life = &lifecycle.Controller{
		Cluster: s.cluster, Write: write, Events: told{s.T}, Metrics: metrics, Cloud: s.provider,
		Availability: available, Prices: prices, Instances: roster,
	}
	s.collector = &lifecycle.Collector{Cluster: s.cluster, Write: write, Metrics: metrics, Cloud: s.provider, Instances: roster}
	s.drift = &drift.Controller{Cluster: s.cluster, Write: write, Cloud: s.provider, Instances: roster}
	names := 0
	s.provision = &provision.Controller{
		Cluster: s.cluster, Write: write, Events: told{s.T}, Cloud: s.provider, Availability: available, Prices: prices,
		NewName: func(pool string) string { names++; return fmt.Sprintf("%s-%d", pool, names) },
		Window:  batch.Window{Idle: time.Second, Max: 10 * time.Second}, NoNominations: true,
	}
	s.observe()
	classes.Begin("default")
}

// claims are those of the only EC2NodeClass.
func (s *stowage) claims(string) []nodeclass.Claim {
	var all []nodeclass.Claim
	for _, c := range s.cluster.Snapshot().NodeClaims.All() {
		all = append(all, nodeclass.Claim{
			Object: c, Launched: v1.IsTrue(c.Status.Conditions, v1.ConditionLaunched),
			Drifted: v1.GetCondition(c.Status.Conditions, v1.ConditionDrifted) != nil,
		})
	}
	return all
}

// observe takes in what the API server has, as watches would.
func (s *stowage) observe() {
	s.Helper()
	there := map[apitypes.UID]bool{}
	for _, list := range []client.ObjectList{&awsv1.EC2NodeClassList{}, &v1.NodePoolList{}, &v1.NodeClaimList{}, &corev1.NodeList{}, &corev1.PodList{}} {
		if err := s.client.List(s.Context(), list); err != nil {
			s.Fatal(err)
		}
		items, err := meta.ExtractList(list)
		if err != nil {
			s.Fatal(err)
		}
		for _, item := range items {
			obj := item.(client.Object)
			there[obj.GetUID()] = true
			s.cluster.Observe(obj)
		}
	}
	for _, claim := range s.cluster.Snapshot().NodeClaims.All() {
		if !there[claim.UID] {
			s.cluster.Forget(claim)
		}
	}
	for _, node := range s.cluster.Snapshot().Nodes.All() {
		if !there[node.UID] {
			s.cluster.Forget(node)
		}
	}
}

// everything runs all controllers over all objects for a while, a second after
// the other.
func (s *stowage) everything(d time.Duration) {
	s.Helper()
	for end := s.now.Add(d); s.now.Before(end); s.now = s.now.Add(max(time.Second, d/30)) {
		s.observe()
		_, err1 := s.class.Reconcile(s.Context(), s.now, "default")
		_, err2 := s.pool.Reconcile(s.Context(), s.now, "pool")
		_, err3 := s.provision.Step(s.Context(), s.now)
		if err := errors.Join(err1, err2, err3); err != nil {
			s.Fatal(err)
		}
		for _, claim := range s.cluster.Snapshot().NodeClaims.All() {
			if _, err := s.life.Reconcile(s.Context(), s.now, claim.Name); err != nil {
				s.Fatalf("NodeClaim %s: %v", claim.Name, err)
			}
		}
		_, err4 := s.collector.Step(s.Context(), s.now)
		_, err5 := s.drift.Step(s.Context(), s.now)
		if err := errors.Join(err4, err5); err != nil {
			s.Fatal(err)
		}
	}
	s.observe()
}

// pend makes pods that kube-scheduler has found no node for.
func (s *stowage) pend(pods ...*corev1.Pod) {
	s.Helper()
	for _, pod := range pods {
		if err := s.client.Create(s.Context(), pod); err != nil {
			s.Fatal(err)
		}
	}
}

// pod describes a pending pod for the NodePool of land.wanted.
func pod(name, cpu, memory string, selector map[string]string) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name},
		Spec: corev1.PodSpec{
			NodeSelector: selector,
			Tolerations:  []corev1.Toleration{{Key: "example.com/only", Operator: corev1.TolerationOpExists}},
			Containers: []corev1.Container{{Name: "main", Image: "image", Resources: corev1.ResourceRequirements{Requests: corev1.ResourceList{
				corev1.ResourceCPU: resource.MustParse(cpu), corev1.ResourceMemory: resource.MustParse(memory),
			}}}},
		},
		Status: corev1.PodStatus{Phase: corev1.PodPending, Conditions: []corev1.PodCondition{
			{Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: corev1.PodReasonUnschedulable},
		}},
	}
}

// claim returns a NodeClaim as it is now, nil if it is gone.
func (s *stowage) claim(name string) *v1.NodeClaim {
	claim, _ := s.cluster.Snapshot().NodeClaims.Get(name)
	return claim
}

// poolNow and classNow return the only NodePool and EC2NodeClass.
func (s *stowage) poolNow() *v1.NodePool {
	pool, _ := s.cluster.Snapshot().NodePools.Get("pool")
	return pool
}

func (s *stowage) classNow() *awsv1.EC2NodeClass {
	class, _ := s.cluster.Snapshot().NodeClasses.Get("default")
	return class.(*awsv1.EC2NodeClass)
}

// join has the node of a launched NodeClaim join.
func (s *stowage) join(name string) {
	s.Helper()
	if err := s.client.Create(s.Context(), s.ready(s.claim(name).Status.ProviderID)); err != nil {
		s.Fatal(err)
	}
}

// stop ends the process, and returns what the API server keeps.
func (s *stowage) stop() record {
	s.Helper()
	return s.write(s.client, map[string]client.ObjectList{
		kindPool: &v1.NodePoolList{}, kindClass: &awsv1.EC2NodeClassList{}, kindClaim: &v1.NodeClaimList{}, kindNode: &corev1.NodeList{},
	})
}
