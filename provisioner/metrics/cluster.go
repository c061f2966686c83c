package metrics

import (
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/types"

	"github.com/stowage-sh/stowage/pricing"
	"github.com/stowage-sh/stowage/provisioner/state"
	v1 "github.com/stowage-sh/stowage/provisioner/v1"
)

// A Vocabulary is what a cloud calls its things.
type Vocabulary struct {
	// ClassKind is the kind of its NodeClasses: EC2NodeClass.
	ClassKind string
	// ClassLabel is the key of the label on nodes and NodeClaims that names the
	// NodeClass.
	ClassLabel string
	// ClassReadiness lists the conditions that a NodeClass's Ready is computed from.
	ClassReadiness []string
	// NodeLabels are keys of labels of nodes that the metrics of nodes carry beside
	// v1.WellKnownLabels. Of two that end alike the earlier counts, if it is there.
	NodeLabels []string
}

// Sources are what Cluster shows. All fields are needed.
type Sources struct {
	State *state.Cluster
	// Observer must hear of every pod of State, before State does.
	Observer *Observer
	// Prices for what a NodePool's nodes cost.
	Prices *pricing.Book
	Now    func() time.Time
	// Leading says whether this process is the one that acts. One that waits to
	// take over shows nothing: whoever adds up must not count twice.
	Leading func() bool
	Vocabulary
}

// Cluster is a prometheus.Collector that shows the cluster as it is.
type Cluster struct {
	from Sources

	pods     podFamilies
	nodes    nodeFamilies
	pools    poolFamilies
	statuses []statusFamilies // as kinds
	memo     nodeLoads
}

// NewCluster returns a collector that is to be registered.
func NewCluster(from Sources) *Cluster {
	c := &Cluster{from: from, pods: newPodFamilies(), nodes: newNodeFamilies(from.NodeLabels), pools: newPoolFamilies()}
	for _, k := range kinds(from.Vocabulary) {
		c.statuses = append(c.statuses, newStatusFamilies(k))
	}
	return c
}

// Describe implements prometheus.Collector.
func (c *Cluster) Describe(out chan<- *prometheus.Desc) {
	all := append(c.pods.all(), c.nodes.all()...)
	all = append(all, c.pools.all()...)
	for _, s := range c.statuses {
		all = append(all, s.all()...)
	}
	for _, f := range all {
		out <- f.desc
	}
}

// Collect implements prometheus.Collector.
func (c *Cluster) Collect(out chan<- prometheus.Metric) {
	if !c.from.Leading() {
		return
	}
	v := &view{Snapshot: c.from.State.Snapshot(), journeys: c.from.Observer.memory(), now: c.from.Now()}
	s := &scrape{out: out}
	c.pods.collect(s, v)
	c.nodes.collect(s, v, c.memo.of(v))
	c.pools.collect(s, v, c.from.Prices.Table())
	for i, k := range kinds(c.from.Vocabulary) {
		for _, o := range k.of(v) {
			c.statuses[i].collect(s, v.now, o)
		}
	}
}

// A view is all that a scrape depends on.
type view struct {
	*state.Snapshot
	journeys map[types.UID]journey
	now      time.Time
}

// age is how long ago something was, in seconds; never less than nothing, though
// the server's clock be ahead of ours.
func (v *view) age(at time.Time) float64 { return seconds(v.now.Sub(at)) }

func seconds(d time.Duration) float64 { return max(0, d.Seconds()) }

// A kind of objects that have conditions.
type kind struct {
	// name in the names of metrics: nodeclaim; all is how people call several.
	name, all string
	// labels are keys of labels of such objects that their metrics carry.
	labels []string
	// readiness lists the conditions that Ready is computed from.
	readiness []string
	// of lists the objects of a view, by name.
	of func(*view) []object
}

// kinds lists those that are shown. A nodeclaim carries the names that users group
// by; a node also whether it is open, as Karpenter has it.
func kinds(words Vocabulary) []kind {
	return []kind{
		{"nodeclaim", "NodeClaims", []string{v1.LabelNodePool, words.ClassLabel}, v1.NodeClaimReadiness, func(v *view) []object { return objects(v.NodeClaims.All(), ofClaim) }},
		{"nodepool", "NodePools", nil, v1.NodePoolReadiness, func(v *view) []object { return objects(v.NodePools.All(), ofPool) }},
		{"node", "nodes", []string{v1.LabelNodePool, v1.LabelInitialized, words.ClassLabel}, nil, func(v *view) []object { return objects(v.Nodes.All(), ofNode) }},
		{strings.ToLower(words.ClassKind), words.ClassKind + "es", nil, words.ClassReadiness, func(v *view) []object { return objects(v.NodeClasses.All(), ofClass) }},
	}
}
