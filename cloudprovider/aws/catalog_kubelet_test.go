package aws

import (
	"errors"
	"testing"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"

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
