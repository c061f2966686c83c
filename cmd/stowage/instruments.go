package main

import (
	"errors"
	"slices"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/stowage-sh/stowage/cloudprovider"
	awsv1 "github.com/stowage-sh/stowage/cloudprovider/aws/v1"
	"github.com/stowage-sh/stowage/provisioner/disrupt"
	"github.com/stowage-sh/stowage/provisioner/interrupt"
	"github.com/stowage-sh/stowage/provisioner/lifecycle"
	"github.com/stowage-sh/stowage/provisioner/metrics"
	"github.com/stowage-sh/stowage/provisioner/provision"
	"github.com/stowage-sh/stowage/provisioner/repair"
	"github.com/stowage-sh/stowage/provisioner/state"
	"github.com/stowage-sh/stowage/provisioner/static"
)

// instruments are all the metrics that are ours: they are made in one place, so
// that docs/metrics.md can be held to list them all.
type instruments struct {
	provision *provision.Metrics
	lifecycle *lifecycle.Metrics
	disrupt   *disrupt.Metrics
	static    *static.Metrics
	repair    *repair.Metrics
	interrupt *interrupt.Metrics
	cloud     *cloudMeter
	requests  *requestMeter
	// observer is nil if the user does not want to see the state of the cluster.
	observer *metrics.Observer
}

// A subject is what is measured.
type subject struct {
	cluster *state.Cluster
	// offerings lacks State, Now and Leading.
	offerings metrics.OfferingSources
	synced    func() bool // whether the watches have caught up
	leading   func() bool // whether this process is the one that acts
	now       func() time.Time
	// unobserved leaves out the state of the cluster.
	unobserved bool
}

// vocabulary is what AWS calls its things.
var vocabulary = metrics.Vocabulary{
	ClassKind:      awsv1.Kind,
	ClassLabel:     awsv1.LabelNodeClass,
	ClassReadiness: awsv1.Readiness,
	NodeLabels:     append(slices.Clone(awsv1.WellKnownLabels), awsv1.LabelZoneID, awsv1.LabelEBSZone),
}

// newInstruments makes all metrics and registers them.
func newInstruments(r prometheus.Registerer, of subject) (*instruments, error) {
	i := &instruments{}
	var errs [12]error
	errs[0] = registerProcess(r, of)
	i.provision, errs[1] = provision.NewMetrics(r)
	i.lifecycle, errs[2] = lifecycle.NewMetrics(r)
	i.disrupt, errs[3] = disrupt.NewMetrics(r)
	i.static, errs[8] = static.NewMetrics(r)
	i.repair, errs[9] = repair.NewMetrics(r)
	i.interrupt, errs[10] = interrupt.NewMetrics(r)
	i.cloud, errs[4] = newCloudMeter(r, "aws")
	i.requests, errs[11] = newRequestMeter(r)
	of.offerings.State, of.offerings.Now, of.offerings.Leading = of.cluster, of.now, of.leading
	errs[5] = r.Register(metrics.NewOfferings(of.offerings))
	if !of.unobserved {
		i.observer, errs[6] = metrics.NewObserver(r, of.now, of.leading, vocabulary)
		i.provision.Witness = i.observer
		errs[7] = r.Register(metrics.NewCluster(metrics.Sources{
			State: of.cluster, Observer: i.observer, Prices: of.offerings.Prices, Now: of.now, Leading: of.leading, Vocabulary: vocabulary,
		}))
	}
	return i, errors.Join(errs[:]...)
}

// memorySold is the memory of an instance type before hypervisor and kernel take
// their share.
func memorySold(t *cloudprovider.InstanceType) int64 {
	mebibytes, err := strconv.ParseInt(t.Labels[awsv1.LabelInstanceMemory], 10, 64)
	if err != nil { // the label is the catalog's own; nodes report at least this
		return t.Capacity[cloudprovider.Memory]
	}
	return mebibytes << 20
}
