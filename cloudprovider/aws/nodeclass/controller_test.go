package nodeclass

import (
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	iamtypes "github.com/aws/aws-sdk-go-v2/service/iam/types"
	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"

	v1 "github.com/stowage-sh/stowage/cloudprovider/aws/v1"
)

func TestEverythingIsFound(t *testing.T) {
	w := newWorld(t, goodSpec())
	w.step(0)
	class := w.class()
	if !class.IsReady() {
		t.Fatalf("the class is not ready:\n%s", strings.Join(status(class), "\n"))
	}
	arch := func(name string) corev1.NodeSelectorRequirement {
		return corev1.NodeSelectorRequirement{Key: "kubernetes.io/arch", Operator: "In", Values: []string{name}}
	}
	noGPU := []corev1.NodeSelectorRequirement{
		{Key: "karpenter.k8s.aws/instance-accelerator-count", Operator: "DoesNotExist"}, {Key: "karpenter.k8s.aws/instance-gpu-count", Operator: "DoesNotExist"},
	}
	profile := class.Status.InstanceProfile
	want := v1.EC2NodeClassStatus{
		Subnets: []v1.Subnet{
			{ID: "subnet-1", Zone: "us-west-2a", ZoneID: "usw2-a"}, {ID: "subnet-3", Zone: "us-west-2a", ZoneID: "usw2-a"}, {ID: "subnet-2", Zone: "us-west-2b", ZoneID: "usw2-b"},
		},
		SecurityGroups: []v1.SecurityGroup{{ID: "sg-1", Name: "shared"}, {ID: "sg-2", Name: "nodes"}},
		AMIs: []v1.AMI{
			{ID: "ami-2", Name: "name-of-ami-2", Requirements: append([]corev1.NodeSelectorRequirement{arch("amd64")}, noGPU...)},
			{ID: "ami-3", Name: "name-of-ami-3", Requirements: append([]corev1.NodeSelectorRequirement{arch("arm64")}, noGPU...)},
			{ID: "ami-4", Name: "name-of-ami-4", Requirements: []corev1.NodeSelectorRequirement{arch("amd64"), {Key: "karpenter.k8s.aws/instance-gpu-count", Operator: "Exists"}}},
		},
		InstanceProfile: profile, Conditions: class.Status.Conditions,
	}
	if diff := cmp.Diff(want, class.Status); diff != "" {
		t.Errorf("status:\n%s", diff)
	}
	made := w.account.profiles[profile]
	if made == nil || *made.Path != "/karpenter/us-west-2/harbour/class-uid/" || *made.Roles[0].RoleName != "node-role" {
		t.Errorf("the instance profile is %+v", made)
	}
	if class.Annotations[v1.AnnotationHash] != class.Hash() || class.Annotations[v1.AnnotationHashVersion] != v1.HashVersion || !slices.Contains(class.Finalizers, v1.FinalizerTermination) {
		t.Errorf("metadata is %+v", class.ObjectMeta)
	}
	got, ok := w.Classes.Get("default")
	if !ok || got.NotReady != "" || got.InstanceProfile != profile || len(got.Subnets) != 3 || got.Subnets[0].FreeAddresses != 250 || len(got.Images) != 3 ||
		!slices.Equal(got.SecurityGroups, []string{"sg-1", "sg-2"}) || got.Hash != class.Hash() {
		t.Errorf("the resolved class is %+v", got)
	}
}

func TestNothingIsWrittenWhenNothingChanged(t *testing.T) {
	w := newWorld(t, goodSpec())
	if next := w.step(0); next != time.Minute {
		t.Errorf("the next look is in %v, want a minute, for the subnets", next)
	}
	if w.writes != 2 {
		t.Errorf("%d writes for a new class, want one of metadata and one of status", w.writes)
	}
	before := w.account.calls["DescribeImages"]
	for range 4 {
		w.step(time.Minute)
	}
	if w.writes != 2 {
		t.Errorf("%d writes, the last of them though nothing had changed", w.writes)
	}
	if n := w.account.calls["DescribeSubnets"]; n != 5 {
		t.Errorf("subnets were looked up %d times in four minutes, want 5", n)
	}
	if n := w.account.calls["DescribeImages"]; n != before {
		t.Errorf("images were looked up %d more times within five minutes", n-before)
	}
	w.restart()
	w.step(time.Minute)
	if w.writes != 2 {
		t.Error("a restart wrote what was there already")
	}
	w.account.subnets = w.account.subnets[:2]
	w.step(time.Minute)
	if w.writes != 3 || len(w.class().Status.Subnets) != 2 {
		t.Errorf("%d writes, %d subnets after one went; want 3 and 2", w.writes, len(w.class().Status.Subnets))
	}
}

func TestWhatIsNotFoundIsNamed(t *testing.T) {
	for _, c := range []struct {
		name string
		edit func(*v1.EC2NodeClassSpec)
		want string
	}{
		{"subnets", func(s *v1.EC2NodeClassSpec) {
			s.SubnetSelectorTerms = []v1.SubnetSelectorTerm{{Tags: map[string]string{"discovery": "other", "tier": "*"}}, {ID: "subnet-0"}}
		}, "SubnetsReady False SubnetsNotFound: no subnet matches spec.subnetSelectorTerms: [0] tags discovery=other,tier=*; [1] subnet-id subnet-0"},
		{"security groups", func(s *v1.EC2NodeClassSpec) {
			s.SecurityGroupSelectorTerms = []v1.SecurityGroupSelectorTerm{{Name: "none"}, {ID: "sg-0"}}
		}, "SecurityGroupsReady False SecurityGroupsNotFound: no security group matches spec.securityGroupSelectorTerms: [0] group-name none; [1] group-id sg-0"},
		{"images of a release", func(s *v1.EC2NodeClassSpec) {
			s.AMISelectorTerms = []v1.AMISelectorTerm{{Alias: "al2023@v20200101"}}
		}, "AMIsReady False AMINotFound: no image matches spec.amiSelectorTerms: [0] alias al2023@v20200101 for Kubernetes 1.36"},
		{"images by terms", func(s *v1.EC2NodeClassSpec) {
			s.AMIFamily = v1.AMIFamilyCustom
			s.AMISelectorTerms = []v1.AMISelectorTerm{{Name: "x", Owner: "amazon", Tags: map[string]string{"a": "b"}}, {SSMParameter: "/x"}, {ID: "ami-mac"}}
		}, "AMIsReady False AMINotFound: no image matches spec.amiSelectorTerms: [0] name x owner amazon tags a=b; [1] ssmParameter /x; [2] id ami-mac"},
		{"role", func(s *v1.EC2NodeClassSpec) { s.Role = "no-role" }, `InstanceProfileReady False RoleNotFound: IAM has no role "no-role" as spec.role says`},
	} {
		t.Run(c.name, func(t *testing.T) {
			spec := goodSpec()
			c.edit(&spec)
			w := newWorld(t, spec)
			w.step(0)
			class := w.class()
			if got := status(class); !slices.Contains(got, c.want) {
				t.Errorf("conditions are\n%s\nwant one of them\n%s", strings.Join(got, "\n"), c.want)
			}
			if resolved, ok := w.Classes.Get("default"); !ok || !strings.Contains(resolved.NotReady, strings.SplitN(c.want, ": ", 2)[1]) {
				t.Errorf("the resolved class is not refused with the reason: %+v", resolved)
			}
			w.edit(func(s *v1.EC2NodeClassSpec) { *s = goodSpec() })
			w.step(time.Second)
			if !w.class().IsReady() {
				t.Errorf("the class is not ready once it is mended:\n%s", strings.Join(status(w.class()), "\n"))
			}
		})
	}
}

func TestWhatIsNotUnderstoodIsRefused(t *testing.T) {
	yes := true
	for field, edit := range map[string]func(*v1.EC2NodeClassSpec){
		"spec.amiFamily Custom with an alias of family Windows2022": func(s *v1.EC2NodeClassSpec) {
			s.AMIFamily, s.AMISelectorTerms = v1.AMIFamilyCustom, []v1.AMISelectorTerm{{Alias: "windows2022@latest"}}
		},
		"spec.associatePublicIPAddress": func(s *v1.EC2NodeClassSpec) {
			s.AssociatePublicIPAddress, s.NetworkInterfaces = &yes, []v1.NetworkInterface{{InterfaceType: "interface"}, {NetworkCardIndex: 1, InterfaceType: "interface"}}
		},
		"spec.kubelet.maxPods": func(s *v1.EC2NodeClassSpec) {
			s.Kubelet = map[string]apiextensionsv1.JSON{"maxPods": {Raw: []byte(`"min(110, max_pods)"`)}}
		},
		"spec.kubelet.registerWithTaints": func(s *v1.EC2NodeClassSpec) {
			s.Kubelet = map[string]apiextensionsv1.JSON{"registerWithTaints": {Raw: []byte(`[]`)}}
		},
		"spec.userData": func(s *v1.EC2NodeClassSpec) { s.UserData = "Content-Type: text/plain\n\nx" },
	} {
		t.Run(field, func(t *testing.T) {
			spec := goodSpec()
			edit(&spec)
			w := newWorld(t, spec)
			w.step(0)
			i := slices.IndexFunc(status(w.class()), func(s string) bool {
				return strings.HasPrefix(s, "ValidationSucceeded False ") && strings.Contains(s, field)
			})
			if i < 0 || w.class().IsReady() {
				t.Errorf("conditions do not name the field:\n%s", strings.Join(status(w.class()), "\n"))
			}
		})
	}
}

// TestEverySpecFieldIsDecidedUpon fails when the API grows a field that nobody
// has decided about: it must be acted upon, or be refused above.
func TestEverySpecFieldIsDecidedUpon(t *testing.T) {
	full := reflect.ValueOf(*fullSpec())
	var fields []string
	for i := range full.NumField() {
		name, _, _ := strings.Cut(full.Type().Field(i).Tag.Get("json"), ",")
		if full.Field(i).IsZero() {
			t.Errorf("fullSpec does not set %s", name)
		}
		fields = append(fields, name)
	}
	acted := []string{
		"subnetSelectorTerms", "securityGroupSelectorTerms", "amiSelectorTerms", "amiFamily", "userData", "role", "instanceProfile", "tags", "kubelet",
		"capacityReservationSelectorTerms", "placementGroupSelector", "networkInterfaces", "ipPrefixCount", "connectionTracking", "cpuOptions",
		"blockDeviceMappings", "instanceStorePolicy", "associatePublicIPAddress", "detailedMonitoring", "metadataOptions", "context",
	}
	refused := strings.Join(notUnderstood(fullSpec()), " ")
	for _, field := range fields {
		if slices.Contains(acted, field) == strings.Contains(refused, "spec."+field) {
			t.Errorf("spec.%s is neither acted upon nor refused, or both", field)
		}
	}
}

func TestImagesByTerms(t *testing.T) {
	tag := func(i *types.Image) { i.Tags = tagged("team", "blue") }
	owner := func(name string) func(*types.Image) { return func(i *types.Image) { i.OwnerId = &name } }
	for _, c := range []struct {
		name   string
		terms  []v1.AMISelectorTerm
		images []types.Image
		want   []string
	}{
		{"the newest of each architecture", []v1.AMISelectorTerm{{Tags: map[string]string{"team": "blue"}}},
			[]types.Image{ami("ami-a", "x86_64", 1, tag), ami("ami-b", "x86_64", 3, tag), ami("ami-c", "arm64", 2, tag), ami("ami-d", "x86_64", 4)}, []string{"ami-b", "ami-c"}},
		{"a deprecated one comes last", []v1.AMISelectorTerm{{ID: "ami-a"}, {ID: "ami-b"}},
			[]types.Image{ami("ami-a", "x86_64", 1), ami("ami-b", "x86_64", 3, deprecatedOn(10))}, []string{"ami-a"}},
		{"a deprecated one is better than none", []v1.AMISelectorTerm{{ID: "ami-b"}},
			[]types.Image{ami("ami-b", "x86_64", 3, deprecatedOn(10))}, []string{"ami-b deprecated"}},
		{"one to be deprecated is not yet", []v1.AMISelectorTerm{{ID: "ami-b"}},
			[]types.Image{ami("ami-b", "x86_64", 3, deprecatedOn(25))}, []string{"ami-b"}},
		{"others' images only when asked for", []v1.AMISelectorTerm{{Name: "name-of-ami-a"}, {Name: "name-of-ami-b", Owner: "42"}},
			[]types.Image{ami("ami-a", "x86_64", 4, owner("13")), ami("ami-b", "x86_64", 3, owner("42"))}, []string{"ami-b"}},
		{"equal ones by name and ID", []v1.AMISelectorTerm{{ID: "ami-b"}, {ID: "ami-a"}},
			[]types.Image{ami("ami-b", "x86_64", 3), ami("ami-a", "x86_64", 3)}, []string{"ami-a"}},
		{"by parameter", []v1.AMISelectorTerm{{SSMParameter: "/mine"}}, []types.Image{ami("ami-p", "arm64", 3)}, []string{"ami-p"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			spec := goodSpec()
			spec.AMIFamily, spec.AMISelectorTerms, spec.UserData = v1.AMIFamilyCustom, c.terms, "#!/bin/sh\n"
			w := newWorld(t, spec)
			w.account.images = c.images
			w.account.parameters["/mine"] = "ami-p"
			w.step(0)
			var got []string
			for _, i := range w.class().Status.AMIs {
				line := i.ID
				if i.Deprecated {
					line += " deprecated"
				}
				got = append(got, line)
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("images are %v, want %v", got, c.want)
			}
		})
	}
}

func TestImagesOfARelease(t *testing.T) {
	spec := goodSpec()
	spec.AMISelectorTerms[0].Alias = "al2023@v20260801"
	w := newWorld(t, spec)
	w.step(0)
	if got := w.class().Status.AMIs; len(got) != 1 || got[0].ID != "ami-1" {
		t.Errorf("images are %+v, want ami-1 alone", got)
	}
}

// TestControlPlaneIsUpgraded: an alias stands for the images of the new version as
// soon as it is seen, and for those of the old one until EC2 has told.
func TestControlPlaneIsUpgraded(t *testing.T) {
	w := newWorld(t, goodSpec())
	images := func() (ids []string) {
		for _, i := range w.class().Status.AMIs {
			ids = append(ids, i.ID)
		}
		resolved, _ := w.Classes.Get("default")
		if !w.class().IsReady() || len(resolved.Images) != len(ids) || resolved.Images[0].ID != ids[0] {
			t.Errorf("images of the status %v, of the resolved class %+v", ids, resolved)
		}
		return ids
	}
	w.step(0)
	before := images()
	w.account.images = append(w.account.images, ami("ami-5", "x86_64", 3))
	w.account.parameters[strings.Replace(ssmPath, "1.36", "1.37", 1)+"x86_64/standard/recommended/image_id"] = "ami-5"
	w.version = "1.37"
	w.account.fail["GetParameter"] = "InternalServerError"
	w.now = w.now.Add(time.Second)
	if _, err := w.Reconcile(t.Context(), w.now, "default"); !codeIs(err, "InternalServerError") {
		t.Fatalf("error is %v", err)
	}
	if got := images(); !slices.Equal(got, before) {
		t.Errorf("images are %v while SSM does not answer, want %v as before", got, before)
	}
	w.account.fail = map[string]string{}
	w.step(time.Second)
	if got := images(); !slices.Equal(got, []string{"ami-5"}) {
		t.Errorf("images are %v, want those of 1.37", got)
	}
	calls := w.account.calls["GetParameter"]
	w.step(time.Minute)
	if n := w.account.calls["GetParameter"] - calls; n != 0 {
		t.Errorf("SSM was asked %d times more though nothing had changed", n)
	}
}

func TestFailedCalls(t *testing.T) {
	t.Run("at first they are unknown", func(t *testing.T) {
		w := newWorld(t, goodSpec())
		w.account.fail["DescribeSubnets"] = "UnauthorizedOperation"
		for n := range 3 {
			if _, err := w.Reconcile(t.Context(), w.now, "default"); !codeIs(err, "UnauthorizedOperation") {
				t.Fatalf("error is %v", err)
			}
			if w.writes != 2 {
				t.Fatalf("%d writes after %d failures alike, want 2", w.writes, n+1)
			}
		}
		got := status(w.class())
		if !slices.Contains(got, "SubnetsReady Unknown LookupFailed: AWS did not say: UnauthorizedOperation") ||
			!slices.Contains(got, "Ready Unknown ReconcilingDependents: SubnetsReady=Unknown") {
			t.Errorf("conditions are\n%s", strings.Join(got, "\n"))
		}
		if len(w.class().Status.AMIs) == 0 {
			t.Error("the images were not resolved for what failed about subnets")
		}
	})
	t.Run("later what was found stays", func(t *testing.T) {
		w := newWorld(t, goodSpec())
		w.step(0)
		w.account.fail["DescribeSubnets"] = "RequestLimitExceeded"
		w.now = w.now.Add(time.Minute)
		if _, err := w.Reconcile(t.Context(), w.now, "default"); !codeIs(err, "RequestLimitExceeded") {
			t.Fatalf("error is %v", err)
		}
		if resolved, _ := w.Classes.Get("default"); w.writes != 2 || !w.class().IsReady() || resolved.NotReady != "" {
			t.Errorf("%d writes; conditions are\n%s", w.writes, strings.Join(status(w.class()), "\n"))
		}
	})
	t.Run("after a restart the status stays, and the class is waited for", func(t *testing.T) {
		w := newWorld(t, goodSpec())
		w.step(0)
		w.restart()
		w.account.fail["DescribeSubnets"] = "RequestLimitExceeded"
		if _, err := w.Reconcile(t.Context(), w.now, "default"); err == nil {
			t.Fatal("no error")
		}
		if _, ok := w.Classes.Get("default"); ok || w.writes != 2 || !w.class().IsReady() {
			t.Errorf("resolved: %v, %d writes; conditions are\n%s", ok, w.writes, strings.Join(status(w.class()), "\n"))
		}
		w.account.fail = map[string]string{}
		w.step(0)
		if _, ok := w.Classes.Get("default"); !ok {
			t.Error("the class was not resolved when AWS answered again")
		}
	})
}

func TestInstanceProfiles(t *testing.T) {
	t.Run("one that is given needs no IAM", func(t *testing.T) {
		spec := goodSpec()
		spec.Role, spec.InstanceProfile = "", "mine"
		w := newWorld(t, spec)
		w.step(0)
		if !w.class().IsReady() || w.class().Status.InstanceProfile != "mine" {
			t.Errorf("profile %q; conditions are\n%s", w.class().Status.InstanceProfile, strings.Join(status(w.class()), "\n"))
		}
		w.remove()
		w.step(0)
		for _, action := range []string{"GetInstanceProfile", "ListInstanceProfiles"} {
			if w.account.calls[action] > 0 {
				t.Errorf("%s was called", action)
			}
		}
	})
	t.Run("another role is another profile", func(t *testing.T) {
		w := newWorld(t, goodSpec())
		w.step(0)
		first := w.class().Status.InstanceProfile
		w.edit(func(s *v1.EC2NodeClassSpec) { s.Role = "path/other-role" })
		w.step(time.Second)
		second := w.class().Status.InstanceProfile
		if first == second || *w.account.profiles[second].Roles[0].RoleName != "other-role" || w.account.profiles[first] == nil {
			t.Errorf("profiles are %q and %q of %v", first, second, w.account.profiles)
		}
	})
	t.Run("one left behind by a crash is adopted and mended", func(t *testing.T) {
		w := newWorld(t, goodSpec())
		w.step(0)
		name := w.class().Status.InstanceProfile
		wrong := "other-role"
		for _, roles := range [][]iamtypes.Role{nil, {{RoleName: &wrong}}} {
			w.account.profiles[name].Roles = roles
			w.restart()
			w.step(time.Second)
			if got := w.account.profiles[name].Roles; len(got) != 1 || *got[0].RoleName != "node-role" {
				t.Errorf("the profile has roles %+v", got)
			}
		}
		if w.account.calls["CreateInstanceProfile"] != 1 {
			t.Error("the profile was made again")
		}
	})
}

// remove deletes the class as a user would.
func (w *world) remove() {
	w.Helper()
	if err := w.api.Delete(w.Context(), w.class()); err != nil {
		w.Fatal(err)
	}
}

func TestFinalizer(t *testing.T) {
	w := newWorld(t, goodSpec())
	var gone []string
	w.Gone = func(name string) { gone = append(gone, name) }
	w.step(0)
	w.edit(func(s *v1.EC2NodeClassSpec) { s.Role = "other-role" })
	w.step(time.Second)
	w.edit(func(s *v1.EC2NodeClassSpec) { s.Role, s.InstanceProfile = "", "mine" })
	w.step(time.Second)
	w.remove()
	w.claims = []Claim{{Object: claim("web-2")}, {Object: claim("web-1")}}
	if next := w.step(0); next != waiting {
		t.Errorf("the next look is in %v", next)
	}
	if diff := cmp.Diff([]string{"WaitingOnNodeClaimTermination: Waiting on NodeClaim termination for web-1, web-2"}, w.events); diff != "" {
		t.Errorf("events:\n%s", diff)
	}
	if resolved, _ := w.Classes.Get("default"); resolved.NotReady == "" || w.class() == nil || len(w.account.profiles) != 2 {
		t.Error("the class went, or can be launched from, while claims use it")
	}
	if gone != nil {
		t.Errorf("%v is said to be gone, and is not", gone)
	}
	w.claims = nil
	w.account.fail["DeleteInstanceProfile"] = "ServiceFailure"
	if _, err := w.Reconcile(t.Context(), w.now, "default"); !codeIs(err, "ServiceFailure") || w.class() == nil {
		t.Fatalf("error is %v; the class must wait for its profiles", err)
	}
	w.account.fail = map[string]string{}
	w.step(0)
	if w.class() != nil || len(w.account.profiles) != 0 || len(w.account.templates) != 0 {
		t.Errorf("class %v, profiles %v, templates %v are left", w.class(), w.account.profiles, w.account.templates)
	}
	if diff := cmp.Diff([]string{"default"}, slices.Compact(gone)); diff != "" {
		t.Errorf("gone is:\n%s", diff)
	}
	if _, ok := w.Classes.Get("default"); ok {
		t.Error("the class is still resolved")
	}
	w.step(0) // it is gone, which is no error
}

func TestConflictIsAnError(t *testing.T) {
	w := newWorld(t, goodSpec())
	stale := w.class()
	w.edit(func(s *v1.EC2NodeClassSpec) { s.Tags = map[string]string{"a": "b"} })
	if err := w.stamp(t.Context(), stale); err == nil {
		t.Error("a stale finalizer list was written over a newer object")
	}
}

func TestCodeOf(t *testing.T) {
	if got := codeOf(errors.New("dial tcp 10.0.0.1:443: i/o timeout")); got != "no answer from AWS" {
		t.Errorf("codeOf is %q", got)
	}
}

// fullSpec has every field set, so that a new field of the API shows.
func fullSpec() *v1.EC2NodeClassSpec {
	yes, n, n64 := true, int32(1), int64(1)
	return &v1.EC2NodeClassSpec{
		SubnetSelectorTerms: []v1.SubnetSelectorTerm{{ID: "x"}}, SecurityGroupSelectorTerms: []v1.SecurityGroupSelectorTerm{{ID: "x"}},
		CapacityReservationSelectorTerms: []v1.CapacityReservationSelectorTerm{{ID: "x"}}, PlacementGroupSelector: &v1.PlacementGroupSelector{ID: "x"},
		AMISelectorTerms: []v1.AMISelectorTerm{{ID: "x"}}, AMIFamily: v1.AMIFamilyAL2023, UserData: "x", Role: "x", InstanceProfile: "x",
		Tags: map[string]string{"x": "y"}, Kubelet: map[string]apiextensionsv1.JSON{"x": {Raw: []byte("1")}},
		BlockDeviceMappings: []v1.BlockDeviceMapping{{DeviceName: "x"}}, InstanceStorePolicy: v1.InstanceStoreRAID0,
		NetworkInterfaces: []v1.NetworkInterface{{}}, IPPrefixCount: &n, AssociatePublicIPAddress: &yes,
		ConnectionTracking: &v1.ConnectionTracking{UDPTimeout: &n}, CPUOptions: &v1.CPUOptions{NestedVirtualization: "enabled"}, DetailedMonitoring: &yes,
		MetadataOptions: &v1.MetadataOptions{HTTPPutResponseHopLimit: &n64}, Context: "x",
	}
}
