package v1_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/yaml"

	awsv1 "github.com/stowage-sh/stowage/cloudprovider/aws/v1"
)

const full = `
metadata: {name: default}
spec:
  role: nodes
  amiSelectorTerms: [{alias: al2023@latest}]
  subnetSelectorTerms: [{tags: {team: web}}, {id: subnet-1}]
  securityGroupSelectorTerms: [{name: nodes}]
  userData: "#!/bin/sh"
  tags: {a: b}
  kubelet: {maxPods: 42, evictionHard: {nodefs.available: 5%, memory.available: 1Gi}, aKeyOfTomorrow: {deep: [1, two, null]}}
  blockDeviceMappings:
  - {deviceName: /dev/xvdb, ebs: {snapshotID: snap-1, encrypted: false}}
  - {deviceName: /dev/xvda, rootVolume: true, ebs: {volumeSize: 1024Gi, volumeType: gp3, iops: 3000}}
  networkInterfaces:
  - {networkCardIndex: 1, deviceIndex: 1, interfaceType: efa-only}
  - {networkCardIndex: 0, deviceIndex: 0, interfaceType: interface}
  metadataOptions: {httpTokens: optional}
  connectionTracking: {udpTimeout: 30}
  cpuOptions: {nestedVirtualization: enabled}
  ipPrefixCount: 0
  detailedMonitoring: false
`

func class(t *testing.T) *awsv1.EC2NodeClass {
	t.Helper()
	c := &awsv1.EC2NodeClass{}
	if err := yaml.UnmarshalStrict([]byte(full), c); err != nil {
		t.Fatal(err)
	}
	return c
}

// TestTextIsKept: an object that is read and written back is unchanged, keys of
// kubelet that nobody here knows included.
func TestTextIsKept(t *testing.T) {
	data, err := json.Marshal(class(t))
	if err != nil {
		t.Fatal(err)
	}
	var got, want any
	if err := json.Unmarshal(data, &got); err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal([]byte(full), &want); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-manifest +written back:\n%s", diff)
	}
}

func TestSetDefaults(t *testing.T) {
	c := &awsv1.EC2NodeClass{Status: awsv1.EC2NodeClassStatus{CapacityReservations: []awsv1.CapacityReservation{{}, {State: "expiring", ReservationType: "capacity-block"}}}}
	c.SetDefaults()
	want := &awsv1.MetadataOptions{HTTPEndpoint: "enabled", HTTPProtocolIPv6: "disabled", HTTPPutResponseHopLimit: new(int64(1)), HTTPTokens: "required"}
	if diff := cmp.Diff(want, c.Spec.MetadataOptions); diff != "" {
		t.Errorf("metadataOptions -want +got:\n%s", diff)
	}
	reservations := []awsv1.CapacityReservation{{State: "active", ReservationType: "default"}, {State: "expiring", ReservationType: "capacity-block"}}
	if diff := cmp.Diff(reservations, c.Status.CapacityReservations); diff != "" {
		t.Errorf("reservations -want +got:\n%s", diff)
	}
}

func TestFamily(t *testing.T) {
	alias := func(a string) []awsv1.AMISelectorTerm { return []awsv1.AMISelectorTerm{{Alias: a}} }
	for _, c := range []struct {
		spec    awsv1.EC2NodeClassSpec
		family  awsv1.AMIFamily
		version string
		alias   bool
	}{
		{awsv1.EC2NodeClassSpec{AMISelectorTerms: alias("al2023@v20260301")}, awsv1.AMIFamilyAL2023, "v20260301", true},
		{awsv1.EC2NodeClassSpec{AMISelectorTerms: alias("bottlerocket@latest"), AMIFamily: "Custom"}, awsv1.AMIFamilyCustom, "latest", true},
		{awsv1.EC2NodeClassSpec{AMISelectorTerms: []awsv1.AMISelectorTerm{{ID: "ami-1"}}, AMIFamily: "AL2"}, awsv1.AMIFamilyAL2, "", false},
		{awsv1.EC2NodeClassSpec{AMISelectorTerms: alias("debian@13")}, "", "13", false},
		{awsv1.EC2NodeClassSpec{}, "", "", false},
	} {
		_, version, ok := c.spec.Alias()
		if got := c.spec.Family(); got != c.family || version != c.version || ok != c.alias {
			t.Errorf("%+v: family %q, version %q, alias %v", c.spec.AMISelectorTerms, got, version, ok)
		}
	}
}

func TestVolumeGiB(t *testing.T) {
	for size, want := range map[string]int64{"": 0, "20Gi": 20, "1Ti": 1024, "20G": 19, "1T": 932, "59000Gi": 59000} {
		got, err := (&awsv1.BlockDevice{VolumeSize: size}).VolumeGiB()
		if err != nil || got != want {
			t.Errorf("%q: %d GiB, %v; want %d", size, got, err, want)
		}
	}
	if _, err := (&awsv1.BlockDevice{VolumeSize: "Ti"}).VolumeGiB(); err == nil {
		t.Error(`"Ti" is no size`)
	}
}

// edits of a NodeClass, by what they change.
type edits map[string]func(*awsv1.EC2NodeClass)

var sameHash = edits{
	"subnets":          func(c *awsv1.EC2NodeClass) { c.Spec.SubnetSelectorTerms = nil },
	"security groups":  func(c *awsv1.EC2NodeClass) { c.Spec.SecurityGroupSelectorTerms = nil },
	"version of alias": func(c *awsv1.EC2NodeClass) { c.Spec.AMISelectorTerms[0].Alias = "al2023@v1" },
	"family of alias":  func(c *awsv1.EC2NodeClass) { c.Spec.AMIFamily = awsv1.AMIFamilyAL2023 },
	"reservations": func(c *awsv1.EC2NodeClass) {
		c.Spec.CapacityReservationSelectorTerms = []awsv1.CapacityReservationSelectorTerm{{}}
	},
	"placement group":     func(c *awsv1.EC2NodeClass) { c.Spec.PlacementGroupSelector = &awsv1.PlacementGroupSelector{} },
	"defaults":            func(c *awsv1.EC2NodeClass) { c.SetDefaults() },
	"status":              func(c *awsv1.EC2NodeClass) { c.Status.InstanceProfile = "p" },
	"name":                func(c *awsv1.EC2NodeClass) { c.Name = "other" },
	"order of disks":      func(c *awsv1.EC2NodeClass) { x := c.Spec.BlockDeviceMappings; x[0], x[1] = x[1], x[0] },
	"order of interfaces": func(c *awsv1.EC2NodeClass) { x := c.Spec.NetworkInterfaces; x[0], x[1] = x[1], x[0] },
	"order of keys": func(c *awsv1.EC2NodeClass) {
		c.Spec.Kubelet["evictionHard"] = raw(`{"memory.available": "1Gi", "nodefs.available": "5%"}`)
	},
}

var otherHash = edits{
	"family":              func(c *awsv1.EC2NodeClass) { c.Spec.AMIFamily = awsv1.AMIFamilyCustom },
	"role":                func(c *awsv1.EC2NodeClass) { c.Spec.Role = "other" },
	"user data":           func(c *awsv1.EC2NodeClass) { c.Spec.UserData = "" },
	"tag":                 func(c *awsv1.EC2NodeClass) { c.Spec.Tags["a"] = "c" },
	"kubelet":             func(c *awsv1.EC2NodeClass) { c.Spec.Kubelet["maxPods"] = raw("43") },
	"key of tomorrow":     func(c *awsv1.EC2NodeClass) { c.Spec.Kubelet["aKeyOfTomorrow"] = raw(`{"deep": [1, "two"]}`) },
	"disk":                func(c *awsv1.EC2NodeClass) { c.Spec.BlockDeviceMappings[1].EBS.VolumeSize = "30Gi" },
	"instance store":      func(c *awsv1.EC2NodeClass) { c.Spec.InstanceStorePolicy = awsv1.InstanceStoreRAID0 },
	"interface":           func(c *awsv1.EC2NodeClass) { c.Spec.NetworkInterfaces = c.Spec.NetworkInterfaces[1:] },
	"prefixes":            func(c *awsv1.EC2NodeClass) { c.Spec.IPPrefixCount = new(int32(1)) },
	"public address":      func(c *awsv1.EC2NodeClass) { c.Spec.AssociatePublicIPAddress = new(false) },
	"connection tracking": func(c *awsv1.EC2NodeClass) { c.Spec.ConnectionTracking = nil },
	"nesting":             func(c *awsv1.EC2NodeClass) { c.Spec.CPUOptions = nil },
	"monitoring":          func(c *awsv1.EC2NodeClass) { c.Spec.DetailedMonitoring = new(true) },
	"metadata":            func(c *awsv1.EC2NodeClass) { c.Spec.MetadataOptions.HTTPTokens = "" },
	"context":             func(c *awsv1.EC2NodeClass) { c.Spec.Context = "x" },
}

func raw(s string) apiextensionsv1.JSON { return apiextensionsv1.JSON{Raw: []byte(s)} }

func TestHash(t *testing.T) {
	base := class(t).Hash()
	for name, change := range sameHash {
		c := class(t)
		change(c)
		before := c.DeepCopy()
		if got := c.Hash(); got != base {
			t.Errorf("%s: hash %s, was %s", name, got, base)
		}
		if diff := cmp.Diff(before, c); diff != "" {
			t.Errorf("hashing changed the object:\n%s", diff)
		}
	}
	seen := map[string]string{base: "nothing"}
	for name, change := range otherHash {
		c := class(t)
		change(c)
		got := c.Hash()
		if other, ok := seen[got]; ok {
			t.Errorf("changing %s gives the hash of changing %s", name, other)
		}
		seen[got] = name
	}
	// The hash is stored in clusters: another answer needs another version.
	if want := "7a2b0a9d8f330ee4"; base != want {
		t.Errorf("Hash() = %s, was %s; change HashVersion with it", base, want)
	}
}

func TestReady(t *testing.T) {
	c := class(t)
	c.Generation = 3
	start := time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)
	if !c.SetReady(awsv1.Readiness, start) || c.IsReady() {
		t.Error("nothing is known yet")
	}
	for _, name := range awsv1.Readiness {
		if !c.SetCondition(metav1.Condition{Type: name, Status: metav1.ConditionTrue}, start) {
			t.Errorf("setting %s is a change", name)
		}
	}
	if !c.SetReady(awsv1.Readiness, start.Add(time.Minute)) || !c.IsReady() {
		t.Error("all is True, and yet not Ready")
	}
	c.SetCondition(metav1.Condition{Type: awsv1.ConditionAMIsReady, Status: metav1.ConditionFalse, Reason: "AMINotFound"}, start)
	c.SetCondition(metav1.Condition{Type: awsv1.ConditionSubnetsReady, Status: metav1.ConditionUnknown}, start)
	c.SetReady(awsv1.Readiness, start.Add(time.Hour))
	got := c.Status.Conditions[0]
	want := metav1.Condition{
		Type: "Ready", Status: "False", Reason: "UnhealthyDependents", Message: "SubnetsReady=Unknown, AMIsReady=False",
		ObservedGeneration: 3, LastTransitionTime: metav1.NewTime(start.Add(time.Hour)),
	}
	if diff := cmp.Diff(want, got); diff != "" || c.IsReady() {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// TestReadyIsOfThisGeneration: a class that was edited since is not ready.
func TestReadyIsOfThisGeneration(t *testing.T) {
	c := class(t)
	c.SetReady(nil, time.Unix(0, 0))
	if ready, why := c.Readiness(); !c.IsReady() || !ready || why != "" {
		t.Errorf("ready without dependents: %v, %q", ready, why)
	}
	c.SetReady([]string{awsv1.ConditionSubnetsReady}, time.Unix(1, 0))
	if ready, why := c.Readiness(); ready || why != "SubnetsReady=Unknown" {
		t.Errorf("ready without its subnets: %v, %q", ready, why)
	}
	c.Generation++
	if ready, why := c.Readiness(); c.IsReady() || ready || why != "its status is not known yet" {
		t.Errorf("ready for a spec that nobody has looked at: %v, %q", ready, why)
	}
}

func TestAddToScheme(t *testing.T) {
	scheme := runtime.NewScheme()
	if err := awsv1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	for _, kind := range []string{awsv1.Kind, awsv1.Kind + "List"} {
		if _, err := scheme.New(awsv1.GroupVersion.WithKind(kind)); err != nil {
			t.Error(err)
		}
	}
}
