package controlplane

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"k8s.io/client-go/rest"
)

// victimVariable makes this test's executable an owner of a control plane that
// waits to be killed. Its value is the folder to run in.
const victimVariable = "STOWAGE_CONTROLPLANE_VICTIM"

func TestMain(m *testing.M) {
	if parent := os.Getenv(victimVariable); parent != "" {
		beVictim(parent)
	}
	os.Exit(m.Run())
}

// beVictim prints the folder and the processes of a control plane, and stays.
func beVictim(parent string) {
	cp, err := Start(context.Background(), Options{Parent: parent})
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println(cp.Dir())
	for _, p := range cp.running {
		fmt.Println(p.cmd.Process.Pid)
	}
	fmt.Println("up")
	<-cp.Done()
	os.Exit(1)
}

func start(t *testing.T, options Options) *ControlPlane {
	t.Helper()
	options.Progress = t.Output()
	cp, err := Start(t.Context(), options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cp.Stop() }) // where the test did not get to its own
	return cp
}

func kubectl(t *testing.T, cp *ControlPlane, args ...string) string {
	t.Helper()
	output, err := cp.Kubectl(t.Context(), args...)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(output)
}

func apply(t *testing.T, cp *ControlPlane, manifest string) {
	t.Helper()
	if _, err := cp.KubectlInput(t.Context(), strings.NewReader(manifest), "apply", "-f", "-"); err != nil {
		t.Fatal(err)
	}
}

// alive reports whether a process runs. One that has ended and that nobody has
// waited for does not.
func alive(pid int) bool {
	if syscall.Kill(pid, 0) != nil {
		return false
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return true
	}
	_, state, _ := strings.Cut(string(stat), ") ")
	return !strings.HasPrefix(state, "Z")
}

const ready = `jsonpath={.status.conditions[?(@.type=="Ready")].status}`

func TestPodsRunOnceTheNodeIsReady(t *testing.T) {
	t.Parallel()
	cp := ForTest(t)
	apply(t, cp, `
apiVersion: v1
kind: Node
metadata: {name: n1, annotations: {kwok.x-k8s.io/node: fake}, labels: {kubernetes.io/hostname: n1}}
status:
  capacity: {cpu: "4", memory: 8Gi, pods: "20"}
  allocatable: {cpu: "4", memory: 8Gi, pods: "20"}
  conditions: [{type: Ready, status: "False", reason: KubeletNotReady}]
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 3
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      initContainers: [{name: before, image: none}, {name: beside, image: none, restartPolicy: Always}]
      containers: [{name: c, image: none, resources: {requests: {cpu: 100m}}}]
---
apiVersion: v1
kind: Pod
metadata: {name: early}
spec:
  tolerations: [{operator: Exists}]
  containers: [{name: c, image: none}]
`)
	// A pod that tolerates everything runs, so kwok knows the node; and yet the
	// node is as its owner left it.
	kubectl(t, cp, "wait", "--for=condition=Ready", "pod/early", "--timeout=60s")
	if got := kubectl(t, cp, "get", "node", "n1", "-o", ready); got != "False" {
		t.Fatalf("the node's Ready is %q before its owner said so", got)
	}
	if got := kubectl(t, cp, "get", "pods", "-l", "app=web", "-o", "jsonpath={.items[*].spec.nodeName}"); got != "" {
		t.Fatalf("pods were bound to %q, which was not ready", got)
	}
	kubectl(t, cp, "get", "lease", "-n", "kube-node-lease", "n1")

	if err := cp.SetNodeReady(t.Context(), "n1", true); err != nil {
		t.Fatal(err)
	}
	kubectl(t, cp, "rollout", "status", "deployment/web", "--timeout=60s")
	if got := kubectl(t, cp, "get", "pods", "-l", "app=web", "-o", "jsonpath={.items[*].spec.nodeName}"); got != "n1 n1 n1" {
		t.Errorf("the pods are on %q", got)
	}

	kubectl(t, cp, "create", "job", "once", "--image=none")
	kubectl(t, cp, "wait", "--for=condition=Complete", "job/once", "--timeout=60s")

	kubectl(t, cp, "delete", "deployment", "web", "--cascade=foreground", "--timeout=60s")
	if got := kubectl(t, cp, "get", "pods", "-l", "app=web", "-o", "name"); got != "" {
		t.Errorf("after the Deployment, its pods are left: %s", got)
	}
}

func TestHeartbeatTouchesTheTimeAlone(t *testing.T) {
	t.Parallel()
	fast := strings.Replace(string(kwokConfig), "{durationMilliseconds: 300000, jitterDurationMilliseconds: 360000}", "{durationMilliseconds: 100}", 1)
	if fast == string(kwokConfig) {
		t.Fatal("the delay between two heartbeats is not where this test looks for it")
	}
	cp := start(t, Options{Parent: t.TempDir(), kwokConfig: []byte(fast)})
	const longAgo = "2026-01-02T03:04:05Z"
	apply(t, cp, `
apiVersion: v1
kind: Node
metadata: {name: n1, annotations: {kwok.x-k8s.io/node: fake}}
status:
  conditions:
  - {type: DiskPressure, status: Unknown, lastHeartbeatTime: `+longAgo+`, lastTransitionTime: `+longAgo+`}
  - {type: Ready, status: "True", reason: Mine, message: mine, lastHeartbeatTime: `+longAgo+`, lastTransitionTime: `+longAgo+`}
`)
	const format = `jsonpath={range .status.conditions[*]}{.type} {.status} {.reason}/{.message} {.lastTransitionTime} {.lastHeartbeatTime}{"\n"}{end}`
	var after string
	// Three of the four times stay. The first heartbeat may come before the first look.
	for begin := time.Now(); strings.Count(after, longAgo) != 3; {
		if time.Since(begin) > startPatience {
			cp.Keep()
			t.Fatalf("no heartbeat in %s, the logs are in %s:\n%s", startPatience, cp.Dir(), after)
		}
		after = kubectl(t, cp, "get", "node", "n1", "-o", format)
	}
	disk, rest, _ := strings.Cut(after, "\n")
	if want := "DiskPressure Unknown / " + longAgo + " " + longAgo; disk != want {
		t.Errorf("another condition is now %q, want %q", disk, want)
	}
	if want := "Ready True Mine/mine " + longAgo + " "; !strings.HasPrefix(rest, want) || strings.HasSuffix(rest, longAgo) {
		t.Errorf("the condition is now %q, want %q and a new time", rest, want)
	}
}

func TestTwoAtOnce(t *testing.T) {
	t.Parallel()
	parent := t.TempDir()
	var (
		wait  sync.WaitGroup
		both  [2]*ControlPlane
		fails [2]error
	)
	for i := range both {
		wait.Go(func() { both[i], fails[i] = Start(t.Context(), Options{Parent: parent}) })
	}
	wait.Wait()
	if err := errors.Join(fails[:]...); err != nil {
		t.Fatal(err)
	}
	a, b := both[0], both[1]
	defer func() {
		if err := errors.Join(a.Stop(), b.Stop()); err != nil {
			t.Error(err)
		}
	}()
	kubectl(t, a, "create", "namespace", "only-a")
	if _, err := b.Kubectl(t.Context(), "get", "namespace", "only-a"); err == nil || !strings.Contains(err.Error(), "NotFound") {
		t.Errorf("the namespace of one, asked of the other: %v", err)
	}
	stranger := a.RESTConfig()
	stranger.Host = b.RESTConfig().Host
	if status, err := get(t, stranger, "/api/v1/nodes"); err == nil {
		t.Errorf("the certificate of one opened the other: %d", status)
	}
	if err := a.Stop(); err != nil {
		t.Fatal(err)
	}
	kubectl(t, b, "create", "namespace", "still-there")
}

func TestStopLeavesNothing(t *testing.T) {
	t.Parallel()
	cp := start(t, Options{Parent: t.TempDir()})
	dir, first := cp.Dir(), cp.ports.etcd
	var pids []int
	for _, p := range cp.running {
		pids = append(pids, p.cmd.Process.Pid)
	}
	if len(pids) != 5 {
		t.Fatalf("%d programs run", len(pids))
	}
	if err := cp.Stop(); err != nil {
		t.Fatal(err)
	}
	if err := cp.Err(); err != nil {
		t.Errorf("Err after Stop: %v", err)
	}
	for _, pid := range pids {
		if alive(pid) {
			t.Errorf("process %d still runs", pid)
		}
	}
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the folder is still there: %v", err)
	}
	if !free(first) {
		t.Error("a port is still taken")
	}
	if err := cp.Stop(); err != nil {
		t.Errorf("the second Stop: %v", err)
	}
}

func TestKilledOwnerLeavesNothing(t *testing.T) {
	t.Parallel()
	parent := t.TempDir()
	victim := exec.Command(os.Args[0], "-test.run=^$")
	victim.Env = append(os.Environ(), victimVariable+"="+parent)
	stdout, err := victim.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := victim.Start(); err != nil {
		t.Fatal(err)
	}
	var said []string
	for lines := bufio.NewScanner(stdout); lines.Scan() && lines.Text() != "up"; {
		said = append(said, lines.Text())
	}
	if err := victim.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = victim.Wait() // it was killed
	if len(said) != 6 {
		t.Fatalf("the victim said %q", said)
	}
	for _, field := range said[1:] {
		pid, err := strconv.Atoi(field)
		if err != nil {
			t.Fatal(err)
		}
		for alive(pid) {
			if t.Context().Err() != nil {
				t.Fatalf("process %d outlived its owner", pid)
			}
			time.Sleep(10 * time.Millisecond)
		}
	}

	if _, err := os.Stat(said[0]); err != nil {
		t.Fatalf("the victim's folder: %v", err)
	}
	next := start(t, Options{Parent: parent})
	if _, err := os.Stat(said[0]); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the next start left the victim's folder: %v", err)
	}
	if err := next.Stop(); err != nil {
		t.Error(err)
	}
}

func TestProgramThatDies(t *testing.T) {
	t.Parallel()
	cp := start(t, Options{Parent: t.TempDir()})
	kwok := cp.running[len(cp.running)-1]
	if err := kwok.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-cp.Done()
	if err := cp.Err(); err == nil || !strings.Contains(err.Error(), "kwok ended by itself: signal: killed") {
		t.Errorf("Err: %v", err)
	}
	if err := cp.Stop(); err == nil || !strings.Contains(err.Error(), kwok.logPath) {
		t.Errorf("Stop does not name the log: %v", err)
	}
	if _, err := os.Stat(filepath.Join(cp.Dir(), "kube-apiserver.log")); err != nil {
		t.Errorf("the logs: %v", err)
	}
}

func TestStartThatFailsKeepsTheLogs(t *testing.T) {
	t.Parallel()
	parent := t.TempDir()
	ctx, cancel := context.WithTimeoutCause(t.Context(), 0, errors.New("enough"))
	defer cancel()
	_, err := Start(ctx, Options{Parent: parent})
	if err == nil || !strings.Contains(err.Error(), "enough") {
		t.Fatalf("got %v", err)
	}
	logs, globErr := filepath.Glob(filepath.Join(parent, "*", "etcd.log"))
	if globErr != nil || len(logs) != 1 {
		t.Fatalf("logs: %q, %v", logs, globErr)
	}
	if dir := filepath.Dir(logs[0]); !strings.Contains(err.Error(), dir) {
		t.Errorf("the error does not name %s: %v", dir, err)
	}
}

func TestStartThatIsCancelledLeavesNothing(t *testing.T) {
	t.Parallel()
	parent := t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Start(ctx, Options{Parent: parent}); !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v", err)
	}
	left, err := os.ReadDir(parent)
	if err != nil || len(left) != 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// get asks the API server for a path and returns the HTTP status.
func get(t *testing.T, config *rest.Config, path string) (int, error) {
	t.Helper()
	client, err := rest.HTTPClientFor(config)
	if err != nil {
		t.Fatal(err)
	}
	defer client.CloseIdleConnections()
	response, err := client.Get(config.Host + path)
	if err != nil {
		return 0, err
	}
	return response.StatusCode, response.Body.Close()
}

func TestIdentities(t *testing.T) {
	t.Parallel()
	cp := ForTest(t)
	apply(t, cp, `
apiVersion: v1
kind: ServiceAccount
metadata: {name: reader, namespace: kube-system}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: read-pods}
rules: [{apiGroups: [""], resources: [pods], verbs: [get, list, watch]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: read-pods}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: read-pods}
subjects:
- {kind: ServiceAccount, name: reader, namespace: kube-system}
- {apiGroup: rbac.authorization.k8s.io, kind: Group, name: readers}
`)
	account, err := cp.ServiceAccountConfig(t.Context(), "kube-system", "reader")
	if err != nil {
		t.Fatal(err)
	}
	member, err := cp.ConfigFor("somebody", "readers")
	if err != nil {
		t.Fatal(err)
	}
	nobody, err := cp.ConfigFor("somebody")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name        string
		config      *rest.Config
		pods, nodes int
	}{
		{"administrator", cp.RESTConfig(), http.StatusOK, http.StatusOK},
		{"ServiceAccount", account, http.StatusOK, http.StatusForbidden},
		{"member of a group", member, http.StatusOK, http.StatusForbidden},
		{"user without a role", nobody, http.StatusForbidden, http.StatusForbidden},
		{"nobody", cp.anonymous(), http.StatusForbidden, http.StatusForbidden},
	} {
		if got, err := get(t, c.config, "/api/v1/pods"); got != c.pods {
			t.Errorf("%s lists pods: %d (%v), want %d", c.name, got, err, c.pods)
		}
		if got, err := get(t, c.config, "/api/v1/nodes"); got != c.nodes {
			t.Errorf("%s lists nodes: %d (%v), want %d", c.name, got, err, c.nodes)
		}
	}

	kubeconfig, err := cp.WriteKubeconfig("reader", account)
	if err != nil {
		t.Fatal(err)
	}
	if got := kubectl(t, cp, "--kubeconfig", kubeconfig, "auth", "whoami", "-o", "jsonpath={.status.userInfo.username}"); got != "system:serviceaccount:kube-system:reader" {
		t.Errorf("the kubeconfig is of %q", got)
	}
	if _, err := cp.Kubectl(t.Context(), "--kubeconfig", kubeconfig, "get", "nodes"); err == nil || !strings.Contains(err.Error(), "Forbidden") {
		t.Errorf("kubectl get nodes as the ServiceAccount: %v", err)
	}
	if _, err := cp.ServiceAccountConfig(t.Context(), "kube-system", "missing"); err == nil || !strings.Contains(err.Error(), "kube-system/missing") {
		t.Errorf("a token for a ServiceAccount that does not exist: %v", err)
	}
}

func TestVersionIsWhatClientsCanRead(t *testing.T) {
	t.Parallel()
	cp := ForTest(t)
	if got := kubectl(t, cp, "version"); !strings.Contains(got, "Server Version: "+kubernetesVersion) {
		t.Errorf("kubectl version: %s", got)
	}
}
