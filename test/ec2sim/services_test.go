package ec2sim

import (
	"encoding/base64"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/eks"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	iamtypes "github.com/aws/aws-sdk-go-v2/service/iam/types"
	"github.com/aws/aws-sdk-go-v2/service/pricing"
	pricingtypes "github.com/aws/aws-sdk-go-v2/service/pricing/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/stowage-sh/stowage/cloudprovider"
	stowage "github.com/stowage-sh/stowage/pricing"
)

func TestParameters(t *testing.T) {
	h := start(t, Options{})
	client := ssm.NewFromConfig(h.aws)
	get := func(name string) (string, string) {
		out, err := client.GetParameter(t.Context(), &ssm.GetParameterInput{Name: &name})
		if err != nil {
			return "", code(t, err)
		}
		return *out.Parameter.Value, ""
	}
	base := "/aws/service/eks/optimized-ami/1.36/amazon-linux-2023/arm64/standard/"
	newest, _ := get(base + "recommended/image_id")
	pinned, _ := get(base + "amazon-eks-node-al2023-arm64-standard-1.36-v20260811/image_id")
	before, _ := get(base + "amazon-eks-node-al2023-arm64-standard-1.36-v20260711/image_id")
	if newest == "" || newest != pinned || before == "" || before == newest {
		t.Errorf("newest %q, pinned %q, the one before %q", newest, pinned, before)
	}
	if _, c := get("/aws/service/eks/optimized-ami/1.99/amazon-linux-2023/arm64/standard/recommended/image_id"); c != "ParameterNotFound" {
		t.Error(c)
	}
	next := al2023("1.36", "arm64", "standard", release.AddDate(0, 1, 0))
	h.Release(next)
	if got, _ := get(base + "recommended/image_id"); got != next.ID {
		t.Errorf("after a release the newest is %q", got)
	}
	h.Deprecate(next.ID)
	if got, _ := get(base + "recommended/image_id"); got != newest {
		t.Errorf("after its deprecation the newest is %q", got)
	}
}

func TestDescribeCluster(t *testing.T) {
	h := start(t, Options{Cluster: Cluster{Name: "demo", Endpoint: "https://127.0.0.1:6443", CA: []byte("pem"), Version: "1.35", ServiceCIDR: "172.20.0.0/16"}})
	client := eks.NewFromConfig(h.aws)
	out, err := client.DescribeCluster(t.Context(), &eks.DescribeClusterInput{Name: aws.String("demo")})
	if err != nil {
		t.Fatal(err)
	}
	c := out.Cluster
	if *c.Endpoint != "https://127.0.0.1:6443" || *c.Version != "1.35" || *c.KubernetesNetworkConfig.ServiceIpv4Cidr != "172.20.0.0/16" ||
		*c.CertificateAuthority.Data != base64.StdEncoding.EncodeToString([]byte("pem")) || c.Status != "ACTIVE" {
		t.Errorf("%+v", c)
	}
	_, err = client.DescribeCluster(t.Context(), &eks.DescribeClusterInput{Name: aws.String("other")})
	if got := code(t, err); got != "ResourceNotFoundException" {
		t.Error(got)
	}
}

func TestInstanceProfiles(t *testing.T) {
	h := start(t, Options{})
	client := iam.NewFromConfig(h.aws)
	name, role := aws.String("test_1"), aws.String("test-node")
	created, err := client.CreateInstanceProfile(t.Context(), &iam.CreateInstanceProfileInput{InstanceProfileName: name, Path: aws.String("/karpenter/us-west-2/test/uid/"),
		Tags: []iamtypes.Tag{{Key: aws.String("karpenter.k8s.aws/ec2nodeclass"), Value: aws.String("default")}}})
	if err != nil || !strings.HasSuffix(*created.InstanceProfile.Arn, ":instance-profile/karpenter/us-west-2/test/uid/test_1") {
		t.Fatalf("%+v, %v", created, err)
	}
	_, err = client.CreateInstanceProfile(t.Context(), &iam.CreateInstanceProfileInput{InstanceProfileName: name})
	if c := code(t, err); c != "EntityAlreadyExists" {
		t.Error(c)
	}
	_, err = client.AddRoleToInstanceProfile(t.Context(), &iam.AddRoleToInstanceProfileInput{InstanceProfileName: name, RoleName: aws.String("nobody")})
	if c := code(t, err); c != "NoSuchEntity" {
		t.Error(c)
	}
	for n, want := range []string{"", "LimitExceeded"} {
		_, err = client.AddRoleToInstanceProfile(t.Context(), &iam.AddRoleToInstanceProfileInput{InstanceProfileName: name, RoleName: role})
		if c := code(t, err); c != want {
			t.Errorf("adding role number %d: %q", n+1, c)
		}
	}
	if _, err := client.TagInstanceProfile(t.Context(), &iam.TagInstanceProfileInput{InstanceProfileName: name, Tags: []iamtypes.Tag{{Key: aws.String("a"), Value: aws.String("b")}}}); err != nil {
		t.Error(err)
	}
	got, err := client.GetInstanceProfile(t.Context(), &iam.GetInstanceProfileInput{InstanceProfileName: name})
	if err != nil || len(got.InstanceProfile.Tags) != 2 || *got.InstanceProfile.Roles[0].RoleName != "test-node" || got.InstanceProfile.CreateDate == nil {
		t.Errorf("%+v, %v", got, err)
	}
	var listed []string
	pages := iam.NewListInstanceProfilesPaginator(client, &iam.ListInstanceProfilesInput{MaxItems: aws.Int32(1)})
	for pages.HasMorePages() {
		out, err := pages.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range out.InstanceProfiles {
			listed = append(listed, *p.InstanceProfileName)
		}
	}
	if !slices.Equal(listed, []string{"test-node", "test_1"}) {
		t.Errorf("listed %v", listed)
	}
	one, err := client.ListInstanceProfiles(t.Context(), &iam.ListInstanceProfilesInput{PathPrefix: aws.String("/karpenter/")})
	if err != nil || len(one.InstanceProfiles) != 1 {
		t.Errorf("%+v, %v", one, err)
	}
	_, err = client.DeleteInstanceProfile(t.Context(), &iam.DeleteInstanceProfileInput{InstanceProfileName: name})
	if c := code(t, err); c != "DeleteConflict" {
		t.Error(c)
	}
	if _, err := client.RemoveRoleFromInstanceProfile(t.Context(), &iam.RemoveRoleFromInstanceProfileInput{InstanceProfileName: name, RoleName: role}); err != nil {
		t.Error(err)
	}
	if _, err := client.DeleteInstanceProfile(t.Context(), &iam.DeleteInstanceProfileInput{InstanceProfileName: name}); err != nil {
		t.Error(err)
	}
	_, err = client.GetInstanceProfile(t.Context(), &iam.GetInstanceProfileInput{InstanceProfileName: name})
	if c := code(t, err); c != "NoSuchEntity" || len(h.InstanceProfiles()) != 1 {
		t.Error(c)
	}
}

func TestCallerIdentity(t *testing.T) {
	h := start(t, Options{})
	out, err := sts.NewFromConfig(h.aws).GetCallerIdentity(t.Context(), &sts.GetCallerIdentityInput{})
	if err != nil || *out.Account != "123456789012" {
		t.Errorf("%+v, %v", out, err)
	}
}

func TestProducts(t *testing.T) {
	types := FewTypes()
	types = append(types, InstanceType{Name: "m5.metal", Arch: "amd64", VCPU: 96, MemoryMiB: 393216, BareMetal: true})
	h := start(t, Options{Types: types})
	h.SetPrice(pool("m5.large", "a", "on-demand"), 96_001)
	client := pricing.NewFromConfig(h.aws, func(o *pricing.Options) { o.Region = "us-east-1" })
	filter := func(field, value string) pricingtypes.Filter {
		return pricingtypes.Filter{Type: pricingtypes.FilterTypeTermMatch, Field: &field, Value: &value}
	}
	var got []string
	pages := pricing.NewGetProductsPaginator(client, &pricing.GetProductsInput{ServiceCode: aws.String("AmazonEC2"), MaxResults: aws.Int32(7),
		Filters: []pricingtypes.Filter{filter("regionCode", "us-west-2"), filter("tenancy", "Shared"), filter("operatingSystem", "Linux")}})
	for pages.HasMorePages() {
		out, err := pages.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, out.PriceList...)
	}
	if len(got) != len(FewTypes()) {
		t.Errorf("%d products, want %d: all but the bare metal", len(got), len(FewTypes()))
	}
	table, err := stowage.OnDemand{Client: client, Region: "us-west-2"}.Fetch(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if p, ok := table.Price(pool("m5.large", "b", "on-demand")); !ok || p != 96_001 {
		t.Errorf("the product reads m5.large as %v, %v", p, ok)
	}
	alone := pool("m5.large", "b", "on-demand")
	alone.Tenancy = cloudprovider.Dedicated
	if p, ok := table.Price(alone); !ok || p != 105_601 {
		t.Errorf("the product reads m5.large on hardware of its own as %v, %v", p, ok)
	}
	if _, ok := table.Price(cloudprovider.Offering{InstanceType: "m5.metal", CapacityType: cloudprovider.OnDemand}); !ok {
		t.Error("the product finds no price of bare metal")
	}
}

func TestQueue(t *testing.T) {
	h := start(t, Options{Queue: "q"})
	client := sqs.NewFromConfig(h.aws, func(o *sqs.Options) { o.RetryMaxAttempts = 1 })
	_, err := client.GetQueueUrl(t.Context(), &sqs.GetQueueUrlInput{QueueName: aws.String("none")})
	if c := code(t, err); !strings.Contains(c, "QueueDoesNotExist") {
		t.Error(c)
	}
	url, err := client.GetQueueUrl(t.Context(), &sqs.GetQueueUrlInput{QueueName: aws.String("q")})
	if err != nil {
		t.Fatal(err)
	}
	receive := func(visibility, wait int32) *sqs.ReceiveMessageOutput {
		t.Helper()
		out, err := client.ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{QueueUrl: url.QueueUrl, VisibilityTimeout: visibility, WaitTimeSeconds: wait})
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	if n := len(receive(20, 0).Messages); n != 0 {
		t.Errorf("%d messages in an empty queue", n)
	}
	got := make(chan *sqs.ReceiveMessageOutput)
	go func() {
		out, err := client.ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{QueueUrl: url.QueueUrl, VisibilityTimeout: 1, WaitTimeSeconds: 20})
		if err != nil {
			t.Error(err)
		}
		got <- out
	}()
	eventually(t, "a receiver waits", func() bool { return h.Calls("ReceiveMessage") == 2 })
	h.SendMessage("hello")
	first := <-got
	if first == nil || len(first.Messages) != 1 || *first.Messages[0].Body != "hello" {
		t.Fatalf("%+v", first)
	}
	again := receive(20, 20) // comes back when its visibility ends
	if len(again.Messages) != 1 || *again.Messages[0].MessageId != *first.Messages[0].MessageId {
		t.Fatalf("not received again: %+v", again)
	}
	if _, err := client.DeleteMessage(t.Context(), &sqs.DeleteMessageInput{QueueUrl: url.QueueUrl, ReceiptHandle: again.Messages[0].ReceiptHandle}); err != nil {
		t.Fatal(err)
	}
	if h.QueueLength() != 0 {
		t.Error("the message was not deleted")
	}
	h.Schedule("i-1", "AWS_EC2_INSTANCE_RETIREMENT_SCHEDULED")
	h.Recommend("i-1")
	for _, want := range []string{"AWS Health Event", "EC2 Instance Rebalance Recommendation"} {
		var e struct {
			Kind string    `json:"detail-type"`
			Time time.Time `json:"time"`
		}
		if err := json.Unmarshal([]byte(*receive(20, 0).Messages[0].Body), &e); err != nil || e.Kind != want || e.Time.IsZero() {
			t.Errorf("%+v, %v", e, err)
		}
	}
	_, err = client.ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{QueueUrl: url.QueueUrl, MaxNumberOfMessages: 11})
	if c := code(t, err); c != "InvalidParameterValue" {
		t.Error(c)
	}
}
