package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stowage-sh/stowage/cmd/stowage/plan"
)

// A cluster for tests: lists by path, and what was asked of it. Kinds that it has
// no list of it does not serve.
type listServer struct {
	lists map[string]string

	mu      sync.Mutex
	methods map[string]int
}

func (s *listServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.methods[r.Method]++
	s.mu.Unlock()
	body, ok := s.lists[r.URL.Path]
	if r.URL.Path == "/version" {
		body, ok = `{"major": "1", "minor": "36+"}`, true
	}
	w.Header().Set("Content-Type", "application/json")
	if !ok {
		w.WriteHeader(http.StatusNotFound)
		body = `{"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "NotFound", "code": 404}`
	}
	if strings.Contains(body, "Forbidden") {
		w.WriteHeader(http.StatusForbidden)
	}
	fmt.Fprint(w, body)
}

// startCluster serves lists on loopback and returns a kubeconfig for it.
func startCluster(t *testing.T, s *listServer) (kubeconfig string) {
	t.Helper()
	s.methods = map[string]int{}
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	kubeconfig = filepath.Join(t.TempDir(), "kubeconfig")
	text := fmt.Sprintf(`{"apiVersion": "v1", "kind": "Config", "current-context": "c",
		"clusters": [{"name": "c", "cluster": {"server": %q}}], "users": [{"name": "u", "user": {"token": "t"}}],
		"contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}]}`, server.URL)
	if err := os.WriteFile(kubeconfig, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return kubeconfig
}

// stowage runs a command line in this process.
func stowage(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	code = run(append([]string{"stowage"}, args...), streams{in: strings.NewReader(""), out: &out, err: &errs, now: func() time.Time { return time.Time{} }})
	return code, out.String(), errs.String()
}

const (
	livePods = `{"apiVersion": "v1", "kind": "PodList", "metadata": {}, "items": [
		{"metadata": {"name": "running", "namespace": "shop", "uid": "1"}, "spec": {"nodeName": "n1", "containers": [{"name": "c", "resources": {"requests": {"cpu": "1"}}}]}},
		{"metadata": {"name": "waiting", "namespace": "shop", "uid": "2"}, "spec": {"containers": [{"name": "c", "resources": {"requests": {"cpu": "500m"}}}]}}]}`
	liveNodes = `{"apiVersion": "v1", "kind": "NodeList", "metadata": {}, "items": [
		{"metadata": {"name": "n1", "uid": "3"}, "status": {"allocatable": {"cpu": "1600m", "memory": "4Gi", "pods": "20"}}}]}`
	emptyDaemonSets = `{"apiVersion": "apps/v1", "kind": "DaemonSetList", "metadata": {}, "items": []}`
)

// TestPlanAgainstCluster plans a Deployment from a file on top of a cluster that
// does not serve the kinds of Karpenter yet.
func TestPlanAgainstCluster(t *testing.T) {
	server := &listServer{lists: map[string]string{
		"/api/v1/pods": livePods, "/api/v1/nodes": liveNodes, "/apis/apps/v1/daemonsets": emptyDaemonSets,
	}}
	kubeconfig := startCluster(t, server)
	web := filepath.Join(t.TempDir(), "web.yaml")
	manifest := "apiVersion: v1\nkind: Pod\nmetadata: {name: web}\nspec: {containers: [{name: c, resources: {requests: {cpu: 1500m}}}]}\n"
	if err := os.WriteFile(web, []byte(manifest), 0o600); err != nil {
		t.Fatal(err)
	}
	code, out, errs := stowage(t, "plan", "--kubeconfig", kubeconfig, "-f", "testdata/market/pool.yaml", "-f", web, "-o", "json",
		"--instance-types", "testdata/market/types.json", "--prices", "testdata/market/prices.csv")
	if code != 0 {
		t.Fatalf("exit code %d: %s", code, errs)
	}
	var d plan.Document
	if err := json.Unmarshal([]byte(out), &d); err != nil {
		t.Fatal(err)
	}
	if len(d.Existing) != 1 || d.Existing[0].Node != "n1" || strings.Join(d.Existing[0].Pods, " ") != "shop/waiting" {
		t.Errorf("existing %v, want shop/waiting on n1, where running leaves room", d.Existing)
	}
	if len(d.Nodes) != 1 || strings.Join(d.Nodes[0].Pods, " ") != "default/web" {
		t.Errorf("nodes %v, want one for default/web", d.Nodes)
	}
	for method := range server.methods {
		if method != http.MethodGet {
			t.Errorf("the cluster was asked to %s", method)
		}
	}
}

// TestPlanConsolidatesACluster: a cluster is told why its nodes stay, and one without any is no mistake.
func TestPlanConsolidatesACluster(t *testing.T) {
	server := &listServer{lists: map[string]string{"/api/v1/pods": livePods, "/api/v1/nodes": liveNodes}}
	args := []string{"plan", "--consolidate", "-o", "json", "--instance-types", "testdata/market/types.json", "--prices", "testdata/market/prices.csv", "-f", "testdata/market/pool.yaml"}
	for _, left := range []string{"n1 NoNodePool", ""} {
		code, out, errs := stowage(t, append(args, "--kubeconfig", startCluster(t, server))...)
		if code != 0 {
			t.Fatalf("exit code %d: %s", code, errs)
		}
		var d plan.Document
		if err := json.Unmarshal([]byte(out), &d); err != nil {
			t.Fatal(err)
		}
		got := ""
		for _, l := range d.Left {
			got += l.Node + " " + l.Code
		}
		if got != left || d.Before == nil || d.Before.Nodes != 0 {
			t.Errorf("left is %q, before %v; want %q, and no node of a NodePool", got, d.Before, left)
		}
		delete(server.lists, "/api/v1/nodes")
	}
}

// TestPlanKeepsHeadroom: a cluster with a CapacityBuffer is asked for what that refers to, and for no pods
// of it.
func TestPlanKeepsHeadroom(t *testing.T) {
	kubeconfig := startCluster(t, &listServer{lists: map[string]string{
		"/apis/autoscaling.x-k8s.io/v1beta1/capacitybuffers": `{"apiVersion": "autoscaling.x-k8s.io/v1beta1", "kind": "CapacityBufferList", "metadata": {}, "items": [
			{"metadata": {"name": "spare", "namespace": "shop", "uid": "b"}, "spec": {"scalableRef": {"kind": "Deployment", "name": "web"}, "percentage": 50}}]}`,
		"/apis/apps/v1/deployments": `{"apiVersion": "apps/v1", "kind": "DeploymentList", "metadata": {}, "items": [
			{"metadata": {"name": "web", "namespace": "shop", "uid": "d"}, "spec": {"replicas": 6, "template": {"spec": {"containers": [{"name": "c", "resources": {"requests": {"cpu": "100m"}}}]}}}}]}`,
		"/api/v1/resourcequotas": `{"apiVersion": "v1", "kind": "ResourceQuotaList", "metadata": {}, "items": [
			{"metadata": {"name": "few", "namespace": "shop", "uid": "q"}, "status": {"hard": {"pods": "8"}, "used": {"pods": "6"}}}]}`,
	}})
	code, out, errs := stowage(t, "plan", "--kubeconfig", kubeconfig, "-f", "testdata/market/pool.yaml", "-o", "json",
		"--instance-types", "testdata/market/types.json", "--prices", "testdata/market/prices.csv")
	if want := "note: CapacityBuffer shop/spare: ResourceQuota few lets in 2 of 3 more pods\n"; code != 0 || errs != want {
		t.Fatalf("exit code %d, notes %q, want %q", code, errs, want)
	}
	var d plan.Document
	if err := json.Unmarshal([]byte(out), &d); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(d.Headroom, " "); got != "shop/capacity-buffer-spare-0 shop/capacity-buffer-spare-1" || len(d.Nodes) != 1 || d.Stats.Pods != 0 {
		t.Errorf("headroom %q, nodes %v, pods %d", got, d.Nodes, d.Stats.Pods)
	}
}

// TestPlanSpreadsByDefault asks a cluster for what selects its pods, where these are to be spread
// by default, and for no pods that this could stand for.
func TestPlanSpreadsByDefault(t *testing.T) {
	pod := `{"metadata": {"name": "web-%d", "namespace": "shop", "uid": "p%[1]d", "labels": {"app": "web"},
		"ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web", "uid": "r", "controller": true}]},
		"spec": {"containers": [{"name": "c", "resources": {"requests": {"cpu": "100m"}}}]}}`
	kubeconfig := startCluster(t, &listServer{lists: map[string]string{
		"/api/v1/pods": `{"apiVersion": "v1", "kind": "PodList", "metadata": {}, "items": [` + fmt.Sprintf(pod, 1) + "," + fmt.Sprintf(pod, 2) + `]}`,
		"/apis/apps/v1/replicasets": `{"apiVersion": "apps/v1", "kind": "ReplicaSetList", "metadata": {}, "items": [
			{"metadata": {"name": "web", "namespace": "shop", "uid": "r"}, "spec": {"replicas": 2, "selector": {"matchLabels": {"app": "web"}}}},
			{"metadata": {"name": "refused", "namespace": "shop", "uid": "s"}, "spec": {"replicas": 2, "selector": {"matchLabels": {"app": "refused"}}}}]}`,
	}})
	for config, want := range map[string]int{
		"": 1,
		"podTopologySpread: {defaultConstraints: [{maxSkew: 1, topologyKey: topology.kubernetes.io/zone, whenUnsatisfiable: DoNotSchedule}]}": 2,
	} {
		code, out, errs := stowage(t, "plan", "--kubeconfig", kubeconfig, "-f", "testdata/market/pool.yaml", "-o", "json", "--verify",
			"--instance-types", "testdata/market/types.json", "--prices", "testdata/market/prices.csv", "--scheduler-config", config)
		if code != 0 {
			t.Fatalf("exit code %d: %s", code, errs)
		}
		var d plan.Document
		if err := json.Unmarshal([]byte(out), &d); err != nil {
			t.Fatal(err)
		}
		nodes, pods := 0, 0
		for _, n := range d.Nodes {
			nodes, pods = nodes+1, pods+len(n.Pods)
		}
		if nodes != want || pods != 2 {
			t.Errorf("with %q %d pods on %d nodes, want 2 on %d", config, pods, nodes, want)
		}
	}
}

// TestPlanReadsTheOverlaysOfTheCluster: the judgement is the plan's own, whatever
// their status says.
func TestPlanReadsTheOverlaysOfTheCluster(t *testing.T) {
	const overlays = `{"apiVersion": "karpenter.sh/v1alpha1", "kind": "NodeOverlayList", "metadata": {}, "items": [
		{"metadata": {"name": "paid-for", "uid": "7"}, "spec": {"price": "0.01", "requirements": [{"key": "node.kubernetes.io/instance-type", "operator": "In", "values": ["m5.xlarge"]}]}},
		{"metadata": {"name": "broken", "uid": "8"}, "spec": {"price": "0.01", "priceAdjustment": "-1", "requirements": []},
		 "status": {"conditions": [{"type": "Ready", "status": "True", "reason": "Ready", "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z"}]}}]}`
	kubeconfig := startCluster(t, &listServer{lists: map[string]string{
		"/api/v1/pods": livePods, "/api/v1/nodes": strings.Replace(liveNodes, "1600m", "1100m", 1), "/apis/apps/v1/daemonsets": emptyDaemonSets,
		"/apis/karpenter.sh/v1alpha1/nodeoverlays": overlays,
	}})
	code, out, errs := stowage(t, "plan", "--kubeconfig", kubeconfig, "-f", "testdata/market/pool.yaml", "-o", "json",
		"--instance-types", "testdata/market/types.json", "--prices", "testdata/market/prices.csv")
	var d plan.Document
	if err := json.Unmarshal([]byte(out), &d); code != 0 || err != nil {
		t.Fatalf("exit code %d, %v: %s", code, err, errs)
	}
	if len(d.Nodes) != 1 || d.Nodes[0].InstanceType != "m5.xlarge" || d.CostPerHour != 0.01 {
		t.Errorf("nodes %+v", d.Nodes)
	}
	if !strings.Contains(errs, "note: NodeOverlay broken is not applied: spec.priceAdjustment: ") {
		t.Errorf("said %q", errs)
	}
}

// TestPlanKnowsTheVersionOfTheCluster, and which EC2NodeClasses have no images for it.
func TestPlanKnowsTheVersionOfTheCluster(t *testing.T) {
	pool, err := os.ReadFile("testdata/market/pool.yaml")
	if err != nil {
		t.Fatal(err)
	}
	old := filepath.Join(t.TempDir(), "pool.yaml")
	if err := os.WriteFile(old, bytes.Replace(pool, []byte("al2023@"), []byte("al2@"), 1), 0o600); err != nil {
		t.Fatal(err)
	}
	code, out, errs := stowage(t, "plan", "--kubeconfig", startCluster(t, &listServer{lists: map[string]string{"/api/v1/pods": livePods}}), "-f", old,
		"--instance-types", "testdata/market/types.json", "--prices", "testdata/market/prices.csv")
	const want = "EC2NodeClass default is not ready: UnsupportedAlias: spec.amiSelectorTerms[0].alias al2@latest: there are images of Amazon Linux 2 up to Kubernetes 1.32, and the cluster has 1.36"
	if code != 0 || !strings.Contains(out, want) {
		t.Errorf("exit code %d, %q, %q", code, out, errs)
	}
}

// TestClusterThatRefuses: an answer that is missing is no empty answer.
func TestClusterThatRefuses(t *testing.T) {
	kubeconfig := startCluster(t, &listServer{lists: map[string]string{
		"/api/v1/pods":  livePods,
		"/api/v1/nodes": `{"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "Forbidden", "code": 403, "message": "nodes is forbidden"}`,
	}})
	code, _, errs := stowage(t, "plan", "--kubeconfig", kubeconfig)
	if code != exitFailure || !strings.HasPrefix(errs, "stowage plan: listing the cluster's objects of kind Node: ") || strings.Count(errs, "\n") != 1 {
		t.Errorf("exit code %d and %q, want 1 and one line that says what could not be listed", code, errs)
	}
}
