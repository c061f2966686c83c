package problem_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/stowage-sh/stowage/pricing"
	"github.com/stowage-sh/stowage/provisioner/problem"
	v1 "github.com/stowage-sh/stowage/provisioner/v1"
	"github.com/stowage-sh/stowage/provisioner/v1alpha1"
)

// randomOverlay draws from few values, so that overlays tie, agree and contradict.
func randomOverlay(r *rand.Rand, name string) *v1alpha1.NodeOverlay {
	pick := func(of ...string) string { return of[r.IntN(len(of))] }
	o := &v1alpha1.NodeOverlay{}
	o.Name = name
	if w := int32(r.IntN(3)); w > 0 {
		o.Spec.Weight = &w
	}
	switch r.IntN(4) {
	case 0:
		o.Spec.Price = new(pick("0.3", "0.30", "0"))
	case 1:
		o.Spec.PriceAdjustment = new(pick("-0.1", "+0.1", "-50%", "+10%", "-100%"))
	}
	if r.IntN(3) == 0 {
		o.Spec.Capacity = corev1.ResourceList{corev1.ResourceName(pick("example.com/a", "example.com/b")): resource.MustParse(pick("1", "2"))}
	}
	for range r.IntN(3) {
		q := v1alpha1.Requirement{Key: pick("topology.kubernetes.io/zone", "beta.kubernetes.io/instance-type", "team", "size", "karpenter.sh/capacity-type", "nobody")}
		q.Operator = corev1.NodeSelectorOperator(pick("In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt", "Gte", "Lte"))
		switch q.Operator {
		case "In", "NotIn":
			q.Values = []string{pick("a", "b", "small", "blue", "2", "spot"), pick("c", "large", "green", "8")}
		case "Gt", "Lt", "Gte", "Lte":
			q.Values = []string{pick("2", "4", "8")}
		}
		if q.Key == v1.LabelCapacityType && q.Operator == "In" {
			q.Values = []string{pick("spot", "on-demand")} // others are refused
		}
		o.Spec.Requirements = append(o.Spec.Requirements, q)
	}
	return o
}

// isFor reports whether an overlay is for a node with these labels.
func isFor(o *v1alpha1.NodeOverlay, node map[string]string) bool {
	for _, q := range o.Spec.Requirements {
		value, there := node[strings.Replace(q.Key, "beta.kubernetes.io", "node.kubernetes.io", 1)]
		is, err := strconv.Atoi(value)
		bound := 0
		if len(q.Values) == 1 {
			bound, _ = strconv.Atoi(q.Values[0])
		}
		if !map[string]bool{
			"In": there && slices.Contains(q.Values, value), "NotIn": !there || !slices.Contains(q.Values, value),
			"Exists": there, "DoesNotExist": !there,
			"Gt": err == nil && is > bound, "Lt": err == nil && is < bound, "Gte": err == nil && is >= bound, "Lte": err == nil && is <= bound,
		}[string(q.Operator)] {
			return false
		}
	}
	return true
}

// said is what an overlay says of a price, 0.30 and 0.3 alike, and of a resource.
func said(o *v1alpha1.NodeOverlay, name corev1.ResourceName) (price, capacity string) {
	if o.Spec.Price != nil {
		price = strings.TrimSuffix(*o.Spec.Price, "0")
	}
	if o.Spec.PriceAdjustment != nil {
		price = *o.Spec.PriceAdjustment
	}
	if o.Spec.Price != nil && price == "" {
		price = "0.0"
	}
	if q, ok := o.Spec.Capacity[name]; ok {
		capacity = q.String()
	}
	return price, capacity
}

var overlaidResources = []corev1.ResourceName{"example.com/a", "example.com/b"}

// contradict reports whether two overlays say different things of one node.
func contradict(o, p *v1alpha1.NodeOverlay) bool {
	for _, name := range overlaidResources {
		price1, capacity1 := said(o, name)
		price2, capacity2 := said(p, name)
		if price1 != "" && price2 != "" && price1 != price2 || capacity1 != "" && capacity2 != "" && capacity1 != capacity2 {
			return true
		}
	}
	return false
}

// applied are the overlays that have no conflict, in order, found the obvious way.
func applied(all []*v1alpha1.NodeOverlay, nodes []map[string]string) (sound []*v1alpha1.NodeOverlay) {
	weight := func(o *v1alpha1.NodeOverlay) (w int32) {
		if o.Spec.Weight != nil {
			w = *o.Spec.Weight
		}
		return w
	}
	slices.SortFunc(all, func(a, b *v1alpha1.NodeOverlay) int {
		if weight(a) != weight(b) {
			return int(weight(b) - weight(a))
		}
		return strings.Compare(b.Name, a.Name)
	})
	for _, o := range all {
		conflict := slices.ContainsFunc(sound, func(p *v1alpha1.NodeOverlay) bool {
			return weight(o) == weight(p) && contradict(o, p) && slices.ContainsFunc(nodes, func(n map[string]string) bool { return isFor(o, n) && isFor(p, n) })
		})
		if !conflict {
			sound = append(sound, o)
		}
	}
	return sound
}

// after is a price after what an overlay says of it; before is a multiple of 100.
func after(before int64, said string) int64 {
	number, percent := strings.CutSuffix(said, "%")
	f, _ := strconv.ParseFloat(number, 64)
	switch {
	case percent:
		return before * int64(100+f) / 100
	case said[0] == '+' || said[0] == '-':
		return max(0, before+int64(f*1e6))
	}
	return int64(f * 1e6)
}

// TestOverlaysTheObviousWay compares verdicts and rows with what a reading of the
// rules one after the other gives.
func TestOverlaysTheObviousWay(t *testing.T) {
	conflicts, changed := 0, 0
	for seed := range uint64(2000) {
		r := rand.New(rand.NewPCG(seed, 5))
		w := newWorld()
		if err := w.defineCatalog("large cpu=8 memory=40Gi zones=a,b on-demand=400 spot=100 label:size=8\nsmall cpu=2 memory=10Gi zones=b,c on-demand=100 label:size=2 example.com/a=5"); err != nil {
			t.Fatal(err)
		}
		if err := w.apply(`{apiVersion: karpenter.sh/v1, kind: NodePool, metadata: {name: general}, spec: {template: {spec: {requirements: [{key: team, operator: In, values: [blue, green]}]}}}}`); err != nil {
			t.Fatal(err)
		}
		var all []*v1alpha1.NodeOverlay
		for i := range 1 + r.IntN(12) {
			all = append(all, randomOverlay(r, fmt.Sprintf("o%d", i)))
			w.objects = append(w.objects, all[i])
		}
		var nodes []map[string]string
		for _, kind := range w.catalog.InstanceTypes {
			for _, o := range kind.Offerings {
				for _, team := range []string{"blue", "green"} {
					nodes = append(nodes, map[string]string{"topology.kubernetes.io/zone": o.Zone, "node.kubernetes.io/instance-type": kind.Name,
						v1.LabelCapacityType: o.CapacityType, "size": kind.Labels["size"], "team": team})
				}
			}
		}
		sound := applied(all, nodes)
		tr := problem.Build(w.question())
		for _, v := range w.verdicts {
			if want := slices.Contains(sound, v.Overlay); want != (v.Reason == "") {
				t.Fatalf("seed %d: %s is applied: %v, but it is %s %s", seed, v.Overlay.Name, want, v.Reason, v.Message)
			}
		}
		conflicts += len(all) - len(sound)
		for i := range tr.Rows {
			if checkOverlaid(t, w, &tr.Rows[i], sound) {
				changed++
			}
		}
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
	if conflicts < 500 || changed < 5000 {
		t.Errorf("only %d conflicts and %d changed rows", conflicts, changed)
	}
}

// checkOverlaid checks one row and reports whether overlays changed it.
func checkOverlaid(t *testing.T, w *world, row *problem.Row, sound []*v1alpha1.NodeOverlay) (changed bool) {
	t.Helper()
	kind, _ := w.catalog.InstanceType(row.Offering.InstanceType)
	price := int64(w.prices[row.Offering])
	for _, o := range sound {
		if p, _ := said(o, ""); p != "" && isFor(o, row.Labels()) {
			price = after(price, p)
			break
		}
	}
	if int64(row.Price) != price {
		t.Errorf("%s costs %s, want %s", row.Offering, pricing.MicroUSD(row.Price), pricing.MicroUSD(price))
	}
	changed = price != int64(w.prices[row.Offering])
	for _, name := range overlaidResources {
		want := kind.Capacity[string(name)]
		for _, o := range sound {
			if _, q := said(o, name); q != "" && isFor(o, row.Labels()) {
				want, _ = strconv.ParseInt(q, 10, 64)
				break
			}
		}
		if got := row.Type.Capacity[string(name)]; got != want || row.Type.Allocatable[string(name)] != want {
			t.Errorf("%s has %d of %s, want %d", row.Offering, got, name, want)
		}
		changed = changed || want != kind.Capacity[string(name)]
	}
	return changed
}
