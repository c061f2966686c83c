package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	apiversion "k8s.io/apimachinery/pkg/version"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/log"
)

// versionInterval is how long a control plane may have been upgraded before we
// know. It is no setting: the question is cheap.
const versionInterval = 5 * time.Minute

// A kubeVersion is the version of Kubernetes that nodes' images are chosen by,
// major and minor: "1.36".
type kubeVersion struct {
	ask     func(context.Context) (string, error)
	current atomic.Pointer[string]
}

// newKubeVersion returns the given version, which then stays, or else the API
// server's.
func newKubeVersion(ctx context.Context, kube *rest.Config, given string) (*kubeVersion, error) {
	if given != "" {
		v := &kubeVersion{ask: func(context.Context) (string, error) { return given, nil }}
		return v, v.refresh(ctx)
	}
	client, err := discovery.NewDiscoveryClientForConfig(kube)
	if err != nil {
		return nil, fmt.Errorf("asking the API server for its version: %w", err)
	}
	v := &kubeVersion{ask: func(ctx context.Context) (string, error) { return serverVersion(ctx, client) }}
	return v, v.refresh(ctx)
}

// get returns the version that was fetched last.
func (v *kubeVersion) get() string { return *v.current.Load() }

// refresh fetches the version, and then swaps it in. On an error the old one stays.
func (v *kubeVersion) refresh(ctx context.Context) error {
	next, err := v.ask(ctx)
	if err != nil {
		return fmt.Errorf("asking the API server for its version: %w", err)
	}
	if old := v.current.Swap(&next); old != nil && *old != next {
		log.FromContext(ctx).Info("the control plane's version has changed", "from", *old, "to", next)
	}
	return nil
}

// serverVersion asks as discovery.ServerVersion does, but with a context.
func serverVersion(ctx context.Context, client discovery.DiscoveryInterface) (string, error) {
	answer, err := client.RESTClient().Get().AbsPath("/version").Do(ctx).Raw()
	if err != nil {
		return "", err
	}
	var v apiversion.Info
	if err := json.Unmarshal(answer, &v); err != nil {
		return "", err
	}
	minor := strings.TrimRight(v.Minor, "+") // managed control planes say "36+"
	if v.Major == "" || minor == "" {
		return "", errors.New("the answer holds none")
	}
	return v.Major + "." + minor, nil
}
