package v1

import (
	"errors"
	"strconv"
	"strings"
)

// PreferencePriceDefault lets preferences decide between offers of about one price: the
// next generation of an instance family, the same type in another zone, arm64 or amd64. It is
// less than what a size up, or on-demand in place of spot, costs.
const PreferencePriceDefault = 0.1

// PreferencePrice says how much more than elsewhere a pod may cost where it prefers to be, if
// that is on a node of the pool, as a share of what it costs elsewhere: 0.1 is a tenth. The
// annotation AnnotationPreferencePrice says "0.1" or "10%"; without it, it is
// PreferencePriceDefault. At 0 preferences are heard where they cost nothing.
func (p *NodePool) PreferencePrice() (share float64, err error) {
	said, ok := p.Annotations[AnnotationPreferencePrice]
	if !ok {
		return PreferencePriceDefault, nil
	}
	number, percent := strings.CutSuffix(said, "%")
	share, err = strconv.ParseFloat(number, 64)
	if percent {
		share /= 100
	}
	if err != nil || !(share >= 0 && share <= 1) { // nor is NaN
		return 0, errors.New("must be a share of the price from 0 to 1, such as 0.1 or 10%")
	}
	return share, nil
}
