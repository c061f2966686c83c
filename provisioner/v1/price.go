package v1

import (
	"errors"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/api/resource"
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
	if share, ok = shareOf(said, 1); !ok {
		return 0, errors.New("must be a share of the price from 0 to 1, such as 0.1 or 10%")
	}
	return share, nil
}

// NodeSlack is how much of the CPU and memory of a new node of the pool plans leave free, as a share of what is
// allocatable: room for pods that kube-scheduler puts elsewhere than planned. The annotation AnnotationNodeSlack says
// "0.03" or "3%"; without it, it is 0.
func (p *NodePool) NodeSlack() (share float64, err error) {
	said, ok := p.Annotations[AnnotationNodeSlack]
	if !ok {
		return 0, nil
	}
	if share, ok = shareOf(said, maxSlack); !ok {
		return 0, errors.New("must be a share of a node from 0 to 0.5, such as 0.03 or 3%")
	}
	return share, nil
}

// maxSlack is more than anybody means: a guard against "90%" where 10 % was to be left free.
const maxSlack = 0.5

// shareOf reads "0.1" or "10%", and reports whether that is from 0 to most.
func shareOf(said string, most float64) (share float64, ok bool) {
	number, percent := strings.CutSuffix(said, "%")
	share, err := strconv.ParseFloat(number, 64)
	if percent {
		share /= 100
	}
	return share, err == nil && share >= 0 && share <= most // which NaN is not
}

// InstanceSurcharge is what each node of the pool costs an hour beside its machine, a licence say. The
// annotation AnnotationInstanceSurcharge says it in dollars, "0.05"; it is returned in millionths of one.
func (p *NodePool) InstanceSurcharge() (micro int64, err error) {
	return p.dollars(AnnotationInstanceSurcharge, "must be dollars for an hour of a node, such as 0.05")
}

// InterruptionCost is what it costs, once, when the cloud takes back a machine of the pool: work that is lost, say.
// The annotation AnnotationInterruptionCost says it in dollars, "0.50"; it is returned in millionths of one.
func (p *NodePool) InterruptionCost() (micro int64, err error) {
	return p.dollars(AnnotationInterruptionCost, "must be dollars for each interruption, such as 0.50")
}

// dollars reads an annotation that is an amount, 0 without it.
func (p *NodePool) dollars(annotation, what string) (micro int64, err error) {
	said, ok := p.Annotations[annotation]
	if !ok {
		return 0, nil
	}
	amount, err := resource.ParseQuantity(said)
	if err != nil || strings.Trim(said, "0123456789.") != "" || amount.CmpInt64(maxDollars) >= 0 {
		return 0, errors.New(what)
	}
	return amount.ScaledValue(resource.Micro), nil
}

// maxDollars is more than such an amount may be: a guard against a slipped decimal point.
const maxDollars = 1_000_000

// CostAnnotations lists what is wrong with the pool's annotations about what plans may cost, by annotation; none is nil.
func (p *NodePool) CostAnnotations() map[string]error {
	var wrong map[string]error
	note := func(annotation string, err error) {
		if err != nil {
			if wrong == nil {
				wrong = map[string]error{}
			}
			wrong[annotation] = err
		}
	}
	_, err := p.PreferencePrice()
	note(AnnotationPreferencePrice, err)
	_, err = p.InstanceSurcharge()
	note(AnnotationInstanceSurcharge, err)
	_, err = p.InterruptionCost()
	note(AnnotationInterruptionCost, err)
	_, err = p.NodeSlack()
	note(AnnotationNodeSlack, err)
	return wrong
}
