package aws

import (
	"strings"
	"testing"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/google/go-cmp/cmp"

	"github.com/stowage-sh/stowage/cloudprovider"
	v1 "github.com/stowage-sh/stowage/cloudprovider/aws/v1"
)

// launched is an instance that is as testClass asks for, as List has it.
func launched() cloudprovider.Instance {
	return cloudprovider.Instance{
		ID: "i-1", ImageID: "ami-amd64", State: cloudprovider.Running, SubnetID: "subnet-a2", SecurityGroupIDs: []string{"sg-1", "sg-2"},
		Offering: cloudprovider.Offering{InstanceType: "m5.large", Zone: "us-west-2a", CapacityType: cloudprovider.Spot},
	}
}

// reserving gives a class reservation cr-1 in a state.
func reserving(state string) func(*Class) {
	return func(c *Class) {
		c.Reservations = []Reservation{{CapacityReservation: v1.CapacityReservation{ID: "cr-1", InstanceType: "m5.large", AvailabilityZone: "us-west-2a", State: state}, Available: 1}}
	}
}

func fromReservation(q *cloudprovider.DriftQuery) {
	q.Instance.Offering.CapacityType, q.Instance.Offering.Reservation = cloudprovider.Reserved, "cr-1"
}

const silent = "nothing is known"

var driftCases = []struct {
	name  string
	class func(*Class)
	query func(*cloudprovider.DriftQuery)
	// want is reason and message, silent, or "" for no drift.
	want string
}{
	{name: "as it was launched"},
	{name: "the spec changed", class: func(c *Class) { c.Hash = "4567" },
		want: "NodeClassDrift: the spec of EC2NodeClass default has changed since the launch: its hash is 4567, and was 0123"},
	{name: "the class has no hash", class: func(c *Class) { c.Hash = "" }, want: silent},
	{name: "the claim has no hash", query: func(q *cloudprovider.DriftQuery) {
		q.Annotations = map[string]string{v1.AnnotationHashVersion: v1.HashVersion}
	}, want: silent},
	{name: "another hash version", class: func(c *Class) { c.Hash, c.Images[0].ID = "4567", "ami-new" }, query: func(q *cloudprovider.DriftQuery) {
		q.Annotations = map[string]string{v1.AnnotationHash: "0123", v1.AnnotationHashVersion: "v6"}
	}, want: silent},
	{name: "never stamped", query: func(q *cloudprovider.DriftQuery) { q.Annotations = nil }, want: silent},

	{name: "a newer image", class: func(c *Class) { c.Images[0].ID = "ami-new" },
		want: "AMIDrift: the image is ami-amd64, and EC2NodeClass default finds ami-new for m5.large"},
	{name: "a newer image beside its own", class: func(c *Class) {
		c.Images = append([]Image{{ID: "ami-new"}}, c.Images...)
	}},
	{name: "a newer image for other types", class: func(c *Class) { c.Images[1].ID = "ami-new" }},
	{name: "the image of another type", query: func(q *cloudprovider.DriftQuery) { q.Instance.ImageID = "ami-arm64" },
		want: "AMIDrift: the image is ami-arm64, and EC2NodeClass default finds ami-amd64 for m5.large"},
	{name: "no image for the type any more", class: func(c *Class) { c.Images = c.Images[1:] }, want: silent},
	{name: "no images at all", class: func(c *Class) { c.Images = nil }, want: silent},
	{name: "the type is not in the catalog", class: func(c *Class) { c.Images[0].ID = "ami-new" }, query: func(q *cloudprovider.DriftQuery) { q.Type = nil }, want: silent},
	{name: "the image is not known", query: func(q *cloudprovider.DriftQuery) { q.Instance.ImageID = "" }, want: silent},

	{name: "one security group more", class: func(c *Class) { c.SecurityGroups = append(c.SecurityGroups, "sg-3") },
		want: "SecurityGroupDrift: the security groups are sg-1, sg-2, and EC2NodeClass default finds sg-1, sg-2, sg-3"},
	{name: "one security group less", class: func(c *Class) { c.SecurityGroups = c.SecurityGroups[:1] },
		want: "SecurityGroupDrift: the security groups are sg-1, sg-2, and EC2NodeClass default finds sg-1"},
	{name: "the security groups are not known", query: func(q *cloudprovider.DriftQuery) { q.Instance.SecurityGroupIDs = nil }, want: silent},
	{name: "no security group found", class: func(c *Class) { c.SecurityGroups = nil }, want: silent},

	{name: "the subnet is not among those found", class: func(c *Class) { c.Subnets = c.Subnets[2:] },
		want: "SubnetDrift: the subnet is subnet-a2, and EC2NodeClass default finds subnet-b1"},
	{name: "a subnet more", class: func(c *Class) { c.Subnets = append(c.Subnets, Subnet{ID: "subnet-c1"}) }},
	{name: "the subnet is not known", query: func(q *cloudprovider.DriftQuery) { q.Instance.SubnetID = "" }, want: silent},
	{name: "no subnet found", class: func(c *Class) { c.Subnets = nil }, want: silent},

	{name: "a reservation that is found", class: reserving(""), query: fromReservation},
	{name: "a reservation that is not found", query: fromReservation,
		want: "CapacityReservationDrift: the capacity reservation is cr-1, which EC2NodeClass default does not find any more"},
	{name: "a capacity block that ends", class: reserving(v1.ReservationExpiring), query: fromReservation,
		want: "CapacityReservationDrift: the capacity block cr-1 is about to end"},

	{name: "the class is not ready", class: func(c *Class) { c.Hash, c.NotReady = "4567", "AMIsReady=False" }, want: silent},
	{name: "no such class", query: func(q *cloudprovider.DriftQuery) { q.Class.Name = "gone" }, want: silent},
	{name: "a class that was not resolved yet", query: func(q *cloudprovider.DriftQuery) { q.Class.Name = "late" }, want: silent},
	{name: "the instance is going", class: func(c *Class) { c.Hash = "4567" }, query: func(q *cloudprovider.DriftQuery) { q.Instance.State = cloudprovider.Stopping }, want: silent},
	{name: "the first of several", class: func(c *Class) { c.Images[0].ID, c.SecurityGroups, c.Subnets = "ami-new", nil, c.Subnets[2:] },
		want: "AMIDrift: the image is ami-amd64, and EC2NodeClass default finds ami-new for m5.large"},
}

func TestDrift(t *testing.T) {
	for _, c := range driftCases {
		t.Run(c.name, func(t *testing.T) {
			h := newHarness(t)
			h.ReservedCapacity = true
			class := testClass()
			if c.class != nil {
				c.class(class)
			}
			h.Classes.Put(class)
			q := cloudprovider.DriftQuery{
				Class: classRef, Instance: launched(),
				Annotations: map[string]string{v1.AnnotationHash: "0123", v1.AnnotationHashVersion: v1.HashVersion},
				Type:        &cloudprovider.InstanceType{Name: "m5.large", Labels: map[string]string{"kubernetes.io/arch": "amd64"}},
			}
			if c.query != nil {
				c.query(&q)
			}
			d, known := h.Provider.Drift(q)
			got := strings.TrimPrefix(d.Reason+": "+d.Message, ": ")
			if !known {
				got += silent
			}
			if got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

// TestListSaysWhatDriftCompares: subnet, groups in order, and, of what Stowage
// launched, the hash of the class at the launch.
func TestListSaysWhatDriftCompares(t *testing.T) {
	h := newHarness(t)
	there := func(id string, tags map[string]string) types.Instance {
		return types.Instance{
			InstanceId: sdk.String(id), SubnetId: sdk.String("subnet-a2"), Tags: ec2Tags(tags),
			SecurityGroups: []types.GroupIdentifier{{GroupId: sdk.String("sg-2")}, {GroupId: sdk.String("sg-1")}},
			State:          &types.InstanceState{Name: types.InstanceStateNameRunning},
		}
	}
	h.fake.there = []types.Instance{there("i-1", h.claimTags(testClass(), h.request())), there("i-2", map[string]string{"karpenter.sh/nodepool": "web"})}
	list, err := h.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for n, want := range []map[string]string{{v1.AnnotationHash: "0123", v1.AnnotationHashVersion: v1.HashVersion}, nil} {
		if diff := cmp.Diff(want, list[n].Annotations); diff != "" {
			t.Errorf("annotations of %s:\n%s", list[n].ID, diff)
		}
		if got := list[n]; got.SubnetID != "subnet-a2" || !cmp.Equal(got.SecurityGroupIDs, []string{"sg-1", "sg-2"}) {
			t.Errorf("%s: subnet %q, groups %v", got.ID, got.SubnetID, got.SecurityGroupIDs)
		}
	}
}
