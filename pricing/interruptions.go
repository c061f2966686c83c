package pricing

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
)

// An hour's part of a month, as AWS counts months.
const hoursPerMonth = 730

// billion is the unit of Table.interrupted.
const billion = 1_000_000_000

// bands are the middles of the Spot Instance Advisor's bands, in millionths of the machines that were taken back in
// the last month: <5 %, 5–10 %, 10–15 %, 15–20 %, >20 %. The last, which has no end, is taken to be as wide as the others.
var bands = []int64{25_000, 75_000, 125_000, 175_000, 225_000}

// An Interruptions says how often machines on spot are taken back, by instance type: how many of 10⁹ in an hour.
type Interruptions map[string]int64

// ReadInterruptions reads the data of the Spot Instance Advisor (spot-advisor-data.json) about Linux in a region. Of an
// instance type it has the band of how many of its machines were taken back in the last month; the middle of the
// band over the hours of a month is taken for the rate. Errors begin with name, which is the file's.
func ReadInterruptions(r io.Reader, name, region string) (Interruptions, error) {
	var file struct {
		Advisor map[string]map[string]map[string]struct {
			Band *int `json:"r"`
		} `json:"spot_advisor"`
	}
	if err := json.NewDecoder(r).Decode(&file); err != nil {
		return nil, fmt.Errorf("%s: JSON is wanted, such as spot-advisor-data.json: %w", name, err)
	}
	types := file.Advisor[region]["Linux"]
	if len(types) == 0 {
		return nil, fmt.Errorf("%s: spot_advisor.%s.Linux: is missing or empty", name, region)
	}
	rates := Interruptions{}
	for _, kind := range slices.Sorted(maps.Keys(types)) {
		band := types[kind].Band
		if band == nil || *band < 0 || *band >= len(bands) {
			return nil, fmt.Errorf("%s: spot_advisor.%s.Linux.%s.r: must be a band from 0 to %d", name, region, kind, len(bands)-1)
		}
		rates[kind] = bands[*band] * (billion / million) / hoursPerMonth
	}
	return rates, nil
}

// WithInterruptions returns a table of the same prices that knows how often machines on spot are taken back.
func (t *Table) WithInterruptions(rates Interruptions) *Table {
	next := *t
	next.interrupted = rates
	return &next
}

// Interrupted returns what interruptions of a machine on spot are expected to cost an hour, if each costs so much:
//
//	rate × cost
//
// It is 0 where the rate is not known, as where cost is 0.
func (t *Table) Interrupted(instanceType string, cost MicroUSD) MicroUSD {
	return MicroUSD(mulDiv(t.interrupted[instanceType], int64(cost), billion))
}
