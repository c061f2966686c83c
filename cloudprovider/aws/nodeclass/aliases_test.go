package nodeclass

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"

	"github.com/stowage-sh/stowage/cloudprovider/aws"
	v1 "github.com/stowage-sh/stowage/cloudprovider/aws/v1"
)

// TestAliases publishes the images of each family under the names of AWS's
// documentation, and has the class say what it found and for which types.
func TestAliases(t *testing.T) {
	const eks, bottlerocket, windows = "/aws/service/eks/optimized-ami/", "/aws/service/bottlerocket/aws-k8s-", "/aws/service/ami-windows-latest/Windows_Server-"
	const noDevices = " karpenter.k8s.aws/instance-accelerator-count DoesNotExist karpenter.k8s.aws/instance-gpu-count DoesNotExist"
	const gpu, accelerator = " karpenter.k8s.aws/instance-gpu-count Exists", " karpenter.k8s.aws/instance-accelerator-count Exists"
	for _, c := range []struct {
		alias, version string
		parameters     [][2]string // names, and the architectures of the images, which are numbered
		want           []string
	}{
		{"al2@latest", "1.32", [][2]string{
			{eks + "1.32/amazon-linux-2/recommended/image_id", "x86_64"}, {eks + "1.32/amazon-linux-2-arm64/recommended/image_id", "arm64"}, {eks + "1.32/amazon-linux-2-gpu/recommended/image_id", "x86_64"},
		}, []string{"0 amd64" + noDevices, "1 arm64" + noDevices, "2 amd64" + accelerator, "2 amd64" + gpu}},
		{"al2@v20250920", "1.31", [][2]string{
			{eks + "1.31/amazon-linux-2/amazon-eks-node-1.31-v20250920/image_id", "x86_64"}, {eks + "1.31/amazon-linux-2-arm64/amazon-eks-arm64-node-1.31-v20250920/image_id", "arm64"},
			{eks + "1.31/amazon-linux-2-gpu/amazon-eks-gpu-node-1.31-v20250920/image_id", "x86_64"},
		}, []string{"0 amd64" + noDevices, "1 arm64" + noDevices, "2 amd64" + accelerator, "2 amd64" + gpu}},
		{"al2023@v20260801", "1.36", [][2]string{
			{eks + "1.36/amazon-linux-2023/x86_64/neuron/amazon-eks-node-al2023-x86_64-neuron-1.36-v20260801/image_id", "x86_64"},
			{eks + "1.36/amazon-linux-2023/arm64/nvidia/amazon-eks-node-al2023-arm64-nvidia-1.36-v20260801/image_id", "arm64"},
		}, []string{"0 amd64" + accelerator, "1 arm64" + gpu}},
		{"bottlerocket@latest", "1.36", [][2]string{
			{bottlerocket + "1.36/x86_64/latest/image_id", "x86_64"}, {bottlerocket + "1.36/arm64/latest/image_id", "arm64"},
			{bottlerocket + "1.36-nvidia/x86_64/latest/image_id", "x86_64"}, {bottlerocket + "1.36-nvidia/arm64/latest/image_id", "arm64"},
		}, []string{"0 amd64" + noDevices, "0 amd64" + accelerator, "1 arm64" + noDevices, "2 amd64" + gpu, "3 arm64" + gpu}},
		{"bottlerocket@v1.46.0", "1.33", [][2]string{{bottlerocket + "1.33/arm64/1.46.0/image_id", "arm64"}}, []string{"0 arm64" + noDevices}},
		{"bottlerocket@1.46.0", "1.33", [][2]string{{bottlerocket + "1.33/arm64/1.46.0/image_id", "arm64"}}, []string{"0 arm64" + noDevices}},
		{"windows2019@latest", "1.36", [][2]string{{windows + "2019-English-Core-EKS_Optimized-1.36/image_id", "x86_64"}},
			[]string{"0 amd64 kubernetes.io/os In windows node.kubernetes.io/windows-build In 10.0.17763"}},
		{"windows2022@latest", "1.36", [][2]string{{windows + "2022-English-Core-EKS_Optimized-1.36/image_id", "x86_64"}},
			[]string{"0 amd64 kubernetes.io/os In windows node.kubernetes.io/windows-build In 10.0.20348"}},
		{"windows2025@latest", "1.35", [][2]string{{windows + "2025-English-Core-EKS_Optimized-1.35/image_id", "x86_64"}},
			[]string{"0 amd64 kubernetes.io/os In windows node.kubernetes.io/windows-build In 10.0.26100"}},
	} {
		t.Run(c.alias, func(t *testing.T) {
			spec := goodSpec()
			spec.AMISelectorTerms[0].Alias = c.alias
			w := newWorld(t, spec)
			w.version, w.account.parameters, w.account.images = c.version, map[string]string{}, nil
			for i, p := range c.parameters {
				id := string(rune('0' + i))
				w.account.parameters[p[0]] = id
				w.account.images = append(w.account.images, ami(id, p[1], 1))
			}
			w.step(0)
			if !w.class().IsReady() {
				t.Fatalf("the class is not ready:\n%s", strings.Join(status(w.class()), "\n"))
			}
			var got []string
			for _, a := range w.class().Status.AMIs {
				line := a.ID
				for _, r := range a.Requirements {
					if r.Key == "kubernetes.io/arch" {
						line += " " + r.Values[0]
						continue
					}
					line += " " + r.Key + " " + string(r.Operator)
					if len(r.Values) > 0 {
						line += " " + strings.Join(r.Values, ",")
					}
				}
				got = append(got, line)
			}
			slices.Sort(got)
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("images:\n%s", diff)
			}
		})
	}
}

func TestUnsupportedAliases(t *testing.T) {
	for _, c := range []struct{ alias, version, want string }{
		{"al2@latest", "1.33", "AMIsReady False UnsupportedAlias: spec.amiSelectorTerms[0].alias al2@latest: there are images of Amazon Linux 2 up to Kubernetes 1.32, and the cluster has 1.33"},
		{"al2@latest", "1.32", "AMIsReady False AMINotFound"},
		{"windows2025@latest", "1.34", "AMIsReady False UnsupportedAlias: spec.amiSelectorTerms[0].alias windows2025@latest: there are images of Windows Server 2025 from Kubernetes 1.35 on"},
		{"windows2025@latest", "1.35", "AMIsReady False AMINotFound"},
	} {
		spec := goodSpec()
		spec.AMISelectorTerms[0].Alias = c.alias
		w := newWorld(t, spec)
		w.version = c.version
		w.step(0)
		if got := status(w.class()); !slices.ContainsFunc(got, func(s string) bool { return strings.HasPrefix(s, c.want) }) {
			t.Errorf("%s on %s: conditions are\n%s\nwant one of them\n%s", c.alias, c.version, strings.Join(got, "\n"), c.want)
		}
	}
}

// TestReasons: conditions have Karpenter's reasons, for who waits for one of them.
func TestReasons(t *testing.T) {
	for reason, edit := range map[string]func(*v1.EC2NodeClassSpec){
		"UnsupportedKubeletConfiguration": func(s *v1.EC2NodeClassSpec) {
			s.AMIFamily, s.Kubelet = v1.AMIFamilyBottlerocket, map[string]apiextensionsv1.JSON{"podsPerCore": {Raw: []byte(`4`)}}
		},
		"InvalidKubeletConfiguration": func(s *v1.EC2NodeClassSpec) {
			s.Kubelet = map[string]apiextensionsv1.JSON{"evictionHard": {Raw: []byte(`{"moon.available":"5%"}`)}}
		},
		"UserDataSizeLimitExceeded": func(s *v1.EC2NodeClassSpec) { s.UserData = strings.Repeat("#", aws.MaxUserDataBytes) },
		"InvalidUserData":           func(s *v1.EC2NodeClassSpec) { s.AMIFamily, s.UserData = v1.AMIFamilyBottlerocket, "[" },
		"InvalidSpec": func(s *v1.EC2NodeClassSpec) {
			s.AMIFamily, s.InstanceStorePolicy = v1.AMIFamilyWindows2022, v1.InstanceStoreRAID0
		},
	} {
		spec := goodSpec()
		edit(&spec)
		w := newWorld(t, spec)
		w.step(0)
		if got := status(w.class()); !slices.ContainsFunc(got, func(s string) bool { return strings.HasPrefix(s, "ValidationSucceeded False "+reason+": ") }) {
			t.Errorf("want reason %s of\n%s", reason, strings.Join(got, "\n"))
		}
	}
}
