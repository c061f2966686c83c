package e2e

import (
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"

	awsv1 "github.com/stowage-sh/stowage/cloudprovider/aws/v1"
	v1 "github.com/stowage-sh/stowage/provisioner/v1"
	"github.com/stowage-sh/stowage/test/cluster"
)

// TestExamples applies each example of examples/nodeclasses, has a pod ask for a node
// of its NodePool, and looks at the node and the instance that come.
func TestExamples(t *testing.T) {
	start(t)
	files, err := filepath.Glob("../../examples/nodeclasses/*.yaml")
	if err != nil || len(files) < 22 {
		t.Fatalf("%d examples, %v", len(files), err)
	}
	t.Run("all", func(t *testing.T) { // the controller outlives those that run at once
		for _, file := range files {
			name := strings.TrimSuffix(filepath.Base(file), ".yaml")
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				playExample(t, name, exampleHere(t, file))
			})
		}
	})
}

// exampleHere reads an example for the cluster that is here: NodePool and EC2NodeClass.
// Images that it cannot have are replaced by others of the same family.
func exampleHere(t *testing.T, file string) []string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	api := here.RESTConfig()
	docs := strings.Split(strings.NewReplacer(
		"stowage-node", cluster.Name+"-node", "https://api.my-cluster.example", api.Host, "my-cluster", cluster.Name,
		"CERTIFICATE_AUTHORITY", base64.StdEncoding.EncodeToString(api.CAData), "10.100.0.0/16", "10.96.0.0/16",
		"  amiSelectorTerms: [{alias: al2@latest}]", "  amiFamily: AL2\n  amiSelectorTerms: [{tags: {Name: custom}}]",
		"{team: platform}", "{Name: custom}", "my-image-*", "custom-*",
	).Replace(string(text)), "\n---\n")
	if len(docs) != 2 {
		t.Fatalf("%s has %d objects, want a NodePool and an EC2NodeClass", file, len(docs))
	}
	return docs
}

// What kubelet tells of nodes of some examples: pods, and GiB of disk at least.
var (
	examplePods = map[string]int64{"windows-2019": 110, "windows-2022": 110, "windows-2025": 110, "windows-custom-userdata": 60}
	exampleDisk = map[string]int64{"bottlerocket": 59, "multiple-ebs": 99, "windows-2022": 49, "spot": 19, "instance-store-ephemeral-storage": 100}
)

func playExample(t *testing.T, name string, docs []string) {
	var pool v1.NodePool
	var class awsv1.EC2NodeClass
	for into, doc := range map[any]string{&pool: docs[0], &class: docs[1]} {
		if err := yaml.UnmarshalStrict([]byte(doc), into); err != nil {
			t.Fatal(err)
		}
	}
	s := &scene{T: t, name: name, pools: []string{name}}
	t.Cleanup(s.end)
	s.apply("{apiVersion: v1, kind: Namespace, metadata: {name: " + name + "}}")
	s.apply(docs[1])
	s.apply(docs[0])
	s.poolsReady()
	s.apply(fmt.Sprintf(`
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: %[1]s}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      nodeSelector: {karpenter.sh/nodepool: %[1]s}
      tolerations: [{operator: Exists}]
      containers: [{name: main, image: registry.example/main, resources: {requests: {cpu: "1", memory: 1Gi}}}]
`, name))
	node := s.hosts(s.running("web", 1))[0]
	exampleNode(s, &pool, &class, &node)
	instance := s.instances()[0]
	for key, want := range map[string]string{v1.LabelNodePool: name, awsv1.LabelNodeClass: name, "eks:eks-cluster-name": cluster.Name, "kubernetes.io/cluster/" + cluster.Name: "owned"} {
		if got := instance.Tags[key]; got != want {
			t.Errorf("the instance's tag %s is %q, want %q", key, got, want)
		}
	}
	if log := here.EC2.ConsoleLog(instance.ID); strings.Contains(log, "warning") {
		t.Errorf("the console says:\n%s", log)
	}
}

// exampleNode compares a node with what its NodePool and EC2NodeClass ask for.
func exampleNode(s *scene, pool *v1.NodePool, class *awsv1.EC2NodeClass, node *corev1.Node) {
	s.Helper()
	system, build := "linux", class.Spec.Family().WindowsBuild()
	if build != "" {
		system = "windows"
	}
	for key, want := range map[string]string{v1.LabelNodePool: s.name, awsv1.LabelNodeClass: s.name, corev1.LabelOSStable: system, corev1.LabelWindowsBuild: build} {
		if got := node.Labels[key]; got != want {
			s.Errorf("label %s is %q, want %q", key, got, want)
		}
	}
	if strings.Contains(class.Spec.UserData, "example.com/image") && node.Labels["example.com/image"] != "bottlerocket" {
		s.Errorf("the label of the user data is not there: %v", node.Labels)
	}
	for _, taint := range pool.Spec.Template.Spec.Taints {
		if !slices.ContainsFunc(node.Spec.Taints, func(t corev1.Taint) bool { return t.MatchTaint(&taint) && t.Value == taint.Value }) {
			s.Errorf("taints are %v, without %v", node.Spec.Taints, taint)
		}
	}
	if want, ok := examplePods[s.name]; ok && node.Status.Allocatable.Pods().Value() != want {
		s.Errorf("%s pods, want %d", node.Status.Allocatable.Pods(), want)
	}
	if disk := node.Status.Capacity[corev1.ResourceEphemeralStorage]; disk.Value()>>30 < exampleDisk[s.name] {
		s.Errorf("%s of disk, want %d GiB", disk.String(), exampleDisk[s.name])
	}
}
