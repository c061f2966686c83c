package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/stowage-sh/stowage/cloudprovider"
)

// A picture is what there is to see of the cluster at one moment.
type picture struct {
	pods, bound  int
	nodes, ready int
	instances    int
	hourly       int64 // in millionths of a dollar

	rows    map[row]*sum // of the closing table
	batches int
	floor   float64 // lower bound of the batches, in dollars
}

// A row of the closing table: machines that are the same but for their zone.
type row struct{ instanceType, capacityType string }

type sum struct {
	count int
	price int64
}

// add counts one machine.
func (p *picture) add(o cloudprovider.Offering, price int64) {
	if p.rows == nil {
		p.rows = map[row]*sum{}
	}
	key := row{o.InstanceType, o.CapacityType}
	if p.rows[key] == nil {
		p.rows[key] = &sum{}
	}
	p.rows[key].count++
	p.rows[key].price += price
}

// readPlans adds up what the log says of each batch that was solved.
func (p *picture) readPlans(lines []string) error {
	for _, line := range lines {
		var entry struct {
			Message    string  `json:"message"`
			NodeClaims int     `json:"nodeclaims"`
			LowerBound float64 `json:"lower-bound"`
		}
		if !strings.Contains(line, `"solved a batch"`) {
			continue
		}
		if err := json.Unmarshal([]byte(line), &entry); err != nil {
			return fmt.Errorf("reading stowage's log: %w", err)
		}
		if entry.NodeClaims > 0 {
			p.batches++
			p.floor += entry.LowerBound
		}
	}
	return nil
}

// line is the picture in one line.
func (p picture) line() string {
	return fmt.Sprintf("pods %3d pending %3d bound   nodes %2d ready %2d coming   $%.3f/h",
		p.pods-p.bound, p.bound, p.ready, max(p.instances, p.nodes)-p.ready, float64(p.hourly)/1e6)
}

// table is the closing table.
func (p picture) table(bound time.Duration) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%-16s %-10s %5s %12s\n", "INSTANCE TYPE", "CAPACITY", "NODES", "$/H")
	total := 0
	keys := slices.SortedFunc(maps.Keys(p.rows), func(x, y row) int {
		return cmp.Or(cmp.Compare(p.rows[y].price, p.rows[x].price), cmp.Compare(x.instanceType, y.instanceType), cmp.Compare(x.capacityType, y.capacityType))
	})
	for _, k := range keys {
		fmt.Fprintf(&b, "%-16s %-10s %5d %12.4f\n", k.instanceType, k.capacityType, p.rows[k].count, float64(p.rows[k].price)/1e6)
		total += p.rows[k].count
	}
	hourly := float64(p.hourly) / 1e6
	fmt.Fprintf(&b, "%-16s %-10s %5d %12.4f\n", "total", "", total, hourly)
	fmt.Fprintf(&b, "lower bound of the plan (%d batch(es))%8.4f", p.batches, p.floor)
	if p.floor > 0 {
		fmt.Fprintf(&b, "   %+.1f %% above it", (hourly/p.floor-1)*100)
	}
	fmt.Fprintf(&b, "\n%d pods, %.1f s from pending to all bound\n", p.pods, bound.Seconds())
	return b.String()
}
