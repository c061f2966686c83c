package problem

import (
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/yaml"

	"github.com/stowage-sh/stowage/pricing"
	"github.com/stowage-sh/stowage/provisioner/v1alpha1"
)

// TestAdjustments: what an adjustment makes of a price, to the millionth.
func TestAdjustments(t *testing.T) {
	const unknown = -1
	for _, c := range []struct {
		price, adjustment string
		of, want          pricing.MicroUSD
	}{
		{"0.25", "", 100_000, 250_000},
		{"0.25", "", unknown, 250_000},
		{"0", "", 100_000, 0},
		{"", "", 100_000, 100_000},
		{"", "", unknown, unknown},
		{"", "+0.1", 100_000, 200_000},
		{"", "+.1", 100_000, 200_000},
		{"", "+0.1", unknown, unknown},
		{"", "-0.05", 100_000, 50_000},
		{"", "-0.1", 100_000, 0},
		{"", "-7", 100_000, 0},
		{"", "+10%", 100_000, 110_000},
		{"", "+10%", unknown, unknown},
		{"", "+.5%", 100_000, 100_500},
		{"", "-10.5%", 100_000, 89_500},
		{"", "-100%", 100_000, 0},
		{"", "+0%", 100_000, 100_000},
		{"", "-50%", 1, 1}, // half up
		{"", "-50.000001%", 1, 0},
		{"", "+900000%", 100_000, 900_100_000},
		{"", "+900000%", 999_999_000_000, pricing.MaxMicroUSD},
		{"", "+999999", 999_999_000_000, pricing.MaxMicroUSD},
	} {
		o := &v1alpha1.NodeOverlay{}
		if c.price != "" {
			o.Spec.Price = &c.price
		}
		if c.adjustment != "" {
			o.Spec.PriceAdjustment = &c.adjustment
		}
		read, problems := readOverlay(o)
		if len(problems) > 0 {
			t.Errorf("price %q, adjustment %q: %v", c.price, c.adjustment, problems.ToAggregate())
			continue
		}
		got, known, overlaid := Overlays{read}.Price(labels.Set{}, max(c.of, 0), c.of != unknown)
		if !known {
			got = unknown
		}
		if got != c.want || overlaid != (c.price+c.adjustment != "") {
			t.Errorf("price %q, adjustment %q of %d: %d, overlaid %v, want %d", c.price, c.adjustment, c.of, got, overlaid, c.want)
		}
	}
}

// TestCheckOverlay: what is wrong is named by its field.
func TestCheckOverlay(t *testing.T) {
	for spec, want := range map[string]string{
		`{requirements: []}`: "",
		`{requirements: [{key: karpenter.sh/nodepool, operator: NotIn, values: [a]}, {key: a, operator: Exists}, {key: b, operator: DoesNotExist}, {key: c, operator: Gte, values: ["2"]}]}`: "",
		`{weight: 10000, price: "1.5", capacity: {example.com/a: 0, smarter-devices.io/b: 1k, example.com/c: "2.0"}, requirements: []}`:                                                      "",

		`{requirements: [{key: karpenter.sh/registered, operator: Exists}]}`:                          "spec.requirements[0].key",
		`{requirements: [{key: kubernetes.io/hostname, operator: Exists}]}`:                           "spec.requirements[0].key",
		`{requirements: [{key: a, operator: In}]}`:                                                    "spec.requirements[0].values",
		`{requirements: [{key: a, operator: NotIn}]}`:                                                 "spec.requirements[0]",
		`{requirements: [{key: a, operator: Exists, values: [a]}]}`:                                   "spec.requirements[0]",
		`{requirements: [{key: a, operator: In, values: [b]}, {key: a, operator: Near}]}`:             "spec.requirements[1].operator",
		`{requirements: [{key: a, operator: Lte, values: ["1.5"]}]}`:                                  "spec.requirements[0].values[0]",
		`{requirements: [{key: a, operator: Gt, values: [many]}]}`:                                    "spec.requirements[0].values[0]",
		`{requirements: [{key: a, operator: In, values: ["no value"]}]}`:                              "spec.requirements[0].values[0]",
		`{requirements: [{key: karpenter.sh/capacity-type, operator: In, values: [preemptible]}]}`:    "spec.requirements[0].values",
		`{requirements: [], price: "1", priceAdjustment: "+1"}`:                                       "spec.priceAdjustment",
		`{requirements: [], price: cheap}`:                                                            "spec.price",
		`{requirements: [], price: "-1"}`:                                                             "spec.price",
		`{requirements: [], price: "1000000"}`:                                                        "spec.price",
		`{requirements: [], priceAdjustment: "1"}`:                                                    "spec.priceAdjustment",
		`{requirements: [], priceAdjustment: "+"}`:                                                    "spec.priceAdjustment",
		`{requirements: [], priceAdjustment: "%"}`:                                                    "spec.priceAdjustment",
		`{requirements: [], priceAdjustment: "+-1"}`:                                                  "spec.priceAdjustment",
		`{requirements: [], priceAdjustment: "-100.1%"}`:                                              "spec.priceAdjustment",
		`{requirements: [], priceAdjustment: ""}`:                                                     "spec.priceAdjustment",
		`{requirements: [], capacity: {memory: 1Gi, pods: 1}}`:                                        "spec.capacity[memory] spec.capacity[pods]",
		`{requirements: [], capacity: {hugepages-2Mi: 1Gi, attachable-volumes-aws-ebs: 1}}`:           "spec.capacity[attachable-volumes-aws-ebs] spec.capacity[hugepages-2Mi]",
		`{requirements: [], capacity: {node.kubernetes.io/x: 1, kubernetes.io/y: 1}}`:                 "spec.capacity[kubernetes.io/y] spec.capacity[node.kubernetes.io/x]",
		`{requirements: [], capacity: {example.com/a: 500m, example.com/b: -1, example.com/c: 17Ti}}`: "spec.capacity[example.com/a] spec.capacity[example.com/b] spec.capacity[example.com/c]",
		`{requirements: [], capacity: {"example.com/a b": 1}}`:                                        "spec.capacity[example.com/a b]",
		`{requirements: [], weight: 0}`:                                                               "spec.weight",
		`{requirements: [], weight: 10001}`:                                                           "spec.weight",
	} {
		o := &v1alpha1.NodeOverlay{}
		if err := yaml.UnmarshalStrict([]byte("spec: "+spec), o); err != nil {
			t.Fatalf("%s: %v", spec, err)
		}
		var got []string
		for _, p := range CheckOverlay(o) {
			got = append(got, p.Field)
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s: %v, want %q", spec, CheckOverlay(o).ToAggregate(), want)
		}
	}
}
