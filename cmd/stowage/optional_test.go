package main

import (
	"net/http"
	"strings"
	"testing"

	"github.com/go-logr/logr/funcr"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/manager"
)

// configured is a manager of which only the configuration is asked.
type configured struct {
	manager.Manager
	config *rest.Config
}

func (c configured) GetConfig() *rest.Config { return c.config }

// TestWhetherAnOptionIsApplied: it depends on the gate and on what the API server
// serves, and the log says it.
func TestWhetherAnOptionIsApplied(t *testing.T) {
	const path = "/apis/karpenter.sh/v1alpha1"
	with := map[string]string{path: `{"kind": "APIResourceList", "groupVersion": "karpenter.sh/v1alpha1", "resources": [{"name": "nodeoverlays"}, {"name": "nodeoverlays/status"}]}`}
	for name, c := range map[string]struct {
		gates string
		lists map[string]string
		want  bool
		fails bool
		said  string
	}{
		"on":               {"", with, true, false, "NodeOverlays are applied; the feature gate NodeOverlay=false turns them off"},
		"off":              {"NodeOverlay=false", with, false, false, "NodeOverlays are not applied: the feature gate NodeOverlay is off"},
		"no such version":  {"NodeOverlay=true", nil, false, false, "NodeOverlays are not applied: the cluster has no CRD nodeoverlays.karpenter.sh of version v1alpha1; after installing it, restart"},
		"only other kinds": {"", map[string]string{path: `{"resources": [{"name": "others"}]}`}, false, false, "NodeOverlays are not applied: the cluster has no CRD nodeoverlays.karpenter.sh of version v1alpha1; after installing it, restart"},
		"refused":          {"", map[string]string{path: `{"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "Forbidden", "code": 403}`}, false, true, ""},
	} {
		t.Run(name, func(t *testing.T) {
			server := &listServer{lists: c.lists}
			config, err := clientcmd.BuildConfigFromFlags("", startCluster(t, server))
			if err != nil {
				t.Fatal(err)
			}
			var said string
			ctx := log.IntoContext(t.Context(), funcr.NewJSON(func(text string) { said = text }, funcr.Options{}))
			w := &wiring{settings: &settings{featureGates: c.gates}, manager: configured{config: config}}
			applied, err := w.applies(ctx, nodeOverlays)
			if applied != c.want || (err != nil) != c.fails || !strings.Contains(said, c.said) {
				t.Errorf("applied %v, error %v, said %q", applied, err, said)
			}
			if server.methods[http.MethodGet] == 0 && c.gates != "NodeOverlay=false" {
				t.Error("nobody asked")
			}
		})
	}
}
