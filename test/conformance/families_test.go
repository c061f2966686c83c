package conformance_test

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/stowage-sh/stowage/cloudprovider"
	v1 "github.com/stowage-sh/stowage/cloudprovider/aws/v1"
)

// joined waits for the node of an instance.
func (a *account) joined(id string) *corev1.Node {
	a.Helper()
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		list, err := a.kube.CoreV1().Nodes().List(a.Context(), metav1.ListOptions{})
		if err != nil {
			a.Fatal(err)
		}
		for i := range list.Items {
			if strings.HasSuffix(list.Items[i].Spec.ProviderID, id) {
				return &list.Items[i]
			}
		}
	}
	a.Fatalf("no node came of %s; its console says:\n%s", id, a.sim.ConsoleLog(id))
	return nil
}

// TestFamilies buys a machine of each family of images. The simulator reads the user
// data as the image would, and the node that comes of it has the labels, taints and
// the number of pods that were asked for, and at least the room that was promised.
func TestFamilies(t *testing.T) {
	mine := []v1.AMISelectorTerm{{Tags: map[string]string{"Name": "custom"}}}
	alias := func(name string) []v1.AMISelectorTerm { return []v1.AMISelectorTerm{{Alias: name}} }
	for _, c := range []struct {
		family   v1.AMIFamily
		terms    []v1.AMISelectorTerm
		userData string
		system   string
		build    string
		image    string // what the name of the image begins with
	}{
		{v1.AMIFamilyAL2, mine, "#!/bin/bash\necho ahoy\n", "linux", "", "custom-amd64"},
		{v1.AMIFamilyAL2023, alias("al2023@latest"), "#!/bin/bash\necho ahoy\n", "linux", "", "amazon-eks-node-al2023-x86_64-standard"},
		{v1.AMIFamilyBottlerocket, alias("bottlerocket@latest"), "[settings.kubernetes]\nnode-labels.mine = 'yes'\nnode-taints.dedicated = ['db:NoSchedule', 'db:NoExecute']\n", "linux", "", "bottlerocket-aws-k8s-1.36-x86_64-v1.60.0"},
		{v1.AMIFamilyBottlerocket, alias("bottlerocket@v1.45.0"), "", "linux", "", "bottlerocket-aws-k8s-1.36-x86_64-v1.45.0"},
		{v1.AMIFamilyWindows2019, alias("windows2019@latest"), "Write-Host 'ahoy'", "windows", "10.0.17763", "Windows_Server-2019"},
		{v1.AMIFamilyWindows2022, alias("windows2022@latest"), "", "windows", "10.0.20348", "Windows_Server-2022"},
		{v1.AMIFamilyWindows2025, alias("windows2025@latest"), "", "windows", "10.0.26100", "Windows_Server-2025"},
	} {
		t.Run(string(c.family)+"/"+c.image, func(t *testing.T) {
			a := newAccount(t)
			a.class.Spec.AMIFamily, a.class.Spec.AMISelectorTerms, a.class.Spec.UserData = c.family, c.terms, c.userData
			a.class.Spec.Kubelet = map[string]apiextensionsv1.JSON{
				"maxPods": {Raw: []byte(`17`)}, "systemReserved": {Raw: []byte(`{"cpu":"100m","memory":"100Mi"}`)},
				"evictionHard": {Raw: []byte(`{"memory.available":"5%"}`)}, "clusterDNS": {Raw: []byte(`["10.96.0.53"]`)},
			}
			a.resolve()
			want := map[string]string{"kubernetes.io/os": c.system}
			if c.build != "" {
				want[corev1.LabelWindowsBuild] = c.build
			}
			if strings.Contains(c.userData, "node-labels") {
				want["mine"] = "yes"
			}
			a.joinsAsAsked(want, c.image)
		})
	}
}

// joinsAsAsked buys an m5.large of the class, which allows 17 pods, and compares the
// node that comes, and the image that it boots.
func (a *account) joinsAsAsked(labels map[string]string, image string) {
	a.Helper()
	p := a.provider()
	ref := a.cloud().Class
	catalog := a.catalog(p)
	it, ok := catalog.InstanceType("m5.large")
	if !ok {
		a.Fatal("the catalog lacks m5.large")
	}
	taints := []cloudprovider.Taint{{Key: "dedicated", Value: "web", Effect: "NoSchedule"}, {Key: "karpenter.sh/unregistered", Effect: "NoExecute"}}
	i, err := p.Launch(a.Context(), cloudprovider.LaunchRequest{Claim: "web", UID: "uid-of-web", Class: ref, NodePool: "web", Offerings: it.Offerings[:1],
		Labels: map[string]string{"karpenter.sh/nodepool": "web", "team": "blue"}, Taints: taints})
	if err != nil {
		a.Fatal(err)
	}
	node := a.joined(i.ID)
	want := map[string]string{
		"karpenter.sh/nodepool": "web", "team": "blue", "karpenter.sh/do-not-sync-taints": "true", "karpenter.k8s.aws/ec2nodeclass": "default",
		"karpenter.sh/capacity-type": it.Offerings[0].CapacityType,
	}
	maps.Copy(want, labels)
	got := maps.Clone(node.Labels)
	maps.DeleteFunc(got, func(key, _ string) bool { return want[key] == "" })
	if diff := cmp.Diff(want, got); diff != "" {
		a.Errorf("labels:\n%s", diff)
	}
	for _, taint := range taints {
		if !slices.Contains(node.Spec.Taints, corev1.Taint{Key: taint.Key, Value: taint.Value, Effect: corev1.TaintEffect(taint.Effect)}) {
			a.Errorf("taints are %v, without %v", node.Spec.Taints, taint)
		}
	}
	room := node.Status.Allocatable
	if n := room.Pods().Value(); n != 17 {
		a.Errorf("%d pods, want 17", n)
	}
	if room.Cpu().MilliValue() < it.Allocatable["cpu"] || room.Memory().Value() < it.Allocatable["memory"] {
		a.Errorf("there is room for %s and %s, and %v was promised", room.Cpu(), room.Memory(), it.Allocatable)
	}
	if log := a.sim.ConsoleLog(i.ID); strings.Contains(log, "warning") || !strings.Contains(log, "booting "+image) {
		a.Errorf("the console says:\n%s", log)
	}
}

// TestLocalDisks: with RAID0 a node's ephemeral storage is on the machine's own disks,
// in each family that can do it.
func TestLocalDisks(t *testing.T) {
	for family, terms := range map[v1.AMIFamily][]v1.AMISelectorTerm{
		v1.AMIFamilyAL2: {{Tags: map[string]string{"Name": "custom"}}}, v1.AMIFamilyAL2023: {{Alias: "al2023@latest"}}, v1.AMIFamilyBottlerocket: {{Alias: "bottlerocket@latest"}},
	} {
		a := newAccount(t)
		a.class.Spec.AMIFamily, a.class.Spec.AMISelectorTerms, a.class.Spec.InstanceStorePolicy = family, terms, v1.InstanceStoreRAID0
		a.resolve()
		p := a.provider()
		ref := a.cloud().Class
		catalog := a.catalog(p)
		at := slices.IndexFunc(catalog.InstanceTypes, func(it cloudprovider.InstanceType) bool {
			return it.Labels[v1.LabelInstanceLocalNVME] != ""
		})
		if at < 0 {
			t.Fatal("the catalog has no type with disks of its own")
		}
		it := catalog.InstanceTypes[at]
		i, err := p.Launch(t.Context(), cloudprovider.LaunchRequest{Claim: "web", UID: "uid-of-web", Class: ref, NodePool: "web", Offerings: it.Offerings[:1]})
		if err != nil {
			t.Fatal(err)
		}
		room := a.joined(i.ID).Status.Capacity[corev1.ResourceEphemeralStorage]
		if room.Value() < it.Capacity["ephemeral-storage"]*99/100 {
			t.Errorf("%s: a node of %s has %s, and %d was promised", family, it.Name, room.String(), it.Capacity["ephemeral-storage"])
		}
	}
}
