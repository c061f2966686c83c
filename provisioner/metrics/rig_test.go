package metrics_test

import (
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/expfmt"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stowage-sh/stowage/cloudprovider"
	"github.com/stowage-sh/stowage/pricing"
	"github.com/stowage-sh/stowage/provisioner/metrics"
	"github.com/stowage-sh/stowage/provisioner/state"
	v1 "github.com/stowage-sh/stowage/provisioner/v1"
)

// noon is when every test begins.
var noon = time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)

// words are those of a cloud that calls few things.
var words = metrics.Vocabulary{
	ClassKind: "TestNodeClass", ClassLabel: "cloud.example/testnodeclass", ClassReadiness: []string{"KeelLaid"},
	NodeLabels: []string{"cloud.example/testnodeclass", "cloud.example/instance-cpu", "disks.example/zone"},
}

// A rig is a cluster, a clock, and the registry that shows it.
type rig struct {
	*testing.T
	*prometheus.Registry
	observer *metrics.Observer
	cluster  *state.Cluster
	now      time.Time
	leading  bool
	version  int
}

func newRig(t *testing.T) *rig {
	t.Helper()
	r := &rig{T: t, Registry: prometheus.NewRegistry(), cluster: state.New(), now: noon, leading: true}
	clock, leading := func() time.Time { return r.now }, func() bool { return r.leading }
	var err error
	if r.observer, err = metrics.NewObserver(r.Registry, clock, leading, words); err != nil {
		t.Fatal(err)
	}
	prices := pricing.NewTable("r", "the test", map[cloudprovider.Offering]pricing.MicroUSD{
		{InstanceType: "large", Zone: "r-a", CapacityType: cloudprovider.Spot}: 31_250,
		{InstanceType: "large", CapacityType: cloudprovider.OnDemand}:          96_000,
	})
	r.MustRegister(metrics.NewCluster(metrics.Sources{
		State: r.cluster, Observer: r.observer, Prices: pricing.NewBook(prices), Now: clock, Leading: leading, Vocabulary: words,
	}))
	return r
}

// see tells of objects as a feed does, as of versions that rise.
func (r *rig) see(objects ...client.Object) {
	for _, o := range objects {
		r.version++
		o = o.DeepCopyObject().(client.Object)
		o.SetResourceVersion(strconv.Itoa(r.version))
		r.observer.Observe(o)
		r.cluster.Observe(o)
	}
}

// gone tells of the end of an object.
func (r *rig) gone(o client.Object) {
	r.observer.Forget(o)
	r.cluster.Forget(o)
}

// scrape returns the lines of the families whose names begin with any of the
// prefixes, as Prometheus reads them, sorted, without comments and buckets.
func (r *rig) scrape(prefixes ...string) string {
	r.Helper()
	families, err := r.Gather()
	if err != nil {
		r.Fatal(err)
	}
	var b strings.Builder
	for _, f := range families {
		if slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(f.GetName(), p) }) {
			if _, err := expfmt.MetricFamilyToText(&b, f); err != nil {
				r.Fatal(err)
			}
		}
	}
	lines := slices.DeleteFunc(strings.Split(b.String(), "\n"), func(line string) bool {
		return line == "" || line[0] == '#' || strings.Contains(line, "_bucket{") || strings.Contains(line, "quantile=")
	})
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// shows fails the test unless exactly these lines are there, in any order.
func (r *rig) shows(want string, prefixes ...string) {
	r.Helper()
	var lines []string
	for line := range strings.SplitSeq(want, "\n") {
		if line = strings.TrimSpace(line); line != "" {
			lines = append(lines, line)
		}
	}
	slices.Sort(lines)
	if diff := cmp.Diff(strings.Join(lines, "\n"), r.scrape(prefixes...)); diff != "" {
		r.Errorf("want (-), got (+):\n%s", diff)
	}
}

func pod(name string, edit ...func(*corev1.Pod)) *corev1.Pod {
	p := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name, UID: types.UID(name), CreationTimestamp: metav1.NewTime(noon)},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "main"}}},
		Status:     corev1.PodStatus{Phase: corev1.PodPending},
	}
	for _, e := range edit {
		e(p)
	}
	return p
}

// asks gives a pod requests and limits.
func asks(requests, limits corev1.ResourceList) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		p.Spec.Containers[0].Resources = corev1.ResourceRequirements{Requests: requests, Limits: limits}
	}
}

// on binds a pod so long after noon.
func on(node string, after time.Duration) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		p.Spec.NodeName = node
		setPod(p, corev1.PodScheduled, after)
	}
}

// ready lets a pod run since so long after noon.
func ready(after time.Duration) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		p.Status.Phase = corev1.PodRunning
		setPod(p, corev1.PodReady, after)
	}
}

func setPod(p *corev1.Pod, kind corev1.PodConditionType, after time.Duration) {
	p.Status.Conditions = append(p.Status.Conditions, corev1.PodCondition{
		Type: kind, Status: corev1.ConditionTrue, LastTransitionTime: metav1.NewTime(noon.Add(after)),
	})
}

// ownedBy gives a pod an owner.
func ownedBy(version, kind, name string) func(*corev1.Pod) {
	yes := true
	return func(p *corev1.Pod) {
		p.OwnerReferences = []metav1.OwnerReference{{APIVersion: version, Kind: kind, Name: name, UID: types.UID(name), Controller: &yes}}
	}
}

func list(pairs ...string) corev1.ResourceList {
	l := corev1.ResourceList{}
	for i := 0; i < len(pairs); i += 2 {
		l[corev1.ResourceName(pairs[i])] = resource.MustParse(pairs[i+1])
	}
	return l
}

func node(name string, labels map[string]string) *corev1.Node {
	return &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: name, UID: types.UID("node-" + name), Labels: labels, CreationTimestamp: metav1.NewTime(noon.Add(-time.Hour))},
		Spec:       corev1.NodeSpec{ProviderID: "cloud:///" + name},
	}
}

// claim is the NodeClaim of the node of that name.
func claim(name, pool string) *v1.NodeClaim {
	return &v1.NodeClaim{
		ObjectMeta: metav1.ObjectMeta{Name: name, UID: types.UID("claim-" + name), CreationTimestamp: metav1.NewTime(noon), Labels: map[string]string{
			v1.LabelNodePool: pool, words.ClassLabel: "default",
		}},
		Status: v1.NodeClaimStatus{ProviderID: "cloud:///" + name},
	}
}

func nodePool(name string) *v1.NodePool {
	return &v1.NodePool{ObjectMeta: metav1.ObjectMeta{Name: name, UID: types.UID("pool-" + name), CreationTimestamp: metav1.NewTime(noon)}}
}

// set sets a condition, as it is since so long after noon.
func set(conditions *[]metav1.Condition, kind string, status metav1.ConditionStatus, after time.Duration) {
	v1.SetCondition(conditions, metav1.Condition{Type: kind, Status: status}, noon.Add(after))
}

// A class is a NodeClass of the test's cloud.
type class struct {
	metav1.TypeMeta
	metav1.ObjectMeta
	conditions []metav1.Condition
}

func (c *class) Ref() cloudprovider.NodeClassRef {
	return cloudprovider.NodeClassRef{Group: "cloud.example", Kind: words.ClassKind, Name: c.Name}
}
func (c *class) DeepCopyObject() runtime.Object       { d := *c; return &d }
func (c *class) Readiness() (bool, string)            { return true, "" }
func (c *class) StatusConditions() []metav1.Condition { return c.conditions }
