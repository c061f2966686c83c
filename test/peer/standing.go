package main

import (
	"context"
	"os"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	peerv1 "sigs.k8s.io/karpenter/pkg/apis/v1"

	"github.com/stowage-sh/stowage/cloudprovider"
	"github.com/stowage-sh/stowage/provisioner/problem"
	"github.com/stowage-sh/stowage/test/corpus"
)

// A standing is a cluster to consolidate: bought for pods, of which a part is left.
type standing struct {
	name   string
	market *corpus.Market
	pods   func() []*corev1.Pod
	stays  float64
	seed   uint64
	// balanced asks for the policy Balanced; otherwise it is WhenEmptyOrUnderutilized.
	balanced bool
}

// policy is that of the cluster's NodePool.
func (w *standing) policy() peerv1.ConsolidationPolicy {
	if w.balanced {
		return peerv1.ConsolidationPolicyBalanced
	}
	return peerv1.ConsolidationPolicyWhenEmptyOrUnderutilized
}

// make makes the cluster, the same each time.
func (w *standing) make() (*corpus.Standing, error) {
	s, err := w.market.Thinned(w.pods(), w.stays, w.seed)
	if err != nil {
		return nil, err
	}
	s.Terms.Balanced = w.balanced
	return s, nil
}

// standings lists the clusters, each of about 200 nodes, in the order of the table.
func standings() ([]standing, error) {
	bought := func(o corpus.Options) (*corpus.Market, error) {
		o.MaxCPU = 32
		return corpus.Embedded("", o)
	}
	onDemand, err := bought(corpus.Options{})
	if err != nil {
		return nil, err
	}
	spot, err := bought(corpus.Options{CapacityTypes: []string{cloudprovider.Spot}, Architectures: []string{"amd64", "arm64"}})
	if err != nil {
		return nil, err
	}
	both, err := bought(corpus.Options{
		CapacityTypes: []string{cloudprovider.OnDemand, cloudprovider.Spot}, Architectures: []string{"amd64", "arm64"}})
	if err != nil {
		return nil, err
	}
	menus := list(corpus.Menus, 7300)
	all := []standing{
		{name: "menus, on-demand, 35 % left", market: onDemand, pods: menus, stays: 0.35, seed: 1},
		{name: "menus, on-demand, 35 % left, others of them", market: onDemand, pods: menus, stays: 0.35, seed: 2},
		{name: "menus, on-demand, 70 % left", market: onDemand, pods: menus, stays: 0.7, seed: 3},
		{name: "menus, spot with arm64, 35 % left", market: spot, pods: list(corpus.Menus, 3200), stays: 0.35, seed: 4},
		{name: "odd requests, on-demand, 35 % left", market: onDemand, pods: list(corpus.OddRequests, 6000), stays: 0.35, seed: 5},
		{name: "mixed constraints, on-demand and spot with arm64, 35 % left", market: both, pods: list(corpus.MixedConstraints, 3200), stays: 0.35, seed: 6},
		{name: "preferences, on-demand, 35 % left", market: onDemand, pods: list(corpus.Preferring, 5900), stays: 0.35, seed: 7},
		{name: "menus, on-demand, 35 % left, Balanced", market: onDemand, pods: menus, stays: 0.35, seed: 1, balanced: true},
		{name: "menus, on-demand, 70 % left, Balanced", market: onDemand, pods: menus, stays: 0.7, seed: 3, balanced: true},
	}
	lists, err := listed(os.Getenv(folderVariable), onDemand)
	return append(all, lists...), err
}

// listed makes clusters for the pod lists of a folder, on their first n-th pods: so many
// that about 200 nodes are bought. "" stands for no folder.
func listed(dir string, plain *corpus.Market) ([]standing, error) {
	gpu, err := corpus.Embedded("", corpus.Options{Categories: []string{"c", "m", "r", "g", "p"}})
	if err != nil {
		return nil, err
	}
	lists, err := folder(dir, []*corpus.Market{plain, plain, plain, plain, gpu, gpu, gpu, gpu})
	if err != nil {
		return nil, err
	}
	var all []standing
	for _, w := range lists {
		name, _, _ := strings.Cut(w.name, ", ")
		if slices.ContainsFunc(all, func(s standing) bool { return strings.HasPrefix(s.name, name+", ") }) {
			continue // it is there on another market
		}
		all = append(all, standing{name: name + ", on-demand, 35 % left", market: w.market, stays: 0.35, seed: 8, pods: func() []*corev1.Pod {
			return some(w.market, w.pods(), 200)
		}})
	}
	return all, nil
}

// some returns each n-th of pods, so that they need about so many nodes.
func some(m *corpus.Market, pods []*corev1.Pod, nodes int) (few []*corev1.Pod) {
	_, s, err := problem.Decide(context.Background(), m.Input(pods, 1))
	if err != nil {
		panic(err) // only a broken problem is an error
	}
	needed := 0
	for _, n := range s.New {
		needed += int(n.Count)
	}
	for i := 0; i < len(pods); i += max(1, (needed+nodes/2)/nodes) {
		few = append(few, pods[i])
	}
	return few
}

// daemonOn is the pod of a DaemonSet on a node.
func daemonOn(d *appsv1.DaemonSet, node string) *corev1.Pod {
	p := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: d.Namespace, Name: d.Name + "-" + node, UID: types.UID(d.Name + "-" + node), Labels: d.Spec.Template.Labels},
		Spec:       *d.Spec.Template.Spec.DeepCopy(),
	}
	p.Spec.NodeName = node
	return p
}
