package conformance_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stowage-sh/stowage/cloudprovider"
	"github.com/stowage-sh/stowage/cloudprovider/aws"
	v1 "github.com/stowage-sh/stowage/cloudprovider/aws/v1"
	"github.com/stowage-sh/stowage/test/ec2sim"
)

// member launches a claim of a group, of an offering or of several.
func (a *account) member(p *aws.Provider, claim string, g cloudprovider.LaunchGroup, offerings ...string) cloudprovider.Instance {
	a.Helper()
	if len(offerings) == 0 {
		offerings = []string{"m5.large/" + region + "a/on-demand"}
	}
	r := cloudprovider.LaunchRequest{Claim: claim, UID: "uid-of-" + claim, Class: a.cloud().Class, NodePool: "web", Group: g}
	for _, text := range offerings {
		o, err := cloudprovider.ParseOffering(text)
		if err != nil {
			a.Fatal(err)
		}
		r.Offerings = append(r.Offerings, o)
	}
	i, err := p.Launch(a.Context(), r)
	if err != nil {
		a.Fatal(err)
	}
	return i
}

// TestGroupThatRunsShort: of five machines there are three as spot in one pool, and the group goes on together for the other two. What
// ran out is said once, and the answers hold after a restart.
func TestGroupThatRunsShort(t *testing.T) {
	a := newAccount(t)
	spot, onDemand := "m5.large/"+region+"a/spot", "m5.large/"+region+"a/on-demand"
	o, _ := cloudprovider.ParseOffering(spot)
	a.sim.RunShort(ec2sim.Shortage{Pool: o, Left: 3})
	var before []string
	for round := range 2 {
		p := a.provider()
		var got, kinds []string
		for i := range 5 {
			m := a.member(p, fmt.Sprint("claim-", i), cloudprovider.LaunchGroup{ID: "five", Index: i, Size: 5}, spot, onDemand)
			got, kinds = append(got, m.ID), append(kinds, m.Offering.CapacityType)
		}
		if want := "spot spot spot on-demand on-demand"; strings.Join(kinds, " ") != want {
			t.Errorf("round %d: got %v, want %s", round, kinds, want)
		}
		if round > 0 && !slices.Equal(got, before) {
			t.Errorf("the claims had %v, and got %v after a restart", before, got)
		}
		before = got
		if !slices.Equal(a.refused, []cloudprovider.Offering{o}) {
			t.Errorf("round %d: Refused was told %v, want %s once", round, a.refused, o)
		}
		a.refused = nil
	}
	if n := len(a.sim.Alive()); n != 5 || a.sim.Calls("CreateFleet") != 4 {
		t.Errorf("%d machines and %d fleets, want 5, of two fleets in each process", n, a.sim.Calls("CreateFleet"))
	}
}

// TestTagsOfAGroup: machines of a group have no claim's tags from birth, and get its name.
func TestTagsOfAGroup(t *testing.T) {
	a := newAccount(t)
	p := a.provider()
	i := a.member(p, "one", cloudprovider.LaunchGroup{ID: "two", Index: 1, Size: 2})
	if err := p.Tag(t.Context(), i.ID, "one"); err != nil {
		t.Fatal(err)
	}
	for _, m := range a.sim.Instances() {
		want := map[string]string{i.ID: "one"}[m.ID]
		if m.Tags[v1.TagNodeClaim] != want || m.Tags[aws.TagLaunchGroup] != "two/0/2" || m.Tags[aws.TagClaimUID] != "" {
			t.Errorf("%s has the tags %v", m.ID, m.Tags)
		}
	}
	list, err := p.List(t.Context())
	if err != nil || len(list) != 2 {
		t.Fatal(list, err)
	}
}
