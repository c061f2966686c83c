package ec2sim

import (
	"encoding/base64"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"
)

// userData has a template's instances boot with the text.
func userData(text string) func(*types.RequestLaunchTemplateData) {
	return func(d *types.RequestLaunchTemplateData) {
		d.UserData = aws.String(base64.StdEncoding.EncodeToString([]byte(text)))
	}
}

// history records every write to nodes as a line.
func history(client *fake.Clientset) func() []string {
	return func() []string {
		var lines []string
		for _, a := range client.Actions() {
			if a.GetVerb() != "get" && a.GetVerb() != "list" && a.GetVerb() != "watch" {
				lines = append(lines, strings.TrimSuffix(a.GetVerb()+"/"+a.GetSubresource(), "/"))
			}
		}
		return lines
	}
}

func readiness(n *corev1.Node) corev1.ConditionStatus {
	i := slices.IndexFunc(n.Status.Conditions, func(c corev1.NodeCondition) bool { return c.Type == corev1.NodeReady })
	if i < 0 {
		return ""
	}
	return n.Status.Conditions[i].Status
}

func TestJoin(t *testing.T) {
	c := Cluster{Name: "demo", Endpoint: "https://e", CA: authority(t), ServiceCIDR: "10.96.0.0/16"}
	client := fake.NewClientset()
	h := start(t, Options{Types: FewTypes(), Cluster: c, Client: client, Region: "us-west-2", World: NewWorld("us-west-2", Cluster{Name: "test"})})
	h.template("tpl", userData(nodeConfigYAML(c, kubeletYAML)))
	id := h.launch(h.fleet("tpl", "c", pool("m5.xlarge", "b", "spot")))
	nodes := client.CoreV1().Nodes()
	name := "ip-10-0-64-4.us-west-2.compute.internal"
	var node *corev1.Node
	eventually(t, "the node is ready", func() bool {
		var err error
		node, err = nodes.Get(t.Context(), name, metav1.GetOptions{})
		return err == nil && readiness(node) == corev1.ConditionTrue
	})
	wantLabels := map[string]string{
		"kubernetes.io/hostname": name, "kubernetes.io/arch": "amd64", "kubernetes.io/os": "linux", "beta.kubernetes.io/arch": "amd64", "beta.kubernetes.io/os": "linux",
		"node.kubernetes.io/instance-type": "m5.xlarge", "topology.kubernetes.io/zone": "us-west-2b", "topology.kubernetes.io/region": "us-west-2",
		"topology.k8s.aws/zone-id": "usw2-az2", "karpenter.sh/nodepool": "default", "team": "blue",
	}
	wantTaints := []corev1.Taint{{Key: "karpenter.sh/unregistered", Effect: "NoExecute"}, {Key: "team", Value: "blue", Effect: "NoSchedule"}}
	if diff := cmp.Diff(wantLabels, node.Labels) + cmp.Diff(wantTaints, node.Spec.Taints); diff != "" {
		t.Error(diff)
	}
	if node.Spec.ProviderID != "aws:///us-west-2b/"+id || node.Annotations["kwok.x-k8s.io/node"] != "fake" || node.Status.Allocatable.Pods().Value() != 42 {
		t.Errorf("providerID %s, annotations %v, pods %s", node.Spec.ProviderID, node.Annotations, node.Status.Allocatable.Pods())
	}
	h.Terminate(id)
	eventually(t, "the node is deleted", func() bool {
		_, err := nodes.Get(t.Context(), name, metav1.GetOptions{})
		return apierrors.IsNotFound(err)
	})
	want := []string{"create", "update", "patch/status", "patch/status", "delete"}
	if diff := cmp.Diff(want, history(client)()); diff != "" {
		t.Errorf("writes (-want +got):\n%s", diff)
	}
	if i := h.Instances()[0]; i.Node != name {
		t.Errorf("instance %+v", i)
	}
}

// TestJoinSteps stops the clock at each step by a delay that does not end.
func TestJoinSteps(t *testing.T) {
	c := Cluster{Name: "demo", Endpoint: "https://e", CA: authority(t), ServiceCIDR: "10.96.0.0/16"}
	for _, step := range []struct {
		delays          Delays
		exists, labeled bool
		console         string
	}{
		{Delays{Boot: time.Hour}, false, false, ""},
		{Delays{CloudIn: time.Hour}, true, false, "registered node"},
		{Delays{Ready: time.Hour}, true, true, "registered node"},
	} {
		client := fake.NewClientset()
		step.delays.NodeDelete = -1
		h := start(t, Options{Types: FewTypes(), Cluster: c, Client: client, World: NewWorld("us-west-2", Cluster{Name: "test"}), Delays: &step.delays})
		h.template("tpl", userData(nodeConfigYAML(c, "")))
		id := h.launch(h.fleet("tpl", "c", pool("m5.xlarge", "b", "spot")))
		find := func() *corev1.Node {
			list, err := client.CoreV1().Nodes().List(t.Context(), metav1.ListOptions{})
			if err != nil {
				t.Fatal(err)
			}
			if len(list.Items) == 0 {
				return nil
			}
			return &list.Items[0]
		}
		eventually(t, "running and as far as it goes", func() bool {
			n := find()
			return h.state(id) == Running && (n != nil) == step.exists && (n == nil || n.Labels[corev1.LabelTopologyZone] != "" == step.labeled)
		})
		if n := find(); n != nil {
			if readiness(n) != corev1.ConditionFalse || slices.Contains(n.Spec.Taints, uninitialized) == step.labeled {
				t.Errorf("%+v: Ready is %s, taints %v", step.delays, readiness(n), n.Spec.Taints)
			}
		}
		eventually(t, "the console says so", func() bool { return strings.Contains(h.ConsoleLog(id), step.console) })
		h.Terminate(id)
		eventually(t, "terminated", func() bool { return h.state(id) == Terminated || h.state(id) == "" })
		if n := find(); n != nil {
			eventually(t, "the node is lost, and not deleted", func() bool { return readiness(find()) == corev1.ConditionUnknown })
		}
	}
}

// TestNoJoin has a broken image buy a machine for nothing.
func TestNoJoin(t *testing.T) {
	c := Cluster{Name: "demo", Endpoint: "https://e", CA: authority(t), ServiceCIDR: "10.96.0.0/16"}
	client := fake.NewClientset()
	h := start(t, Options{Types: FewTypes(), Cluster: c, Client: client, World: NewWorld("us-west-2", Cluster{Name: "test"})})
	wrong := c
	wrong.Name = "other"
	h.template("tpl", userData(nodeConfigYAML(wrong, "")))
	id := h.launch(h.fleet("tpl", "c", pool("m5.xlarge", "b", "spot")))
	eventually(t, "the console says why", func() bool { return strings.Contains(h.ConsoleLog(id), "the token is for cluster") })
	if got := history(client)(); len(got) != 0 {
		t.Errorf("writes: %v", got)
	}
	if s := h.state(id); s != Running {
		t.Errorf("the instance is %s: nobody ended it", s)
	}
}

// TestJoinRetries has the API server fail a while.
func TestJoinRetries(t *testing.T) {
	c := Cluster{Name: "demo", Endpoint: "https://e", CA: authority(t), ServiceCIDR: "10.96.0.0/16"}
	client := fake.NewClientset()
	failures := 2
	client.PrependReactor("create", "nodes", func(clienttesting.Action) (bool, runtime.Object, error) {
		failures--
		return failures >= 0, nil, apierrors.NewInternalError(fmt.Errorf("not yet"))
	})
	h := start(t, Options{Types: FewTypes(), Cluster: c, Client: client, World: NewWorld("us-west-2", Cluster{Name: "test"})})
	h.template("tpl", userData(nodeConfigYAML(c, "")))
	id := h.launch(h.fleet("tpl", "c", pool("m5.xlarge", "b", "spot")))
	eventually(t, "ready", func() bool { return strings.Contains(h.ConsoleLog(id), "is ready") })
}

func TestGPU(t *testing.T) {
	c := Cluster{Name: "demo", Endpoint: "https://e", CA: authority(t), ServiceCIDR: "10.96.0.0/16"}
	client := fake.NewClientset()
	h := start(t, Options{Types: FewTypes(), Cluster: c, Client: client, World: NewWorld("us-west-2", Cluster{Name: "test"})})
	nvidia, _ := h.parameter("/aws/service/eks/optimized-ami/1.36/amazon-linux-2023/x86_64/nvidia" + recommended)
	for n, image := range []string{h.image("amd64"), nvidia} {
		h.template(fmt.Sprint("tpl", n), func(d *types.RequestLaunchTemplateData) {
			userData(nodeConfigYAML(c, ""))(d)
			d.ImageId = &image
		})
		id := h.launch(h.fleet(fmt.Sprint("tpl", n), fmt.Sprint("c", n), pool("g5.xlarge", "b", "on-demand")))
		eventually(t, "ready", func() bool { return strings.Contains(h.ConsoleLog(id), "is ready") })
		node, err := client.CoreV1().Nodes().Get(t.Context(), h.Instances()[n].Node, metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if q := node.Status.Allocatable["nvidia.com/gpu"]; q.Value() != int64(n) {
			t.Errorf("image %s: %s GPUs, want %d", image, q.String(), n)
		}
		if node.Status.Capacity.Cpu().IsZero() {
			t.Error("the device plugin's patch took the other resources away")
		}
	}
}

func TestStartupTaints(t *testing.T) {
	c := Cluster{Name: "demo", Endpoint: "https://e", CA: authority(t), ServiceCIDR: "10.96.0.0/16"}
	client := fake.NewClientset()
	h := start(t, Options{Types: FewTypes(), Cluster: c, Client: client, World: NewWorld("us-west-2", Cluster{Name: "test"}),
		StartupTaints: map[string]time.Duration{"example.com/agent": 10 * time.Millisecond}})
	h.template("tpl", userData(nodeConfigYAML(c, "  kubelet: {flags: ['--register-with-taints=example.com/agent:NoSchedule,stays:NoExecute']}\n")))
	id := h.launch(h.fleet("tpl", "c", pool("m5.xlarge", "b", "spot")))
	eventually(t, "one taint is left", func() bool {
		node, err := client.CoreV1().Nodes().Get(t.Context(), "ip-10-0-64-4.us-west-2.compute.internal", metav1.GetOptions{})
		if err != nil {
			return false
		}
		keys := map[string]bool{}
		for _, x := range node.Spec.Taints {
			keys[x.Key] = true
		}
		return maps.Equal(keys, map[string]bool{"stays": true})
	})
	if log := h.ConsoleLog(id); !strings.Contains(log, "is ready") {
		t.Errorf("the taint went before the node was ready: %s", log)
	}
}

func TestEndpointAndCA(t *testing.T) {
	h := start(t, Options{})
	if !strings.HasPrefix(h.URL(), "http://127.0.0.1:") || !slices.Contains(h.Env(), "AWS_ENDPOINT_URL="+h.URL()) || !slices.Contains(h.Env(), "AWS_REGION=us-west-2") {
		t.Error(h.Env())
	}
}
