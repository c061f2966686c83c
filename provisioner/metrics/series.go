package metrics

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

// A family is all the series of one name: gauges, as everything is that is read
// off a snapshot.
type family struct {
	desc   *prometheus.Desc
	labels *labelSet
}

// newFamily describes a gauge.
func newFamily(name, help string, labels ...string) family {
	return family{prometheus.NewDesc(name, help, labels, nil), newLabelSet(labels...)}
}

// A labelSet is the names of a family's labels.
type labelSet struct {
	names []string
	order []int // positions in names, by name
}

func newLabelSet(names ...string) *labelSet {
	l := &labelSet{names: names, order: make([]int, len(names))}
	for i := range l.order {
		l.order[i] = i
	}
	slices.SortFunc(l.order, func(a, b int) int { return cmp.Compare(names[a], names[b]) })
	return l
}

// with gives the labels values, which are in the order of the names and are not
// to be used again. The result is in the order that Prometheus wants, by name,
// and lacks the labels that have no value.
func (l *labelSet) with(values ...string) []*dto.LabelPair {
	pairs := make([]dto.LabelPair, len(values))
	list := make([]*dto.LabelPair, 0, len(values))
	for _, i := range l.order {
		if values[i] != "" {
			pairs[i].Name, pairs[i].Value = &l.names[i], &values[i]
			list = append(list, &pairs[i])
		}
	}
	return list
}

// plus returns labels with one more, in order. Labels stay as they are.
func plus(labels []*dto.LabelPair, more *dto.LabelPair) []*dto.LabelPair {
	i, _ := slices.BinarySearchFunc(labels, more.GetName(), func(p *dto.LabelPair, name string) int { return cmp.Compare(p.GetName(), name) })
	list := make([]*dto.LabelPair, 0, len(labels)+1)
	return append(append(append(list, labels[:i]...), more), labels[i:]...)
}

// A series is one line of a scrape: a prometheus.Metric that is read once.
type series struct {
	desc   *prometheus.Desc
	labels []*dto.LabelPair // shared, never changed
	value  float64
	gauge  dto.Gauge
}

// Desc implements prometheus.Metric.
func (s *series) Desc() *prometheus.Desc { return s.desc }

// Write implements prometheus.Metric.
func (s *series) Write(out *dto.Metric) error {
	s.gauge.Value = &s.value
	out.Label, out.Gauge = s.labels, &s.gauge
	return nil
}

// A scrape hands out series. It is used by one goroutine.
type scrape struct {
	out  chan<- prometheus.Metric
	room []series // memory for the next ones
}

// add hands out one series. Labels come from f.labels.with, and may be shared with
// other series of the same labels.
func (s *scrape) add(f family, value float64, labels []*dto.LabelPair) {
	if len(s.room) == 0 {
		s.room = make([]series, 256)
	}
	next := &s.room[0]
	s.room = s.room[1:]
	next.desc, next.labels, next.value = f.desc, labels, value
	s.out <- next
}

// An amount is a quantity of one resource, in Karpenter's spelling and units:
// cores, bytes, or a number.
type amount struct {
	resource string
	quantity float64
}

// amounts lists resources in the order of their spelling. Two that are spelt
// alike are one.
func amounts[N ~string, Q any](list map[N]Q, quantity func(N, Q) float64) []amount {
	sums := make(map[string]float64, len(list))
	for name, q := range list {
		sums[strings.ToLower(strings.ReplaceAll(string(name), "-", "_"))] += quantity(name, q)
	}
	out := make([]amount, 0, len(sums))
	for _, name := range slices.Sorted(maps.Keys(sums)) {
		out = append(out, amount{name, sums[name]})
	}
	return out
}

// labelName turns the key of a Kubernetes label into the name of a label here.
var labelName = strings.NewReplacer("/", "_", ".", "_", "-", "_")

// yesNo is how Karpenter writes a truth.
func yesNo(b bool) string {
	if b {
		return "true"
	}
	return "false"
}
