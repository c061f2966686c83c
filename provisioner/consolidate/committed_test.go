package consolidate

import (
	"strings"
	"testing"
	"time"

	"github.com/stowage-sh/stowage/binpack"
	"github.com/stowage-sh/stowage/cloudprovider"
	"github.com/stowage-sh/stowage/pricing"
	v1 "github.com/stowage-sh/stowage/provisioner/v1"
)

// commit has a Savings Plan of so many dollars an hour pay half of the on-demand price, and prices the nodes anew.
func (w *world) commit(dollars string) {
	w.t.Helper()
	read, err := pricing.ReadCommitments(strings.NewReader(
		"commitments: [{name: plan, kind: ComputeSavingsPlan, discount: 50%, dollarsPerHour: "+dollars+"}]"), "file", "", time.Time{})
	if err != nil {
		w.t.Fatal(err)
	}
	w.commitments = read.Commitments
	running := w.input().Running(nil)
	for i := range w.nodes {
		n := &w.nodes[i]
		n.Price, _ = running.PriceOf(n.Claim, n.Node)
	}
}

// costs checks what nodes cost, in their order.
func (w *world) costs(want ...binpack.MicroUSD) {
	w.t.Helper()
	for i, n := range w.nodes {
		if n.Price != want[i] {
			w.t.Errorf("%s costs %v, want %v", n.Node.Name, n.Price, want[i])
		}
	}
}

// spot has c2 and c4 on sale for a quarter of their price.
func (w *world) spot() {
	for i := range w.catalog.InstanceTypes[:2] {
		kind := &w.catalog.InstanceTypes[i]
		o := cloudprovider.Offering{InstanceType: kind.Name, Zone: "a", CapacityType: cloudprovider.Spot}
		kind.Offerings = append(kind.Offerings, o)
		w.prices[o] = pricing.MicroUSD([]int64{50_000, 100_000}[i])
	}
}

// TestCommitted: a node that a commitment covers is not traded for a cheaper one that it does not cover.
func TestCommitted(t *testing.T) {
	for commitment, want := range map[string]string{
		"0.2":   "a:WellUsed ", // c4 at half of 0.4
		"0.001": "-a +c4 / ",   // of which this is next to nothing
	} {
		w := newWorld(t)
		w.spot()
		w.node("a", 4, pod(3900))
		w.commit(commitment)
		w.wants(want)
	}
}

// TestCommittedToAll: what several nodes use may be used by any. A plan of 0.2 covers one of two c4, which are 0.2
// each under it. Without the one that is worse used 0.4 is saved, and without both no more.
func TestCommittedToAll(t *testing.T) {
	w := newWorld(t)
	w.node("a", 4, pod(3900))
	w.node("b", 4, pod(1900))
	w.commit("0.2")
	w.costs(0, 400_000)
	// b becomes a c2 of 0.2. The bill before is 0.4. After it the plan covers c2 (0.1) and half of c4, which
	// leaves 0.2: so much is saved.
	plan := w.wants("-b +c2 / a:WellUsed ")
	if plan.Before != 400_000 || plan.After != 200_000 {
		t.Errorf("%v before and %v after", plan.Before, plan.After)
	}
	// All of it could be on new nodes: a c4 and a c2, of 0.2 and 0.1 under the plan, which covers the c4 whole.
	if plan.LowerBound > 200_000 {
		t.Errorf("the bound is %v, and 0.2 can be had", plan.LowerBound)
	}
}

// TestCommittedInPart: a plan of 0.3 covers one c4 and half of another.
func TestCommittedInPart(t *testing.T) {
	w := newWorld(t)
	w.node("a", 4, pod(3900))
	w.node("b", 4, pod(3800))
	w.node("c", 4, pod(3700))
	w.commit("0.3")
	w.costs(0, 200_000, 400_000)
}

// TestFillsWhatIsPaid: nodes on spot go as far as a commitment covers what takes their pods, whole node by node.
func TestFillsWhatIsPaid(t *testing.T) {
	w := newWorld(t)
	w.spot()
	for _, name := range []string{"a", "b", "c"} {
		w.node(name, 4, pod(3900))
	}
	for i := range w.nodes { // they are on spot
		claim := w.nodes[i].Claim.DeepCopy()
		claim.Labels[v1.LabelCapacityType] = cloudprovider.Spot
		w.nodes[i].Claim = claim
		w.cluster.Observe(claim)
	}
	w.commit("0.5") // two c4 at 0.2, and 0.1 is left
	w.costs(100_000, 100_000, 100_000)
	plan := w.plan()
	if plan.Before != 300_000 || plan.After != 100_000 || len(plan.Commands) != 2 {
		t.Errorf("%v before and %v after %d commands: %s", plan.Before, plan.After, len(plan.Commands), plan.text())
	}
	for i := range plan.New {
		if c := plan.New[i].Rows[0].Commitment; c == nil || plan.New[i].Price != 0 {
			t.Errorf("new node %d costs %v", i, plan.New[i].Price)
		}
	}
}
