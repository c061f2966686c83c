package conformance_test

import (
	"net/netip"
	"slices"
	"testing"

	"github.com/stowage-sh/stowage/cloudprovider"
	v1 "github.com/stowage-sh/stowage/cloudprovider/aws/v1"
	"github.com/stowage-sh/stowage/test/ec2sim"
)

// TestLocalZone: what a Local Zone sells is offered where the class has a subnet there, and launched there.
func TestLocalZone(t *testing.T) {
	const zone = region + "-lax-1a"
	types := ec2sim.FewTypes()
	for i := range types {
		if types[i].Name != "m5.large" {
			types[i].Zones = []string{region + "a", region + "b", region + "c"}
		}
	}
	a := newAccountAt(t, version, types, func(w *ec2sim.World) {
		w.Zones = append(w.Zones, ec2sim.Zone{Name: zone, ID: "usw2-lax1-az1"})
		w.Subnets = append(w.Subnets, ec2sim.Subnet{
			ID: "subnet-0a1b2c3d4e5f60718", Zone: zone, CIDR: netip.MustParsePrefix("10.0.210.0/24"), Tags: w.Subnets[0].Tags,
		})
	})
	b := &booking{account: a, Provider: a.provider(), class: a.cloud().Class}
	catalog := a.catalog(b.Provider)
	for i := range catalog.InstanceTypes {
		kind := &catalog.InstanceTypes[i]
		if there := slices.ContainsFunc(kind.Offerings, func(o cloudprovider.Offering) bool { return o.Zone == zone }); there != (kind.Name == "m5.large") {
			t.Errorf("%s is offered in %s: %v", kind.Name, zone, there)
		}
	}
	local := b.offered("m5.large/" + zone + "/on-demand")
	i, err := b.launch(local)
	if err != nil || i.Offering != local || i.ProviderID != "aws:///"+zone+"/"+i.ID {
		t.Errorf("launched %+v, %v", i, err)
	}
	if id := catalog.ZoneLabels[zone][v1.LabelZoneID]; id != "usw2-lax1-az1" {
		t.Errorf("its ID is %q", id)
	}
}
