package metrics_test

import (
	"fmt"
	"io"
	"strconv"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/expfmt"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/stowage-sh/stowage/cloudprovider"
	"github.com/stowage-sh/stowage/pricing"
	"github.com/stowage-sh/stowage/provisioner/metrics"
	"github.com/stowage-sh/stowage/provisioner/state"
	v1 "github.com/stowage-sh/stowage/provisioner/v1"
)

// large is a cluster with as many labels on its nodes as EC2 has.
func large(nodes, podsEach int) (*state.Cluster, metrics.Vocabulary) {
	words := metrics.Vocabulary{ClassKind: "TestNodeClass", ClassLabel: "cloud.example/testnodeclass"}
	common := map[string]string{
		v1.LabelNodePool: "general-purpose", v1.LabelCapacityType: "on-demand", v1.LabelInitialized: "true", corev1.LabelArchStable: "amd64", corev1.LabelOSStable: "linux",
		corev1.LabelTopologyRegion: "us-west-2", corev1.LabelTopologyZone: "us-west-2a", corev1.LabelInstanceTypeStable: "m5.4xlarge", words.ClassLabel: "default",
	}
	for i := range 30 {
		key := fmt.Sprintf("cloud.example/instance-property-%02d", i)
		words.NodeLabels = append(words.NodeLabels, key)
		if i%3 != 0 { // no GPU, no accelerator, no reservation
			common[key] = "value-" + strconv.Itoa(i)
		}
	}
	c := state.New()
	pool := nodePool("general-purpose")
	pool.Spec.Disruption.Budgets = []v1.Budget{{Nodes: "10%"}}
	c.Observe(pool)
	resources := list("cpu", "15890m", "memory", "60Gi", "pods", "234", "ephemeral-storage", "100Gi", "hugepages-1Gi", "0", "hugepages-2Mi", "0")
	for i := range nodes {
		name := "ip-10-0-" + strconv.Itoa(i) + ".us-west-2.compute.internal"
		n := node(name, common)
		n.Status.Capacity, n.Status.Allocatable = resources, resources
		for _, kind := range []corev1.NodeConditionType{corev1.NodeReady, corev1.NodeMemoryPressure, corev1.NodeDiskPressure, corev1.NodePIDPressure} {
			n.Status.Conditions = append(n.Status.Conditions, corev1.NodeCondition{Type: kind, Status: corev1.ConditionTrue, LastTransitionTime: metav1.NewTime(noon)})
		}
		cl := claim(name, "general-purpose")
		for _, kind := range []string{v1.ConditionLaunched, v1.ConditionRegistered, v1.ConditionInitialized, v1.ConditionReady, v1.ConditionConsolidatable} {
			set(&cl.Status.Conditions, kind, metav1.ConditionTrue, 0)
		}
		c.Observe(n)
		c.Observe(cl)
		for j := range podsEach {
			p := pod(fmt.Sprintf("web-5d9c7b6f4-%d-%d", i, j), on(name, 0), ready(0), ownedBy("apps/v1", "ReplicaSet", "web-5d9c7b6f4"),
				asks(list("cpu", "250m", "memory", "512Mi"), list("memory", "512Mi")))
			if j == 0 {
				ownedBy("apps/v1", "DaemonSet", "agent")(p)
			}
			c.Observe(p)
		}
	}
	return c, words
}

// BenchmarkScrape is one scrape of 5,000 nodes and 50,000 pods, of which a pod has
// changed since the last: what it takes to gather the series and to write them.
func BenchmarkScrape(b *testing.B) {
	cluster, words := large(5000, 10)
	yes, clock := func() bool { return true }, func() time.Time { return noon.Add(time.Hour) }
	registry := prometheus.NewRegistry()
	observer, err := metrics.NewObserver(registry, clock, yes, words)
	if err != nil {
		b.Fatal(err)
	}
	registry.MustRegister(metrics.NewCluster(metrics.Sources{
		State: cluster, Observer: observer, Now: clock, Leading: yes, Vocabulary: words,
		Prices: pricing.NewBook(pricing.NewTable("r", "the benchmark", map[cloudprovider.Offering]pricing.MicroUSD{})),
	}))
	version := 0
	for _, part := range []struct {
		name  string
		write bool
	}{{"gather", false}, {"gather+write", true}} {
		b.Run(part.name, func(b *testing.B) {
			b.ReportAllocs()
			series, bytes := 0, 0
			for b.Loop() {
				version++
				p := pod("changes")
				p.ResourceVersion = strconv.Itoa(version)
				cluster.Observe(p)
				families, err := registry.Gather()
				if err != nil {
					b.Fatal(err)
				}
				series, bytes = 0, 0
				for _, f := range families {
					series += len(f.Metric)
					if part.write {
						n, err := expfmt.MetricFamilyToText(io.Discard, f)
						if err != nil {
							b.Fatal(err)
						}
						bytes += n
					}
				}
			}
			b.ReportMetric(float64(series), "series")
			if part.write {
				b.ReportMetric(float64(bytes)/1e6, "MB")
			}
		})
	}
}
