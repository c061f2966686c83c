package main

import (
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	peerv1 "sigs.k8s.io/karpenter/pkg/apis/v1"

	"github.com/stowage-sh/stowage/cloudprovider"
	"github.com/stowage-sh/stowage/test/corpus"
)

// A standing is a cluster to consolidate: bought for pods, of which a part is left.
type standing struct {
	name   string
	market *corpus.Market
	pods   func() []*corev1.Pod
	stays  float64
	seed   uint64
	policy peerv1.ConsolidationPolicy
}

// make makes the cluster, the same each time.
func (w *standing) make() (*corpus.Standing, error) {
	return w.market.Thinned(w.pods(), w.stays, w.seed)
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
	any, balanced := peerv1.ConsolidationPolicyWhenEmptyOrUnderutilized, peerv1.ConsolidationPolicyBalanced
	all := []standing{
		{"menus, on-demand, 35 % left", onDemand, list(corpus.Menus, 11400), 0.35, 1, any},
		{"menus, on-demand, 35 % left, other pods", onDemand, list(corpus.Menus, 11400), 0.35, 2, any},
		{"menus, on-demand, 70 % left", onDemand, list(corpus.Menus, 11400), 0.7, 3, any},
		{"menus, spot with arm64, 35 % left", spot, list(corpus.Menus, 11400), 0.35, 4, any},
		{"odd requests, on-demand, 35 % left", onDemand, list(corpus.OddRequests, 11400), 0.35, 5, any},
		{"mixed constraints, on-demand and spot with arm64, 35 % left", both, list(corpus.MixedConstraints, 7000), 0.35, 6, any},
		{"preferences, on-demand, 35 % left", onDemand, list(corpus.Preferring, 4000), 0.35, 7, any},
		{"menus, on-demand, 35 % left, Balanced", onDemand, list(corpus.Menus, 11400), 0.35, 1, balanced},
		{"menus, on-demand, 70 % left, Balanced", onDemand, list(corpus.Menus, 11400), 0.7, 3, balanced},
	}
	return all, nil
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
