package disrupt

import (
	"context"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/types"

	"github.com/stowage-sh/stowage/cloudprovider"
	"github.com/stowage-sh/stowage/pricing"
	"github.com/stowage-sh/stowage/provisioner/problem"
	"github.com/stowage-sh/stowage/provisioner/state"
	v1 "github.com/stowage-sh/stowage/provisioner/v1"
)

// priced knows the price of one offering, and lets any pod go anywhere.
type priced struct{ offering cloudprovider.Offering }

func (p priced) Input(_ context.Context, _ time.Time, s *state.Snapshot) *problem.Input {
	return &problem.Input{Snapshot: s, Prices: pricing.NewTable("region", "the test", map[cloudprovider.Offering]pricing.MicroUSD{p.offering: 100_000})}
}

func (p priced) Refused(context.Context, time.Time, *state.Snapshot, *problem.Moves) (map[types.UID]string, error) {
	return nil, nil
}

func (p priced) Carry(context.Context, time.Time, *problem.Moves) error { return nil }

// unused is a cluster of n nodes of one offering without pods.
func unused(n int, budgets ...v1.Budget) (*state.Cluster, priced) {
	c, of := many(n, 0), cloudprovider.Offering{InstanceType: "small", Zone: "a", CapacityType: "spot"}
	pool, _ := c.Snapshot().NodePools.Get("pool")
	pool = pool.DeepCopy()
	pool.Spec.Disruption.ConsolidateAfter, pool.Spec.Disruption.Budgets = "0s", budgets
	c.Observe(pool)
	for _, claim := range c.Snapshot().NodeClaims.All() {
		claim = claim.DeepCopy()
		meta.RemoveStatusCondition(&claim.Status.Conditions, v1.ConditionDrifted)
		claim.Labels[corev1.LabelInstanceTypeStable], claim.Labels[corev1.LabelTopologyZone], claim.Labels[v1.LabelCapacityType] = of.InstanceType, of.Zone, of.CapacityType
		c.Observe(claim)
	}
	return c, priced{of}
}

// TestEmptyNodesAreNotUnderutilized: they go for being empty, and where the budgets do not allow that they do
// not go because they cost something.
func TestEmptyNodesAreNotUnderutilized(t *testing.T) {
	for _, test := range []struct {
		budget v1.Budget
		want   string
	}{
		{v1.Budget{Nodes: "100%"}, string(v1.ReasonEmpty)},
		{v1.Budget{Nodes: "0", Reasons: []v1.DisruptionReason{v1.ReasonEmpty}}, ""},
	} {
		cluster, mover := unused(2, test.budget)
		c := &Controller{Cluster: cluster, Write: state.Recorded(&counting{}, cluster), Events: &counting{}, Mover: mover}
		for now := monday.Add(time.Hour); now.Before(monday.Add(time.Hour + 20*time.Second)); now = now.Add(10 * time.Second) {
			if _, err := c.Step(context.Background(), now); err != nil {
				t.Fatal(err)
			}
		}
		for _, claim := range cluster.Snapshot().NodeClaims.All() {
			if got := chosenFor(claim); got != test.want {
				t.Errorf("with budget %v, %s is chosen for %q, want %q", test.budget, claim.Name, got, test.want)
			}
		}
	}
}

// TestReview: empty nodes go whatever they cost, also where that is not known; of all others something is said.
func TestReview(t *testing.T) {
	cluster, mover := unused(3)
	claims := cluster.Snapshot().NodeClaims.All()
	unknown, unready := claims[1].DeepCopy(), claims[2].DeepCopy()
	unknown.Labels[corev1.LabelInstanceTypeStable] = "odd"
	meta.RemoveStatusCondition(&unready.Status.Conditions, v1.ConditionInitialized)
	cluster.Observe(unknown)
	cluster.Observe(unready)
	now := monday.Add(time.Hour)
	r := ReviewOf(now, mover.Input(context.Background(), now, cluster.Snapshot()), nil)
	if len(r.Empty) != 2 || r.Empty[0].Price != 100_000 || r.Empty[1].Claim != unknown || r.Empty[1].Price != 0 || len(r.Loaded) > 0 {
		t.Errorf("empty %v, loaded %v", r.Empty, r.Loaded)
	}
	if len(r.Blocked) != 1 || r.Blocked[0].Claim != unready || r.Blocked[0].Code != string(notReady) || r.Blocked[0].Message == "" {
		t.Errorf("blocked %v", r.Blocked)
	}
}

// TestBudgetsHideNoSavings: what is paid for one of two nodes alike is that of the one that the budgets let stay.
func TestBudgetsHideNoSavings(t *testing.T) {
	cluster, mover := unused(2)
	mover.offering.CapacityType = cloudprovider.OnDemand
	pool, _ := cluster.Snapshot().NodePools.Get("pool")
	pool = pool.DeepCopy()
	pool.Name, pool.UID, pool.Spec.Disruption.Budgets = "still", "still", []v1.Budget{{Nodes: "0"}}
	cluster.Observe(pool)
	for i, claim := range cluster.Snapshot().NodeClaims.All() {
		claim = claim.DeepCopy()
		claim.Labels[v1.LabelCapacityType] = cloudprovider.OnDemand
		if i == 0 {
			claim.Labels[v1.LabelNodePool] = "still"
		}
		cluster.Observe(claim)
	}
	now := monday.Add(time.Hour)
	in := mover.Input(context.Background(), now, cluster.Snapshot())
	read, err := pricing.ReadCommitments(strings.NewReader("commitments: [{name: plan, kind: ComputeSavingsPlan, discount: 50%, dollarsPerHour: 0.05}]"), "file", "", now)
	if err != nil {
		t.Fatal(err)
	}
	in.Prices = in.Prices.WithCommitments(read.Commitments)
	v := newView(in.Snapshot, now, &residents{}, nil)
	for _, budgets := range []bool{false, true} {
		nodes, _ := v.consolidatable(in, v.candidates(), budgets)
		if len(nodes) != 2 || (nodes[1].Price == 100_000) != budgets || nodes[0].Price+nodes[1].Price != 100_000 {
			t.Errorf("with budgets (%v) nodes are %v", budgets, nodes)
		}
	}
}
