package e2e

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"path"
	"slices"
	"strings"
	"testing"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	v1 "github.com/stowage-sh/stowage/provisioner/v1"
	"github.com/stowage-sh/stowage/test/cluster"
)

// TestMetrics looks at what a running controller serves: it is healthy, ready once
// its watches have caught up, and shows what it did and what there is by Karpenter's
// names. What is gone is shown no more.
func TestMetrics(t *testing.T) {
	stowage := start(t)
	becomesReady(t, stowage)
	t.Run("Scene", func(t *testing.T) {
		s := newScene(t, "metrics", class{})
		s.pool(pool{Types: "m5.large", After: "0s", Limits: "cpu: 100"})
		s.deploy(pods{Name: "web", Count: 3}) // one to a node
		hosts := s.hosts(s.running("web", 3))
		eventually(t, "the NodeClaims are ready", func() error {
			for _, c := range s.claims("") {
				if !v1.IsTrue(c.Status.Conditions, v1.ConditionReady) {
					return fmt.Errorf("NodeClaim %s is not: %v", c.Name, c.Status.Conditions)
				}
			}
			return nil
		})
		eventually(t, "the metrics say what there is", func() error { return scrape(t, stowage).holds(whatThereIs(s, hosts)) })
		onlyDocumented(t, scrape(t, stowage))
		s.deploy(pods{Name: "web"})
		eventually(t, "nothing is left of the scene", s.left)
		eventually(t, "the metrics say what went", func() error { return scrape(t, stowage).holds(whatWent(s, hosts)) })
	})
}

// becomesReady waits until the controller says that it is, and looks that it was not
// before it had seen everything.
func becomesReady(t *testing.T, stowage *cluster.Stowage) {
	t.Helper()
	refusals := 0
	eventually(t, "readyz is ok", func() error {
		code, body, err := get(stowage.HealthURL("readyz"))
		if err == nil && code != http.StatusOK {
			refusals++
			return fmt.Errorf("%d: %s", code, body)
		}
		return err
	})
	t.Logf("readyz refused %d time(s)", refusals)
	if err := scrape(t, stowage).holds([]value{{"karpenter_cluster_state_synced", nil, 1}, {"karpenter_cluster_state_unsynced_time_seconds", nil, 0}}); err != nil {
		t.Errorf("readyz is ok, but %v", err)
	}
	if code, body, err := get(stowage.HealthURL("healthz")); err != nil || code != http.StatusOK {
		t.Errorf("healthz: %d %s %v", code, body, err)
	}
}

// A value is what a metric is to be, with these labels among others. Several series
// with them are added up; a histogram or summary counts its observations.
type value struct {
	metric string
	labels map[string]string
	want   float64
}

// whatThereIs is what is to be seen of a scene of three nodes with a pod each.
func whatThereIs(s *scene, hosts []corev1.Node) []value {
	ofPool, ofScene := map[string]string{"nodepool": s.name}, map[string]string{"namespace": s.name}
	ready := map[string]string{"type": "Ready", "status": "True"}
	with := func(labels map[string]string, more ...string) map[string]string {
		out := maps.Clone(labels)
		for i := 0; i < len(more); i += 2 {
			out[more[i]] = more[i+1]
		}
		return out
	}
	var cpu resource.Quantity
	for i := range hosts {
		cpu.Add(*hosts[i].Status.Allocatable.Cpu())
	}
	offering := map[string]string{"instance_type": "m5.large", "capacity_type": "on-demand", "zone": "us-west-2a"}
	price := scrape(s.T, here.running.Load()).sum("karpenter_cloudprovider_instance_type_offering_price_estimate", offering)
	if price < 0.01 || price > 1 {
		s.Errorf("an hour of m5.large costs $%v", price)
	}
	return []value{
		{"karpenter_build_info", nil, 1},
		{"leader_election_master_status", nil, 1},
		{"karpenter_nodeclaims_created_total", with(ofPool, "reason", "provisioned"), 3},
		{"karpenter_nodes_created_total", ofPool, 3},
		{"karpenter_nodepools_limit", with(ofPool, "resource_type", "cpu"), 100},
		{"karpenter_nodepools_usage", with(ofPool, "resource_type", "nodes"), 3},
		{"karpenter_nodepools_cost_total", ofPool, 3 * price},
		{"karpenter_nodepools_nodes_consuming_budgets", ofPool, 0},
		{"karpenter_nodes_allocatable", with(ofPool, "resource_type", "cpu", "instance_type", "m5.large", "instance_cpu", "2", "managed", "true", "ec2nodeclass", s.name), cpu.AsApproximateFloat64()},
		{"karpenter_nodes_total_pod_requests", with(ofPool, "resource_type", "pods"), 3},
		{"karpenter_nodes_total_pod_requests", with(ofPool, "resource_type", "cpu", "node_name", hosts[0].Name), 1},
		{"karpenter_pods_state", with(ofScene, "phase", "Running", "ready", "true", "scheduled", "true", "nodepool", s.name, "instance_type", "m5.large"), 3},
		{"karpenter_pods_unbound_time_seconds", ofScene, 0},
		{"karpenter_pods_unstarted_time_seconds", ofScene, 0},
		{"karpenter_pods_startup_duration_seconds", nil, 3},
		{"karpenter_pods_bound_duration_seconds", nil, 3},
		{"karpenter_pods_provisioning_bound_duration_seconds", map[string]string{"dynamic_resources": "false"}, 3},
		{"karpenter_pods_provisioning_startup_duration_seconds", nil, 3},
		{"karpenter_pods_scheduling_decision_duration_seconds", nil, 3},
		{"karpenter_scheduler_queue_depth", map[string]string{"controller": "provisioner"}, 0},
		{"karpenter_scheduler_unschedulable_pods_count", nil, 0},
		{"operator_nodeclaim_status_condition_count", with(ready, "karpenter_sh_nodepool", s.name, "karpenter_k8s_aws_ec2nodeclass", s.name), 3},
		{"operator_nodeclaim_status_condition_transition_seconds", with(ready, "status", "Unknown", "to_status", "True", "karpenter_sh_nodepool", s.name), 3},
		{"operator_node_status_condition_count", with(ready, "karpenter_sh_nodepool", s.name, "karpenter_sh_initialized", "true"), 3},
		{"operator_nodepool_status_condition_count", with(ready, "name", s.name), 1},
		{"operator_ec2nodeclass_status_condition_count", with(ready, "name", s.name), 1},
		{"karpenter_cloudprovider_instance_type_offering_available", offering, 1},
		{"karpenter_cloudprovider_instance_type_cpu_cores", map[string]string{"instance_type": "m5.large"}, 2},
		{"karpenter_cloudprovider_instance_type_memory_bytes", map[string]string{"instance_type": "m5.large"}, 8 << 30},
		{"karpenter_cloudprovider_duration_seconds", map[string]string{"controller": "nodeclaim.lifecycle", "method": "Create", "provider": "aws"}, 3},
	}
}

// whatWent is what is to be seen after the three nodes have gone for being empty.
func whatWent(s *scene, hosts []corev1.Node) []value {
	ofPool := map[string]string{"nodepool": s.name}
	return []value{
		{"karpenter_nodeclaims_disrupted_total", map[string]string{"nodepool": s.name, "reason": "empty", "consolidation_policy": "when_empty_or_underutilized", "termination_mode": "graceful"}, 3},
		{"karpenter_voluntary_disruption_decisions_total", map[string]string{"decision": "delete", "reason": "empty", "consolidation_type": "empty"}, 3},
		{"karpenter_nodeclaims_terminated_total", ofPool, 3},
		{"karpenter_nodes_terminated_total", ofPool, 3},
		{"karpenter_nodes_termination_duration_seconds", ofPool, 3},
		{"karpenter_pods_disruption_initiated_total", ofPool, 0},
		{"operator_nodeclaim_termination_duration_seconds", map[string]string{"karpenter_sh_nodepool": s.name}, 3},
		{"operator_node_termination_duration_seconds", map[string]string{"karpenter_sh_nodepool": s.name}, 3},
		{"karpenter_nodes_allocatable", map[string]string{"node_name": hosts[0].Name}, 0},
		{"karpenter_nodes_current_lifetime_seconds", ofPool, 0},
		{"karpenter_pods_state", map[string]string{"namespace": s.name}, 0},
		{"operator_nodeclaim_status_condition_count", map[string]string{"karpenter_sh_nodepool": s.name}, 0},
		{"karpenter_nodepools_cost_total", ofPool, 0},
		{"karpenter_nodepools_limit", ofPool, 100}, // the NodePool is still there
	}
}

// onlyDocumented asserts that every family is one that docs/metrics.md names, or one
// of the libraries that it names.
func onlyDocumented(t *testing.T, m measures) {
	t.Helper()
	text, err := os.ReadFile("../../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	var libraries []string
	for word := range strings.FieldsSeq(string(text)) {
		if word = strings.Trim(word, "`,."); strings.HasSuffix(word, "_*") && !strings.HasPrefix(word, "karpenter") && !strings.HasPrefix(word, "operator") {
			libraries = append(libraries, word)
		}
	}
	for name := range m {
		ofLibrary := slices.ContainsFunc(libraries, func(pattern string) bool { ok, err := path.Match(pattern, name); return ok && err == nil })
		if !ofLibrary && !strings.Contains(string(text), "| `"+name+"` |") {
			t.Errorf("%s is served, and docs/metrics.md does not say so", name)
		}
	}
}

// measures are what a controller shows, by name.
type measures map[string]*dto.MetricFamily

// scrape reads the metrics as Prometheus would.
func scrape(t *testing.T, stowage *cluster.Stowage) measures {
	t.Helper()
	code, body, err := get(stowage.MetricsURL())
	if err != nil || code != http.StatusOK {
		t.Fatalf("scraping: %d %v\n%s", code, err, body)
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	return families
}

// holds says which values are not as they should be.
func (m measures) holds(values []value) error {
	var wrong []error
	for _, v := range values {
		if got := m.sum(v.metric, v.labels); got < v.want-1e-9 || got > v.want+1e-9 {
			wrong = append(wrong, fmt.Errorf("%s%v is %v, want %v", v.metric, v.labels, got, v.want))
		}
	}
	return errors.Join(wrong...)
}

// sum adds up the series of a metric that have the labels.
func (m measures) sum(name string, labels map[string]string) float64 {
	sum := 0.0
	for _, series := range m[name].GetMetric() {
		has := map[string]string{}
		for _, l := range series.Label {
			has[l.GetName()] = l.GetValue()
		}
		matches := true
		for k, v := range labels {
			matches = matches && has[k] == v
		}
		if matches {
			sum += series.GetGauge().GetValue() + series.GetCounter().GetValue() +
				float64(series.GetHistogram().GetSampleCount()+series.GetSummary().GetSampleCount())
		}
	}
	return sum
}

// get fetches a page.
func get(url string) (code int, body string, err error) {
	answer, err := http.Get(url)
	if err != nil {
		return 0, "", err
	}
	defer answer.Body.Close()
	all, err := io.ReadAll(answer.Body)
	return answer.StatusCode, string(all), err
}
