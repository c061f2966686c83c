package aws

import (
	"fmt"
	"strings"
	"testing"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/google/go-cmp/cmp"

	"github.com/stowage-sh/stowage/cloudprovider"
	v1 "github.com/stowage-sh/stowage/cloudprovider/aws/v1"
)

// saidInterfaces writes interfaces as card/device and what else is asked for.
func saidInterfaces(all []interfaceRequest) string {
	var out []string
	for _, i := range all {
		s := fmt.Sprintf("%d/%d %s %v", sdk.ToInt32(i.NetworkCardIndex), *i.DeviceIndex, sdk.ToString(i.InterfaceType), i.Groups)
		if i.AssociatePublicIpAddress != nil {
			s += fmt.Sprint(" public ", *i.AssociatePublicIpAddress)
		}
		if i.Ipv4PrefixCount != nil {
			s += fmt.Sprint(" prefixes ", *i.Ipv4PrefixCount)
		}
		if t := i.ConnectionTrackingSpecification; t != nil {
			s += fmt.Sprint(" tracks ", sdk.ToInt32(t.TcpEstablishedTimeout), sdk.ToInt32(t.UdpStreamTimeout), sdk.ToInt32(t.UdpTimeout))
		}
		out = append(out, s)
	}
	return strings.Join(out, "; ")
}

func TestInterfaces(t *testing.T) {
	yes, no, two, zero, n60, n90 := true, false, int32(2), int32(0), int32(60), int32(90)
	tracking := &v1.ConnectionTracking{TCPEstablishedTimeout: &n90, UDPTimeout: &n60}
	cards := []v1.NetworkInterface{
		{NetworkCardIndex: 1, DeviceIndex: 1, InterfaceType: v1.InterfaceTypeEFAOnly}, {InterfaceType: v1.InterfaceTypeInterface},
		{DeviceIndex: 1, InterfaceType: v1.InterfaceTypeInterface},
	}
	for _, c := range []struct {
		name string
		spec v1.EC2NodeClassSpec
		efas int64
		want string
	}{
		{"plain", v1.EC2NodeClassSpec{}, 0, ""},
		{"public", v1.EC2NodeClassSpec{AssociatePublicIPAddress: &no}, 0, "0/0  [sg-1] public false"},
		{"prefixes", v1.EC2NodeClassSpec{IPPrefixCount: &two}, 0, "0/0  [sg-1] prefixes 2"},
		{"no prefixes", v1.EC2NodeClassSpec{IPPrefixCount: &zero}, 0, "0/0  [sg-1]"},
		{"tracking", v1.EC2NodeClassSpec{ConnectionTracking: tracking, AssociatePublicIPAddress: &yes}, 0, "0/0  [sg-1] public true tracks 90 0 60"},
		{"one EFA", v1.EC2NodeClassSpec{AssociatePublicIPAddress: &yes, IPPrefixCount: &two}, 1, "0/0 efa [sg-1] public true prefixes 2"},
		{"many EFAs", v1.EC2NodeClassSpec{AssociatePublicIPAddress: &yes, ConnectionTracking: tracking}, 3,
			"0/0 efa [sg-1] tracks 90 0 60; 1/1 efa [sg-1] tracks 90 0 60; 2/1 efa [sg-1] tracks 90 0 60"},
		{"named", v1.EC2NodeClassSpec{NetworkInterfaces: cards, IPPrefixCount: &two, ConnectionTracking: tracking}, 4,
			"0/0  [sg-1] prefixes 2 tracks 90 0 60; 0/1  [sg-1] tracks 90 0 60; 1/1 efa-only [sg-1]"},
		{"one named", v1.EC2NodeClassSpec{NetworkInterfaces: cards[1:2], AssociatePublicIPAddress: &yes}, 0, "0/0  [sg-1] public true"},
	} {
		got := saidInterfaces(interfaces(&Class{SecurityGroups: []string{"sg-1"}, Spec: c.spec}, c.efas, 0))
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s:\n%s", c.name, diff)
		}
	}
}

// TestLaunchWithEFA: a machine has EFAs if pods ask for some, all that its type has; types with as many share
// a template, and without pods that ask it is a plain one.
func TestLaunchWithEFA(t *testing.T) {
	for _, c := range []struct {
		extended []string
		want     string
	}{
		{nil, ""},
		{[]string{"nvidia.com/gpu"}, ""},
		{[]string{"nvidia.com/gpu", "vpc.amazonaws.com/efa"}, "0/0 efa [sg-1 sg-2]; 1/1 efa [sg-1 sg-2]"},
	} {
		h := newHarness(t)
		types := testTypes()
		types[1].EFAs, types[1].NetworkCards = 2, 2
		h.Inventory.current.Store(&stock{types: types})
		r := h.request("m5.large/us-west-2a/on-demand")
		r.Extended = c.extended
		if _, err := h.Launch(t.Context(), r); err != nil {
			t.Fatal(err)
		}
		data := h.fake.templates[0].LaunchTemplateData
		if got := saidInterfaces(data.NetworkInterfaces); got != c.want || (c.want == "") != (len(data.SecurityGroupIds) == 2) {
			t.Errorf("%v: interfaces %q and groups %v, want %q", c.extended, got, data.SecurityGroupIds, c.want)
		}
	}
}

// TestFirstCardWithoutEFA: where a type has a card more than EFAs, the first card has the primary interface alone.
func TestFirstCardWithoutEFA(t *testing.T) {
	h := newHarness(t)
	types := testTypes()
	types[1].EFAs, types[1].NetworkCards = 2, 3
	h.Inventory.current.Store(&stock{types: types})
	r := h.request("m5.large/us-west-2a/on-demand")
	r.Extended = []string{"vpc.amazonaws.com/efa"}
	if _, err := h.Launch(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	want := "0/0  [sg-1 sg-2]; 1/0 efa-only [sg-1 sg-2]; 2/0 efa-only [sg-1 sg-2]"
	if got := saidInterfaces(h.fake.templates[0].LaunchTemplateData.NetworkInterfaces); got != want {
		t.Errorf("interfaces %q, want %q", got, want)
	}
}

// TestEnclaves: a machine has them turned on if pods ask for a sandbox, and what is had on request is not promised
// to others.
func TestEnclaves(t *testing.T) {
	for _, c := range []struct {
		extended []string
		want     bool
	}{{nil, false}, {[]string{"vpc.amazonaws.com/efa"}, false}, {[]string{"eks.amazonaws.com/nitro-sandbox"}, true}} {
		h := newHarness(t)
		r := h.request("m5.large/us-west-2a/on-demand")
		r.Extended = c.extended
		if _, err := h.Launch(t.Context(), r); err != nil {
			t.Fatal(err)
		}
		o := h.fake.templates[0].LaunchTemplateData.EnclaveOptions
		if got := o != nil && *o.Enabled; got != c.want {
			t.Errorf("%v: enclaves %v", c.extended, got)
		}
	}
	named := &v1.EC2NodeClassSpec{AMIFamily: v1.AMIFamilyAL2023, NetworkInterfaces: []v1.NetworkInterface{{}, {NetworkCardIndex: 0, DeviceIndex: 1, InterfaceType: v1.InterfaceTypeEFAOnly}}}
	for _, c := range []struct {
		spec *v1.EC2NodeClassSpec
		want []string
	}{{nil, []string{resourceNitroSandbox, resourceEFA}}, {named, []string{resourceNitroSandbox}}} {
		m, err := newMachine(c.spec)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(c.want, m.onRequest()); diff != "" {
			t.Errorf("on request:\n%s", diff)
		}
	}
}

// TestEFAsTellTemplatesApart: types with another number of EFAs are launched by another template.
func TestEFAsTellTemplatesApart(t *testing.T) {
	h := newHarness(t)
	types := testTypes()
	types[1].EFAs, types[2].EFAs = 2, 1
	types[1].IPv4PerENI, types[1].ENIs = types[2].IPv4PerENI, types[2].ENIs // as many pods on each
	h.Inventory.current.Store(&stock{types: types})
	r := h.request("m5.large/us-west-2a/on-demand", "m5.xlarge/us-west-2a/on-demand")
	r.Extended = []string{"vpc.amazonaws.com/efa"}
	if _, err := h.Launch(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	var got []int
	for _, x := range h.fake.templates {
		got = append(got, len(x.LaunchTemplateData.NetworkInterfaces))
	}
	if len(got) != 2 || got[0] != 2 || got[1] != 1 || len(h.fake.fleets) != 1 {
		t.Errorf("templates with %v interfaces in %d fleet(s)", got, len(h.fake.fleets))
	}
}

func TestNestedVirtualization(t *testing.T) {
	for value, want := range map[string]string{"enabled": "enabled", "disabled": "", "": ""} {
		got := made(t, cloudprovider.OnDemand, func(s *v1.EC2NodeClassSpec) { s.CPUOptions = &v1.CPUOptions{NestedVirtualization: value} }).data.CpuOptions
		if (got == nil) != (want == "") || got != nil && string(got.NestedVirtualization) != want {
			t.Errorf("%q: %+v", value, got)
		}
	}
}
