package main

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/stowage-sh/stowage/provisioner/nodeoverlay"
	"github.com/stowage-sh/stowage/provisioner/v1alpha1"
)

// overlaysCRD is the name of the CRD of NodeOverlays.
const overlaysCRD = "nodeoverlays.karpenter.sh"

// decideOverlays decides once whether NodeOverlays are applied, and says so: they are
// unless the gate is off, or the cluster does not serve them. Clusters that have the
// other CRDs from elsewhere may not have this one, and a watch of what is not served
// never catches up.
func (w *wiring) decideOverlays(ctx context.Context) (err error) {
	logger := log.FromContext(ctx)
	if !w.settings.gate(gateNodeOverlay, true) {
		logger.Info("NodeOverlays are not applied: the feature gate " + gateNodeOverlay + " is off")
		return nil
	}
	if w.overlays, err = servesOverlays(ctx, w.manager.GetConfig()); err != nil {
		return fmt.Errorf("looking for the CRD %s: %w", overlaysCRD, err)
	}
	if !w.overlays {
		logger.Info("NodeOverlays are not applied: the cluster has no CRD " + overlaysCRD + "; after installing it, restart")
		return nil
	}
	logger.Info("NodeOverlays are applied; the feature gate " + gateNodeOverlay + "=false turns them off")
	return nil
}

// servesOverlays asks the API server whether it knows NodeOverlays.
func servesOverlays(ctx context.Context, kube *rest.Config) (bool, error) {
	server, err := discovery.NewDiscoveryClientForConfig(kube)
	if err != nil {
		return false, err
	}
	answer, err := server.RESTClient().Get().AbsPath("/apis/" + v1alpha1.GroupVersion.String()).Do(ctx).Raw()
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
	return slices.ContainsFunc(list.APIResources, func(r metav1.APIResource) bool { return r.Name == "nodeoverlays" }), nil
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
