package pricing

import (
	"fmt"
	"strconv"
	"strings"
)

// MicroUSD is a price in millionths of a dollar per hour. Prices are integers
// so that sums and ties do not depend on the order of addition. In the regions
// of China, which are billed in yuan, it is millionths of a yuan.
type MicroUSD int64

// maxDollars is the most that an hour of anything may cost: a guard against
// a slipped decimal point that also keeps sums of many prices from overflowing.
const maxDollars = 1_000_000

// MaxMicroUSD is the same in MicroUSD.
const MaxMicroUSD MicroUSD = maxDollars * 1e6

// String writes the price in dollars with six decimals: "$0.096000".
func (m MicroUSD) String() string {
	if m < 0 {
		return "-" + (-m).String()
	}
	return fmt.Sprintf("$%d.%06d", m/1e6, m%1e6)
}

// USD returns the price in dollars, for output only: nothing may be decided by it.
func (m MicroUSD) USD() float64 { return float64(m) / 1e6 }

// decimal writes the price as ParseMicroUSD reads it, without trailing zeros.
func (m MicroUSD) decimal() string {
	s := fmt.Sprintf("%d.%06d", m/1e6, m%1e6)
	return strings.TrimSuffix(strings.TrimRight(s, "0"), ".")
}

// ParseMicroUSD reads a price as ParseAmount does. A price must be more than 0,
// also after rounding.
func ParseMicroUSD(s string) (MicroUSD, error) {
	price, err := ParseAmount(s)
	if err == nil && price == 0 {
		return 0, fmt.Errorf("%q is not more than a millionth of a dollar", s)
	}
	return price, err
}

// ParseAmount reads an amount in dollars per hour, digits with an optional
// fraction: "0.096". The conversion is exact to the sixth decimal; further
// digits round half up.
func ParseAmount(s string) (MicroUSD, error) {
	whole, fraction, _ := strings.Cut(s, ".")
	if !digits(whole) || strings.Contains(s, ".") && !digits(fraction) {
		return 0, fmt.Errorf("%q is not a price in dollars, such as 0.096", s)
	}
	dollars, err := strconv.ParseInt(whole, 10, 64)
	if err != nil || dollars >= maxDollars {
		return 0, fmt.Errorf("%q is more than %d dollars an hour", s, maxDollars)
	}
	up := len(fraction) > 6 && fraction[6] >= '5'
	fraction = (fraction + "000000")[:6]
	millionths, err := strconv.ParseInt(fraction, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("reading the fraction of %q: %w", s, err)
	}
	amount := MicroUSD(dollars*1e6 + millionths)
	if up {
		amount++
	}
	return amount, nil
}

// digits reports whether s is one or more decimal digits and nothing else.
func digits(s string) bool {
	return s != "" && strings.Trim(s, "0123456789") == ""
}
