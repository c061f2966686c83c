package conformance_test

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/stowage-sh/stowage/cloudprovider"
	"github.com/stowage-sh/stowage/cloudprovider/aws"
	"github.com/stowage-sh/stowage/cloudprovider/aws/nodeclass"
	v1 "github.com/stowage-sh/stowage/cloudprovider/aws/v1"
	"github.com/stowage-sh/stowage/test/ec2sim"
)

// buy launches an m5.large for a claim.
func (a *account) buy(p *aws.Provider, claim string) cloudprovider.Instance {
	a.Helper()
	class := a.cloud().Class
	catalog := a.catalog(p)
	it, ok := catalog.InstanceType("m5.large")
	if !ok {
		a.Fatal("the catalog lacks m5.large")
	}
	i, err := p.Launch(a.Context(), cloudprovider.LaunchRequest{Claim: claim, UID: "uid-of-" + claim, Class: class, NodePool: "web", Offerings: it.Offerings[:1]})
	if err != nil {
		a.Fatal(err)
	}
	return i
}

// drift is what the provider says of an instance, as EC2 lists it now: a reason, ""
// for none, or silent.
func (a *account) drift(p *aws.Provider, id string, annotations map[string]string) string {
	a.Helper()
	class := a.cloud().Class
	list, err := p.List(a.Context())
	if err != nil {
		a.Fatal(err)
	}
	q := cloudprovider.DriftQuery{Class: class, Annotations: annotations}
	for _, i := range list {
		if i.ID == id {
			q.Instance = i
		}
	}
	if q.Instance.ID == "" {
		a.Fatalf("EC2 does not list %s", id)
	}
	if catalog, err := p.Catalog(a.Context(), class); err == nil {
		q.Type, _ = catalog.InstanceType(q.Instance.Offering.InstanceType)
	}
	d, known := p.Drift(q)
	if !known {
		return silent
	}
	return d.Reason
}

const silent = "silent"

// TestDrift changes what a class asks for and finds, and back: a node that was bought
// before drifts, and does not any more.
func TestDrift(t *testing.T) {
	a := newAccount(t)
	p := a.provider()
	i := a.buy(p, "web")
	if i.Annotations[v1.AnnotationHash] != a.class.Hash() || i.Annotations[v1.AnnotationHashVersion] != v1.HashVersion {
		t.Errorf("the launch leaves annotations %v", i.Annotations)
	}
	spec := a.class.Spec.DeepCopy()
	for _, c := range []struct {
		name, want string
		change     func(*v1.EC2NodeClassSpec)
	}{
		{"user data", aws.NodeClassDrift, func(s *v1.EC2NodeClassSpec) { s.UserData = "#!/bin/sh\ntrue\n" }},
		{"an older image", aws.AMIDrift, func(s *v1.EC2NodeClassSpec) { s.AMISelectorTerms[0].Alias = "al2023@v20260711" }},
		{"another security group", aws.SecurityGroupDrift, func(s *v1.EC2NodeClassSpec) {
			s.SecurityGroupSelectorTerms = append(s.SecurityGroupSelectorTerms, v1.SecurityGroupSelectorTerm{Name: "more"})
		}},
		{"another subnet of the zone", aws.SubnetDrift, func(s *v1.EC2NodeClassSpec) {
			s.SubnetSelectorTerms = []v1.SubnetSelectorTerm{{ID: "subnet-0f1c2d3e4f5061728"}}
		}},
		{"selectors that find the same", "", func(s *v1.EC2NodeClassSpec) {
			s.SecurityGroupSelectorTerms = []v1.SecurityGroupSelectorTerm{{Name: cluster.Name + "-node"}}
		}},
		{"images of another architecture only", silent, func(s *v1.EC2NodeClassSpec) {
			s.AMIFamily, s.AMISelectorTerms = v1.AMIFamilyAL2023, []v1.AMISelectorTerm{{Name: "custom-arm64"}}
		}},
		{"subnets that are not there", silent, func(s *v1.EC2NodeClassSpec) {
			s.SubnetSelectorTerms = []v1.SubnetSelectorTerm{{ID: "subnet-00000000000000000"}}
		}},
	} {
		a.class.Spec = *spec.DeepCopy()
		c.change(&a.class.Spec)
		a.resolve()
		if got := a.drift(p, i.ID, i.Annotations); got != c.want {
			t.Errorf("%s: drift is %q, want %q", c.name, got, c.want)
		}
		a.class.Spec = *spec.DeepCopy()
		a.resolve()
		if got := a.drift(p, i.ID, i.Annotations); got != "" {
			t.Errorf("%s, taken back: drift is %q", c.name, got)
		}
	}
	a.sim.Release(ec2sim.Image{
		ID: "ami-0123456789abcdef0", Name: "newer", Owner: "amazon", Arch: "amd64", Created: time.Date(2026, 9, 1, 0, 0, 0, 0, time.UTC), Bootstrap: ec2sim.NodeADM,
		Variant: "standard", Parameter: "/aws/service/eks/optimized-ami/" + version + "/amazon-linux-2023/x86_64/standard/newer/image_id",
	})
	a.resolve()
	if got := a.drift(p, i.ID, i.Annotations); got != aws.AMIDrift {
		t.Errorf("a newer image: drift is %q", got)
	}
}

// TestDriftAfterLostLaunch: a launch that is found after a crash says which class it
// was made from, though the class has changed.
func TestDriftAfterLostLaunch(t *testing.T) {
	a := newAccount(t)
	first := a.buy(a.provider(), "web")
	a.cloud().Change()
	p := a.provider()
	again := a.buy(p, "web")
	if again.ID != first.ID {
		t.Fatalf("the launch was repeated: %s, then %s", first.ID, again.ID)
	}
	if got := a.drift(p, again.ID, again.Annotations); got != aws.NodeClassDrift {
		t.Errorf("drift is %q", got)
	}
}

// TestTakenOver: a node that Karpenter launched, under another class than today's as
// far as its hash can tell, drifts neither before nor after its NodeClaim is stamped.
func TestTakenOver(t *testing.T) {
	a := newAccount(t)
	p := a.provider()
	i := a.buy(p, "web")
	claim := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "web", Annotations: map[string]string{
		v1.AnnotationHash: "13971920214979852468", v1.AnnotationHashVersion: "v6",
	}}}
	if got := a.drift(p, i.ID, claim.Annotations); got != silent {
		t.Errorf("before the stamp: drift is %q", got)
	}
	a.claims = []nodeclass.Claim{{Object: claim, Launched: true}}
	a.resolve()
	if len(a.patched) != 1 {
		t.Fatalf("%d claims were stamped", len(a.patched))
	}
	if got := a.drift(p, i.ID, a.patched[0].GetAnnotations()); got != "" {
		t.Errorf("after the stamp: drift is %q", got)
	}
	a.class.Spec.UserData = "#!/bin/sh\ntrue\n"
	a.resolve()
	if got := a.drift(p, i.ID, a.patched[0].GetAnnotations()); got != aws.NodeClassDrift {
		t.Errorf("after a change: drift is %q", got)
	}
}
