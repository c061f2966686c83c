package lifecycle

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/stowage-sh/stowage/cloudprovider"
	"github.com/stowage-sh/stowage/pricing"
	"github.com/stowage-sh/stowage/provisioner/state"
	v1 "github.com/stowage-sh/stowage/provisioner/v1"
	"github.com/stowage-sh/stowage/provisioner/v1alpha1"
)

var noon = time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)

// catalog has a small, a large and a gpu machine in two zones.
func catalog() *cloudprovider.Catalog {
	c := &cloudprovider.Catalog{Region: "r", ZoneLabels: map[string]map[string]string{"a": {"zone-id": "1"}, "b": {"zone-id": "2"}}}
	for _, t := range []struct {
		name string
		cpu  int64
		gpus int64
	}{{"gpu", 4, 1}, {"large", 8, 0}, {"small", 2, 0}} {
		it := cloudprovider.InstanceType{
			Name: t.name, Labels: map[string]string{"cpus": fmt.Sprint(t.cpu)},
			Allocatable: cloudprovider.Resources{"cpu": t.cpu * 1000, "memory": t.cpu << 30, "example.com/gpu": t.gpus},
		}
		if t.gpus > 0 {
			it.Labels["gpus"] = fmt.Sprint(t.gpus)
		}
		for _, zone := range []string{"a", "b"} {
			for _, capacityType := range []string{cloudprovider.OnDemand, cloudprovider.Spot} {
				it.Offerings = append(it.Offerings, cloudprovider.Offering{InstanceType: t.name, Zone: zone, CapacityType: capacityType})
			}
		}
		c.InstanceTypes = append(c.InstanceTypes, it)
	}
	return c
}

// book holds the prices of a catalog.
func book(c *cloudprovider.Catalog, price func(cloudprovider.Offering) (pricing.MicroUSD, bool)) *pricing.Book {
	prices := map[cloudprovider.Offering]pricing.MicroUSD{}
	for _, it := range c.InstanceTypes {
		for _, o := range it.Offerings {
			if p, ok := price(o); ok {
				prices[o] = p
			}
		}
	}
	return pricing.NewBook(pricing.NewTable(c.Region, "the test", prices))
}

// TestDedicatedIsForWhoAsks: a claim without a plan that leaves both kinds of hardware gets that which is shared.
func TestDedicatedIsForWhoAsks(t *testing.T) {
	c := catalog()
	c.Tenancies = map[string]map[string]string{cloudprovider.Dedicated: {v1.LabelTenancy: cloudprovider.Dedicated}}
	for i := range c.InstanceTypes {
		kind := &c.InstanceTypes[i]
		kind.Labels[v1.LabelTenancy] = "default"
		kind.Offerings = append(kind.Offerings, cloudprovider.Offering{InstanceType: kind.Name, Zone: "a", CapacityType: cloudprovider.OnDemand, Tenancy: cloudprovider.Dedicated})
	}
	prices := book(c, func(o cloudprovider.Offering) (pricing.MicroUSD, bool) {
		if o.Tenancy != "" {
			return 1, true // though nobody would sell it for less
		}
		return 2, true
	})
	controller := &Controller{Cluster: state.New(), Availability: &cloudprovider.Availability{}, Prices: prices}
	for _, want := range []string{"default", cloudprovider.Dedicated, ""} {
		claim := &v1.NodeClaim{}
		if want != "" {
			claim.Spec.Requirements = []v1.Requirement{{Key: v1.LabelTenancy, Operator: corev1.NodeSelectorOpIn, Values: []string{want}}}
		}
		offerings, err := controller.offerings(noon, claim, c)
		if err != nil || len(offerings) == 0 {
			t.Fatalf("%q: %v, %v", want, offerings, err)
		}
		for _, o := range offerings {
			if (o.Tenancy == cloudprovider.Dedicated) != (want == cloudprovider.Dedicated) {
				t.Errorf("%q: %s", want, o)
			}
			if got := offeringLabels(c, o)[v1.LabelTenancy]; (got == cloudprovider.Dedicated) != (want == cloudprovider.Dedicated) {
				t.Errorf("%q: the node's label is %q", want, got)
			}
		}
	}
}

func TestOfferings(t *testing.T) {
	in := func(key string, values ...string) v1.Requirement {
		return v1.Requirement{Key: key, Operator: corev1.NodeSelectorOpIn, Values: values}
	}
	op := func(key string, op corev1.NodeSelectorOperator, values ...string) v1.Requirement {
		return v1.Requirement{Key: key, Operator: op, Values: values}
	}
	spotInA := []v1.Requirement{in(v1.LabelCapacityType, "spot"), in(corev1.LabelTopologyZone, "a")}
	for _, c := range []struct {
		name         string
		annotation   string
		requirements []v1.Requirement
		requests     corev1.ResourceList
		want         string
	}{
		{"the plan decides, in its order", "large/b/spot, small/a/spot", spotInA, nil, "large/b/spot small/a/spot"},
		{"cheapest first, ties by name", "", []v1.Requirement{in(v1.LabelCapacityType, "spot")}, nil,
			"gpu/a/spot small/a/spot gpu/b/spot small/b/spot large/a/spot large/b/spot"},
		{"what holds the requests", "", spotInA, corev1.ResourceList{"cpu": resource.MustParse("2500m")}, "gpu/a/spot large/a/spot"},
		{"extended resources too", "", spotInA, corev1.ResourceList{"example.com/gpu": resource.MustParse("1")}, "gpu/a/spot"},
		{"a label that the machine lacks", "", append(spotInA, op("gpus", corev1.NodeSelectorOpGt, "0")), nil, "gpu/a/spot"},
		{"DoesNotExist", "", append(spotInA, op("gpus", corev1.NodeSelectorOpDoesNotExist)), nil, "small/a/spot large/a/spot"},
		{"NotIn meets absence", "", append(spotInA, op("gpus", corev1.NodeSelectorOpNotIn, "1")), nil, "small/a/spot large/a/spot"},
		{"Exists", "", append(spotInA, op("gpus", corev1.NodeSelectorOpExists)), nil, "gpu/a/spot"},
		{"Lt", "", append(spotInA, op("cpus", corev1.NodeSelectorOpLt, "4")), nil, "small/a/spot"},
		{"Lte", "", append(spotInA, op("cpus", v1.OperatorLte, "4")), nil, "gpu/a/spot small/a/spot"},
		{"Gte", "", append(spotInA, op("cpus", v1.OperatorGte, "4")), nil, "gpu/a/spot large/a/spot"},
		{"a label of the past", "", []v1.Requirement{in(v1.LabelCapacityType, "spot"), in(corev1.LabelFailureDomainBetaZone, "b"), in("cpus", "2")}, nil, "small/b/spot"},
		{"a label of the zone", "", append(spotInA, in("zone-id", "2")), nil, ""},
		{"a label that the claim gives", "", append(spotInA, in("team", "x"), in("cpus", "2")), nil, "small/a/spot"},
		{"without a price, never; run out, not now", "", []v1.Requirement{in(v1.LabelCapacityType, "on-demand")}, nil, "small/a/on-demand"},
	} {
		available := &cloudprovider.Availability{}
		available.Mark(noon, cloudprovider.Offering{InstanceType: "small", Zone: "b", CapacityType: cloudprovider.OnDemand})
		controller := &Controller{Cluster: state.New(), Availability: available, Prices: book(catalog(), func(o cloudprovider.Offering) (pricing.MicroUSD, bool) {
			price := map[string]pricing.MicroUSD{"gpu": 10, "small": 10, "large": 20}[o.InstanceType] + pricing.MicroUSD(strings.Count(o.Zone, "b"))
			return price, o.CapacityType == cloudprovider.Spot || o.InstanceType == "small"
		})}
		claim := &v1.NodeClaim{}
		claim.Spec.Requirements = c.requirements
		claim.Spec.Resources.Requests = c.requests
		if c.annotation != "" {
			claim.Annotations = map[string]string{v1.AnnotationOfferings: c.annotation}
		}
		got, err := controller.offerings(noon, claim, catalog())
		var names []string
		for _, o := range got {
			names = append(names, o.String())
		}
		if err != nil || strings.Join(names, " ") != c.want {
			t.Errorf("%s: %v, %v, want %s", c.name, names, err, c.want)
		}
	}
}

// TestNoPriceOfAnother: machines with another operating system than Linux are not bought at Linux's prices.
func TestNoPriceOfAnother(t *testing.T) {
	c := catalog()
	controller := &Controller{Cluster: state.New(), Availability: &cloudprovider.Availability{}, Prices: book(c, func(cloudprovider.Offering) (pricing.MicroUSD, bool) { return 10, true })}
	if got, err := controller.offerings(noon, &v1.NodeClaim{}, c); err != nil || len(got) == 0 {
		t.Fatalf("with Linux: %v, %v", got, err)
	}
	for i := range c.InstanceTypes {
		own := maps.Clone(c.InstanceTypes[i].Labels)
		own[corev1.LabelOSStable] = "windows"
		c.InstanceTypes[i].Labels = own
	}
	if got, err := controller.offerings(noon, &v1.NodeClaim{}, c); err != nil || len(got) > 0 {
		t.Errorf("with Windows, whose prices are not known: %v, %v", got, err)
	}
}

// TestReservedOfferings: a claim that no plan is for takes what is reserved first, as far as there is
// some that no plan counts on, and its node gets the labels of the reservation; a reservation that is over is asked for in vain.
func TestReservedOfferings(t *testing.T) {
	c := catalog()
	c.ReservationLabels, c.Reservations = []string{"cloud/reservation"}, map[string]cloudprovider.Reservation{}
	for name, left := range map[string]int64{"cr-0": 0, "cr-1": 1, "cr-2": 5, "cr-3": 1} {
		o := cloudprovider.Offering{InstanceType: "small", Zone: "a", CapacityType: cloudprovider.Reserved, Reservation: name}
		c.InstanceTypes[2].Offerings = append(c.InstanceTypes[2].Offerings, o)
		c.Reservations[name] = cloudprovider.Reservation{Offering: o, Left: left, Labels: map[string]string{"cloud/reservation": name}}
	}
	controller := &Controller{Cluster: state.New(), Availability: &cloudprovider.Availability{}, Prices: book(c, func(o cloudprovider.Offering) (pricing.MicroUSD, bool) {
		return 10, o.CapacityType == cloudprovider.OnDemand && o.InstanceType == "small"
	})}
	controller.Availability.Mark(noon, c.Reservations["cr-2"].Offering)
	controller.Cluster.Observe(&v1.NodeClaim{ObjectMeta: metav1.ObjectMeta{Name: "planned", Annotations: map[string]string{v1.AnnotationOfferings: "small/a/reserved/cr-3"}}})
	for _, tc := range []struct {
		requirement v1.Requirement
		want        string
	}{
		{v1.Requirement{Key: "cpus", Operator: corev1.NodeSelectorOpExists}, "[small/a/reserved/cr-1 small/a/on-demand small/b/on-demand]"},
		{v1.Requirement{Key: "cloud/reservation", Operator: corev1.NodeSelectorOpIn, Values: []string{"cr-1", "cr-2"}}, "[small/a/reserved/cr-1]"},
		{v1.Requirement{Key: "cloud/reservation", Operator: corev1.NodeSelectorOpIn, Values: []string{"cr-9"}}, "[]"},
		{v1.Requirement{Key: "cloud/reservation", Operator: corev1.NodeSelectorOpDoesNotExist}, "[small/a/on-demand small/b/on-demand]"},
	} {
		claim := &v1.NodeClaim{}
		claim.Spec.Requirements = []v1.Requirement{tc.requirement}
		if got, err := controller.offerings(noon, claim, c); err != nil || fmt.Sprint(got) != tc.want {
			t.Errorf("%s %s %v: %v, %v, want %s", tc.requirement.Key, tc.requirement.Operator, tc.requirement.Values, got, err, tc.want)
		}
	}
	if got := offeringLabels(c, c.Reservations["cr-1"].Offering); got["cloud/reservation"] != "cr-1" || got[v1.LabelCapacityType] != "reserved" || got["zone-id"] != "1" {
		t.Errorf("labels %v", got)
	}
}

func TestOfferingsThatCannotBeRead(t *testing.T) {
	claim := &v1.NodeClaim{}
	claim.Annotations = map[string]string{v1.AnnotationOfferings: "small/a/spot,large"}
	if got, err := (&Controller{}).offerings(noon, claim, catalog()); err == nil || !strings.Contains(err.Error(), `"large"`) {
		t.Errorf("%v, %v", got, err)
	}
}

func TestAtMostSixtyOfferings(t *testing.T) {
	c := catalog()
	for i := range 40 {
		it := c.InstanceTypes[2]
		it.Name = fmt.Sprintf("small-%02d", i)
		it.Offerings = nil
		for _, o := range c.InstanceTypes[2].Offerings {
			o.InstanceType = it.Name
			it.Offerings = append(it.Offerings, o)
		}
		c.InstanceTypes = append(c.InstanceTypes, it)
	}
	controller := &Controller{Cluster: state.New(), Availability: &cloudprovider.Availability{}, Prices: book(c, func(o cloudprovider.Offering) (pricing.MicroUSD, bool) {
		if o.InstanceType == "small-39" {
			return 1, true
		}
		return 2, true
	})}
	got, err := controller.offerings(noon, &v1.NodeClaim{}, c)
	if err != nil || len(got) != v1.MaxOfferings || got[0].InstanceType != "small-39" {
		t.Errorf("%d offerings, first %v, %v", len(got), got[0], err)
	}
	if slices.ContainsFunc(got[4:], func(o cloudprovider.Offering) bool { return o.InstanceType == "small-39" }) {
		t.Error("the cheapest are not first")
	}
}

func TestOwnLabels(t *testing.T) {
	claim := &v1.NodeClaim{}
	claim.Labels = map[string]string{"team": "from the template"}
	claim.Spec.Requirements = []v1.Requirement{
		{Key: "team", Operator: corev1.NodeSelectorOpIn, Values: []string{"x"}},
		{Key: "tier", Operator: corev1.NodeSelectorOpIn, Values: []string{"web", "db"}},
		{Key: "cpus", Operator: corev1.NodeSelectorOpIn, Values: []string{"2"}},
		{Key: corev1.LabelFailureDomainBetaZone, Operator: corev1.NodeSelectorOpIn, Values: []string{"a"}},
		{Key: "open", Operator: corev1.NodeSelectorOpExists},
		{Key: "rank", Operator: corev1.NodeSelectorOpIn, Values: []string{"1", "2", "3"}},
		{Key: "rank", Operator: corev1.NodeSelectorOpGt, Values: []string{"1"}},
		{Key: "none", Operator: corev1.NodeSelectorOpIn, Values: []string{"a"}},
		{Key: "none", Operator: corev1.NodeSelectorOpNotIn, Values: []string{"a"}},
	}
	if got := fmt.Sprint(ownLabels(claim, knownLabels(catalog()))); got != "map[rank:2 team:from the template tier:db]" {
		t.Errorf("own labels %s", got)
	}
}

// TestOfferingsUnderOverlays: a claim without a list is served as overlays have it,
// those that are Ready and for its own labels.
func TestOfferingsUnderOverlays(t *testing.T) {
	cluster := state.New()
	for name, spec := range map[string]v1alpha1.NodeOverlaySpec{
		"dear": {Price: new("0.5"), Requirements: []v1alpha1.Requirement{{Key: "cpus", Operator: corev1.NodeSelectorOpIn, Values: []string{"2"}}}},
		"fuse": {Capacity: corev1.ResourceList{"example.com/fuse": resource.MustParse("1")}, Requirements: []v1alpha1.Requirement{
			{Key: v1.LabelNodePool, Operator: corev1.NodeSelectorOpIn, Values: []string{"general"}}, {Key: corev1.LabelFailureDomainBetaZone, Operator: corev1.NodeSelectorOpIn, Values: []string{"b"}}}},
		"not-ready": {Price: new("0"), Requirements: []v1alpha1.Requirement{}},
	} {
		o := &v1alpha1.NodeOverlay{ObjectMeta: metav1.ObjectMeta{Name: name, UID: types.UID(name)}, Spec: spec}
		if name != "not-ready" {
			v1.SetReady(&o.Status.Conditions, nil, 1, noon)
		}
		cluster.Observe(o)
	}
	controller := &Controller{Cluster: cluster, Availability: &cloudprovider.Availability{}, Prices: book(catalog(), func(o cloudprovider.Offering) (pricing.MicroUSD, bool) {
		return 10, o.CapacityType == cloudprovider.Spot
	})}
	for _, c := range []struct{ name, pool, resource, want string }{
		{"dear are last, and known", "general", "cpu", "gpu/a/spot gpu/b/spot large/a/spot large/b/spot small/a/on-demand small/a/spot small/b/on-demand small/b/spot"},
		{"only an overlay has it", "general", "example.com/fuse", "gpu/b/spot large/b/spot small/b/on-demand small/b/spot"},
		{"not in this NodePool", "other", "example.com/fuse", ""},
	} {
		claim := &v1.NodeClaim{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{v1.LabelNodePool: c.pool}}}
		claim.Spec.Resources.Requests = corev1.ResourceList{corev1.ResourceName(c.resource): resource.MustParse("1")}
		got, err := controller.offerings(noon, claim, catalog())
		var names []string
		for _, o := range got {
			names = append(names, o.String())
		}
		if err != nil || strings.Join(names, " ") != c.want {
			t.Errorf("%s: %v, %v, want %s", c.name, names, err, c.want)
		}
	}
}
