package disrupt

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	v1 "github.com/stowage-sh/stowage/provisioner/v1"
)

// A code says in one word why a node is not being disrupted. They are the reasons of the
// condition Disrupting, and documented in docs/disruption.md.
type code string

// The codes, besides the reasons for which a node is disrupted.
const (
	inUse               code = "InUse"
	tooSoon             code = "TooSoon"
	never               code = "ConsolidationOff"
	static              code = "StaticNodePool"
	podsExpected        code = "PodsExpected"
	holdsHeadroom       code = "HoldsHeadroom"
	doNotDisrupt        code = "DoNotDisrupt"
	podDoNotDisrupt     code = "PodDoNotDisrupt"
	podDisruptionBudget code = "PodDisruptionBudget"
	budgetSpent         code = "BudgetSpent"
	budgetUnreadable    code = "BudgetUnreadable"
	inTurn              code = "OthersFirst"
	noPlace             code = "NoPlaceForPods"
	backOff             code = "ReplacementsFail"
	notReady            code = "NotInitialized"
	noNodePool          code = "NoNodePool"
	starting            code = "Starting"
	whenEmpty           code = "OnlyWhenEmpty"
	priceUnknown        code = "PriceUnknown"
	paybackUnreadable   code = "PaybackUnreadable"
)

// actionable are the codes that somebody may want to do something about, and is told so.
// Of a budget, or of replacements that fail, the NodePool is told.
var actionable = []code{doNotDisrupt, podDoNotDisrupt, podDisruptionBudget, noPlace, priceUnknown, paybackUnreadable}

// A verdict is why a node is not disrupted for a reason.
type verdict struct {
	block
	reason v1.DisruptionReason
}

// verdicts are those of one step, by NodeClaim.
type verdicts map[types.UID]verdict

// sayAgain is how often the message of a condition may change whose reason does not, or a reason
// about which nobody can do anything; and sayAtOnce how many conditions one step writes at most.
const sayAgain, sayAtOnce = 2 * time.Minute, 100

// A saying is what was last written about a NodeClaim.
type saying struct {
	code code
	at   time.Time
}

// say keeps the condition Disrupting of every NodeClaim, which has the one reason why its node
// is or is not being disrupted, counts the reasons, and tells users of those that they may do
// something about, once.
func (c *Controller) say(ctx context.Context, v *view, said verdicts) error {
	var failed []error
	counts := map[[2]string]int{}
	next, written := map[types.UID]saying{}, 0
	for _, claim := range v.NodeClaims.All() {
		status, why := v.verdict(claim, said)
		counts[[2]string{claim.Labels[v1.LabelNodePool], string(why.code)}]++
		if claim.DeletionTimestamp != nil {
			continue // package lifecycle says what follows
		}
		last, told := c.sayings[claim.UID]
		if told {
			next[claim.UID] = last
		}
		old := v1.GetCondition(claim.Status.Conditions, v1.ConditionDisrupting)
		same := old != nil && old.Reason == string(why.code)
		idle := old != nil && old.Status == status && !slices.Contains(actionable, why.code) && !slices.Contains(actionable, code(old.Reason))
		if same && old.Message == why.message || told && (same || idle) && v.now.Sub(last.at) < sayAgain {
			continue
		}
		if written++; written > sayAtOnce {
			c.soon = min(c.soon, time.Second)
			continue
		}
		next[claim.UID] = saying{why.code, v.now}
		failed = append(failed, c.change(ctx, claim, func(conditions *[]metav1.Condition) {
			v1.SetCondition(conditions, metav1.Condition{
				Type: v1.ConditionDisrupting, Status: status, Reason: string(why.code), Message: why.message, ObservedGeneration: claim.Generation,
			}, v.now)
		}))
		if last.code != why.code && slices.Contains(actionable, why.code) {
			c.eventOnBoth(v, claim, corev1.EventTypeNormal, "DisruptionBlocked", fmt.Sprintf("Cannot disrupt for being %s: %s", lower(said[claim.UID].reason), why.message))
		}
	}
	c.sayings = next
	c.Metrics.states(counts)
	return errors.Join(failed...)
}

// verdict is the reason why a claim's node is or is not being disrupted.
func (v *view) verdict(claim *v1.NodeClaim, said verdicts) (metav1.ConditionStatus, block) {
	if claim.DeletionTimestamp != nil {
		return metav1.ConditionTrue, block{"Terminating", "the NodeClaim is being deleted"}
	}
	if reason := chosenFor(claim); reason != "" {
		message := "chosen"
		if n, ok := v.candidate(claim); ok {
			if missing, awaits := v.places(n); missing > 0 {
				message = "looking for other places for its pods"
			} else if awaits != "" {
				message = "waits for " + awaits
			}
		}
		if why := interruption(claim); why != nil {
			message = why.Message + "; " + message
		}
		return metav1.ConditionTrue, block{code(reason), message}
	}
	if why, ok := said[claim.UID]; ok {
		return metav1.ConditionFalse, why.block
	}
	if _, ok := v.NodePools.Get(claim.Labels[v1.LabelNodePool]); !ok {
		return metav1.ConditionFalse, block{noNodePool, "the NodeClaim has no NodePool"}
	}
	if _, ok := v.candidate(claim); !ok {
		return metav1.ConditionFalse, block{notReady, "the node is not initialized"}
	}
	return metav1.ConditionFalse, block{starting, "it is about to be looked at"}
}
