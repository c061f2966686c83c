package aws

import (
	"encoding/base64"
	"errors"
	"strings"
	"testing"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"

	"github.com/stowage-sh/stowage/cloudprovider"
	v1 "github.com/stowage-sh/stowage/cloudprovider/aws/v1"
)

func TestKubeletErrorsNameTheKey(t *testing.T) {
	for _, c := range []struct{ key, value, field string }{
		{"maxPod", `110`, "kubelet.maxPod"},
		{"MaxPods", `110`, "kubelet.MaxPods"},
		{"maxPods", `"ips_per_eni * default_enis"`, "kubelet.maxPods"},
		{"maxPods", `-1`, "kubelet.maxPods"},
		{"maxPods", `1.5`, "kubelet.maxPods"},
		{"podsPerCore", `"10"`, "kubelet.podsPerCore"},
		{"kubeReserved", `"500Mi"`, "kubelet.kubeReserved"},
		{"kubeReserved", `{"memory":"500 MB"}`, "kubelet.kubeReserved.memory"},
		{"systemReserved", `{"cpu":"-1"}`, "kubelet.systemReserved.cpu"},
		{"systemReserved", `{"nvidia.com/gpu":"1"}`, "kubelet.systemReserved.nvidia.com/gpu"},
		{"evictionHard", `{"memory.availabel":"5%"}`, "kubelet.evictionHard.memory.availabel"},
		{"evictionHard", `{"memory.available":"five"}`, "kubelet.evictionHard.memory.available"},
		{"evictionHard", `{"memory.available":"%"}`, "kubelet.evictionHard.memory.available"},
		{"evictionHard", `{"memory.available":"101%"}`, "kubelet.evictionHard.memory.available"},
		{"evictionHard", `{"memory.available":"-5%"}`, "kubelet.evictionHard.memory.available"},
		{"evictionHard", `{"memory.available":"0.00001%"}`, "kubelet.evictionHard.memory.available"},
		{"registerWithTaints", `[]`, "kubelet.registerWithTaints"},
		{"reservedSystemCPUs", `"0-1"`, "kubelet.reservedSystemCPUs"},
	} {
		spec := &v1.EC2NodeClassSpec{AMIFamily: v1.AMIFamilyAL2023, Kubelet: map[string]apiextensionsv1.JSON{
			"clusterDNS": {Raw: []byte(`["10.0.0.10"]`)}, c.key: {Raw: []byte(c.value)},
		}}
		wrong, ok := errors.AsType[*NodeClassError](CheckNodeClass(spec))
		if !ok || wrong.Field != c.field || wrong.Problem == "" {
			t.Errorf("%s: %s gives %v, want a NodeClassError of %s", c.key, c.value, wrong, c.field)
		}
	}
	if err := CheckNodeClass(&v1.EC2NodeClassSpec{AMIFamily: v1.AMIFamilyAL2023, BlockDeviceMappings: []v1.BlockDeviceMapping{
		{DeviceName: "/dev/xvda", EBS: &v1.BlockDevice{VolumeSize: "lots"}},
	}}); err == nil || err.Error() != `spec.blockDeviceMappings[0].ebs.volumeSize: "lots" is not a size` {
		t.Errorf("a wrong volume size gives %v", err)
	}
}

// TestKubeletOfUserData: what the user's own user data takes of a node is not promised
// to pods, and spec.kubelet comes over it as it does at the node.
func TestKubeletOfUserData(t *testing.T) {
	const settings = "[settings.kubernetes.kube-reserved]\nmemory = '2Gi'\n[settings.kubernetes.eviction-hard]\n'memory.available' = '1Gi'\n"
	config := func(lines string) string {
		return "apiVersion: node.eks.aws/v1alpha1\nkind: NodeConfig\nspec:\n  kubelet:\n    config:\n" + lines
	}
	const reserved = "      kubeReserved: {memory: 2Gi, cpu: 500m}\n      podsPerCore: 3\n"
	with := func(family v1.AMIFamily, userData string, kubelet ...string) func(*v1.EC2NodeClassSpec) {
		return func(s *v1.EC2NodeClassSpec) {
			kubeletOf(kubelet...)(s)
			s.AMIFamily, s.UserData = family, userData
		}
	}
	archive := "MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: text/x-shellscript\n\n#!/bin/sh\n--b\nContent-Type: application/node.eks.aws\n\n" + config(reserved) + "\n--b--\n"
	encoded := func(encoding, body string) string {
		return strings.Replace(strings.Replace(archive, "node.eks.aws\n", "node.eks.aws\nContent-Transfer-Encoding: "+encoding+"\n", 1), config(reserved), body, 1)
	}
	inBase64 := base64.StdEncoding.EncodeToString([]byte(config(reserved)))
	inBase64 = inBase64[:60] + "\r\n" + inBase64[60:]
	parts := strings.Replace(archive, "text/x-shellscript\n\n#!/bin/sh", "application/node.eks.aws; charset=us-ascii\n\n"+config("      kubeReserved: {memory: 4Gi, cpu: 700m}"), 1)
	parts = strings.Replace(parts, "{memory: 2Gi, cpu: 500m}", "{cpu: 500m}", 1)
	runClassCases(t, []classCase{
		{"two NodeConfigs, merged by key", with(v1.AMIFamilyAL2023, parts), cloudprovider.Resources{"memory": (7577 - 4096 - 100) * mib, "cpu": 1500}},
		{"Bottlerocket's settings", with(v1.AMIFamilyBottlerocket, settings), cloudprovider.Resources{"memory": (7577 - 2048 - 1024) * mib, "cpu": 1930}},
		{"spec.kubelet in place of one", with(v1.AMIFamilyBottlerocket, settings, "kubeReserved", `{"memory":"1Gi"}`), cloudprovider.Resources{"memory": (7577 - 1024 - 1024) * mib}},
		{"a NodeConfig", with(v1.AMIFamilyAL2023, config(reserved)), cloudprovider.Resources{"memory": (7577 - 2048 - 100) * mib, "cpu": 1500, "pods": 6}},
		{"a NodeConfig in an archive", with(v1.AMIFamilyAL2023, archive), cloudprovider.Resources{"memory": (7577 - 2048 - 100) * mib, "cpu": 1500}},
		{"a NodeConfig in base64", with(v1.AMIFamilyAL2023, encoded("Base64", inBase64)), cloudprovider.Resources{"memory": (7577 - 2048 - 100) * mib, "cpu": 1500}},
		{"a NodeConfig with quoted letters", with(v1.AMIFamilyAL2023, encoded("quoted-printable", strings.ReplaceAll(config(reserved), "kubeReserved", "kube=52eserved"))), cloudprovider.Resources{"cpu": 1500}},
		{"a NodeConfig that is not in base64", with(v1.AMIFamilyAL2023, encoded("base64", "%%%")), cloudprovider.Resources{"memory": 6903 * mib}},
		{"spec.kubelet over a NodeConfig, by key", with(v1.AMIFamilyAL2023, config(reserved), "kubeReserved", `{"memory":"1Gi"}`), cloudprovider.Resources{"memory": (7577 - 1024 - 100) * mib, "cpu": 1500}},
		{"a script's doings", with(v1.AMIFamilyAL2023, "#!/bin/sh\n"), cloudprovider.Resources{"memory": 6903 * mib}},
		{"another family's settings", with(v1.AMIFamilyCustom, settings), cloudprovider.Resources{"memory": 6903 * mib}},
	})
	for _, c := range []struct {
		family         v1.AMIFamily
		userData, want string
	}{
		{v1.AMIFamilyBottlerocket, "settings.kubernetes.kube-reserved.memory = 'lots'", `spec.userData: kubelet's kubeReserved.memory in it "lots" is not a quantity`},
		{v1.AMIFamilyAL2023, config("      evictionHard: {moon.available: 5%}\n"), "spec.userData: kubelet's evictionHard.moon.available in it is not an eviction signal"},
	} {
		err := CheckNodeClass(&v1.EC2NodeClassSpec{AMIFamily: c.family, UserData: c.userData})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("error is %v, want %s", err, c.want)
		}
	}
}

func TestThresholds(t *testing.T) {
	for _, c := range []struct {
		text           string
		capacity, want int64
	}{
		{"100Mi", 1, 100 * mib}, {"5%", 1000, 50}, {"5%", 1001, 51}, {"7.5%", 1000, 75}, {"0.0001%", 1_000_000, 1},
		{"0%", 1000, 0}, {"100%", 1000, 0}, {"99.9999%", 1_000_000, 999_999},
		{"10%", 1 << 62, (1<<62 + 9) / 10}, // no overflow
	} {
		threshold, err := parseThreshold(c.text)
		if err != nil {
			t.Errorf("parseThreshold(%q): %v", c.text, err)
		} else if got := threshold.of(c.capacity); got != c.want {
			t.Errorf("%s of %d is %d, want %d", c.text, c.capacity, got, c.want)
		}
	}
}
