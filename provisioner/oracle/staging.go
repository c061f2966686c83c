//go:build staging

package oracle

// The module k8s.io/kubernetes, as it is published, requires its staging modules
// at v0.0.0 and replaces them by its own folders. Nobody else sees the replaces:
// whoever requires it has to name the version of each staging module, of those too
// that nothing is built from yet, or the next import would end at a v0.0.0 that
// does not exist. `go mod tidy` keeps only what some file imports, under any build
// constraint. So this file, whose constraint is never met, imports one small
// package of each staging module that no other file here imports.
//
// All of them have one version, which goes up with k8s.io/kubernetes
// (TestModuleStaysInstallable of test/tidy holds the module to it).
import (
	_ "k8s.io/cli-runtime"
	_ "k8s.io/cloud-provider/names"
	_ "k8s.io/cluster-bootstrap"
	_ "k8s.io/code-generator"
	_ "k8s.io/component-base"
	_ "k8s.io/controller-manager"
	_ "k8s.io/cri-api"
	_ "k8s.io/cri-client/pkg/util"
	_ "k8s.io/cri-streaming"
	_ "k8s.io/dynamic-resource-allocation"
	_ "k8s.io/endpointslice/util"
	_ "k8s.io/externaljwt"
	_ "k8s.io/kms"
	_ "k8s.io/kube-aggregator/pkg/apis/apiregistration"
	_ "k8s.io/kube-controller-manager"
	_ "k8s.io/kube-proxy"
	_ "k8s.io/kubectl"
	_ "k8s.io/metrics"
	_ "k8s.io/mount-utils"
	_ "k8s.io/pod-security-admission"
	_ "k8s.io/streaming"
)
