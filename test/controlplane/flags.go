package controlplane

import (
	_ "embed"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
)

const (
	// FakeNodeAnnotation marks the nodes that kwok keeps. Other nodes have no
	// kubelet at all: pods bound to them stay Pending.
	FakeNodeAnnotation = "kwok.x-k8s.io/node"
	// FakeNodeValue is the value of that annotation; others do not count.
	FakeNodeValue = "fake"
)

//go:embed kwok.yaml
var kwokConfig []byte

// etcdArgs: nothing is synced to disk, because the data does not outlive the
// process that wrote it.
func (cp *ControlPlane) etcdArgs() []string {
	client, peer := "http://"+address(cp.ports.etcd), "http://"+address(cp.ports.etcdPeer)
	return []string{
		"--name=default",
		"--data-dir=" + filepath.Join(cp.dir, "etcd"),
		"--unsafe-no-fsync",
		"--listen-client-urls=" + client,
		"--advertise-client-urls=" + client,
		"--listen-peer-urls=" + peer,
		"--initial-advertise-peer-urls=" + peer,
		"--initial-cluster=default=" + peer,
		"--quota-backend-bytes=2147483648",
		"--auto-compaction-mode=periodic",
		"--auto-compaction-retention=5m",
		"--log-level=warn",
	}
}

// apiserverArgs: RBAC as in a real cluster. Limits on requests in flight are
// off, so that a busy test is slow but not refused. A loopback address may not
// be published as an endpoint, so the kubernetes Service has none.
func (cp *ControlPlane) apiserverArgs() []string {
	return []string{
		"--etcd-servers=http://" + address(cp.ports.etcd),
		"--bind-address=127.0.0.1",
		"--advertise-address=127.0.0.1",
		"--secure-port=" + strconv.Itoa(cp.ports.apiserver),
		"--endpoint-reconciler-type=none",
		"--authorization-mode=Node,RBAC",
		"--allow-privileged",
		"--service-cluster-ip-range=10.96.0.0/16",
		"--tls-cert-file=" + cp.pki.path("serving.crt"),
		"--tls-private-key-file=" + cp.pki.path("serving.key"),
		"--client-ca-file=" + cp.pki.path("ca.crt"),
		"--service-account-issuer=https://kubernetes.default.svc",
		"--service-account-key-file=" + cp.pki.path("sa.pub"),
		"--service-account-signing-key-file=" + cp.pki.path("sa.key"),
		// Without these the other servers complain of a missing bundle each minute.
		"--requestheader-client-ca-file=" + cp.pki.path("proxy-ca.crt"),
		"--requestheader-allowed-names=front-proxy-client",
		"--requestheader-username-headers=X-Remote-User",
		"--requestheader-group-headers=X-Remote-Group",
		"--requestheader-extra-headers-prefix=X-Remote-Extra-",
		"--proxy-client-cert-file=" + cp.pki.path("proxy.crt"),
		"--proxy-client-key-file=" + cp.pki.path("proxy.key"),
		"--enable-priority-and-fairness=false",
		"--max-requests-inflight=0",
		"--max-mutating-requests-inflight=0",
	}
}

// controllerManagerArgs: the default 20 requests per second would make 500 pods
// take half a minute to exist. Its controllers need credentials of their own,
// since RBAC allows the manager itself next to nothing.
func (cp *ControlPlane) controllerManagerArgs(kubeconfig string) ([]string, error) {
	return append(cp.servingArgs(kubeconfig, cp.ports.controllerManager),
		"--kubeconfig="+kubeconfig,
		"--leader-elect=false",
		"--use-service-account-credentials",
		"--service-account-private-key-file="+cp.pki.path("sa.key"),
		"--root-ca-file="+cp.pki.path("ca.crt"),
		"--allocate-node-cidrs=false",
		"--node-monitor-grace-period=24h",
		"--kube-api-qps=5000",
		"--kube-api-burst=10000",
	), nil
}

// schedulerArgs: with a configuration file the flags for requests per second
// mean nothing, so they stand in the file. Pods are tried again after one to
// two seconds instead of up to ten.
func (cp *ControlPlane) schedulerArgs(kubeconfig string) ([]string, error) {
	config := filepath.Join(cp.dir, "kube-scheduler.yaml")
	content := fmt.Sprintf(`apiVersion: kubescheduler.config.k8s.io/v1
kind: KubeSchedulerConfiguration
clientConnection: {kubeconfig: %q, qps: 5000, burst: 10000}
leaderElection: {leaderElect: false}
podInitialBackoffSeconds: 1
podMaxBackoffSeconds: 2
`, kubeconfig)
	if err := os.WriteFile(config, []byte(content), 0o600); err != nil {
		return nil, fmt.Errorf("writing the scheduler's configuration: %w", err)
	}
	return append(cp.servingArgs(kubeconfig, cp.ports.scheduler), "--config="+config), nil
}

// servingArgs are what kube-controller-manager and kube-scheduler have in common.
func (cp *ControlPlane) servingArgs(kubeconfig string, port int) []string {
	return []string{
		"--bind-address=127.0.0.1",
		"--secure-port=" + strconv.Itoa(port),
		"--tls-cert-file=" + cp.pki.path("serving.crt"),
		"--tls-private-key-file=" + cp.pki.path("serving.key"),
		"--authentication-kubeconfig=" + kubeconfig,
		"--authorization-kubeconfig=" + kubeconfig,
	}
}

func (cp *ControlPlane) kwokArgs(kubeconfig string) ([]string, error) {
	config := filepath.Join(cp.dir, "kwok.yaml")
	if err := os.WriteFile(config, cp.kwokConfig, 0o600); err != nil {
		return nil, fmt.Errorf("writing kwok's configuration: %w", err)
	}
	return []string{
		"--kubeconfig=" + kubeconfig,
		"--config=" + config,
		"--server-address=" + address(cp.ports.kwok),
	}, nil
}
