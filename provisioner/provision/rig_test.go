package provision

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stowage-sh/stowage/cloudprovider"
	"github.com/stowage-sh/stowage/pricing"
	"github.com/stowage-sh/stowage/provisioner/batch"
	"github.com/stowage-sh/stowage/provisioner/state"
	v1 "github.com/stowage-sh/stowage/provisioner/v1"
)

// A rig is a controller with hand-made surroundings and its own time. Nothing is
// watched: what the controller wrote itself it knows from the answers alone.
type rig struct {
	*Controller
	t      *testing.T
	now    time.Time
	server *server
	events *events
	cloud  *cloud
}

func newRig(t *testing.T, objects ...client.Object) *rig {
	r := &rig{t: t, now: time.Unix(1_700_000_000, 0), server: &server{version: 1}, events: &events{}, cloud: &cloud{catalog: twoSizes()}}
	r.restart(objects...)
	return r
}

// restart begins with nothing in memory but what a watch would list.
func (r *rig) restart(objects ...client.Object) {
	cluster := state.New()
	for _, o := range objects {
		cluster.Observe(o)
	}
	names := 0
	r.Controller = &Controller{
		Cluster: cluster, Write: state.Recorded(r.server, cluster), Events: r.events, Cloud: r.cloud, Availability: &cloudprovider.Availability{},
		Prices:  pricing.NewBook(onDemand(100_000, 400_000)),
		NewName: func(pool string) string { names++; return fmt.Sprintf("%s-%d", pool, names) },
		Window:  batch.Window{Idle: time.Second, Max: 10 * time.Second},
	}
}

// step lets time pass and then the controller look.
func (r *rig) step(after time.Duration) time.Duration {
	r.t.Helper()
	again, err := r.try(after)
	if err != nil {
		r.t.Fatalf("step: %v", err)
	}
	return again
}

func (r *rig) try(after time.Duration) (time.Duration, error) {
	r.now = r.now.Add(after)
	return r.Step(context.Background(), r.now)
}

// claims lists the claims there are, with the pods planned for each.
func (r *rig) claims() string {
	s := r.Cluster.Snapshot()
	var words []string
	for _, c := range s.NodeClaims.All() {
		var pods []string
		for _, uid := range s.PlannedFor(c.Name) {
			pods = append(pods, string(uid))
		}
		words = append(words, c.Name+"("+strings.Join(pods, " ")+")")
	}
	return strings.Join(words, " ")
}

func (r *rig) want(claims string) {
	r.t.Helper()
	if got := r.claims(); got != claims {
		r.t.Fatalf("claims are %q, want %q", got, claims)
	}
}

// seen tells the cluster what a watch would.
func (r *rig) seen(o client.Object) { r.Cluster.Observe(o) }

func (r *rig) claim(name string) *v1.NodeClaim {
	r.t.Helper()
	c, ok := r.Cluster.Snapshot().NodeClaims.Get(name)
	if !ok {
		r.t.Fatalf("there is no claim %s", name)
	}
	return r.server.next(c.DeepCopy()).(*v1.NodeClaim)
}

// A server answers writes.
type server struct {
	mu      sync.Mutex
	version int
	created int
	refuse  func(client.Object) error
	patched []string
	// lose says of which creations the answer does not arrive.
	lose func(client.Object) bool
	made map[string]client.Object
}

// next returns o in a newer version.
func (s *server) next(o client.Object) client.Object {
	s.version++
	o.SetResourceVersion(fmt.Sprint(s.version))
	return o
}

func (s *server) Create(_ context.Context, o client.Object) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.refuse != nil {
		if err := s.refuse(o); err != nil {
			return err
		}
	}
	if _, ok := s.made[o.GetName()]; ok {
		return apierrors.NewAlreadyExists(schema.GroupResource{Resource: "nodeclaims"}, o.GetName())
	}
	s.created++
	made := o.DeepCopyObject().(client.Object)
	made.SetUID(types.UID(o.GetName()))
	s.next(made)
	if s.made == nil {
		s.made = map[string]client.Object{}
	}
	s.made[o.GetName()] = made
	if s.lose != nil && s.lose(o) {
		return errors.New("connection reset")
	}
	made.(*v1.NodeClaim).DeepCopyInto(o.(*v1.NodeClaim))
	return nil
}

func (s *server) PatchStatus(_ context.Context, o client.Object, p client.Patch) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.refuse != nil {
		if err := s.refuse(o); err != nil {
			return err
		}
	}
	data, err := p.Data(o)
	if err != nil {
		return err
	}
	s.patched = append(s.patched, o.GetName()+" "+string(data))
	signed(o)
	s.next(o)
	return nil
}

// signed marks what a pod is nominated to as written by Stowage, as the API server does.
func signed[T client.Object](o T) T {
	o.SetManagedFields([]metav1.ManagedFieldsEntry{{Manager: state.FieldManager, FieldsV1: metav1.NewFieldsV1(`{"f:status":{"f:nominatedNodeName":{}}}`)}})
	return o
}

// Patch is only ever asked to change nothing, and answers with the object.
func (s *server) Patch(_ context.Context, o client.Object, p client.Patch) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if data, err := p.Data(o); err != nil || string(data) != "{}" {
		return fmt.Errorf("unexpected patch %s", data)
	}
	s.made[o.GetName()].(*v1.NodeClaim).DeepCopyInto(o.(*v1.NodeClaim))
	return nil
}
func (s *server) Delete(context.Context, client.Object, ...client.DeleteOption) error {
	return errors.New("unexpected")
}
func (s *server) Evict(context.Context, *corev1.Pod) error { return errors.New("unexpected") }

// events remembers what users were told.
type events struct {
	mu   sync.Mutex
	list []string
}

func (e *events) Event(o runtime.Object, eventType, reason, message string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.list = append(e.list, fmt.Sprintf("%s %s %s: %s", o.(client.Object).GetName(), eventType, reason, message))
}

// take returns what users were told since the last time, sorted.
func (e *events) take() string {
	e.mu.Lock()
	defer e.mu.Unlock()
	slices.Sort(e.list)
	text := strings.Join(e.list, "\n")
	e.list = nil
	return text
}

// A cloud has a catalog, or an error instead.
type cloud struct {
	cloudprovider.Provider
	catalog *cloudprovider.Catalog
	err     error
}

func (c *cloud) Catalog(context.Context, cloudprovider.NodeClassRef) (*cloudprovider.Catalog, error) {
	return c.catalog, c.err
}

// twoSizes is small with 2 CPUs and large with 8, in one zone.
func twoSizes() *cloudprovider.Catalog {
	c := &cloudprovider.Catalog{}
	for _, size := range []struct {
		name string
		cpu  int64
	}{{"large", 8000}, {"small", 2000}} {
		has := cloudprovider.Resources{"cpu": size.cpu, "memory": 8 << 30, "pods": 20}
		c.InstanceTypes = append(c.InstanceTypes, cloudprovider.InstanceType{
			Name: size.name, Capacity: has, Allocatable: has, Offerings: []cloudprovider.Offering{{InstanceType: size.name, Zone: "a", CapacityType: cloudprovider.OnDemand}},
		})
	}
	return c
}

// onDemand is a table of prices of twoSizes.
func onDemand(small, large pricing.MicroUSD) *pricing.Table {
	return pricing.NewTable("r", "the test", map[cloudprovider.Offering]pricing.MicroUSD{
		{InstanceType: "small", CapacityType: cloudprovider.OnDemand}: small,
		{InstanceType: "large", CapacityType: cloudprovider.OnDemand}: large,
	})
}

func nodePool(name string) *v1.NodePool {
	return &v1.NodePool{
		ObjectMeta: metav1.ObjectMeta{Name: name, UID: types.UID(name), ResourceVersion: "1"},
		Status:     v1.NodePoolStatus{Conditions: []metav1.Condition{{Type: v1.ConditionReady, Status: metav1.ConditionTrue}}},
	}
}

// waiting is a pod that kube-scheduler cannot place.
func waiting(name, cpu string) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name, UID: types.UID(name), ResourceVersion: "1"},
		Spec: corev1.PodSpec{Containers: []corev1.Container{{Resources: corev1.ResourceRequirements{
			Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse(cpu)},
		}}}},
		Status: corev1.PodStatus{Conditions: []corev1.PodCondition{{Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: corev1.PodReasonUnschedulable}}},
	}
}

var errConflict = apierrors.NewConflict(schema.GroupResource{Resource: "nodeclaims"}, "x", errors.New("busy"))
