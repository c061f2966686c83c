package nodeclass

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	iamtypes "github.com/aws/aws-sdk-go-v2/service/iam/types"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	ssmtypes "github.com/aws/aws-sdk-go-v2/service/ssm/types"
	"github.com/aws/smithy-go"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/stowage-sh/stowage/cloudprovider/aws"
	v1 "github.com/stowage-sh/stowage/cloudprovider/aws/v1"
)

// An account is what the fakes of EC2, SSM and IAM answer from. fail makes the
// calls of an action fail with a code; calls counts them.
type account struct {
	subnets    []types.Subnet
	groups     []types.SecurityGroup
	images     []types.Image
	reserved   []types.CapacityReservation
	placements []types.PlacementGroup
	parameters map[string]string
	roles      []string
	profiles   map[string]*iamtypes.InstanceProfile
	templates  []string
	fail       map[string]string
	calls      map[string]int
}

func (a *account) call(action string) error {
	a.calls[action]++
	if code := a.fail[action]; code != "" {
		return &smithy.GenericAPIError{Code: code, Message: fmt.Sprint("request ", a.calls[action])}
	}
	return nil
}

// match applies filters to what is there: by ID, name or tags.
func match(filters []types.Filter, fields map[string]string, tags []types.Tag) bool {
	for _, f := range filters {
		value, has := fields[*f.Name]
		for _, t := range tags {
			switch *f.Name {
			case "tag:" + *t.Key:
				value, has = *t.Value, true
			case "tag-key":
				if slices.Contains(f.Values, *t.Key) {
					value, has = *t.Key, true
				}
			}
		}
		if !has || !slices.Contains(f.Values, value) {
			return false
		}
	}
	return true
}

func (a *account) DescribeSubnets(_ context.Context, in *ec2.DescribeSubnetsInput, _ ...func(*ec2.Options)) (*ec2.DescribeSubnetsOutput, error) {
	out := &ec2.DescribeSubnetsOutput{}
	for _, s := range a.subnets {
		if match(in.Filters, map[string]string{"subnet-id": *s.SubnetId}, s.Tags) {
			out.Subnets = append(out.Subnets, s)
		}
	}
	return out, a.call("DescribeSubnets")
}

func (a *account) DescribeSecurityGroups(_ context.Context, in *ec2.DescribeSecurityGroupsInput, _ ...func(*ec2.Options)) (*ec2.DescribeSecurityGroupsOutput, error) {
	out := &ec2.DescribeSecurityGroupsOutput{}
	for _, g := range a.groups {
		if match(in.Filters, map[string]string{"group-id": *g.GroupId, "group-name": *g.GroupName}, g.Tags) {
			out.SecurityGroups = append(out.SecurityGroups, g)
		}
	}
	return out, a.call("DescribeSecurityGroups")
}

// DescribeCapacityReservations has pages of two.
func (a *account) DescribeCapacityReservations(_ context.Context, in *ec2.DescribeCapacityReservationsInput, _ ...func(*ec2.Options)) (*ec2.DescribeCapacityReservationsOutput, error) {
	from := 0
	if in.NextToken != nil {
		_, _ = fmt.Sscan(*in.NextToken, &from)
	}
	to, out := min(from+2, len(a.reserved)), &ec2.DescribeCapacityReservationsOutput{}
	if to < len(a.reserved) {
		out.NextToken = sdk.String(fmt.Sprint(to))
	}
	for _, r := range a.reserved[from:to] {
		if match(in.Filters, map[string]string{"state": string(r.State)}, nil) {
			out.CapacityReservations = append(out.CapacityReservations, r)
		}
	}
	return out, a.call("DescribeCapacityReservations")
}

func (a *account) DescribePlacementGroups(_ context.Context, in *ec2.DescribePlacementGroupsInput, _ ...func(*ec2.Options)) (*ec2.DescribePlacementGroupsOutput, error) {
	if err := a.call("DescribePlacementGroups"); err != nil {
		return nil, err
	}
	for _, g := range a.placements {
		if slices.Contains(in.GroupIds, *g.GroupId) || slices.Contains(in.GroupNames, *g.GroupName) {
			return &ec2.DescribePlacementGroupsOutput{PlacementGroups: []types.PlacementGroup{g}}, nil
		}
	}
	return nil, &smithy.GenericAPIError{Code: "InvalidPlacementGroup.Unknown"}
}

func (a *account) DescribeImages(_ context.Context, in *ec2.DescribeImagesInput, _ ...func(*ec2.Options)) (*ec2.DescribeImagesOutput, error) {
	out := &ec2.DescribeImagesOutput{}
	for _, i := range a.images {
		owned := len(in.Owners) == 0 || slices.Contains(in.Owners, *i.OwnerId)
		if owned && match(in.Filters, map[string]string{"image-id": *i.ImageId, "name": *i.Name}, i.Tags) {
			out.Images = append(out.Images, i)
		}
	}
	return out, a.call("DescribeImages")
}

func (a *account) GetParameter(_ context.Context, in *ssm.GetParameterInput, _ ...func(*ssm.Options)) (*ssm.GetParameterOutput, error) {
	if err := a.call("GetParameter"); err != nil {
		return nil, err
	}
	value, ok := a.parameters[*in.Name]
	if !ok {
		return nil, &ssmtypes.ParameterNotFound{}
	}
	return &ssm.GetParameterOutput{Parameter: &ssmtypes.Parameter{Value: sdk.String(value)}}, nil
}

func (a *account) GetInstanceProfile(_ context.Context, in *iam.GetInstanceProfileInput, _ ...func(*iam.Options)) (*iam.GetInstanceProfileOutput, error) {
	if err := a.call("GetInstanceProfile"); err != nil {
		return nil, err
	}
	p, ok := a.profiles[*in.InstanceProfileName]
	if !ok {
		return nil, &iamtypes.NoSuchEntityException{}
	}
	return &iam.GetInstanceProfileOutput{InstanceProfile: p}, nil
}

func (a *account) CreateInstanceProfile(_ context.Context, in *iam.CreateInstanceProfileInput, _ ...func(*iam.Options)) (*iam.CreateInstanceProfileOutput, error) {
	if err := a.call("CreateInstanceProfile"); err != nil {
		return nil, err
	}
	a.profiles[*in.InstanceProfileName] = &iamtypes.InstanceProfile{InstanceProfileName: in.InstanceProfileName, Path: in.Path, Tags: in.Tags}
	return &iam.CreateInstanceProfileOutput{}, nil
}

func (a *account) AddRoleToInstanceProfile(_ context.Context, in *iam.AddRoleToInstanceProfileInput, _ ...func(*iam.Options)) (*iam.AddRoleToInstanceProfileOutput, error) {
	if err := a.call("AddRoleToInstanceProfile"); err != nil {
		return nil, err
	}
	if !slices.Contains(a.roles, *in.RoleName) {
		return nil, &iamtypes.NoSuchEntityException{}
	}
	p := a.profiles[*in.InstanceProfileName]
	if len(p.Roles) > 0 {
		return nil, &iamtypes.LimitExceededException{}
	}
	p.Roles = []iamtypes.Role{{RoleName: in.RoleName}}
	return &iam.AddRoleToInstanceProfileOutput{}, nil
}

func (a *account) RemoveRoleFromInstanceProfile(_ context.Context, in *iam.RemoveRoleFromInstanceProfileInput, _ ...func(*iam.Options)) (*iam.RemoveRoleFromInstanceProfileOutput, error) {
	a.profiles[*in.InstanceProfileName].Roles = nil
	return &iam.RemoveRoleFromInstanceProfileOutput{}, a.call("RemoveRoleFromInstanceProfile")
}

func (a *account) ListInstanceProfiles(_ context.Context, in *iam.ListInstanceProfilesInput, _ ...func(*iam.Options)) (*iam.ListInstanceProfilesOutput, error) {
	out := &iam.ListInstanceProfilesOutput{}
	for _, p := range a.profiles {
		if strings.HasPrefix(*p.Path, *in.PathPrefix) {
			out.InstanceProfiles = append(out.InstanceProfiles, *p)
		}
	}
	return out, a.call("ListInstanceProfiles")
}

func (a *account) DeleteInstanceProfile(_ context.Context, in *iam.DeleteInstanceProfileInput, _ ...func(*iam.Options)) (*iam.DeleteInstanceProfileOutput, error) {
	if err := a.call("DeleteInstanceProfile"); err != nil {
		return nil, err
	}
	if len(a.profiles[*in.InstanceProfileName].Roles) > 0 {
		return nil, &iamtypes.DeleteConflictException{}
	}
	delete(a.profiles, *in.InstanceProfileName)
	return &iam.DeleteInstanceProfileOutput{}, nil
}

func (a *account) DescribeLaunchTemplates(context.Context, *ec2.DescribeLaunchTemplatesInput, ...func(*ec2.Options)) (*ec2.DescribeLaunchTemplatesOutput, error) {
	out := &ec2.DescribeLaunchTemplatesOutput{}
	for _, id := range a.templates {
		out.LaunchTemplates = append(out.LaunchTemplates, types.LaunchTemplate{LaunchTemplateId: sdk.String(id)})
	}
	return out, a.call("DescribeLaunchTemplates")
}

func (a *account) DeleteLaunchTemplate(_ context.Context, in *ec2.DeleteLaunchTemplateInput, _ ...func(*ec2.Options)) (*ec2.DeleteLaunchTemplateOutput, error) {
	a.templates = slices.DeleteFunc(a.templates, func(id string) bool { return id == *in.LaunchTemplateId })
	return &ec2.DeleteLaunchTemplateOutput{}, a.call("DeleteLaunchTemplate")
}

func tagged(pairs ...string) []types.Tag {
	var out []types.Tag
	for i := 0; i < len(pairs); i += 2 {
		out = append(out, types.Tag{Key: sdk.String(pairs[i]), Value: sdk.String(pairs[i+1])})
	}
	return out
}

func subnet(id, zone string) types.Subnet {
	return types.Subnet{SubnetId: sdk.String(id), AvailabilityZone: sdk.String("us-west-2" + zone), AvailabilityZoneId: sdk.String("usw2-" + zone), AvailableIpAddressCount: sdk.Int32(250), Tags: tagged("discovery", "harbour")}
}

// ami makes an image that was created on a day of August.
func ami(id, arch string, day int, more ...func(*types.Image)) types.Image {
	i := types.Image{
		ImageId: sdk.String(id), Name: sdk.String("name-of-" + id), OwnerId: sdk.String("amazon"), State: types.ImageStateAvailable,
		Architecture: types.ArchitectureValues(arch), CreationDate: sdk.String(time.Date(2026, 8, day, 0, 0, 0, 0, time.UTC).Format(time.RFC3339)),
	}
	for _, f := range more {
		f(&i)
	}
	return i
}

func deprecatedOn(day int) func(*types.Image) {
	return func(i *types.Image) {
		i.DeprecationTime = sdk.String(time.Date(2026, 8, day, 0, 0, 0, 0, time.UTC).Format(time.RFC3339))
	}
}

const ssmPath = "/aws/service/eks/optimized-ami/1.36/amazon-linux-2023/"

func newAccount() *account {
	return &account{
		subnets: []types.Subnet{subnet("subnet-2", "b"), subnet("subnet-1", "a"), subnet("subnet-3", "a")},
		groups: []types.SecurityGroup{
			{GroupId: sdk.String("sg-2"), GroupName: sdk.String("nodes"), Tags: tagged("discovery", "harbour")},
			{GroupId: sdk.String("sg-1"), GroupName: sdk.String("shared")},
		},
		images: []types.Image{
			ami("ami-1", "x86_64", 1), ami("ami-2", "x86_64", 2), ami("ami-3", "arm64", 2),
			ami("ami-4", "x86_64", 2), ami("ami-mac", "x86_64_mac", 2),
		},
		parameters: map[string]string{
			ssmPath + "x86_64/standard/recommended/image_id": "ami-2", ssmPath + "arm64/standard/recommended/image_id": "ami-3",
			ssmPath + "x86_64/nvidia/recommended/image_id":                                             "ami-4",
			ssmPath + "x86_64/standard/amazon-eks-node-al2023-x86_64-standard-1.36-v20260801/image_id": "ami-1",
		},
		roles: []string{"node-role", "other-role"}, profiles: map[string]*iamtypes.InstanceProfile{},
		templates: []string{"lt-1", "lt-2"}, fail: map[string]string{}, calls: map[string]int{},
	}
}

// world is a controller with an API server, an account and a clock by hand.
type world struct {
	*testing.T
	*Controller
	account *account
	api     client.Client
	now     time.Time
	version string // of the control plane
	writes  int
	claims  []Claim
	refuse  string // the name of what Patch refuses
	events  []string
}

var errRefused = errors.New("refused by a test")

var noon = time.Date(2026, 8, 20, 12, 0, 0, 0, time.UTC)

func goodSpec() v1.EC2NodeClassSpec {
	return v1.EC2NodeClassSpec{
		SubnetSelectorTerms:        []v1.SubnetSelectorTerm{{Tags: map[string]string{"discovery": "harbour"}}},
		SecurityGroupSelectorTerms: []v1.SecurityGroupSelectorTerm{{Tags: map[string]string{"discovery": "*"}}, {Name: "shared"}},
		AMISelectorTerms:           []v1.AMISelectorTerm{{Alias: "al2023@latest"}},
		Role:                       "node-role",
	}
}

func newWorld(t *testing.T, spec v1.EC2NodeClassSpec) *world {
	scheme := runtime.NewScheme()
	if err := v1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	class := &v1.EC2NodeClass{ObjectMeta: metav1.ObjectMeta{Name: "default", UID: "class-uid", Generation: 1}, Spec: spec}
	w := &world{T: t, account: newAccount(), now: noon, version: "1.36"}
	w.api = fake.NewClientBuilder().WithScheme(scheme).WithStatusSubresource(class).WithObjects(class).Build()
	w.restart()
	return w
}

// restart replaces the controller by that of a new process.
func (w *world) restart() {
	w.Controller = &Controller{
		Region: "us-west-2", Classes: &aws.Classes{}, Write: w, Events: w, Get: func(string) (*v1.EC2NodeClass, bool) { class := w.class(); return class, class != nil },
		Cluster: aws.Cluster{Name: "harbour", Endpoint: "https://api.example", CABundle: "Q0E=", ServiceCIDR: "10.100.0.0/16"},
		Version: func() string { return w.version },
		Claims:  func(string) []Claim { return w.claims },
		EC2:     w.account, Parameters: w.account, Profiles: w.account, Leftovers: w.account, Templates: w.account,
	}
}

func (w *world) Patch(ctx context.Context, obj client.Object, patch client.Patch) error {
	if w.refuse == obj.GetName() {
		return errRefused
	}
	w.writes++
	return w.api.Patch(ctx, obj, patch)
}

func (w *world) PatchStatus(ctx context.Context, obj client.Object, patch client.Patch) error {
	w.writes++
	return w.api.Status().Patch(ctx, obj, patch)
}

func (w *world) Event(_ runtime.Object, _, reason, message string) {
	w.events = append(w.events, reason+": "+message)
}

// step reconciles, at a time that may lie after the last step.
func (w *world) step(after time.Duration) time.Duration {
	w.Helper()
	w.now = w.now.Add(after)
	next, err := w.Reconcile(w.Context(), w.now, "default")
	if err != nil {
		w.Fatal(err)
	}
	return next
}

// class reads the NodeClass; nil if it is gone.
func (w *world) class() *v1.EC2NodeClass {
	w.Helper()
	var class v1.EC2NodeClass
	err := w.api.Get(w.Context(), client.ObjectKey{Name: "default"}, &class)
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		w.Fatal(err)
	}
	return &class
}

// edit changes the spec as a user would.
func (w *world) edit(change func(*v1.EC2NodeClassSpec)) {
	w.Helper()
	class := w.class()
	change(&class.Spec)
	class.Generation++
	if err := w.api.Update(w.Context(), class); err != nil {
		w.Fatal(err)
	}
}

// status writes conditions on a line each: type, status, reason, message.
func status(class *v1.EC2NodeClass) []string {
	var out []string
	for _, c := range class.Status.Conditions {
		line := fmt.Sprintf("%s %s", c.Type, c.Status)
		if c.Status != metav1.ConditionTrue {
			line += fmt.Sprintf(" %s: %s", c.Reason, c.Message)
		}
		out = append(out, line)
	}
	slices.Sort(out)
	return out
}

func codeIs(err error, code string) bool {
	api, ok := errors.AsType[smithy.APIError](err)
	return ok && api.ErrorCode() == code
}
