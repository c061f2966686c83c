package conformance_test

import (
	"errors"
	"slices"
	"testing"

	"github.com/stowage-sh/stowage/cloudprovider"
	v1 "github.com/stowage-sh/stowage/cloudprovider/aws/v1"
	"github.com/stowage-sh/stowage/test/ec2sim"
)

// grouped is an account whose class selects a placement group.
func grouped(t *testing.T, g ec2sim.PlacementGroup) *booking {
	b := &booking{account: newAccount(t)}
	b.sim.Group(g)
	b.account.class.Spec.PlacementGroupSelector = &v1.PlacementGroupSelector{Name: g.Name}
	b.resolve()
	b.Provider, b.class = b.provider(), b.cloud().Class
	return b
}

// offered returns the class's offering of that text.
func (b *booking) offered(text string) cloudprovider.Offering {
	b.Helper()
	o, err := cloudprovider.ParseOffering(text)
	if err != nil {
		b.Fatal(err)
	}
	c, err := b.Catalog(b.Context(), b.class)
	if err != nil {
		b.Fatal(err)
	}
	if kind, ok := c.InstanceType(o.InstanceType); !ok || !slices.Contains(kind.Offerings, o) {
		b.Fatalf("the catalog does not have %s", text)
	}
	return o
}

// TestPartitionGroup: a machine stands in the partition that was asked for, EC2 says so again, and what
// one partition lacks another has.
func TestPartitionGroup(t *testing.T) {
	b := grouped(t, ec2sim.PlacementGroup{ID: "pg-0123", Name: "parts", Strategy: "partition", Partitions: 3})
	second, third := b.offered("m5.large/us-west-2a/on-demand@pg-0123:2"), b.offered("m5.large/us-west-2a/on-demand@pg-0123:3")
	if i, err := b.launch(second, third); err != nil || i.Offering != second {
		t.Fatalf("launched %s, %v", i.Offering, err)
	}
	b.sim.RunShort(ec2sim.Shortage{Pool: cloudprovider.Offering{Placement: "pg-0123:2"}})
	if i, err := b.launch(second, third); err != nil || i.Offering != third {
		t.Fatalf("launched %s, %v", i.Offering, err)
	}
	if len(b.refused) != 1 || b.refused[0] != second {
		t.Errorf("refused: %v", b.refused)
	}
	list, err := b.provider().List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, i := range list {
		got = append(got, i.Offering.Placement)
	}
	if slices.Sort(got); !slices.Equal(got, []string{"pg-0123:2", "pg-0123:3"}) {
		t.Errorf("listed in %v", got)
	}
}

// TestReservedInPartitionGroup: a reserved machine stands in the group, in a partition that EC2 chooses, and is
// listed as what it was bought as.
func TestReservedInPartitionGroup(t *testing.T) {
	b := grouped(t, ec2sim.PlacementGroup{ID: "pg-0123", Name: "parts", Strategy: "partition", Partitions: 3})
	b.sim.Reserve(ec2sim.CapacityReservation{ID: "cr-1", InstanceType: "m5.large", Zone: region + "a", Total: 1, Targeted: true})
	b.account.class.Spec.CapacityReservationSelectorTerms = []v1.CapacityReservationSelectorTerm{{ID: "cr-1"}}
	b.account.class.Generation++
	b.resolve()
	o, left := b.reserved("cr-1")
	if o != b.offered("m5.large/us-west-2a/reserved/cr-1@pg-0123") || left != 1 {
		t.Fatalf("%d of %s", left, o)
	}
	if i, err := b.launch(o); err != nil || i.Offering != o {
		t.Fatalf("launched %s, %v", i.Offering, err)
	}
	if list, err := b.provider().List(t.Context()); err != nil || len(list) != 1 || list[0].Offering != o {
		t.Errorf("listed %+v, %v", list, err)
	}
}

// TestSpreadGroup: the eighth instance of a zone is refused, of every type; another zone takes it.
func TestSpreadGroup(t *testing.T) {
	b := grouped(t, ec2sim.PlacementGroup{ID: "pg-0123", Name: "apart", Strategy: "spread"})
	here, other, there := b.offered("m5.large/us-west-2a/on-demand@pg-0123"), b.offered("c5.large/us-west-2a/spot@pg-0123"), b.offered("m5.large/us-west-2b/on-demand@pg-0123")
	for range 7 {
		if i, err := b.launch(here); err != nil || i.Offering != here {
			t.Fatalf("launched %s, %v", i.Offering, err)
		}
	}
	_, err := b.launch(here)
	if ice, ok := errors.AsType[*cloudprovider.InsufficientCapacityError](err); !ok || !slices.Contains(ice.Offerings, other) || slices.Contains(ice.Offerings, there) {
		t.Fatalf("the eighth: %v", err)
	}
	if i, err := b.launch(there); err != nil || i.Offering != there {
		t.Errorf("launched %s, %v", i.Offering, err)
	}
}

// TestClusterGroup: what has one instance takes no other zone: the plan's next offering is launched.
func TestClusterGroup(t *testing.T) {
	b := grouped(t, ec2sim.PlacementGroup{ID: "pg-0123", Name: "near", Strategy: "cluster"})
	here, there := b.offered("m5.large/us-west-2a/on-demand@pg-0123"), b.offered("m5.large/us-west-2b/on-demand@pg-0123")
	if i, err := b.launch(there); err != nil || i.Offering != there {
		t.Fatalf("launched %s, %v", i.Offering, err)
	}
	if i, err := b.launch(here, there); err != nil || i.Offering != there {
		t.Errorf("launched %s, %v", i.Offering, err)
	}
}
