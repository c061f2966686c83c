package aws

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/BurntSushi/toml"
	"github.com/google/go-cmp/cmp"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"

	"github.com/stowage-sh/stowage/cloudprovider"
	v1 "github.com/stowage-sh/stowage/cloudprovider/aws/v1"
)

var (
	plainLabels = map[string]string{"karpenter.sh/nodepool": "web", "team": "blue"}
	plainTaints = []cloudprovider.Taint{{Key: "karpenter.sh/unregistered", Effect: "NoExecute"}}
)

const bottlerocketUserData = `# The comment goes, the settings stay.
[settings.kubernetes]
api-server = "https://elsewhere.example"
cluster-dns-ip = "10.0.0.53"
standalone-mode = false

[settings.kubernetes.node-labels]
team = "red"
"storage.k8s.io/fast" = "as the user says"

[settings.kubernetes.node-taints]
dedicated = ["db:NoSchedule", "db:PreferNoSchedule"]
old = "style:NoExecute"

[settings.bootstrap-commands.hello]
commands = [["apiclient", "set", "motd=ahoy"]]
mode = "once"

[settings.autoscaling]
should-wait = true
`

// everything is a bootstrap with a bit of all that its family can do.
func everything(family v1.AMIFamily, userData string) bootstrap {
	b := bootstrap{
		spec: &v1.EC2NodeClassSpec{AMIFamily: family, UserData: userData, Kubelet: map[string]apiextensionsv1.JSON{
			"clusterDNS": raw(`["10.100.0.53","10.100.0.54"]`), "maxPods": raw(`40`),
			"kubeReserved": raw(`{"memory":"1Gi","cpu":"100m"}`), "evictionHard": raw(`{"memory.available":"5%","nodefs.available":"10Gi"}`),
			"evictionSoft": raw(`{"memory.available":"8%"}`), "evictionSoftGracePeriod": raw(`{"memory.available":"1m30s"}`),
			"imageGCHighThresholdPercent": raw(`80`), "cpuCFSQuota": raw(`false`), "cpuManagerPolicyOptions": raw(`{"full-pcpus-only":"true","distribute-cpus-across-numa":"false"}`),
			"reservedMemory":      raw(`[{"numaNode":0,"limits":{"memory":"1124Mi"}},{"numaNode":1,"limits":{"memory":"0","hugepages-2Mi":"4Mi"}}]`),
			"containerLogMaxSize": raw(`"20Mi"`), "allowedUnsafeSysctls": raw(`["net.*","kernel.msg*"]`),
		}},
		labels: map[string]string{
			"team": "blue", "node.kubernetes.io/instance-type": "m5.large", "node-role.kubernetes.io/worker": "", "example.com/empty": "",
		},
		taints:  []cloudprovider.Taint{{Key: "dedicated", Value: "web", Effect: "NoSchedule"}, {Key: "dedicated", Value: "web", Effect: "NoExecute"}, {Key: "karpenter.sh/unregistered", Effect: "NoExecute"}},
		maxPods: 40,
	}
	if family.WindowsBuild() == "" {
		b.spec.InstanceStorePolicy = v1.InstanceStoreRAID0
	}
	return b
}

// The flags of everything's kubelet, however they reach it.
var everythingFlags = []string{
	"--node-labels=example.com/empty=,node.kubernetes.io/instance-type=m5.large,team=blue",
	"--register-with-taints=dedicated=web:NoSchedule,dedicated=web:NoExecute,karpenter.sh/unregistered:NoExecute",
	"--max-pods=40",
	"--allowed-unsafe-sysctls=net.*,kernel.msg*",
	"--cluster-dns=10.100.0.53,10.100.0.54",
	"--container-log-max-size=20Mi",
	"--cpu-cfs-quota=false",
	"--cpu-manager-policy-options=distribute-cpus-across-numa=false",
	"--cpu-manager-policy-options=full-pcpus-only=true",
	"--eviction-hard=memory.available<5%,nodefs.available<10Gi",
	"--eviction-soft=memory.available<8%",
	"--eviction-soft-grace-period=memory.available=1m30s",
	"--image-gc-high-threshold=80",
	"--kube-reserved=cpu=100m,memory=1Gi",
	"--reserved-memory=0:memory=1124Mi",
	"--reserved-memory=1:hugepages-2Mi=4Mi,memory=0",
}

// written returns the user data of a case in userDataCases.
func written(t *testing.T, name string) string {
	t.Helper()
	b := userDataCases[name]
	b.cluster = testCluster
	data, err := b.userData()
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// arguments has a real bash run a script, with a function in place of the program
// that the script calls, and returns what that was called with.
func arguments(t *testing.T, script string) []string {
	t.Helper()
	bash, err := exec.LookPath("bash")
	if err != nil {
		t.Fatalf("bash is needed to read the script with, as nodes do: %v", err)
	}
	cmd := exec.Command(bash)
	cmd.Stdin = strings.NewReader("/etc/eks/bootstrap.sh() { printf '%s\\0' \"$@\"; }\n" + script)
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSuffix(string(out), "\x00"), "\x00")
}

func TestAL2ReadsBack(t *testing.T) {
	docs := read(t, written(t, "al2-everything"))
	if len(docs) != 2 || docs[0].body != "#!/bin/bash\necho ahoy\n" || docs[1].kind != "text/x-shellscript" || !strings.HasPrefix(docs[1].body, "#!") {
		t.Fatalf("documents are %+v, want the user's script and then ours", docs)
	}
	want := []string{"harbour", "--apiserver-endpoint", "https://api.harbour.example", "--b64-cluster-ca", "Q0EtUEVN", "--container-runtime", "containerd",
		"--dns-cluster-ip", "10.100.0.53", "--use-max-pods", "false", "--kubelet-extra-args", strings.Join(everythingFlags, " "), "--local-disks", "raid0"}
	if diff := cmp.Diff(want, arguments(t, docs[1].body)); diff != "" {
		t.Errorf("bootstrap.sh is called with:\n%s", diff)
	}
	plain := read(t, written(t, "al2-plain"))
	if got := arguments(t, plain[len(plain)-1].body); len(got) < 9 || got[7] != "--dns-cluster-ip" || got[8] != "10.100.0.10" {
		t.Errorf("without clusterDNS bootstrap.sh is called with %q, want the tenth address of the services", got)
	}
}

func TestAL2KeepsTheUsersArchive(t *testing.T) {
	b := bootstrap{cluster: testCluster, spec: &v1.EC2NodeClassSpec{AMIFamily: v1.AMIFamilyAL2, UserData: userDataCases["al2023-archive"].spec.UserData}}
	data, err := b.userData()
	if err != nil {
		t.Fatal(err)
	}
	docs := read(t, data)
	if len(docs) != 3 || docs[0].encoding != "base64" || docs[2].kind != "text/x-shellscript" {
		t.Errorf("documents are %+v, want the user's two and then our script", docs)
	}
}

func TestBottlerocketReadsBack(t *testing.T) {
	data := written(t, "bottlerocket-everything")
	var got map[string]any
	if _, err := toml.Decode(data, &got); err != nil {
		t.Fatalf("%v in\n%s", err, data)
	}
	want := map[string]any{"settings": map[string]any{
		"autoscaling": map[string]any{"should-wait": false},
		"bootstrap-commands": map[string]any{
			"000-mount-instance-storage": map[string]any{"essential": true, "mode": "always", "commands": []any{
				[]any{"apiclient", "ephemeral-storage", "init"},
				[]any{"apiclient", "ephemeral-storage", "bind", "--dirs", "/var/lib/containerd", "/var/lib/kubelet", "/var/log/pods"},
			}},
			"hello": map[string]any{"mode": "once", "commands": []any{[]any{"apiclient", "set", "motd=ahoy"}}},
		},
		"kubernetes": map[string]any{
			"api-server": "https://api.harbour.example", "cluster-certificate": "Q0EtUEVN", "cluster-name": "harbour",
			"cluster-dns-ip": []any{"10.100.0.53", "10.100.0.54"}, "standalone-mode": false, "max-pods": int64(40),
			"allowed-unsafe-sysctls": []any{"net.*", "kernel.msg*"}, "container-log-max-size": "20Mi", "cpu-cfs-quota-enforced": false,
			"cpu-manager-policy-options": []any{"full-pcpus-only"}, "image-gc-high-threshold-percent": "80",
			"eviction-hard": map[string]any{"memory.available": "5%", "nodefs.available": "10Gi"}, "eviction-soft": map[string]any{"memory.available": "8%"},
			"eviction-soft-grace-period": map[string]any{"memory.available": "1m30s"}, "kube-reserved": map[string]any{"cpu": "100m", "memory": "1Gi"},
			"memory-manager-reserved-memory": map[string]any{
				"0": map[string]any{"enabled": true, "memory": "1124Mi"}, "1": map[string]any{"enabled": true, "memory": "0", "hugepages-2Mi": "4Mi"},
			},
			"node-labels": map[string]any{"team": "blue", "example.com/empty": "", "node.kubernetes.io/instance-type": "m5.large", "storage.k8s.io/fast": "as the user says"},
			"node-taints": map[string]any{
				"dedicated": []any{"db:PreferNoSchedule", "web:NoSchedule", "web:NoExecute"}, "old": "style:NoExecute", "karpenter.sh/unregistered": []any{":NoExecute"},
			},
		},
	}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("settings:\n%s", diff)
	}
}

func TestBottlerocketDNS(t *testing.T) {
	for _, c := range []struct {
		why, userData, kubelet string
		want                   any
	}{
		{"the tenth address of the services", "", "", "10.100.0.10"},
		{"the user's setting", "settings.kubernetes.cluster-dns-ip = '10.0.0.53'", "", "10.0.0.53"},
		{"spec.kubelet before the user's setting", "settings.kubernetes.cluster-dns-ip = '10.0.0.53'", `["10.100.0.99"]`, "10.100.0.99"},
	} {
		b := bootstrap{cluster: testCluster, spec: &v1.EC2NodeClassSpec{AMIFamily: v1.AMIFamilyBottlerocket, UserData: c.userData}}
		if c.kubelet != "" {
			b.spec.Kubelet = map[string]apiextensionsv1.JSON{"clusterDNS": raw(c.kubelet)}
		}
		data, err := b.userData()
		if err != nil {
			t.Fatal(err)
		}
		var got struct {
			Settings struct{ Kubernetes map[string]any }
		}
		if _, err := toml.Decode(data, &got); err != nil {
			t.Fatal(err)
		}
		if dns := got.Settings.Kubernetes["cluster-dns-ip"]; dns != c.want {
			t.Errorf("%s: %v, want %v", c.why, dns, c.want)
		}
	}
}

func TestBindsByDefault(t *testing.T) {
	for name, want := range map[string]bool{
		"bottlerocket-aws-k8s-1.33-x86_64-v1.46.0-431fe75a": true, "bottlerocket-aws-k8s-1.33-nvidia-aarch64-v2.0.0-431fe75a": true,
		"bottlerocket-aws-k8s-1.33-x86_64-v1.45.9-431fe75a": false, "my-own-v2-build": false, "": false,
	} {
		if bindsByDefault(name) != want {
			t.Errorf("bindsByDefault(%q) is %v", name, !want)
		}
	}
}

// TestQuotes has text that means something to each reader of user data.
func TestQuotes(t *testing.T) {
	const odd = "it's a \"$HOME\" `ls` \\ & ;\u2019 \u201b|%x\n# end"
	if got := arguments(t, "/etc/eks/bootstrap.sh "+shellQuote(odd)+" "+shellQuote("")); !cmp.Equal(got, []string{odd, ""}) {
		t.Errorf("bash reads %q", got)
	}
	// Between single quotes PowerShell gives a meaning to quotes only, of which it knows five.
	quoted := powershellQuote(odd)
	inside := strings.TrimSuffix(strings.TrimPrefix(quoted, "'"), "'")
	for _, q := range []string{"'", "\u2018", "\u2019", "\u201a", "\u201b"} {
		if strings.Contains(strings.ReplaceAll(inside, q+q, ""), q) {
			t.Errorf("%s holds a single %s", quoted, q)
		}
		inside = strings.ReplaceAll(inside, q+q, q)
	}
	if inside != odd {
		t.Errorf("PowerShell reads %q", inside)
	}
	b := bootstrap{cluster: testCluster, spec: &v1.EC2NodeClassSpec{AMIFamily: v1.AMIFamilyBottlerocket}, labels: map[string]string{"a": odd}}
	data, err := b.userData()
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		Settings struct {
			Kubernetes struct {
				Labels map[string]string `toml:"node-labels"`
			}
		}
	}
	if _, err := toml.Decode(data, &got); err != nil || got.Settings.Kubernetes.Labels["a"] != odd {
		t.Errorf("TOML reads %q, %v", got.Settings.Kubernetes.Labels, err)
	}
	// Kubelet's flags are split once more, by systemd or by Windows: there are no quotes that both take.
	for _, family := range []v1.AMIFamily{v1.AMIFamilyAL2, v1.AMIFamilyWindows2022} {
		for _, value := range []string{"two words", "it's", `"`, `back\slash`, "$HOME", "%n", "line\nend"} {
			b := bootstrap{cluster: testCluster, spec: &v1.EC2NodeClassSpec{AMIFamily: family}, taints: []cloudprovider.Taint{{Key: "a", Value: value, Effect: "NoSchedule"}}}
			if data, err := b.userData(); err == nil || !strings.Contains(err.Error(), "cannot be given") {
				t.Errorf("%s takes %q for the value of a taint:\n%s", family, value, data)
			}
		}
	}
}

func TestWindowsReadsBack(t *testing.T) {
	data := written(t, "windows-everything")
	script, ok := strings.CutPrefix(data, "<powershell>\nWrite-Host 'ahoy'\n")
	script, closed := strings.CutSuffix(script, "\n</powershell>\n")
	if !ok || !closed {
		t.Fatalf("the user's script does not come first, between tags:\n%s", data)
	}
	// A backtick at the end of a line continues it.
	words := strings.SplitN(strings.ReplaceAll(script, " `\n  ", " "), " -", -1)
	for i, w := range words[1:] {
		words[i+1] = "-" + w
	}
	want := []string{`& "$env:ProgramFiles\Amazon\EKS\Start-EKSBootstrap.ps1"`, "-EKSClusterName 'harbour'", "-APIServerEndpoint 'https://api.harbour.example'",
		"-Base64ClusterCA 'Q0EtUEVN'", "-DNSClusterIP '10.100.0.53'", "-ServiceCIDR '10.100.0.0/16'", "-KubeletExtraArgs '" + everythingFlags[0]}
	want = append(want, everythingFlags[1:]...)
	want[len(want)-1] += "'"
	if diff := cmp.Diff(want, words); diff != "" {
		t.Errorf("the call is:\n%s", diff)
	}
}

// TestWhatAFamilyCannotDo: each is an error that names the field, and tells what is
// wrong from what the family lacks.
func TestWhatAFamilyCannotDo(t *testing.T) {
	for _, c := range []struct {
		family      v1.AMIFamily
		key, value  string
		want        string
		unsupported bool
	}{
		{v1.AMIFamilyBottlerocket, "podsPerCore", "4", "spec.kubelet.podsPerCore: nodes of family Bottlerocket have no such setting", true},
		{v1.AMIFamilyBottlerocket, "featureGates", `{"A":true}`, "spec.kubelet.featureGates: nodes", true},
		{v1.AMIFamilyAL2, "shutdownGracePeriod", `"30s"`, "spec.kubelet.shutdownGracePeriod: nodes of family AL2", true},
		{v1.AMIFamilyWindows2022, "memorySwap", `{"swapBehavior":"NoSwap"}`, "spec.kubelet.memorySwap: nodes of family Windows2022", true},
		{v1.AMIFamilyBottlerocket, "memorySwap", `{"swapBehavior":"NoSwap"}`, "", false},
		{v1.AMIFamilyBottlerocket, "memorySwap", `"NoSwap"`, "is not a map with swapBehavior", false},
		{v1.AMIFamilyAL2, "reservedMemory", `[{"numaNode":0,"limits":{"memory":"1Gi"},"more":1}]`, "is not a list of numaNode and limits", false},
		{v1.AMIFamilyBottlerocket, "reservedMemory", `[{"numaNode":"0","limits":{}}]`, "is not a list of numaNode and limits", false},
		{v1.AMIFamilyAL2, "clusterDNS", `"10.0.0.10"`, `spec.kubelet.clusterDNS: "10.0.0.10" is not a list`, false},
		{v1.AMIFamilyBottlerocket, "clusterDNS", `{"a":"b"}`, "is not a list", false},
		{v1.AMIFamilyAL2, "cpuCFSQuota", `[true]`, "is not text, a whole number, true or false", false},
		{v1.AMIFamilyAL2, "registryPullQPS", `1.5`, "is not text, a whole number", false},
		{v1.AMIFamilyBottlerocket, "cpuManagerPolicyOptions", `{"a":"perhaps"}`, "is not a map of true and false", false},
		{v1.AMIFamilyAL2, "clusterDomain", `"a b"`, `spec.kubelet.clusterDomain: kubelet cannot be given "--cluster-domain=a b"`, false},
		{v1.AMIFamilyAL2, "evictionSoft", `{"memory.available":"5%n"}`, "kubelet cannot be given", false},
		{v1.AMIFamilyAL2023, "podsPerCore", "4", "", false},
		{v1.AMIFamilyAL2023, "shutdownGracePeriod", `"30s"`, "", false},
		{v1.AMIFamilyCustom, "featureGates", `{"A":true}`, "", false},
		{v1.AMIFamilyAL2, "featureGates", `{"A":true}`, "", false},
		{v1.AMIFamilyAL2, "evictionSoft", `null`, "", false},
	} {
		err := CheckNodeClass(&v1.EC2NodeClassSpec{AMIFamily: c.family, Kubelet: map[string]apiextensionsv1.JSON{c.key: raw(c.value)}})
		if c.want == "" {
			if err != nil {
				t.Errorf("%s %s=%s: %v", c.family, c.key, c.value, err)
			}
			continue
		}
		wrong, ok := err.(*NodeClassError)
		if !ok || !strings.Contains(err.Error(), c.want) || wrong.Unsupported != c.unsupported {
			t.Errorf("%s %s=%s: error is %#v, want one with %q", c.family, c.key, c.value, err, c.want)
		}
	}
	if err := CheckNodeClass(&v1.EC2NodeClassSpec{AMIFamily: v1.AMIFamilyWindows2022, InstanceStorePolicy: v1.InstanceStoreRAID0}); err == nil || !strings.Contains(err.Error(), "spec.instanceStorePolicy") {
		t.Errorf("RAID0 on Windows: %v", err)
	}
}

func TestTenthAddress(t *testing.T) {
	for cidr, want := range map[string]string{"10.96.0.0/12": "10.96.0.10", "172.20.128.0/17": "172.20.128.10", "fd12:3456::/108": "fd12:3456::a", "": ""} {
		if got := (bootstrap{cluster: Cluster{ServiceCIDR: cidr}, spec: &v1.EC2NodeClassSpec{}}).dns(); got != want {
			t.Errorf("the DNS server of %q is %q, want %q", cidr, got, want)
		}
	}
}
