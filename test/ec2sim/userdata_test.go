package ec2sim

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
)

// authority makes a PEM certificate of an authority.
func authority(t *testing.T) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), IsCA: true, BasicConstraintsValid: true, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

// nodeConfigYAML is a whole NodeConfig for a cluster, with extra lines under
// spec.
func nodeConfigYAML(c Cluster, extra string) string {
	return "apiVersion: node.eks.aws/v1alpha1\nkind: NodeConfig\nspec:\n  cluster:\n    name: " + c.Name + "\n    apiServerEndpoint: " + c.Endpoint +
		"\n    certificateAuthority: " + encodeCA(c) + "\n    cidr: " + c.ServiceCIDR + "\n" + extra
}

// archive puts parts, each a type and a body, into a MIME archive.
func archive(parts ...string) string {
	b := "MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=\"//\"\n\n"
	for i := 0; i < len(parts); i += 2 {
		b += "--//\nContent-Type: " + parts[i] + "\n\n" + parts[i+1] + "\n"
	}
	return b + "--//--\n"
}

const (
	configPart = "application/node.eks.aws"
	shellPart  = `text/x-shellscript; charset="us-ascii"`
)

const kubeletYAML = `  kubelet:
    config:
      maxPods: 42
      clusterDNS: [10.96.0.10]
      kubeReserved: {cpu: 100m}
      systemReserved: {memory: 100Mi}
      evictionHard: {memory.available: 5%}
      registerWithTaints:
      - {key: karpenter.sh/unregistered, effect: NoExecute}
      - {key: team, value: blue, effect: NoSchedule}
    flags:
    - --node-labels=karpenter.sh/nodepool=default,team=blue
  instance:
    localStorage: {strategy: RAID0}
`

func TestGoodUserData(t *testing.T) {
	c := Cluster{Name: "demo", Endpoint: "https://10.0.0.1:6443", CA: authority(t), ServiceCIDR: "10.96.0.0/16"}
	script := "#!/bin/bash\nset -e # the name is 'demo'\n/etc/eks/bootstrap.sh 'demo' --apiserver-endpoint \"https://10.0.0.1:6443\" \\\n  --b64-cluster-ca " + encodeCA(c) +
		" --dns-cluster-ip 10.96.0.10 \\\n --kubelet-extra-args '--node-labels=karpenter.sh/nodepool=default,team=blue --register-with-taints=karpenter.sh/unregistered:NoExecute,team=blue:NoSchedule --max-pods 42'\n"
	settings := "[settings.kubernetes]\ncluster-name = 'demo'\napi-server = 'https://10.0.0.1:6443'\ncluster-certificate = '" + encodeCA(c) + "'\ncluster-dns-ip = ['10.96.0.10']\nmax-pods = 42\n" +
		"[settings.kubernetes.node-labels]\n'karpenter.sh/nodepool' = 'default'\nteam = 'blue'\n[settings.kubernetes.node-taints]\n'karpenter.sh/unregistered' = [':NoExecute']\nteam = 'blue:NoSchedule'\n[settings.motd]\nx = 1\n"
	flags := "--node-labels=\"karpenter.sh/nodepool=default,team=blue\" --register-with-taints=karpenter.sh/unregistered:NoExecute,team=blue:NoSchedule --max-pods=42"
	start := "-EKSClusterName demo -APIServerEndpoint 'https://10.0.0.1:6443' `\n  -Base64ClusterCA \"" + encodeCA(c) + "\" -DNSClusterIP '10.96.0.10' -KubeletExtraArgs '" + flags + "'"
	whole := nodeConfigYAML(c, kubeletYAML)
	taints := []corev1.Taint{{Key: "karpenter.sh/unregistered", Effect: "NoExecute"}, {Key: "team", Value: "blue", Effect: "NoSchedule"}}
	labels := map[string]string{"karpenter.sh/nodepool": "default", "team": "blue"}
	for _, x := range []struct {
		why, data string
		by        Bootstrap
	}{
		{"one document", whole, NodeADM},
		{"one document as JSON", `{"apiVersion":"node.eks.aws/v1alpha1","kind":"NodeConfig","spec":{"cluster":{"name":"demo","apiServerEndpoint":"https://10.0.0.1:6443/","certificateAuthority":"` + encodeCA(c) +
			`","cidr":"10.96.0.0/16"},"kubelet":{"config":{"maxPods":42,"registerWithTaints":[{"key":"karpenter.sh/unregistered","effect":"NoExecute"},{"key":"team","value":"blue","effect":"NoSchedule"}]},"flags":["--node-labels=karpenter.sh/nodepool=default","--node-labels=team=blue"]}}}`, NodeADM},
		{"an archive", archive(shellPart, "#!/bin/sh\necho hello", configPart, whole), NodeADM},
		{"an archive with line ends of the network", strings.ReplaceAll(archive(shellPart, "#!/bin/sh\necho hello", configPart, whole), "\n", "\r\n"), NodeADM},
		{"a user's part before ours", archive(configPart, "apiVersion: node.eks.aws/v1alpha1\nkind: NodeConfig\nspec:\n  kubelet:\n    config: {maxPods: 7, registerWithTaints: [{key: gone, effect: NoSchedule}]}\n    flags: ['--node-labels=team=red']\n", configPart, whole), NodeADM},
		{"a script", script, Script},
		{"scripts of an archive", archive(shellPart, "#!/bin/sh\necho hello", "text/cloud-config", "#cloud-config", shellPart, script), Script},
		{"settings", settings, Settings},
		{"PowerShell", "<powershell>\nWrite-Host 'it''s' # a comment\n& \"$env:ProgramFiles\\Amazon\\EKS\\Start-EKSBootstrap.ps1\" " + start + "\n</powershell>", PowerShell},
		{"PowerShell with a variable", "<powershell>\r\n[string]$Script = \"$env:ProgramFiles\\Amazon\\EKS\\Start-EKSBootstrap.ps1\"\r\n& $Script " + start + " 3>&1\r\n</powershell>", PowerShell},
		{"a flag in quotes", nodeConfigYAML(c, "  kubelet:\n    config: {maxPods: 42, registerWithTaints: [{key: karpenter.sh/unregistered, effect: NoExecute}, {key: team, value: blue, effect: NoSchedule}]}\n    flags:\n    - --node-labels=\"karpenter.sh/nodepool=default,team=blue\"\n"), NodeADM},
		{"the flag wins over the configuration", nodeConfigYAML(c, "  kubelet:\n    config: {maxPods: 42, registerWithTaints: [{key: gone, effect: NoSchedule}]}\n    flags:\n    - --node-labels=karpenter.sh/nodepool=default,team=blue\n    - --register-with-taints=karpenter.sh/unregistered:NoExecute,team=blue:NoSchedule\n"), NodeADM},
	} {
		k, err := bootstrap(x.by, []byte(x.data), c)
		if err == nil {
			err = k.check()
		}
		if err != nil {
			t.Errorf("%s: %v", x.why, err)
			continue
		}
		if diff := cmp.Diff(labels, k.labels) + cmp.Diff(taints, k.taints); diff != "" || k.maxPods != 42 || len(k.warnings) > 0 {
			t.Errorf("%s: maxPods %d, warnings %v\n%s", x.why, k.maxPods, k.warnings, diff)
		}
	}
}

// TestMerge lays two documents over each other, as nodeadm does.
func TestMerge(t *testing.T) {
	c := Cluster{Name: "demo", Endpoint: "https://e", CA: authority(t), ServiceCIDR: "10.96.0.0/16"}
	first := "apiVersion: node.eks.aws/v1alpha1\nkind: NodeConfig\nspec:\n  kubelet:\n    config:\n      podsPerCore: 4\n      evictionHard: {nodefs.available: 20%}\n      kubeReserved: {cpu: 1, memory: 1Gi}\n"
	k, err := bootstrap(NodeADM, []byte(archive(configPart, first, configPart, nodeConfigYAML(c, kubeletYAML))), c)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]string{"cpu": "100m", "memory": "1Gi"}, k.kubeReserved); diff != "" {
		t.Error(diff)
	}
	want := map[string]string{"memory.available": "5%", "nodefs.available": "20%", "nodefs.inodesFree": "5%"}
	if diff := cmp.Diff(want, k.evictionHard); diff != "" || k.podsPerCore != 4 || !k.raid {
		t.Errorf("podsPerCore %d, raid %v\n%s", k.podsPerCore, k.raid, diff)
	}
}

// TestBadUserData is one row for each way in which a node does not come, and what
// its console says of it.
func TestBadUserData(t *testing.T) {
	c := Cluster{Name: "demo", Endpoint: "https://10.0.0.1:6443", CA: authority(t), ServiceCIDR: "10.96.0.0/16"}
	other := func(change func(*Cluster)) string {
		x := c
		change(&x)
		return nodeConfigYAML(x, "")
	}
	kubelet := func(lines string) string { return nodeConfigYAML(c, "  kubelet:\n"+lines) }
	good := nodeConfigYAML(c, "")
	for _, x := range []badUserData{
		{NodeADM, "", "no user data"},
		{NodeADM, "#!/bin/sh\necho hello", "no MIME archive"},
		{NodeADM, archive(shellPart, "#!/bin/sh\necho hello"), "no NodeConfig in the user data"},
		{NodeADM, archive(configPart, "{"), "part 1 of the MIME archive"},
		{NodeADM, strings.TrimSuffix(archive(configPart, good), "--//--\n"), "part 1 of the MIME archive: unexpected EOF"},
		{NodeADM, strings.Replace(good, "v1alpha1", "v1", 1), "no kind NodeConfig is registered"},
		{NodeADM, strings.Replace(good, "cidr", "cidrs", 1), `unknown field "cidrs"`},
		{NodeADM, other(func(x *Cluster) { x.Name = "other" }), `Unauthorized: the token is for cluster "other", and this one is "demo"`},
		{NodeADM, other(func(x *Cluster) { x.Name = "" }), "Name is missing"},
		{NodeADM, other(func(x *Cluster) { x.Endpoint = "https://10.0.0.2:6443" }), "dialing https://10.0.0.2:6443"},
		{NodeADM, other(func(x *Cluster) { x.Endpoint = "" }), "Apiserver endpoint is missing"},
		{NodeADM, other(func(x *Cluster) { x.CA = authority(t) }), "unknown authority"},
		{NodeADM, other(func(x *Cluster) { x.CA = []byte("no certificate") }), "no PEM certificate"},
		{NodeADM, other(func(x *Cluster) { x.CA = nil }), "Certificate authority is missing"},
		{NodeADM, strings.Replace(good, encodeCA(c), "'***'", 1), "decoding the certificate authority"},
		{NodeADM, other(func(x *Cluster) { x.ServiceCIDR = "" }), "CIDR is missing"},
		{NodeADM, other(func(x *Cluster) { x.ServiceCIDR = "10.96.0.0" }), "cluster CIDR"},
		{NodeADM, nodeConfigYAML(c, "  instance: {localStorage: {strategy: RAID7}}\n"), `strategy "RAID7"`},
		{NodeADM, kubelet("    config: {maxPods: many}\n"), "loading its configuration"},
		{NodeADM, kubelet("    config: {kubeReserved: {cpu: lots}}\n"), `cpu="lots"`},
		{NodeADM, kubelet("    config: {systemReserved: {cpu: '1E-2147483647'}}\n"), `cpu="1E-2147483647"`},
		{NodeADM, kubelet("    config: {systemReserved: {memory: '1e99'}}\n"), `memory="1e99"`},
		{NodeADM, kubelet("    config: {evictionHard: {memory.available: 200%}}\n"), `"200%" is not a percentage`},
		{NodeADM, kubelet("    flags: ['--nodelabels=a=b']\n"), "unknown flag: --nodelabels"},
		{NodeADM, kubelet("    flags: ['node-labels']\n"), "not of the form --flag=value"},
		{NodeADM, kubelet("    flags: ['--node-labels=a']\n"), `"a" is not of the form`},
		{NodeADM, kubelet("    flags: ['--node-labels=a=no blanks']\n"), "label a=no blanks"},
		{NodeADM, kubelet("    flags: ['--node-labels=node-restriction.kubernetes.io/a=b']\n"), "unknown 'kubernetes.io' or 'k8s.io' labels"},
		{NodeADM, kubelet("    flags: ['--register-with-taints=a:Never']\n"), "invalid taint effect: Never"},
		{NodeADM, kubelet("    flags: ['--register-with-taints=a']\n"), "invalid taint spec: a"},
		{NodeADM, kubelet("    config: {registerWithTaints: [{key: a, effect: NoSchedule}, {key: a, value: b, effect: NoSchedule}]}\n"), "Duplicate value"},
		{Script, "echo no shebang", "exec format error"},
		{Script, "#!/bin/sh\n# /etc/eks/bootstrap.sh demo\n", "nothing started kubelet"},
		{Script, "#!/bin/sh\n/etc/eks/bootstrap.sh 'demo", "looking for matching '\\''"},
		{Script, "#!/bin/sh\n/etc/eks/bootstrap.sh", "cluster name is not defined"},
		{Script, "#!/bin/sh\n/etc/eks/bootstrap.sh other", "no PEM certificate"},
		{Script, "#!/bin/sh\n/etc/eks/bootstrap.sh demo --colour red", "unknown argument --colour"},
		{Script, "#!/bin/sh\n/etc/eks/bootstrap.sh demo --kubelet-extra-args", "needs a value"},
		{Script, "#!/bin/sh\n/etc/eks/bootstrap.sh demo --kubelet-extra-args '--max-pods=x'", `invalid argument "x"`},
	} {
		x.refused(t, c)
	}
}

// TestBadScripts does the same for the families that are not told by a NodeConfig.
func TestBadScripts(t *testing.T) {
	c := Cluster{Name: "demo", Endpoint: "https://10.0.0.1:6443", CA: authority(t), ServiceCIDR: "10.96.0.0/16"}
	for _, x := range []badUserData{
		{Settings, "", "no user data"},
		{Settings, "#!/bin/sh\necho hello", "applying user data: toml: line 2"},
		{Settings, "[settings.kubernetes]\nmax-podz = 4\n", "unknown field settings.kubernetes.max-podz"},
		{Settings, "[setings]\n", "unknown field setings"},
		{Settings, "[settings.kubernetes]\nmax-pods = '4'\n", "incompatible types"},
		{Settings, "[settings.kubernetes]\nimage-gc-high-threshold-percent = 80\n", "incompatible types"},
		{Settings, "[settings.kubernetes]\ncluster-name = 'demo'\n", "dialing : no such host"},
		{PowerShell, "Write-Host hello", "nothing between <powershell> tags"},
		{PowerShell, "<powershell>Write-Host hello</powershell>", "nothing started kubelet"},
		{PowerShell, "<powershell>& 'C:\\Program Files\\Amazon\\EKS\\Start-EKSBootstrap.ps1' -Colour red</powershell>", `matches parameter name "colour"`},
		{PowerShell, "<powershell>& 'C:\\Program Files\\Amazon\\EKS\\Start-EKSBootstrap.ps1' red</powershell>", `accepts argument "red"`},
		{PowerShell, "<powershell>& 'C:\\Program Files\\Amazon\\EKS\\Start-EKSBootstrap.ps1' -EKSClusterName</powershell>", "missing an argument"},
		{PowerShell, "<powershell>Write-Host 'ahoy</powershell>", "missing the terminator"},
		{Script, archive(shellPart, "#!/bin/sh\necho hello"), "nothing started kubelet"},
		{Script, "#!/bin/sh\n/etc/eks/bootstrap.sh demo --local-disks raid7", `cannot be set up as "raid7"`},
		{Script, "#!/bin/sh\n/etc/eks/bootstrap.sh demo --apiserver-endpoint https://10.0.0.1:6443 --kubelet-extra-args \"--node-labels='a=b'\"", "systemd cannot parse"},
	} {
		x.refused(t, c)
	}
}

// A badUserData is user data that no node comes of, and what the console says.
type badUserData struct {
	by         Bootstrap
	data, want string
}

func (x badUserData) refused(t *testing.T, c Cluster) {
	t.Helper()
	k, err := bootstrap(x.by, []byte(x.data), c)
	if err == nil {
		err = k.check()
	}
	if err == nil {
		_, _, err = k.resources(FewTypes()[0], rootGiB)
	}
	if err == nil || !strings.Contains(err.Error(), x.want) {
		t.Errorf("%q: %v, want %q", x.data, err, x.want)
	}
}

func TestWarnings(t *testing.T) {
	c := Cluster{Name: "demo", Endpoint: "https://e", CA: authority(t), ServiceCIDR: "10.96.0.0/16"}
	wrong := strings.Replace(nodeConfigYAML(c, "  kubelet: {config: {maxPodz: 3}}\n"), "10.96.0.0/16", "10.97.0.0/16", 1)
	k, err := bootstrap(NodeADM, []byte(wrong), c)
	if err != nil || len(k.warnings) != 2 {
		t.Errorf("a wrong service CIDR and an unknown field join with two warnings, not %q, %v", k.warnings, err)
	}
}

// TestReserves compares what images reserve of a machine, and what becomes of it when
// user data says something.
func TestReserves(t *testing.T) {
	c := Cluster{Name: "demo", Endpoint: "https://e", CA: authority(t), ServiceCIDR: "10.96.0.0/16"}
	script := "#!/bin/sh\n/etc/eks/bootstrap.sh demo --b64-cluster-ca " + encodeCA(c) + " --local-disks raid0 --use-max-pods false --kubelet-extra-args '--max-pods=20 "
	settings := "[settings.kubernetes]\ncluster-name='demo'\napi-server='https://e'\ncluster-certificate='" + encodeCA(c) + "'\nmax-pods=20\n"
	start := "<powershell>& 'C:\\Program Files\\Amazon\\EKS\\Start-EKSBootstrap.ps1' -EKSClusterName demo -APIServerEndpoint https://e -Base64ClusterCA " + encodeCA(c)
	kind := InstanceType{Name: "x", Arch: "amd64", VCPU: 4, MemoryMiB: 16384, SeenMemoryMiB: 16000, ENIs: 4, IPv4PerENI: 15, LocalDiskGB: 1500, LocalDisks: 2}
	const bind = "[settings.bootstrap-commands.x]\nmode='always'\nessential=true\ncommands=[['apiclient','ephemeral-storage','init'],['apiclient','ephemeral-storage','bind']]\n"
	for _, x := range []struct {
		why, data    string
		by           Bootstrap
		pods         int64
		cpu, memory  int64 // kept back
		raid         bool
		clusterDNS   []string
		withWarnings bool
	}{
		{"AL2 for the interfaces", script + "'", Script, 20, 80, 255 + 11*58 + 100, true, nil, false},
		{"AL2: a flag takes all of the image's away", script + "--kube-reserved=cpu=1'", Script, 20, 1000, 100, true, nil, false},
		{"Bottlerocket for the pods", settings, Settings, 20, 80, 255 + 11*20 + 100, false, nil, false},
		{"Bottlerocket by key", settings + bind + "[settings.kubernetes.kube-reserved]\ncpu='1'\n", Settings, 20, 1000, 255 + 11*20 + 100, true, nil, false},
		{"Bottlerocket with a strange DNS server", settings + "cluster-dns-ip='10.0.0.1'\n", Settings, 20, 80, 255 + 11*20 + 100, false, []string{"10.0.0.1"}, true},
		{"Windows nothing", start + "</powershell>", PowerShell, 110, 0, 100, false, nil, false},
		{"Windows what it is told", start + " -KubeletExtraArgs '--kube-reserved=cpu=1,memory=1Gi'</powershell>", PowerShell, 110, 1000, 1024 + 100, false, nil, false},
	} {
		k, err := bootstrap(x.by, []byte(x.data), c)
		if err != nil {
			t.Errorf("%s: %v", x.why, err)
			continue
		}
		_, left, err := k.resources(kind, 100)
		if err != nil {
			t.Fatal(err)
		}
		cpu, memory := 4000-left.Cpu().MilliValue(), 16000-left.Memory().Value()>>20
		if left.Pods().Value() != x.pods || cpu != x.cpu || memory != x.memory || k.raid != x.raid || (len(k.warnings) > 0) != x.withWarnings || !cmp.Equal(k.clusterDNS, x.clusterDNS) {
			t.Errorf("%s: %d pods, %dm and %d MiB kept back, raid %v, DNS %v, warnings %v", x.why, left.Pods().Value(), cpu, memory, k.raid, k.clusterDNS, k.warnings)
		}
	}
}

// FuzzUserData has any bytes as user data: the node comes or a reason does, and
// nothing panics.
func FuzzUserData(f *testing.F) {
	c := Cluster{Name: "demo", Endpoint: "https://e", ServiceCIDR: "10.96.0.0/16"}
	f.Add([]byte(archive(configPart, nodeConfigYAML(c, kubeletYAML))), uint8(0))
	f.Add([]byte("#!/bin/sh\n/etc/eks/bootstrap.sh 'demo' --b64-cluster-ca "+base64.StdEncoding.EncodeToString([]byte("x"))+" --kubelet-extra-args '--node-labels=a=b'"), uint8(1))
	f.Add([]byte("[settings.kubernetes]\ncluster-name = 'demo'\napi-server = 'https://e'\nnode-taints.a = ['b:NoSchedule']\n"), uint8(2))
	f.Add([]byte("<powershell>$x = 'demo'\n& \"$env:ProgramFiles\\Amazon\\EKS\\Start-EKSBootstrap.ps1\" -EKSClusterName $x -APIServerEndpoint https://e</powershell>"), uint8(3))
	f.Fuzz(func(t *testing.T, data []byte, by uint8) {
		k, err := bootstrap([]Bootstrap{NodeADM, Script, Settings, PowerShell}[by%4], data, c)
		if err != nil {
			return
		}
		if k.check() != nil {
			return
		}
		if capacity, allocatable, err := k.resources(FewTypes()[0], rootGiB); err == nil {
			for name, q := range allocatable {
				if q.Cmp(capacity[name]) > 0 {
					t.Errorf("%s: allocatable %s is more than capacity", name, q.String())
				}
			}
		}
	})
}
