package problem_test

import (
	"math/rand/v2"
	"testing"

	"github.com/stowage-sh/stowage/binpack"
)

// TestCommitted: what a plan calls covered the commitment does cover, as AWS applies it to all that runs on demand
// then; and what a plan costs is the sum of its nodes.
func TestCommitted(t *testing.T) {
	covered, worlds := 0, 0
	forSeeds(t, 600, func(t *testing.T, _ *rand.Rand, w *world) {
		if len(w.commitments) == 0 {
			return
		}
		worlds++
		tr, s := decide(t, w)
		in := w.question()
		launches, _ := tr.Placed(s)
		sum, draws, most := binpack.MicroUSD(0), int64(0), int64(0)
		for i := range launches {
			row := launches[i].Rows[0]
			sum += launches[i].Price
			if row.Commitment == nil {
				continue
			}
			covered++
			if launches[i].Price != 0 {
				t.Errorf("%s costs %v, and is covered", row.Offering, launches[i].Price)
			}
			listed, _ := in.Prices.Price(row.Offering)
			units, _ := row.Commitment.Draw(row.Offering, listed)
			draws += units
			for _, other := range launches[i].Rows[1:] { // with minValues some take more
				listed, _ := in.Prices.Price(other.Offering)
				more, ok := other.Commitment.Draw(other.Offering, listed)
				if units = max(units, more); !ok {
					t.Errorf("%s may come in place of %s, and is not covered", other.Offering, row.Offering)
				}
			}
			most += units
		}
		if sum != s.Cost {
			t.Errorf("nodes cost %v together, and the plan %v", sum, s.Cost)
		}
		before, after := in.Used(nil)[0], in.Used(launches)[0]
		if after.Used < before.Used+draws || before.Used+most > w.commitments[0].Amount {
			t.Errorf("%d of %d were used, %d to %d are to be taken, and %d would be used", before.Used, w.commitments[0].Amount, draws, most, after.Used)
		}
	})
	if covered < worlds/4 {
		t.Errorf("%d nodes were covered in %d worlds", covered, worlds)
	}
}

// TestRunningAddsUp: machines cost together what the bill is, and no more than without the commitment.
func TestRunningAddsUp(t *testing.T) {
	forSeeds(t, 200, func(t *testing.T, _ *rand.Rand, w *world) {
		in := w.question()
		plain := *in
		plain.Prices = in.Prices.WithCommitments(nil)
		running, list := in.Running(nil), plain.Running(nil)
		for _, claim := range in.Snapshot.NodeClaims.All() {
			node, ok := in.Snapshot.NodeOf(claim)
			if !ok {
				continue
			}
			price, known := running.PriceOf(claim, node)
			full, knownToo := list.PriceOf(claim, node)
			if known != knownToo || price < 0 || price > full+1 {
				t.Errorf("%s costs %v (%v), and %v (%v) without the commitment", claim.Name, price, known, full, knownToo)
			}
		}
	})
}
