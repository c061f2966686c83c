package provision

import (
	"context"
	"testing"
	"time"

	"github.com/stowage-sh/stowage/cloudprovider"
	"github.com/stowage-sh/stowage/pricing"
	v1 "github.com/stowage-sh/stowage/provisioner/v1"
)

// restless is a cloud that changes while a decision is gathered.
type restless struct {
	*cloud
	change func()
}

func (c restless) Catalog(ctx context.Context, ref cloudprovider.NodeClassRef) (*cloudprovider.Catalog, error) {
	defer c.change()
	return c.cloud.Catalog(ctx, ref)
}

// newPrices are a pricing.Source.
type newPrices struct{ *pricing.Table }

func (p newPrices) Fetch(context.Context) (*pricing.Table, error) { return p.Table, nil }
func (p newPrices) Name() string                                  { return "new prices" }

// typeOf is the instance type that a claim was decided for.
func (r *rig) typeOf(claim string) string {
	r.t.Helper()
	c := r.claim(claim)
	o, err := cloudprovider.ParseOffering(c.Annotations[v1.AnnotationOfferings])
	if err != nil {
		r.t.Fatalf("claim %s: %v", claim, err)
	}
	return o.InstanceType
}

// TestPricesOfOneGeneration: a refresh in the middle of a decision is for the next
// one.
func TestPricesOfOneGeneration(t *testing.T) {
	r := newRig(t, nodePool("general"), waiting("a", "1"))
	r.Prices = pricing.NewBook(onDemand(100_000, 400_000), newPrices{onDemand(400_000, 100_000)})
	r.Cloud = restless{r.cloud, func() {
		if err := r.Prices.Refresh(t.Context(), time.Time{}); err != nil {
			t.Error(err)
		}
	}}
	r.step(0)
	r.step(time.Second)
	r.want("general-1(a)")
	if got := r.typeOf("general-1"); got != "small" {
		t.Errorf("bought %s, want small: it was the cheaper one when the decision began", got)
	}
	r.seen(waiting("b", "1500m")) // too much for what the other leaves
	r.step(time.Second)
	r.step(time.Second)
	r.want("general-1(a) general-2(b)")
	if got := r.typeOf("general-2"); got != "large" {
		t.Errorf("bought %s, want large: it is the cheaper one by now", got)
	}
}

// TestNodeClassOfOneGeneration: NodePools of one NodeClass get one catalog in one
// decision, though the NodeClass changes meanwhile.
func TestNodeClassOfOneGeneration(t *testing.T) {
	r := newRig(t, nodePool("a"), nodePool("b"))
	looks := 0
	r.Cloud = restless{r.cloud, func() { looks++; r.cloud.catalog = twoSizes() }}
	in := r.input(t.Context(), r.now, r.Cluster.Snapshot(), nil)
	if looks != 1 || in.Catalogs["a"] == nil || in.Catalogs["a"] != in.Catalogs["b"] {
		t.Errorf("%d looks at one NodeClass, and its catalogs are %p and %p", looks, in.Catalogs["a"], in.Catalogs["b"])
	}
}
