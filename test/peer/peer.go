package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/record"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/clock"
	clientfake "sigs.k8s.io/controller-runtime/pkg/client/fake"
	peerv1 "sigs.k8s.io/karpenter/pkg/apis/v1"
	"sigs.k8s.io/karpenter/pkg/cloudprovider"
	cloudfake "sigs.k8s.io/karpenter/pkg/cloudprovider/fake"
	provisioning "sigs.k8s.io/karpenter/pkg/controllers/provisioning/scheduling"
	"sigs.k8s.io/karpenter/pkg/controllers/state"
	"sigs.k8s.io/karpenter/pkg/events"
	"sigs.k8s.io/karpenter/pkg/operator/injection"
	"sigs.k8s.io/karpenter/pkg/operator/options"
	"sigs.k8s.io/karpenter/pkg/scheduling"

	ours "github.com/stowage-sh/stowage/cloudprovider"
	"github.com/stowage-sh/stowage/test/corpus"
)

// workers is how many goroutines the peer's own benchmark gives it.
const workers = 5

// A peer is the peer's half of a market.
type peer struct {
	pool    *peerv1.NodePool
	types   []*cloudprovider.InstanceType
	daemons []*corev1.Pod
	cloud   *cloudfake.CloudProvider
	options []provisioning.Options
	limit   time.Duration
}

// newPeer says in the peer's words what a market is.
func newPeer(m *corpus.Market, limit time.Duration, ignorePreferences bool) (*peer, error) {
	p := &peer{pool: &peerv1.NodePool{}, limit: limit, options: []provisioning.Options{
		provisioning.NumConcurrentReconciles(workers), provisioning.DisableReservedCapacityFallback,
	}}
	if ignorePreferences {
		p.options = append(p.options, provisioning.IgnorePreferences)
	}
	// The two projects speak one API, so a NodePool goes over as it is written.
	text, err := json.Marshal(m.Pool)
	if err != nil {
		return nil, fmt.Errorf("writing the NodePool: %w", err)
	}
	if err := json.Unmarshal(text, p.pool); err != nil {
		return nil, fmt.Errorf("reading the NodePool: %w", err)
	}
	for _, d := range m.Daemons {
		p.daemons = append(p.daemons, &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Namespace: d.Namespace, Name: d.Name, Labels: d.Spec.Template.Labels},
			Spec:       *d.Spec.Template.Spec.DeepCopy(),
		})
	}
	known := map[string]bool{}
	for i := range m.Catalog.InstanceTypes {
		for key := range m.Catalog.InstanceTypes[i].Labels {
			known[key] = true
			peerv1.WellKnownLabels.Insert(key)
		}
	}
	for i := range m.Catalog.InstanceTypes {
		if t := instanceType(m, &m.Catalog.InstanceTypes[i], known); len(t.Offerings) > 0 {
			t.AllocatableOfferingsList() // it is computed once for the life of a type
			p.types = append(p.types, t)
		}
	}
	p.cloud = cloudfake.NewCloudProvider()
	p.cloud.InstanceTypes = p.types
	return p, nil
}

// instanceType translates one type. Labels that other types have and this one has
// not are said to be absent, as the peer wants.
func instanceType(m *corpus.Market, t *ours.InstanceType, known map[string]bool) *cloudprovider.InstanceType {
	requirements := scheduling.NewLabelRequirements(t.Labels)
	for key := range known {
		if _, ok := t.Labels[key]; !ok {
			requirements.Add(scheduling.NewRequirement(key, corev1.NodeSelectorOpDoesNotExist))
		}
	}
	requirements.Add(scheduling.NewRequirement(corev1.LabelInstanceTypeStable, corev1.NodeSelectorOpIn, t.Name))
	if m.Catalog.Region != "" {
		requirements.Add(scheduling.NewRequirement(corev1.LabelTopologyRegion, corev1.NodeSelectorOpIn, m.Catalog.Region))
	}
	it := &cloudprovider.InstanceType{Name: t.Name, Capacity: quantities(t.Capacity)}
	var zones, capacityTypes []string
	for _, o := range t.Offerings {
		price, ok := m.Prices.Price(o)
		if !ok {
			continue
		}
		zones, capacityTypes = append(zones, o.Zone), append(capacityTypes, o.CapacityType)
		it.Offerings = append(it.Offerings, &cloudprovider.Offering{
			Available: true, Price: float64(price) / 1e6,
			Requirements: scheduling.NewLabelRequirements(map[string]string{
				corev1.LabelTopologyZone: o.Zone, peerv1.CapacityTypeLabelKey: o.CapacityType,
			}),
		})
	}
	requirements.Add(
		scheduling.NewRequirement(corev1.LabelTopologyZone, corev1.NodeSelectorOpIn, zones...),
		scheduling.NewRequirement(peerv1.CapacityTypeLabelKey, corev1.NodeSelectorOpIn, capacityTypes...),
	)
	it.Requirements = requirements
	kept := ours.Resources{}
	for name, q := range t.Capacity {
		if q != t.Allocatable[name] {
			kept[name] = q - t.Allocatable[name]
		}
	}
	it.Overhead = &cloudprovider.InstanceTypeOverhead{KubeReserved: quantities(kept)}
	return it
}

func quantities(of ours.Resources) corev1.ResourceList {
	list := corev1.ResourceList{}
	for name, q := range of {
		switch name {
		case ours.CPU:
			list[corev1.ResourceCPU] = *resource.NewMilliQuantity(q, resource.DecimalSI)
		case ours.Memory, ours.EphemeralStorage:
			list[corev1.ResourceName(name)] = *resource.NewQuantity(q, resource.BinarySI)
		default:
			list[corev1.ResourceName(name)] = *resource.NewQuantity(q, resource.DecimalSI)
		}
	}
	return list
}

// peerContext has the peer's settings for one of its controllers. What it may do beyond its
// defaults, from one spot node to another, it may.
func peerContext(controller string) context.Context {
	return options.ToContext(injection.WithControllerName(context.Background(), controller), &options.Options{
		CPURequests: 1000 * workers, IgnoreDRARequests: true,
		PreferencePolicy: options.PreferencePolicyRespect, MinValuesPolicy: options.MinValuesPolicyStrict,
		FeatureGates: options.FeatureGates{ReservedCapacity: true, SpotToSpotConsolidation: true},
	})
}

// prepare returns a batch of the peer for pods: a fresh cluster, topology and
// scheduler, of which the last two are part of the batch.
func (p *peer) prepare(pods []*corev1.Pod) func() (*plan, error) {
	ctx := peerContext("provisioner")
	client, now := clientfake.NewClientBuilder().Build(), &clock.RealClock{}
	cluster := state.NewCluster(now, client, p.cloud)
	pools, types := []*peerv1.NodePool{p.pool}, map[string][]*cloudprovider.InstanceType{p.pool.Name: p.types}
	recorder := events.NewRecorder(&record.FakeRecorder{})
	return func() (*plan, error) {
		topology, err := provisioning.NewTopology(ctx, client, cluster, nil, pools, types, pods, p.options...)
		if err != nil {
			return nil, fmt.Errorf("making the peer's topology: %w", err)
		}
		s := provisioning.NewScheduler(ctx, client, pools, cluster, nil, topology, types, p.daemons, recorder, now, nil, nil, p.options...)
		limited, cancel := context.WithTimeout(ctx, p.limit)
		defer cancel()
		start := time.Now()
		results, err := s.Solve(limited, pods)
		solving := time.Since(start)
		stopped := errors.Is(err, context.DeadlineExceeded)
		if err != nil && !stopped {
			return nil, fmt.Errorf("solving with the peer: %w", err)
		}
		results = results.TruncateInstanceTypes(ctx, provisioning.MaxInstanceTypes)
		claims := make([]*peerv1.NodeClaim, len(results.NewNodeClaims))
		// As the peer creates them: all at once.
		workqueue.ParallelizeUntil(ctx, len(claims), len(claims), func(i int) { claims[i] = results.NewNodeClaims[i].ToNodeClaim() })
		return &plan{stopped: stopped, solving: solving, nodes: len(claims), read: func(out *plan) error { return p.price(&results, out) }}, nil
	}
}

// price reads off what the peer's claims hold and cost.
func (p *peer) price(results *provisioning.Results, out *plan) error {
	for pod, err := range results.PodErrors {
		if !out.stopped {
			out.unplaced = append(out.unplaced, fmt.Sprintf("%s: %v", pod.Name, err))
		}
	}
	for _, c := range results.NewNodeClaims {
		_, at := cheapest(c)
		if at == nil {
			return fmt.Errorf("a claim of the peer with %d pods can be launched nowhere", len(c.Pods))
		}
		out.cost += int64(math.Round(at.Price * 1e6))
		for _, pod := range c.Pods {
			out.placed[string(pod.UID)] = true
		}
	}
	return nil
}
