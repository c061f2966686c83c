package main

import (
	"cmp"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/stowage-sh/stowage/provisioner/metrics"
	"github.com/stowage-sh/stowage/provisioner/state"
)

// A documented metric is what there is to say of one.
type documented struct {
	name, kind, help string
	labels           []string
}

// A catalogue notes what is registered.
type catalogue struct {
	prometheus.Registerer
	metrics []documented
}

// described reads what a prometheus.Desc says of itself.
var described = regexp.MustCompile(`^Desc\{fqName: "([^"]*)", help: ("(?:[^"\\]|\\.)*"), unit: "[^"]*", constLabels: \{(.*)\}, variableLabels: \{(.*)\}\}$`)

func (c *catalogue) Register(collector prometheus.Collector) error {
	if err := c.Registerer.Register(collector); err != nil {
		return err
	}
	descs := make(chan *prometheus.Desc)
	go func() {
		collector.Describe(descs)
		close(descs)
	}()
	for d := range descs {
		m := described.FindStringSubmatch(d.String())
		if m == nil {
			return fmt.Errorf("this describes a metric in another form: %s", d)
		}
		var help string
		if _, err := fmt.Sscanf(m[2], "%q", &help); err != nil {
			return err
		}
		labels := strings.FieldsFunc(m[4], func(r rune) bool { return r == ',' })
		for pair := range strings.FieldsFuncSeq(m[3], func(r rune) bool { return r == ',' }) {
			name, _, _ := strings.Cut(pair, "=")
			labels = append(labels, name)
		}
		c.metrics = append(c.metrics, documented{m[1], metricKind(collector), help, labels})
	}
	return nil
}

// metricKind says what a collector counts in.
func metricKind(c prometheus.Collector) string {
	switch c.(type) {
	case *prometheus.CounterVec:
		return "counter"
	case *prometheus.HistogramVec:
		return "histogram"
	case *prometheus.SummaryVec:
		return "summary"
	case *prometheus.GaugeVec, *metrics.Cluster, *metrics.Offerings:
		return "gauge"
	}
	// One that stands alone says it itself.
	only := make(chan prometheus.Metric, 1)
	c.Collect(only)
	var m dto.Metric
	if err := (<-only).Write(&m); err != nil {
		return err.Error()
	}
	switch {
	case m.Summary != nil:
		return "summary"
	case m.Histogram != nil:
		return "histogram"
	case m.Counter != nil:
		return "counter"
	}
	return "gauge"
}

// table writes metrics as Markdown, by name. The many labels of nodes are written
// down once.
func table(all []documented) string {
	var b strings.Builder
	var ofNodes []string
	for _, m := range all {
		if m.name == "karpenter_nodes_current_lifetime_seconds" {
			ofNodes = slices.Sorted(slices.Values(m.labels))
		}
	}
	fmt.Fprintf(&b, "*Labels of nodes* are `%s`.\n\n| metric | kind | labels | meaning |\n|---|---|---|---|\n", strings.Join(ofNodes, "`, `"))
	for _, m := range all {
		var labels []string
		if slices.Contains(m.labels, "node_name") {
			m.labels = slices.DeleteFunc(slices.Clone(m.labels), func(l string) bool { return slices.Contains(ofNodes, l) })
			labels = append(labels, "*labels of nodes*")
		}
		for _, l := range m.labels {
			labels = append(labels, "`"+l+"`")
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", m.name, m.kind, strings.Join(labels, " "), m.help)
	}
	return b.String()
}

// ours lists every metric that the process registers itself.
func ours(t *testing.T) []documented {
	t.Helper()
	c := &catalogue{Registerer: prometheus.NewPedanticRegistry()}
	_, err := newInstruments(c, subject{cluster: state.New(), synced: func() bool { return true }, leading: func() bool { return true }, now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	slices.SortFunc(c.metrics, func(a, b documented) int { return cmp.Compare(a.name, b.name) })
	return c.metrics
}

// TestEveryMetricIsDocumented: the table in docs/metrics.md is what is registered.
// -rewrite writes it anew.
func TestEveryMetricIsDocumented(t *testing.T) {
	const file, begin, end = "../../docs/metrics.md", "<!-- generated: make golden -->\n", "<!-- end -->\n"
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, found := strings.Cut(string(text), begin)
	_, after, found2 := strings.Cut(rest, end)
	if !found || !found2 {
		t.Fatalf("%s has no place for the table", file)
	}
	want := before + begin + table(ours(t)) + end + after
	if *rewrite {
		if err := os.WriteFile(file, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if want != string(text) {
		t.Errorf("%s is not what is registered; run `make golden`. It should be:\n%s", file, want)
	}
}

// TestMetricsReadWell: names in lower case, a meaning that is a sentence, nothing
// that would break the table.
func TestMetricsReadWell(t *testing.T) {
	name := regexp.MustCompile(`^(karpenter|operator|stowage)_[a-z0-9_]+$`)
	for _, m := range ours(t) {
		if !name.MatchString(m.name) || !strings.HasSuffix(m.help, ".") || strings.ContainsAny(m.help, "|\n") {
			t.Errorf("%s: %q", m.name, m.help)
		}
		if slices.ContainsFunc(m.labels, func(l string) bool { return strings.ContainsAny(l, "()-./") }) {
			t.Errorf("%s: labels %v", m.name, m.labels)
		}
		if strings.HasSuffix(m.name, "_total") != (m.kind == "counter") && m.name != "karpenter_nodepools_cost_total" { // Karpenter's name
			t.Errorf("%s is a %s", m.name, m.kind)
		}
	}
}

// TestUnobserved: the setting leaves out what it says, and the rest stays.
func TestUnobserved(t *testing.T) {
	c := &catalogue{Registerer: prometheus.NewRegistry()}
	yes := func() bool { return true }
	i, err := newInstruments(c, subject{cluster: state.New(), synced: yes, leading: yes, now: time.Now, unobserved: true})
	if err != nil {
		t.Fatal(err)
	}
	if i.observer != nil || i.provision.Witness != nil {
		t.Error("somebody observes")
	}
	gone := regexp.MustCompile(`^(operator_|karpenter_nodepools_|karpenter_pods_state|karpenter_nodes_allocatable|karpenter_cluster_utilization_percent)`)
	for _, m := range c.metrics {
		if gone.MatchString(m.name) {
			t.Errorf("%s is there", m.name)
		}
	}
	if !slices.ContainsFunc(c.metrics, func(m documented) bool { return m.name == "karpenter_cloudprovider_instance_type_offering_available" }) {
		t.Error("the offerings are not there")
	}
}
