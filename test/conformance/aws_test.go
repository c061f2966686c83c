package conformance_test

import (
	"context"
	"encoding/base64"
	"encoding/pem"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/fake"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stowage-sh/stowage/cloudprovider"
	"github.com/stowage-sh/stowage/cloudprovider/aws"
	"github.com/stowage-sh/stowage/cloudprovider/aws/nodeclass"
	v1 "github.com/stowage-sh/stowage/cloudprovider/aws/v1"
	"github.com/stowage-sh/stowage/test/conformance"
	"github.com/stowage-sh/stowage/test/ec2sim"
)

// TestEC2 runs the provider of EC2 against the simulator, over HTTP, from a class
// that the nodeclass controller resolved.
func TestEC2(t *testing.T) {
	conformance.Run(t, func(t *testing.T) *conformance.Cloud { return newAccount(t).cloud() })
}

const region = "us-west-2"

// authority is a certificate in PEM, which an image checks before it joins.
var authority = func() []byte {
	server := httptest.NewTLSServer(nil)
	defer server.Close()
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
}()

var cluster = aws.Cluster{
	Name: "test", Endpoint: "https://127.0.0.1:6443", CABundle: base64.StdEncoding.EncodeToString(authority), ServiceCIDR: "10.96.0.0/16",
}

// version of Kubernetes that the control plane runs.
const version = "1.36"

// An account is a simulated one, with one EC2NodeClass.
type account struct {
	*testing.T
	sim       *ec2sim.Server
	kube      kubernetes.Interface
	config    sdk.Config
	class     *v1.EC2NodeClass
	claims    []nodeclass.Claim
	patched   []client.Object // of the claims
	classes   *aws.Classes
	inventory *aws.Inventory
	resolver  *nodeclass.Controller
	ec2       *ec2.Client
	// refused collects what Config.Refused was told.
	refused []cloudprovider.Offering
}

// newAccount is one whose cluster runs the newest version, with few instance types and more of them.
func newAccount(t *testing.T, more ...ec2sim.InstanceType) *account {
	return newAccountAt(t, version, append(ec2sim.FewTypes(), more...))
}

// newAccountAt is an account whose cluster runs a version of Kubernetes, in a region
// that sells these types and, after the changes, has more than others.
func newAccountAt(t *testing.T, version string, types []ec2sim.InstanceType, changes ...func(*ec2sim.World)) *account {
	world := ec2sim.NewWorld(region, ec2sim.Cluster{Name: cluster.Name, Version: version})
	// A second, smaller subnet beside the first.
	world.Subnets = append(world.Subnets, ec2sim.Subnet{
		ID: "subnet-0f1c2d3e4f5061728", Zone: region + "a", CIDR: netip.MustParsePrefix("10.0.200.0/24"), Tags: world.Subnets[0].Tags,
	})
	// A security group that no class finds at first.
	world.SecurityGroups = append(world.SecurityGroups, ec2sim.SecurityGroup{ID: "sg-0a9b8c7d6e5f40312", Name: "more"})
	for _, change := range changes {
		change(world)
	}
	kube := fake.NewClientset()
	sim, err := ec2sim.Start(ec2sim.Options{
		Region: region, World: world, Client: kube, Delays: &ec2sim.Delays{Forget: time.Hour}, Types: types,
		Cluster: ec2sim.Cluster{Name: cluster.Name, Endpoint: cluster.Endpoint, CA: authority, Version: version, ServiceCIDR: cluster.ServiceCIDR},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(sim.Close)
	config := sdk.Config{
		Region: region, BaseEndpoint: sdk.String(sim.URL()),
		Credentials: credentials.NewStaticCredentialsProvider("AKIDSIMULATED0000000", "simulated", ""),
		Retryer: func() sdk.Retryer {
			return retry.NewStandard(func(o *retry.StandardOptions) { o.MaxAttempts, o.MaxBackoff = 2, time.Millisecond })
		},
	}
	a := &account{T: t, sim: sim, kube: kube, config: config, classes: &aws.Classes{}, ec2: ec2.NewFromConfig(config)}
	a.class = &v1.EC2NodeClass{
		ObjectMeta: metav1.ObjectMeta{Name: "default", UID: "7d9c8a44-5d0f-4b8e-9a76-0d3a8f1d2e55", Generation: 1},
		Spec: v1.EC2NodeClassSpec{
			SubnetSelectorTerms:        []v1.SubnetSelectorTerm{{Tags: map[string]string{"karpenter.sh/discovery": cluster.Name}}},
			SecurityGroupSelectorTerms: []v1.SecurityGroupSelectorTerm{{Tags: map[string]string{"karpenter.sh/discovery": cluster.Name}}},
			AMISelectorTerms:           []v1.AMISelectorTerm{{Alias: "al2023@latest"}},
			Role:                       cluster.Name + "-node",
		},
	}
	iamClient := iam.NewFromConfig(config)
	a.resolver = &nodeclass.Controller{
		Region: region, Cluster: cluster, Classes: a.classes, Write: a, Events: a,
		Version: func() string { return version },
		Get:     func(string) (*v1.EC2NodeClass, bool) { return a.class, true },
		Claims:  func(string) []nodeclass.Claim { return a.claims },
		EC2:     a.ec2, Parameters: ssm.NewFromConfig(config), Profiles: iamClient, Leftovers: iamClient, Templates: a.ec2,

		ReservedCapacity: true,
	}
	a.resolve()
	a.inventory = &aws.Inventory{Region: region, API: a.ec2}
	if err := a.inventory.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	a.classes.Begin("default")
	return a
}

// resolve has the class resolved as if nothing had been found before.
func (a *account) resolve() {
	a.Helper()
	a.class.Generation++
	if _, err := a.resolver.Reconcile(a.Context(), time.Now(), "default"); err != nil {
		a.Fatalf("resolving the class: %v", err)
	}
}

// Patch and PatchStatus stand for an API server that agrees with everything.
func (a *account) Patch(_ context.Context, obj client.Object, _ client.Patch) error {
	if class, ok := obj.(*v1.EC2NodeClass); ok {
		a.class = class.DeepCopy()
	} else {
		a.patched = append(a.patched, obj)
	}
	return nil
}

// PatchStatus is Patch.
func (a *account) PatchStatus(ctx context.Context, obj client.Object, patch client.Patch) error {
	return a.Patch(ctx, obj, patch)
}

// Event drops events.
func (a *account) Event(runtime.Object, string, string, string) {}

// provider is that of a new process.
func (a *account) provider() *aws.Provider {
	a.Helper()
	p, err := aws.New(aws.Config{
		Region: region, Cluster: cluster, EC2: a.ec2, Classes: a.classes, Inventory: a.inventory, ReservedCapacity: true,
		Catalog: aws.CatalogOptions{VMMemoryOverheadPercent: aws.UsualMemoryOverhead},
		Refused: func(o []cloudprovider.Offering) { a.refused = append(a.refused, o...) },
	})
	if err != nil {
		a.Fatal(err)
	}
	return p
}

func (a *account) cloud() *conformance.Cloud {
	return &conformance.Cloud{
		Provider: a.provider(),
		Class:    cloudprovider.NodeClassRef{Group: v1.Group, Kind: v1.Kind, Name: "default"},
		Restart:  func() cloudprovider.Provider { return a.provider() },
		RunOut:   func(o cloudprovider.Offering) { a.sim.RunShort(ec2sim.Shortage{Pool: o}) },
		Hide:     func() { a.sim.Lag(300 * time.Millisecond) },
		// Twice, since the SDK tries twice.
		LoseReply: func() { a.sim.DropReplies("CreateFleet", 2) },
		Throttle: func() {
			for _, action := range []string{"CreateFleet", "CreateLaunchTemplate", "DescribeInstances"} {
				a.sim.Throttle(action, 3)
			}
		},
		Change: func() {
			a.class.Spec.Tags = map[string]string{"team": "blue"}
			a.resolve()
		},
	}
}

// catalog is what a provider can buy for the class.
func (a *account) catalog(p cloudprovider.Provider) *cloudprovider.Catalog {
	a.Helper()
	catalog, err := p.Catalog(a.Context(), a.cloud().Class)
	if err != nil {
		a.Fatal(err)
	}
	return catalog
}

// TestNodesJoin has every instance boot from its user data, as its image would,
// and register: with the labels and taints that were asked for, and with at
// least the resources that the catalog promised.
func TestNodesJoin(t *testing.T) {
	a := newAccount(t)
	p := a.provider()
	ref := a.cloud().Class
	catalog := a.catalog(p)
	for _, name := range []string{"m5.large", "c7g.xlarge", "g5.xlarge"} {
		it, ok := catalog.InstanceType(name)
		if !ok {
			t.Fatalf("the catalog lacks %s", name)
		}
		i, err := p.Launch(t.Context(), cloudprovider.LaunchRequest{
			Claim: name, UID: name, Class: ref, NodePool: "web", Offerings: it.Offerings[:1],
			Labels: map[string]string{"karpenter.sh/nodepool": "web", "team": "blue", "node-role.kubernetes.io/web": ""},
			Taints: []cloudprovider.Taint{{Key: "team", Value: "blue", Effect: "NoSchedule"}, {Key: "karpenter.sh/unregistered", Effect: "NoExecute"}},
		})
		if err != nil {
			t.Fatal(err)
		}
		node := a.node(i.ProviderID)
		for key, want := range map[string]string{
			"karpenter.sh/nodepool": "web", "team": "blue", "karpenter.sh/capacity-type": i.Offering.CapacityType, "karpenter.k8s.aws/ec2nodeclass": "default",
			"node.kubernetes.io/instance-type": name, "topology.kubernetes.io/zone": i.Offering.Zone,
		} {
			if got := node.Labels[key]; got != want {
				t.Errorf("%s: label %s is %q, want %q", name, key, got, want)
			}
		}
		for _, want := range []corev1.Taint{{Key: "team", Value: "blue", Effect: "NoSchedule"}, {Key: "karpenter.sh/unregistered", Effect: "NoExecute"}} {
			if !slices.ContainsFunc(node.Spec.Taints, func(t corev1.Taint) bool { return t.MatchTaint(&want) && t.Value == want.Value }) {
				t.Errorf("%s: taint %v is missing among %v", name, want, node.Spec.Taints)
			}
		}
		for _, r := range []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory, corev1.ResourcePods, corev1.ResourceEphemeralStorage} {
			q, promised := node.Status.Allocatable[r], it.Allocatable[string(r)]
			got := q.Value()
			if r == corev1.ResourceCPU {
				got = q.MilliValue()
			}
			if r == corev1.ResourceEphemeralStorage {
				promised -= promised / 100 // the file system itself, which the catalog does not know
			}
			if got < promised {
				t.Errorf("%s: the node has %s %d, the catalog promised %d", name, r, got, promised)
			}
		}
	}
}

// node waits for the node with the provider ID to be initialized.
func (a *account) node(providerID string) corev1.Node {
	a.Helper()
	ctx, cancel := context.WithTimeout(a.Context(), 30*time.Second)
	defer cancel()
	for {
		list, err := a.kube.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
		if err != nil {
			a.Fatal(err)
		}
		for _, node := range list.Items {
			if node.Spec.ProviderID == providerID && node.Labels[corev1.LabelTopologyZone] != "" {
				return node
			}
		}
		select {
		case <-ctx.Done():
			a.Fatalf("%s has not joined; its console says:\n%s", providerID, a.sim.ConsoleLog(providerID[strings.LastIndex(providerID, "/")+1:]))
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// TestPartialRefusal has the first choice run out while the second is there.
func TestPartialRefusal(t *testing.T) {
	a := newAccount(t)
	cloud := a.cloud()
	catalog := a.catalog(cloud.Provider)
	m5, _ := catalog.InstanceType("m5.large")
	r5, _ := catalog.InstanceType("r5.large")
	cheap, dear := m5.Offerings[0], r5.Offerings[0]
	cloud.RunOut(cheap)
	i, err := cloud.Provider.Launch(t.Context(), cloudprovider.LaunchRequest{
		Claim: "web", UID: "web", Class: cloud.Class, NodePool: "web", Offerings: []cloudprovider.Offering{cheap, dear},
	})
	if err != nil || i.Offering != dear {
		t.Fatalf("Launch gave %s, %v; want %s", i.Offering, err, dear)
	}
	if !slices.Equal(a.refused, []cloudprovider.Offering{cheap}) {
		t.Errorf("Refused was told %v, want %v", a.refused, cheap)
	}
	if a.sim.Calls("CreateFleet") != 1 {
		t.Errorf("%d fleets, want one that names both", a.sim.Calls("CreateFleet"))
	}
}
