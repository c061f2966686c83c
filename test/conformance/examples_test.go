package conformance_test

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"

	"github.com/stowage-sh/stowage/cloudprovider"
	"github.com/stowage-sh/stowage/cloudprovider/aws"
	awsv1 "github.com/stowage-sh/stowage/cloudprovider/aws/v1"
	v1 "github.com/stowage-sh/stowage/provisioner/v1"
	"github.com/stowage-sh/stowage/test/ec2sim"
)

// An example is a file of examples/nodeclasses, with the simulated cluster in place
// of the one that it speaks of.
type example struct {
	name  string
	pool  v1.NodePool
	class awsv1.EC2NodeClass
}

// examples reads them strictly: a field that is misspelled is an error.
func examples(t *testing.T) []example {
	t.Helper()
	files, err := filepath.Glob("../../examples/nodeclasses/*.yaml")
	if err != nil || len(files) < 22 {
		t.Fatalf("%d examples, %v", len(files), err)
	}
	here := strings.NewReplacer("stowage-node", cluster.Name+"-node", "https://api.my-cluster.example", cluster.Endpoint, "my-cluster", cluster.Name,
		"CERTIFICATE_AUTHORITY", cluster.CABundle, "10.100.0.0/16", cluster.ServiceCIDR)
	var out []example
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		e := example{name: strings.TrimSuffix(filepath.Base(file), ".yaml")}
		says, _, _ := strings.Cut(string(text), "\n")
		if !strings.HasPrefix(says, "# ") || !strings.HasSuffix(says, ".") {
			t.Errorf("%s begins with %q, not with a line that says what it shows", e.name, says)
		}
		docs := strings.Split(here.Replace(string(text)), "\n---\n")
		if len(docs) != 2 {
			t.Fatalf("%s has %d objects, want a NodePool and an EC2NodeClass", e.name, len(docs))
		}
		if err := yaml.UnmarshalStrict([]byte(docs[0]), &e.pool); err != nil {
			t.Fatalf("%s: %v", e.name, err)
		}
		if err := yaml.UnmarshalStrict([]byte(docs[1]), &e.class); err != nil {
			t.Fatalf("%s: %v", e.name, err)
		}
		if e.pool.Name != e.name || e.class.Name != e.name || e.pool.Spec.Template.Spec.NodeClassRef.Name != e.name {
			t.Errorf("%s: its objects, or what they refer to, are called otherwise", e.name)
		}
		out = append(out, e)
	}
	return out
}

// allows says whether a NodePool would buy an offering; it knows as many operators as
// the examples have.
func (e *example) allows(it cloudprovider.InstanceType, o cloudprovider.Offering) bool {
	for _, r := range e.pool.Spec.Template.Spec.Requirements {
		value, has := it.Labels[r.Key]
		if r.Key == v1.LabelCapacityType {
			value, has = o.CapacityType, true
		}
		switch string(r.Operator) {
		case "In":
			has = has && slices.Contains(r.Values, value)
		case "Gt":
			n, err := strconv.Atoi(value)
			least, _ := strconv.Atoi(r.Values[0])
			has = has && err == nil && n > least
		case "Exists":
		default:
			return false
		}
		if !has {
			return false
		}
	}
	return true
}

// TestExamples has each example resolved, and buys a node for it, which joins.
func TestExamples(t *testing.T) {
	types := ec2sim.FewTypes()
	for _, it := range ec2sim.EmbeddedTypes(region) {
		if it.Name == "m5d.xlarge" { // one with a disk of its own
			types = append(types, it)
		}
	}
	for _, e := range examples(t) {
		t.Run(e.name, func(t *testing.T) {
			if problems := e.pool.Validate(awsv1.LabelValues); len(problems) > 0 {
				t.Fatal(problems)
			}
			kubernetes := version
			if family, _, ok := e.class.Spec.Alias(); ok && family == awsv1.AMIFamilyAL2 {
				kubernetes = "1.32"
			}
			a := newAccountAt(t, kubernetes, types)
			for name, tags := range map[string]map[string]string{"my-image-1": nil, "platform-1": {"team": "platform"}} {
				a.sim.Release(ec2sim.Image{ID: "ami-0" + name, Name: name, Owner: "self", Arch: "amd64", Created: time.Now(), Bootstrap: ec2sim.Script, Variant: "standard", Tags: tags})
			}
			a.class.Spec = e.class.Spec
			a.resolve()
			if err := aws.CheckUserData(cluster, &e.class.Spec); err != nil || !a.class.IsReady() {
				t.Fatalf("the class is not ready: %v\n%+v", err, a.class.Status.Conditions)
			}
			e.join(a)
		})
	}
}

// join buys the first offering that the NodePool allows, and looks at the node.
func (e *example) join(a *account) {
	a.Helper()
	p := a.provider()
	ref := a.cloud().Class
	catalog := a.catalog(p)
	for _, it := range catalog.InstanceTypes {
		for _, o := range it.Offerings {
			if !e.allows(it, o) {
				continue
			}
			taints := []cloudprovider.Taint{{Key: "karpenter.sh/unregistered", Effect: "NoExecute"}}
			for _, t := range e.pool.Spec.Template.Spec.Taints {
				taints = append(taints, cloudprovider.Taint{Key: t.Key, Value: t.Value, Effect: string(t.Effect)})
			}
			i, err := p.Launch(a.Context(), cloudprovider.LaunchRequest{Claim: e.name, UID: "uid-of-" + e.name, Class: ref, NodePool: e.name,
				Offerings: []cloudprovider.Offering{o}, Labels: map[string]string{v1.LabelNodePool: e.name}, Taints: taints})
			if err != nil {
				a.Fatal(err)
			}
			e.look(a, a.joined(i.ID), it, taints)
			if log := a.sim.ConsoleLog(i.ID); strings.Contains(log, "warning") {
				a.Errorf("the console says:\n%s", log)
			}
			return
		}
	}
	a.Fatal("the NodePool allows nothing of what the class has")
}

// look compares a node with what was asked for.
func (e *example) look(a *account, node *corev1.Node, it cloudprovider.InstanceType, taints []cloudprovider.Taint) {
	a.Helper()
	for _, taint := range taints {
		if !slices.Contains(node.Spec.Taints, corev1.Taint{Key: taint.Key, Value: taint.Value, Effect: corev1.TaintEffect(taint.Effect)}) {
			a.Errorf("taints are %v, without %v", node.Spec.Taints, taint)
		}
	}
	for _, key := range []string{corev1.LabelOSStable, corev1.LabelArchStable, corev1.LabelInstanceTypeStable} {
		if node.Labels[key] != it.Labels[key] && node.Labels[key] != "" { // the last one comes with the cloud's controller
			a.Errorf("label %s is %q, want %q", key, node.Labels[key], it.Labels[key])
		}
	}
	if e.class.Spec.Family() == awsv1.AMIFamilyCustom {
		return // its user data is the user's own
	}
	if node.Labels[v1.LabelNodePool] != e.name {
		a.Errorf("labels are %v", node.Labels)
	}
	if got := node.Status.Allocatable.Pods().Value(); got != it.Capacity[cloudprovider.Pods] {
		a.Errorf("%d pods, and the catalog says %d", got, it.Capacity[cloudprovider.Pods])
	}
	if disk := node.Status.Capacity[corev1.ResourceEphemeralStorage]; disk.Value() < it.Capacity[cloudprovider.EphemeralStorage]*99/100 {
		a.Errorf("%s of disk, and the catalog says %d", disk.String(), it.Capacity[cloudprovider.EphemeralStorage])
	}
}
