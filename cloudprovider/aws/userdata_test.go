package aws

import (
	"flag"
	"io"
	"mime"
	"mime/multipart"
	"net/mail"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"sigs.k8s.io/yaml"

	"github.com/stowage-sh/stowage/cloudprovider"
	v1 "github.com/stowage-sh/stowage/cloudprovider/aws/v1"
)

var rewrite = flag.Bool("rewrite", false, "write the golden files anew")

var testCluster = Cluster{Name: "harbour", Endpoint: "https://api.harbour.example", CABundle: "Q0EtUEVN", ServiceCIDR: "10.100.0.0/16"}

func raw(s string) apiextensionsv1.JSON { return apiextensionsv1.JSON{Raw: []byte(s)} }

// userDataCases are bootstraps by the name of their golden file.
var userDataCases = map[string]bootstrap{
	"al2023-plain": {
		spec:    &v1.EC2NodeClassSpec{AMIFamily: v1.AMIFamilyAL2023},
		labels:  map[string]string{"karpenter.sh/nodepool": "web", "team": "blue"},
		taints:  []cloudprovider.Taint{{Key: "karpenter.sh/unregistered", Effect: "NoExecute"}},
		maxPods: 29,
	},
	"al2023-everything": {
		spec: &v1.EC2NodeClassSpec{
			AMISelectorTerms:    []v1.AMISelectorTerm{{Alias: "al2023@latest"}},
			InstanceStorePolicy: v1.InstanceStoreRAID0,
			UserData:            "#!/bin/bash\necho ahoy\n",
			Kubelet: map[string]apiextensionsv1.JSON{
				"maxPods": raw(`40`), "systemReserved": raw(`{"cpu":"100m"}`), "evictionHard": raw(`{"memory.available":"5%"}`), "clusterDNS": raw(`["10.100.0.10"]`),
			},
		},
		labels: map[string]string{
			"team": "blue", "node.kubernetes.io/instance-type": "m5.large", "topology.kubernetes.io/zone": "us-west-2a", "node-role.kubernetes.io/worker": "", "storage.k8s.io/fast": "yes",
		},
		taints:  []cloudprovider.Taint{{Key: "dedicated", Value: "web", Effect: "NoSchedule"}, {Key: "karpenter.sh/unregistered", Effect: "NoExecute"}},
		maxPods: 40,
	},
	"al2023-nodeconfig": {
		spec: &v1.EC2NodeClassSpec{
			AMIFamily: v1.AMIFamilyAL2023,
			UserData:  "apiVersion: node.eks.aws/v1alpha1\nkind: NodeConfig\nspec:\n  kubelet:\n    config:\n      imageGCHighThresholdPercent: 80\n",
		},
		maxPods: 29,
	},
	"al2023-archive": {
		spec: &v1.EC2NodeClassSpec{AMIFamily: v1.AMIFamilyAL2023, UserData: strings.ReplaceAll(`MIME-Version: 1.0
Content-Type: multipart/mixed; boundary="mine"

--mine
Content-Type: text/x-shellscript
Content-Transfer-Encoding: base64

IyEvYmluL3NoCmVjaG8gYWhveQo=
--mine
Content-Type: application/node.eks.aws

apiVersion: node.eks.aws/v1alpha1
kind: NodeConfig
# --stowage in a comment must not end a part
--mine--
`, "\n", "\r\n")},
		maxPods: 29,
	},
	"custom": {
		spec:    &v1.EC2NodeClassSpec{AMIFamily: v1.AMIFamilyCustom, UserData: "#!/bin/sh\n/opt/join --register-with-taints=karpenter.sh/unregistered:NoExecute\n"},
		labels:  map[string]string{"team": "blue"},
		maxPods: 29,
	},
	"al2-plain":               {spec: &v1.EC2NodeClassSpec{AMIFamily: v1.AMIFamilyAL2}, maxPods: 29, labels: plainLabels, taints: plainTaints},
	"al2-everything":          everything(v1.AMIFamilyAL2, "#!/bin/bash\necho ahoy\n"),
	"bottlerocket-plain":      {spec: &v1.EC2NodeClassSpec{AMIFamily: v1.AMIFamilyBottlerocket}, maxPods: 29, labels: plainLabels, taints: plainTaints},
	"bottlerocket-everything": everything(v1.AMIFamilyBottlerocket, bottlerocketUserData),
	"windows-plain":           {spec: &v1.EC2NodeClassSpec{AMIFamily: v1.AMIFamilyWindows2022}, maxPods: 110, labels: plainLabels, taints: plainTaints},
	"windows-everything":      everything(v1.AMIFamilyWindows2025, "Write-Host 'ahoy'"),
}

func TestUserDataGolden(t *testing.T) {
	for name, b := range userDataCases {
		t.Run(name, func(t *testing.T) {
			b.cluster = testCluster
			got, err := b.userData()
			if err != nil {
				t.Fatal(err)
			}
			golden := filepath.Join("testdata", "userdata", name+".txt")
			if *rewrite {
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Errorf("user data differs from %s (go test ./cloudprovider/aws -rewrite writes it anew):\n%s", golden, diff)
			}
		})
	}
}

// A document is one part of user data as cloud-init and nodeadm would read it.
type document struct{ kind, encoding, body string }

// read takes user data apart with the standard library only.
func read(t *testing.T, data string) []document {
	t.Helper()
	m, err := mail.ReadMessage(strings.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	_, params, err := mime.ParseMediaType(m.Header.Get("Content-Type"))
	if err != nil {
		t.Fatal(err)
	}
	var out []document
	for r := multipart.NewReader(m.Body, params["boundary"]); ; {
		p, err := r.NextRawPart()
		if err == io.EOF {
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(p)
		if err != nil {
			t.Fatal(err)
		}
		kind, _, err := mime.ParseMediaType(p.Header.Get("Content-Type"))
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, document{kind, p.Header.Get("Content-Transfer-Encoding"), string(body)})
	}
}

// The fields of a NodeConfig that matter, as nodeadm names them.
type nodeConfigDocument struct {
	APIVersion, Kind string
	Spec             struct {
		Cluster struct{ Name, APIServerEndpoint, CertificateAuthority, CIDR string }
		Kubelet struct {
			Config struct {
				MaxPods            int
				RegisterWithTaints []map[string]string
				SystemReserved     map[string]string
				EvictionHard       map[string]string
				ClusterDNS         []string
			}
			Flags []string
		}
		Instance struct{ LocalStorage struct{ Strategy string } }
	}
}

func TestUserDataReadsBack(t *testing.T) {
	b := userDataCases["al2023-everything"]
	b.cluster = testCluster
	data, err := b.userData()
	if err != nil {
		t.Fatal(err)
	}
	docs := read(t, data)
	if len(docs) != 2 || docs[0].kind != "text/x-shellscript" || docs[1].kind != nodeConfigType {
		t.Fatalf("documents are %+v, want the user's script and then ours", docs)
	}
	if docs[0].body != b.spec.UserData {
		t.Errorf("the script became %q", docs[0].body)
	}
	var got, want nodeConfigDocument
	if err := yaml.UnmarshalStrict([]byte(docs[1].body), &map[string]any{}); err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal([]byte(docs[1].body), &got); err != nil {
		t.Fatal(err)
	}
	want.APIVersion, want.Kind = "node.eks.aws/v1alpha1", "NodeConfig"
	c := &want.Spec.Cluster
	c.Name, c.APIServerEndpoint, c.CertificateAuthority, c.CIDR = "harbour", "https://api.harbour.example", "Q0EtUEVN", "10.100.0.0/16"
	k := &want.Spec.Kubelet
	k.Config.MaxPods = 40
	k.Config.SystemReserved = map[string]string{"cpu": "100m"}
	k.Config.EvictionHard = map[string]string{"memory.available": "5%"}
	k.Config.ClusterDNS = []string{"10.100.0.10"}
	k.Config.RegisterWithTaints = []map[string]string{
		{"key": "dedicated", "value": "web", "effect": "NoSchedule"}, {"key": "karpenter.sh/unregistered", "effect": "NoExecute"},
	}
	// kubelet would not start with node-role.kubernetes.io or storage.k8s.io.
	k.Flags = []string{"--node-labels=node.kubernetes.io/instance-type=m5.large,team=blue,topology.kubernetes.io/zone=us-west-2a"}
	want.Spec.Instance.LocalStorage.Strategy = "RAID0"
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("NodeConfig:\n%s", diff)
	}
}

func TestUserArchiveKeepsItsParts(t *testing.T) {
	b := userDataCases["al2023-archive"]
	b.cluster = testCluster
	data, err := b.userData()
	if err != nil {
		t.Fatal(err)
	}
	docs := read(t, data)
	if len(docs) != 3 {
		t.Fatalf("%d documents, want 3", len(docs))
	}
	if docs[0].encoding != "base64" || docs[0].body != "IyEvYmluL3NoCmVjaG8gYWhveQo=" {
		t.Errorf("an encoded part became %+v", docs[0])
	}
	if docs[1].kind != nodeConfigType || !strings.Contains(docs[1].body, "--stowage") {
		t.Errorf("a part that holds our boundary became %+v", docs[1])
	}
}

func TestUserDataIsRefused(t *testing.T) {
	for _, c := range []struct {
		name string
		spec v1.EC2NodeClassSpec
		want string
	}{
		{"family", v1.EC2NodeClassSpec{AMIFamily: "Ubuntu"}, `family "Ubuntu" is not understood`},
		{"too long", v1.EC2NodeClassSpec{AMIFamily: v1.AMIFamilyCustom, UserData: strings.Repeat("x", MaxUserDataBytes+1)}, "it has 16385 bytes, EC2 takes 16384"},
		{"not multipart", v1.EC2NodeClassSpec{AMIFamily: v1.AMIFamilyAL2023, UserData: "Content-Type: text/plain\n\nahoy"}, "it is text/plain, not multipart"},
		{"cut off on AL2", v1.EC2NodeClassSpec{AMIFamily: v1.AMIFamilyAL2, UserData: "MIME-Version: 1.0\n\nahoy"}, "reading spec.userData: reading the MIME content type"},
		{"not TOML", v1.EC2NodeClassSpec{AMIFamily: v1.AMIFamilyBottlerocket, UserData: "[settings.motd]\n= 1\n"}, "reading spec.userData: it is not TOML: line 2, column 1"},
		{"a shell script on Bottlerocket", v1.EC2NodeClassSpec{AMIFamily: v1.AMIFamilyBottlerocket, UserData: "#!/bin/sh\necho ahoy\n"}, "reading spec.userData: it is not TOML: line 2"},
		{"settings that are none", v1.EC2NodeClassSpec{AMIFamily: v1.AMIFamilyBottlerocket, UserData: "settings = 1\n"}, "reading spec.userData: settings is not a table"},
		{"labels that are none", v1.EC2NodeClassSpec{AMIFamily: v1.AMIFamilyBottlerocket, UserData: "settings.kubernetes.node-labels = 3\n"}, "reading spec.userData: settings.kubernetes.node-labels is not a table"},
		{"taints that are none", v1.EC2NodeClassSpec{AMIFamily: v1.AMIFamilyBottlerocket, UserData: "settings.kubernetes.node-taints.'karpenter.sh/unregistered' = 3\n"}, `reading spec.userData: settings.kubernetes.node-taints."karpenter.sh/unregistered" is not a list`},
		{"tags on Windows", v1.EC2NodeClassSpec{AMIFamily: v1.AMIFamilyWindows2022, UserData: "<PowerShell>\nahoy\n</powershell>"}, "reading spec.userData: it is put between <powershell> tags, and cannot hold <PowerShell> itself"},
		{"cut off", v1.EC2NodeClassSpec{AMIFamily: v1.AMIFamilyAL2023, UserData: "MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: text/x-shellscript\n\nahoy"}, "reading part 1 of the MIME archive"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if err := CheckUserData(testCluster, &c.spec); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error is %v, want one with %q", err, c.want)
			}
		})
	}
}

func TestKubeletMaySet(t *testing.T) {
	for key, want := range map[string]bool{
		"team": true, "example.com/team": true, "karpenter.sh/nodepool": true, "kubernetes.io/hostname": true,
		"topology.kubernetes.io/zone": true, "node.kubernetes.io/anything": true, "sub.kubelet.kubernetes.io/x": true,
		"kubernetes.io/role": false, "node-role.kubernetes.io/worker": false, "storage.k8s.io/x": false, "k8s.io/x": false,
		"mykubernetes.io/x": true,
	} {
		if kubeletMaySet(key) != want {
			t.Errorf("kubeletMaySet(%q) is %v", key, !want)
		}
	}
}
