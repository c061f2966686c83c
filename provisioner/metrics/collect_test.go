package metrics_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/ec2"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/stowage-sh/stowage/cloudprovider"
	"github.com/stowage-sh/stowage/pricing"
	"github.com/stowage-sh/stowage/provisioner/metrics"
	v1 "github.com/stowage-sh/stowage/provisioner/v1"
)

func TestNodes(t *testing.T) {
	r := newRig(t)
	ours := node("n1", map[string]string{
		v1.LabelNodePool: "web", corev1.LabelTopologyZone: "r-a", corev1.LabelArchStable: "arm64", v1.LabelCapacityType: "spot",
		"cloud.example/instance-cpu": "2", "disks.example/zone": "another", "beta.kubernetes.io/os": "not-well-known",
	})
	ours.Status.Capacity = list("cpu", "2", "memory", "8Gi", "pods", "20", "ephemeral-storage", "10Gi")
	ours.Status.Allocatable = list("cpu", "1900m", "memory", "7Gi", "pods", "20", "ephemeral-storage", "10Gi")
	theirs := node("n2", map[string]string{"disks.example/zone": "only-there"})
	theirs.Status.Allocatable, theirs.Status.Phase = list("cpu", "1", "example.com/a-b", "1", "example.com/a_b", "2"), corev1.NodeRunning
	r.see(ours, theirs, claim("n1", "web"),
		pod("web", on("n1", 0), asks(list("cpu", "250m", "memory", "1Gi"), list("memory", "2Gi"))),
		pod("agent", on("n1", 0), asks(list("cpu", "100m"), list("cpu", "500m")), ownedBy("apps/v1", "DaemonSet", "agent")),
		pod("ended", on("n1", 0), asks(list("cpu", "1"), nil), func(p *corev1.Pod) { p.Status.Phase = corev1.PodSucceeded }),
		pod("homeless", asks(list("cpu", "1"), nil)))
	const n1 = `arch="arm64",capacity_type="spot",instance_cpu="2",managed="true",node_name="n1",nodepool="web"`
	want := func(metric, resource string, value any) string {
		return fmt.Sprintf("%s{%s,resource_type=%q,zone=\"r-a\"} %v\n", metric, n1, resource, value)
	}
	r.shows(want("karpenter_nodes_allocatable", "cpu", 1.9)+
		want("karpenter_nodes_allocatable", "ephemeral_storage", "1.073741824e+10")+
		want("karpenter_nodes_allocatable", "memory", "7.516192768e+09")+
		want("karpenter_nodes_allocatable", "pods", 20)+`
		karpenter_nodes_allocatable{managed="false",node_name="n2",phase="Running",resource_type="cpu",zone="only-there"} 1
		karpenter_nodes_allocatable{managed="false",node_name="n2",phase="Running",resource_type="example.com/a_b",zone="only-there"} 3
		karpenter_nodes_current_lifetime_seconds{`+n1+`,zone="r-a"} 3600
		karpenter_nodes_current_lifetime_seconds{managed="false",node_name="n2",phase="Running",zone="only-there"} 3600
		`+want("karpenter_nodes_system_overhead", "cpu", 0.1)+
		want("karpenter_nodes_system_overhead", "ephemeral_storage", 0)+
		want("karpenter_nodes_system_overhead", "memory", "1.073741824e+09")+
		want("karpenter_nodes_system_overhead", "pods", 0)+
		want("karpenter_nodes_total_daemon_limits", "cpu", 0.5)+
		want("karpenter_nodes_total_daemon_limits", "pods", 1)+
		want("karpenter_nodes_total_daemon_requests", "cpu", 0.1)+
		want("karpenter_nodes_total_daemon_requests", "pods", 1)+
		want("karpenter_nodes_total_pod_limits", "cpu", 0.5)+
		want("karpenter_nodes_total_pod_limits", "memory", "2.147483648e+09")+
		want("karpenter_nodes_total_pod_limits", "pods", 2)+
		want("karpenter_nodes_total_pod_requests", "cpu", 0.35)+
		want("karpenter_nodes_total_pod_requests", "memory", "1.073741824e+09")+
		want("karpenter_nodes_total_pod_requests", "pods", 2), "karpenter_nodes_")
	r.shows(`
		karpenter_cluster_utilization_percent{resource_type="cpu"} 12.068965517241379
		karpenter_cluster_utilization_percent{resource_type="ephemeral_storage"} 0
		karpenter_cluster_utilization_percent{resource_type="example.com/a_b"} 0
		karpenter_cluster_utilization_percent{resource_type="memory"} 14.285714285714286
		karpenter_cluster_utilization_percent{resource_type="pods"} 10`, "karpenter_cluster_")
	// A pod that changes in place counts as it is then; one that goes counts no more.
	r.see(pod("web", on("n1", 0), asks(list("cpu", "500m"), nil)))
	r.gone(pod("agent"))
	r.shows(want("karpenter_nodes_total_pod_requests", "cpu", 0.5)+want("karpenter_nodes_total_pod_requests", "pods", 1), "karpenter_nodes_total_pod_requests")
	r.gone(ours)
	if got := r.scrape("karpenter_nodes_", "karpenter_cluster_utilization"); strings.Contains(got, "n1") {
		t.Errorf("the node is gone:\n%s", got)
	}
}

func TestPods(t *testing.T) {
	r := newRig(t)
	r.see(node("n1", map[string]string{v1.LabelNodePool: "web", corev1.LabelTopologyZone: "r-a", corev1.LabelArchStable: "arm64",
		v1.LabelCapacityType: "spot", corev1.LabelInstanceTypeStable: "large"}))
	restarted := pod("restarted", on("n1", time.Second), func(p *corev1.Pod) { p.Status.Phase = corev1.PodRunning })
	r.see(
		pod("runs", on("n1", time.Second), ready(2*time.Second), ownedBy("apps/v1", "ReplicaSet", "web-1")),
		pod("waits", func(p *corev1.Pod) { p.Spec.ResourceClaims = []corev1.PodResourceClaim{{Name: "gpu"}} }),
		pod("starts", on("n1", 0)),
		pod("ended", on("elsewhere", 0), func(p *corev1.Pod) { p.Status.Phase = corev1.PodFailed }),
		restarted) // it was ready before this process began, for all that is known
	r.now = noon.Add(time.Minute)
	const host = `arch="arm64",capacity_type="spot",instance_type="large",managed="true"`
	r.shows(`
		karpenter_pods_state{managed="false",name="ended",namespace="default",node="elsewhere",phase="Failed",ready="false",scheduled="true"} 1
		karpenter_pods_state{`+host+`,name="restarted",namespace="default",node="n1",nodepool="web",phase="Running",ready="false",scheduled="true",zone="r-a"} 1
		karpenter_pods_state{`+host+`,name="runs",namespace="default",node="n1",nodepool="web",owner="/apis/apps/v1/namespaces/default/replicasets/web-1",phase="Running",ready="true",scheduled="true",zone="r-a"} 1
		karpenter_pods_state{`+host+`,name="starts",namespace="default",node="n1",nodepool="web",phase="Pending",ready="false",scheduled="true",zone="r-a"} 1
		karpenter_pods_state{managed="false",name="waits",namespace="default",phase="Pending",ready="false",scheduled="false"} 1
		karpenter_pods_unbound_time_seconds{dynamic_resources="true",name="waits",namespace="default"} 60
		karpenter_pods_unstarted_time_seconds{name="starts",namespace="default"} 60
		karpenter_pods_unstarted_time_seconds{name="waits",namespace="default"} 60`, "karpenter_pods_state", "karpenter_pods_un")
}

func TestNodePools(t *testing.T) {
	r := newRig(t)
	web := nodePool("web")
	web.Spec.Limits = list("cpu", "100", "nodes", "5")
	web.Spec.Disruption.Budgets = []v1.Budget{{Nodes: "50%"}, {Nodes: "1", Reasons: []v1.DisruptionReason{v1.ReasonDrifted}}}
	web.Status.Resources = list("cpu", "4", "memory", "16Gi", "nodes", "4")
	r.see(web, nodePool("idle"))
	bought := func(name, capacityType string, initialized bool) {
		c := claim(name, "web")
		c.Labels[corev1.LabelInstanceTypeStable], c.Labels[corev1.LabelTopologyZone], c.Labels[v1.LabelCapacityType] = "large", "r-a", capacityType
		n := node(name, nil)
		if initialized {
			set(&c.Status.Conditions, v1.ConditionInitialized, metav1.ConditionTrue, 0)
			n.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}}
		}
		r.see(c, n)
	}
	bought("a", cloudprovider.Spot, true)
	bought("b", cloudprovider.OnDemand, true)
	bought("c", cloudprovider.OnDemand, true)
	bought("d", "barter", false) // of no known price
	r.see(node("c", nil))        // not ready any more
	r.shows(`
		karpenter_nodepools_allowed_disruptions{nodepool="idle",reason="drifted"} 0
		karpenter_nodepools_allowed_disruptions{nodepool="idle",reason="empty"} 0
		karpenter_nodepools_allowed_disruptions{nodepool="idle",reason="underutilized"} 0
		karpenter_nodepools_allowed_disruptions{nodepool="web",reason="drifted"} 1
		karpenter_nodepools_allowed_disruptions{nodepool="web",reason="empty"} 2
		karpenter_nodepools_allowed_disruptions{nodepool="web",reason="underutilized"} 2
		karpenter_nodepools_cost_total{nodepool="idle"} 0
		karpenter_nodepools_cost_total{nodepool="web"} 0.22325
		karpenter_nodepools_limit{nodepool="web",resource_type="cpu"} 100
		karpenter_nodepools_limit{nodepool="web",resource_type="nodes"} 5
		karpenter_nodepools_nodes_consuming_budgets{nodepool="idle",reason="drifted"} 0
		karpenter_nodepools_nodes_consuming_budgets{nodepool="idle",reason="empty"} 0
		karpenter_nodepools_nodes_consuming_budgets{nodepool="idle",reason="underutilized"} 0
		karpenter_nodepools_nodes_consuming_budgets{nodepool="web",reason="drifted"} 1
		karpenter_nodepools_nodes_consuming_budgets{nodepool="web",reason="empty"} 1
		karpenter_nodepools_nodes_consuming_budgets{nodepool="web",reason="underutilized"} 1
		karpenter_nodepools_usage{nodepool="web",resource_type="cpu"} 4
		karpenter_nodepools_usage{nodepool="web",resource_type="memory"} 1.7179869184e+10
		karpenter_nodepools_usage{nodepool="web",resource_type="nodes"} 4`, "karpenter_nodepools_")
	r.gone(web)
	if got := r.scrape("karpenter_nodepools_"); strings.Contains(got, "web") {
		t.Errorf("the NodePool is gone:\n%s", got)
	}
}

func TestConditions(t *testing.T) {
	r := newRig(t)
	c := claim("a", "web")
	set(&c.Status.Conditions, v1.ConditionLaunched, metav1.ConditionTrue, 0)
	// A list that says one thing twice must not cost the scrape.
	c.Status.Conditions = append(c.Status.Conditions, c.Status.Conditions[0])
	n := node("a", map[string]string{v1.LabelNodePool: "web", v1.LabelInitialized: "true"})
	n.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionFalse, Reason: "KubeletNotReady", LastTransitionTime: metav1.NewTime(noon)}}
	deleted := metav1.NewTime(noon.Add(50 * time.Second))
	n.DeletionTimestamp = &deleted
	pool := nodePool("web")
	set(&pool.Status.Conditions, v1.ConditionReady, metav1.ConditionUnknown, time.Hour) // by a server whose clock is ahead
	nodeClass := &class{ObjectMeta: metav1.ObjectMeta{Name: "default", UID: "class"}}
	set(&nodeClass.conditions, "SubnetsReady", metav1.ConditionTrue, 30*time.Second)
	r.see(c, n, pool, nodeClass)
	r.now = noon.Add(time.Minute)
	const ofClaim = `cloud_example_testnodeclass="default",karpenter_sh_nodepool="web",name="a"`
	const ofNode = `karpenter_sh_initialized="true",karpenter_sh_nodepool="web",name="a"`
	r.shows(`
		operator_node_status_condition_count{`+ofNode+`,reason="KubeletNotReady",status="False",type="Ready"} 1
		operator_node_status_condition_current_status_seconds{`+ofNode+`,reason="KubeletNotReady",status="False",type="Ready"} 60
		operator_node_termination_current_time_seconds{`+ofNode+`} 10
		operator_nodeclaim_status_condition_count{`+ofClaim+`,reason="Launched",status="True",type="Launched"} 1
		operator_nodeclaim_status_condition_current_status_seconds{`+ofClaim+`,reason="Launched",status="True",type="Launched"} 60
		operator_nodepool_status_condition_count{name="web",reason="Ready",status="Unknown",type="Ready"} 1
		operator_nodepool_status_condition_current_status_seconds{name="web",reason="Ready",status="Unknown",type="Ready"} 0
		operator_testnodeclass_status_condition_count{name="default",reason="SubnetsReady",status="True",type="SubnetsReady"} 1
		operator_testnodeclass_status_condition_current_status_seconds{name="default",reason="SubnetsReady",status="True",type="SubnetsReady"} 30`, "operator_")
}

// TestWhoeverWaitsForTheLeaseShowsNothing of the cluster, and tells of nothing that
// happened meanwhile.
func TestWhoeverWaitsForTheLeaseShowsNothing(t *testing.T) {
	r := newRig(t)
	r.leading = false
	c := claim("a", "web")
	r.see(node("a", nil), nodePool("web"), c, pod("p"), pod("q"))
	set(&c.Status.Conditions, v1.ConditionLaunched, metav1.ConditionTrue, 0)
	r.see(c, pod("p", on("a", time.Second), ready(time.Second)))
	r.shows(`
		karpenter_pods_provisioning_startup_duration_seconds_sum 0
		karpenter_pods_provisioning_startup_duration_seconds_count 0
		karpenter_pods_scheduling_decision_duration_seconds_sum 0
		karpenter_pods_scheduling_decision_duration_seconds_count 0
		karpenter_pods_startup_duration_seconds_sum 0
		karpenter_pods_startup_duration_seconds_count 0`, "karpenter_", "operator_")
	// Once it leads it knows what it saw before.
	r.leading = true
	r.see(pod("q", on("a", 3*time.Second)))
	r.shows(`karpenter_pods_bound_duration_seconds_sum{dynamic_resources="false"} 3
		karpenter_pods_bound_duration_seconds_count{dynamic_resources="false"} 1`, "karpenter_pods_bound")
	if got := r.scrape("karpenter_pods_state"); strings.Count(got, "\n") != 1 {
		t.Errorf("of two pods it shows\n%s", got)
	}
}

func TestOfferings(t *testing.T) {
	offering := func(zone, capacityType string) cloudprovider.Offering {
		return cloudprovider.Offering{InstanceType: "large", Zone: zone, CapacityType: capacityType}
	}
	catalog := func(offerings ...cloudprovider.Offering) *cloudprovider.Catalog {
		return &cloudprovider.Catalog{InstanceTypes: []cloudprovider.InstanceType{{
			Name: "large", Capacity: cloudprovider.Resources{cloudprovider.CPU: 1900}, Offerings: offerings,
		}}}
	}
	catalogs := map[string]*cloudprovider.Catalog{
		"one": catalog(offering("r-a", "spot"), offering("r-b", "spot")),
		"two": catalog(offering("r-b", "spot"), offering("r-b", "on-demand"), offering("r-c", "spot")),
	}
	// Of two reservations of one kind one is used up; of another kind the only one is refused.
	reserved := func(zone, name string, left int64) {
		o := offering(zone, "reserved")
		o.Reservation = name
		c := catalogs["one"]
		c.InstanceTypes[0].Offerings = append(c.InstanceTypes[0].Offerings, o)
		c.Reservations[name] = cloudprovider.Reservation{Offering: o, Left: left}
	}
	catalogs["one"].Reservations = map[string]cloudprovider.Reservation{}
	reserved("r-a", "cr-1", 0)
	reserved("r-a", "cr-2", 1)
	reserved("r-b", "cr-3", 1)
	reserved("r-c", "cr-4", 0)
	r := newRig(t)
	availability := &cloudprovider.Availability{}
	r.MustRegister(metrics.NewOfferings(metrics.OfferingSources{
		State: r.cluster, Availability: availability,
		Now: func() time.Time { return r.now }, Leading: func() bool { return r.leading },
		Memory: func(t *cloudprovider.InstanceType) int64 { return 4 << 30 },
		Prices: pricing.NewBook(pricing.NewTable("r", "the test", map[cloudprovider.Offering]pricing.MicroUSD{
			offering("r-a", "spot"): 30_000, offering("r-b", "spot"): 40_000, offering("", "on-demand"): 96_000,
		})),
		Catalog: func(_ context.Context, ref cloudprovider.NodeClassRef) (*cloudprovider.Catalog, error) {
			if c, ok := catalogs[ref.Name]; ok {
				return c, nil
			}
			return nil, &cloudprovider.NotReadyError{Class: ref, Reason: "the test"}
		},
	}))
	for _, name := range []string{"one", "two", "unready"} {
		r.see(&class{ObjectMeta: metav1.ObjectMeta{Name: name, UID: types.UID("class-" + name)}})
	}
	availability.Mark(r.now, offering("r-a", "spot"), catalogs["one"].Reservations["cr-3"].Offering)
	r.now = r.now.Add(30 * time.Second)
	r.shows(`
		karpenter_cloudprovider_instance_type_cpu_cores{instance_type="large"} 1.9
		karpenter_cloudprovider_instance_type_memory_bytes{instance_type="large"} 4.294967296e+09
		karpenter_cloudprovider_instance_type_offering_available{capacity_type="on-demand",instance_type="large",zone="r-b"} 1
		karpenter_cloudprovider_instance_type_offering_available{capacity_type="reserved",instance_type="large",zone="r-a"} 1
		karpenter_cloudprovider_instance_type_offering_available{capacity_type="reserved",instance_type="large",zone="r-b"} 0
		karpenter_cloudprovider_instance_type_offering_available{capacity_type="reserved",instance_type="large",zone="r-c"} 0
		karpenter_cloudprovider_instance_type_offering_available{capacity_type="spot",instance_type="large",zone="r-a"} 0
		karpenter_cloudprovider_instance_type_offering_available{capacity_type="spot",instance_type="large",zone="r-b"} 1
		karpenter_cloudprovider_instance_type_offering_available{capacity_type="spot",instance_type="large",zone="r-c"} 0
		karpenter_cloudprovider_instance_type_offering_price_estimate{capacity_type="on-demand",instance_type="large",zone="r-b"} 0.096
		karpenter_cloudprovider_instance_type_offering_price_estimate{capacity_type="reserved",instance_type="large",zone="r-a"} 0
		karpenter_cloudprovider_instance_type_offering_price_estimate{capacity_type="reserved",instance_type="large",zone="r-b"} 0
		karpenter_cloudprovider_instance_type_offering_price_estimate{capacity_type="reserved",instance_type="large",zone="r-c"} 0
		karpenter_cloudprovider_instance_type_offering_price_estimate{capacity_type="spot",instance_type="large",zone="r-a"} 0.03
		karpenter_cloudprovider_instance_type_offering_price_estimate{capacity_type="spot",instance_type="large",zone="r-b"} 0.04`, "karpenter_cloudprovider_")
	r.now = r.now.Add(10 * time.Minute)
	if got := r.scrape("karpenter_cloudprovider_instance_type_offering_available"); !strings.Contains(got, `zone="r-a"} 1`) {
		t.Errorf("the offering is still out:\n%s", got)
	}
	r.leading = false
	r.shows("", "karpenter_cloudprovider_")
}

// spotPrices is a source of one price.
type spotPrices struct{}

func (spotPrices) Name() string { return "prices of the test" }
func (spotPrices) Fetch(context.Context) (*pricing.Table, error) {
	return pricing.NewTable("r", "the test", map[cloudprovider.Offering]pricing.MicroUSD{{InstanceType: "large", CapacityType: "spot"}: 1}), nil
}

// offer registers what an EC2NodeClass that all of a catalog is for shows, at the prices of a book.
func (r *rig) offer(catalog *cloudprovider.Catalog, book *pricing.Book) {
	r.MustRegister(metrics.NewOfferings(metrics.OfferingSources{
		State: r.cluster, Prices: book, Availability: &cloudprovider.Availability{}, Memory: func(*cloudprovider.InstanceType) int64 { return 1 },
		Now: func() time.Time { return r.now }, Leading: func() bool { return true },
		Catalog: func(context.Context, cloudprovider.NodeClassRef) (*cloudprovider.Catalog, error) { return catalog, nil },
	}))
	r.see(&class{ObjectMeta: metav1.ObjectMeta{Name: "one", UID: "class-one"}})
}

// TestCommitmentsAge: the age is since the last time that commitments were read, and there is none where they never were. Windows has
// ages, and prices, of its own.
func TestCommitmentsAge(t *testing.T) {
	r := newRig(t)
	offering := cloudprovider.Offering{InstanceType: "large", Zone: "r-a", CapacityType: "spot"}
	windows := &cloudprovider.Catalog{InstanceTypes: []cloudprovider.InstanceType{{Name: "large", Labels: map[string]string{corev1.LabelOSStable: "windows"}, Offerings: []cloudprovider.Offering{offering}}}}
	book := pricing.NewBook(pricing.NewTable("r", "a file", map[cloudprovider.Offering]pricing.MicroUSD{offering: 2_000_000}).
		WithSystem(pricing.Windows, pricing.NewTable("r", "a file", map[cloudprovider.Offering]pricing.MicroUSD{offering: 3_000_000})))
	r.offer(windows, book)
	r.shows("", "stowage_commitments_")
	r.shows(`stowage_windows_offering_price_estimate{capacity_type="spot",instance_type="large",zone="r-a"} 3`, "stowage_windows_")
	book.Commit(nil, r.now)
	r.now = r.now.Add(time.Hour)
	r.shows(`stowage_commitments_age_seconds 3600`, "stowage_commitments_")
	book.Commit(nil, r.now)
	r.shows(`stowage_commitments_age_seconds 0`, "stowage_commitments_")
}

// TestPricesAge: what was fetched has an age, which grows until the next time; what is from a file has none.
func TestPricesAge(t *testing.T) {
	r := newRig(t)
	book := pricing.NewBook(pricing.NewTable("r", "a file", map[cloudprovider.Offering]pricing.MicroUSD{{InstanceType: "large", CapacityType: "on-demand"}: 2}), spotPrices{})
	r.MustRegister(metrics.NewOfferings(metrics.OfferingSources{
		State: r.cluster, Prices: book, Now: func() time.Time { return r.now }, Leading: func() bool { return true },
	}))
	r.shows("", "stowage_prices_")
	for range 2 {
		if err := book.Refresh(t.Context(), r.now); err != nil {
			t.Fatal(err)
		}
		r.now = r.now.Add(time.Hour)
		r.shows(`stowage_prices_age_seconds{capacity_type="spot",os="linux"} 3600`, "stowage_prices_")
	}
}

// spotHistory answers with two prices, each of which held for half of a window of two hours that ends at its time.
type spotHistory time.Time

func (h spotHistory) DescribeSpotPriceHistory(context.Context, *ec2.DescribeSpotPriceHistoryInput, ...func(*ec2.Options)) (*ec2.DescribeSpotPriceHistoryOutput, error) {
	at := func(price string, age time.Duration) ec2types.SpotPrice {
		return ec2types.SpotPrice{InstanceType: "large", AvailabilityZone: new("r-a"), SpotPrice: &price, Timestamp: new(time.Time(h).Add(-age))}
	}
	return &ec2.DescribeSpotPriceHistoryOutput{SpotPriceHistory: []ec2types.SpotPrice{at("0.02", 2*time.Hour), at("0.04", time.Hour)}}, nil
}

// TestSpotPriceDeviation: it is shown beside the price that decisions go by, which is so many of them above the mean, and not
// of what has no history.
func TestSpotPriceDeviation(t *testing.T) {
	r := newRig(t)
	offerings := []cloudprovider.Offering{{InstanceType: "large", Zone: "r-a", CapacityType: "spot"}, {InstanceType: "large", Zone: "r-b", CapacityType: "spot"}}
	prices := map[cloudprovider.Offering]pricing.MicroUSD{offerings[0]: 1}
	book := pricing.NewBook(pricing.NewTable("r", "a file", prices), pricing.Spot{
		Client: spotHistory(r.now), Window: 2 * time.Hour, Deviations: 1.5, Now: func() time.Time { return r.now },
	})
	catalog := &cloudprovider.Catalog{InstanceTypes: []cloudprovider.InstanceType{{Name: "large", Offerings: offerings}}}
	r.offer(catalog, book)
	r.shows("", "stowage_spot_")
	if err := book.Refresh(t.Context(), r.now); err != nil {
		t.Fatal(err)
	}
	r.shows(`stowage_spot_price_deviation{capacity_type="spot",instance_type="large",zone="r-a"} 0.01`, "stowage_spot_")
	const price = "karpenter_cloudprovider_instance_type_offering_price_estimate"
	r.shows(price+`{capacity_type="spot",instance_type="large",zone="r-a"} 0.045`, price)
}
