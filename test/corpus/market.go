package corpus

import (
	"fmt"
	"slices"
	"strconv"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/stowage-sh/stowage/cloudprovider"
	"github.com/stowage-sh/stowage/cloudprovider/aws"
	"github.com/stowage-sh/stowage/cloudprovider/aws/region"
	awsv1 "github.com/stowage-sh/stowage/cloudprovider/aws/v1"
	"github.com/stowage-sh/stowage/pricing"
	"github.com/stowage-sh/stowage/provisioner/problem"
	"github.com/stowage-sh/stowage/provisioner/state"
	v1 "github.com/stowage-sh/stowage/provisioner/v1"
)

// A Market is what a batch can be placed on: one NodePool, what it can buy, for
// how much, and the DaemonSets that come with each node. It is immutable.
type Market struct {
	Name    string
	Pool    *v1.NodePool
	Catalog *cloudprovider.Catalog
	Prices  *pricing.Table
	Daemons []*appsv1.DaemonSet

	snapshot *state.Snapshot
}

// Input asks for places for pods in an empty cluster. MaxSteps is as in
// problem.Input.
func (m *Market) Input(pods []*corev1.Pod, maxSteps int64) *problem.Input {
	return &problem.Input{
		Snapshot: m.snapshot,
		Pods:     pods,
		Catalogs: map[string]*cloudprovider.Catalog{m.Pool.Name: m.Catalog},
		Prices:   m.Prices,
		MaxSteps: maxSteps,

		Nominates: true, // as the controller does
	}
}

// watched returns m with the snapshot of a cluster that has its NodePool and
// DaemonSets, and nothing else.
func (m *Market) watched() *Market {
	cluster := state.New()
	cluster.Observe(m.Pool)
	for _, d := range m.Daemons {
		cluster.Observe(d)
	}
	m.snapshot = cluster.Snapshot()
	return m
}

// pool returns a NodePool with these requirements.
func pool(requirements ...v1.Requirement) *v1.NodePool {
	return &v1.NodePool{
		TypeMeta:   metav1.TypeMeta{APIVersion: v1.GroupVersion.String(), Kind: "NodePool"},
		ObjectMeta: metav1.ObjectMeta{Name: "default", UID: "nodepool-default"},
		Spec: v1.NodePoolSpec{Template: v1.NodeClaimTemplate{Spec: v1.NodeClaimTemplateSpec{
			Requirements: requirements,
			NodeClassRef: v1.NodeClassReference{Group: awsv1.Group, Kind: awsv1.Kind, Name: "default"},
			ExpireAfter:  "720h",
		}}},
	}
}

// Generated is a market of n types, the i-th with i vCPUs, 2i GiB and 10i pods, of
// which 100m and 10Mi are the system's. It costs $0.1 for each vCPU and 10⁹ bytes,
// on demand in three zones and as spot in two of them. These are the types that
// Karpenter's own benchmark of its scheduler generates (with n = 400), and the
// limits that it sets.
func Generated(n int) *Market {
	m := &Market{
		Name:    fmt.Sprintf("%d generated types", n),
		Pool:    pool(),
		Catalog: &cloudprovider.Catalog{},
	}
	m.Pool.Spec.Limits = corev1.ResourceList{
		corev1.ResourceCPU: resource.MustParse("10000000"), corev1.ResourceMemory: resource.MustParse("10000000Gi"),
	}
	prices := map[cloudprovider.Offering]pricing.MicroUSD{}
	for i := int64(1); i <= int64(n); i++ {
		memory := 2 * i << 30
		t := cloudprovider.InstanceType{
			Name:     fmt.Sprintf("fake-it-%d", i-1),
			Capacity: cloudprovider.Resources{cloudprovider.CPU: 1000 * i, cloudprovider.Memory: memory, cloudprovider.Pods: 10 * i},
			Labels:   map[string]string{corev1.LabelArchStable: "amd64", corev1.LabelOSStable: "linux"},
		}
		t.Allocatable = cloudprovider.Resources{
			cloudprovider.CPU: 1000*i - 100, cloudprovider.Memory: memory - 10<<20, cloudprovider.Pods: 10 * i,
		}
		for _, capacityType := range []string{cloudprovider.OnDemand, cloudprovider.Spot} {
			for zone := 1; zone <= 3; zone++ {
				if capacityType == cloudprovider.Spot && zone == 3 {
					continue
				}
				o := cloudprovider.Offering{InstanceType: t.Name, Zone: fmt.Sprintf("test-zone-%d", zone), CapacityType: capacityType}
				t.Offerings = append(t.Offerings, o)
				prices[o] = pricing.MicroUSD(100_000*i + (memory+5_000)/10_000)
			}
		}
		slices.SortFunc(t.Offerings, cloudprovider.Offering.Compare)
		m.Catalog.InstanceTypes = append(m.Catalog.InstanceTypes, t)
	}
	slices.SortFunc(m.Catalog.InstanceTypes, func(a, b cloudprovider.InstanceType) int {
		return slices.Compare([]byte(a.Name), []byte(b.Name))
	})
	m.Prices = pricing.NewTable("", "generated", prices)
	return m.watched()
}

// Options narrow the embedded catalog as a NodePool's requirements do.
type Options struct {
	// Categories of instance types: c, m, r; nil means those three.
	Categories []string
	// CapacityTypes that may be bought; nil means on-demand alone.
	CapacityTypes []string
	// Architectures that may be bought; nil means amd64 alone.
	Architectures []string
	// MaxCPU is the most vCPUs that a node may have; 0 means any number.
	MaxCPU int
}

// Embedded is the market of the embedded catalog and prices in three zones of
// us-east-1: virtual machines of the third generation and later, and a DaemonSet that
// asks for 300m and 512Mi on each node.
func Embedded(name string, o Options) (*Market, error) {
	const where = "us-east-1"
	or := func(values []string, otherwise ...string) []string {
		if values == nil {
			return otherwise
		}
		return values
	}
	in := func(key string, values []string) v1.Requirement {
		return v1.Requirement{Key: key, Operator: corev1.NodeSelectorOpIn, Values: values}
	}
	requirements := []v1.Requirement{
		in(awsv1.LabelInstanceCategory, or(o.Categories, "c", "m", "r")),
		{Key: awsv1.LabelInstanceGeneration, Operator: corev1.NodeSelectorOpGt, Values: []string{"2"}},
		in(awsv1.LabelInstanceHypervisor, []string{"nitro", "xen"}),
		in(corev1.LabelArchStable, or(o.Architectures, "amd64")),
		in(v1.LabelCapacityType, or(o.CapacityTypes, cloudprovider.OnDemand)),
	}
	if o.MaxCPU > 0 {
		requirements = append(requirements, v1.Requirement{
			Key: awsv1.LabelInstanceCPU, Operator: corev1.NodeSelectorOpLt, Values: []string{strconv.Itoa(o.MaxCPU + 1)},
		})
	}
	names, err := region.FirstZones(where)
	if err != nil {
		return nil, fmt.Errorf("listing zones: %w", err)
	}
	options := aws.CatalogOptions{Region: where, VMMemoryOverheadPercent: aws.UsualMemoryOverhead}
	for _, name := range names {
		options.Zones = append(options.Zones, aws.Zone{Name: name})
	}
	m := &Market{Name: name, Pool: pool(requirements...), Daemons: []*appsv1.DaemonSet{daemon()}}
	if m.Catalog, err = aws.BuildCatalog(aws.EmbeddedTypes(), options); err != nil {
		return nil, fmt.Errorf("building the embedded catalog: %w", err)
	}
	if m.Prices, err = pricing.Embedded(where); err != nil {
		return nil, fmt.Errorf("reading embedded prices: %w", err)
	}
	return m.watched(), nil
}

// daemon is what agents for logs, metrics and the network ask for together.
func daemon() *appsv1.DaemonSet {
	return &appsv1.DaemonSet{
		TypeMeta:   metav1.TypeMeta{APIVersion: "apps/v1", Kind: "DaemonSet"},
		ObjectMeta: metav1.ObjectMeta{Namespace: "kube-system", Name: "agents", UID: "daemonset-agents"},
		Spec: appsv1.DaemonSetSpec{Template: corev1.PodTemplateSpec{
			ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"app": "agents"}},
			Spec:       corev1.PodSpec{Containers: []corev1.Container{container(300, 512<<20)}},
		}},
	}
}
