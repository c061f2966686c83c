package handover

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	apitypes "k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/fake"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/stowage-sh/stowage/cloudprovider/aws"
	awsv1 "github.com/stowage-sh/stowage/cloudprovider/aws/v1"
	v1 "github.com/stowage-sh/stowage/provisioner/v1"
	"github.com/stowage-sh/stowage/test/ec2sim"
)

const (
	region    = "us-west-2"
	version   = "1.36"
	otherRole = "test-other"
)

// authority is a certificate in PEM, which an image checks before it joins.
var authority = func() []byte {
	server := httptest.NewTLSServer(nil)
	defer server.Close()
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
}()

var eks = aws.Cluster{
	Name: "test", Endpoint: "https://127.0.0.1:6443", CABundle: base64.StdEncoding.EncodeToString(authority), ServiceCIDR: "10.96.0.0/16",
}

// A land is an account with machines in it, and the nodes that they became.
type land struct {
	*testing.T
	ec2    *ec2sim.Server
	nodes  kubernetes.Interface
	config sdk.Config
}

func newLand(t *testing.T) *land {
	t.Helper()
	t.Parallel() // most of the time Karpenter sleeps
	ctrl.SetLogger(logr.Discard())
	l := &land{T: t, nodes: fake.NewClientset()}
	world := ec2sim.NewWorld(region, ec2sim.Cluster{Name: eks.Name, Version: version})
	world.Roles = append(world.Roles, otherRole)
	var err error
	l.ec2, err = ec2sim.Start(ec2sim.Options{
		Region: region, World: world, Client: l.nodes, Delays: &ec2sim.Delays{Forget: time.Hour}, Types: ec2sim.FewTypes(),
		Cluster: ec2sim.Cluster{Name: eks.Name, Endpoint: eks.Endpoint, CA: authority, Version: version, ServiceCIDR: eks.ServiceCIDR},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.ec2.Close)
	l.config = sdk.Config{
		Region: region, BaseEndpoint: sdk.String(l.ec2.URL()),
		Credentials: credentials.NewStaticCredentialsProvider("AKIDSIMULATED0000000", "simulated", ""),
	}
	return l
}

// ready waits until the machine of a provider ID is a Ready node, and returns it.
func (l *land) ready(providerID string) *corev1.Node {
	l.Helper()
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		list, err := l.nodes.CoreV1().Nodes().List(l.Context(), metav1.ListOptions{})
		if err != nil {
			l.Fatal(err)
		}
		for _, n := range list.Items {
			if n.Spec.ProviderID == providerID && slices.ContainsFunc(n.Status.Conditions, func(c corev1.NodeCondition) bool {
				return c.Type == corev1.NodeReady && c.Status == corev1.ConditionTrue
			}) {
				n.ResourceVersion = ""
				return &n
			}
		}
	}
	l.Fatalf("%s did not become a Ready node:\n%s", providerID, l.ec2.ConsoleLog(providerID[strings.LastIndexByte(providerID, '/')+1:]))
	return nil
}

// running returns the IDs of the instances that are paid for.
func (l *land) running() []string {
	var ids []string
	for _, i := range l.ec2.Alive() {
		ids = append(ids, i.ID)
	}
	slices.Sort(ids)
	return ids
}

// born gives new objects what an API server gives them.
func born(now func() time.Time) interceptor.Funcs {
	return interceptor.Funcs{Create: func(ctx context.Context, c client.WithWatch, obj client.Object, opts ...client.CreateOption) error {
		obj.SetUID(apitypes.UID("uid-" + obj.GetName()))
		obj.SetGeneration(1)
		obj.SetCreationTimestamp(metav1.NewTime(now().Truncate(time.Second)))
		return c.Create(ctx, obj, opts...)
	}}
}

// A record is what an API server keeps, as JSON, by kind.
type record map[string][]json.RawMessage

// write adds the items of lists, which are named by kind, to a record.
func (l *land) write(c client.Client, lists map[string]client.ObjectList) record {
	l.Helper()
	r := record{}
	for kind, list := range lists {
		if err := c.List(l.Context(), list); err != nil {
			l.Fatal(err)
		}
		items, err := meta.ExtractList(list)
		if err != nil {
			l.Fatal(err)
		}
		for _, item := range items {
			data, err := json.Marshal(item)
			if err != nil {
				l.Fatal(err)
			}
			r[kind] = append(r[kind], data)
		}
	}
	return r
}

// read returns the objects of a kind, in one side's types.
func read[T client.Object](l *land, r record, kind string, empty func() T) []client.Object {
	l.Helper()
	var all []client.Object
	for _, data := range r[kind] {
		obj := empty()
		if err := json.Unmarshal(data, obj); err != nil {
			l.Fatalf("reading a %s of the other side: %v\n%s", kind, err, data)
		}
		obj.SetResourceVersion("")
		all = append(all, obj)
	}
	return all
}

// The kinds that are handed over.
const (
	kindPool  = "NodePool"
	kindClass = "EC2NodeClass"
	kindClaim = "NodeClaim"
	kindNode  = "Node"
)

// wanted is what the user has applied: an EC2NodeClass of nothing unusual, and a NodePool
// that uses every kind of requirement.
func (l *land) wanted() record {
	l.Helper()
	class := &awsv1.EC2NodeClass{ObjectMeta: metav1.ObjectMeta{Name: "default", UID: "class-uid"}}
	discovery := map[string]string{"karpenter.sh/discovery": eks.Name}
	class.Spec = awsv1.EC2NodeClassSpec{
		SubnetSelectorTerms:        []awsv1.SubnetSelectorTerm{{Tags: discovery}},
		SecurityGroupSelectorTerms: []awsv1.SecurityGroupSelectorTerm{{Tags: discovery}},
		AMISelectorTerms:           []awsv1.AMISelectorTerm{{Alias: "al2023@latest"}},
		Role:                       eks.Name + "-node",
		Tags:                       map[string]string{"team": "a"},
	}
	class.SetDefaults()
	pool := &v1.NodePool{ObjectMeta: metav1.ObjectMeta{Name: "pool", UID: "pool-uid"}}
	template := &pool.Spec.Template
	template.Metadata.Labels = map[string]string{"example.com/team": "a"}
	template.Metadata.Annotations = map[string]string{"example.com/note": "b"}
	template.Spec.NodeClassRef = v1.NodeClassReference{Group: awsv1.Group, Kind: awsv1.Kind, Name: class.Name}
	template.Spec.Taints = []corev1.Taint{{Key: "example.com/only", Value: "x", Effect: corev1.TaintEffectNoSchedule}}
	template.Spec.ExpireAfter = "720h"
	require := func(key string, operator corev1.NodeSelectorOperator, values ...string) {
		template.Spec.Requirements = append(template.Spec.Requirements, v1.Requirement{Key: key, Operator: operator, Values: values})
	}
	require(corev1.LabelArchStable, corev1.NodeSelectorOpIn, "amd64")
	require(corev1.LabelOSStable, corev1.NodeSelectorOpExists)
	require(v1.LabelCapacityType, corev1.NodeSelectorOpIn, "on-demand", "spot")
	require(awsv1.LabelInstanceCategory, corev1.NodeSelectorOpNotIn, "t")
	require(awsv1.LabelInstanceGeneration, corev1.NodeSelectorOpGt, "2")
	require(awsv1.LabelInstanceCPU, corev1.NodeSelectorOpLt, "64")
	require(awsv1.LabelInstanceMemory, v1.OperatorGte, "1024")
	require(awsv1.LabelInstanceHypervisor, corev1.NodeSelectorOpIn, "nitro")
	require(awsv1.LabelInstanceTenancy, corev1.NodeSelectorOpIn, "default")
	require(awsv1.LabelInstanceGPUCount, corev1.NodeSelectorOpDoesNotExist)
	require(awsv1.LabelZoneID, corev1.NodeSelectorOpIn, "usw2-az1", "usw2-az2", "usw2-az3")
	require("example.com/size", corev1.NodeSelectorOpIn, "small", "large")
	require("example.com/none", corev1.NodeSelectorOpDoesNotExist)
	require("example.com/not", corev1.NodeSelectorOpNotIn, "here")
	pool.SetDefaults()
	r := record{}
	for kind, obj := range map[string]client.Object{kindPool: pool, kindClass: class} {
		obj.SetGeneration(1)
		obj.SetCreationTimestamp(metav1.NewTime(time.Now().Truncate(time.Second)))
		data, err := json.Marshal(obj)
		if err != nil {
			l.Fatal(err)
		}
		r[kind] = append(r[kind], data)
	}
	return r
}
