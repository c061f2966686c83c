package main

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/stowage-sh/stowage/provisioner/headroom"
	"github.com/stowage-sh/stowage/provisioner/nodeoverlay"
	v1 "github.com/stowage-sh/stowage/provisioner/v1"
	"github.com/stowage-sh/stowage/provisioner/v1alpha1"
	"github.com/stowage-sh/stowage/provisioner/v1beta1"
)

// An option is a kind of ours that a cluster may do without: those that have the other CRDs from
// elsewhere may not have this one, and a watch of what is not served never catches up.
type option struct {
	kind, gate string
	resource   schema.GroupVersionResource
}

// The options.
var (
	nodeOverlays    = option{"NodeOverlays", gateNodeOverlay, v1alpha1.GroupVersion.WithResource("nodeoverlays")}
	capacityBuffers = option{"CapacityBuffers", gateCapacityBuffer, v1beta1.GroupVersion.WithResource("capacitybuffers")}
)

// decideOptions decides once which options are applied.
func (w *wiring) decideOptions(ctx context.Context) (err error) {
	if w.overlays, err = w.applies(ctx, nodeOverlays); err != nil {
		return err
	}
	w.buffers, err = w.applies(ctx, capacityBuffers)
	return err
}

// applies decides whether an option is applied, and says so: it is unless its gate is off, or the
// cluster does not serve it.
func (w *wiring) applies(ctx context.Context, o option) (bool, error) {
	logger, crd := log.FromContext(ctx), o.resource.GroupResource().String()
	if !w.settings.gate(o.gate, true) {
		logger.Info(o.kind + " are not applied: the feature gate " + o.gate + " is off")
		return false, nil
	}
	served, err := serves(ctx, w.manager.GetConfig(), o.resource)
	switch {
	case err != nil:
		return false, fmt.Errorf("looking for the CRD %s: %w", crd, err)
	case !served:
		logger.Info(o.kind + " are not applied: the cluster has no CRD " + crd + " of version " + o.resource.Version + "; after installing it, restart")
		return false, nil
	}
	logger.Info(o.kind + " are applied; the feature gate " + o.gate + "=false turns them off")
	return true, nil
}

// serves asks the API server whether it knows a resource.
func serves(ctx context.Context, kube *rest.Config, resource schema.GroupVersionResource) (bool, error) {
	server, err := discovery.NewDiscoveryClientForConfig(kube)
	if err != nil {
		return false, err
	}
	answer, err := server.RESTClient().Get().AbsPath("/apis/" + resource.GroupVersion().String()).Do(ctx).Raw()
	if apierrors.IsNotFound(err) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	var list metav1.APIResourceList
	if err := json.Unmarshal(answer, &list); err != nil {
		return false, err
	}
	return slices.ContainsFunc(list.APIResources, func(r metav1.APIResource) bool { return r.Name == resource.Resource }), nil
}

func (w *wiring) nodeOverlays() error {
	if !w.overlays {
		return nil
	}
	const name = "nodeoverlay"
	c := &nodeoverlay.Controller{Cluster: w.cluster, Write: w.write, Cloud: w.instruments.cloud.of(w.cloud.provider, name)}
	keys := func(obj client.Object) []string {
		if nodeoverlay.Concerns(obj) {
			return []string{"cluster"}
		}
		return nil
	}
	return w.add(name, 1, singleton(c.Step), once(), w.feed.source(keys, 100*time.Millisecond))
}

// headroom is to be called after nodeClaims, which makes the provisioner.
func (w *wiring) headroom() error {
	if !w.buffers {
		return nil
	}
	c := &headroom.Controller{
		Cluster: w.cluster, Write: w.write, Read: w.manager.GetAPIReader(),
		Schedulers: w.settings.schedulers, Missing: w.provision.Missing,
	}
	keys := func(obj client.Object) []string {
		switch obj.(type) {
		case *v1beta1.CapacityBuffer, *v1.NodeClaim:
			return []string{"cluster"}
		}
		return nil
	}
	return w.add("capacitybuffer", 1, singleton(c.Step), once(), w.feed.source(keys, 100*time.Millisecond))
}
