package oracle

import (
	"context"
	"fmt"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/sets"
	utilfeature "k8s.io/apiserver/pkg/util/feature"
	"k8s.io/client-go/informers"
	clientset "k8s.io/client-go/kubernetes"
	"k8s.io/client-go/util/workqueue"
	fwk "k8s.io/kube-scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/apis/config"
	"k8s.io/kubernetes/pkg/scheduler/framework/plugins/feature"
	"k8s.io/kubernetes/pkg/scheduler/framework/plugins/interpodaffinity"
	"k8s.io/kubernetes/pkg/scheduler/framework/plugins/names"
	"k8s.io/kubernetes/pkg/scheduler/framework/plugins/nodeaffinity"
	"k8s.io/kubernetes/pkg/scheduler/framework/plugins/nodename"
	"k8s.io/kubernetes/pkg/scheduler/framework/plugins/nodeports"
	"k8s.io/kubernetes/pkg/scheduler/framework/plugins/noderesources"
	"k8s.io/kubernetes/pkg/scheduler/framework/plugins/nodeunschedulable"
	"k8s.io/kubernetes/pkg/scheduler/framework/plugins/nodevolumelimits"
	"k8s.io/kubernetes/pkg/scheduler/framework/plugins/podtopologyspread"
	"k8s.io/kubernetes/pkg/scheduler/framework/plugins/tainttoleration"
	"k8s.io/kubernetes/pkg/scheduler/framework/plugins/volumebinding"
	"k8s.io/kubernetes/pkg/scheduler/framework/plugins/volumerestrictions"
	"k8s.io/kubernetes/pkg/scheduler/framework/plugins/volumezone"
)

// A handle is what the plugins may ask of the scheduler that runs them. They ask
// for no more than is answered here; the embedded nil makes any other question a
// panic, which a test of each plugin would show.
type handle struct {
	fwk.Handle
	nodes fwk.SharedLister
	store store
}

func (h *handle) SnapshotSharedLister() fwk.SharedLister                 { return h.nodes }
func (h *handle) SharedInformerFactory() informers.SharedInformerFactory { return h.store }
func (h *handle) SharedCSIManager() fwk.CSIManager {
	return nodevolumelimits.NewCSIManager(h.store.Storage().V1().CSINodes().Lister())
}
func (h *handle) ClientSet() clientset.Interface         { return nil } // only binding writes
func (h *handle) Parallelizer() fwk.Parallelizer         { return inOrder{} }
func (h *handle) SharedDRAManager() fwk.SharedDRAManager { return nil }

// inOrder does one piece after the other. The scheduler's own wants its metrics
// registered, process-wide.
type inOrder struct{}

func (inOrder) Until(ctx context.Context, pieces int, do workqueue.DoWorkPieceFunc, _ string) {
	for i := range pieces {
		if ctx.Err() != nil {
			return
		}
		do(i)
	}
}

// readsVolumes are the plugins whose answer about a pod depends on claims and volumes.
var readsVolumes = sets.New(names.VolumeRestrictions, names.NodeVolumeLimits, names.VolumeBinding, names.VolumeZone)

// A maker builds one plugin of kube-scheduler.
type maker struct {
	args runtime.Object
	make func(context.Context, runtime.Object, fwk.Handle, feature.Features) (fwk.Plugin, error)
}

// makers lists the plugins in the order in which kube-scheduler's default profile
// runs them, so that the first refusal is the one that it would report.
func makers() []maker {
	fit := &config.NodeResourcesFitArgs{ScoringStrategy: &config.ScoringStrategy{
		Type: config.LeastAllocated, Resources: []config.ResourceSpec{{Name: "cpu", Weight: 1}},
	}}
	return []maker{
		{nil, nodeunschedulable.New},
		{nil, nodename.New},
		{nil, tainttoleration.New},
		{&config.NodeAffinityArgs{}, nodeaffinity.New},
		{nil, nodeports.New},
		{fit, noderesources.NewFit},
		{nil, volumerestrictions.New},
		{nil, nodevolumelimits.NewCSI},
		{&config.VolumeBindingArgs{BindTimeoutSeconds: 600}, volumebinding.New},
		{nil, volumezone.New},
		{&config.PodTopologySpreadArgs{DefaultingType: config.ListDefaulting}, podtopologyspread.New},
		{&config.InterPodAffinityArgs{HardPodAffinityWeight: 1}, interpodaffinity.New},
	}
}

// newPlugins builds the plugins with the feature gates that Kubernetes has by
// default, but for resource claims, which have no place in a Cluster yet.
func newPlugins(ctx context.Context, h fwk.Handle) ([]fwk.FilterPlugin, error) {
	features := feature.NewSchedulerFeaturesFromGates(utilfeature.DefaultFeatureGate)
	features.EnableDRAExtendedResource = false
	var plugins []fwk.FilterPlugin
	for _, m := range makers() {
		p, err := m.make(ctx, m.args, h, features)
		if err != nil {
			return nil, fmt.Errorf("making a plugin of kube-scheduler: %w", err)
		}
		plugins = append(plugins, p.(fwk.FilterPlugin))
	}
	return plugins, nil
}
