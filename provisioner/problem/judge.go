package problem

import (
	"fmt"
	"maps"
	"slices"

	"github.com/stowage-sh/stowage/provisioner/v1alpha1"
)

// A Verdict says whether a NodeOverlay is applied.
type Verdict struct {
	Overlay *v1alpha1.NodeOverlay
	// Reason why it is not, as in a condition: v1alpha1.ReasonRuntimeValidation or
	// ReasonConflict. Empty if it is applied.
	Reason, Message string
}

// JudgeOverlays returns the overlays that are applied, and the verdict on each but
// those that are being deleted, in the order in which they are heard. One that
// cannot be read is not applied, and neither is one that says something else about
// an offering than one of the same weight before it. Of in it looks at NodePools
// and catalogs only: what is in conflict depends neither on prices nor on what ran out.
func JudgeOverlays(in *Input, list []*v1alpha1.NodeOverlay) (Overlays, []Verdict) {
	var all Overlays // that can be read
	var verdicts []Verdict
	at := map[string]int{} // a name's verdict
	for _, o := range byWeight(list) {
		at[o.Name] = len(verdicts)
		read, problems := readOverlay(o)
		if len(problems) > 0 {
			verdicts = append(verdicts, Verdict{o, v1alpha1.ReasonRuntimeValidation, problems.ToAggregate().Error()})
			continue
		}
		all, verdicts = append(all, read), append(verdicts, Verdict{Overlay: o})
	}
	sound := all[:0:0]
	rows := rowsOfAll(in, all)
	for i, conflict := range conflicts(all, rows) {
		if conflict == "" {
			sound = append(sound, all[i])
			continue
		}
		v := &verdicts[at[all[i].name]]
		v.Reason, v.Message = v1alpha1.ReasonConflict, conflict
	}
	return sound, verdicts
}

// rowsOfAll lists what all NodePools may buy; nothing where there is no second
// overlay to be in conflict with.
func rowsOfAll(in *Input, all Overlays) []Row {
	var rows []Row
	whole := &Input{Catalogs: in.Catalogs, RelaxMinValues: true} // a conflict is one under each policy
	for _, pool := range in.Snapshot.NodePools.All() {
		if in.Catalogs[pool.Name] == nil || len(all) < 2 {
			continue
		}
		more, err := offeredRows(pool, whole, all.mentioned())
		if err == nil { // or else it buys nothing, and says why elsewhere
			rows = append(rows, more...)
		}
	}
	return rows
}

// conflicts says for each overlay where one before it of the same weight, that has
// no conflict itself, says something else about one of the rows; or nothing. It
// costs O(overlays × rows).
func conflicts(all Overlays, rows []Row) []string {
	found := make([]string, len(all))
	heard := make([][]int, len(rows)) // the overlays without conflict that are for a row
	for i := range all {
		var mine []int // rows
		for r := range rows {
			if !meetsAll(all[i].requirements, &rows[r]) {
				continue
			}
			mine = append(mine, r)
			for _, j := range heard[r] {
				if what := all[i].contradicts(&all[j]); what != "" && found[i] == "" {
					found[i] = fmt.Sprintf("NodeOverlay %s of the same weight has another %s for %s of NodePool %s", all[j].name, what, rows[r].Offering, rows[r].Pool.Name)
				}
			}
		}
		if found[i] != "" {
			continue
		}
		for _, r := range mine {
			heard[r] = append(heard[r], i)
		}
	}
	return found
}

// contradicts names the first thing about which two overlays of one weight say
// different things.
func (o *overlay) contradicts(p *overlay) string {
	if o.weight != p.weight {
		return ""
	}
	if o.price.kind != unadjusted && p.price.kind != unadjusted && o.price != p.price {
		return "price"
	}
	for _, name := range slices.Sorted(maps.Keys(o.capacity)) {
		if q, both := p.capacity[name]; both && q != o.capacity[name] {
			return "capacity of " + name
		}
	}
	return ""
}
