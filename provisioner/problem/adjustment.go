package problem

import (
	"math/bits"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/stowage-sh/stowage/pricing"
	"github.com/stowage-sh/stowage/provisioner/v1alpha1"
)

// An adjustment is what an overlay makes of a price. Two that are equal make the
// same of every price.
type adjustment struct {
	kind adjustmentKind
	// amount is in dollars, or for byPercent in percent, with its sign; both in
	// millionths.
	amount pricing.MicroUSD
}

type adjustmentKind int

const (
	unadjusted adjustmentKind = iota
	fixed
	byAmount
	byPercent
)

// hundred percent, in the unit of an amount.
const hundred = 100 * 1e6

// of returns the price after the adjustment, never below 0, and whether it is
// known: a fixed one needs none before.
func (a adjustment) of(price pricing.MicroUSD, known bool) (pricing.MicroUSD, bool) {
	switch a.kind {
	case fixed:
		return a.amount, true
	case byAmount:
		price += a.amount
	case byPercent:
		// 128 bits: the product may have more than 64. Rounded half up.
		hi, lo := bits.Mul64(uint64(price), uint64(hundred+a.amount))
		lo, carry := bits.Add64(lo, hundred/2, 0)
		quotient, _ := bits.Div64(hi+carry, lo, hundred)
		price = pricing.MicroUSD(quotient)
	}
	return min(max(price, 0), pricing.MaxMicroUSD), known
}

// readAdjustment reads the price and the price adjustment of an overlay, of which
// it may have one.
func readAdjustment(spec *field.Path, s *v1alpha1.NodeOverlaySpec) (adjustment, *field.Error) {
	switch {
	case s.Price != nil && s.PriceAdjustment != nil:
		return adjustment{}, field.Forbidden(spec.Child("priceAdjustment"), "there is a price already")
	case s.Price != nil:
		amount, err := pricing.ParseAmount(*s.Price)
		if err != nil {
			return adjustment{}, field.Invalid(spec.Child("price"), *s.Price, err.Error())
		}
		return adjustment{fixed, amount}, nil
	case s.PriceAdjustment != nil:
		return readChange(spec.Child("priceAdjustment"), *s.PriceAdjustment)
	}
	return adjustment{}, nil
}

// readChange reads a price adjustment: a sign, a number, and perhaps "%".
func readChange(at *field.Path, text string) (adjustment, *field.Error) {
	sign := pricing.MicroUSD(1)
	number, signed := strings.CutPrefix(text, "+")
	if !signed {
		sign = -1
		number, signed = strings.CutPrefix(text, "-")
	}
	a := adjustment{kind: byAmount}
	if whole, percent := strings.CutSuffix(number, "%"); percent {
		a.kind, number = byPercent, whole
	}
	if strings.HasPrefix(number, ".") {
		number = "0" + number
	}
	amount, err := pricing.ParseAmount(number)
	if !signed || err != nil || a.kind == byPercent && sign*amount < -hundred {
		return adjustment{}, field.Invalid(at, text, "must be a signed amount in dollars, such as +0.1, or a percentage from -100%, such as -10%, below 1000000")
	}
	a.amount = sign * amount
	return a, nil
}
