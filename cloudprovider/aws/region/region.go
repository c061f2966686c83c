// Package region knows which regions AWS has, and what their zones are called
// when nobody can be asked. It is a table of names: it calls nothing, and says
// nothing about prices or instance types.
//
// Zone names belong to an account: us-east-1a of one account need not be
// us-east-1a of another. The names here are those that a new account sees. The
// rule: a region has the zones a, b and c unless the table says otherwise, and
// local and wavelength zones are never among them. Where an EC2NodeClass has
// resolved its subnets, their zones are the truth and this table is not asked.
package region

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// letters maps each region to the letters of its zones. The exceptions to abc
// are regions that have more zones, or closed one to new accounts, which leaves
// a gap: Tokyo's b, Canada's c, and the b of Northern California.
var letters = map[string]string{
	"af-south-1":     "abc",
	"ap-east-1":      "abc",
	"ap-east-2":      "abc",
	"ap-northeast-1": "acd",
	"ap-northeast-2": "abcd",
	"ap-northeast-3": "abc",
	"ap-south-1":     "abc",
	"ap-south-2":     "abc",
	"ap-southeast-1": "abc",
	"ap-southeast-2": "abc",
	"ap-southeast-3": "abc",
	"ap-southeast-4": "abc",
	"ap-southeast-5": "abc",
	"ap-southeast-6": "abc",
	"ap-southeast-7": "abc",
	"ca-central-1":   "abd",
	"ca-west-1":      "abc",
	"cn-north-1":     "abd",
	"cn-northwest-1": "abc",
	"eu-central-1":   "abc",
	"eu-central-2":   "abc",
	"eu-north-1":     "abc",
	"eu-south-1":     "abc",
	"eu-south-2":     "abc",
	"eu-west-1":      "abc",
	"eu-west-2":      "abc",
	"eu-west-3":      "abc",
	"il-central-1":   "abc",
	"me-central-1":   "abc",
	"me-south-1":     "abc",
	"mx-central-1":   "abc",
	"sa-east-1":      "abc",
	"us-east-1":      "abcdef",
	"us-east-2":      "abc",
	"us-gov-east-1":  "abc",
	"us-gov-west-1":  "abc",
	"us-west-1":      "ac",
	"us-west-2":      "abcd",
}

// All returns the regions' names, sorted.
func All() []string {
	names := make([]string, 0, len(letters))
	for n := range letters {
		names = append(names, n)
	}
	slices.Sort(names)
	return names
}

// Zones returns the names of all zones of a region, in order. An unknown region
// is an *UnknownError.
func Zones(name string) ([]string, error) {
	l, ok := letters[name]
	if !ok {
		return nil, &UnknownError{Region: name, Near: near(name)}
	}
	zones := make([]string, 0, len(l))
	for _, c := range l {
		zones = append(zones, name+string(c))
	}
	return zones, nil
}

// FirstZones returns the zones that a plan assumes when none are named: the
// first three of the region, or all of them where it has fewer.
func FirstZones(name string) ([]string, error) {
	zones, err := Zones(name)
	if err != nil {
		return nil, err
	}
	return zones[:min(3, len(zones))], nil
}

// Check returns an *UnknownError if there is no region of that name.
func Check(name string) error {
	_, err := Zones(name)
	return err
}

// An UnknownError says that a name is not a region's, and which names are like it.
type UnknownError struct {
	Region string
	// Near holds up to three regions whose names are closest, the closest first.
	Near []string
}

// Error names the region and those like it.
func (e *UnknownError) Error() string {
	return fmt.Sprintf("unknown region %q; did you mean %s?", e.Region, strings.Join(e.Near, ", "))
}

// near returns the three regions with the smallest edit distance from name.
func near(name string) []string {
	all := All()
	slices.SortStableFunc(all, func(a, b string) int { return cmp.Compare(distance(name, a), distance(name, b)) })
	return all[:3]
}

// distance is the number of single characters to insert, delete or replace to
// get from a to b.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
